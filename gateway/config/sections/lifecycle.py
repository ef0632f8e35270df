"""How a running gateway takes a changed configuration, and how it watches over its workers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.sections.base import Section
from gateway.config.sections.values import Duration, Flag, Integer, Label, Size

Workers = Annotated[
    Annotated[Integer, Field(ge=1, le=256)] | Literal["auto"], Label("1 to 256, or auto")
]


class Supervision(Section):
    """How the supervisor watches over workers; without effect with one process."""

    stuck_timeout: Duration = 10.0
    """How long the event loop of a worker may stand still before the worker is killed and replaced.
    Many times the longest pause that a busy or swapping machine makes: killing costs its requests,
    while the other workers go on accepting whatever comes."""
    acknowledge_timeout: Duration = 3.0
    """How long a revocation waits for a worker to forget the key; then the worker is killed, which
    is the surest way to forget. A worker that turns answers within a millisecond."""
    start_timeout: Duration = 60.0
    """How long a worker may take until it serves, and until it has tried a changed configuration.
    Long, because thousands of routes and a busy machine take seconds."""
    worker_memory_max: Size | None = None
    """How much memory a worker may have (resident, what it shares included) before it is replaced by
    another one, without failing a request: a net below a leak. Not before it has lived for 30 s.
    None by default: the limit of the container or of systemd ends the whole gateway, so set this
    below it, divided by the number of workers."""


class Reload(Section):
    """How a changed configuration reaches the running gateway."""

    watch: Flag = True
    """Reload when the files change: this one, what it includes, and what `${file:...}` names. Off:
    only `tollhouse reload` and SIGHUP do."""
    poll: Duration = 1.0
    """How often the files are looked at. Two looks in a row must find the same content, so that a
    file which is still being written is not taken."""
    drain_timeout: Duration = 600.0
    """How long requests that began before a reload may go on with an upstream that it changed or
    removed; then they are cut. Long, because a download or a stream of events is long."""
