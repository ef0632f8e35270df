"""JH-12: nothing that looks like a credential survives redaction."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import redaction
from gateway.domain.redaction import (
    MASK,
    Redactor,
    is_plain,
    is_secret_name,
    without_random,
    without_secret,
)

FORMATS = (("sk", ("live", "test")), ("jh", ("dev", "live", "test")))
BASE62 = string.ascii_letters + string.digits
RANDOM = "Zx9" * 16 + "Q"
TOKEN = f"sk_live_{RANDOM}"

heads = st.sampled_from(["sk_live_", "sk_test_", "jh_dev_", "jh_live_", "jh_test_"])
tails = st.text(BASE62, min_size=redaction.TOKEN_RANDOM_MIN, max_size=60)
surroundings = st.text(max_size=30)


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(FORMATS)


def encoded(text: str, mask: list[bool]) -> str:
    """Percent-encode the characters of `text` that `mask` (cycled) chooses."""
    return "".join(
        f"%{ord(character):02X}" if mask[at % len(mask)] else character
        for at, character in enumerate(text)
    )


@given(before=surroundings, head=heads, tail=tails, after=surroundings)
def test_no_token_survives_whatever_surrounds_it(
    before: str, head: str, tail: str, after: str
) -> None:
    assert head + tail not in Redactor(FORMATS).redact(before + head + tail + after)


@given(
    before=st.text("ab/?&=%25 ;\n", max_size=12),
    head=heads,
    tail=tails,
    after=st.text("ab/?&=%25 ;\n", max_size=12),
    masks=st.lists(st.lists(st.booleans(), min_size=1, max_size=9), max_size=3),
)
def test_no_token_survives_percent_encoding_in_any_number_of_layers(
    before: str, head: str, tail: str, after: str, masks: list[list[bool]]
) -> None:
    hidden = head + tail
    for mask in masks:
        hidden = encoded(hidden, mask)
    clean = Redactor(FORMATS).redact(before + hidden + after)
    assert hidden not in clean
    # Nor may its end stay: neighbours are drawn from few characters, which a tail may consist of.
    end = tail[-redaction.TOKEN_RANDOM_MIN // 2 :]
    assert end not in clean or set(end) <= set("ab25")


@given(before=st.binary(max_size=20), tail=tails, after=st.binary(max_size=20))
def test_no_token_survives_among_bytes_of_any_encoding(
    before: bytes, tail: str, after: bytes
) -> None:
    raw = before + b"jh_live_" + tail.encode() + after
    assert tail.encode() not in Redactor(FORMATS).redact_bytes(raw)


@given(
    name=st.sampled_from(["token", "api_key", "Password", "sig", "X-Amz-Signature", "secret"]),
    value=st.text(min_size=6).map(lambda text: quote(text, safe="")).filter(lambda v: len(v) > 5),
    rest=st.sampled_from(["", "&page=2", " HTTP/1.1"]),
)
def test_no_value_of_a_secret_parameter_survives(name: str, value: str, rest: str) -> None:
    clean = Redactor(FORMATS).redact(f"/v1/interviews?limit=20&{name}={value}{rest}")
    assert clean == f"/v1/interviews?limit=20&{name}={MASK}{rest}"


@given(
    text=st.text(st.sampled_from(list("basicBEARER =+:%25&?keytoken[]{}\"'_sl/;\n")), max_size=60)
)
def test_what_is_redacted_stays_as_it_is(text: str) -> None:
    redactor = Redactor(FORMATS)
    once = redactor.redact(text)
    assert redactor.redact(redactor.redact(once)) == redactor.redact(once)


@given(raw=st.binary(max_size=60).filter(lambda raw: b"=" not in raw and b":" not in raw))
def test_bytes_without_a_credential_are_not_touched(raw: bytes) -> None:
    assert Redactor([]).redact_bytes(raw) == raw or b" " in raw or b"+" in raw


@pytest.mark.parametrize(
    "text",
    [
        "/v1/interviews/123/answers?limit=20&cursor=abcdef",
        "/v1/keys?sort=asc",
        "/v1/design?monkey=1&turnkey_id=7",
        "/search?q=a%20b%2Fc&lang=de",
        "100%",
        "%zz%4",
        "created sk_live_ab12…wxyz",
        "sk_live_short",
        'WWW-Authenticate: Bearer realm="tollhouse"',
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0",
        "GPTBot/1.1 (+https://bot.example:443/about; ops@bot.example)",
        "",
    ],
)
def test_ordinary_text_stays_as_it_is(redactor: Redactor, text: str) -> None:
    assert redactor.redact(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"/v1/{TOKEN}/x", f"/v1/sk_live_{MASK}/x"),
        (f"x{TOKEN}", f"xsk_live_{MASK}"),
        (f"/x?a=1&next={quote(TOKEN)}", f"/x?a=1&next=sk_live_{MASK}"),
        (f"/v1/sk%5Flive%5F{RANDOM}?b=c", MASK),
        (f"/v1/sk%5Flive%5F{RANDOM} HTTP/1.1", f"{MASK} HTTP/1.1"),
        ("/x?api%5Fkey=a%20b&c=d", f"/x?api%5Fkey={MASK}&c=d"),
        ("/x?next=%2Fa%3Fapi_key%3Dabc%2520d&c=d", f"/x?next={MASK}&c=d"),
        ("/x?next=/a?token=abc&c=d", f"/x?next=/a?token={MASK}&c=d"),
        ("/x?user[key]=1&b=2;key=9", f"/x?user[key]={MASK}&b=2;key={MASK}"),
        ("https://a.example/?sig=abc#part", f"https://a.example/?sig={MASK}"),
        ("Authorization: Token abc def\nnext", f"Authorization: {MASK}\nnext"),
        ("sent Bearer abc.def-ghi to", f"sent Bearer {MASK} to"),
        ("bearer BEARER abc", f"bearer BEARER {MASK}"),
        ("Basic dXNlcjpwYXNz", f"Basic {MASK}"),
        ("h=Bearer+abc", f"h=Bearer+{MASK}"),
        ("/x?h=Bearer%20abc", f"/x?h={MASK}"),
        ("postgres://gate:p@ss@db:5432/x down", f"postgres://gate:{MASK}@db:5432/x down"),
        ("redis://:pw@cache/0", f"redis://:{MASK}@cache/0"),
    ],
)
def test_credentials_are_masked_and_their_surroundings_stay(
    redactor: Redactor, text: str, clean: str
) -> None:
    assert redactor.redact(text) == clean


def test_text_behind_too_many_layers_of_encoding_is_masked_unread(redactor: Redactor) -> None:
    text = "a%" + "25" * redaction.DECODE_ROUNDS_MAX + "41"
    assert redactor.redact(f"/x?q={text}") == f"/x?q={MASK}"


def test_a_format_without_environments_and_no_format_at_all_redact_everything_else() -> None:
    for redactor in (Redactor([]), Redactor([("sk", ())])):
        assert redactor.redact(f"/x?token=a&k={TOKEN}") == f"/x?token={MASK}&k={TOKEN}"


@pytest.mark.parametrize(
    "name",
    [*sorted(redaction.SECRET_NAMES), *redaction.SECRET_ENDINGS, "X-Api-Key", "id_token", "APIKEY"],
)
def test_every_secret_name_is_masked(redactor: Redactor, name: str) -> None:
    assert is_secret_name(name)
    assert redactor.redact(f"?{name}=abc") == f"?{name}={MASK}"


@pytest.mark.parametrize("name", ["key_id", "keys", "page", "monkey", "design", "", "author"])
def test_other_names_are_not_secret(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    ["a%" * 4000, "token=a&" * 1000, "bearer " * 1200, "%25" * 2700, "a" * 8000 + "?token=1"],
)
def test_hostile_text_costs_little(redactor: Redactor, text: str) -> None:
    # Quadratic behaviour would take minutes here; the assertion is that this returns at all.
    assert redactor.redact(text * 4)


@given(
    text=st.text(
        st.sampled_from("_abBEARERbasicskjhlivetest019-./authorizationTOKENkey"), max_size=120
    )
)
def test_nothing_is_redacted_from_plain_text_whatever_the_formats(text: str) -> None:
    formats = (*FORMATS, ("a", ("b", "test")), ("sk", ("t",)))
    if is_plain(text.encode()):
        assert Redactor(formats).redact(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/v1/jobs/123.json", True),
        ("req_0123abcdef", True),
        ("", True),
        (TOKEN, False),
        ("/v1?token=x", False),
        ("Bearer x", False),
        ("Bearer:x", False),
        ("bearer+x", False),
        ("http://a:b@c", False),
        ("%41", False),
        ("ä", False),
    ],
)
def test_plain_is_only_what_lacks_every_mark_of_a_credential(text: str, *, expected: bool) -> None:
    assert is_plain(text.encode()) is expected


@pytest.mark.parametrize("text", ["{}", "/v1/{}", "x={}&y=1", "Authorization: {}", "a%20{}"])
def test_admin_tokens_are_removed_whatever_formats_keys_have(text: str) -> None:
    token = "tha_" + "a1B2" * 12 + "9"
    written = text.format(token)
    assert token not in Redactor([]).redact(written)
    assert not is_plain(written.encode())
    assert Redactor([]).redact("tha_ab12…wxyz") == "tha_ab12…wxyz"


def test_whatever_could_be_the_random_part_of_a_secret_is_removed_and_ids_stay() -> None:
    secret = "aB3" * 14 + "x"
    assert without_random(f"there is no key 'zz_{secret}123456'") == f"there is no key 'zz_{MASK}'"
    for text in (
        "",
        "key_" + "7sG2" * 8,
        "inc_" + "0" * 32,
        "a-name-of-some-length-with-signs-in-it",
    ):
        assert without_random(text) == text


def test_what_looks_like_a_secret_is_not_kept_and_hashes_and_ids_are() -> None:
    secret = "aB3" * 14 + "x"
    assert without_secret(f"leaked: zz_live_{secret}, sorry") == f"leaked: zz_live_{MASK}, sorry"
    for text in (
        "key_" + "7sG2" * 8,
        "reverts " + "0123abcd" * 5,
        "sha256_" + "0123abcd" * 8,
        "SOME_" + "ENVIRONMENT" * 4,
        "www.example.com/" + "aB3" * 20,
    ):
        assert without_secret(text) == text
