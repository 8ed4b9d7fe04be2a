import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from config.settings import load
from WORKFLOW.data.bars import BAR_MS, BARS_PER_DAY, Bars
from WORKFLOW.data.check import preflight
from WORKFLOW.data.find import find
from WORKFLOW.data.load import read
from WORKFLOW.data.raw import RawTable
from WORKFLOW.data.report import Report, UnfitBars

SETTINGS = load({}).data
Rows = NDArray[np.void]


def judge(rows: Rows, repair: bool = False) -> tuple[Bars, Report]:
    return preflight(RawTable.of("SOL", "SOL.csv", rows), SETTINGS, repair)


def reasons(rows: Rows, repair: bool = False) -> list[str]:
    with pytest.raises(UnfitBars) as caught:
        judge(rows, repair)
    found = caught.value.report.reasons
    assert all(reason.way_out for reason in found)
    assert all(reason.text in caught.value.reason for reason in found)
    return [reason.text for reason in found]


def without(rows: Rows, start: int, bars: int) -> Rows:
    return np.delete(rows, np.arange(start, start + bars))


def test_clean_rows_pass_unchanged(rows: Rows) -> None:
    before = rows.copy()
    bars, report = judge(rows)
    assert (bars.rows == before).all()
    assert (bars.tick, bars.synthetic, report.days) == (0.01, False, 100.0)
    assert (report.filled, report.halts, report.notes, report.reasons) == ((), (), (), ())


@pytest.mark.parametrize("missing", [1, 24])
def test_a_short_hole_is_filled_flat_with_the_close_before_it_and_named(rows: Rows, missing: int) -> None:
    bars, report = judge(without(rows, 1000, missing))
    hole = bars.rows[1000 : 1000 + missing]
    assert hole["filled"].all()
    assert bars.rows["filled"].sum() == missing
    for name in ("open", "high", "low", "close"):
        assert (hole[name] == rows["close"][999]).all()
    assert (hole["volume"] == 0).all()
    assert (bars.rows["time_ms"] == rows["time_ms"]).all()
    assert (bars.rows[1000 + missing :] == rows[1000 + missing :]).all()
    assert [(s.first_ms, s.last_ms, s.bars) for s in report.filled] == [
        (rows["time_ms"][1000], rows["time_ms"][999 + missing], missing)
    ]
    said = "2023-01-04 11:20 UTC, 1 bar" if missing == 1 else "2023-01-04 11:20 UTC to"
    assert any(line.strip().startswith(said) for line in report.lines())


def test_a_longer_hole_is_refused_by_name(rows: Rows) -> None:
    (said,) = reasons(without(without(rows, 5000, 3), 1000, 25))
    assert said == "1 hole of more than 24 bars: 2023-01-04 11:20 UTC to 2023-01-04 13:20 UTC, 25 bars"


def test_long_lists_are_cut_after_ten(rows: Rows) -> None:
    for start in range(24_000, 0, -2_000):
        rows = without(rows, start, 30)
    said = " ".join(reasons(rows))
    assert said.count(" UTC to ") == 10
    assert "and 2 more" in said


def test_copies_are_refused_unless_repair_drops_them(rows: Rows) -> None:
    dirty = np.concatenate([rows[:5000], rows[4400:]])  # what pasting overlapping downloads gives
    (said,) = reasons(dirty)
    assert said == "rows that repeat an earlier row in every value: 600, the first is row 5,001 (2023-01-16 06:40 UTC)"
    bars, report = judge(dirty, repair=True)
    assert (bars.rows == rows).all()
    assert report.copies_dropped == 600
    assert any("600 rows dropped" in line for line in report.lines())


def test_repair_never_sorts(rows: Rows) -> None:
    swapped = rows.copy()
    swapped[[100, 101]] = swapped[[101, 100]]
    (said,) = reasons(np.concatenate([swapped, swapped[:1]]), repair=True)
    assert said == "rows that are earlier than the row above them: 1: row 102 (2023-01-01 08:20 UTC)"


def test_rows_that_disagree_about_a_moment_are_refused_even_with_repair(rows: Rows) -> None:
    twice = np.insert(rows, 200, rows[199])
    twice["volume"][200] += 1
    for repair in (False, True):
        (said,) = reasons(twice, repair)
        assert said == "rows that give other values for a moment already given: 1: row 201 (2023-01-01 16:35 UTC)"


