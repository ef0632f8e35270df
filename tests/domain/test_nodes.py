from __future__ import annotations

from gateway.domain.nodes import Cut, Lease, Node, Roll, Sightings, cut_elsewhere


def a_node(name: str = "a", **values: object) -> Node:
    given: dict[str, object] = {"lease_seconds": 10.0, "beat": 1}
    return Node(node_id=f"node_{name}", name=name, **(given | values))  # type: ignore[arg-type]


def test_a_gateway_is_live_until_its_lease_has_passed_since_its_last_sign_was_seen() -> None:
    sightings, node = Sightings(), a_node()
    sightings.look([node], 100.0)
    sightings.look([node], 105.0)  # the same sign again
    assert sightings.is_live(node, 109.9)
    assert not sightings.is_live(node, 110.0)
    assert sightings.age(node, 109.0) == 9.0


def test_another_sign_of_life_begins_another_lease() -> None:
    sightings = Sightings()
    sightings.look([a_node(beat=7)], 100.0)
    sightings.look([a_node(beat=8)], 108.0)
    assert sightings.is_live(a_node(beat=8), 117.0)


def test_a_sign_that_is_another_one_counts_also_when_its_number_is_lower() -> None:
    sightings = Sightings()
    sightings.look([a_node(beat=7)], 100.0)
    sightings.look([a_node(beat=1)], 108.0)  # a store that was restored
    assert sightings.is_live(a_node(beat=1), 117.0)


def test_who_left_the_register_is_new_when_it_comes_back() -> None:
    sightings = Sightings()
    sightings.look([a_node()], 100.0)
    sightings.look([], 105.0)
    sightings.look([a_node()], 109.0)
    assert sightings.is_live(a_node(), 118.0)


def test_company_are_the_others_that_gave_a_sign_of_life_by_the_clock_of_the_store() -> None:
    roll = Roll(
        (
            a_node("a", heartbeat_at=100.0),
            a_node("b", heartbeat_at=91.0),
            a_node("c", heartbeat_at=90.0),
            a_node("d", heartbeat_at=50.0, lease_seconds=60.0),
        ),
        revision=1,
    )
    assert [node.name for node in roll.company("node_a")] == ["b", "d"]
    assert roll.of("node_b").name == "b"


def test_what_ended_elsewhere_because_of_a_change_is_counted_and_nothing_else() -> None:
    nodes = (
        a_node("a", cuts=(Cut(5, "key_a", 7), Cut(8, "key_a", 2), Cut(8, "key_b", 40))),
        a_node("b", cuts=(Cut(9, "key_a", 1), Cut(9, "ten_a", 3))),
        a_node("c"),
    )
    assert cut_elsewhere(nodes, {"key_a"}, 8) == 3
    assert cut_elsewhere(nodes, {"key_a", "ten_a"}, 8) == 6
    assert cut_elsewhere(nodes, {"key_x"}, 8) == 0


def test_a_gateway_is_named_so_that_it_can_be_found() -> None:
    assert str(a_node("b")) == "gateway b (node_b)"


def test_a_lease_that_nobody_gave_has_run_out() -> None:
    assert Lease().until == 0.0
    assert Lease(5.0).until == 5.0
