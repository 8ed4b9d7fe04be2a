"""State roots that an earlier version left, one of a swarm that was stopped and one of a swarm that ran.

`tests/golden/roots` holds both, and the sums of the results that the earlier version came to. Whoever upgrades finds
their run again, goes on with it, and gets those results.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import registry
from agents.runtime import cycle
from state.files.journal import Journal
from tests.tmux.swarm import Swarm
from WORKFLOW.data.generate import write_demo

ROOTS = Path(__file__).resolve().parent.parent / "golden" / "roots"
_THERE = b"/tmp/bt-golden"  # where these roots lay when they were kept
_DAYS = 100  # of generated bars, as there


@pytest.fixture(params=["stopped", "running"])
def restored(swarm: Swarm, request: pytest.FixtureRequest) -> Swarm:
    """The root as its owner finds it after an upgrade; the paths in its records are those of this test."""
    results = swarm.roots.results
    with tarfile.open(ROOTS / f"{request.param}.tar.xz") as kept:
        kept.extractall(results, filter="tar")
    for path in results.rglob("*.json*"):
        text = path.read_bytes()
        if _THERE in text:
            path.write_bytes(text.replace(_THERE, bytes(results.parent)))
    write_demo(results.parent / "data", days=_DAYS)
    return swarm


def test_a_run_that_an_earlier_version_began_is_found_and_ended_with_its_results(restored: Swarm) -> None:
    status = restored.status()
    assert status["run_id"].startswith("bt-2026")
    assert status["jobs"]["completed"] >= 4
    done = restored.type("start")
    assert done.returncode == 0, done.stderr
    assert restored.finished()["completed"] == ["SYNTHETIC aggressive"]
    manifest = json.loads((restored.roots.artifacts("SYNTHETIC", "aggressive") / "run_manifest.json").read_bytes())
    assert manifest["files"] == json.loads((ROOTS / "results.json").read_bytes())


def recorded(restored: Swarm) -> Iterator[tuple[str, dict[str, object]]]:
    """Every decision in the journals of these roots."""
    for row in (*registry.AGENTS, registry.RESCUE):
        for record in Journal(restored.roots.cycles(row.name)).read().records:
            if "world" in record:
                yield row.name, record


def test_what_an_earlier_version_decided_is_decided_again(restored: Swarm) -> None:
    decisions = list(recorded(restored))
    assert {name for name, _ in decisions} >= {row.name for row in registry.AGENTS}
    differ = [
        f"{name} {record['cycle']}: {record['reason']}" for name, record in decisions if not cycle.replays(record)
    ]
    assert differ == []
