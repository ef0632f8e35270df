"""When the interpreter looks for garbage: what a start makes is left alone, what a gateway makes later is found."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from gateway.control.garbage import not_looking


def test_nothing_is_looked_for_while_much_is_made_and_again_afterwards() -> None:
    with not_looking():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failure_leaves_the_search_as_it_was() -> None:
    with pytest.raises(ValueError, match="broken"), not_looking():
        raise ValueError("broken")
    assert gc.isenabled()


def test_one_within_another_leaves_the_search_to_the_outer_one() -> None:
    with not_looking():
        with not_looking():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


SETTLED = """
import gc, weakref
from gateway.control.garbage import keep_imported, settle_memory

class Node:
    pass

def a_cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

gc.disable()
imported = a_cycle()
keep_imported()
made = a_cycle()
settle_memory()
later = a_cycle()
gc.collect()
print(imported() is None, made() is None, later() is None, gc.get_freeze_count() > 1000)
"""


def test_what_was_imported_is_not_looked_at_again_and_garbage_of_the_start_is_gone() -> None:
    """In an interpreter of its own: what is kept is kept for ever."""
    done = subprocess.run(
        [sys.executable, "-c", SETTLED], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["False", "True", "True", "True"]
