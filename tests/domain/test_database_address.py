from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.database_address import DatabaseAddress, read_address


def test_the_parts_of_an_address_are_read() -> None:
    found = read_address("postgresql://toll:s%40cret@db.example:6432/keys?sslmode=verify-ca")
    assert found == DatabaseAddress(
        hosts=(("db.example", 6432),),
        user="toll",
        password="s@cret",
        database="keys",
        tls_mode="verify-ca",
    )


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgres://u@h/d", [("h", 5432)]),
        ("postgresql://u@[2001:db8::1]:99/d", [("2001:db8::1", 99)]),
        ("postgresql://u@[::1]/d", [("::1", 5432)]),
        ("postgresql://u@a:1,b,c:3/d", [("a", 1), ("b", 5432), ("c", 3)]),
        ("postgresql://u@/d?host=/run/postgresql", [("/run/postgresql", 5432)]),
        ("postgresql://u@:99/d?host=/run/postgresql", [("/run/postgresql", 99)]),
        ("postgresql://u@%2Frun%2Fpg/d", [("/run/pg", 5432)]),
        (" postgresql://u@h/d\n", [("h", 5432)]),  # as a file holds it
    ],
)
def test_hosts_may_be_names_addresses_several_or_a_folder(
    text: str, hosts: list[tuple[str, int]]
) -> None:
    assert list(read_address(text).hosts) == hosts


@pytest.mark.parametrize(
    ("hosts", "is_local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("[::1]", True),
        ("%2Frun%2Fpg", True),
        ("localhost,db.example", False),
        ("10.0.0.1", False),
        ("127.example", False),
        ("localhost.example", False),
    ],
)
def test_only_this_machine_is_local(hosts: str, is_local: bool) -> None:
    assert read_address(f"postgresql://u@{hosts}/d").is_local is is_local


def test_a_password_may_be_pasted_as_it_is() -> None:
    found = read_address("postgresql://u:p@ss:w@h/d")
    assert (found.password, found.hosts) == ("p@ss:w", (("h", 5432),))


def test_settings_of_the_session_may_be_named() -> None:
    found = read_address("postgresql://u@h/d?search_path=tollhouse&application_name=gw")
    assert found.settings == {"search_path": "tollhouse", "application_name": "gw"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "such as postgresql://"),
        ("mysql://u@h/d", "such as postgresql://"),
        ("data/tollhouse.db", "such as postgresql://"),
        ("postgresql://u@h/d#x", "such as postgresql://"),
        ("postgresql://h/d", "names no user"),
        ("postgresql://:s@h/d", "names no user"),
        ("postgresql://u@h", "names no database"),
        ("postgresql://u@h/", "names no database"),
        ("postgresql://u@/d", "names no host"),
        ("postgresql://u@a,/d", "names no host"),
        ("postgresql://u@[::1/d", "names no host"),
        ("postgresql://u@h:0/d", "a port that does not exist"),
        ("postgresql://u@h:70000/d", "a port that does not exist"),
        ("postgresql://u@h/d?host=/run", "choose one"),
        ("postgresql://u@/d?host=db", "folder of a unix socket"),
        ("postgresql://u@h/d?sslmode=prefer", "`sslmode` is one of disable"),
        ("postgresql://u@h/d?options=-cx", "a parameter that is not known"),
    ],
)
def test_what_is_no_address_is_refused_with_advice(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        read_address(text.replace("u@", "u:hunter2@"))
    assert "hunter2" not in str(caught.value)


def test_what_is_shown_of_an_address_holds_no_password() -> None:
    found = read_address("postgresql://u:hunter2@h,[::1]:99/d?sslmode=require")
    assert str(found) == "postgresql://u@h:5432,[::1]:99/d"
    assert "hunter2" not in repr(found)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for each in (text, f"postgresql://{text}", f"postgresql://u@h/d?{text}"):
        try:
            read_address(each)
        except ValueError:
            continue
