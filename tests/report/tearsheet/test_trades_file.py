import gzip
from pathlib import Path

import numpy as np
import pytest

from config.errors import Refused
from tests.report.tearsheet.lists import day, write
from WORKFLOW.report.tearsheet import trades_file
from WORKFLOW.report.tearsheet.trades_file import PCT, PERCENT, PNL

CAPITAL = 10_000.0


def read(tmp_path: Path, header: str, rows: list[str], *more: str) -> trades_file.TradesFile:
    return trades_file.read(write(tmp_path / "trades.csv", header, rows), CAPITAL, *more)


def test_pnl_is_taken_as_it_is_and_net_is_of_the_equity_before(tmp_path: Path) -> None:
    found = read(tmp_path, "exit_time,pnl", [f"{day(0)},1000", f"{day(1)},-550"])
    assert found.trades.pnl.tolist() == [1000.0, -550.0]
    assert found.trades.net.tolist() == [0.1, -0.05]
    assert found.trades.exit_ms.tolist() == [1_704_110_400_000, 1_704_196_800_000]
    assert (found.trades.entry_ms, found.trades.side, found.trades.mae) == (None, None, None)
    assert found.notes == ("pnl is column 'pnl', in currency",)


def test_pnl_is_derived_from_fractions_of_all_equity(tmp_path: Path) -> None:
    found = read(tmp_path, "exit_time,net_pnl_pct", [f"{day(0)},0.1", f"{day(1)},-0.05"], PCT)
    assert found.trades.pnl == pytest.approx([1000.0, -550.0])
    assert "read as fractions (0.012 is 1.2 %; --unit percent if they are percent)" in found.notes[0]


def test_percent_is_told_by_the_prices(tmp_path: Path) -> None:
    rows = [f"{day(at)},{100 * move!r},long,100,{100 * (1 + move)!r}" for at, move in enumerate([0.1, -0.05, 0.02] * 3)]
    found = read(tmp_path, "exit_time,pnl_pct,side,entry_price,exit_price", rows)
    assert found.trades.net == pytest.approx([0.1, -0.05, 0.02] * 3)
    assert "read as percent (1.2 is 1.2 %; as the prices say)" in found.notes[0]


def test_the_unit_that_was_said_counts(tmp_path: Path) -> None:
    found = read(tmp_path, "exit_time,pnl_pct", [f"{day(0)},1.5"], "either", PERCENT)
    assert found.trades.net.tolist() == [0.015]


def test_gross_percentages_say_that_fees_are_missing(tmp_path: Path) -> None:
    found = read(tmp_path, "exit_time,gross_pnl_pct", [f"{day(0)},0.1"])
    assert "that column is before fees: so is everything here" in found.notes


def test_unsorted_rows_are_sorted_with_all_they_hold(tmp_path: Path) -> None:
    rows = [f"{day(2)},3,short,{day(1)},c", f"{day(0)},1,long,{day(0)},a", f"{day(1)},2,long,{day(0)},b"]
    found = read(tmp_path, "exit_time,pnl,side,entry_time,reason_close", rows)
    assert found.trades.pnl.tolist() == [1.0, 2.0, 3.0]
    assert found.trades.side is not None
    assert found.trades.side.tolist() == [1, 1, -1]
    assert found.trades.reasons == ("a", "b", "c")
    assert "rows were not in the order of their exits: sorted" in found.notes


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("2024-01-01T14:00:00+02:00", False),
        ("2024-01-01T12:00:00Z", False),
        ("2024-01-01 12:00:00.000000+00:00", False),
        ("1704110400", False),
        ("1704110400000", False),
        ("2024-01-01 12:00:00", True),
        ("2024-01-01T12:00:00.000", True),
    ],
)
def test_a_moment_is_the_same_however_it_is_written(tmp_path: Path, text: str, note: bool) -> None:
    found = read(tmp_path, "exit_time,pnl", [f"{text},1"])
    assert found.trades.exit_ms.tolist() == [1_704_110_400_000]
    assert ("times without a zone are taken as UTC" in found.notes) is note


