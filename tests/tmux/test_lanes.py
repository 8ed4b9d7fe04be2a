"""Lanes of a real swarm: what fills them, and what happens when the checkout is upgraded under them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from state.files import snapshot
from state.files.artifacts import MANIFEST
from state.files.run_folders import RoundFolder
from state.records.jobs import FILL
from tests.tmux.swarm import MIDDLE, SMALL, Swarm
from tests.WORKFLOW.pipeline import artifacts

FILLS = {"BACKTEST_OPTIMIZE__SWARM__JOBS__FILL_COMBOS": "256", "BACKTEST_OPTIMIZE__SWARM__JOBS__FILL_VOLUME": "0.5"}


def test_idle_lanes_refine_and_the_next_round_builds_on_it(swarm: Swarm, data: Path) -> None:
    swarm.environment |= FILLS
    swarm.launch(data, *SMALL, "--rounds", "2")
    assert swarm.finished()["failed"] == {}
    first, second = rounds(swarm)
    through = [e["metrics"] for e in events(first) if e["event"] == "completed" and f".{FILL}." in e["job_id"]]
    begun = snapshot.read_json(second.begun)["fills"]["SYNTHETIC aggressive"]
    assert through
    assert 1 <= len(begun) <= len(through) <= 3  # half of 2,000 combos, 256 a job
    plan = snapshot.read_json(second.unit("SYNTHETIC", "aggressive").search)["plan"]
    found = [snapshot.read_json(first.unit("SYNTHETIC", "aggressive").refined(number))["best"] for number in begun]
    best = max((one for part in found for one in part), key=lambda one: one["sharpe_ratio"])
    assert best["parameters"] in plan["seeds"][: plan["carried"]]
    manifest = snapshot.read_json(swarm.roots.artifacts("SYNTHETIC", "aggressive") / MANIFEST)
    outcome = snapshot.read_json(first.unit("SYNTHETIC", "aggressive").carried)
    assert manifest["tries"]["earlier_rounds"] == outcome["tries"] + 256 * len(begun)


def test_an_upgrade_of_the_checkout_drains_and_begins_again(
    swarm: Swarm, data: Path, alone: Callable[..., dict[str, Any]]
) -> None:
    """The round says that other code began it: so it looks after an upgrade in the middle of a prescreen."""
    swarm.launch(data, *MIDDLE)
    swarm.working("prescreen", 2)
    (only,) = rounds(swarm)
    begun = snapshot.read_json(only.begun)
    snapshot.write_json(only.begun, {**begun, "code": "what was there before the upgrade"})
    assert swarm.finished()["failed"] == {}
    assert snapshot.read_json(only.begun) == begun
    kinds = [event["event"] for event in events(only)]
    assert "reopened" in kinds
    assert "died" not in kinds, "a worker was ended although it only had to finish"
    assert artifacts(swarm.roots.results) == alone(*MIDDLE)


def rounds(swarm: Swarm) -> list[RoundFolder]:
    return swarm.roots.swarm_run(str(snapshot.read_json(swarm.roots.current_run)["run_id"])).rounds()


def events(folder: RoundFolder) -> list[dict[str, object]]:
    from state.files.journal import Journal

    return list(Journal(folder.jobs).read().records)
