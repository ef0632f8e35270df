from __future__ import annotations

import re
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.domain.match import Kind
from gateway.domain.paths import NEVER, OPTIONAL, Quirk, read_path
from gateway.domain.request import RequestHead
from gateway.domain.rewrite import Rewriter, compile_rewriter, forward_target
from gateway.domain.routes import Match, Route, RouteTable, compile_route

EVERY_QUIRK = Quirk(OPTIONAL)


def forward(
    raw: bytes, pattern: str, *, kind: Kind = "path", strip_prefix: str = "", rewrite: str = ""
) -> bytes:
    route = Route(
        name="r",
        pattern=pattern,
        kind=kind,
        strip_prefix=strip_prefix,
        rewrite=rewrite,
        allowed_quirks=EVERY_QUIRK,
    )
    path, quirks = read_path(raw.partition(b"?")[0])
    head = RequestHead(method="GET", target=raw, path=path, quirks=quirks)
    match = RouteTable([route]).match(head)
    assert isinstance(match, Match), match
    return forward_target(match)


def test_untouched_target_is_forwarded_byte_for_byte() -> None:
    raw = b"/v1/%7Ea%2fb//c;d/?x=%zz&&y#"
    head = RequestHead(method="GET", target=raw, path="/")
    match = Match(head, Route(name="r", pattern="/", kind="prefix"), {})
    assert forward_target(match) is raw


@pytest.mark.parametrize(
    ("raw", "prefix", "expected"),
    [
        (b"/v1/jobs/1", "/v1", b"/jobs/1"),
        (b"/v1/jobs/1?a=b?c", "/v1", b"/jobs/1?a=b?c"),
        (b"/v1/jobs/1?", "/v1", b"/jobs/1?"),
        (b"/v1", "/v1", b"/"),
        (b"/v1/", "/v1", b"/"),
        (b"/v1?x", "/v1", b"/?x"),
        (b"/v1/a/", "/v1", b"/a/"),
        (b"/v1/a%2fb%20", "/v1/", b"/a%2fb%20"),
        (b"/v1/jobs/1", "/v1/jobs", b"/1"),
        (b"/v1/jobs/1", "/", b"/v1/jobs/1"),
        (b"/v1//evil.example/x", "/v1", b"/evil.example/x"),
    ],
)
def test_stripping_cuts_whole_raw_segments(raw: bytes, prefix: str, expected: bytes) -> None:
    pattern = "/v1/jobs" if b"jobs" in raw else "/v1"
    assert forward(raw, pattern, kind="prefix", strip_prefix=prefix) == expected


