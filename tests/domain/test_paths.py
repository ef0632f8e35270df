from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.paths import NEVER, OPTIONAL, QUIRK_NAMES, Quirk, fold, read_path, readings

CLEAN = ["/", "/v1/jobs", "/v1/jobs/", "/v1/a.b/.well-known", "/v1/~me/@x/a:b,c=d+e!$&'()*"]

QUIRKY = [
    (b"/v1/Jobs", Quirk.FOLDABLE),
    (b"/v1//jobs", Quirk.EMPTY_SEGMENT),
    (b"//v1/jobs", Quirk.EMPTY_SEGMENT),
    (b"/v1/ /jobs", Quirk.MALFORMED),
    (b"/v1/%20/jobs", Quirk.EMPTY_SEGMENT),
    (b"/v1/./jobs", Quirk.DOT_SEGMENT),
    (b"/v1/../jobs", Quirk.DOT_SEGMENT),
    (b"/v1/..", Quirk.DOT_SEGMENT),
    (b"/v1/%2e%2E/jobs", Quirk.DOT_SEGMENT),
    (b"/v1/.%2e/jobs", Quirk.DOT_SEGMENT),
    (b"/v1/..;/jobs", Quirk.DOT_SEGMENT),
    (b"/v1/..%3bx/jobs", Quirk.DOT_SEGMENT),
    (b"/v1/..%20/jobs", Quirk.DOT_SEGMENT),
    (b"/v1/x%2f..%2fjobs", Quirk.DOT_SEGMENT),
    (b"/v1/%252e%252e/jobs", Quirk.DOT_SEGMENT),
    (b"/v1/..%3fx", Quirk.DOT_SEGMENT),
    (b"/v1/.../jobs", Quirk.DOT_SEGMENT),
    (b"/v1/a%2fb", Quirk.ENCODED_SLASH),
    (b"/v1/a%2Fb", Quirk.ENCODED_SLASH),
    (b"/v1/a%252fb", Quirk.ENCODED_SLASH | Quirk.DOUBLE_ENCODED),
    (b"/v1/a\\b", Quirk.BACKSLASH),
    (b"/v1/a%5cb", Quirk.BACKSLASH),
    (b"/v1/a%255cb", Quirk.BACKSLASH | Quirk.DOUBLE_ENCODED),
    (b"/v1/a;b", Quirk.PARAMETER),
    (b"/v1/a%3Bb", Quirk.PARAMETER),
    (b"/v1/;x/b", Quirk.PARAMETER | Quirk.EMPTY_SEGMENT),
    (b"/v1/a%00b", Quirk.CONTROL),
    (b"/v1/a\x00b", Quirk.CONTROL),
    (b"/v1/a%0ab", Quirk.CONTROL),
    (b"/v1/a%7f", Quirk.CONTROL),
    (b"/v1/a%c2%85", Quirk.CONTROL),
    (b"/v1/a%2541", Quirk.DOUBLE_ENCODED),
    (b"/v1/a%25%34%31", Quirk.DOUBLE_ENCODED),
    (b"/v1/a%252541", Quirk.BAD_ESCAPE),
    (b"/v1/a%", Quirk.BAD_ESCAPE),
    (b"/v1/a%4", Quirk.BAD_ESCAPE),
    (b"/v1/a%zz", Quirk.BAD_ESCAPE),
    (b"/v1/caf\xc3\xa9", Quirk.NON_ASCII),
    (b"/v1/%c0%af", Quirk.INVALID_UTF8),
    (b"/v1/%e0%80%af", Quirk.INVALID_UTF8),
    (b"/v1/%ff", Quirk.INVALID_UTF8),
    (b"/v1/%25c0%25af", Quirk.INVALID_UTF8),
    (b"/v1/%ed%a0%80", Quirk.INVALID_UTF8),
    (b"/v1/jobs.", Quirk.TRAILING_DOT),
    (b"/v1/jobs./x", Quirk.TRAILING_DOT),
    (b"/v1/jobs%20", Quirk.TRAILING_DOT),
    (b"/v1/jobs.;x", Quirk.TRAILING_DOT | Quirk.PARAMETER),
    (b"/v1/jobs%c2%a0", Quirk.TRAILING_DOT),
    (b"/v1/a%ef%bc%8fb", Quirk.LOOKALIKE),  # fullwidth solidus
    (b"/v1/a%ef%bc%bcb", Quirk.LOOKALIKE),  # fullwidth reverse solidus
    (b"/v1/%ef%bc%8e%ef%bc%8e/b", Quirk.LOOKALIKE),  # fullwidth full stops
    (b"/v1/a%cd%beb", Quirk.LOOKALIKE),  # Greek question mark
    (b"/v1/a%e2%81%84b", Quirk.LOOKALIKE),  # fraction slash
    (b"/v1/a%e2%88%95b", Quirk.LOOKALIKE),  # division slash
    (b"/v1/a%e2%84%80b", Quirk.LOOKALIKE),  # account of: normalises to a/c
    (b"/v1/%e2%84%aa", Quirk.FOLDABLE),  # Kelvin sign: folds to k
    (b"/v1/adm%c4%b1n", Quirk.FOLDABLE),  # dotless i: its upper case is I
    (b"/v1/%ef%bd%81dmin", Quirk.FOLDABLE),  # fullwidth a: normalises to a
    (b"/v1/%c2%aadmin", Quirk.FOLDABLE),  # feminine ordinal indicator: the same
    (b"/v1/%25c2%25aadmin", Quirk.FOLDABLE | Quirk.DOUBLE_ENCODED),
    (b"/v1/cafe%cc%81", Quirk.FOLDABLE),  # e and an accent: normalises to one character
    (b"/v1/%6aobs", Quirk.NEEDLESS_ESCAPE),
    (b"/v1/a%40b", Quirk.NEEDLESS_ESCAPE),
    (b"/v1/jobs%3fx", Quirk.ENCODED_DELIMITER),
    (b"/v1/jobs%23x", Quirk.ENCODED_DELIMITER),
    (b"/v1/jobs#x", Quirk.MALFORMED),
    (b"*", Quirk.MALFORMED),
    (b"", Quirk.MALFORMED),
    (b"v1/jobs", Quirk.MALFORMED),
]


