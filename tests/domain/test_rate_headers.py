"""Each profile's fields, byte for byte, with numbers that agree with each other."""

from __future__ import annotations

import re
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.limits import Claim, Concurrency, Grant, Quota, Rate, Rule, Standing
from gateway.domain.rate_headers import PROFILES, RateHeaders, policy_name

NOW = 1_700_000_000.25
MINUTE = Rate(name="minute", limit=300, window_seconds=60, burst=300)
HOUR = Rate(name="hour", limit=2000, window_seconds=3600, burst=2000)
MONTH = Quota(name="month", limit=100_000, period="month")
AT_ONCE = Concurrency(name="concurrency", limit=50)

Item = tuple[str, dict[str, int | str]]


def claim(rule: Rule, owner: str = "lineage") -> Claim:
    return Claim(bucket=f"{owner}:x:pro:{rule.name}", policy=f"pro/{rule.name}", rule=rule)


def standing(rule: Rule, remaining: int, reset: int, owner: str = "lineage") -> Standing:
    return Standing(claim(rule, owner), remaining, reset)


def grant(*standings: Standing, at: float = NOW) -> Grant:
    return Grant(standings, measured_at=at)


def refusal(*standings: Standing) -> Grant:
    wait = standings[0].reset_seconds
    return Grant(standings, refused=standings[0].claim, retry_after_seconds=wait, measured_at=NOW)


def fields(block: bytes) -> dict[str, str]:
    """Read a header block strictly: `Name: value` lines, CR LF after each, no name twice."""
    assert block == b"" or block.endswith(b"\r\n")
    lines = block.decode("ascii").split("\r\n")[:-1]
    pairs = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name, _ in pairs)
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return dict(pairs)


STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
PARAMETER = rf";([a-z*][a-z0-9_.*-]*)=(-?[0-9]{{1,15}}|{STRING})"


def parse_list(text: str) -> list[Item]:
    """Read a List of Strings with parameters (RFC 9651 section 4.2.1), strictly."""
    items: list[Item] = []
    while True:
        member = re.match(rf"({STRING})((?:{PARAMETER})*)", text)
        assert member, text
        parameters: dict[str, int | str] = {
            key: value if value.startswith('"') else int(value)
            for key, value in re.findall(PARAMETER, member[2])
        }
        items.append((re.sub(r"\\(.)", r"\1", member[1][1:-1]), parameters))
        text = text[member.end() :]
        if not text:
            return items
        assert text.startswith(", ")
        text = text[2:]


def test_jobhive_tells_the_most_restrictive_bucket_as_jh21_shows_it() -> None:
    answer = RateHeaders(["jobhive"]).render(
        grant(standing(MINUTE, 299, 60), standing(MONTH, 99_999, 9999), at=1640995140.0),
        0,
        1640995140.0,
    )
    assert answer == (
        b"X-RateLimit-Limit: 300\r\n"
        b"X-RateLimit-Remaining: 299\r\n"
        b"X-RateLimit-Reset: 1640995200\r\n"
        b"X-RateLimit-Retry-After: 60\r\n"
    )


def test_instaview_tells_each_window_once_by_its_most_restrictive_bucket() -> None:
    answer = RateHeaders(["instaview"]).render(
        grant(
            standing(MINUTE, 10, 58, "tenant"),
            standing(MINUTE, 200, 20),
            standing(HOUR, 1900, 180),
            standing(Rate(name="odd", limit=5, window_seconds=7, burst=5), 5, 0),
            at=1000.0,
        ),
        0,
        1000.0,
    )
    assert fields(answer) == {
        "X-RateLimit-Limit-Minute": "300",
        "X-RateLimit-Remaining-Minute": "10",
        "X-RateLimit-Reset-Minute": "1058",
        "X-RateLimit-Limit-Hour": "2000",
        "X-RateLimit-Remaining-Hour": "1900",
        "X-RateLimit-Reset-Hour": "1180",
    }


def test_instaview_names_quotas_by_their_period_and_leaves_concurrency_out() -> None:
    answer = RateHeaders(["instaview"]).render(
        refusal(standing(AT_ONCE, 0, 1), standing(MONTH, 5, 100)), 1, NOW
    )
    assert fields(answer) == {
        "X-RateLimit-Limit-Month": "100000",
        "X-RateLimit-Remaining-Month": "5",
        "X-RateLimit-Reset-Month": "1700000100",
    }


def test_draft_tells_every_policy_and_the_most_restrictive_bucket() -> None:
    answer = RateHeaders(["draft"]).render(
        grant(
            standing(MINUTE, 299, 12),
            standing(MONTH, 99_999, 5000),
            standing(MINUTE, 300, 0, "tenant"),
        ),
        0,
        NOW,
    )
    assert answer == (
        b'RateLimit-Policy: "minute";q=300;w=60, "month";q=100000;w=2592000,'
        b' "tenant-minute";q=300;w=60\r\n'
        b'RateLimit: "minute";r=299;t=12\r\n'
    )


