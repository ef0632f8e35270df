from __future__ import annotations

import pytest

from gateway.http1.fields import (
    Lines,
    MessageError,
    connection_options,
    is_chunked,
    is_token,
    keeps_alive,
    list_members,
    protocols,
    whole_number,
)


def test_lines_have_their_fields_in_order_and_by_name() -> None:
    found = Lines(b"\r\nA: 1\r\nB:\r\na:\t2\t \r\n\r\n")
    assert found.fields == [(b"a", b"A", b"1"), (b"b", b"B", b""), (b"a", b"a", b"2")]
    assert list(found.values(b"a")) == [b"1", b"2"]
    assert list(found.values(b"c")) == []


def test_a_head_may_have_no_field() -> None:
    assert Lines(b"\r\n\r\n").fields == []


@pytest.mark.parametrize(
    "block",
    [
        b"", b"\r\n", b"\r\nA: b\r\n", b"\r\nA: b", b"\r\n\r\nX: y\r\n",
        b"\r\n\r\nHTTP/1.1 204 \r\nX: y\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_not_one_whole_head_is_refused(block: bytes) -> None:
    with pytest.raises(MessageError, match=r"RFC 9112 section"):
        Lines(block)


@pytest.mark.parametrize("text", [b"a", b"!#$%&'*+-.^_`|~09AZaz"])
def test_tokens(text: bytes) -> None:
    assert is_token(text)


@pytest.mark.parametrize(
    "text", [b"", b" a", b"a b", b"a\n", b"a,b", b"a/b", b'"a"', b"\xe9", b"a\x00"]
)
def test_no_tokens(text: bytes) -> None:
    assert not is_token(text)


def test_list_members_are_lower_case_without_empty_ones() -> None:
    assert list_members([b" A ,,b\t", b"", b"C"]) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    "values", [[], [b""], [b"1", b"1"], [b"1,1"], [b"+1"], [b" 1"], [b"1\n"], [b"1" * 19]]
)
def test_what_is_not_one_whole_number_is_refused_by_name(values: list[bytes]) -> None:
    with pytest.raises(MessageError, match="content-length is repeated or is not"):
        whole_number(values, "content-length")


def test_whole_numbers() -> None:
    assert whole_number([b"012"], "content-length") == 12


def test_only_chunked_is_chunked() -> None:
    assert is_chunked([b"CHUNKED"])
    assert not any(
        map(is_chunked, ([], [b""], [b"chunked", b"chunked"], [b"x, chunked"], [b"chunked,"]))
    )


def test_connection_options_are_tokens() -> None:
    assert connection_options([b"Close, TE", b"x"]) == {b"close", b"te", b"x"}
    assert connection_options([]) == frozenset()
    with pytest.raises(MessageError, match="not a token"):
        connection_options([b"close", b"a b"])


def test_protocols_have_a_name_and_may_have_a_version() -> None:
    assert protocols([b"WebSocket", b"a/1, b"]) == [b"websocket", b"a/1", b"b"]
    for malformed in (b"a b", b"a/", b"/", b"a/b/c"):
        with pytest.raises(MessageError, match="malformed upgrade"):
            protocols([b"websocket", malformed])


@pytest.mark.parametrize(
    ("options", "is_http_10", "keeps"),
    [
        (set(), False, True), (set(), True, False), ({b"keep-alive"}, True, True), ({b"keep-alive"}, False, True),
        ({b"close"}, False, False), ({b"close", b"keep-alive"}, True, False), ({b"close", b"keep-alive"}, False, False),
    ],
)  # fmt: skip
def test_keeps_alive(options: set[bytes], is_http_10: bool, keeps: bool) -> None:
    assert keeps_alive(frozenset(options), is_http_10=is_http_10) is keeps
