"""A real run's result is what it says, by a recount and by a replay; a forgery that fits in itself is neither."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.errors import Refused
from hooks import recounted
from state.files.artifacts import BESTS, PHASE0
from tests.hooks import results as made
from WORKFLOW.data.generate import write_demo
from WORKFLOW.recount import command

BEST = "best_sharpe"


@pytest.fixture(scope="module")
def tree(undisturbed: Path) -> Path:
    return undisturbed / "Backtests" / "optimizations" / "SYNTHETIC" / "aggressive"


def test_what_a_run_publishes_contradicts_nothing(tree: Path) -> None:
    answer = command.of_tree(tree)
    assert list(answer) == list(BESTS)
    assert [one["wrong"] + one["unknown"] for one in answer.values()] == [[]] * len(BESTS)
    for best, one in answer.items():
        validation = json.loads((tree / best / "validation.json").read_bytes())
        promotion = json.loads((tree / "run_manifest.json").read_bytes())["promotion"][best]
        said = [*validation["checks"], *promotion["checks"]]
        assert [check["passed"] for check in one["checks"]] == [check["passed"] for check in said]


def test_what_a_run_publishes_is_what_its_parameters_trade(tree: Path, data: Path, tmp_path: Path) -> None:
    replays = recounted.replayed(tree, None, [BEST])
    assert replays[BEST].done
    assert replays[BEST].line.startswith("replayed on 34,560 bars (sha256 ")
    other = write_demo(tmp_path, days=120, seed=12)
    assert "are others" in recounted.replayed(tree, other, [BEST])[BEST].line
    assert "there is nothing at" in recounted.replayed(tree, tmp_path / "none", [BEST])[BEST].line
    assert data.exists()


def test_a_forgery_in_which_all_fits_is_not_what_its_parameters_trade(tree: Path, tmp_path: Path) -> None:
    """Trades, equity, figures and checks of a strategy that never was, beside the bars and labels of a real run."""
    real = json.loads((tree / "run_manifest.json").read_bytes())
    forged = made.publish(tmp_path / "SYNTHETIC" / "aggressive")
    labels = {"symbol": "SYNTHETIC", "mode": "aggressive", "synthetic": True}
    for path in forged.rglob("*.json"):
        made.edit(path, lambda record: record | labels)
    parameters = json.loads((tree / BEST / "config.json").read_bytes())["parameters"]
    for name in ("config", "plateau"):
        made.edit(forged / BEST / f"{name}.json", lambda record: record | {"parameters": parameters})
    made.edit(forged / "run_manifest.json", lambda m: m | {"data": real["data"]})
    made.judge_again(forged)
    assert command.of_tree(forged)[BEST]["wrong"] == []
    with pytest.raises(Refused, match=r"best_sharpe is not what its parameters trade on its bars: trades\.csv"):
        recounted.replayed(forged, None, [BEST])


@pytest.mark.parametrize("name", ["total_return", "max_drawdown", "exposure", "turnover", "max_drawdown_pct"])
def test_figures_that_only_bars_can_tell_are_told_by_the_replay(tree: Path, tmp_path: Path, name: str) -> None:
    """Each of them a little higher, in every file that names it."""
    folder = tmp_path / "aggressive"
    for path in (p for p in tree.rglob("*") if p.is_file() and p.name != PHASE0):
        (folder / path.relative_to(tree)).parent.mkdir(parents=True, exist_ok=True)
        (folder / path.relative_to(tree)).write_bytes(path.read_bytes())

    def lie(values: Any) -> None:
        values[name] *= 1.01

    made.edit(folder / BEST / "metrics.json", lambda m: lie(m["in_sample"]))
    made.edit(folder / BEST / "validation.json", lambda v: lie(v["in_sample"]["metrics"]))
    made.reseal(folder)
    with pytest.raises(Refused, match=r"metrics\.json: in_sample"):
        recounted.replayed(folder, None, [BEST])
