from __future__ import annotations

import gc

import pytest

from gateway.domain.denial import Denial, Reason
from gateway.domain.paths import Quirk
from gateway.domain.request import CHUNKED, RequestHead
from gateway.http1.request_head import HeadLimits, RequestHeadReader
from tests.http1.heads import accepted, read, refused, request

# ---- request line


@pytest.mark.parametrize(
    "line",
    [
        b"GET / ", b"GET /", b"GET", b"", b" GET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1", b"GET / HTTP/1.1 x", b"GET /a b HTTP/1.1", b"G@T / HTTP/1.1", b"G:T / HTTP/1.1",
        b"G\xc3T / HTTP/1.1", b"GET / http/1.1", b"GET / HTTP/1.", b"GET / HTTP/1.10", b"GET / HTTP/01.1",
        b"GET / HTTP/1,1", b"GET / HTTP /1.1", b"GET / ICY/1.1", b"GET / HTTP/1.1\x00", b"\x00GET / HTTP/1.1",
        b"GET /\n HTTP/1.1", b"GET / HTTP/1.1\r", b"GET /a\rb HTTP/1.1",
    ],
)  # fmt: skip
def test_a_request_line_that_is_not_three_words_is_refused(line: bytes) -> None:
    assert refused(line=line) is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/3.0", b"HTTP/9.9"]
)
def test_other_versions_are_not_supported(version: bytes) -> None:
    assert refused(line=b"GET / " + version) is Reason.VERSION_NOT_SUPPORTED


def test_the_preface_of_http_2_is_not_supported() -> None:
    assert refused(line=b"PRI * HTTP/2.0", host=None) is Reason.VERSION_NOT_SUPPORTED


@pytest.mark.parametrize(
    "method", ["GET", "get", "PROPFIND", "M-SEARCH", "X!#$%&'*+-.^_`|~0", "m" * 32]
)
def test_methods_are_an_open_set(method: str) -> None:
    assert accepted(line=method.encode() + b" / HTTP/1.1").method == method


def test_a_method_longer_than_any_is_not_implemented() -> None:
    assert refused(line=b"m" * 33 + b" / HTTP/1.1") is Reason.NOT_IMPLEMENTED


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE", b"Connect", b"trace"])
def test_connect_and_trace_are_refused_in_any_case(method: bytes) -> None:
    assert refused(line=method + b" a.test:443 HTTP/1.1") is Reason.METHOD_NOT_ALLOWED
    assert refused(line=method + b" / HTTP/1.1") is Reason.METHOD_NOT_ALLOWED
    denial = read(request(line=method + b" / HTTP/1.1"))
    assert isinstance(denial, Denial)
    assert {"GET", "POST", "OPTIONS"} <= set(denial.allow)
    assert method.decode().upper() not in denial.allow


# ---- target


def test_an_origin_form_target_is_kept_as_it_came() -> None:
    head = accepted(line=b"GET /V1/a%20b?q=%2F;x=[1]|{} HTTP/1.1")
    assert head.target == b"/V1/a%20b?q=%2F;x=[1]|{}"
    assert head.path == "/V1/a b"
    assert head.query == b"q=%2F;x=[1]|{}"


def test_an_empty_query_keeps_its_mark_in_the_target() -> None:
    head = accepted(line=b"GET /a? HTTP/1.1")
    assert (head.target, head.query) == (b"/a?", b"")


def test_a_second_question_mark_belongs_to_the_query() -> None:
    assert accepted(line=b"GET /a?b?c HTTP/1.1").query == b"b?c"


@pytest.mark.parametrize(
    ("target", "path", "quirks"),
    [
        (b"/a/../b", "/a/../b", Quirk.DOT_SEGMENT), (b"/a%2fb", "/a%2Fb", Quirk.ENCODED_SLASH),
        (b"//a", "//a", Quirk.EMPTY_SEGMENT), (b"/a\\b", "/a\\b", Quirk.BACKSLASH),
        (b"/a%00", "/a\x00", Quirk.CONTROL), (b"*", "*", Quirk.MALFORMED),
    ],
)  # fmt: skip
def test_a_suspicious_path_is_named_not_repaired(target: bytes, path: str, quirks: Quirk) -> None:
    head = accepted(line=b"OPTIONS " + target + b" HTTP/1.1")
    assert head.target == target
    assert (head.path, head.quirks & quirks) == (path, quirks)


