"""Where the spans of traced requests go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from gateway.config.sections.base import Section
from gateway.config.sections.tls import OptionalFilePath
from gateway.config.sections.values import Count, Duration, Label, Secret, Share, Text
from gateway.config.sections.wire import FieldName, Link

ServiceName = Annotated[
    str, Text(r"[!-~](?:[ -~]{0,98}[!-~])?", "1 to 100 printable ASCII characters"), Label("text")
]


class Traces(Section):
    """Spans of requests for a collector that speaks OTLP over HTTP. Needs the extra `otel`."""

    endpoint: Link = ""
    """URL of the collector, with its path: `http://127.0.0.1:4318/v1/traces`. Empty: no request is
    traced, and none pays for it. Trace context is passed on in any case."""
    headers: Mapping[FieldName, Secret] = Field(default_factory=dict)
    """Fields of each request to the collector, such as its credentials: write
    `Authorization: "${file:/run/secrets/collector}"`."""
    ca: OptionalFilePath = ""
    """PEM file of the authorities that may vouch for an `https` collector. Empty: those that
    the system trusts."""
    service_name: ServiceName = "tollhouse"
    """The name of this gateway among the services of a trace."""
    sample_ratio: Share = 0.1
    """Which part of the traces that begin here is kept. A trace that came with the request, of whom
    `forwarding.traces_from` names, is kept if its sender keeps it."""
    requests_max: Count = 2048
    """Traced requests that wait to be exported; further ones are dropped and counted, so that a slow
    collector never slows a request."""
    flush: Duration = 1.0
    """How often waiting requests are exported: what a `kill -9` can lose."""
    timeout: Duration = 10.0
    """How long one export may take, with its retries."""
