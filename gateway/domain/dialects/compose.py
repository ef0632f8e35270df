"""Composes answers from a dialect's data, once, at load time.

Knows how a phrase is found, how an envelope is written as JSON with gaps, and which header fields a
status needs. Nothing here runs per request except `Recipe.answer`, which writes what many denials share only once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from json import dumps
from json.encoder import encode_basestring_ascii as quoted
from math import ceil
from typing import Final

from gateway.domain.challenge import challenge, with_scope
from gateway.domain.denial import VERDICTS, Denial, Reason
from gateway.domain.dialects.definition import (
    STATUS_TEXTS,
    Definition,
    Json,
    Member,
    Override,
    Phrase,
    Site,
    Slot,
)
from gateway.domain.dialects.fill import (
    AROUND_ID,
    NAMED,
    TIMED,
    WRITERS,
    Writer,
    is_plain,
    naming_text,
)
from gateway.domain.status import status_line

Field = tuple[bytes, bytes]
Piece = str | Writer
LastField = Callable[[Denial, int], Field]

_DRAFTS_MAX: Final = 64
"""Per recipe: what differs are scopes, methods and policies of the config, and seconds."""


class ErrorAnswer:
    """A refusal ready for the wire; immutable by convention, since constant ones are shared.

    `block` are the header lines, each ended by CR LF, without what every message gets from its writer: date, request
    id. `start` is what a message begins with: status line, `block` and `Content-Length`.
    """

    __slots__ = ("block", "body", "start", "status")

    def __init__(self, status: int, start: bytes, block: bytes, body: bytes) -> None:
        self.status = status
        self.start = start
        self.block = block
        self.body = body

    @property
    def fields(self) -> tuple[Field, ...]:
        """The lines of `block` as pairs."""
        pairs = (line.partition(b": ") for line in self.block.split(b"\r\n")[:-1])
        return tuple((name, value) for name, _, value in pairs)


class _Draft:
    """An answer to which only the request id is missing: it stands between the `parts` of the body."""

    __slots__ = ("_block", "_body_bytes", "_parts", "_start", "_status")

    def __init__(self, status: int, block: bytes, parts: tuple[bytes, ...]) -> None:
        self._status = status
        self._block = block
        self._parts = parts
        self._body_bytes = -1
        self._start = b""

    def complete(self, request_id: bytes) -> ErrorAnswer:
        body = request_id.join(self._parts)
        if len(body) != self._body_bytes:  # nearly all ids are of one length
            self._body_bytes = len(body)
            length = b"Content-Length: %d\r\n" % self._body_bytes
            self._start = status_line(self._status) + self._block + length
        return ErrorAnswer(self._status, self._start, self._block, body)


class Recipe:
    """The answer to one reason, ready but for what only the request knows.

    `pieces` are the JSON text and what writes into it; `last_field` the header field that depends on the denial;
    `wait_seconds` the least that `Retry-After` says, 0 when it is not sent. What was written for one denial is
    remembered for those that tell the same.
    """

    __slots__ = (
        *("_constant", "_draft", "_drafts", "_fields", "_is_timed"),
        *("_last_field", "_pieces", "_status", "_wait"),
    )

    def __init__(
        self,
        status: int,
        pieces: list[Piece],
        fields: tuple[Field, ...],
        last_field: LastField | None,
        wait_seconds: int,
    ) -> None:
        self._status = status
        self._pieces = tuple(pieces)
        self._fields = _lines(fields)
        self._last_field = last_field
        self._wait = wait_seconds
        writers = [piece for piece in pieces if not isinstance(piece, str)]
        self._is_timed = any(writer in TIMED for writer in writers)
        self._drafts: dict[tuple[object, ...], _Draft] = {}
        self._draft: _Draft | None = None
        self._constant: ErrorAnswer | None = None
        if last_field is None and all(writer in AROUND_ID for writer in writers):
            self._draft = self._write(Denial(reason=Reason.INTERNAL), 0.0, None)
            self._constant = None if writers else self._draft.complete(b"")

    def answer(self, denial: Denial, request_id: bytes, now: float) -> ErrorAnswer:
        """Return the answer; `now` is epoch seconds."""
        if self._constant is not None:
            return self._constant
        if not is_plain(request_id):
            text = request_id.decode("utf-8", "replace")
            return self._write(denial, now, text).complete(b"")
        draft = self._draft or self._remembered(denial, now)
        return draft.complete(request_id)

    def _remembered(self, denial: Denial, now: float) -> _Draft:
        """Return the draft that tells what `denial` tells: the key holds all that any writer reads."""
        told = (
            *(
                denial.required_scopes,
                denial.client_address,
                denial.allow,
                denial.violated_policies,
            ),
            *(denial.retry_after_seconds, denial.limit, denial.remaining, denial.reason),
            *((int(now), ceil(now)) if self._is_timed else ()),
        )
        draft = self._drafts.get(told)
        if draft is None:
            if len(self._drafts) >= _DRAFTS_MAX:
                self._drafts.clear()
            draft = self._drafts[told] = self._write(denial, now, None)
        return draft

    def _write(self, denial: Denial, now: float, request_id: str | None) -> _Draft:
        """Write all that is known; with None for the request id, leave gaps for a plain one."""
        wait = self._wait and (denial.retry_after_seconds or self._wait)
        parts = [""]
        for piece in self._pieces:
            if isinstance(piece, str):
                parts[-1] += piece
            elif request_id is None and piece in AROUND_ID:
                before, after = AROUND_ID[piece]
                parts[-1] += before
                parts.append(after)
            else:
                parts[-1] += piece(denial, request_id or "", now, wait)
        block = self._fields
        if self._last_field is not None:
            block += _lines((self._last_field(denial, wait),))
        return _Draft(self._status, block, tuple(part.encode("ascii") for part in parts))


def _lines(fields: tuple[Field, ...]) -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in fields])


def compose(
    definition: Definition,
    site: Site,
    reason: Reason,
    phrase: Phrase,
    *,
    has_extras: bool,
    names: bool,
) -> Recipe:
    """Return the recipe of `reason`.

    `phrase` is a resolved one, `has_extras` whether the members of `Definition.extras` stand,
    `names` whether the denial names what `NAMED` lets it.
    """
    named = NAMED.get(reason) if names else None
    status = phrase.status
    # RFC 9110 section 10.2.3: both tell when a retry may help; a 0 would make clients spin.
    wait = max(1, VERDICTS[reason].retry_after_seconds) if status in (429, 503) else 0
    known = _known(site, reason, phrase, named, is_waiting=wait > 0)
    if not has_extras:
        known = {slot: pieces for slot, pieces in known.items() if slot not in definition.extras}
    envelope = definition.envelopes.get(status, definition.envelope)
    pieces = _object(envelope, known, phrase.details)
    fields, last_field = _fields(definition, site, reason, phrase, named)
    return Recipe(status, pieces or ["{}"], fields, last_field, wait)


def resolve(definition: Definition, reason: Reason, override: Override | None) -> Phrase:
    """Return how `definition` speaks of `reason` with nothing left open.

    `ValueError` when the override has a status that is no error, or a gap that nothing fills.
    """
    phrase = definition.phrases.get(reason, Phrase())
    verdict = VERDICTS[reason]
    if override is not None:
        _check(override, reason, f"dialect {definition.name}, {reason.value}")
        phrase = _overridden(phrase, override)
    status = phrase.status or verdict.status
    return replace(
        phrase,
        status=status,
        code=phrase.code or definition.codes.get(status, reason.value),
        message=phrase.message or verdict.detail,
        title=phrase.title or verdict.title,
    )


def _check(override: Override, reason: Reason, where: str) -> None:
    if override.status and not 400 <= override.status <= 599:
        raise ValueError(f"{where}: status {override.status} is no error: use 400 to 599")
    if "{}" in override.message and reason not in NAMED:
        raise ValueError(
            f"{where}: nothing fills the {{}} of the message: this reason names nothing"
        )


def _overridden(phrase: Phrase, override: Override) -> Phrase:
    if override.message:
        is_naming = "{}" in override.message
        phrase = replace(
            phrase,
            message=phrase.message if is_naming else override.message,
            naming=override.message,
        )
    return replace(
        phrase,
        code=override.code or phrase.code,
        status=override.status or phrase.status,
        is_exact=False,  # what the operator worded is no longer what the vendor's text gives
    )


def _known(
    site: Site, reason: Reason, phrase: Phrase, named: Slot | None, *, is_waiting: bool
) -> dict[Slot, list[Piece]]:
    docs = site.docs_url.rstrip("/")
    page = f"{docs}/reasons/{reason.value}" if docs else f"urn:tollhouse:reason:{reason.value}"
    constants: dict[Slot, Json] = {
        Slot.CODE: phrase.code,
        Slot.STATUS: phrase.status,
        Slot.STATUS_TEXT: STATUS_TEXTS.get(phrase.status, phrase.title),
        Slot.TYPE: phrase.problem_type or page,
        Slot.TITLE: phrase.title,
        Slot.DOCS_URL: docs,
        Slot.SUPPORT_URL: site.support_url,
    }
    known: dict[Slot, list[Piece]] = {
        slot: [dumps(value)] for slot, value in constants.items() if value != ""
    }
    known[Slot.MESSAGE] = _message(phrase, named)
    present = {Slot.REQUEST_ID, Slot.INSTANCE, Slot.TIMESTAMP}
    present |= {Slot.LIMIT, Slot.REMAINING, Slot.RESET_AT}
    present |= {Slot.RETRY_AFTER} if is_waiting else set()
    present |= {named} if named else set()
    return known | {slot: [WRITERS[slot]] for slot in present}


def _message(phrase: Phrase, named: Slot | None) -> list[Piece]:
    if named is None or not phrase.naming:
        return [quoted(phrase.message)]
    before, gap, after = quoted(phrase.naming).partition("{}")
    return [before, naming_text(named), after] if gap else [before]


def _object(
    members: Mapping[str, Member], known: Mapping[Slot, list[Piece]], details: Mapping[str, Json]
) -> list[Piece]:
    pieces: list[Piece] = []
    for key, member in members.items():
        if isinstance(member, Slot):
            value = known.get(member, [])
        elif isinstance(member, Mapping):
            value = _object({**details, **member} if key == "details" else member, known, details)
        else:
            value = [dumps(member)]
        if value:
            pieces += ["," if pieces else "{", quoted(key) + ":", *value]
    return [*pieces, "}"] if pieces else []


def _fields(
    definition: Definition, site: Site, reason: Reason, phrase: Phrase, named: Slot | None
) -> tuple[tuple[Field, ...], LastField | None]:
    fields: tuple[Field, ...] = (
        (b"Content-Type", definition.content_type),
        (b"Cache-Control", b"no-store"),
    )
    if phrase.status == 405:  # RFC 9110 section 15.5.6: mandatory, even when it is empty
        return fields, lambda denial, _: (b"Allow", ", ".join(denial.allow).encode("ascii"))
    if phrase.status in (429, 503):
        return fields, lambda _, wait: (b"Retry-After", b"%d" % wait)
    base = challenge(reason, phrase.status, site.realm, phrase.message)
    if base is None:
        return fields, None
    if named is Slot.REQUIRED_SCOPES:
        return fields, lambda denial, _: (
            b"WWW-Authenticate",
            with_scope(base, denial.required_scopes),
        )
    return (*fields, (b"WWW-Authenticate", base)), None