@pytest.mark.parametrize(
    "target",
    [
        b"/a#b", b"#", b"http://a/#b", b"/\xc3\xa9", b"/a?\xff", b"/\x7f", b"/\x01", b"a", b"a/b", b"?a", b"a.test:80",
        b"*", b"**", b"ftp://a/", b"file:///a", b"http:/a", b"http:a", b"ws://a/", b"http//a", b"://a/",
    ],
)  # fmt: skip
def test_other_forms_fragments_and_bytes_beyond_ascii_are_refused(target: bytes) -> None:
    assert refused(line=b"GET " + target + b" HTTP/1.1") is Reason.INVALID_REQUEST


def test_the_asterisk_is_for_options_alone() -> None:
    assert accepted(line=b"OPTIONS * HTTP/1.1").target == b"*"
    assert refused(line=b"options * HTTP/1.1") is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    ("absolute", "authority", "host", "target"),
    [
        (b"http://Api.test:8080/a?b", b"Api.test:8080", "api.test", b"/a?b"),
        (b"HTTP://b", b"b", "b", b"/"),
        (b"https://b?c", b"b", "b", b"/?c"),
        (b"http://b/http://c/", b"b", "b", b"/http://c/"),
        (b"http://[2001:DB8::1]:80/", b"[2001:DB8::1]:80", "[2001:db8::1]", b"/"),
        (b"http://b//c", b"b", "b", b"//c"),
    ],
)
def test_an_absolute_target_overrides_host(
    absolute: bytes, authority: bytes, host: str, target: bytes
) -> None:
    head = accepted(line=b"GET " + absolute + b" HTTP/1.1", host=b"evil.test")
    assert (head.authority, head.host, head.target) == (authority, host, target)


def test_an_absolute_target_of_http_1_0_needs_no_host() -> None:
    assert accepted(line=b"GET http://b/c HTTP/1.0", host=None).authority == b"b"


def test_an_absolute_target_without_path_means_the_server_to_options() -> None:
    assert accepted(line=b"OPTIONS http://b HTTP/1.1").target == b"*"
    assert accepted(line=b"OPTIONS http://b/ HTTP/1.1").target == b"/"
    assert accepted(line=b"OPTIONS http://b?c HTTP/1.1").target == b"/?c"


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize(
    "target",
    [b"http:///a", b"http://", b"http://u@b/", b"http://u:p@b/", b"http://b:1x/", b"http://b\\c/"],
)
def test_an_absolute_target_without_a_plain_authority_is_refused(
    target: bytes, version: bytes
) -> None:
    assert refused(line=b"GET " + target + b" " + version) is Reason.INVALID_REQUEST


def test_a_malformed_host_is_refused_beside_an_absolute_target() -> None:
    assert refused(line=b"GET http://b/ HTTP/1.1", host=b"u@c") is Reason.INVALID_REQUEST


def test_host_is_required_beside_an_absolute_target() -> None:
    assert refused(line=b"GET http://b/ HTTP/1.1", host=None) is Reason.INVALID_REQUEST


# ---- host


def test_host_is_required_once_since_http_1_1() -> None:
    assert refused(host=None) is Reason.INVALID_REQUEST
    assert refused(b"Host: a.test") is Reason.INVALID_REQUEST
    assert refused(b"HOST: b.test", line=b"GET / HTTP/1.0") is Reason.INVALID_REQUEST


@pytest.mark.parametrize("host", [None, b""])
def test_http_1_0_may_have_no_host(host: bytes | None) -> None:
    head = accepted(line=b"GET / HTTP/1.0", host=host)
    assert (head.host, head.authority) == ("", b"")