@pytest.mark.parametrize("path", CLEAN)
def test_ordinary_path_has_no_quirks(path: str) -> None:
    assert read_path(path.encode()) == (path, 0)


@pytest.mark.parametrize(("raw", "quirk"), QUIRKY)
def test_every_path_trick_is_named(raw: bytes, quirk: Quirk) -> None:
    assert read_path(raw).quirks & quirk == quirk


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/v1/caf%C3%A9", "/v1/café"),
        (b"/v1/%6aobs", "/v1/jobs"),
        (b"/v1/a%2fb", "/v1/a%2Fb"),
        (b"/v1/100%25", "/v1/100%25"),
        (b"/v1/a%252fb", "/v1/a%252fb"),
        (b"/v1/a|b", "/v1/a|b"),
        (b"/v1/my%20file", "/v1/my file"),
    ],
)
def test_text_is_decoded_once_except_slash_and_percent(raw: bytes, text: str) -> None:
    assert read_path(raw).path == text


def test_text_of_a_refused_path_is_still_readable_for_the_log() -> None:
    assert read_path(b"/caf\xc3\xa9").path == "/cafÃ©"
    assert read_path(b"/%c0%af").path == "/%c0%af"


def test_unusual_but_harmless_characters_are_no_quirk() -> None:
    assert read_path(b'/v1/a|b"c<d>[e]{f}^`').quirks == 0
    assert read_path(b"/v1/%E6%97%A5%E6%9C%AC").quirks == 0


def test_classes_of_quirks_do_not_overlap() -> None:
    assert NEVER & OPTIONAL == 0
    assert sum(QUIRK_NAMES.values()) == OPTIONAL


@given(st.binary(max_size=40))
def test_any_bytes_are_read_without_error(tail: bytes) -> None:
    reading = read_path(b"/" + tail)
    assert isinstance(reading.path, str)


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_segments_keep_their_places_and_meaning(segments: list[str]) -> None:
    try:
        raw = "/" + "/".join(quote(segment, safe="") for segment in segments)
    except UnicodeEncodeError:
        return
    path, quirks = read_path(raw.encode())
    if not quirks & NEVER:
        assert [unquote(segment) for segment in path.split("/")[1:]] == segments


@given(st.text("aA/%25eEfF.; ?#\\~é", max_size=12))
def test_only_clean_bytes_have_no_quirks(tail: str) -> None:
    raw = ("/" + tail).encode()
    if read_path(raw).quirks == 0:
        once = unquote(raw.decode())
        assert once == once.lower()
        assert "//" not in once
        assert not set(once) & set("\\;?#")
        assert unquote(once).count("/") == raw.count(b"/")
        assert not any(segment.endswith((".", " ")) for segment in once.split("/"))


def test_fold_agrees_with_servers_that_compare_in_either_case() -> None:
    assert fold("/V1/Jobs") == "/v1/jobs"
    assert fold("adm\u0131n") == fold("ADMIN")
    assert fold("\u212a") == "k"
    assert fold("\u017f") == "s"
    assert fold("ß") == fold("SS")


def every_reading(raw: bytes) -> dict[str, bool]:
    path, quirks = read_path(raw)
    return readings(path, raw, quirks)


def test_clean_path_has_one_reading() -> None:
    assert every_reading(b"/v1/jobs") == {"/v1/jobs": False}
    assert every_reading(b"/v1/Jobs") == {"/v1/Jobs": False}


@pytest.mark.parametrize(
    ("raw", "texts"),
    [
        (b"/a%2fb", {"/a%2Fb": False, "/a/b": True}),
        (b"/a//b", {"/a//b": False, "/a/b": True}),
        (b"/a;x/b", {"/a;x/b": False, "/a/b": True}),
        (b"/a./b", {"/a./b": False, "/a/b": True}),
        (b"/a%2562", {"/a%2562": False, "/ab": True}),
        (b"/a%3fb", {"/a?b": False, "/a": False}),
        (b"/a%23b", {"/a#b": False, "/a": False}),
        (b"/%61/b", {"/a/b": False, "/%2561/b": False}),
        (
            b"/a%252fb",
            {"/a%252fb": False, "/a%2Fb": True, "/a/b": True},
        ),
        (
            b"/a;x//b",
            {"/a;x//b": False, "/a//b": True, "/a;x/b": True, "/a/b": True},
        ),
    ],
)
def test_every_way_to_read_a_path_is_listed(raw: bytes, texts: dict[str, bool]) -> None:
    assert every_reading(raw) == texts


def test_number_of_readings_is_bounded() -> None:
    raw = b"/%61%2fb%252fc;d./e//f%3fg%23h%20/" * 50
    assert len(every_reading(raw)) <= 128


def test_hostile_dots_cost_linear_time() -> None:
    raw = b"/" + b"." * 20_000 + b"a" + b";" * 20_000 + b"%20" * 5_000 + b"x./"
    path, quirks = read_path(raw)
    assert readings(path, raw, quirks)
