"""Proof by type: what each step demands can only be had from the step before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

from gateway.domain.limits import Grant
from gateway.domain.routes import Match
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.authorize import authorize
from gateway.pipeline.forward import forward
from gateway.pipeline.introspect import introspect
from gateway.pipeline.limit import limit
from gateway.pipeline.values import Admission, Permit, Principal, Reply
from tests.pipeline.samples import bound, head, matched


@pytest.mark.parametrize(
    ("step", "demands"),
    [
        (Authenticator.authenticate, Match),
        (authorize, Principal),
        (limit, Permit),
        (forward, Admission),
        (introspect, Admission),
    ],
)
def test_each_step_takes_what_the_step_before_it_made(
    step: Callable[..., Any], demands: type
) -> None:
    hints = get_type_hints(step)
    hints.pop("return")
    assert next(iter(hints.values())) is demands


def test_an_admission_leads_back_to_the_match_it_was_made_for() -> None:
    match, key = matched(head()), bound()
    grant = Grant(())
    admission = Admission(Permit(Principal(match, key)), grant)
    assert admission.permit.principal.match is match
    assert admission.permit.principal.key is key
    assert admission.grant is grant


def test_a_reply_says_how_the_response_of_which_upstream_ended() -> None:
    reply = Reply(206, ended="complete", upstream="up", target="http://a:1", upstream_seconds=0.5)
    assert (reply.status, reply.ended, reply.upstream) == (206, "complete", "up")
    assert (reply.target, reply.upstream_seconds) == ("http://a:1", 0.5)


@pytest.mark.parametrize("kind", [Principal, Permit, Admission, Reply])
def test_nothing_travels_sideways_on_a_value(kind: type) -> None:
    assert "__dict__" not in dir(kind)