@pytest.mark.parametrize(
    ("value", "host"),
    [
        (b"A.Test", "a.test"), (b"a.test:", "a.test"), (b"a.test:8080", "a.test"), (b"a.test.", "a.test"),
        (b"a.test.:1", "a.test"), (b"a_b-c.1", "a_b-c.1"), (b"192.0.2.1:65535", "192.0.2.1"), (b"a:0", "a"),
        (b"[::1]", "[::1]"), (b"[::1]:", "[::1]"),
        (b"[2001:DB8::1]:80", "[2001:db8::1]"), (b"[::1:192.0.2.1]", "[::1:c000:201]"),
        (b"[2001:DB8:0::1]", "[2001:db8::1]"), (b"[2001:0db8:0:0:0:0:0:0001]:1", "[2001:db8::1]"),
        (b"a" * 255, "a" * 255),
    ],
)  # fmt: skip
def test_neither_case_nor_port_nor_a_final_dot_makes_another_host(value: bytes, host: str) -> None:
    head = accepted(host=value)
    assert (head.host, head.authority) == (host, value.replace(b"a.test.", b"a.test"))
    absolute = accepted(line=b"GET http://%b/a HTTP/1.1" % value, host=b"b")
    assert (absolute.host, absolute.authority) == (host, head.authority)


@pytest.mark.parametrize(
    "value",
    [
        b"", b".", b"..", b"a..b", b".a", b"a..", b"a b", b"u@a", b"a/b", b"a?b", b"a\\b", b"a:b", b"a:65536", b"a:-1",
        b"a:+1", b"a:123456", b"a:1:2", b":80", b"::1", b"[::1", b"::1]", b"[]", b"[:]", b"[1.2.3.4]", b"[::g]",
        b"[::1%25eth0]", b"[v1.a]", b"[::1]80", b"a,b", b"a%2eb", b"\xc3\xa9", b"xn--\xe9", b"a'b",
        b"http://a", b"a" * 256, b"a.test\x00", b"[1:2:3:4:5:6:7:8:9]",
    ],
)  # fmt: skip
def test_a_host_that_names_no_host_is_refused(value: bytes) -> None:
    if value == b"[::1]:":
        assert (
            accepted(host=value).host == "[::1]"
        )  # an empty port is a port (RFC 3986 section 3.2.3)
        return
    assert refused(host=value) is Reason.INVALID_REQUEST


# ---- fields


@pytest.mark.parametrize(
    "line",
    [
        b"A : b", b"A\t: b", b" A: b", b"\tA: b", b": b", b":", b"A", b"A b: c", b"A\x00: b", b"A(: b", b'"A": b',
        b"A\xc3: b", b"A/B: c", b"A@B: c", b"A: b\x00c", b"A: b\x01", b"A: b\x0bc", b"A: b\x7f", b"A: b\rc", b"A: b\nc",
        b"A: b\n", b"A: b\r", b"A: b\r\n c", b"A: b\r\n\tc", b"A: b\r\n ", b"A:\r\n b", b"A: b\nC: d", b"A: b\rC: d",
        b"A: b\r\n\nC: d", b"A: b\r\n\rC: d", b"\nA: b", b"\rA: b", b"\x00",
    ],
)  # fmt: skip
def test_what_is_no_field_line_is_refused(line: bytes) -> None:
    assert refused(line) is Reason.INVALID_REQUEST
    assert refused(line, b"Z: z") is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\n Host: b", b"GET / HTTP/1.1\r\n\tX: b", b"GET / HTTP/1.1\nX: b"]
)
def test_nothing_stands_between_request_line_and_fields(line: bytes) -> None:
    assert refused(line=line) is Reason.INVALID_REQUEST


