from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.changes import Change
from gateway.config.load import Loaded
from gateway.config.model import Config, Reload
from gateway.config.problems import Problem
from gateway.config.reloading import Reloaded, ReloadRefused
from gateway.config.sources import Sources, look
from gateway.control.reload import Reloader, ReloadRequests
from gateway.control.watch import Watch
from gateway.domain.change import Actor, Order
from tests.config.sample import PEPPER
from tests.wire import until

CONFIG = Config.model_validate({"version": 1, "peppers": {"current": "p", "p": PEPPER}})
MISTAKE = Problem(file="c.yaml", line=3, column=1, path="routes", message="must be a list")
NO_SOURCES = Sources({}, {})


class Act:
    """What a reload reads, does and tells; each may be made to fail."""

    def __init__(self) -> None:
        self.loaded = Loaded(config=CONFIG, problems=[], sources=NO_SOURCES)
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.applying = 0
        self.generation = 1
        self.told: list[str] = []
        self.taken: list[Config] = []
        self.asked: list[tuple[str, Actor | None]] = []
        self.reloader = Reloader(lambda: self.loaded, check=self.check, apply=self.apply, told=self)

    async def check(self, _: Config) -> Reloaded:
        return Reloaded(generation=self.generation)

    async def apply(self, config: Config) -> Reloaded:
        self.taken.append(config)
        self.applying += 1
        assert self.applying == 1, "two at the same time"
        await self.gate.wait()
        self.applying -= 1
        if self.error is not None:
            raise self.error
        self.generation += 1
        changes = tuple(Change(f"routes[{n}]", "added") for n in range(25))
        return Reloaded(generation=self.generation, changes=changes, restart=("store.path",))

    async def applied(self, reloaded: Reloaded, cause: str, actor: Actor | None) -> None:
        self.asked.append((cause, actor))
        self.told.append(f"applied {reloaded.generation}")

    async def rolled_back(self, reloaded: Reloaded, order: Order) -> None:
        self.told.append(f"rolled back {reloaded.generation}: {order.reason}")

    async def refused(self, why: str, cause: str, actor: Actor | None) -> None:
        assert why
        self.asked.append((cause, actor))
        self.told.append("refused")


async def test_what_was_taken_is_told_with_its_changes_and_what_waits_for_a_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    act = Act()
    with caplog.at_level(logging.INFO):
        assert (await act.reloader.reload("SIGHUP")).generation == 2
    assert act.told == ["applied 2"]
    assert "reloaded (SIGHUP) as generation 2; changed: routes[0], routes[1]," in caplog.text
    assert "and 5 more" in caplog.text
    assert "wait for a restart: store.path" in caplog.text


async def test_who_asked_is_told_whatever_came_of_it() -> None:
    act = Act()
    ann = Actor(kind="admin", name="ann")
    await act.reloader.reload("admin ann", actor=ann)
    act.error = ReloadRefused("no")
    with pytest.raises(ReloadRefused):
        await act.reloader.reload("SIGHUP")
    assert act.asked == [("admin ann", ann), ("SIGHUP", None)]


async def test_mistakes_are_all_told_and_nothing_is_applied(
    caplog: pytest.LogCaptureFixture,
) -> None:
    act = Act()
    act.loaded = Loaded(config=None, problems=[MISTAKE, MISTAKE], sources=NO_SOURCES)
    with pytest.raises(ReloadRefused, match="2 problems") as caught:
        await act.reloader.reload("test")
    assert caught.value.problems == (MISTAKE, MISTAKE)
    assert caplog.text.count("c.yaml:3:1: routes: must be a list") == 2
    assert act.told == ["refused"]
    assert act.generation == 1


async def test_warnings_refuse_nothing_and_are_told(caplog: pytest.LogCaptureFixture) -> None:
    act = Act()
    warning = replace(MISTAKE, message="has expired", is_warning=True)
    act.loaded = Loaded(config=CONFIG, problems=[warning], sources=NO_SOURCES)
    await act.reloader.reload("test")
    assert act.told == ["applied 2"]
    assert "c.yaml:3:1: " in caplog.text
    assert "has expired" in caplog.text


async def test_a_failure_of_ours_is_a_refusal_and_the_next_attempt_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    act = Act()
    act.error = KeyError("a bug")
    with pytest.raises(ReloadRefused, match="the log has the cause"):
        await act.reloader.reload("test")
    assert "a bug" in caplog.text
    act.error = None
    await act.reloader.reload("test")
    assert act.told == ["refused", "applied 2"]


