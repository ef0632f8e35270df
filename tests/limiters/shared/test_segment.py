"""The memory: who may attach, how large it is, and what it costs before it is used."""

from __future__ import annotations

import ctypes
import os
from typing import NoReturn, cast

import pytest

from gateway.limiters.shared.mutexes import Mutexes, SharingUnavailable
from gateway.limiters.shared.segment import Layout, Segment, Shape
from tests.limiters.shared.segments import segment as made


class WithoutRobustLocks:
    """The C library of a system that has no robust locks."""

    def __getitem__(self, name: str) -> NoReturn:
        raise AttributeError(f"undefined symbol: {name}")


def test_a_system_without_robust_locks_is_told_so_with_what_to_do() -> None:
    with pytest.raises(SharingUnavailable, match=r"needs Linux.*set workers to 1"):
        Mutexes(cast("ctypes.PyDLL", WithoutRobustLocks()))


def test_a_worker_reads_from_the_segment_how_large_it_is() -> None:
    with made(buckets_max=5000, workers_max=3, holdings_max=7) as segment:
        other = Segment.attach(os.dup(segment.descriptor))
        assert other.layout.shape == segment.layout.shape
        assert other.layout.bytes == segment.layout.bytes
        assert other.seed == segment.seed
        other.words[100] = 7
        assert segment.words[100] == 7
        other.close()


@pytest.mark.parametrize("size", [0, 4096])
def test_a_descriptor_of_something_else_is_refused(size: int) -> None:
    descriptor = os.memfd_create("something else")
    os.ftruncate(descriptor, size)
    with pytest.raises(SharingUnavailable, match="same version"):
        Segment.attach(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("buckets_max", [10**15, 10**18])
def test_a_segment_that_cannot_be_made_is_told_so(buckets_max: int) -> None:
    with pytest.raises(SharingUnavailable, match="set workers to 1"):
        Segment.create(Shape(buckets_max=buckets_max))


def test_nobody_can_shrink_it_under_the_others() -> None:
    with made() as segment, pytest.raises(PermissionError):
        os.ftruncate(segment.descriptor, 4096)


def test_a_new_segment_of_half_a_million_buckets_costs_almost_no_memory() -> None:
    with made(buckets_max=500_000) as segment:
        assert segment.layout.bytes > 50_000_000
        assert os.fstat(segment.descriptor).st_blocks * 512 < 100_000


@pytest.mark.parametrize("buckets_max", [0, 1, 4096, 4097, 100_000, 500_000])
def test_there_is_room_for_all_buckets_and_for_those_that_cannot_be_forgotten(
    buckets_max: int,
) -> None:
    layout = Layout(Shape(buckets_max=buckets_max))
    assert layout.stripes * layout.bound >= buckets_max
    assert layout.stripes * layout.bound <= max(1, buckets_max) * 1.2
    assert layout.slots > layout.bound
    assert layout.heads & (layout.heads - 1) == 0
