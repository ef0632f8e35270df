from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.domain.denial import VERDICTS, Denial, Reason
from gateway.domain.dialects.compose import compose, resolve
from gateway.domain.dialects.definition import Definition, Override, Phrase, Site, Slot

_PLAIN = Definition(
    name="plain",
    content_type=b"application/json",
    envelope={
        "ok": False,
        "none": None,
        "number": 1,
        "zero": 0,
        "code": Slot.CODE,
        "status": Slot.STATUS,
        "text": Slot.MESSAGE,
        "scopes": Slot.REQUIRED_SCOPES,
        "details": {"wait": Slot.RETRY_AFTER},
        "docs": Slot.DOCS_URL,
        "id": Slot.REQUEST_ID,
    },
    phrases={
        Reason.NO_ROUTE: Phrase(
            code="gone", message="100 % gone", status=410, details={"kind": 1, "é": "%s"}
        ),
        Reason.INSUFFICIENT_SCOPE: Phrase(naming="needs {}"),
    },
    codes={503: "busy"},
    extras=frozenset({Slot.REQUEST_ID}),
)


def _body(
    denial: Denial,
    *,
    definition: Definition = _PLAIN,
    override: Override | None = None,
    site: Site | None = None,
    has_extras: bool = True,
    names: bool = False,
) -> dict[str, Any]:
    phrase = resolve(definition, denial.reason, override)
    recipe = compose(
        definition, site or Site(), denial.reason, phrase, has_extras=has_extras, names=names
    )
    body: dict[str, Any] = json.loads(recipe.answer(denial, b"req_1", 0.0).body)
    return body


def test_a_phrase_lends_what_it_has_and_the_verdict_the_rest() -> None:
    assert _body(Denial(reason=Reason.INTERNAL)) == {
        "ok": False,
        "none": None,
        "number": 1,
        "zero": 0,
        "code": "internal",
        "status": 500,
        "text": VERDICTS[Reason.INTERNAL].detail,
        "id": "req_1",
    }


def test_a_reason_without_words_of_its_own_takes_the_code_of_its_status() -> None:
    assert _body(Denial(reason=Reason.CIRCUIT_OPEN))["code"] == "busy"


def test_details_of_a_phrase_stand_in_the_details_and_percent_signs_stay() -> None:
    body = _body(Denial(reason=Reason.NO_ROUTE))
    assert (body["code"], body["text"], body["status"]) == ("gone", "100 % gone", 410)
    assert body["details"] == {"kind": 1, "é": "%s"}


def test_keys_are_written_in_the_order_of_the_envelope() -> None:
    keys = list(_body(Denial(reason=Reason.CIRCUIT_OPEN), site=Site(docs_url="https://d/")))
    wanted = ["ok", "none", "number", "zero", "code", "status", "text", "details", "docs", "id"]
    assert keys == wanted


def test_an_object_with_nothing_to_say_is_left_out_and_a_whole_body_never() -> None:
    assert "details" not in _body(Denial(reason=Reason.INTERNAL))
    empty = Definition(
        name="empty", content_type=b"application/json", envelope={"d": Slot.DOCS_URL}, phrases={}
    )
    assert _body(Denial(reason=Reason.INTERNAL), definition=empty) == {}


def test_extras_are_left_out_where_they_are_not_wanted() -> None:
    assert "id" not in _body(Denial(reason=Reason.INTERNAL), has_extras=False)


def test_a_denial_is_named_in_text_and_member_only_when_it_may() -> None:
    denial = Denial(reason=Reason.INSUFFICIENT_SCOPE, required_scopes=("a:b", "c"))
    named = _body(denial, names=True)
    assert (named["text"], named["scopes"]) == ("needs a:b, c", ["a:b", "c"])
    bare = _body(denial, names=False)
    assert bare["text"] == VERDICTS[Reason.INSUFFICIENT_SCOPE].detail
    assert "scopes" not in bare


