"""Locks between processes that survive the death of whoever holds them.

Knows the C library's robust mutexes and for how long to wait. It must not know what they guard: that it may be used at
once after its owner died is the promise of `buckets` and `table`.

A lock and an unlock that nobody disputes cost 0.2 us; `fcntl` locks cost 4 us. The wait for a disputed lock asks again
and again instead of sleeping in the kernel: the owner is through in some microseconds, nobody is owed a wake-up, and
the wait is bounded whatever the owner does.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from errno import EBUSY, EOWNERDEAD
from typing import Final

from gateway.ports import LimiterUnavailable

MUTEX_BYTES: Final = 64
"""Room for a `pthread_mutex_t` (40 bytes on x86-64, 48 on arm64), and a cache line of its own."""

_SHARED: Final = 1  # PTHREAD_PROCESS_SHARED and PTHREAD_MUTEX_ROBUST: 1 in glibc and in musl
_SPINS: Final = 40
"""Tries before the processor is given away: 4 us, about as long as an owner that runs needs."""

_YIELDS: Final = 20
_NAP_SECONDS: Final = 0.0002

_PATIENCE_SECONDS: Final = 0.25
"""Longer than an owner is ever kept from running by its neighbours; an owner that was stopped comes after this."""


class SharingUnavailable(Exception):
    """This system can't share limits between processes; the text is for the operator."""


class Mutexes:
    """The operations on robust mutexes, by address. Raises `SharingUnavailable` where there are none."""

    def __init__(self, library: ctypes.PyDLL | None = None) -> None:
        # PyDLL keeps the interpreter's lock: giving it away costs more than the call.
        library = ctypes.PyDLL(None) if library is None else library
        try:
            self._try_lock = _function(library, "pthread_mutex_trylock")
            self._unlock = _function(library, "pthread_mutex_unlock")
            self._make_consistent = _function(library, "pthread_mutex_consistent")
            self._init_attributes = _function(library, "pthread_mutexattr_init")
            self._set_shared = _function(library, "pthread_mutexattr_setpshared", ctypes.c_int)
            self._set_robust = _function(library, "pthread_mutexattr_setrobust", ctypes.c_int)
            self._init = _function(library, "pthread_mutex_init", ctypes.c_void_p)
        except AttributeError as error:
            raise SharingUnavailable(
                f"more than one worker needs Linux: no robust locks here ({error}); set workers to 1"
            ) from error
        self._suspects: set[int] = set()

    def make(self, address: int) -> None:
        """Make the mutex at `address`, which holds `MUTEX_BYTES` zeros."""
        attributes = ctypes.create_string_buffer(MUTEX_BYTES)
        place = ctypes.addressof(attributes)
        for code in (
            self._init_attributes(place),
            self._set_shared(place, _SHARED),
            self._set_robust(place, _SHARED),
            self._init(address, place),
        ):
            if code:
                raise SharingUnavailable(f"cannot make a shared lock: {os.strerror(code)}")

    def lock(self, addresses: tuple[int, ...]) -> None:
        """Take all of `addresses`, which are sorted: whoever takes several takes them in one order.

        Raises `LimiterUnavailable` when an owner does not let go in time; then none is taken.
        """
        try_lock = self._try_lock
        for address in addresses:
            code = try_lock(address)
            if code:
                self._settle(address, code, addresses)

    def release(self, addresses: tuple[int, ...]) -> None:
        """Give back all of `addresses`."""
        unlock = self._unlock
        for address in addresses:
            unlock(address)

    def _settle(self, address: int, code: int, addresses: tuple[int, ...]) -> None:
        """Take `address`, at which `try_lock` answered with `code`, or give back those before it and raise."""
        if code == EBUSY:
            code = self._wait(address)
        if code == EOWNERDEAD:
            code = self._make_consistent(address)
        if code == 0:
            self._suspects.discard(address)
            return
        self.release(addresses[: addresses.index(address)])
        if code != EBUSY:
            raise LimiterUnavailable(f"a lock on limits failed: {os.strerror(code)}")
        self._suspects.add(address)
        raise LimiterUnavailable(
            "a lock on limits is held by a process that does not run: it is stopped or stuck; "
            "it is replaced when the supervisor notices"
        )

    def _wait(self, address: int) -> int:
        """Ask until the owner lets go, dies or is given up; return what the last try said."""
        try_lock = self._try_lock
        for _ in range(_SPINS):
            code = try_lock(address)
            if code != EBUSY:
                return code
        if address in self._suspects:
            return (
                EBUSY  # waited for in vain before: requests must not queue up behind a stuck owner
            )
        for _ in range(_YIELDS):
            os.sched_yield()
            code = try_lock(address)
            if code != EBUSY:
                return code
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while code == EBUSY and time.monotonic() < deadline:
            time.sleep(_NAP_SECONDS)
            code = try_lock(address)
        return code


def _function(library: ctypes.PyDLL, name: str, *more: type) -> Callable[..., int]:
    function = library[name]
    function.argtypes = (ctypes.c_void_p, *more)
    function.restype = ctypes.c_int
    return function