@pytest.mark.parametrize(
    ("raw", "kind", "pattern", "rewrite", "expected"),
    [
        (b"/v1/jobs/7?q=1", "path", "/v1/jobs/{id}", "/internal/{id}", b"/internal/7?q=1"),
        (b"/v1/a/b", "path", "/v1/{x}/{y}", "/{y}/{x}", b"/b/a"),
        (b"/v1/a", "path", "/v1/{id?}", "/i/{id}", b"/i/a"),
        (b"/v1", "path", "/v1/{id?}", "/i/{id}", b"/i"),
        (b"/v1/a%2fb", "path", "/v1/{id}", "/i/{id}", b"/i/a%2Fb"),
        (b"/v1/a%3fb%23", "path", "/v1/{id}", "/i/{id}/x", b"/i/a%3Fb%23/x"),
        (b"/v1/a@b:c", "path", "/v1/{id}", "/i/{id}", b"/i/a%40b%3Ac"),
        (b"/v1/%C3%A9", "path", "/v1/{id}", "/i/{id}", b"/i/%C3%A9"),
        (b"/v1/100%25", "path", "/v1/{id}", "/i/{id}", b"/i/100%25"),
        (b"/v1/a@b/%7Ec/", "path", "/v1/{more...}", "/i/{more...}", b"/i/a@b/%7Ec/"),
        (b"/v1/x/y", "path", "/v1/{a}/{more...}", "/i/{more...}", b"/i/y"),
        (b"/files/x/y?z", "prefix", "/files", "/store/{rest...}", b"/store/x/y?z"),
        (b"/files", "prefix", "/files", "/store/{rest...}", b"/store"),
        (b"/files//x", "prefix", "/files", "/{rest...}", b"/x"),
        (b"/a/files/x", "prefix", "/{t}/files", "/{t}/{rest...}", b"/a/x"),
        (b"/files/x", "prefix", "/files", "/fixed", b"/fixed"),
        (b"/r/ab12", "regex", "^/r/(?P<a>[a-z]+)(?P<n>[0-9]+)", "/{n}/{a}", b"/12/ab"),
        (b"/r/ab", "regex", "^/r/(?P<a>[a-z]+)(?P<n>[0-9]+)?", "/i/{n}/{a}", b"/i/ab"),
        (b"/r/a/b", "regex", "^/r/(?P<p>.+)", "/i/{p}", b"/i/a%2Fb"),
        (b"/r/a/b", "regex", "^/r/(?P<p>.+)", "/i/{p...}", b"/i/a/b"),
        (b"/r/a%25", "regex", "^/r/(?P<p>.+)25", "/i/{p}", b"/i/a%25"),
        (b"/v1", "path", "/v1", "/caf%C3%A9/a b/x@y", b"/caf%C3%A9/a%20b/x@y"),
    ],
)
def test_template_is_filled_from_the_path(
    raw: bytes, kind: Kind, pattern: str, rewrite: str, expected: bytes
) -> None:
    assert forward(raw, pattern, kind=kind, rewrite=rewrite) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strip_prefix": "/v1", "rewrite": "/x"}, "exclude each other"),
        ({"strip_prefix": "/v2"}, "is not how every path of the route starts"),
        ({"strip_prefix": "/v1/{id}"}, "is not how every path of the route starts"),
        ({"strip_prefix": "/v1/a"}, "is not how every path of the route starts"),
        ({"strip_prefix": "v1"}, "must start with '/'"),
        ({"rewrite": "/x/{nope}"}, "names {nope}, which the path does not have"),
        ({"rewrite": "/x/{id...}"}, "names {id...}, which the path does not have"),
        ({"rewrite": "/x/../y"}, "no request may contain"),
    ],
)
def test_rewriting_that_does_not_fit_the_pattern_is_refused(
    fields: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        compile_route(Route(name="r", pattern="/v1/{id}", **fields))  # type: ignore[arg-type]


def test_expression_without_the_wanted_group_is_refused() -> None:
    with pytest.raises(ValueError, match=r"names \{b\}, which"):
        compile_route(Route(name="r", pattern="^/r/(?P<a>.*)", kind="regex", rewrite="/{b...}"))


def test_nothing_to_do_compiles_to_nothing() -> None:
    shapes, rewriter = compile_route(Route(name="r", pattern="/v1"))
    assert rewriter is None
    assert compile_rewriter(strip_prefix="", rewrite="", shapes=shapes) is None


def test_absent_parameter_leaves_its_segment_out() -> None:
    rewriter = Rewriter(dropped=0, parts=(b"a", ("x", False), b"b"), keeps_rest=False)
    assert rewriter.rewrite(b"/z", {}) == b"/a/b"


SEGMENT = st.text(
    # Controls and backslashes are never admitted: without them few examples are thrown away.
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\")
    | st.sampled_from("/%?#;. "),
    min_size=1,
    max_size=8,
)


def admitted_raw(segments: list[str]) -> bytes:
    raw = "/v1/" + "/".join(quote(segment, safe="@:") for segment in segments)
    assume(not read_path(raw.encode()).quirks & NEVER)
    return raw.encode()


@given(SEGMENT, SEGMENT)
def test_parameter_fills_exactly_one_segment_with_the_same_meaning(one: str, two: str) -> None:
    target = admitted_raw([one, two])
    route = Route(
        name="r", pattern="/v1/{a}/{b}", rewrite="/in/{b}/x/{a}", allowed_quirks=EVERY_QUIRK
    )
    _, rewriter = compile_route(route)
    assert rewriter is not None
    path = read_path(target).path.split("/")
    written = rewriter.rewrite(target + b"?q", {"a": path[2], "b": path[3]})
    raw, _, query = written.partition(b"?")
    assert query == b"q"
    assert [unquote(part) for part in raw.decode().split("/")] == ["", "in", two, "x", one]


@given(st.lists(SEGMENT, min_size=1, max_size=4))
def test_stripped_path_decodes_to_the_rest_of_what_was_matched(segments: list[str]) -> None:
    target = admitted_raw(segments)
    _, rewriter = compile_route(Route(name="r", pattern="/v1", kind="prefix", strip_prefix="/v1"))
    assert rewriter is not None
    raw = rewriter.rewrite(target, {})
    assert raw == target[3:]
    assert [unquote_to_bytes(part).decode() for part in raw.split(b"/")[1:]] == segments
