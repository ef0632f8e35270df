from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.digest import Peppers


@given(st.binary(min_size=32, max_size=200), st.binary(max_size=600))
def test_a_digest_is_hmac_sha256(pepper: bytes, token: bytes) -> None:
    """IV-1. Keys longer than a block are hashed first (RFC 2104 section 2)."""
    assert Peppers("p", {"p": pepper}).digest(token) == hmac.digest(pepper, token, hashlib.sha256)


def test_digests_are_made_with_every_pepper_the_current_one_first() -> None:
    peppers = Peppers("p2", {"p1": b"1" * 32, "p2": b"2" * 32, "p3": b"3" * 32})
    digests = peppers.digests(b"token")
    assert [pepper_id for pepper_id, _ in digests] == ["p2", "p1", "p3"] == list(peppers.ids)
    assert digests[0][1] == peppers.digest(b"token")
    assert len({digest for _, digest in digests}) == 3


def test_a_digest_depends_on_nothing_but_pepper_and_token() -> None:
    peppers = Peppers("p", {"p": b"1" * 32})
    assert peppers.digest(b"a") == peppers.digest(b"a") != peppers.digest(b"b")


def test_a_short_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match="'p1' has 31 bytes; give it at least 32"):
        Peppers("p2", {"p1": b"1" * 31, "p2": b"2" * 32})


def test_a_missing_current_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the current pepper 'p2' is not among \['p1'\]"):
        Peppers("p2", {"p1": b"1" * 32})


def test_peppers_never_appear_in_text() -> None:
    peppers = Peppers("p1", {"p1": b"secret" * 8})
    assert repr(peppers) == "Peppers(current='p1', ids=('p1',))"
    with pytest.raises(ValueError, match="p1") as caught:
        Peppers("p1", {"p1": b"secret"})
    assert "secret" not in str(caught.value)


def test_peppers_are_equal_when_they_make_equal_digests_in_the_same_order() -> None:
    one = Peppers("a", {"a": b"a" * 32, "b": b"b" * 32})
    assert one == Peppers("a", {"b": b"b" * 32, "a": b"a" * 32})
    assert hash(one) == hash(Peppers("a", {"a": b"a" * 32, "b": b"b" * 32}))
    assert one != Peppers("b", {"a": b"a" * 32, "b": b"b" * 32})
    assert one != Peppers("a", {"a": b"x" * 32, "b": b"b" * 32})
    assert one != "a"
