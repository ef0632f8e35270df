"""What a line of the access log says: one JSON object per request.

Knows the fields of a line and their order. What repeats (routes, keys, addresses, user agents) is redacted and encoded
once and then remembered: whole parts of a line with the head of the request, the texts in bounded tables that belong to
one redactor. It must not know where lines go.
"""

from __future__ import annotations

import time
from typing import Final, TypeVar

import orjson

from gateway.domain.keys import BoundKey
from gateway.domain.outcome import Outcome, Reply
from gateway.domain.redaction import Redactor, is_plain

TARGET_LENGTH_MAX: Final = 2_048
USER_AGENT_LENGTH_MAX: Final = 256
DETAIL_LENGTH_MAX: Final = 512
NAME_LENGTH_MAX: Final = 128

REMEMBERED_MAX: Final = 4_096
"""Entries of one table; a full one begins anew."""

REMEMBERED_BYTES_MAX: Final = 512
"""Longer texts are rare and would make the tables large."""

_LINE: Final = (
    b'{"ts":"%b.%bZ","request_id":%b,%b"duration_ms":%d.%b,%b,'
    b'"request_bytes":%d,"response_bytes":%d,%b'
)
_CIRCUMSTANCES: Final = (
    b'"method":%b,"target":%b,%b,%b,"client_address":%b,"peer_address":%b,"user_agent":%b,'
)
_END: Final = b'"ended":%b,"generation":%d}\n'
_ANSWER: Final = (
    b'"route":%b,"status":%d,"reason":%b,"detail":%b,"source":%b,"shadow":%b,"shadow_rules":%b'
)
_KEY: Final = b'"key_id":%b,"tenant_id":%b,"environment":%b,"billable":%b'
_RELAY: Final = b'"upstream":%b,"upstream_target":%b,"upstream_ms":'

_NO_KEY: Final = _KEY % (b"null", b"null", b"null", b"null")
_NO_UPSTREAM: Final = b'"upstream":null,"upstream_target":null,"upstream_ms":null'

_Parts = tuple[tuple[object, ...], bytes, bytes, bytes]
"""What requests with one head have in common: what the parts are made of; before the times, between them, the end."""

_Key = TypeVar("_Key")


