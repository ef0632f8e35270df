"""What would break a request breaks the reload first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.assembly.certificates import Certificates
from gateway.assembly.counting import alone
from gateway.assembly.draft import draft
from gateway.assembly.edition import Edition, make_edition
from gateway.assembly.recorders import Recorders
from gateway.assembly.runtime import Runtime
from gateway.assembly.self_test import faults
from gateway.domain.denial import Denial
from gateway.domain.dialects.render import Dialect
from gateway.domain.key_format import KeyFormats
from gateway.limiters.memory import MemoryLimiter
from gateway.stores.memory import MemoryStore
from tests.clock import FakeClock
from tests.config.sample import UPSTREAM, loaded

TEXT = (
    UPSTREAM + "routes:\n"
    "  - {name: a, match: {path: /a}, upstream: u}\n"
    "  - {name: me, match: {path: /me}, handler: introspect}\n"
    "key_formats:\n"
    "  ours: {prefix: sk, environments: [live, test]}\n"
    "  theirs: {prefix: '', environments: [live], checksum: none}\n"
)


def nobody(*_: object) -> None:
    raise AssertionError("no key changes here")


@pytest.fixture
async def edition(tmp_path: Path) -> Edition:
    config, clock, path = loaded(tmp_path, TEXT), FakeClock(), tmp_path / "config.yaml"
    recorders = Recorders(config, path, clock)
    runtime = Runtime(
        path,
        clock=clock,
        store=MemoryStore(),
        recorders=recorders,
        certificates=Certificates(config, path, clock, recorders.metrics),
        counting=alone(config, clock, MemoryLimiter(clock)),
        rekey=nobody,
    )
    made = make_edition(draft(config, path), 1, runtime, None)
    await recorders.close()
    return made


async def test_a_sound_configuration_has_no_faults(edition: Edition) -> None:
    assert faults(edition) == []


async def test_a_route_that_leads_nowhere_is_named_with_its_environment(edition: Edition) -> None:
    upstreams = {pair: up for pair, up in edition.generation.upstreams.items() if pair[1] != "test"}
    broken = replace(edition, generation=replace(edition.generation, upstreams=upstreams))
    assert faults(broken) == ["route a: no upstream for environment 'test'"]


async def test_a_route_without_a_voice_is_named(edition: Edition) -> None:
    voices = {"": edition.generation.voices[""], "a": edition.generation.voices["a"]}
    broken = replace(edition, generation=replace(edition.generation, voices=voices))
    assert faults(broken) == ["route me: nothing says how its errors look"]


class Dumb(Dialect):
    def __init__(self) -> None:
        pass

    def render(self, denial: Denial, request_id: bytes, now: float) -> object:  # type: ignore[override]
        raise ZeroDivisionError(denial.reason)


@pytest.mark.pure
async def test_a_dialect_that_cannot_speak_is_a_fault_and_not_a_crash(edition: Edition) -> None:
    broken = replace(edition, generation=replace(edition.generation, problem=Dumb()))
    (told,) = faults(broken)
    assert told.startswith("self-test: voices: ZeroDivisionError(")


async def test_a_key_that_would_not_be_read_is_a_fault(edition: Edition) -> None:
    empty = replace(edition, draft=replace(edition.draft, formats=KeyFormats([])))
    assert faults(empty) == ["key format ours is missing", "key format theirs is missing"]
