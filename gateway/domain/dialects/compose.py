"""Composes answers from a dialect's data, once, at load time.

Knows how a phrase is found, how an envelope is written as JSON with gaps, and which header fields a
status needs. Nothing here runs per request except `Recipe.answer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from json import dumps
from json.encoder import encode_basestring_ascii as quoted

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
from gateway.domain.dialects.fill import NAMED, WRITERS, Writer, naming_text

Field = tuple[bytes, bytes]
Piece = str | Writer
LastField = Callable[[Denial, int], Field]


class ErrorAnswer:
    """A refusal ready for the wire; immutable by convention, since constant ones are shared.

    `fields` lacks what every message gets from its writer: length, date, request id. `block` is the
    same fields as lines, each ended by CR LF.
    """

    __slots__ = ("block", "body", "fields", "status")

    def __init__(self, status: int, body: bytes, fields: tuple[Field, ...], block: bytes) -> None:
        self.status = status
        self.body = body
        self.fields = fields
        self.block = block


class Recipe:
    """The answer to one reason, ready but for what only the request knows.

    `template` is the JSON text with `%s` for each of `writers`; `last_field` the header field that
    depends on the denial; `wait_seconds` the least that `Retry-After` says, 0 when it is not sent.
    """

    __slots__ = (
        "_block",
        "_constant",
        "_fields",
        "_last_field",
        "_status",
        "_template",
        "_wait",
        "_writers",
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
        self._template = "".join(
            piece.replace("%", "%%") if isinstance(piece, str) else "%s" for piece in pieces
        )
        self._writers = tuple(piece for piece in pieces if not isinstance(piece, str))
        self._fields = fields
        self._block = _lines(fields)
        self._last_field = last_field
        self._wait = wait_seconds
        is_constant = not self._writers and last_field is None
        body = (self._template % ()).encode("ascii") if is_constant else b""
        self._constant = ErrorAnswer(status, body, fields, self._block) if is_constant else None

    def answer(self, denial: Denial, request_id: str, now: float) -> ErrorAnswer:
        """Return the answer; `now` is epoch seconds."""
        if self._constant is not None:
            return self._constant
        wait = self._wait and (denial.retry_after_seconds or self._wait)
        values = [write(denial, request_id, now, wait) for write in self._writers]
        body = (self._template % tuple(values)).encode("ascii")
        if self._last_field is None:
            return ErrorAnswer(self._status, body, self._fields, self._block)
        last = self._last_field(denial, wait)
        return ErrorAnswer(self._status, body, (*self._fields, last), self._block + _lines((last,)))


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