def test_fields_keep_order_spelling_multiplicity_and_opaque_bytes() -> None:
    head = accepted(b"X-A: 1", b"x-a:\t2 \t", b"B:", b"X-A:  caf\xc3\xa9 \xff")
    assert head.fields[1:] == (
        (b"x-a", b"X-A", b"1"),
        (b"x-a", b"x-a", b"2"),
        (b"b", b"B", b""),
        (b"x-a", b"X-A", b"caf\xc3\xa9 \xff"),
    )
    assert head.values(b"x-a") == [b"1", b"2", b"caf\xc3\xa9 \xff"]


def test_every_token_character_may_stand_in_a_name() -> None:
    assert accepted(b"!#$%&'*+-.^_`|~09azAZ: b").fields[-1][1] == b"!#$%&'*+-.^_`|~09azAZ"


def test_repeated_credentials_are_reported_not_merged() -> None:
    head = accepted(b"Authorization: Bearer a", b"authorization: Bearer b")
    assert head.authorization == (b"Bearer a", b"Bearer b")


@pytest.mark.parametrize("name", [b"Content-Type", b"Expect"])
def test_a_field_that_can_have_only_one_value_is_refused_twice(name: bytes) -> None:
    field = name + b": 100-continue"
    assert refused(field, field) is Reason.INVALID_REQUEST


def test_a_request_of_two_heads_is_refused() -> None:
    assert isinstance(read(request() + request(b"Evil: 1")), Denial)


def test_a_head_that_is_cut_off_is_refused() -> None:
    assert isinstance(read(b"GET / HTTP/1.1\r\nHost: a\r\n"), Denial)


# ---- limits and memory


def test_limits_have_their_own_reasons() -> None:
    raw = request(b"A: b", b"C: d", line=b"GET /long HTTP/1.1")
    for limits, reason in (
        ({"target_bytes_max": 4}, Reason.URI_TOO_LONG),
        ({"head_fields_max": 2}, Reason.HEADERS_TOO_LARGE),
    ):
        denial = read(raw, **limits)
        assert isinstance(denial, Denial)
        assert denial.reason is reason
    assert isinstance(read(raw, target_bytes_max=5, head_fields_max=3), RequestHead)


def test_a_head_that_comes_again_is_not_read_again() -> None:
    reader = RequestHeadReader(HeadLimits())
    assert reader.read(request()) is reader.read(request())
    assert reader.read(request(b"A: b")) is not reader.read(request())


def test_the_memory_is_bounded_in_heads_and_in_bytes() -> None:
    reader = RequestHeadReader(HeadLimits(), remembered_max=2)
    first = reader.read(request(b"A: 1"))
    for number in (b"2", b"3"):
        reader.read(request(b"A: " + number))
    assert reader.read(request(b"A: 1")) is not first
    long = request(b"A: " + b"a" * 2048)
    assert reader.read(long) is not reader.read(long)


def test_refusals_are_not_remembered() -> None:
    reader = RequestHeadReader(HeadLimits())
    assert reader.read(request(host=None)) is not reader.read(request(host=None))
    assert reader.read(request(b"Transfer-Encoding: gzip, chunked")) == Denial(
        reason=Reason.NOT_IMPLEMENTED, internal="transfer coding other than chunked"
    )


def test_a_body_is_chunked_or_has_a_length() -> None:
    assert accepted(b"Transfer-Encoding: chunked").body_length == CHUNKED
    assert accepted(b"Content-Length: 5").body_length == 5
    assert accepted().body_length == 0


def test_heads_that_are_forgotten_are_freed_at_once_though_they_know_their_match() -> None:
    """A match knows its head: without a break in that cycle, heads would pile up until a full garbage collection."""
    reader = RequestHeadReader(HeadLimits(), remembered_max=4)
    gc.collect()
    gc.disable()
    try:
        before = heads_in_memory()
        for number in range(50):
            head = reader.read(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            assert isinstance(head, RequestHead)
            head.memo_match = (None, [head])
        del head
        assert heads_in_memory() - before <= 4
        reader.forget()
        assert heads_in_memory() == before
    finally:
        gc.enable()


def heads_in_memory() -> int:
    return sum(type(each) is RequestHead for each in gc.get_objects())