class Lines:
    """Renders outcomes, without anything that `redactor` takes for a credential. For one thread at a time."""

    def __init__(self, redactor: Redactor) -> None:
        self._redact = redactor.redact
        self._second = -1
        self._second_text = b""
        self._targets: dict[bytes, bytes] = {}
        self._agents: dict[bytes, bytes] = {}
        self._methods: dict[str, bytes] = {}
        self._keys: dict[str, bytes] = {}  # by label: a key never changes hands
        self._free_keys: dict[str, bytes] = {}  # those that are not billable
        self._names: dict[str, bytes] = {}
        self._thousandths = tuple(b"%03d" % n for n in range(1000))

    def render(self, outcome: Outcome, offset: float) -> bytes:
        """Return the line of `outcome`; `offset` seconds make epoch time of monotonic time."""
        second, milliseconds = divmod(int((outcome.started + offset) * 1000), 1000)
        if second != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
            self._second = second
        head, result, thousandths = outcome.head, outcome.result, self._thousandths
        is_relayed = isinstance(result, Reply)
        upstream = "" if result is None else result.upstream
        # All that the remembered parts are made of, but for the head whose they are.
        made_of = (
            self, outcome.route, outcome.status, outcome.key, outcome.client_address, outcome.peer_address,
            outcome.reason, outcome.detail, outcome.ended, outcome.generation, is_relayed, upstream,
            outcome.upstream_target,
        )  # fmt: skip
        parts: _Parts | None = head.memo_line
        if parts is None or parts[0] != made_of or outcome.shadow:
            parts = (
                made_of,
                self._circumstances(outcome),
                self._relay(outcome),
                self._end(outcome),
            )
            if not outcome.shadow:
                head.memo_line = parts
        _, circumstances, relay, end = parts
        if upstream or is_relayed:
            microseconds = int(outcome.upstream_duration * 1_000_000 + 0.5)
            relay = b"%b%d.%b" % (relay, microseconds // 1000, thousandths[microseconds % 1000])
        duration = int(outcome.duration * 1_000_000 + 0.5)
        return _LINE % (
            self._second_text,
            thousandths[milliseconds],
            self._identity(outcome.request_id),
            circumstances,
            duration // 1000,
            thousandths[duration % 1000],
            relay,
            outcome.request_bytes,
            outcome.response_bytes,
            end,
        )

    # ---- parts that repeat

    def _circumstances(self, outcome: Outcome) -> bytes:
        """Say who asked for what, and what was answered: all that stands before the times."""
        head, names = outcome.head, self._names
        client, peer = outcome.client_address, outcome.peer_address
        return _CIRCUMSTANCES % (
            self._methods.get(head.method) or self._method(head.method),
            self._targets.get(head.target) or self._target(head.target),
            self._answer(outcome),
            _NO_KEY if outcome.key is None else self._key(outcome.key),
            names.get(client) or self._name(client),
            names.get(peer) or self._name(peer),
            self._agents.get(head.user_agent) or self._agent(head.user_agent),
        )

    def _answer(self, outcome: Outcome) -> bytes:
        reason, detail = b"null", b"null"
        if outcome.reason is not None:
            reason = self._name(outcome.reason.value)
        if outcome.detail:
            detail = self._clean(outcome.detail, DETAIL_LENGTH_MAX)
        shadow = rules = b"[]"
        if outcome.shadow:
            shadow = orjson.dumps([finding.reason for finding in outcome.shadow])
            rules = orjson.dumps([finding.kind for finding in outcome.shadow])
        source, name = self._name(outcome.source), self._name(outcome.route_name)
        return _ANSWER % (name, outcome.status, reason, detail, source, shadow, rules)

    def _relay(self, outcome: Outcome) -> bytes:
        """Say what a request had to do with an upstream, up to the time that this took: mostly nothing if it was
        answered here.
        """
        if isinstance(outcome.result, Reply):
            return _RELAY % (self._name(outcome.upstream), self._name(outcome.upstream_target))
        if outcome.upstream:
            return _RELAY % (self._name(outcome.upstream), b"null")
        return _NO_UPSTREAM

    def _end(self, outcome: Outcome) -> bytes:
        return _END % (self._name(outcome.ended), outcome.generation)

    # ---- texts that clients send: redacted

    def _identity(self, request_id: bytes) -> bytes:
        """Our own ids are plain, which is told fast; one that a proxy gave may be anything."""
        is_like_ours = request_id[:4] == b"req_" and request_id[4:].isalnum()
        if len(request_id) <= NAME_LENGTH_MAX and (is_like_ours or is_plain(request_id)):
            return b'"%b"' % request_id
        return self._clean_bytes(request_id, NAME_LENGTH_MAX)

    def _target(self, target: bytes) -> bytes:
        if len(target) <= REMEMBERED_BYTES_MAX and is_plain(target):
            return b'"%b"' % target  # not worth remembering
        return _remember(self._targets, target, self._clean_bytes(target, TARGET_LENGTH_MAX))

    def _agent(self, agent: bytes) -> bytes:
        return _remember(self._agents, agent, self._clean_bytes(agent, USER_AGENT_LENGTH_MAX))

    def _method(self, method: str) -> bytes:
        clean = self._clean(method, NAME_LENGTH_MAX)
        if len(method) <= NAME_LENGTH_MAX:
            _put(self._methods, method, clean)
        return clean

    def _clean_bytes(self, raw: bytes, length_max: int) -> bytes:
        return self._clean(raw.decode("utf-8", "backslashreplace"), length_max)

    def _clean(self, text: str, length_max: int) -> bytes:
        # Redacted before it is cut: half a secret no longer looks like one.
        clean = self._redact(text)
        return _json(clean if len(clean) <= length_max else f"{clean[:length_max]}…")

    # ---- texts of our own: names and addresses

    def _key(self, key: BoundKey) -> bytes:
        known = self._keys if key.is_billable else self._free_keys
        fields = known.get(key.label)
        if fields is None:
            names = (key.record.key_id, key.tenant.tenant_id, key.record.environment)
            billable = b"true" if key.is_billable else b"false"
            fields = _KEY % (*map(_json, names), billable)
            _put(known, key.label, fields)
        return fields

    def _name(self, name: str) -> bytes:
        known = self._names.get(name)
        if known is None:
            known = _json(name)
            _put(self._names, name, known)
        return known


def _remember(table: dict[bytes, bytes], raw: bytes, text: bytes) -> bytes:
    if len(raw) <= REMEMBERED_BYTES_MAX:
        _put(table, raw, text)
    return text


def _put(table: dict[_Key, bytes], key: _Key, text: bytes) -> None:
    if len(table) >= REMEMBERED_MAX:
        table.clear()
    table[key] = text


def _json(text: str) -> bytes:
    """Return `text` as JSON, in bytes of their own: what orjson returns keeps its buffer of 4 KB for as long as it is
    remembered.
    """
    try:
        return b"%b" % orjson.dumps(text)
    except orjson.JSONEncodeError:
        # Lone surrogates: some text came from bytes that are not UTF-8.
        return b"%b" % orjson.dumps(text.encode("utf-8", "backslashreplace").decode())