@pytest.mark.parametrize("owner", ["lineage", "tenant", "route"])
def test_an_error_calls_a_policy_what_the_header_calls_it(owner: str) -> None:
    told = fields(RateHeaders(["draft"]).render(grant(standing(MINUTE, 1, 1, owner)), 0, NOW))
    assert parse_list(told["RateLimit-Policy"])[0][0] == policy_name(claim(MINUTE, owner))


def test_draft_names_the_unit_of_a_policy_that_counts_no_window() -> None:
    answer = RateHeaders(["draft"]).render(
        refusal(standing(AT_ONCE, 0, 1), standing(MINUTE, 9, 59), standing(MONTH, 8, 1)), 1, NOW
    )
    assert fields(answer)["RateLimit"] == '"concurrency";r=0;t=1'
    assert fields(answer)["RateLimit-Policy"].startswith(
        '"concurrency";q=50;qu="concurrent-requests", '
    )


def test_draft03_tells_seconds() -> None:
    answer = RateHeaders(["draft03"]).render(grant(standing(MINUTE, 299, 12)), 0, NOW)
    assert answer == b"RateLimit-Limit: 300\r\nRateLimit-Remaining: 299\r\nRateLimit-Reset: 12\r\n"


def test_off_tells_nothing_and_lets_upstream_fields_pass() -> None:
    headers = RateHeaders(["off"])
    assert headers.render(grant(standing(MINUTE, 1, 1)), 0, NOW) == b""
    assert headers.render_fallback(1, 1, 1, 0, NOW) == b""
    assert headers.names == frozenset()


