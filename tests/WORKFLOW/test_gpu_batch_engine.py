"""The buckets of many timeframes at once, as deployed scripts ask for them: close first."""

import os
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import Refused
from state.files.layout import CHECKOUT
from state.records.metrics import ScreenMetrics
from tests.WORKFLOW.test_mtf_resampler import T0, TIMEFRAMES, Columns, walk
from WORKFLOW.gpu_batch_engine import precompute_mtf_data
from WORKFLOW.mtf_resampler import align_to_base_tf, resample_ohlc
from WORKFLOW.search.prescreen import Prescreened, Ranked

NAMES = ("close", "open_", "high", "low")


def in_order(columns: Columns) -> Columns:
    """Open, high, low, close as this function takes them."""
    open_, high, low, close = columns
    return close, open_, high, low


@given(bars=st.integers(0, 700), late=st.integers(0, 300), seed=st.integers(0, 2**32 - 1))
def test_every_timeframe_is_resampled_and_aligned(bars: int, late: int, seed: int) -> None:
    columns, start = walk(bars, seed), T0 + late * 300_000
    found = precompute_mtf_data(*in_order(columns), TIMEFRAMES, 5, first_open_ms=start)
    assert list(found) == sorted(TIMEFRAMES)
    for minutes, data in found.items():
        expected = resample_ohlc(*columns, minutes, first_open_ms=start)
        for name in ("open", "high", "low", "close", "closes_at"):
            assert getattr(data.buckets, name).tolist() == getattr(expected, name).tolist()
        assert data.buckets.timeframe_minutes == minutes
        assert data.visible.tolist() == align_to_base_tf(expected.closes_at, bars).tolist()
        assert data.visible.dtype == np.int32


def test_as_deployed_scripts_call_it() -> None:
    """Bars 0 to 8 close at 1 to 9: 15-minute closes are 3, 6, 9, seen from the bars that close them on."""
    close = np.arange(1.0, 10.0)
    [data] = precompute_mtf_data(close, close, close + 0.5, close - 0.5, [15], 5).values()
    assert data.buckets.close.tolist() == [3.0, 6.0, 9.0]
    assert data.at_base(data.buckets.close, before=0.0).tolist() == [0, 0, 3, 3, 3, 6, 6, 6, 9]
    assert np.isnan(data.at_base(data.buckets.close)[:2]).all()


@given(seed=st.integers(0, 2**32 - 1), now=st.integers(1, 300))
def test_later_bars_change_nothing_that_was_visible(seed: int, now: int) -> None:
    columns, others = walk(300, seed), walk(300, seed + 1)
    changed = tuple(np.concatenate([a[:now], 2 * b[now:]]) for a, b in zip(columns, others, strict=True))
    views = [precompute_mtf_data(*in_order(c), [15, 60], 5) for c in (columns, changed)]
    for minutes in (15, 60):
        a, b = (view[minutes].at_base(view[minutes].buckets.close, before=0.0)[:now] for view in views)
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize(("one", "other"), list(combinations(range(4), 2)))
def test_any_two_arrays_swapped_are_refused_with_the_order(one: int, other: int) -> None:
    given_ = list(in_order(walk(300, 5)))
    given_[one], given_[other] = given_[other], given_[one]
    with pytest.raises(Refused, match="seem swapped") as refusal:
        precompute_mtf_data(*given_, [15], 5)
    assert "the order is close, open_, high, low" in refusal.value.way_out


def test_the_usual_order_is_refused() -> None:
    with pytest.raises(Refused, match=r"high contradicts bar \d+ \(open .*, high .*, low .*, close .*\)"):
        precompute_mtf_data(*walk(300, 5), [15], 5)


@pytest.mark.parametrize("name", range(4))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_refused(name: int, value: float) -> None:
    columns = [column.copy() for column in in_order(walk(60, 6))]
    columns[name][3] = value
    with pytest.raises(Refused, match=f"{NAMES[name].rstrip('_')} is {value} at bar 3"):
        precompute_mtf_data(*columns, [15], 5)


@pytest.mark.parametrize(
    ("timeframes", "said"),
    [
        ([15, 7], "a timeframe of 7 minutes cannot be made from 5-minute bars"),
        ([0], "a timeframe of 0 minutes"),
        ([2880], "a timeframe of 2880 minutes"),
        ([], "no timeframe is given"),
        (["1h"], "a timeframe of '1h' is no whole number of minutes"),
        ([15.0], "a timeframe of 15.0 is no whole number"),
    ],
)
def test_timeframes_that_do_not_fit_are_refused(timeframes: list[int], said: str) -> None:
    with pytest.raises(Refused) as refusal:
        precompute_mtf_data(*in_order(walk(60, 6)), timeframes, 5)
    assert said in refusal.value.reason
    assert refusal.value.way_out


