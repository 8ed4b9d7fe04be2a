from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config.settings import load
from tests.data.minutes import aggregated, bars_from, minute_walk, raw_of, write_feather
from tests.engines.builders import T0
from WORKFLOW.data.find import find, find_minutes
from WORKFLOW.data.minutes import MINUTE_MS, fitted
from WORKFLOW.validation import PreflightResult, check_all

DAYS_91 = 91 * 288


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("x")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["SOL_USDT-5m.feather", "SOL_USDT-1m.feather"], "SOL_USDT-1m.feather"),
        (["SOLUSDT_5m.csv.gz", "SOLUSDT_1m.csv.gz", "SOLUSDT_1h.csv.gz"], "SOLUSDT_1m.csv.gz"),
        (["SOLUSDT.parquet", "SOLUSDT-1min.csv"], "SOLUSDT-1min.csv"),
        (["SOLUSDT_5m.csv", "SOLUSDT_1M.csv"], None),  # a month
        (["SOLUSDT_5m.csv", "BTCUSDT_1m.csv"], None),
        (["SOLUSDT_5m.csv"], None),
        (["SOLUSDT_5m.csv", "SOLUSDT_1m.csv", "SOLBTC_1m.csv"], "SOLUSDT_1m.csv"),
    ],
)
def test_minutes_are_found_beside_the_bars_and_disturb_nobody(
    tmp_path: Path, names: list[str], found: str | None
) -> None:
    touch(tmp_path, *names)
    assert find(tmp_path, "SOL").name == names[0]
    path = find_minutes(tmp_path, "SOL")
    assert (path and path.name) == found


def test_a_file_named_as_such_has_nothing_beside_it(tmp_path: Path) -> None:
    touch(tmp_path, "SOL_5m.csv", "SOL_1m.csv")
    assert find_minutes(tmp_path / "SOL_5m.csv", "SOL") is None


def test_each_bar_gets_its_minutes() -> None:
    minutes = minute_walk(np.random.default_rng(1), 40)
    made = fitted(raw_of(minutes), bars_from(minutes))
    assert made.fits.all()
    assert (made.ohlc.reshape(-1, 4) == minutes).all()


def test_minutes_before_after_and_beside_the_bars_are_left_out() -> None:
    minutes = minute_walk(np.random.default_rng(2), 40)
    bars = bars_from(minutes)
    inner = replace(bars, rows=bars.rows[10:30])
    made = fitted(raw_of(minutes), inner)
    assert made.fits.all()
    assert (made.ohlc.reshape(-1, 4) == minutes[50:150]).all()
    late = replace(raw_of(minutes), time_ms=raw_of(minutes).time_ms + 1_000)
    assert not fitted(late, bars).fits.any()


@pytest.mark.parametrize("fault", ["missing", "twice", "nan", "impossible", "below zero"])
def test_a_bar_without_all_its_minutes_does_not_fit(fault: str) -> None:
    """Minute 62 is the third of bar 12."""
    minutes = minute_walk(np.random.default_rng(3), 40)
    bars, rows = bars_from(minutes), minutes.copy()
    chosen = np.arange(len(rows))
    if fault == "missing":
        chosen = np.delete(chosen, 62)
    elif fault == "twice":
        chosen = np.insert(chosen, 63, 62)
    else:
        rows[62] = {"nan": np.nan, "impossible": [5, 4, 6, 5], "below zero": -1}[fault]
    raw = raw_of(rows)
    columns = {name: getattr(raw, name)[chosen] for name in ("time_ms", "open", "high", "low", "close", "volume")}
    made = fitted(replace(raw, **columns), bars)
    assert np.flatnonzero(~made.fits).tolist() == [12]


@pytest.mark.parametrize(("column", "minute"), [(0, 0), (1, 3), (2, 3), (3, 4)])
@pytest.mark.parametrize(("ticks", "fits"), [(0.01, True), (0.02, False)])
def test_a_bar_may_be_a_tick_away_and_no_more(column: int, minute: int, ticks: float, fits: bool) -> None:
    minutes = minute_walk(np.random.default_rng(4), 40) / 100
    bars = bars_from(minutes, tick=0.01)
    bars.rows[("open", "high", "low", "close")[column]][7] += ticks * (-1 if column == 2 else 1)
    assert fitted(raw_of(minutes), bars).fits.tolist() == [bar != 7 or fits for bar in range(40)]


def checked(folder: Path) -> PreflightResult:
    return check_all(load({}), folder, "SOL")


@pytest.fixture(scope="module")
def walk() -> np.ndarray:
    return minute_walk(np.random.default_rng(6), DAYS_91, start=20_000) / 100


def test_pre_flight_says_what_the_minutes_are_good_for(tmp_path: Path, walk: np.ndarray) -> None:
    write_feather(tmp_path / "SOL_USDT-5m.feather", aggregated(walk), 5)
    assert checked(tmp_path).bars.minutes is None
    write_feather(tmp_path / "SOL_USDT-1m.feather", walk[:-2], 1)
    found = checked(tmp_path)
    assert found.passed
    assert found.bars is not None
    assert found.bars.minutes is not None
    assert found.bars.minutes.as_json()["fitting_bars"] == DAYS_91 - 1
    note = f"SOL_USDT-1m.feather reproduces {DAYS_91 - 1:,} of {DAYS_91:,} bars"
    assert note in "\n".join(found.report.lines())
    assert found.bars.before(100).minutes is None


@pytest.mark.parametrize("fault", ["torn", "another market", "a minute late", "years ago", "two"])
def test_minutes_that_cannot_be_used_are_said_and_left_out(tmp_path: Path, walk: np.ndarray, fault: str) -> None:
    write_feather(tmp_path / "SOL_USDT-5m.feather", aggregated(walk), 5)
    late_ms = {"a minute late": MINUTE_MS, "years ago": -1000 * 86_400_000}.get(fault, 0)
    prices = walk * 2 if fault == "another market" else walk
    minutes = write_feather(tmp_path / "SOL_USDT-1m.feather", prices, 1, T0 + late_ms)
    if fault == "torn":
        minutes.write_bytes(minutes.read_bytes()[:5_000])
    if fault == "two":
        (tmp_path / "SOL_USDT-1m.csv").write_text("x")
    said = {
        "torn": "not a valid Feather file",
        "another market": f"covers {DAYS_91:,} bars and reproduces 0 of them",
        "a minute late": f"covers {DAYS_91 - 1:,} bars and reproduces ",
        "years ago": "covers 0 bars and reproduces 0 of them",
        "two": "2 files in",
    }[fault]
    found = checked(tmp_path)
    assert found.passed
    assert found.bars is not None
    assert found.bars.minutes is None
    [note] = [line for line in found.report.lines() if "1-minute bars are not used" in line]
    assert said in note


def test_1_minute_bars_alone_are_refused_with_what_is_missing(tmp_path: Path, walk: np.ndarray) -> None:
    write_feather(tmp_path / "SOL_USDT-1m.feather", walk, 1)
    [reason] = checked(tmp_path).reasons
    assert "of another timeframe: SOL_USDT-1m.feather" in reason.text
    assert "add its 5-minute bars" in reason.way_out
    [reason] = check_all(load({}), tmp_path / "SOL_USDT-1m.feather", "SOL").reasons
    assert "your bars are 1-minute bars" in reason.text
