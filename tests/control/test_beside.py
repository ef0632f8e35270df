from __future__ import annotations

import sys
import threading

import pytest

from gateway.control.beside import beside


async def test_it_runs_in_a_thread_that_gives_way_and_then_all_is_as_before() -> None:
    before = sys.getswitchinterval()

    def look(word: str, *, again: str) -> tuple[str, bool, float]:
        is_main = threading.current_thread() is threading.main_thread()
        return word + again, is_main, sys.getswitchinterval()

    word, is_main, interval = await beside(look, "a", again="b")
    assert (word, is_main) == ("ab", False)
    assert interval < before
    assert sys.getswitchinterval() == before


async def test_what_fails_there_fails_here_and_leaves_the_setting_alone() -> None:
    before = sys.getswitchinterval()

    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await beside(fail)
    assert sys.getswitchinterval() == before
