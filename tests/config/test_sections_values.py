"""Durations, sizes, names and secrets as people write them."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.config.sections.values import (
    DURATION_MAX,
    Atom,
    Count,
    Duration,
    DurationOrOff,
    EnvironmentName,
    Flag,
    Granted,
    Interpolated,
    Name,
    Prefix,
    Secret,
    Size,
    read_duration,
    read_size,
)


def accepts(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30d", 30 * 86400),
        ("2w", 14 * 86400),
        ("12h", 43200),
        ("5m", 300),
        ("10s", 10),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("10 s", 10),
        ("PT30S", 30),
        ("P30D", 30 * 86400),
        ("P1W", 7 * 86400),
        ("P1DT2H3M4.5S", 86400 + 7200 + 180 + 4.5),
        ("90", 90),
        (7, 7),
        (0.5, 0.5),
        (0, 0),
    ],
)
def test_duration_is_read_as_seconds(text: object, seconds: float) -> None:
    assert read_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "P", "PT", "P1M", "P1Y", "1x", "-5s", "1e3", "٣s", True, None, [], math.nan, -1],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"duration|negative"):
        read_duration(text)


@pytest.mark.parametrize("value", ["99999999w", 1e300, math.inf, 10**400])
def test_duration_of_more_than_a_century_is_a_mistake(value: object) -> None:
    with pytest.raises(ValueError, match="hundred years"):
        read_duration(value)


@given(st.floats(min_value=0, max_value=DURATION_MAX))
def test_number_of_seconds_is_taken_as_it_is(seconds: float) -> None:
    assert read_duration(seconds) == seconds


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= read_duration(text) <= DURATION_MAX


@pytest.mark.parametrize(
    ("text", "size"),
    [("64KiB", 65536), ("1MiB", 2**20), ("10MB", 10**7), ("1kB", 1000), ("5 GiB", 5 * 2**30),
     ("12B", 12), ("12", 12), (0, 0), (4096, 4096)],
)  # fmt: skip
def test_size_is_read_as_bytes(text: object, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "1.5MiB", "1 mib", 1.5, True, None, "1PiB", 2**51])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"size|1024 TiB"):
        read_size(text)


def test_limits_of_zero_are_refused_where_zero_would_stop_everything() -> None:
    assert not accepts(Duration, "0s")
    assert not accepts(Size, 0)
    assert not accepts(Size, -1)
    assert not accepts(Count, 0)
    assert accepts(DurationOrOff, 0)


def test_interpolated_text_takes_the_type_that_yaml_would_give_it() -> None:
    assert TypeAdapter(Count).validate_python(Interpolated("8")) == 8
    assert TypeAdapter(Flag).validate_python(Interpolated("true")) is True
    assert not accepts(Count, Interpolated("eight"))
    assert not accepts(Flag, Interpolated("1"))


def test_quoted_numbers_and_flags_are_not_numbers_and_flags() -> None:
    assert not accepts(Count, "8")
    assert not accepts(Flag, "true")
    assert not accepts(Count, True)
    assert not accepts(Flag, 1)


def test_names_fit_into_labels_and_tokens() -> None:
    assert accepts(Name, "jobs.list-2")
    assert not accepts(Name, "a b")
    assert not accepts(Name, "")
    assert not accepts(Name, "x" * 65)
    assert accepts(EnvironmentName, "live")
    assert not accepts(EnvironmentName, "live_2")
    assert accepts(Prefix, "sk")
    assert accepts(Prefix, "")
    assert not accepts(Prefix, "s")
    assert not accepts(Prefix, "9k")


def test_atoms_are_scope_tokens_and_only_grants_hold_wildcards() -> None:
    assert accepts(Atom, "jobs:read")
    assert accepts(Atom, "read:jobs")
    assert not accepts(Atom, "*:read")
    assert not accepts(Atom, "jobs read")
    assert not accepts(Atom, 'jobs"')
    assert not accepts(Atom, "jobs::read")
    assert accepts(Granted, "*")
    assert accepts(Granted, "*:read")
    assert accepts(Granted, "admin")
    assert not accepts(Granted, "job*:read")


def test_secret_is_shown_by_no_repr() -> None:
    secret = TypeAdapter(Secret).validate_python("hunter2-hunter2")
    assert "hunter2" not in repr(secret)
    assert "hunter2" not in str(secret)
    assert secret.get_secret_value() == "hunter2-hunter2"
