"""How a running gateway takes a changed configuration."""

from __future__ import annotations

from gateway.config.sections.base import Section
from gateway.config.sections.values import Duration, Flag


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
