"""What keeps requests together on one target.

Knows the four things that a request can be known by. It must not know targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.domain.keys import BoundKey
from gateway.domain.request import RequestHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Affinity:
    """By what requests are kept together; `header` is the lower-case name for `by` header."""

    by: Literal["key", "tenant", "address", "header"]
    header: bytes = b""

    def of(self, head: RequestHead, key: BoundKey | None, client_address: str) -> bytes:
        """Return what the request is known by: its client's address if there is nothing better.

        A key is known by its lineage, so that a rotation does not move its caller.
        """
        if self.by == "header":
            for name, _, value in head.fields:
                if name == self.header:
                    return value
        elif key is not None and self.by != "address":
            return (key.record.lineage_id if self.by == "key" else key.tenant.tenant_id).encode()
        return client_address.encode()