def test_newest_first_is_said_plainly(rows: Rows) -> None:
    assert reasons(rows[::-1]) == ["the rows run from the newest to the oldest"]


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(rows: Rows, name: str, value: float) -> None:
    rows[name][7] = value
    said = reasons(rows)
    assert said[0] == f"{name} is no finite number in 1 row: row 8 (2023-01-01 00:35 UTC): {value:g}"


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_price_that_is_not_positive_is_refused(rows: Rows, value: float) -> None:
    rows["low"][7] = value
    assert reasons(rows) == [f"low is not above zero in 1 row: row 8 (2023-01-01 00:35 UTC): {value:g}"]


def test_negative_volume_is_refused(rows: Rows) -> None:
    rows["volume"][7] = -1
    assert "volume is negative in 1 row" in reasons(rows)[0]


def test_high_below_low_is_refused(rows: Rows) -> None:
    rows["high"][7], rows["low"][7] = rows["low"][7], rows["high"][7]
    assert "high is below low in 1 row: row 8" in reasons(rows)[0]


@pytest.mark.parametrize("name", ["open", "close"])
@pytest.mark.parametrize("away", [-0.5, 0.5])
def test_open_and_close_outside_the_bar_are_refused(rows: Rows, name: str, away: float) -> None:
    rows[name][7] += away
    assert f"{name} lies outside [low, high] in 1 row: row 8" in reasons(rows)[0]


def test_one_row_beside_the_grid_is_named(rows: Rows) -> None:
    rows["time_ms"][7] += 1_000
    assert reasons(rows)[0] == "rows beside the 5-minute grid: 1: row 8 (2023-01-01 00:35:01 UTC)"


def test_close_times_are_recognised(rows: Rows) -> None:
    rows["time_ms"] += 299_999
    (said,) = [one for one in reasons(rows) if "beside the" in one]
    assert "all by the same 299.999 s: row 1 (" in said


@pytest.mark.parametrize(
    ("away_ms", "advice"),
    [(299_999, "at which the bars close: subtract 299.999 s"), (299_000, "close: subtract 299 s"), (120_000, "late, ")],
)
def test_following_the_advice_for_bars_beside_the_grid_puts_them_on_it(rows: Rows, away_ms: int, advice: str) -> None:
    rows["time_ms"] += away_ms
    with pytest.raises(UnfitBars) as caught:
        judge(rows)
    ways_out = [one.way_out for one in caught.value.report.reasons]
    assert any(advice in way_out and f"subtract {away_ms / 1000:g} s" in way_out for way_out in ways_out)
    rows["time_ms"] -= away_ms
    assert judge(rows)[1].reasons == ()


def test_columns_that_are_empty_in_the_same_rows_are_refused_once(rows: Rows) -> None:
    for name in ("open", "high", "low", "close"):
        rows[name][7] = np.nan
    rows["volume"][9] = np.nan
    said = reasons(rows)
    assert said[0].startswith("open, high, low, close are no finite numbers in 1 row: row 8 (")
    assert said[1].startswith("volume is no finite number in 1 row: row 10 (")
    assert len(said) == 2


@pytest.mark.parametrize("every", [3, 12])
def test_bars_of_another_length_are_called_so(rows: Rows, every: int) -> None:
    said = reasons(rows[::every])
    assert said == [f"your bars are {every * 5}-minute bars (the usual step between rows), not 5-minute bars"]


def test_one_minute_bars_are_called_so(rows: Rows) -> None:
    rows["time_ms"] = rows["time_ms"][0] + np.arange(len(rows)) * 60_000
    assert "your bars are 1-minute bars" in reasons(rows)[0]


@pytest.mark.parametrize("bars", [1, 2, 90 * BARS_PER_DAY - 1])
def test_too_few_days_are_refused(rows: Rows, bars: int) -> None:
    assert reasons(rows[:bars]) == [f"{bars / BARS_PER_DAY:,.1f} days of bars are fewer than 90"]


def test_a_hole_that_stays_open_is_no_history(rows: Rows) -> None:
    hole, history = reasons(without(rows, 9_000, 11 * BARS_PER_DAY))
    assert "3,168 bars" in hole
    assert history == "89.0 days of bars are fewer than 90"


def test_a_refusal_is_json_as_well(rows: Rows) -> None:
    with pytest.raises(UnfitBars) as caught:
        judge(rows[:288])
    (reason,) = json.loads(json.dumps(caught.value.report.as_json(), allow_nan=False))["reasons"]
    assert reason == {"reason": "1.0 days of bars are fewer than 90", "way_out": "give at least 90 days"}


