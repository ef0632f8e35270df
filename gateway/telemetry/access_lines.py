"""What a line of the access log says: one JSON object per request.

Knows the fields of a line and their order. What repeats (routes, keys, addresses, user agents) is redacted and encoded
once and then remembered, in bounded tables that belong to one redactor. It must not know where lines go.
"""

from __future__ import annotations

import time
from typing import Final, TypeVar

import orjson

from gateway.domain.denial import Denial
from gateway.domain.keys import BoundKey
from gateway.domain.outcome import UNMATCHED, Outcome, Reply
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
    b'{"ts":"%b.%03dZ","request_id":%b,"method":%b,"target":%b,%b,%b,'
    b'"client_address":%b,"peer_address":%b,"user_agent":%b,'
    b'"duration_ms":%d.%03d,%b,"request_bytes":%d,"response_bytes":%d,"ended":%b,"generation":%d}\n'
)
_ANSWER: Final = (
    b'"route":%b,"status":%d,"reason":%b,"detail":%b,"source":%b,"shadow":%b,"shadow_rules":%b'
)
_KEY: Final = b'"key_id":%b,"tenant_id":%b,"environment":%b,"billable":%b'
_RELAY: Final = b'"upstream":%b,"upstream_target":%b,"upstream_ms":'

_NO_KEY: Final = _KEY % (b"null", b"null", b"null", b"null")
_NO_UPSTREAM: Final = b'"upstream":null,"upstream_target":null,"upstream_ms":null'

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
        self._answers: dict[tuple[str, int, bytes, int], bytes] = {}
        self._relays: dict[tuple[str, str], bytes] = {}

    def render(self, outcome: Outcome, offset: float) -> bytes:
        """Return the line of `outcome`; `offset` seconds make epoch time of monotonic time."""
        second, milliseconds = divmod(int((outcome.started + offset) * 1000), 1000)
        if second != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
            self._second = second
        head, names, route, result = outcome.head, self._names, outcome.route, outcome.result
        client, peer, ended = outcome.client_address, outcome.peer_address, outcome.ended
        duration = int(outcome.duration * 1_000_000 + 0.5)
        source = b'"forward_auth"' if head.is_consultation else b'"gateway"'
        if isinstance(result, Reply):
            source = b'"upstream"'
            relay = self._relays.get((result.upstream, result.target)) or self._relay(result)
            microseconds = int(result.upstream_seconds * 1_000_000 + 0.5)
            upstream = b"%b%d.%03d" % (relay, microseconds // 1000, microseconds % 1000)
        else:
            upstream = self._refusal(result)
        answer = None
        if not outcome.detail and not outcome.shadow:
            name = UNMATCHED if route is None else route.name
            answer = self._answers.get((name, outcome.status, source, id(outcome.reason)))
        return _LINE % (
            self._second_text,
            milliseconds,
            self._identity(outcome.request_id),
            self._methods.get(head.method) or self._method(head.method),
            self._targets.get(head.target) or self._target(head.target),
            answer or self._answer(outcome, source=source),
            _NO_KEY if outcome.key is None else self._key(outcome.key),
            names.get(client) or self._name(client),
            names.get(peer) or self._name(peer),
            self._agents.get(head.user_agent) or self._agent(head.user_agent),
            duration // 1000,
            duration % 1000,
            upstream,
            outcome.request_bytes,
            outcome.response_bytes,
            names.get(ended) or self._name(ended),
            outcome.generation,
        )

    def _answer(self, outcome: Outcome, *, source: bytes) -> bytes:
        """Say what was answered; remembered for answers that need no detail and that no shadow rule would refuse."""
        reason, detail = b"null", b"null"
        if outcome.reason is not None:
            reason = self._name(outcome.reason.value)
        if outcome.detail:
            detail = self._clean(outcome.detail, DETAIL_LENGTH_MAX)
        shadow = rules = b"[]"
        if outcome.shadow:
            shadow = orjson.dumps([finding.reason for finding in outcome.shadow])
            rules = orjson.dumps([finding.kind for finding in outcome.shadow])
        name = self._name(outcome.route_name)
        fields = _ANSWER % (name, outcome.status, reason, detail, source, shadow, rules)
        if not outcome.detail and not outcome.shadow:
            key = (outcome.route_name, outcome.status, source, id(outcome.reason))
            _put(self._answers, key, fields)
        return fields

    def _relay(self, result: Reply) -> bytes:
        fields = _RELAY % (self._name(result.upstream), self._name(result.target))
        _put(self._relays, (result.upstream, result.target), fields)
        return fields

    def _refusal(self, denial: Denial | None) -> bytes:
        """Say what a request that was answered here had to do with an upstream: mostly nothing."""
        if denial is None or not denial.upstream:
            return _NO_UPSTREAM
        fields = _RELAY % (self._name(denial.upstream), b"null")
        microseconds = int(denial.upstream_seconds * 1_000_000 + 0.5)
        return b"%b%d.%03d" % (fields, microseconds // 1000, microseconds % 1000)

    # ---- texts that clients send: redacted

    def _identity(self, request_id: bytes) -> bytes:
        """Our own ids are plain; one that a proxy gave may be anything."""
        if len(request_id) <= NAME_LENGTH_MAX and is_plain(request_id):
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
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        # Lone surrogates: some text came from bytes that are not UTF-8.
        return orjson.dumps(text.encode("utf-8", "backslashreplace").decode())
