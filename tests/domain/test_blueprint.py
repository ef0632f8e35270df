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
            ip_allowlist_mode="shadow",
            metadata={"owner": "ci", "n": 1},
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
        "ip_allowlist_mode": "enforce",
        "plan": "",
        "tags": (),
        "metadata": {},
        "template": "all",
        "kind": "regular",
        "tenants": (),
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
    assert fields == {
        "tenant_id": "ten_a",
        "name": "Key",
        "format": "sk",
        "environment": "test",
        "scopes": ("read",),
        "ip_allowlist": ("10.0.0.0/8",),
        "ip_allowlist_mode": "shadow",
        "plan": "free",
        "tags": ("ci",),
        "metadata": {"owner": "ci", "n": 1},
        "template": "ci",
        "kind": "regular",
        "tenants": (),
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
            metadata={"a": 1, "n": 2},
            ip_allowlist_mode="enforce",
            kind="multi_tenant",
            tenants=("ten_b",),
        ),
        NOW,
    )
    assert fields["metadata"] == {"owner": "ci", "n": 2, "a": 1}
    assert (fields["kind"], fields["tenants"]) == ("multi_tenant", ("ten_b",))
    assert (fields["ip_allowlist_mode"], fields["template"]) == ("enforce", "ci")
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


def test_a_tenant_s_default_template_comes_before_the_product_s() -> None:
    """X-17: least privilege or full access, as the tenant wants it."""
    fields = TWO.complete(_wish(), NOW, "ci")
    assert (fields["template"], fields["scopes"]) == ("ci", ("read",))
    assert TWO.complete(_wish(template="all"), NOW, "ci")["template"] == "all"
    assert TWO.complete(_wish(scopes=()), NOW, "ci")["template"] == ""


def test_a_default_template_that_left_the_config_decides_nothing() -> None:
    wish = _wish()
    fields = ONE.complete(wish, NOW, "gone")
    assert [text for _, text in ONE.problems(wish, fields)] == [
        "give scopes, or a template (declared: all, ci)"
    ]


def test_a_template_may_stand_for_integration_keys() -> None:
    """IV-12, IV-14."""
    ats = Template(name="ats", scopes=("read",), kind="multi_tenant")
    blueprints = Blueprints(KeyFormats((PD,)), Templates(by_name={"ats": ats}), {})
    assert blueprints.complete(_wish(template="ats"), NOW)["kind"] == "multi_tenant"
    assert blueprints.complete(_wish(template="ats", kind="regular"), NOW)["kind"] == "regular"


@pytest.mark.parametrize(
    ("blueprints", "name", "environment", "found"),
    [
        (TWO, "sk", "live", SK),
        (TWO, "imported", "test", SK),
        (TWO, "imported", "live", None),
        (ONE, "imported", "live", PD),
        (ONE, "imported", "test", None),
    ],
)
def test_a_key_that_nobody_here_minted_is_replaced_by_one_of_the_only_format_that_mints(
    blueprints: Blueprints, name: str, environment: str, found: KeyFormat | None
) -> None:
    assert blueprints.minting_format(name, environment) == found
