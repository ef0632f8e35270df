"""What was needed for a moment is given back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

SPARE = """
import asyncio, os, threading
from gateway.control.spare import give_back_memory
from gateway.control.weight import resident_bytes

kept = []

def need_much_for_a_moment():
    blocks = [bytes([n % 256]) * 4000 for n in range(20_000)]
    kept.extend(blocks[::50])

thread = threading.Thread(target=need_much_for_a_moment)
thread.start()
thread.join()
before = resident_bytes(os.getpid())
asyncio.run(give_back_memory())
print(before - resident_bytes(os.getpid()))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not the GNU C library")
def test_what_a_thread_needed_for_a_moment_is_given_back_to_the_system() -> None:
    """80 MB, of which a fiftieth stays in use here and there. In an interpreter of its own: others need memory, too."""
    done = subprocess.run(
        [sys.executable, "-c", SPARE], check=True, capture_output=True, text=True, timeout=60
    )
    assert int(done.stdout) > 40_000_000