def test_columns_that_nobody_knows_are_named_and_left_alone(tmp_path: Path) -> None:
    found = read(tmp_path, "exit_time,pnl,mood,weather", [f"{day(0)},1,good,rain"])
    assert "columns not used: 'mood', 'weather'" in found.notes


def test_a_column_that_is_read_is_not_said_to_be_unused(tmp_path: Path) -> None:
    found = read(tmp_path, "Entry Time,Exit-Time,pnl", ["2024-01-01,2024-01-02,1"])
    assert found.trades.entry_ms is not None
    assert not any("not used" in note for note in found.notes)


def test_a_column_is_used_or_named_whichever_way_its_name_is_written(tmp_path: Path) -> None:
    found = read(tmp_path, "Exit Time,PnL,close_time,profit", [f"{day(0)},1,{day(1)},2"])
    assert (found.trades.pnl.tolist(), found.trades.exit_ms.tolist()) == ([1.0], [1_704_110_400_000])
    assert "columns not used: 'close_time', 'profit'" in found.notes


def test_rows_that_are_there_twice_count_and_are_said(tmp_path: Path) -> None:
    found = read(tmp_path, "exit_time,pnl,size", [f"{day(0)},1,1", f"{day(1)},2,1", f"{day(0)},1,1", f"{day(0)},1,2"])
    assert found.trades.pnl.tolist() == [1.0, 1.0, 1.0, 2.0]
    assert "1 row repeats an earlier one in every column: each counts as a trade" in found.notes


@pytest.mark.parametrize("entry", ["1704067200", "1704067200.5"])
def test_epoch_numbers_go_with_times_of_any_zone(tmp_path: Path, entry: str) -> None:
    rows = [f"{entry},2024-01-01T14:00:00+02:00,1"]
    assert read(tmp_path, "entry_time,exit_time,pnl", rows).trades.exit_ms.tolist() == [1_704_110_400_000]


def test_open_trades_are_left_out_and_counted(tmp_path: Path) -> None:
    found = read(tmp_path, "exit_time,pnl,status", [f"{day(0)},1,Closed", ",2,Closed", f"{day(1)},3,Open"])
    assert found.trades.pnl.tolist() == [1.0]
    assert "2 trades are still open (no exit time, or status open): left out" in found.notes
    found = read(tmp_path, "exit_time,pnl,status", [f"{day(0)},1,Closed", f"{day(1)},3,Open"])
    assert "1 trade is still open (no exit time, or status open): left out" in found.notes


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (
            "pair,open_date,close_date,open_rate,close_rate,profit_ratio,profit_abs,is_short,exit_reason",
            f"SOL/USDT,{day(0)},{day(1)},100,90,0.09,900,True,roi",
        ),
        (
            "Size,EntryBar,ExitBar,EntryPrice,ExitPrice,PnL,ReturnPct,EntryTime,ExitTime,direction",
            f"1,0,9,100,90,900,0.09,{day(0)},{day(1)},short",
        ),
        (
            "Exit Trade Id,Entry Timestamp,Avg Entry Price,Exit Timestamp,Avg Exit Price,PnL,Return,Direction,Status",
            f"0,{day(0)},100,{day(1)},90,900,0.09,Short,Closed",
        ),
    ],
    ids=["freqtrade", "backtesting", "vectorbt"],
)
@pytest.mark.parametrize("wants", [PNL, PCT])
def test_tables_of_other_tools_are_read_as_they_are(tmp_path: Path, header: str, row: str, wants: str) -> None:
    trades = read(tmp_path, header, [row], wants).trades
    assert trades.pnl == pytest.approx([900.0])
    assert trades.side is not None
    assert trades.side.tolist() == [-1]
    assert trades.entry_ms is not None
    assert (trades.exit_ms - trades.entry_ms).tolist() == [86_400_000]


