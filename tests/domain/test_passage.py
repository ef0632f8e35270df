"""Requests on their way upstream."""

from __future__ import annotations

import string
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.domain.passage import HOP_BY_HOP, Border, never_crosses
from gateway.domain.request import CHUNKED, Field, RequestHead
from gateway.domain.routes import Route

PARENT = "00-" + "a" * 31 + "1-" + "b" * 15 + "2-01"


def fields(*lines: str) -> tuple[Field, ...]:
    found = []
    for line in lines:
        name, _, value = line.partition(":")
        found.append((name.lower().encode(), name.encode(), value.strip(" \t").encode("latin-1")))
    return tuple(found)


def head(
    *lines: str,
    method: str = "GET",
    body_length: int = 0,
    upgrade: bytes = b"",
    is_http_10: bool = False,
) -> RequestHead:
    found = fields(*lines)
    nominated = b",".join(value for lower, _, value in found if lower == b"connection")
    return RequestHead(
        method=method,
        target=b"/",
        path="/",
        fields=found,
        body_length=body_length,
        upgrade=upgrade,
        is_http_10=is_http_10,
        connection_options=frozenset(o.strip().lower() for o in nominated.split(b",") if o),
    )


def border(
    *,
    names: Iterable[bytes] = (b"X-Gateway-Key-Id", b"X_Consumer.Name"),
    prefix: bytes = b"X-Gateway-",
    pseudonym: bytes = b"tollhouse",
    forwards_authorization: bool = False,
) -> Border:
    return Border(
        identity_names=names,
        identity_prefix=prefix,
        pseudonym=pseudonym,
        forwards_authorization=forwards_authorization,
    )


def route(*, sets: tuple[tuple[bytes, bytes], ...] = (), removes: Iterable[bytes] = ()) -> Route:
    return Route(
        name="r", pattern="/", request_headers_set=sets, request_headers_remove=frozenset(removes)
    )


def crossing(
    request: RequestHead, *, through: Border | None = None, on: Route | None = None
) -> list[str]:
    """Return the lines that cross, without the gateway's own `Via`."""
    block = (through or border()).request_fields(request, on or route())
    assert block.endswith(b"\r\n")
    lines = block.decode("latin-1").split("\r\n")[:-1]
    lines.remove(next(line for line in lines if line.startswith("Via: ")))
    return lines


# ---- what crosses