def test_exactly_enough_days_pass(rows: Rows) -> None:
    assert len(judge(rows[: 90 * BARS_PER_DAY])[0]) == 90 * BARS_PER_DAY


def test_all_faults_are_told_at_once(rows: Rows) -> None:
    rows = without(rows, 9_000, 100)[:20_000]
    rows["high"][5] = math.nan
    rows["close"][6] = -3
    rows["time_ms"][8] += 5
    other = rows[10:11].copy()
    other["volume"] += 1
    text = " | ".join(reasons(np.concatenate([rows, rows[:3], other])))
    faults = ("repeat an", "already given", "earlier than the row", "beside the", "no finite", "not above", "outside [")
    for fault in (*faults, "more than 24", "fewer than 90"):
        assert fault in text


def test_an_exchange_halt_is_reported_and_passes(rows: Rows) -> None:
    for start, bars in ((300, 5), (600, 6), (len(rows) - 8, 8)):
        still = slice(start, start + bars)
        for name in ("open", "high", "low", "close"):
            rows[name][still] = rows["close"][start - 1]
        rows["volume"][still] = 0
    report = judge(rows)[1]
    assert [span.bars for span in report.halts] == [6, 8]
    assert report.halts[0].first_ms == rows["time_ms"][600]


def test_without_a_volume_column_there_are_no_halts(rows: Rows) -> None:
    for name in ("open", "high", "low", "close"):
        rows[name][5:25] = rows["close"][4]
    raw = RawTable.of("SOL", "SOL.csv", rows)
    silent = RawTable(
        "SOL", "x", raw.time_ms, raw.open, raw.high, raw.low, raw.close, np.zeros(len(raw)), has_volume=False
    )
    assert preflight(silent, SETTINGS)[1].halts == ()


def test_a_jump_is_noted_not_refused(rows: Rows) -> None:
    for name in ("open", "high", "low", "close"):
        rows[name][700:] = (rows[name][700:] * 160).round() / 100
    (note,) = judge(rows)[1].notes
    assert "1 jump of more than 50% from bar to bar" in note
    assert "row 701 (2023-01-03 10:20 UTC)" in note


def test_the_report_is_json_and_plain_text(rows: Rows) -> None:
    report = judge(without(rows, 1000, 2))[1]
    value = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert value["filled"] == [{"from": "2023-01-04 11:20 UTC", "to": "2023-01-04 11:25 UTC", "bars": 2}]
    assert (value["bars"], value["rows"], value["filled_bars"], value["tick"]) == (28_800, 28_798, 2, 0.01)
    assert all("\n" not in line for line in report.lines())


def test_a_prefix_of_the_rows_gives_a_prefix_of_the_bars(rows: Rows) -> None:
    """Filling looks back only: what comes later cannot change an earlier bar."""
    holey = without(rows, 26_500, 7)
    whole = judge(holey)[0].rows
    part = judge(holey[:26_800])[0].rows
    assert (whole[: len(part)] == part).all()


# --- the real files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["SOL", "BTC"])
def test_real_bars_pass_with_their_one_halt(real_data: Path, symbol: str) -> None:
    bars, report = preflight(read(find(real_data, symbol), symbol), SETTINGS)
    assert (len(bars), report.rows, bars.tick, bars.synthetic) == (245_664, 245_648, 0.01, False)
    assert [str(span) for span in report.filled] == ["2023-03-24 12:40 UTC to 2023-03-24 13:55 UTC, 16 bars"]
    assert [str(span) for span in report.halts] == ["2023-03-24 11:30 UTC to 2023-03-24 12:35 UTC, 14 bars"]
    assert (np.diff(bars.rows["time_ms"]) == BAR_MS).all()
    assert report.notes == ()


def test_the_dirty_file_is_refused_and_repaired_loudly(real_data: Path) -> None:
    raw = read(find(real_data, "DIRTY"), "DIRTY")
    with pytest.raises(UnfitBars, match="repeat an earlier row in every value: 16,336, the first is row 5,001"):
        preflight(raw, SETTINGS)
    bars, report = preflight(raw, SETTINGS, repair=True)
    assert (report.rows, report.copies_dropped, len(bars)) == (122_000, 16_336, 105_680)
    assert any("16,336 rows dropped" in line for line in report.lines())
    clean = preflight(read(find(real_data, "SOL"), "SOL"), SETTINGS)[0].rows
    both = np.intersect1d(clean["time_ms"], bars.rows["time_ms"])
    mine = bars.rows[np.isin(bars.rows["time_ms"], both)]
    assert (mine == clean[np.isin(clean["time_ms"], both)]).all()
