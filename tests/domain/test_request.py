from __future__ import annotations

from gateway.domain.request import Field, RequestHead, ResponseHead

FIELDS: tuple[Field, ...] = (
    (b"accept", b"Accept", b"a"),
    (b"user-agent", b"User-Agent", b"curl/8"),
    (b"accept", b"ACCEPT", b"b;q=0"),
)


def test_values_of_a_field_are_all_of_them_in_order() -> None:
    for head in (
        RequestHead(method="GET", target=b"/", path="/", fields=FIELDS),
        ResponseHead(status=200, fields=FIELDS),
    ):
        assert head.values(b"accept") == [b"a", b"b;q=0"]
        assert head.values(b"Accept") == []


def test_what_every_request_is_asked_for_is_joined_once() -> None:
    head = RequestHead(method="GET", target=b"/", path="/", fields=FIELDS)
    assert (head.accept, head.user_agent) == (b"a,b;q=0", b"curl/8")
    bare = RequestHead(method="GET", target=b"/", path="/")
    assert (bare.accept, bare.user_agent) == (b"", b"")


def test_a_head_asks_for_nothing_that_it_does_not_say() -> None:
    head = RequestHead(method="GET", target=b"/", path="/")
    assert (head.body_length, head.upgrade, head.expects_continue) == (0, b"", False)
    assert head.keeps_alive
    assert (head.memo_match, head.memo_credential, head.memo_crossing) == (None, None, None)
    answer = ResponseHead(status=200)
    assert (answer.body_length, answer.upgrade, answer.memo_crossing) == (0, b"", None)