async def test_attempts_take_turns_and_a_stopped_one_refuses_those_that_wait() -> None:
    act = Act()
    act.gate.clear()
    first, second = (asyncio.create_task(act.reloader.reload("test")) for _ in range(2))
    await until(lambda: act.applying == 1)
    act.reloader.stop()
    act.gate.set()
    assert (await first).generation == 2
    with pytest.raises(ReloadRefused, match="stopping"):
        await second
    with pytest.raises(ReloadRefused, match="stopping"):
        await act.reloader.check()


async def test_a_check_changes_nothing_and_is_told_to_nobody() -> None:
    act = Act()
    assert (await act.reloader.check()).generation == 1
    act.loaded = Loaded(config=None, problems=[MISTAKE], sources=NO_SOURCES)
    with pytest.raises(ReloadRefused):
        await act.reloader.check()
    assert act.told == []


# ---- files


def on_file(act: Act, path: Path, text: str) -> None:
    """Let the act read what stands in a file, and watch it."""
    path.write_text(text)
    sources = Sources({path: look(path)}, {})
    act.reloader.watch = Watch(sources)
    act.loaded = Loaded(config=CONFIG, problems=[], sources=sources)


def becomes(path: Path, text: str) -> Sources:
    path.write_text(text)
    return Sources({path: look(path)}, {})


async def test_a_file_that_changes_between_the_look_and_the_reading_is_not_taken(
    tmp_path: Path,
) -> None:
    act, path = Act(), tmp_path / "c.yaml"
    on_file(act, path, "one")
    becomes(path, "two, half")
    await act.reloader.look()
    act.loaded = Loaded(config=CONFIG, problems=[], sources=becomes(tmp_path / "other", "x"))
    await act.reloader.look()
    assert act.told == []
    act.loaded = Loaded(config=CONFIG, problems=[], sources=becomes(path, "two"))
    for _ in range(2):
        await act.reloader.look()
    assert act.told == ["applied 2"]


async def test_a_bad_file_is_tried_once_and_again_when_it_changes(tmp_path: Path) -> None:
    act, path = Act(), tmp_path / "c.yaml"
    on_file(act, path, "one")
    act.loaded = Loaded(config=None, problems=[MISTAKE], sources=becomes(path, "bad"))
    for _ in range(4):
        await act.reloader.look()
    assert act.told == ["refused"]
    act.loaded = Loaded(config=CONFIG, problems=[], sources=becomes(path, "good"))
    for _ in range(4):
        await act.reloader.look()
    assert act.told == ["refused", "applied 2"]


async def test_what_somebody_else_reloaded_is_not_loaded_again(tmp_path: Path) -> None:
    act, path = Act(), tmp_path / "c.yaml"
    on_file(act, path, "one")
    act.loaded = Loaded(config=CONFIG, problems=[], sources=becomes(path, "two"))
    await act.reloader.look()
    await act.reloader.reload("SIGHUP")
    for _ in range(3):
        await act.reloader.look()
    assert act.told == ["applied 2"]


# ---- rollback

FORMER = CONFIG.model_copy(update={"version": 1})
BACK = Order(actor=Actor(kind="admin", name="ann"), reason="worse than before")


async def former() -> Config:
    return FORMER


async def test_a_rollback_takes_the_former_configuration_and_says_who_wanted_it_and_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    act = Act()
    with caplog.at_level(logging.INFO):
        assert (await act.reloader.roll_back(former, BACK)).generation == 2
    assert act.taken == [FORMER]
    assert act.taken[0] is FORMER
    assert act.told == ["rolled back 2: worse than before"]
    assert "rolled back (rollback by admin ann) as generation 2" in caplog.text


async def test_a_rollback_holds_until_the_files_change_again(tmp_path: Path) -> None:
    act, path = Act(), tmp_path / "c.yaml"
    on_file(act, path, "one")
    act.loaded = Loaded(config=CONFIG, problems=[], sources=becomes(path, "changed before"))
    await act.reloader.look()
    await act.reloader.roll_back(former, BACK)
    for _ in range(4):
        await act.reloader.look()
    assert act.told == ["rolled back 2: worse than before"]
    act.loaded = Loaded(config=CONFIG, problems=[], sources=becomes(path, "changed after"))
    for _ in range(2):
        await act.reloader.look()
    assert act.told[1:] == ["applied 3"]


