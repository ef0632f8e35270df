"""The shared memory: one segment holds a table of buckets, its locks, and what each worker holds.

Knows where everything lies and how a segment is made and attached to. It must not know what a bucket is.

A segment is a file without a name (`memfd_create`). The supervisor makes it, workers inherit its descriptor; it is gone
when the last of them is, however they end. Pages that nobody touched cost no memory.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from dataclasses import dataclass
from typing import Final

from gateway.limiters.shared.mutexes import MUTEX_BYTES, Mutexes, SharingUnavailable

_MAGIC: Final = (
    -0x546F6C6C02
)  # negative: no stamp of a bucket equals it; the last byte is the layout's version
_WORD: Final = 8
_PAGE_WORDS: Final = 4096 // _WORD

_HEADER_WORDS: Final = _PAGE_WORDS
_SEED: Final = 8
"""The first of four words that key the hash of names, so that nobody can choose names that meet."""

_SHAPE: Final = 1

STRIPE_WORDS: Final = MUTEX_BYTES // _WORD + 8
USED, HAND, FORGOTTEN = range(MUTEX_BYTES // _WORD, MUTEX_BYTES // _WORD + 3)
"""In a stripe, after its mutex: slots ever used, the next to be looked at for room, buckets forgotten early."""

SLOT_WORDS: Final = 10
NAME_BYTES: Final = 160
"""The longest name is 154: `<owner kind>:<64 characters>:<64 characters>:<16 characters>`."""

_STRIPES: Final = 64
_ONE_STRIPE_MAX: Final = 4096
"""Up to so many buckets one lock is enough; then the bound is kept to the bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a segment is.

    `buckets_max` is kept within an eighth above 4096. `workers_max` processes may hold concurrency at the same time,
    each at most `holdings_max` times. With `has_names` the names of quotas can be read back.
    """

    buckets_max: int
    workers_max: int = 1
    holdings_max: int = 0
    has_names: bool = False


class Layout:
    """Where things lie in a segment of some shape, in words."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        buckets_max = max(1, shape.buckets_max)
        self.stripes = 1 if buckets_max <= _ONE_STRIPE_MAX else _STRIPES
        share = -(-buckets_max // self.stripes)
        # Names do not spread evenly: a stripe gets an eighth more than its share before it forgets anything.
        self.bound = share if self.stripes == 1 else share + share // 8
        # What can't be forgotten (in flight, not yet saved) may go above the bound, as far as this:
        self.slots = self.bound + self.bound // 8 + 64
        self.heads = 1 << max(0, self.slots // 2 - 1).bit_length()
        self.first_stripe = _HEADER_WORDS
        self.first_head = _paged(self.first_stripe + self.stripes * STRIPE_WORDS)
        self.first_slot = _paged(self.first_head + self.stripes * self.heads)
        self.first_name = _paged(self.first_slot + self.stripes * self.slots * SLOT_WORDS)
        names = self.stripes * self.slots * NAME_BYTES // _WORD if shape.has_names else 0
        self.first_ledger = _paged(self.first_name + names)
        self.ledger_words = _paged(1 + shape.holdings_max)
        self.bytes = (self.first_ledger + shape.workers_max * self.ledger_words) * _WORD


def _paged(words: int) -> int:
    return -(-words // _PAGE_WORDS) * _PAGE_WORDS


def _unavailable(error: Exception) -> SharingUnavailable:
    return SharingUnavailable(
        f"more than one worker needs shared memory ({error}); set workers to 1"
    )


class Segment:
    """A segment in this process's memory. `words` are its 8-byte words, `descriptor` is what workers inherit."""

    def __init__(self, descriptor: int, layout: Layout, mutexes: Mutexes) -> None:
        self.descriptor = descriptor
        self.layout = layout
        self.mutexes = mutexes
        self._mapping = mmap.mmap(descriptor, layout.bytes)
        self.raw = memoryview(self._mapping)
        self.words: memoryview[int] = self.raw.cast("q")
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))

    @classmethod
    def create(cls, shape: Shape) -> Segment:
        """Make a segment, in the supervisor. Raises `SharingUnavailable` when the system can't."""
        mutexes = Mutexes()
        try:
            descriptor = os.memfd_create("tollhouse-limits", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except (AttributeError, OSError) as error:
            raise _unavailable(error) from error
        layout = Layout(shape)
        try:
            os.ftruncate(descriptor, layout.bytes)
            # A worker that shrank it would kill the others.
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            segment = cls(descriptor, layout, mutexes)
        except (OSError, OverflowError) as error:
            os.close(descriptor)
            raise _unavailable(error) from error
        segment._begin(shape)
        return segment

    @classmethod
    def attach(cls, descriptor: int) -> Segment:
        """Attach to the segment that `descriptor` stands for, in a worker. Raises `SharingUnavailable`."""
        mutexes = Mutexes()
        header = memoryview(os.pread(descriptor, _HEADER_WORDS * _WORD, 0))
        if len(header) < _HEADER_WORDS * _WORD or header.cast("q")[0] != _MAGIC:
            raise SharingUnavailable(
                f"descriptor {descriptor} is no segment of limits that this version made: "
                "supervisor and workers must run the same version"
            )
        buckets, workers, holdings, names = header.cast("q")[_SHAPE : _SHAPE + 4]
        shape = Shape(
            buckets_max=buckets,
            workers_max=workers,
            holdings_max=holdings,
            has_names=bool(names),
        )
        return cls(descriptor, Layout(shape), mutexes)

    @property
    def seed(self) -> bytes:
        """The key of the hash of names."""
        return bytes(self.raw[_SEED * _WORD : (_SEED + 4) * _WORD])

    def mutex(self, stripe: int) -> int:
        """Return the address of a stripe's mutex."""
        return self._base + (self.layout.first_stripe + stripe * STRIPE_WORDS) * _WORD

    def write_name(self, number: int, name: str) -> None:
        """Write the name of slot `number`, if the segment keeps names. Raises ValueError when it does not fit."""
        if not self.layout.shape.has_names:
            return
        encoded = name.encode()
        if len(encoded) > NAME_BYTES:
            raise ValueError(f"bucket {name!r} has {len(encoded)} bytes; {NAME_BYTES} is the most")
        start = self.layout.first_name * _WORD + number * NAME_BYTES
        self.raw[start : start + NAME_BYTES] = encoded.ljust(NAME_BYTES, b"\0")

    def read_name(self, number: int) -> str:
        """Return what `write_name` wrote for slot `number`."""
        start = self.layout.first_name * _WORD + number * NAME_BYTES
        return bytes(self.raw[start : start + NAME_BYTES]).rstrip(b"\0").decode()

    def close(self) -> None:
        """Let go of the memory; others keep it. The descriptor is closed, too."""
        self.words.release()
        self.raw.release()
        self._mapping.close()
        os.close(self.descriptor)

    def _begin(self, shape: Shape) -> None:
        words = self.words
        words[_SHAPE] = shape.buckets_max
        words[_SHAPE + 1] = shape.workers_max
        words[_SHAPE + 2] = shape.holdings_max
        words[_SHAPE + 3] = shape.has_names
        self.raw[_SEED * _WORD : (_SEED + 4) * _WORD] = os.urandom(4 * _WORD)
        for stripe in range(self.layout.stripes):
            self.mutexes.make(self.mutex(stripe))
        words[0] = _MAGIC
