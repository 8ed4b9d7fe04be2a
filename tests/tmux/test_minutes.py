"""The swarm on bars with 1-minute bars, compared with the same work in one process."""

import json
from pathlib import Path

import numpy as np

from tests.data.minutes import aggregated, minute_walk, write_feather
from tests.tmux.swarm import Swarm
from tests.WORKFLOW.pipeline import artifacts
from tests.WORKFLOW.test_minutes import TIGHT


def test_both_ways_of_running_read_the_same_minutes(swarm: Swarm, tmp_path: Path) -> None:
    minutes = minute_walk(np.random.default_rng(8), 95 * 288, start=4_000) / 100
    write_feather(tmp_path / "SOL_USDT-5m.feather", aggregated(minutes), 5)
    write_feather(tmp_path / "SOL_USDT-1m.feather", minutes, 1)
    (tmp_path / "tight.yaml").write_text(TIGHT)
    words = ("--data-path", str(tmp_path), "--prescreen", "64", "--trials", "8", "--paths", "20")
    tight = {"BACKTEST_OPTIMIZE_CONFIG": str(tmp_path / "tight.yaml")}
    done = swarm.type(
        "--parallel", "--symbols", "SOL", "--modes", "tight", "--rounds", "1", *words, "--wait", "--json", **tight
    )
    assert done.returncode == 0, done.stderr
    alone = swarm.type(
        "--single", "--symbol", "SOL", "--mode", "tight", *words, **tight, RESULTS_ROOT=str(tmp_path / "alone")
    )
    assert alone.returncode == 0, alone.stderr
    found = artifacts(swarm.roots.results, "tight", "SOL")
    assert found == artifacts(tmp_path / "alone", "tight", "SOL")
    band = json.loads(found["best_sharpe/validation.json"])["ambiguity"]["in_sample"]
    assert band["resolved"]["take_profit"] > 0
