"""A registry of streams that never were, for those who show them."""

from __future__ import annotations

from gateway.domain.keys import BoundKey
from gateway.domain.routes import Route
from gateway.domain.streams import Condemn, StreamKind, StreamReport
from tests.key_samples import a_key, a_tenant
from tests.pipeline.samples import head


class OneStream:
    """Implements `domain.streams.OpenStream`; the `number` says how many seconds after the first it began."""

    def __init__(self, number: int, kind: StreamKind, key_id: str = "") -> None:
        record = a_key(key_id=key_id, lineage_id=f"lin_of_{key_id}", tenant_id="ten_a")
        self.key: BoundKey | None = None
        if key_id:
            self.key = BoundKey(
                record=record,
                tenant=a_tenant(),
                scopes=frozenset(),
                allowlists=(),
                claims=(),
                identity=b"",
            )
        self.route: Route | None = Route(name="jobs", pattern="/jobs")
        self.head = head()
        self.started = 5.0 + number
        self.stream_id = f"req_{number}"
        self.opened_at = 1_700_000_000.25 + number
        self.kind = kind
        self.client_address = "192.0.2.7"
        self.request_bytes = 10
        self.response_bytes = 20


class SomeStreams:
    """Implements `ports.Streams`."""

    def __init__(self, *streams: OneStream) -> None:
        self._streams = list(streams)

    async def listed(self) -> list[StreamReport]:
        return [StreamReport.of(stream) for stream in self._streams]

    async def cut(self, condemn: Condemn) -> int:
        before = len(self._streams)
        self._streams = [stream for stream in self._streams if condemn(stream) is None]
        return before - len(self._streams)
