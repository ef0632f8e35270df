from __future__ import annotations

import re

import pytest

from gateway.domain.denial import VERDICTS, Blame, Denial, Reason


def test_every_reason_has_a_verdict_and_no_verdict_lacks_its_reason() -> None:
    assert set(VERDICTS) == set(Reason)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("missing_credentials", 401), ("malformed_credentials", 401),
        ("duplicate_credentials", 400), ("bad_checksum", 401), ("unknown_key", 401),
        ("key_expired", 401), ("key_suspended", 401), ("key_revoked", 401),
        ("tenant_suspended", 403), ("env_mismatch", 403), ("ip_not_allowed", 403),
        ("insufficient_scope", 403), ("cross_tenant", 403), ("tenant_required", 400),
        ("rate_limited", 429), ("quota_exceeded", 429), ("concurrency_limited", 429),
        ("auth_throttled", 429), ("no_route", 404), ("method_not_allowed", 405),
        ("body_too_large", 413), ("uri_too_long", 414), ("headers_too_large", 431),
        ("upstream_unreachable", 502), ("upstream_bad_response", 502), ("upstream_timeout", 504),
        ("circuit_open", 503), ("no_healthy_upstream", 503), ("store_unavailable", 503),
        ("limiter_unavailable", 503), ("shutting_down", 503), ("internal", 500),
    ],
)  # fmt: skip
def test_the_reasons_of_the_contract_have_their_default_status(reason: str, status: int) -> None:
    assert VERDICTS[Reason(reason)].status == status


@pytest.mark.parametrize("reason", Reason)
def test_every_verdict_can_be_shown_logged_and_documented(reason: Reason) -> None:
    verdict = VERDICTS[reason]
    assert 400 <= verdict.status <= 599
    assert verdict.blame in Blame
    assert verdict.log_level in {"info", "warning", "error", "critical"}
    assert verdict.title
    assert not verdict.title.endswith(".")
    for sentence in (verdict.detail, verdict.remedy):
        assert sentence.endswith(".")
    # Table cells of the reference and challenges must need no escape.
    assert not set(verdict.detail) & set('"\\|\n')


@pytest.mark.parametrize("reason", Reason)
def test_public_texts_tell_no_digest_address_or_store(reason: Reason) -> None:
    public = f"{VERDICTS[reason].title} {VERDICTS[reason].detail}".lower()
    assert not re.search(r"[0-9a-f]{16}|\d+\.\d+\.\d+\.\d+|::", public)
    for word in ("digest", "hmac", "pepper", "sqlite", "postgres", "redis", "table", "traceback"):
        assert word not in public


def test_an_unknown_and_a_revoked_key_read_the_same() -> None:
    details = {
        VERDICTS[reason].detail
        for reason in (
            Reason.UNKNOWN_KEY,
            Reason.BAD_CHECKSUM,
            Reason.KEY_REVOKED,
            Reason.MALFORMED_CREDENTIALS,
        )
    }
    assert details == {"The API key is invalid."}


def test_client_errors_blame_the_client_and_server_errors_do_not() -> None:
    for reason, verdict in VERDICTS.items():
        # A request for what the gateway does not know is answered by a 5xx all the same.
        if reason in (Reason.NOT_IMPLEMENTED, Reason.VERSION_NOT_SUPPORTED):
            assert verdict.blame is Blame.CLIENT
        else:
            assert (verdict.blame is Blame.CLIENT) == (verdict.status < 500)


def test_waiting_is_proposed_where_it_helps_and_nowhere_else() -> None:
    for verdict in VERDICTS.values():
        assert (verdict.retry_after_seconds >= 1) == (verdict.status in (429, 503))
        if verdict.status == 503:
            assert verdict.retry_after_seconds <= 5


def test_a_denial_names_nothing_unless_it_is_told() -> None:
    denial = Denial(reason=Reason.NO_ROUTE)
    assert denial == Denial(
        reason=Reason.NO_ROUTE,
        required_scopes=(),
        client_address="",
        allow=(),
        retry_after_seconds=0,
        violated_policies=(),
        limit=0,
        remaining=0,
        reset_seconds=0,
        grant=None,
        internal="",
    )
