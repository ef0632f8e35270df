from __future__ import annotations

import pytest

from gateway.domain.blueprint import Blueprints, KeyWish
from gateway.domain.key_format import KeyFormat, KeyFormats
from gateway.domain.templates import Template, Templates

NOW = 1_000.0
SK = KeyFormat("sk", "sk", ("live", "test"))
PD = KeyFormat("pd", "pd", ("live",))
FOREIGN = KeyFormat("imported", "", ("live",), has_checksum=False)
TEMPLATES = Templates(
    by_name={
        "ci": Template(
            name="ci",
            scopes=("read",),
            format="sk",
            environment="test",
            plan="free",
            ip_allowlist=("10.0.0.0/8",),
            tags=("ci",),
            expires_after_seconds=60.0,
        ),
        "all": Template(name="all", scopes=("*",)),
    },
    default="all",
)
ONE = Blueprints(KeyFormats((PD, FOREIGN)), TEMPLATES, {})
TWO = Blueprints(KeyFormats((SK, PD)), TEMPLATES, {"production": "live"})
NO_DEFAULT = Blueprints(KeyFormats((PD,)), Templates(), {})


def _wish(**values: object) -> KeyWish:
    return KeyWish(tenant_id="ten_a", name="Key", **values)  # type: ignore[arg-type]


def test_a_key_without_wishes_gets_the_default_template_and_the_only_choices() -> None:
    """JH-18, JH-20."""
    wish = _wish()
    fields = ONE.complete(wish, NOW)
    assert fields == {
        "tenant_id": "ten_a",
        "name": "Key",
        "format": "pd",
        "environment": "live",
        "scopes": ("*",),
        "ip_allowlist": (),
        "plan": "",
        "tags": (),
        "metadata": {},
        "expires_at": None,
    }
    assert list(ONE.problems(wish, fields)) == []


def test_scopes_that_are_asked_for_are_exactly_those_given() -> None:
    """JH-18: with scopes, the default template does not count."""
    assert ONE.complete(_wish(scopes=("jobs:read",)), NOW)["scopes"] == ("jobs:read",)
    assert ONE.complete(_wish(scopes=()), NOW)["scopes"] == ()
    assert ONE.template_of(_wish(scopes=())).name == ""


def test_a_template_fills_what_is_not_asked_for() -> None:
    """HP-16: scopes, limits, environment, expiry of a kind of key."""
    fields = TWO.complete(_wish(template="ci"), NOW)
    assert {**fields, "metadata": None} == {
        "tenant_id": "ten_a",
        "name": "Key",
        "format": "sk",
        "environment": "test",
        "scopes": ("read",),
        "ip_allowlist": ("10.0.0.0/8",),
        "plan": "free",
        "tags": ("ci",),
        "metadata": None,
        "expires_at": 1_060.0,
    }


def test_a_wish_wins_over_its_template() -> None:
    fields = TWO.complete(
        _wish(
            template="ci",
            format="pd",
            environment="production",
            scopes=("write",),
            ip_allowlist=(),
            plan="pro",
            tags=("x",),
            expires_at=5_000.0,
            metadata={"a": 1},
        ),
        NOW,
    )
    assert fields["environment"] == "live"  # JH-27: names have aliases
    assert (fields["format"], fields["scopes"], fields["plan"]) == ("pd", ("write",), "pro")
    assert (fields["ip_allowlist"], fields["tags"], fields["expires_at"]) == ((), ("x",), 5_000.0)


@pytest.mark.parametrize(
    ("blueprints", "wish", "expected"),
    [
        (TWO, _wish(), ["/format: must name a format that mints keys (declared: pd, sk)"]),
        (ONE, _wish(format="imported"), ["/format: must name a format"]),
        (TWO, _wish(format="sk"), ["/environment: format 'sk' has the environments live, test"]),
        (ONE, _wish(environment="test"), ["/environment: format 'pd'"]),
        (ONE, _wish(template="x"), ["/template: unknown template 'x' (declared: all, ci)"]),
        (NO_DEFAULT, _wish(), ["/scopes: give scopes, or a template (declared: none)"]),
    ],
)
def test_what_cannot_be_decided_is_told(
    blueprints: Blueprints, wish: KeyWish, expected: list[str]
) -> None:
    problems = blueprints.problems(wish, blueprints.complete(wish, NOW))
    texts = [f"{pointer}: {text}" for pointer, text in problems]
    assert len(texts) == len(expected)
    assert all(text.startswith(start) for text, start in zip(texts, expected, strict=True))