def test_unequal_lengths_are_refused() -> None:
    close, *rest = in_order(walk(60, 6))
    with pytest.raises(Refused, match="differ in length"):
        precompute_mtf_data(close[:-1], *rest, [15], 5)


@pytest.mark.parametrize("bars", [0, 1, 2])
def test_too_few_bars_for_a_bucket_see_none(bars: int) -> None:
    [data] = precompute_mtf_data(*in_order(walk(bars, 6)), [15], 5).values()
    assert (len(data.buckets), data.visible.tolist()) == (0, [-1] * bars)
    assert np.isnan(data.at_base([])).tolist() == [True] * bars


def test_values_of_another_length_are_refused() -> None:
    [data] = precompute_mtf_data(*in_order(walk(60, 6)), [15], 5).values()
    with pytest.raises(Refused, match="values have the shape"):
        data.at_base(np.ones(60))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"timeframes": 60}, "timeframes is 60"),
        ({"timeframes": "60"}, "timeframes is '60'"),
        ({"base_minutes": 5.0}, "base_minutes of 5.0 is no whole number"),
        ({"first_open_ms": None}, "first_open_ms of None is no whole number"),
        ({"first_open_ms": 1_704_067_500_000_000}, "1704067500000000 is no time before 2200"),
        (
            {"close": np.full(60, -1.0), "open_": np.full(60, -1.0), "high": np.ones(60), "low": np.full(60, -2.0)},
            "low is -2",
        ),
        ({"close": np.full(60, 1j)}, "close holds no prices"),
        ({"close": ["x"] * 60}, "close holds no prices"),
    ],
)
def test_what_is_no_market_is_refused(changes: dict[str, Any], said: str) -> None:
    close, open_, high, low = in_order(walk(60, 6))
    given = {"close": close, "open_": open_, "high": high, "low": low, "timeframes": [15], "base_minutes": 5}
    with pytest.raises(Refused) as refusal:
        precompute_mtf_data(**{**given, **changes})
    assert said in refusal.value.reason


def test_what_a_prescreen_found_iterates_as_records() -> None:
    """As deployed scripts go through it: `[r for r in results if r.get("total_trades", 0) >= MIN_TRADES]`."""
    kept = [
        Ranked(7, {"stop_loss": 0.01, "direction": "long"}, ScreenMetrics(2.0, 0.5, 0.1, 0.6, 40)),
        Ranked(3, {"stop_loss": 0.02, "direction": "both"}, ScreenMetrics(1.0, 0.2, 0.3, 0.4, 12)),
    ]
    results = Prescreened(tried=9, eligible=2, most_trades=40, best=kept)
    assert [r["combo"] for r in results if r.get("total_trades", 0) >= 30] == [7]
    figures = {"sharpe_ratio": 1.0, "total_return": 0.2, "max_drawdown_daily_pct": 0.3, "win_rate": 0.4}
    assert results[-1] == {"combo": 3, "stop_loss": 0.02, "direction": "both", **figures, "total_trades": 12}
    assert (len(results), len(Prescreened(9, 0, 0, []))) == (2, 0)


@pytest.mark.parametrize("form", ["from {0} import {1}", "import {0}; {1} = {0}.{1}"])
@pytest.mark.parametrize(
    ("module", "name"), [("mtf_resampler", "resample_ohlc"), ("gpu_batch_engine", "precompute_mtf_data")]
)
def test_a_script_beside_the_modules_imports_them_by_their_bare_names(
    tmp_path: Path, form: str, module: str, name: str
) -> None:
    """The very functions of the package, and none of a second copy."""
    script = f"{form.format(module, name)}\nimport WORKFLOW.{module} as real\nassert {name} is real.{name}\n"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", f"import sys; sys.path[0] = {str(CHECKOUT / 'WORKFLOW')!r}\n{script}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bare_import_by_a_python_without_numpy_names_the_one_that_has_it(tmp_path: Path) -> None:
    code = f"import sys; sys.path[:] = [{str(CHECKOUT / 'WORKFLOW')!r}, *(p for p in sys.path if 'packages' not in p)]"
    command = [sys.executable, "-I", "-S", "-c", f"{code}\nimport mtf_resampler"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "has no numpy; run the script with" in done.stderr.splitlines()[-1]


def test_a_copy_of_one_file_says_what_else_to_copy(tmp_path: Path) -> None:
    for name in ("validation.py", "mtf_resampler.py"):
        shutil.copy(CHECKOUT / "WORKFLOW" / name, tmp_path)
    command = [sys.executable, "validation.py", "--check-all"]
    for more in (None, "_checkout.py"):
        if more is not None:
            shutil.copy(CHECKOUT / "WORKFLOW" / more, tmp_path)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert "needs its checkout: copy the whole checkout" in done.stderr