def test_semicolons_a_byte_order_mark_and_gzip_are_read(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfexit_time;pnl\r\n2024-01-01;5\r\n"))
    assert trades_file.read(path, CAPITAL).trades.pnl.tolist() == [5.0]


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("", (), ["is empty (0 bytes)"]),
        ("exit_time,pnl\n", (), ["has a header line and no trade"]),
        ("\n\n", (), ["holds no text"]),
        ("exit_time,pnl\r2024-01-01,1\r2024-01-02,2\r", (), ["the first line of", "is not CSV", "newline"]),
        (
            "exit_time,price\n2024-01-01,1\n",
            (),
            ["neither a pnl nor a pct column", "'exit_time', 'price'", "net_pnl_pct"],
        ),
        ("exit_time,net_pnl_pct\n2024-01-01,1\n", (PNL,), ["has no pnl column", "generate_tearsheet.py derives"]),
        ("when,pnl\n2024-01-01,1\n", (), ["no column for the time of the exit", "'when', 'pnl'", "exit_time"]),
        ("exit_time,pnl\n2024-01-01,1\n2024-01-02,\n", (), ["pnl is empty or not finite in row 2 of"]),
        ("exit_time,pnl\n2024-01-01,nan\n", (), ["pnl is empty or not finite in row 1 of"]),
        (
            "exit_time,pnl\n2024-01-01,5 apples and a half\n",
            (),
            ["pnl is '5 apples and a half' in row 1 of", "write a number"],
        ),
        ("exit_time,pnl\nsoon,1\n", (), ["exit_time is 'soon' in row 1 of", "ISO 8601"]),
        (
            "exit_time,pnl\n2024-01-01T00:00:00Z,1\n2024-01-02 00:00:00,1\n",
            (),
            ["has a time zone in row 1", "none in row 2"],
        ),
        (
            "entry_time,exit_time,pnl\n2024-01-01T00:00:00,2024-01-01T05:00:00+02:00,1\n",
            (),
            ["exit_time of", "has a time zone and entry_time has none", "both without"],
        ),
        (f"{'x' * 5000},pnl\n1,1\n", (), ["no column for the time of the exit", f"'{'x' * 40}…', 'pnl'"]),
        ("entry_time,exit_time,pnl\n2024-01-02,2024-01-01,1\n", (), ["row 1", "before it begins"]),
        ("exit_time,pnl,side\n2024-01-01,1,up\n", (), ["side is 'up' in row 1", "long or short"]),
        ("exit_time,net_pnl_pct\n2024-01-01,-2.5\n", (), ["net_pnl_pct is -2.5 in row 1", "--unit percent"]),
        ("exit_time,pnl,pnl\n2024-01-01,1,2\n", (), ["2 columns called 'pnl'"]),
        ("exit_time,pnl\n2024-01-01,1,2\n", (), ["row 1 has 3 fields instead of 2"]),
        ("exit_time,pnl\n,5\n2024-01-01,x\n", (), ["pnl is 'x' in row 2 of"]),
        ("exit_time,pnl,status\n2024-01-01,1,open\n", (), ["none of the 1 trades", "is closed"]),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place_and_a_way_out(
    tmp_path: Path, text: str, more: tuple[str, ...], words: list[str]
) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(text.encode())
    with pytest.raises(Refused) as refusal:
        trades_file.read(path, CAPITAL, *more)
    for word in words:
        assert word in str(refusal.value)
    assert refusal.value.way_out


def test_no_file_and_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot read"):
        trades_file.read(tmp_path / "nowhere.csv", CAPITAL)
    (tmp_path / "binary.csv").write_bytes(b"exit_time,pnl\n\0\0\0\xff,1\n")
    with pytest.raises(Refused, match=r"holds bytes that are not text"):
        trades_file.read(tmp_path / "binary.csv", CAPITAL)


def test_all_of_a_long_file_is_read(tmp_path: Path) -> None:
    rows = [f"{1_600_000_000 + 300 * at},{at % 7 - 3}" for at in range(210_000)]
    found = read(tmp_path, "exit_time,pnl", rows)
    assert len(found.trades) == 210_000
    assert found.trades.pnl.sum() == float(np.sum(np.arange(210_000) % 7 - 3))
