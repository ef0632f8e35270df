from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.scopes import Bundle, ScopeCatalogue, ScopeError
from tests.key_samples import HIREPANDA

JOBHIVE = ScopeCatalogue(
    ("interviews:read", "interviews:write", "interviews:delete", "webhooks:read", "webhooks:write")
)
INSTAVIEW = ScopeCatalogue(("read:jobs", "write:jobs", "read:candidates", "delete:jobs"))
NAMES = st.lists(
    st.sampled_from(sorted(HIREPANDA.atoms | HIREPANDA.bundles.keys() | {"*", "jobs:*", "*:read"}))
)


def test_tiers_build_on_each_other() -> None:
    """HP-7 to HP-9: read < write < admin; deleting needs admin."""
    read, write, admin = (HIREPANDA.expand((tier,)) for tier in ("read", "write", "admin"))
    assert read == {"jobs:read", "candidates:read"}
    assert write == read | {"jobs:write", "candidates:write"}
    assert admin == write | {"jobs:delete"} == HIREPANDA.atoms


def test_flat_scopes_do_not_imply_each_other() -> None:
    """JH-17: write does not imply read."""
    assert JOBHIVE.expand(("interviews:write",)) == {"interviews:write"}


def test_both_grammars_are_opaque_and_wildcards_work_in_both() -> None:
    """X-12."""
    assert JOBHIVE.expand(("*:read",)) == {"interviews:read", "webhooks:read"}
    assert JOBHIVE.expand(("interviews:*",)) == {
        "interviews:read",
        "interviews:write",
        "interviews:delete",
    }
    assert INSTAVIEW.expand(("read:*",)) == {"read:jobs", "read:candidates"}
    assert INSTAVIEW.expand(("*",)) == INSTAVIEW.atoms
    with pytest.raises(ScopeError, match=r"unknown scope 'jobs:read'"):
        INSTAVIEW.expand(("jobs:read",))


def test_a_wildcard_stands_for_one_whole_segment() -> None:
    catalogue = ScopeCatalogue(("jobs:read", "jobs:archive:read", "ping"))
    assert catalogue.expand(("*:read",)) == {"jobs:read"}
    assert catalogue.expand(("*:*:read",)) == {"jobs:archive:read"}
    assert catalogue.expand(("*",)) == catalogue.atoms
    for pattern in ("job*:read", "*:delete", "**", "*:*:*:*"):
        assert "matches no declared scope" in catalogue.complaint(pattern)


def test_every_unknown_name_is_reported_with_the_nearest_ones() -> None:
    with pytest.raises(ScopeError) as caught:
        HIREPANDA.expand(("jobs:raed", "jobs:read", "wrote", "zzz"))
    assert [name for name, _ in caught.value.problems] == ["jobs:raed", "wrote", "zzz"]
    text = str(caught.value)
    assert "unknown scope 'jobs:raed' (did you mean 'jobs:read'" in text
    assert "'write'" in text
    assert text.endswith("unknown scope 'zzz'")


def test_granted_names_that_are_no_longer_declared_grant_nothing() -> None:
    assert HIREPANDA.granted(("jobs:read", "gone", "gone:*")) == {"jobs:read"}
    assert HIREPANDA.granted(()) == frozenset()


def test_an_empty_bundle_cannot_be_granted() -> None:
    assert "grants nothing" in ScopeCatalogue((), {"empty": Bundle()}).complaint("empty")


def test_bundles_in_a_circle_are_refused() -> None:
    bundles = {
        "a": Bundle(includes=("b",)),
        "b": Bundle(includes=("c",)),
        "c": Bundle(includes=("a", "d")),
        "d": Bundle(),
        "self": Bundle(includes=("self",)),
    }
    with pytest.raises(ScopeError) as caught:
        ScopeCatalogue((), bundles)
    assert [text for _, text in caught.value.problems] == [
        "bundles include each other in a circle: a -> b -> c -> a",
        "bundles include each other in a circle: self -> self",
    ]


def test_a_bundle_may_be_reached_in_two_ways() -> None:
    bundles = {
        "top": Bundle(includes=("left", "right")),
        "left": Bundle(includes=("base",)),
        "right": Bundle(includes=("base",)),
        "base": Bundle(add=("x",)),
    }
    assert ScopeCatalogue(("x",), bundles).expand(("top",)) == {"x"}


def test_bundles_with_unknown_members_are_refused_with_the_nearest_ones() -> None:
    bundles = {"reader": Bundle(includes=("reder",), add=("jobs:raed", "*:gone"))}
    with pytest.raises(ScopeError) as caught:
        ScopeCatalogue(("jobs:read",), bundles)
    assert [text for _, text in caught.value.problems] == [
        "bundle 'reader' includes unknown bundle 'reder' (did you mean 'reader'?)",
        "bundle 'reader' adds unknown scope 'jobs:raed' (did you mean 'jobs:read'?)",
        "bundle 'reader' adds unknown scope '*:gone'",
    ]


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "a\\b", "jobs:*", "jobs:", ":read", "jöbs"])
def test_names_that_a_challenge_could_not_carry_are_refused(name: str) -> None:
    """RFC 6750 section 3 puts scopes into `scope="..."`."""
    with pytest.raises(ScopeError, match="not a scope name"):
        ScopeCatalogue((name,))
    with pytest.raises(ScopeError, match="not a scope name"):
        ScopeCatalogue(("x",), {name: Bundle(add=("x",))})


def test_a_name_is_an_atom_or_a_bundle() -> None:
    with pytest.raises(ScopeError, match="both a scope and a bundle"):
        ScopeCatalogue(("read",), {"read": Bundle(add=("read",))})


@given(NAMES, NAMES)
def test_granting_more_names_never_grants_less(names: list[str], more: list[str]) -> None:
    assert HIREPANDA.expand(names) <= HIREPANDA.expand([*names, *more]) <= HIREPANDA.atoms
    assert HIREPANDA.expand(names) | HIREPANDA.expand(more) == HIREPANDA.expand(names + more)
