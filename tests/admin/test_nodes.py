"""The gateways that share a store, over the admin API and the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.control.cluster import NodeReport
from gateway.domain.nodes import Node
from tests.cli.serving import command, served
from tests.config.sample import HEAD, write


class TwoNodes:
    """Implements `gateway.admin.nodes.Nodes`: one that answers and leads, and one that is gone."""

    async def report(self) -> Sequence[NodeReport]:
        values = {"version": "1.2.3", "started_at": 1_700_000_000.0, "lease_seconds": 10.0}
        return [
            NodeReport(
                node=Node(
                    node_id=f"node_{name}",
                    name=name,
                    address=f"192.0.2.1:{n}",
                    acknowledged_revision=7 + n,
                    is_leader=True,
                    **values,  # type: ignore[arg-type]
                ),
                is_self=n == 0,
                is_live=n == 0,
                age_seconds=n * 60.0,
            )
            for n, name in enumerate(("a", "b"))
        ]


def test_gateways_are_listed_with_who_lives_and_who_leads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path / "admin.sock", nodes=TwoNodes()) as address:
        assert command("nodes", "list", "--admin", address, "--output", "json") == 0
        first, second = json.loads(capsys.readouterr().out)
        assert (first["name"], first["node_id"], first["state"]) == ("a", "node_a", "live")
        assert (first["is_self"], first["is_leader"], first["acknowledged_revision"]) == (
            True,
            True,
            7,
        )
        assert first["started_at"] == "2023-11-14T22:13:20Z"
        # Who is gone leads nobody, whatever it said last.
        assert (second["state"], second["is_leader"], second["is_self"]) == ("lost", False, False)
        assert second["seen_at"] < first["seen_at"]
        assert command("nodes", "list", "--admin", address, "--output", "table") == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert head.split()[:3] == ["NAME", "NODE_ID", "STATE"]
        assert len(rows) == 2


def test_gateways_are_asked_of_a_running_one_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, HEAD)
    assert command("nodes", "list", "--offline", "--config", str(path)) == 2
    assert "running gateway" in capsys.readouterr().err