def test_fields_cross_in_order_as_they_were_spelled() -> None:
    request = head("ACCEPT: a", "x-b:", "Cookie: 1", "accept: \xe9", "X_B: c", "cookie: 2")
    assert crossing(request) == [
        "ACCEPT: a", "x-b: ", "Cookie: 1", "accept: \xe9", "X_B: c", "cookie: 2",
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_fields_of_one_hop_do_not_cross(name: bytes) -> None:
    text = name.decode()
    assert crossing(head(f"{text}: x", f"{text.upper()}: trailers", "A: b")) == ["A: b"]


def test_nominated_fields_do_not_cross() -> None:
    request = head("Connection: x-a, X-B", "connection: c", "X-A: 1", "x-b: 2", "C: 3", "D: 4")
    assert crossing(request) == ["D: 4"]


def test_a_client_cannot_remove_our_fields_by_nominating_them() -> None:
    request = head(
        "Connection: host, content-length, via, x-gateway-tenant, authorization",
        "Content-Length: 5",
        "Via: 1.0 fred",
        "Host: a",
        "Authorization: Bearer a",
        body_length=5,
    )
    block = border().request_fields(request, route(sets=((b"X-Set", b"1"),)))
    assert block == b"X-Set: 1\r\nVia: 1.0 fred, 1.1 tollhouse\r\nContent-Length: 5\r\n"


@pytest.mark.parametrize(
    "name",
    [
        "Host", "Expect", "Via", "X-Request-Id", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP",
        "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Client-Cert", "X-Forwarded", "Forwarded", "traceparent",
        "tracestate", "Authorization", "X-Gateway-Key-Id", "X-Gateway-Tenant", "X-Gateway-Anything", "x-consumer-name",
        "Proxy", "X-Http-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL",
        "SCRIPT_NAME", "Script-Name", "PATH_INFO", "X-Script-Name",
        "Max-Forwards", "Content_Length", "Transfer_Encoding", "X_Forwarded_For", "x.gateway.tenant",
        "X_GATEWAY_KEY_ID",
        "X-Gateway_Tenant", "X~Request~Id", "X_Forwarded-Client.Cert", "X_CONSUMER_NAME", "X-Original_Url",
        "HTTP2_Settings",
    ],
)  # fmt: skip
def test_a_clients_copy_of_a_protected_field_does_not_cross(name: str) -> None:
    assert crossing(head(f"{name}: forged", "A: b")) == ["A: b"]


def test_fields_that_only_resemble_protected_ones_cross() -> None:
    kept = [
        "X-Gatewayed: a",
        "Hosts: b",
        "My-X-Gateway-Tenant: c",
        "X-Forward: d",
        "Proxy-Status: e",
    ]
    assert crossing(head(*kept)) == kept


def test_without_a_prefix_only_the_named_fields_are_protected() -> None:
    request = head("X-Gateway-Key-Id: forged", "X-Gateway-Other: a", "Accept: b")
    assert crossing(request, through=border(prefix=b"")) == ["X-Gateway-Other: a", "Accept: b"]


def test_a_prefix_protects_however_it_is_spelled() -> None:
    request = head("X-Gateway-Tenant: forged", "x_gateway_tenant: forged")
    assert crossing(request, through=border(prefix=b"X_Gateway")) == []


def test_authorization_crosses_only_when_that_is_asked_for() -> None:
    request = head("Authorization: Bearer a")
    assert crossing(request) == []
    asked = border(forwards_authorization=True)
    assert crossing(request, through=asked) == ["Authorization: Bearer a"]


def test_a_route_removes_fields_in_every_spelling() -> None:
    request = head("X-Debug: 1", "x_debug: 2", "A: b")
    assert crossing(request, on=route(removes=[b"x-debug"])) == ["A: b"]
    assert crossing(request, on=route(removes=[b"x_debug"])) == ["A: b"]


def test_what_a_route_sets_replaces_every_copy_of_the_client() -> None:
    request = head("X-Env: forged", "X_ENV: forged", "Connection: x-env")
    on = route(sets=((b"X-Env", b"live"), (b"X-Forwarded-Prefix", b"/api")))
    assert crossing(request, on=on) == ["X-Env: live", "X-Forwarded-Prefix: /api"]


TOKEN_CHARACTERS = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
PROTECTED = [
    "x-gateway-tenant", "x-gateway-key-id", "x-gateway-new", "x-consumer-name", "host", "content-length",
    "authorization",
    "transfer-encoding", "te", "via", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "forwarded",
    "traceparent", "tracestate", "expect", "upgrade", "connection", "x-set",
]  # fmt: skip


@st.composite
def disguised(draw: st.DrawFn) -> str:
    """Spell a protected name in another case and with other separators."""
    name = draw(st.sampled_from(PROTECTED))
    spelled = ""
    for letter in name:
        if letter == "-":
            spelled += draw(st.sampled_from("-_.~!*"))
        else:
            spelled += draw(st.sampled_from([letter.lower(), letter.upper()]))
    return spelled


def as_cgi(name: str) -> str:
    return "".join(c.upper() if c.isalnum() else "_" for c in name)


names = st.one_of(disguised(), disguised(), st.text(TOKEN_CHARACTERS, min_size=1, max_size=12))


@settings(max_examples=300)
@given(st.lists(names, max_size=6), st.lists(names, max_size=4), st.booleans())
@example(["X-Gateway-Tenant"], ["authorization", "x-gateway-tenant"], False)
def test_no_field_of_a_client_crosses_under_a_protected_name(
    sent: list[str], nominated: list[str], is_http_10: bool
) -> None:
    request = head(
        *(f"{name}: forged" for name in sent),
        *(f"Connection: {name}" for name in nominated),
        body_length=7,
        is_http_10=is_http_10,
    )
    lines = crossing(request, on=route(sets=((b"X-Set", b"1"),)))
    guarded = {as_cgi(name) for name in PROTECTED}
    crossed = [line.partition(": ") for line in lines]
    assert not {as_cgi(name) for name, _, value in crossed if value == "forged"} & guarded
    assert [line for line in lines if "forged" not in line] == ["X-Set: 1", "Content-Length: 7"]
    lost = {name.lower() for name in nominated}
    ordinary = [
        name
        for name in sent
        if as_cgi(name) not in guarded and name.lower() not in lost and name.lower() != "proxy"
    ]
    assert [name for name, _, value in crossed if value == "forged"] == ordinary


KEPT = border()


@settings(max_examples=300)
@given(st.lists(names, max_size=6), st.lists(names, max_size=2), st.booleans())
def test_what_is_remembered_of_names_never_changes_what_crosses(
    sent: list[str], nominated: list[str], removes: bool
) -> None:
    lines = (*(f"{name}: 1" for name in sent), *(f"Connection: {name}" for name in nominated))
    on = route(removes=[name.lower().encode() for name in sent[:1]] if removes else ())
    known = crossing(head(*lines), through=KEPT, on=on)
    assert known == crossing(head(*lines), on=on)
    assert known == crossing(head(*lines), through=KEPT, on=on)


def test_a_flood_of_made_up_names_changes_nothing() -> None:
    through = border()
    for number in range(3000):
        lines = (f"X-Made-Up-{number}: 1", "X-Gateway-Tenant: forged", f"{'x' * 99}{number}: 2")
        assert crossing(head(*lines), through=through) == [lines[0], lines[2]]


# ---- via


def via(request: RequestHead, through: Border | None = None) -> list[str]:
    block = (through or border()).request_fields(request, route()).decode()
    return [line for line in block.split("\r\n") if line.lower().startswith("via")]


def test_via_names_this_gateway_and_the_protocol_that_it_received() -> None:
    assert via(head()) == ["Via: 1.1 tollhouse"]
    assert via(head(is_http_10=True)) == ["Via: 1.0 tollhouse"]


def test_via_is_appended_to_what_came() -> None:
    request = head("Via: 1.0 fred (a, b), HTTP/1.1 x", "VIA:", "via: 2 y", "Connection: via")
    assert via(request) == ["Via: 1.0 fred (a, b), HTTP/1.1 x, 2 y, 1.1 tollhouse"]


@pytest.mark.parametrize(
    "value",
    [
        "1.1 tollhouse", "1.0 fred, 1.1 TollHouse", "HTTP/1.1 tollhouse", "http/2.0  tollhouse (us)",
        "1.1\ttollhouse\t(x)",
        "2 tollhouse,1.1 x", ",, 1.1 tollhouse", "1.0 x (unclosed, 1.1 tollhouse",
    ],
)  # fmt: skip
def test_our_own_name_in_via_is_a_loop(value: str) -> None:
    assert border().is_loop(head(f"Via: {value}"))
    assert border().is_loop(head("Via: 1.1 x", f"via: {value}", "Connection: via"))


@pytest.mark.parametrize(
    "value",
    [
        "1.1 tollhouse-2",
        "1.1 a-tollhouse",
        "1.1 x (tollhouse)",
        "tollhouse",
        "1.1 tollhouse.test",
        "1.1tollhouse",
        "",
    ],
)
def test_other_names_in_via_are_no_loop(value: str) -> None:
    assert not border().is_loop(head(f"Via: {value}"))


def test_a_pseudonym_is_no_pattern() -> None:
    assert not border(pseudonym=b"a.b").is_loop(head("Via: 1.1 axb"))
    assert border(pseudonym=b"a.b").is_loop(head("Via: 1.1 A.B"))


def test_no_via_is_no_loop() -> None:
    assert not border().is_loop(head("X-Via: 1.1 tollhouse"))


# ---- framing, upgrade, hops


@pytest.mark.parametrize(
    ("sent", "body_length", "framing"),
    [
        ((), 0, []), (("Content-Length: 0",), 0, ["Content-Length: 0"]),
        (("Content-Length: 007",), 7, ["Content-Length: 7"]),
        (("Transfer-Encoding: Chunked",), CHUNKED, ["Transfer-Encoding: chunked"]),
        (("Connection: content-length", "content-length: 7"), 7, ["Content-Length: 7"]),
    ],
)  # fmt: skip
def test_the_framing_is_ours(sent: tuple[str, ...], body_length: int, framing: list[str]) -> None:
    assert crossing(head(*sent, body_length=body_length)) == framing


def test_an_upgrade_is_asked_for_anew() -> None:
    request = head(
        "Connection: keep-alive, Upgrade, x-a", "Upgrade: WebSocket", "X-A: 1", "Sec-WebSocket-Key: k",
        upgrade=b"websocket",
    )  # fmt: skip
    assert crossing(request) == [
        "Sec-WebSocket-Key: k",
        "Connection: upgrade",
        "Upgrade: websocket",
    ]


def test_an_upgrade_that_was_not_granted_by_the_reader_does_not_cross() -> None:
    sent = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x")
    assert crossing(head(*sent)) == []
    assert crossing(head(*sent[1:])) == []


def test_hops_of_options_are_counted_down() -> None:
    request = head("Max-Forwards: 5", method="OPTIONS")
    assert crossing(request) == ["Max-Forwards: 4"]
    assert crossing(head(method="OPTIONS")) == []


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        (b"host", True),
        (b"connection", True),
        (b"authorization", True),
        (b"x-forwarded-anything", True),
        (b"x_forwarded_for", True),
        (b"x-http-method-override", True),
        (b"x-company-id", False),
        (b"x-forward", False),
    ],
)
def test_some_fields_never_reach_an_upstream_as_they_came(name: bytes, is_ours: bool) -> None:
    assert never_crosses(name) is is_ours


@pytest.mark.parametrize("name", ["traceparent", "TraceParent", "tracestate", "TRACESTATE"])
def test_trace_context_does_not_cross_as_a_field_of_the_client(name: str) -> None:
    assert crossing(head(f"{name}: {PARENT}")) == []
