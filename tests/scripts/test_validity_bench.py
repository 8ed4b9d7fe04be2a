"""Markets without a rule and with one, and a bench that judges both, small."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from config.settings import load
from scripts.lab.validity import markets
from scripts.lab.validity.command import main
from state.files.layout import CHECKOUT
from WORKFLOW.data.bars import BARS_PER_DAY, Bars
from WORKFLOW.data.generate import demo_rows
from WORKFLOW.data.resample import fair_market

FEW = {"DRAWS": "50", "PLACEBO_MARKETS": "2", "BLOCKS": "8"}


@pytest.fixture(scope="module")
def bars() -> Bars:
    rows = demo_rows(260)[-150 * BARS_PER_DAY :]
    return Bars("SYNTHETIC", rows, 0.01, True, "made up")


def test_a_shuffled_market_has_the_shapes_of_the_real_one_and_no_drift(bars: Bars) -> None:
    other = fair_market(bars, 72, np.random.default_rng(3))
    assert len(other) == len(bars)
    assert (other.rows["time_ms"] == bars.rows["time_ms"]).all()
    assert other.synthetic
    for name in ("open", "close"):
        assert (other.rows["low"] <= other.rows[name]).all()
        assert (other.rows[name] <= other.rows["high"]).all()
    steps = np.diff(np.log(other.column("close")))
    assert abs(np.mean(np.exp(steps)) - 1.0) < 1e-5
    assert steps.std() == pytest.approx(np.diff(np.log(bars.column("close"))).std(), rel=0.1)
    again = fair_market(bars, 72, np.random.default_rng(3))
    assert other.sha256 == again.sha256 != fair_market(bars, 72, np.random.default_rng(4)).sha256


def test_volatility_keeps_its_time_of_day(bars: Bars) -> None:
    def by_hour(of: Bars) -> np.ndarray:
        steps = np.abs(np.diff(np.log(of.column("close")), prepend=np.log(of.rows["close"][0])))
        return steps[: len(of) // BARS_PER_DAY * BARS_PER_DAY].reshape(-1, 24, 12).mean(axis=(0, 2))

    assert np.corrcoef(by_hour(bars), by_hour(fair_market(bars, 12, np.random.default_rng(1))))[0, 1] > 0.8


@pytest.mark.parametrize(("days", "block"), [(1, 72), (10, 0), (10, 289)])
def test_what_cannot_be_shuffled_is_refused(bars: Bars, days: int, block: int) -> None:
    with pytest.raises(ValueError, match="blocks"):
        fair_market(bars.before(days * BARS_PER_DAY), block, np.random.default_rng(1))


def test_a_planted_rule_earns_what_was_asked_for(bars: Bars) -> None:
    settings = load({})
    mode = settings.mode("aggressive")
    made = markets.planted(bars, mode, settings.costs, 5.0, 72, np.random.SeedSequence(1))
    assert made.sharpe_ratio == pytest.approx(5.0, rel=0.11)
    assert not made.bars.synthetic, "else no check of it would say anything"


def test_the_bench_as_it_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    small = ["--demo", "--days", "150", "--combos", "300", "--noise", "2", "--power", "", "--json", "--every-check"]
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "scripts" / "bench"), "--validity", *small],
        env=os.environ | {f"BACKTEST_OPTIMIZE__VALIDITY__{name}": value for name, value in FEW.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["levels"]
    assert (row["markets"], row["promoted"]) == (2, 0)
    assert {"luck", "placebo", "deflated_sharpe_of_all_tries"} & set(row["failed"]), "no market was judged"


@pytest.mark.parametrize("typed", [["--power", "0"], ["--power", "x"], ["--noise", "-1"], ["--days", "1.5"]])
def test_wrong_usage(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(typed) == 2
    assert repr(typed[1]) in capsys.readouterr().err
