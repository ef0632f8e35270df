"""The line between two processes, here with both ends in one."""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.control.channel import FRAME_BYTES_MAX, Answer, Channel, Declined, Gone, connect
from gateway.control.messages import CutStreams, Drain, Forget, Hurry, Serve
from gateway.domain.keys import KeyState


class End:
    """One end: what it was told, and what it answers."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.told: list[object] = []
        self.gone = asyncio.Event()
        self._answer = answer
        self.channel: Channel

    async def answer(self, message: object) -> object:
        self.told.append(message)
        return await self._answer(message) if self._answer is not None else None


@asynccontextmanager
async def line(answer: Answer | None = None) -> AsyncIterator[tuple[End, End]]:
    """Yield both ends; the second answers with `answer`."""
    here, there = End(), End(answer)
    async with asyncio.TaskGroup() as tasks:
        for end, sock in zip((here, there), socket.socketpair(), strict=True):
            sock.setblocking(False)
            end.channel = await connect(sock, end.answer, tasks, end.gone.set)
        yield here, there
        await here.channel.close()
        await there.gone.wait()


async def test_question_gets_its_own_answer_however_late_it_comes() -> None:
    may_answer = asyncio.Event()

    async def answer(message: object) -> object:
        if isinstance(message, Drain):
            await may_answer.wait()
        return message

    async with line(answer) as (here, _):
        slow, quick = here.channel.ask(Drain(1.0)), here.channel.ask(Forget(("key_a",)))
        assert await quick == Forget(("key_a",))
        assert not slow.done()
        may_answer.set()
        assert await slow == Drain(1.0)


async def test_messages_begin_to_be_done_in_the_order_in_which_they_were_sent() -> None:
    async with line() as (here, there):
        sent: list[object] = [Forget((str(n),)) for n in range(50)]
        for message in sent[:-1]:
            here.channel.tell(message)
        await here.channel.ask(sent[-1])
        assert there.told == sent


async def test_message_larger_than_any_buffer_arrives_whole() -> None:
    ids = tuple(f"key_{n:032}" for n in range(50_000))
    async with line() as (here, there):
        await here.channel.ask(Forget(ids))
        assert there.told == [Forget(ids)]


async def test_refusal_comes_back_with_its_text_and_a_crash_without_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(message: object) -> object:
        if isinstance(message, Hurry):
            raise Declined("not now")
        raise ValueError("secret text")

    async with line(answer) as (here, _):
        with pytest.raises(Declined, match="not now"):
            await here.channel.ask(Hurry())
        with pytest.raises(Declined) as caught:
            await here.channel.ask(Drain(1.0))
        assert str(caught.value) == "Drain failed: ValueError"
        assert "Drain failed" in caplog.text


async def test_whoever_waits_for_the_dead_is_told() -> None:
    async def never(_: object) -> object:
        await there.channel.close()
        return None

    async with line(never) as (here, there):
        with pytest.raises(Gone):
            await here.channel.ask(Hurry())
        await here.gone.wait()
        with pytest.raises(Gone):
            await here.channel.ask(Hurry())
        here.channel.tell(Hurry())  # nobody is there: nothing happens


async def test_late_answer_to_a_question_that_was_given_up_is_dropped() -> None:
    may_answer = asyncio.Event()

    async def answer(_: object) -> object:
        await may_answer.wait()
        return "late"

    async with line(answer) as (here, _):
        given_up = here.channel.ask(Hurry())
        given_up.cancel()
        last = here.channel.ask(Hurry())
        may_answer.set()
        assert await last == "late"
        assert given_up.cancelled()


class Trap:
    """Runs code where it is unpickled, if it is."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


class Attribute:
    """Travels as what `getattr` says, as the members of enums do with some versions of Python."""

    def __init__(self, owner: object, name: str) -> None:
        self._owner = owner
        self._name = name

    def __reduce__(self) -> tuple[object, tuple[object, str]]:
        return getattr, (self._owner, self._name)


async def test_member_of_an_enum_travels_however_python_writes_it() -> None:
    async with line() as (here, there):
        await here.channel.ask((KeyState.ACTIVE, Attribute(KeyState, "REVOKED")))
        assert there.told == [(KeyState.ACTIVE, KeyState.REVOKED)]


@pytest.mark.parametrize("owner", [KeyState, Forget], ids=["enum", "class"])
async def test_attribute_of_anything_else_does_not_travel(owner: object) -> None:
    async with line() as (here, there):
        here.channel.tell(Attribute(owner, "__init__"))
        await there.gone.wait()
        await here.gone.wait()
    assert there.told == []


async def test_what_could_act_does_not_travel(caplog: pytest.LogCaptureFixture) -> None:
    async with line() as (here, there):
        here.channel.tell(Trap())
        await there.gone.wait()
        await here.gone.wait()
    assert "builtins.eval does not travel" in caplog.text
    assert there.told == []


def nobody(_: object) -> None:
    return None


async def test_function_does_not_travel_though_it_is_ours() -> None:
    async with line() as (here, there):
        here.channel.tell(CutStreams(nobody))
        await there.gone.wait()
        await here.gone.wait()
    assert there.told == []


async def test_nonsense_ends_the_line(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    end = End()
    ours.setblocking(False)
    with theirs:
        async with asyncio.TaskGroup() as tasks:
            end.channel = await connect(ours, end.answer, tasks, end.gone.set)
            theirs.sendall((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
            await end.gone.wait()
    assert "nonsense on the channel" in caplog.text


async def test_frames_may_come_in_any_pieces() -> None:
    frame = pickle.dumps((0, 0, Serve(frozenset({0}))))
    raw = (len(frame).to_bytes(4, "big") + frame) * 3
    async with asyncio.TaskGroup() as tasks:
        end = End()
        channel = Channel(end.answer, tasks, end.gone.set)
        for at in range(len(raw)):
            channel.data_received(raw[at : at + 1])
    assert end.told == [Serve(frozenset({0}))] * 3