def test_profiles_combine_in_the_given_order() -> None:
    headers = RateHeaders(["draft03", "jobhive", "draft03"])
    assert headers.expose_names() == (
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "X-RateLimit-Retry-After",
    )
    answer = headers.render(grant(standing(MINUTE, 1, 1)), 0, NOW)
    assert tuple(fields(answer)) == headers.expose_names()


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        (["jobhiv"], "unknown rate header profile 'jobhiv': use jobhive, instaview, draft"),
        (["off", "draft"], "'off' stands alone"),
    ],
)
def test_a_wrong_choice_of_profiles_is_refused(profiles: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RateHeaders(profiles)


def test_nothing_is_told_where_nothing_is_limited() -> None:
    headers = RateHeaders(["jobhive"])
    assert headers.render(None, 0, NOW) == b""
    assert headers.render(grant(), 0, NOW) == b""


def test_a_refusal_speaks_with_one_number_also_when_the_denial_has_jitter() -> None:
    headers = RateHeaders(["jobhive", "draft", "draft03"])
    for told, seconds in ((0, 7), (9, 9)):
        told_fields = fields(headers.render(refusal(standing(MINUTE, 0, 7)), told, NOW))
        assert told_fields["X-RateLimit-Retry-After"] == str(seconds)
        assert told_fields["X-RateLimit-Reset"] == str(ceil(NOW) + seconds)
        assert told_fields["RateLimit"] == f'"minute";r=0;t={seconds}'
        assert told_fields["RateLimit-Reset"] == str(seconds)


def test_the_retry_of_an_answer_that_no_limit_refused_is_the_denials() -> None:
    told = fields(RateHeaders(["jobhive"]).render(grant(standing(MINUTE, 9, 60)), 5, NOW))
    assert told["X-RateLimit-Retry-After"] == "5"
    assert told["X-RateLimit-Reset"] == str(ceil(NOW) + 60)


def test_a_quota_resets_on_the_second_at_which_its_period_ends() -> None:
    told = fields(RateHeaders(["jobhive"]).render(grant(standing(MONTH, 9, 1000)), 0, NOW))
    assert told["X-RateLimit-Reset"] == "1700001000"


def test_standings_age_while_a_request_is_answered() -> None:
    headers = RateHeaders(["jobhive", "draft"])
    for later, left in ((4.5, 6), (99.0, 0), (-5.0, 10)):
        told = fields(headers.render(grant(standing(MINUTE, 9, 10)), 0, NOW + later))
        assert told["X-RateLimit-Reset"] == str(ceil(NOW) + 10), "an instant does not move"
        assert told["X-RateLimit-Retry-After"] == str(left)
        assert told["RateLimit"] == f'"minute";r=9;t={left}'


def test_a_grant_without_a_time_is_taken_as_fresh() -> None:
    told = fields(RateHeaders(["jobhive"]).render(grant(standing(MINUTE, 9, 10), at=0), 0, 100.0))
    assert told["X-RateLimit-Reset"] == "110"


def test_a_reload_that_changes_a_rule_changes_its_policy() -> None:
    headers = RateHeaders(["draft"])
    for limit in (10, 20):
        rule = Rate(name="minute", limit=limit, window_seconds=60, burst=limit)
        told = fields(headers.render(grant(standing(rule, 1, 1)), 0, NOW))
        assert told["RateLimit-Policy"] == f'"minute";q={limit};w=60'


@pytest.mark.parametrize("profile", ["jobhive", "instaview"])
def test_a_profile_for_all_responses_has_its_fields_where_no_bucket_was_asked(profile: str) -> None:
    headers = RateHeaders([profile])
    allowed = fields(headers.render_fallback(20, 19, 3, 0, 1000.0))
    assert {name.lower().encode() for name in allowed} <= headers.names
    numbers = " ".join(allowed.values())
    assert "20" in numbers
    assert "19" in numbers
    refused = " ".join(fields(headers.render_fallback(20, 0, 60, 3, 1000.0)).values())
    assert "60" not in refused.replace("w=60", ""), "one number: the wait"


@pytest.mark.parametrize("profile", ["draft", "draft03", "off"])
def test_other_profiles_tell_a_stranger_nothing(profile: str) -> None:
    assert RateHeaders([profile]).render_fallback(20, 19, 3, 0, 1000.0) == b""


def test_the_fallback_tells_the_throttle_of_an_address() -> None:
    headers = RateHeaders(["jobhive", "draft", "instaview"])
    assert fields(headers.render_fallback(20, 19, 3, 0, 1000.0)) == {
        "X-RateLimit-Limit": "20",
        "X-RateLimit-Remaining": "19",
        "X-RateLimit-Reset": "1003",
        "X-RateLimit-Retry-After": "3",
        "X-RateLimit-Limit-Minute": "20",
        "X-RateLimit-Remaining-Minute": "19",
        "X-RateLimit-Reset-Minute": "1003",
    }


NAMES = st.text(min_size=1, max_size=12)
RULES = st.one_of(
    st.builds(
        lambda name, limit, window: Rate(
            name=name, limit=limit, window_seconds=window, burst=limit
        ),
        NAMES,
        st.integers(1, 10**12),
        st.sampled_from([1, 7, 60, 3600, 86400]),
    ),
    st.builds(
        lambda name, limit, period: Quota(name=name, limit=limit, period=period),
        NAMES,
        st.integers(1, 10**12),
        st.sampled_from(["hour", "day", "month"]),
    ),
    st.builds(
        lambda name, limit: Concurrency(name=name, limit=limit), NAMES, st.integers(1, 10**12)
    ),
)
STANDINGS = st.lists(
    st.builds(
        lambda rule, share, reset, owner: standing(rule, int(rule.limit * share), reset, owner),
        RULES,
        st.floats(0, 1),
        st.one_of(st.integers(1, 3600), st.integers(1, 10**14)),
        st.sampled_from(["lineage", "tenant", "route"]),
    ),
    min_size=1,
    max_size=5,
)


@given(STANDINGS, st.booleans(), st.integers(1, 3600))
def test_draft_fields_are_structured_fields_that_never_contradict_the_retry(
    standings: list[Standing], is_refused: bool, wait: int
) -> None:
    if is_refused:
        standings[0].reset_seconds = wait
        made = refusal(*standings)
    else:
        made = grant(*standings)
    told = fields(RateHeaders(["draft"]).render(made, wait if is_refused else 0, NOW))
    policies, limits = parse_list(told["RateLimit-Policy"]), parse_list(told["RateLimit"])
    assert [name for name, _ in limits] == [policies[0][0]]
    for (_, policy), each in zip(policies, standings, strict=True):
        assert policy["q"] == each.claim.rule.limit
        assert ("w" in policy) is not ("qu" in policy)
    assert limits[0][1]["r"] == standings[0].remaining
    assert limits[0][1]["t"] == (wait if is_refused else standings[0].reset_seconds)


@given(STANDINGS, st.sets(st.sampled_from([p for p in PROFILES if p != "off"])), st.booleans())
def test_every_field_that_is_rendered_is_announced(
    standings: list[Standing], profiles: set[str], is_refused: bool
) -> None:
    headers = RateHeaders(profiles)
    told = fields(headers.render((refusal if is_refused else grant)(*standings), 0, NOW))
    assert {name.lower().encode() for name in told} <= headers.names
    assert set(told) <= set(headers.expose_names())
    if is_refused and "jobhive" in profiles:
        assert int(told["X-RateLimit-Retry-After"]) >= 1


def test_policies_are_remembered_for_the_claims_of_a_key_and_only_for_them() -> None:
    headers = RateHeaders(["draft"])
    for _ in range(2):
        for rule in (MINUTE, HOUR):
            claims = (claim(rule),)
            for _ in range(2):
                made = Grant.admit(claims, [0], (), NOW)
                told = fields(headers.render(made, 0, NOW))
                assert told["RateLimit-Policy"].startswith(f'"{rule.name}";q={rule.limit}')
                assert told["RateLimit"].startswith(f'"{rule.name}";r={rule.limit}')


def test_what_is_remembered_of_policies_is_bounded() -> None:
    headers = RateHeaders(["draft"])
    kept = [(claim(MINUTE),) for _ in range(10_001)]
    for claims in kept:
        headers.render(Grant.admit(claims, [0], (), NOW), 0, NOW)
    told = fields(headers.render(Grant.admit(kept[0], [0], (), NOW), 0, NOW))
    assert told["RateLimit-Policy"] == '"minute";q=300;w=60'