def test_a_reason_that_may_not_name_scopes_tells_none() -> None:
    denial = Denial(reason=Reason.UNKNOWN_KEY, required_scopes=("a:b",), client_address="192.0.2.1")
    body = _body(denial, names=True)
    assert "scopes" not in body
    assert "192.0.2.1" not in str(body)


def test_an_override_replaces_what_it_gives_and_keeps_the_rest() -> None:
    override = Override(code="X", message="Bye", status=418)
    body = _body(Denial(reason=Reason.NO_ROUTE), override=override)
    assert (body["code"], body["text"], body["status"]) == ("X", "Bye", 418)
    kept = _body(Denial(reason=Reason.NO_ROUTE), override=Override())
    assert (kept["code"], kept["text"], kept["status"]) == ("gone", "100 % gone", 410)


def test_an_override_may_word_what_the_denial_names() -> None:
    denial = Denial(reason=Reason.INSUFFICIENT_SCOPE, required_scopes=("a:b",))
    naming = Override(message="lacks {}!")
    assert _body(denial, override=naming, names=True)["text"] == "lacks a:b!"
    bare = _body(denial, override=naming)["text"]
    assert bare == VERDICTS[Reason.INSUFFICIENT_SCOPE].detail
    assert _body(denial, override=Override(message="No."), names=True)["text"] == "No."


def test_an_override_to_a_success_is_refused() -> None:
    for status in (200, 399, 600):
        with pytest.raises(ValueError, match="dialect plain, key_expired: status"):
            resolve(_PLAIN, Reason.KEY_EXPIRED, Override(status=status))


def test_an_override_with_a_gap_that_nothing_fills_is_refused() -> None:
    with pytest.raises(ValueError, match="dialect plain, no_route: nothing fills"):
        resolve(_PLAIN, Reason.NO_ROUTE, Override(message="{} is gone"))


def test_an_override_ends_the_promise_of_the_vendors_bytes() -> None:
    exact = Definition(
        name="exact",
        content_type=b"application/json",
        envelope={},
        phrases={Reason.INTERNAL: Phrase(is_exact=True)},
    )
    assert resolve(exact, Reason.INTERNAL, None).is_exact
    assert not resolve(exact, Reason.INTERNAL, Override(code="X")).is_exact


def test_an_answer_that_never_differs_is_made_once() -> None:
    phrase = resolve(_PLAIN, Reason.INTERNAL, None)
    recipe = compose(_PLAIN, Site(), Reason.INTERNAL, phrase, has_extras=False, names=False)
    denial = Denial(reason=Reason.INTERNAL)
    assert recipe.answer(denial, b"req_1", 1.0) is recipe.answer(denial, b"req_2", 2.0)


@pytest.mark.parametrize(
    ("reason", "name", "value"),
    [
        (Reason.INSUFFICIENT_SCOPE, b"WWW-Authenticate", b'scope="a:b"'),
        (Reason.IP_NOT_ALLOWED, b"WWW-Authenticate", b'Bearer realm="tollhouse"'),
        (Reason.METHOD_NOT_ALLOWED, b"Allow", b"GET, HEAD"),
        (Reason.RATE_LIMITED, b"Retry-After", b"9"),
        (Reason.SHUTTING_DOWN, b"Retry-After", b"9"),
    ],
)
def test_a_status_with_a_duty_brings_its_field_last(
    reason: Reason, name: bytes, value: bytes
) -> None:
    denial = Denial(
        reason=reason, required_scopes=("a:b",), allow=("GET", "HEAD"), retry_after_seconds=9
    )
    phrase = resolve(_PLAIN, reason, None)
    recipe = compose(_PLAIN, Site(), reason, phrase, has_extras=True, names=True)
    fields = recipe.answer(denial, b"req_1", 0.0).fields
    assert fields[:2] == (
        (b"Content-Type", b"application/json"),
        (b"Cache-Control", b"no-store"),
    )
    assert len(fields) == 3
    assert fields[2][0] == name
    assert fields[2][1].endswith(value)
