"""Writes wait for the end of the turn, in order, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox import CorkedTransport, Outbox


class Turn:
    """A loop that ends its turn when told."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def end(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class Wire:
    """A transport that remembers what reached it."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.calls.append(data)

    def write_eof(self) -> None:
        self.calls.append("eof")

    def close(self) -> None:
        self.is_closed = True
        self.calls.append("close")

    def abort(self) -> None:
        self.is_closed = True
        self.calls.append("abort")

    def is_closing(self) -> bool:
        return self.is_closed

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def get_write_buffer_size(self) -> int:
        return 7

    def get_extra_info(self, name: str) -> str:
        return name


def corked(turn: Turn) -> tuple[CorkedTransport, Wire, Outbox]:
    wire = Wire()
    outbox = Outbox(cast("asyncio.AbstractEventLoop", turn))
    return outbox.cork(cast("asyncio.Transport", wire)), wire, outbox


def test_writes_of_one_turn_are_one_write() -> None:
    turn = Turn()
    transport, wire, _ = corked(turn)
    transport.write(b"a")
    transport.write(b"")
    transport.write(b"b")
    assert wire.calls == []
    assert transport.get_write_buffer_size() == 7 + 2
    turn.end()
    assert wire.calls == [b"ab"]
    turn.end()
    assert wire.calls == [b"ab"]


def test_one_callback_serves_all_connections_of_a_turn() -> None:
    turn = Turn()
    first, first_wire, outbox = corked(turn)
    second_wire = Wire()
    second = outbox.cork(cast("asyncio.Transport", second_wire))
    first.write(b"1")
    second.write(b"2")
    assert len(turn.soon) == 1
    turn.end()
    assert (first_wire.calls, second_wire.calls) == ([b"1"], [b"2"])


def test_long_content_is_sent_at_once_and_after_what_waits() -> None:
    transport, wire, _ = corked(Turn())
    transport.write(b"head")
    transport.write(b"x" * 40000)
    assert wire.calls == [b"head", b"x" * 40000]


@pytest.mark.parametrize("how", ["close", "write_eof"])
def test_closing_sends_what_waits_first(how: str) -> None:
    turn = Turn()
    transport, wire, _ = corked(turn)
    transport.write(b"last words")
    getattr(transport, how)()
    assert wire.calls == [b"last words", "close" if how == "close" else "eof"]
    turn.end()
    assert len(wire.calls) == 2


def test_aborting_drops_what_waits() -> None:
    turn = Turn()
    transport, wire, _ = corked(turn)
    transport.write(b"never sent")
    transport.abort()
    turn.end()
    assert wire.calls == ["abort"]


def test_what_waits_for_a_connection_that_is_lost_is_dropped() -> None:
    turn = Turn()
    transport, wire, _ = corked(turn)
    transport.write(b"too late")
    wire.is_closed = True
    assert transport.is_closing()
    turn.end()
    assert wire.calls == []


def test_the_rest_is_the_transports_own() -> None:
    transport, wire, _ = corked(Turn())
    transport.pause_reading()
    transport.resume_reading()
    assert wire.calls == ["pause", "resume"]
    assert transport.can_write_eof()
    assert transport.get_extra_info("peername") == "peername"


@given(st.lists(st.one_of(st.binary(max_size=50), st.just(b"L" * 33000), st.none())))
def test_the_bytes_arrive_whole_and_in_order(steps: list[bytes | None]) -> None:
    turn = Turn()
    transport, wire, _ = corked(turn)
    for step in steps:
        if step is None:
            turn.end()
        else:
            transport.write(step)
    transport.flush()
    assert b"".join(wire.calls) == b"".join(step for step in steps if step)