async def test_a_reload_that_waited_for_a_rollback_does_not_undo_it(tmp_path: Path) -> None:
    act, path = Act(), tmp_path / "c.yaml"
    on_file(act, path, "one")
    seen = becomes(path, "two")
    act.loaded = Loaded(config=CONFIG, problems=[], sources=seen)
    act.gate.clear()
    rolling = asyncio.create_task(act.reloader.roll_back(former, BACK))
    await until(lambda: act.applying == 1)
    waiting = asyncio.create_task(act.reloader.reload("its files changed", seen))
    await asyncio.sleep(0)
    act.gate.set()
    await rolling
    assert await asyncio.gather(waiting, return_exceptions=True)
    assert act.told == ["rolled back 2: worse than before"]


async def test_whoever_asks_gets_the_files_also_after_a_rollback(tmp_path: Path) -> None:
    act, path = Act(), tmp_path / "c.yaml"
    on_file(act, path, "one")
    await act.reloader.roll_back(former, BACK)
    await act.reloader.reload("SIGHUP")
    assert act.told[1:] == ["applied 3"]


async def test_a_rollback_that_is_refused_is_told_and_leaves_the_files_to_be_looked_at(
    tmp_path: Path,
) -> None:
    act, path = Act(), tmp_path / "c.yaml"
    on_file(act, path, "one")
    act.loaded = Loaded(config=CONFIG, problems=[], sources=becomes(path, "two"))
    act.error = ReloadRefused("no")
    with pytest.raises(ReloadRefused):
        await act.reloader.roll_back(former, BACK)
    assert act.told == ["refused"]
    assert act.asked == [("rollback by admin ann", BACK.actor)]
    act.error = None
    for _ in range(2):
        await act.reloader.look()
    assert act.told[1:] == ["applied 2"]


async def test_a_rollback_that_is_only_tried_takes_nothing_and_is_told_to_nobody() -> None:
    act = Act()
    assert (await act.reloader.check_former(former)).generation == 1
    assert act.told == []
    act.reloader.stop()
    for attempt in (
        act.reloader.check_former(former),
        act.reloader.roll_back(former, BACK),
    ):
        with pytest.raises(ReloadRefused, match="stopping"):
            await attempt


async def test_what_the_files_hold_can_be_considered_while_nothing_is_taken() -> None:
    act = Act()
    seen: list[Config] = []

    async def judge(config: Config) -> str:
        seen.append(config)
        reloading = asyncio.create_task(act.reloader.reload("test"))
        await asyncio.sleep(0)
        assert act.told == []
        reloading.cancel()
        return "judged"

    assert await act.reloader.consider(judge) == "judged"
    assert seen == [CONFIG]
    act.loaded = Loaded(config=None, problems=[MISTAKE], sources=NO_SOURCES)
    with pytest.raises(ReloadRefused):
        await act.reloader.consider(judge)


# ---- requests


@pytest.mark.parametrize("is_watching", [True, False])
async def test_files_are_looked_at_only_where_that_is_wanted(
    is_watching: bool, tmp_path: Path
) -> None:
    act, path = Act(), tmp_path / "c.yaml"
    on_file(act, path, "one")
    act.loaded = Loaded(config=CONFIG, problems=[], sources=becomes(path, "two"))
    settings = Reload.model_validate({"watch": is_watching, "poll": "10ms"})
    requests = ReloadRequests(act.reloader, lambda: settings)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(requests.run())
        if is_watching:
            await until(lambda: act.told == ["applied 2"])
        else:
            requests.ask()
            await until(lambda: act.told == ["applied 2"])
        requests.stop()


async def test_asking_twice_before_it_begins_is_asking_once_and_a_refusal_ends_nothing() -> None:
    act = Act()
    act.loaded = Loaded(config=None, problems=[MISTAKE], sources=NO_SOURCES)
    requests = ReloadRequests(act.reloader, Reload)
    async with asyncio.TaskGroup() as tasks:
        requests.ask()
        requests.ask()
        tasks.create_task(requests.run())
        await until(lambda: act.told == ["refused"])
        act.loaded = Loaded(config=CONFIG, problems=[], sources=NO_SOURCES)
        requests.ask()
        await until(lambda: act.told == ["refused", "applied 2"])
        requests.stop()
