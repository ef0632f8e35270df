from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.assembly.writer import Writer


class Lines:
    """Lines whose sink can be stuck and can break."""

    def __init__(self, count: int = 1) -> None:
        self.waiting = count
        self.written = 0
        self.flushes = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.failure: Exception | None = None

    def __len__(self) -> int:
        return self.waiting

    def flush(self) -> None:
        self.flushes += 1
        count = self.waiting
        assert self.may_go_on.wait(10)
        if self.failure is not None:
            raise self.failure
        self.written += count
        self.waiting -= count


async def test_waiting_lines_are_written_in_another_thread() -> None:
    lines = Lines(3)
    await Writer(lines, 5).flush()
    assert (lines.written, len(lines)) == (3, 0)


async def test_nothing_is_started_when_no_line_waits() -> None:
    lines = Lines(0)
    await Writer(lines, 5).flush()
    assert lines.flushes == 0


async def test_a_stuck_flush_is_waited_for_only_so_long_and_not_followed_by_another() -> None:
    lines = Lines()
    lines.may_go_on.clear()
    writer = Writer(lines, 0.01)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await writer.flush()
    assert lines.flushes == 1
    lines.may_go_on.set()


async def test_a_flush_that_waits_for_an_earlier_one_writes_the_rest() -> None:
    lines = Lines()
    lines.may_go_on.clear()
    writer = Writer(lines, 5)
    first = asyncio.ensure_future(writer.flush())
    while not lines.flushes:  # noqa: ASYNC110 - a thread has no event to await
        await asyncio.sleep(0)
    lines.waiting += 4
    second = asyncio.ensure_future(writer.flush())
    await asyncio.sleep(0)
    lines.may_go_on.set()
    await asyncio.gather(first, second)
    assert lines.written == 5
    assert lines.flushes == 2


async def test_what_breaks_is_told_to_whoever_waits_and_tried_again() -> None:
    lines = Lines()
    lines.failure = RuntimeError("render broke")
    writer = Writer(lines, 5)
    with pytest.raises(RuntimeError, match="render broke"):
        await writer.flush()
    lines.failure = None
    await writer.flush()
    assert lines.written == 1


def test_a_flush_that_ends_after_the_loop_disturbs_nobody() -> None:
    lines = Lines()
    lines.may_go_on.clear()

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await Writer(lines, 0.01).flush()

    asyncio.run(leave())
    (thread,) = [each for each in threading.enumerate() if each.name == "access log"]
    assert thread.daemon
    lines.may_go_on.set()
    thread.join(5)
    assert lines.written == 1
