"""What everybody who changes keys works with: store, ledger, rules, policies, mint, steps.

Knows how they are put together, once per configuration. It must not know what is done with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.key_rules import Rules
from gateway.domain.policies import Policies
from gateway.keyring.ledger import Ledger
from gateway.keyring.minting import Mint
from gateway.keyring.steps import Steps
from gateway.ports import Clock, KeyStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """The tools of one keyring."""

    store: KeyStore
    clock: Clock
    ledger: Ledger
    rules: Rules
    policies: Policies
    mint: Mint
    steps: Steps
