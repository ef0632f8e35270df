from __future__ import annotations

from pathlib import Path

from gateway.config.changes import Change, changes, keep_running
from gateway.config.fields import keys
from tests.config.sample import PEPPER, UPSTREAM, loaded

ROUTES = UPSTREAM + (
    "routes:\n"
    "  - {name: a, match: {path: /a}, upstream: u}\n"
    "  - {name: b.c, match: {path: /b}, upstream: u}\n"
)


def test_an_equal_configuration_has_no_changes(tmp_path: Path) -> None:
    assert changes(loaded(tmp_path, ROUTES), loaded(tmp_path, ROUTES)) == []


def test_entries_of_a_list_are_named_and_their_order_means_nothing(tmp_path: Path) -> None:
    before = loaded(tmp_path, ROUTES)
    after = loaded(
        tmp_path,
        UPSTREAM + "routes:\n"
        "  - {name: new, match: {path: /n}, upstream: u}\n"
        "  - {name: b.c, match: {path: /b, methods: [GET]}, upstream: u}\n",
    )
    assert changes(before, after) == [
        Change("routes[a]", "removed"),
        Change("routes[b.c].match.methods", "changed"),
        Change("routes[new]", "added"),
    ]
    turned = loaded(
        tmp_path,
        UPSTREAM + "routes:\n"
        "  - {name: b.c, match: {path: /b}, upstream: u}\n"
        "  - {name: a, match: {path: /a}, upstream: u}\n",
    )
    assert changes(before, turned) == []


def test_entries_of_a_mapping_are_named_and_other_lists_change_as_a_whole(tmp_path: Path) -> None:
    before = loaded(tmp_path, "plans: {p: {rate: {per_minute: 1}}, gone: {}}\n")
    after = loaded(tmp_path, "plans: {p: {rate: {per_minute: 2}}, new: {}}\nscopes: {atoms: [x]}\n")
    assert changes(before, after) == [
        Change("scopes.atoms", "changed"),
        Change("plans.p.rate", "changed"),
        Change("plans.gone", "removed"),
        Change("plans.new", "added"),
    ]


def test_a_pepper_is_named_and_its_value_told_to_nobody(tmp_path: Path) -> None:
    before = loaded(tmp_path, "")
    extra = before.peppers.model_copy(update={"current": "p2", "p2": PEPPER[::-1]})
    found = changes(before, before.model_copy(update={"peppers": extra}))
    assert found[0].path == "peppers.current"
    assert PEPPER[::-1] not in repr(found)


def test_what_needs_a_restart_keeps_its_running_value_and_the_rest_is_taken(tmp_path: Path) -> None:
    running = loaded(tmp_path, "store: {path: a.db, poll: 1s}\n")
    wanted = loaded(
        tmp_path,
        "store: {path: b.db, poll: 2s}\n"
        "listeners: {public: {bind: '127.0.0.1:1', head_timeout: 3s}}\n"
        "telemetry: {namespace: other}\n",
    )
    settled, kept = keep_running(running, wanted)
    assert kept == ["listeners.public.bind", "store.path", "telemetry.namespace"]
    assert settled.store.path == "a.db"
    assert settled.store.poll == 2
    assert settled.listeners.public.head_timeout == 3
    assert settled.listeners.public.bind == running.listeners.public.bind
    assert [change.path for change in changes(running, settled)] == [
        "listeners.public.head_timeout",
        "store.poll",
    ]


def test_without_such_a_change_the_configuration_is_taken_as_it_is(tmp_path: Path) -> None:
    wanted = loaded(tmp_path, ROUTES)
    settled, kept = keep_running(loaded(tmp_path, ""), wanted)
    assert settled is wanted
    assert kept == []


def test_nothing_within_a_list_or_mapping_needs_a_restart() -> None:
    """Its entries have no running counterpart whose value could be kept."""
    inside = [key.path for key in keys() if "[]" in key.path or "<name>" in key.path]
    assert inside
    assert [key.path for key in keys() if key.applies == "restart" and key.path in inside] == []
