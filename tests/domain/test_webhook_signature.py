"""Webhooks are signed as Standard Webhooks say: JH-13."""

from __future__ import annotations

from base64 import b64encode

import pytest

from gateway.domain.webhook_signature import secret_bytes, signature

# The example of the specification (standard-webhooks/standard-webhooks, spec/standard-webhooks.md).
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def test_jh_13_a_signature_is_the_one_of_the_published_example() -> None:
    given = signature([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_secret_signs_so_that_receivers_can_change_theirs() -> None:
    other = "whsec_" + b64encode(b"o" * 32).decode()
    both = signature([SECRET, other], "msg_1", 1, BODY).split(" ")
    assert both == [signature([each], "msg_1", 1, BODY) for each in (SECRET, other)]


def test_id_time_and_body_are_all_signed() -> None:
    signed = {
        signature([SECRET], message_id, moment, body)
        for message_id in ("msg_1", "msg_2")
        for moment in (1, 2)
        for body in (b"1", b"2")
    }
    assert len(signed) == 8


@pytest.mark.parametrize(
    ("secret", "complaint"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must begin with whsec_"),
        ("whsec_no base64!", "must be whsec_ and Base64"),
        ("whsec_" + b64encode(b"x" * 23).decode(), "must hold 24 to 64 bytes"),
        ("whsec_" + b64encode(b"x" * 65).decode(), "must hold 24 to 64 bytes"),
    ],
)
def test_a_weak_or_broken_secret_is_refused_without_repeating_it(
    secret: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        secret_bytes(secret)
    assert secret.removeprefix("whsec_") not in str(refused.value)


def test_a_secret_of_the_right_length_is_taken() -> None:
    for length in (24, 64):
        assert secret_bytes("whsec_" + b64encode(b"x" * length).decode()) == b"x" * length
