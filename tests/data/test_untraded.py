"""Bars without trades, or with prices nobody paid: pre-flight refuses them by name, with ways out that work."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from numpy.typing import NDArray

from config.settings import load
from WORKFLOW.data.bars import BAR_MS, BARS_PER_DAY, Bars
from WORKFLOW.data.check import Context, preflight
from WORKFLOW.data.find import find
from WORKFLOW.data.generate import demo_rows
from WORKFLOW.data.load import read
from WORKFLOW.data.raw import RawTable
from WORKFLOW.data.report import Reason, Report, UnfitBars
from WORKFLOW.validation import main

SETTINGS = load({}).data
PRICES = ("open", "high", "low", "close")
AT = 9_000
Rows = NDArray[np.void]


@pytest.fixture(scope="module")
def made() -> Rows:
    return demo_rows(days=120, seed=11)


@pytest.fixture
def rows(made: Rows) -> Rows:
    return made.copy()


def judge(rows: Rows, context: Context | None = None, limit: int = 24) -> tuple[Bars, Report]:
    settings = replace(SETTINGS, max_fill_bars=limit)
    return preflight(RawTable.of("SOL", "SOL.csv", rows), settings, context=context)


def refused(rows: Rows, context: Context | None = None, limit: int = 24) -> list[Reason]:
    with pytest.raises(UnfitBars) as caught:
        judge(rows, context, limit)
    found = caught.value.report.reasons
    assert all(reason.way_out for reason in found)
    return list(found)


def only(rows: Rows, context: Context | None = None) -> Reason:
    (reason,) = refused(rows, context)
    return reason


def when(rows: Rows, at: int) -> str:
    return str(np.datetime64(int(rows["time_ms"][at]), "ms"))[:16].replace("T", " ") + " UTC"


def still(rows: Rows, start: int, bars: int, volume: float | None) -> Rows:
    for name in PRICES:
        rows[name][start : start + bars] = rows["close"][start - 1]
    if volume is not None:
        rows["volume"][start : start + bars] = volume
    return rows


def scaled(rows: Rows, part: slice, factor: float) -> Rows:
    for name in PRICES:
        rows[name][part] = (rows[name][part] * factor).round(6)
    return rows


# --- prices that stand still ---------------------------------------------------------------------------------------


def test_dead_weeks_are_a_hole_of_that_length(rows: Rows) -> None:
    dead = 10 * BARS_PER_DAY
    reason = only(still(rows, AT, dead, 0.0))
    assert reason.text.startswith("1 stretch of more than 24 bars without a trade or a change of price: ")
    assert f"{when(rows, AT)} to {when(rows, AT + dead - 1)}, 2,880 bars" in reason.text
    assert "MAX_FILL_BARS=2880" in reason.way_out
    assert judge(rows, limit=2_880)[1].reasons == ()  # its way out


def test_dead_weeks_are_no_history(rows: Rows) -> None:
    dead, history = refused(still(rows, AT, 40 * BARS_PER_DAY, 0.0))
    assert "11,520 bars" in dead.text
    assert history.text == "80.0 days of bars are fewer than 90"


def test_a_short_dead_stretch_is_a_halt_that_is_said(rows: Rows) -> None:
    report = judge(still(rows, AT, 24, 0.0))[1]
    assert 24 in [span.bars for span in report.halts]


def test_weekends_that_were_filled_are_recognised(rows: Rows) -> None:
    weekday = (rows["time_ms"] // 86_400_000 + 3) % 7
    starts = np.flatnonzero((weekday[1:] == 5) & (weekday[:-1] == 4)) + 1
    for start in starts[:4]:
        still(rows, int(start), 2 * BARS_PER_DAY, 0.0)
    reason = refused(rows)[0]
    assert reason.text.startswith("4 stretches of more than 24 bars")
    assert "over a weekend: a market that closes then" in reason.text


@pytest.mark.parametrize("volume", [None, 7.0])
def test_a_feed_that_hung_while_volumes_go_on_is_refused(rows: Rows, volume: float | None) -> None:
    rows["volume"] = np.maximum(rows["volume"], 1.0)
    reason = only(still(rows, AT, 60, volume))
    stuck_at = float(rows["close"][AT])
    assert "prices that stand still while volumes go on, 1 stretch: all four prices at " in reason.text
    assert f"at {stuck_at:g} from {when(rows, AT)} to" in reason.text or f"at {stuck_at:g} from" in reason.text
    assert "MAX_FILL_BARS=6" in reason.way_out
    bars = int(reason.way_out.split("MAX_FILL_BARS=")[1].split()[0])
    assert judge(rows, limit=bars)[1].reasons == ()  # its way out


def test_the_same_candle_again_and_again_is_refused(rows: Rows) -> None:
    for name in (*PRICES, "volume"):
        rows[name][AT : AT + 8] = rows[name][AT]
    rows["high"][AT : AT + 8] = rows["high"][AT] + 0.05
    reason = only(rows)
    assert reason.text.startswith("the same candle again and again in 1 stretch, a feed that hung: ")
    assert f"{when(rows, AT)} to {when(rows, AT + 7)}, 8 bars" in reason.text
    assert judge(np.delete(rows, np.arange(AT + 1, AT + 8)))[1].reasons == ()  # its way out


def test_one_price_that_is_stuck_while_the_others_move_is_refused(rows: Rows) -> None:
    part = slice(AT, AT + 200)
    rows["high"][part] = rows["high"][part].max()
    reason = only(rows)
    assert f"the high at {rows['high'][AT]:g} from {when(rows, AT)}" in reason.text


def test_a_close_that_is_stuck_while_volume_moves_is_refused(rows: Rows) -> None:
    part = slice(AT, AT + 200)
    rows["close"][part] = rows["close"][AT]
    rows["high"][part] = np.maximum(rows["high"][part], rows["close"][AT])
    rows["low"][part] = np.minimum(rows["low"][part], rows["close"][AT])
    assert any("the close at" in reason.text for reason in refused(rows))


def test_a_market_of_coarse_prices_is_no_hung_feed() -> None:
    """A peg that moves by one tick now and then: its long runs are usual for it."""
    rows = demo_rows(days=100, seed=3)
    draw = np.random.default_rng(1)
    close = 1.0 + 1e-4 * np.cumsum(np.where(draw.random(len(rows)) < 0.04, draw.choice([-1, 1], len(rows)), 0))
    rows["close"] = close.round(4)
    rows["open"] = np.append(1.0, rows["close"][:-1])
    rows["high"], rows["low"] = np.maximum(rows["open"], rows["close"]), np.minimum(rows["open"], rows["close"])
    rows["volume"] = 1.0 + draw.random(len(rows))
    assert judge(rows)[1].reasons == ()


def test_a_flat_market_is_told_for_what_it_is(rows: Rows) -> None:
    for name in PRICES:
        rows[name] = 100.0
    rows["volume"] = 1.0 + np.arange(len(rows)) % 7
    reason = only(rows)
    assert reason.text == f"the price is 100 in all {len(rows):,} rows: a price that never moves cannot be traded"


# --- prices that nobody made ---------------------------------------------------------------------------------------


def test_interpolated_bars_are_refused(rows: Rows) -> None:
    line = np.linspace(float(rows["close"][AT]), float(rows["close"][AT]) * 1.05, 22).round(2)
    rows["close"][AT : AT + 22] = line
    rows["open"][AT + 1 : AT + 23] = line
    rows["high"][AT : AT + 23] = np.maximum(rows["open"], rows["close"])[AT : AT + 23]
    rows["low"][AT : AT + 23] = np.minimum(rows["open"], rows["close"])[AT : AT + 23]
    reason = refused(rows)[0]
    assert reason.text.startswith("closes on a straight line, interpolated and not traded, in 1 stretch: ")
    assert f"{when(rows, AT + 1)} to {when(rows, AT + 20)}, 20 bars" in reason.text
    left = judge(np.delete(rows, np.arange(AT + 1, AT + 21)))[1]  # its way out
    assert left.reasons == ()


def test_a_day_that_was_pasted_twice_is_refused(rows: Rows) -> None:
    source = slice(AT - BARS_PER_DAY, AT)
    for name in (*PRICES, "volume"):
        rows[name][AT : AT + BARS_PER_DAY] = rows[name][source]
    reason = refused(rows)[0]
    assert reason.text.startswith("rows that repeat earlier ones in every value at another time in 1 place: ")
    assert f"{when(rows, AT)} to {when(rows, AT + BARS_PER_DAY - 1)}, 288 bars as from {when(rows, AT - 288)}" in (
        reason.text
    )


# --- levels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "times", "named"),
    [
        (1000, "1000 times", "a redenomination, or another unit"),
        (100, "100 times", "a redenomination, or another unit"),
        (1 / 1000, "1/1000 of", "a redenomination, or another unit"),
        (10, "10 times", "a reverse split, 1 for 10, or a misplaced decimal point"),
        (0.5, "1/2 of", "a split of 2 for 1"),
        (2, "2 times", "a reverse split, 1 for 2"),
        (2 / 3, "1/1.5 of", "a split of 3 for 2"),
        (0.05, "1/20 of", "a split of 20 for 1"),
        (7.37, "7.37 times", None),
    ],
)
def test_another_level_from_one_bar_to_the_next_is_refused(rows: Rows, factor: float, times: str, named: str) -> None:
    whole = scaled(rows.copy(), slice(None), 1.0)
    reason = only(scaled(rows, slice(AT, None), factor))
    assert f"from {when(rows, AT)} on prices are {times} those before" in reason.text
    assert named is None or f"({named})" in reason.text
    if named is not None:
        by = float(reason.way_out.split(" by ")[1].split(",")[0])
        assert judge(scaled(rows, slice(None, AT), by))[1].reasons == ()  # its way out
        assert rows["close"][0] == pytest.approx(whole["close"][0] * factor, rel=1e-4)


def test_a_split_over_a_hole_is_seen_as_well(rows: Rows) -> None:
    split = np.delete(scaled(rows, slice(AT, None), 0.25), np.arange(AT, AT + 12))
    assert "(a split of 4 for 1)" in only(split).text


@pytest.mark.parametrize("factor", [3.1, 0.8, 1000])
def test_rows_of_another_market_in_the_middle_are_named(rows: Rows, factor: float) -> None:
    reason = only(scaled(rows, slice(AT, AT + 20), factor))
    assert reason.text.startswith("rows of another market or in another unit in 1 place: ")
    assert f"row {AT + 1:,} ({when(rows, AT)}) to row {AT + 20:,} ({when(rows, AT + 19)})" in reason.text
    assert judge(np.delete(rows, np.arange(AT, AT + 20)))[1].reasons == ()  # its way out


def test_columns_that_are_swapped_are_told(rows: Rows) -> None:
    rows["high"], rows["low"] = rows["low"].copy(), rows["high"].copy()
    reason = only(rows)
    assert reason.text.endswith(f"of {len(rows):,} rows: the two columns are swapped")
    rows["high"], rows["low"] = rows["low"].copy(), rows["high"].copy()
    assert judge(rows)[1].reasons == ()  # its way out


# --- the clock -----------------------------------------------------------------------------------------------------


def test_the_bar_under_way_is_left_out_and_said(rows: Rows) -> None:
    opened = int(rows["time_ms"][-1])
    bars, report = judge(rows, Context(written_ms=opened + 61_000, now_ms=opened + 3_600_000))
    assert len(bars) == len(judge(rows)[0]) - 1
    (note,) = report.notes
    assert note.startswith(f"the bar of {when(rows, -1)} is left out: it was still under way when the file was written")


@pytest.mark.parametrize("late_ms", [-1, BAR_MS, 10 * BAR_MS])
def test_a_finished_bar_is_never_left_out(rows: Rows, late_ms: int) -> None:
    """Written after the bar was over; or dated before it began, as archives and images date their files."""
    written = int(rows["time_ms"][-1]) + late_ms
    bars, report = judge(rows, Context(written_ms=written))
    assert bars.rows["time_ms"][-1] == rows["time_ms"][-1]
    assert report.notes == ()


def test_bars_from_the_future_are_refused_with_both_times(rows: Rows) -> None:
    now = int(rows["time_ms"][-13])
    reason = only(rows, Context(now_ms=now))
    assert reason.text == (
        f"11 bars from the future, opening up to {when(rows, -1)}; this machine's clock says {when(rows, -13)}"
    )
    assert reason.way_out.startswith("if these times are local, name their zone (--timezone ")
    assert judge(rows[:-11], Context(now_ms=now))[1].reasons == ()  # its way out


def test_all_rows_from_the_future_are_a_matter_of_their_times(rows: Rows) -> None:
    reason = only(rows, Context(now_ms=0))
    assert f"{len(rows):,} bars from the future" in reason.text
    assert reason.way_out == "correct the times; or, if the clock is wrong, set it"


def test_a_clock_that_is_a_bar_behind_refuses_nothing(rows: Rows) -> None:
    assert judge(rows, Context(now_ms=int(rows["time_ms"][-1]) - BAR_MS))[1].reasons == ()


def test_the_command_knows_when_the_file_was_written(
    tmp_path: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("time_ms", *PRICES, "volume")
    path = tmp_path / "SOL_5m.csv"
    columns = {name.replace("time_ms", "timestamp"): np.ascontiguousarray(rows[name]) for name in names}
    pyarrow.csv.write_csv(pa.table(columns), path)
    words = ["--check-all", "--data-path", str(tmp_path), "--symbol", "SOL"]
    assert main(words) == 0
    assert "left out" not in capsys.readouterr().out
    written = int(rows["time_ms"][-1]) // 1000 + 200
    os.utime(path, (written, written))
    assert main(words) == 0
    assert f"note: the bar of {when(rows, -1)} is left out" in capsys.readouterr().out


def test_local_times_that_seem_to_lie_ahead_are_read_as_the_message_says(
    tmp_path: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last bar was over ten minutes ago, on a clock two hours ahead of UTC."""
    ended = int(time.time() * 1000) // BAR_MS * BAR_MS - 3 * BAR_MS
    local = rows["time_ms"] - rows["time_ms"][-1] + ended + 2 * 3_600_000
    written = [str(np.datetime64(int(moment), "s")).replace("T", " ") for moment in local.astype("int64") // 1000]
    columns = {"datetime": written, **{name: np.ascontiguousarray(rows[name]) for name in (*PRICES, "volume")}}
    pyarrow.csv.write_csv(pa.table(columns), tmp_path / "SOL_5m.csv")
    words = ["--check-all", "--data-path", str(tmp_path), "--symbol", "SOL"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "bars from the future" in said
    assert "--timezone" in said
    assert main([*words, "--timezone", "UTC+2"]) == 0


# --- real bars -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["SOL", "BTC"])
@pytest.mark.parametrize(
    "change", [lambda raw: raw, lambda raw: replace(raw, has_volume=False)], ids=["all", "no volume"]
)
def test_real_bars_pass(real_data: Path, symbol: str, change: Callable[[RawTable], RawTable]) -> None:
    raw = change(read(find(real_data, symbol), symbol))
    report = preflight(raw, SETTINGS)[1]
    assert (report.reasons, report.wicks, report.notes) == ((), (), ())
