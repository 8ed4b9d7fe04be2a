"""A whole run with 1-minute bars beside the 5-minute ones."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from state.files.layout import CHECKOUT
from tests.data.minutes import aggregated, minute_walk, write_feather
from tests.WORKFLOW.pipeline import artifacts, run

TIGHT = """
modes:
  tight:
    family: mtf_ema
    space:
      fast_timeframe: [15, 30]
      fast_period: {low: 3, high: 10, step: 1}
      slow_timeframe: [60]
      slow_period: {low: 10, high: 30, step: 2}
      direction: [both]
      stop_loss: {low: 0.001, high: 0.002, step: 0.0001}
      take_profit: {low: 0.001, high: 0.002, step: 0.0001}
      trailing_stop: [0.0, 0.001]
      max_bars: [0]
"""
ORDER = ["--symbol", "SOL", "--mode", "tight", "--prescreen", "64", "--trials", "8", "--paths", "20"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety-five days in which many a bar spans stop and take-profit, and the minutes that make them."""
    folder = tmp_path_factory.mktemp("data")
    minutes = minute_walk(np.random.default_rng(8), 95 * 288, start=4_000, gaps=0.02) / 100
    write_feather(folder / "SOL_USDT-5m.feather", aggregated(minutes), 5)
    write_feather(folder / "SOL_USDT-1m.feather", minutes, 1)
    (folder / "tight.yaml").write_text(TIGHT)
    return folder


def test_minutes_settle_what_bars_leave_open(tmp_path: Path, folder: Path) -> None:
    settings = {"BACKTEST_OPTIMIZE_CONFIG": str(folder / "tight.yaml")}
    files = {}
    for name, path in (("with", folder), ("without", folder / "SOL_USDT-5m.feather")):
        done = run(tmp_path / name, *ORDER, "--data-path", str(path), environment=settings)
        assert done.returncode == 0, done.stderr
        said = "1-minute bars: SOL_USDT-1m.feather reproduces 27,360 of 27,360 bars"
        assert (said in done.stderr) == (name != "without")
        files[name] = artifacts(tmp_path / name, "tight", "SOL")
    assert files["with"]["all_trials.json"] == files["without"]["all_trials.json"], "minutes choose nothing"
    for kind in ("validation", "run_manifest"):
        schema = json.loads((CHECKOUT / "docs" / "reference" / "schemas" / f"{kind}.schema.json").read_text())
        for path in tmp_path.rglob(f"{kind}.json"):
            jsonschema.validate(json.loads(path.read_text()), schema)
    assert files["with"]["run_manifest.json"]["data"]["minutes"]["fitting_bars"] == 27_360
    assert files["without"]["run_manifest.json"]["data"]["minutes"] is None
    resolved, plain = (json.loads(files[name]["best_sharpe/validation.json"]) for name in ("with", "without"))
    assert resolved["verdict"] == plain["verdict"]
    for window in ("in_sample", "out_of_sample"):
        band = resolved["ambiguity"][window]
        assert band["sl_first"] == resolved[window]["metrics"] == plain[window]["metrics"]
        assert band["ambiguous_bars"] == len(band["trades"]) > 0
        assert band["resolved"]["stop"] + band["resolved"]["take_profit"] > 0
        assert band["resolved"]["unknown"] == 0
        low, high = band["sl_first"]["total_return"], band["tp_first"]["total_return"]
        assert low < band["resolved"]["metrics"]["total_return"] < high
        assert plain["ambiguity"][window]["resolved"] is None
