"""What every `Nodes` promises. An adapter's test subclasses `NodesContract` and gives `nodes` and `store`."""

from __future__ import annotations

from dataclasses import replace

from gateway.cluster_ports import Nodes
from gateway.domain.nodes import Cut, Node
from gateway.ports import KeyStore
from tests.key_samples import a_key, a_tenant

NEWEST = 2**62


def a_node(name: str = "a", **values: object) -> Node:
    given: dict[str, object] = {
        "address": f"192.0.2.1:{len(name)}",
        "version": "1.2.3",
        "audit_key": "SHA256:abc",
        "started_at": 1_700_000_000.5,
        "beat": 1,
        "lease_seconds": 10.0,
        "acknowledged_revision": NEWEST,
    }
    return Node(node_id=f"node_{name}", name=name, **(given | values))  # type: ignore[arg-type]


class NodesContract:
    """The suite; `store` is empty at the start of each test, and so is the register."""

    async def test_who_gives_a_sign_of_life_is_entered_as_it_says(
        self, nodes: Nodes, store: KeyStore
    ) -> None:
        roll = await nodes.beat(a_node(is_leader=True))
        [found] = roll.nodes
        assert found.heartbeat_at > 1_700_000_000
        assert replace(found, heartbeat_at=0.0) == a_node(is_leader=True, acknowledged_revision=0)
        assert (roll.revision, roll.wanted) == (0, 0)
        assert await nodes.roll() == roll

    async def test_nobody_has_acknowledged_what_there_is_not(
        self, nodes: Nodes, store: KeyStore
    ) -> None:
        await store.save_tenant(a_tenant())
        await store.save_key(a_key())
        await nodes.beat(a_node("new"))
        await nodes.beat(a_node("old", acknowledged_revision=1))
        roll = await nodes.roll()
        assert [(each.name, each.acknowledged_revision) for each in roll.nodes] == [
            ("new", 2),
            ("old", 1),
        ]

    async def test_a_further_sign_changes_what_it_says_and_not_what_is_acknowledged(
        self, nodes: Nodes, store: KeyStore
    ) -> None:
        await nodes.beat(a_node(acknowledged_revision=0))
        await nodes.acknowledge("node_a", 5, (Cut(5, "key_a", 2), Cut(5, "ten_b", 1)))
        again = a_node(beat=2, lease_seconds=20.0, address="elsewhere", is_leader=True)
        [found] = (await nodes.beat(again)).nodes
        assert (found.beat, found.lease_seconds, found.address) == (2, 20.0, "elsewhere")
        assert (found.is_leader, found.acknowledged_revision) == (True, 5)
        assert found.cuts == (Cut(5, "key_a", 2), Cut(5, "ten_b", 1))

    async def test_the_revision_that_is_wanted_is_the_latest_of_those_asked_about(
        self, nodes: Nodes, store: KeyStore
    ) -> None:
        await store.save_tenant(a_tenant())
        await store.save_key(a_key("key_a"))
        await store.save_key(a_key("key_b"))
        assert (await nodes.roll(["key_a"])).wanted == 2
        assert (await nodes.roll(["key_a", "ten_a", "key_unknown"])).wanted == 2
        assert (await nodes.roll(["ten_a"])).wanted == 1
        found = await nodes.roll(["key_unknown"])
        assert (found.wanted, found.revision) == (0, 3)

    async def test_who_is_struck_out_is_gone_unless_it_has_given_another_sign(
        self, nodes: Nodes, store: KeyStore
    ) -> None:
        for name in ("a", "b", "c"):
            await nodes.beat(a_node(name, beat=5))
        await nodes.remove("node_a")
        await nodes.remove("node_b", 4)
        await nodes.remove("node_c", 5)
        await nodes.remove("node_unknown")
        assert [node.name for node in (await nodes.roll()).nodes] == ["b"]

    async def test_acknowledging_without_being_entered_is_no_mistake(
        self, nodes: Nodes, store: KeyStore
    ) -> None:
        await nodes.acknowledge("node_a", 5, ())
        assert (await nodes.roll()).nodes == ()
