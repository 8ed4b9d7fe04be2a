"""Fills that are paired, workbooks, encodings, lists without a header, and the capital that nobody named."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from config.errors import Refused
from tests.report.tearsheet.read_lists import HOUR, NOON, TODAY, found, result, trades
from WORKFLOW.report.tearsheet import trades_file
from WORKFLOW.report.tearsheet.sources.ledger import Hints

# fills ----------------------------------------------------------------------------------------------------------------


def test_binances_fills_are_paired_first_in_first_out(tmp_path: Path) -> None:
    """Bought 10 at 100 and 10 at 102, the fee of the first 0.01 SOL = 1 USDT; 15 sold at 110, fee 3, 5 remain."""
    text = (
        "Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n"
        "2024-03-01 12:00:00,SOLUSDT,SELL,110,15.00SOL,1650USDT,3.0USDT\n"
        "2024-03-01 10:00:00,SOLUSDT,BUY,102,10.00SOL,1020USDT,2.0USDT\n"
        "2024-03-01 09:00:00,SOLUSDT,BUY,100,10.00SOL,1000USDT,0.01SOL\n"
    )
    one = found(tmp_path, text, capital=5_000.0)
    made = trades(one)
    assert made.pnl == pytest.approx([10 * 10 + 5 * 8 - 1 - 1 - 3])
    assert made.exit_ms.tolist() == [NOON]
    assert made.entry_ms is not None
    assert made.entry_ms.tolist() == [NOON - 3 * HOUR]
    assert any("1 fills are not closed at the end" in note for note in one.notes)


def test_a_fee_in_a_coin_of_its_own_is_refused_and_the_way_out_works(tmp_path: Path) -> None:
    rows = [
        "2024-03-01 09:00:00,SOLUSDT,BUY,100,10SOL,1000USDT,{}",
        "2024-03-01 12:00:00,SOLUSDT,SELL,110,10SOL,1100USDT,{}",
    ]
    text = "\n".join(["Date(UTC),Pair,Side,Price,Executed,Amount,Fee", *rows])
    with pytest.raises(Refused, match=r"fee in row 1 of .* is paid in BNB") as refusal:
        found(tmp_path, text.format("0.002BNB", "0.002BNB"), capital=5_000.0)
    assert "the number alone, without the coin" in refusal.value.way_out
    assert trades(found(tmp_path, text.format("1", "1"), capital=5_000.0)).pnl.tolist() == [98.0]


def test_a_spot_sale_of_what_was_bought_before_is_refused_and_the_way_out_works(tmp_path: Path) -> None:
    header = "portfolio,trade id,product,side,created at,size,size unit,price,fee,total,price/fee/total unit"
    rows = [
        "default,1,SOL-USD,SELL,2024-03-01T08:00:00Z,5,SOL,90,1,449,USD",
        "default,2,SOL-USD,BUY,2024-03-01T09:00:00Z,10,SOL,100,1,-1001,USD",
        "default,3,SOL-USD,SELL,2024-03-01T12:00:00Z,10,SOL,110,1,1099,USD",
    ]
    with pytest.raises(Refused, match=r"row 1 of .* sells 5 SOL-USD more than the rows before it bought") as refusal:
        found(tmp_path, "\n".join([header, *rows]), capital=5_000.0)
    assert "leave that row out" in refusal.value.way_out
    assert trades(found(tmp_path, "\n".join([header, *rows[1:]]), capital=5_000.0)).pnl.tolist() == [98.0]


def test_coinbases_report_is_read_below_its_title(tmp_path: Path) -> None:
    text = (
        "Transactions\nUser,Somebody,1234\n\n"
        "ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,Subtotal,"
        "Total (inclusive of fees and/or spread),Fees and/or Spread,Notes\n"
        "a,2024-03-01 08:00:00 UTC,Deposit,USD,5000,USD,$1.00,$5000.00,$5000.00,$0.00,\n"
        "b,2024-03-01 09:00:00 UTC,Buy,SOL,10,USD,$100.00,$1000.00,$1001.00,$1.00,Bought\n"
        "c,2024-03-01 12:00:00 UTC,Sell,SOL,-10,USD,$110.00,$1100.00,$1099.00,$1.00,Sold\n"
    )
    made = trades(found(tmp_path, text, capital=5_000.0))
    assert (made.pnl.tolist(), made.exit_ms.tolist()) == ([98.0], [NOON])


def test_fills_of_futures_open_short(tmp_path: Path) -> None:
    text = (
        "Time,Symbol,Price,Quantity,Side,Commission\n"
        "2024-03-01 09:00:00,SOLUSDT,110,10,SELL,1\n"
        "2024-03-01 12:00:00,SOLUSDT,100,15,BUY,1.5\n"
        "2024-03-01 15:00:00,SOLUSDT,101,5,SELL,0.5\n"
    )
    made = trades(found(tmp_path, text, capital=5_000.0))
    assert made.pnl == pytest.approx([100 - 1 - 1, 5 - 0.5 - 0.5])
    assert made.side is not None
    assert made.side.tolist() == [-1, 1]


# workbooks and encodings ----------------------------------------------------------------------------------------------

SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)


def workbook(path: Path, *sheets: list[list[str]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        for number, rows in enumerate(sheets, 1):
            lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            archive.writestr(f"xl/worksheets/sheet{number}.xml", SHEET.format(lines))
    return path


def cell(text: str) -> str:
    try:
        return f"<c><v>{float(text)!r}</v></c>"
    except ValueError:
        return f'<c t="inlineStr"><is><t>{text.replace("&", "&amp;")}</t></is></c>'


def test_a_workbook_is_read_at_the_sheet_with_trades(tmp_path: Path) -> None:
    """45352.5 days after 1899-12-30 is 2024-03-01 12:00."""
    rows = [line.split(",") for line in TODAY.splitlines()]
    days = {
        "12": "45352.5",
        "09": "45352.375",
        "15": "45352.625",
        "13": "45352.541666667",
        "18": "45352.75",
        "16": "45352.6666667",
    }
    dated = [rows[0], *([*row[:2], days[row[2][11:13]], *row[3:]] for row in rows[1:])]
    path = workbook(tmp_path / "list.xlsx", [["Performance", "All"], ["Net profit", "86"]], dated)
    one = trades_file.read(path, None)
    assert trades(one).pnl.tolist() == [98.0, -12.0]
    assert trades(one).exit_ms.tolist() == [NOON, NOON + 3 * HOUR]


def test_a_workbook_without_trades_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holds no table of trades"):
        trades_file.read(workbook(tmp_path / "list.xlsx", [["a", "b"], ["1", "2"]]), None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_a_file_is_the_same_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    text = "exit_time;pnl;Größe\n01.03.2024 12:00;98,00;1\n13.03.2024 15:00;-12,00;2\n"
    made = trades(found(tmp_path, text.encode(encoding), capital=5_000.0))
    assert made.pnl.tolist() == [98.0, -12.0]
    assert made.exit_ms.tolist() == [NOON, NOON + 12 * 24 * HOUR + 3 * HOUR]


ESCAPE = "\x1b[2J"
HOSTILE = (
    json.dumps(result(f"One{ESCAPE}", "Two")),
    f"Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n2024-03-01,SOL{ESCAPE},SELL,1,1,1,1\n2024-03-02,SOL,BUY,1,1,1,1\n",
    TODAY.replace("\n2,", f"\n2{ESCAPE},").replace(f"2{ESCAPE},Entry", "9,Entry"),
    f"exit_time,pnl\n2024-03-01,5{ESCAPE}\n",
    f"when{ESCAPE},pnl\n2024-03-01,5\n",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_word_of_a_file_moves_the_terminal(tmp_path: Path, text: str) -> None:
    with pytest.raises(Refused) as refusal:
        found(tmp_path, text)
    assert "\x1b" not in str(refusal.value)


def test_a_workbook_whose_text_grows_without_end_is_refused(tmp_path: Path) -> None:
    """A billion laughs: entities of entities."""
    entities = "".join(f'<!ENTITY e{at} "{f"&e{at - 1};" * 10 if at else "ha" * 10}">' for at in range(10))
    path = tmp_path / "list.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr(
            "xl/worksheets/sheet1.xml", f"<!DOCTYPE w [{entities}]>" + SHEET.format("<row><c><v>&e9;</v></c></row>")
        )
    with pytest.raises(Refused, match="not an Excel workbook that can be read"):
        trades_file.read(path, None)


# no header, other names -----------------------------------------------------------------------------------------------


def test_a_file_without_a_header_is_asked_for_its_columns_and_the_way_out_works(tmp_path: Path) -> None:
    text = "2024-03-01 12:00,98,x\n2024-03-01 15:00,-12,y\n"
    with pytest.raises(Refused, match="has no header line") as refusal:
        found(tmp_path, text, capital=5_000.0)
    assert refusal.value.way_out.endswith("--columns exit_time,pnl,-")
    one = found(tmp_path, text, capital=5_000.0, hints=Hints(columns=("exit_time", "pnl", "-")))
    assert trades(one).pnl.tolist() == [98.0, -12.0]
    with pytest.raises(Refused, match=r"names 2 columns and .* has 3"):
        found(tmp_path, text, capital=5_000.0, hints=Hints(columns=("exit_time", "pnl")))


def test_a_date_and_a_result_are_asked_what_they_are_and_both_ways_out_work(tmp_path: Path) -> None:
    text = "date,mood,profit\n2024-03-01,a,100\n2024-03-02,b,-50\n"
    with pytest.raises(Refused, match="may be a closed trade, or what one day brought") as refusal:
        found(tmp_path, text, capital=1_000.0)
    assert "--columns exit_time,-,pnl for trades, --columns date,-,daily_pnl for days" in refusal.value.way_out
    as_trades = found(tmp_path, text, capital=1_000.0, hints=Hints(columns=("exit_time", "-", "pnl")))
    assert trades(as_trades).pnl.tolist() == [100.0, -50.0]
    as_days = found(tmp_path, text, capital=1_000.0, hints=Hints(columns=("date", "-", "daily_pnl")))
    assert as_days.curve is not None
    assert as_days.curve.values.tolist() == [100.0, -50.0]


# capital --------------------------------------------------------------------------------------------------------------


def test_an_assumed_capital_is_said(tmp_path: Path) -> None:
    one = found(tmp_path, "exit_time,pnl\n2024-03-01,98\n")
    assert one.capital == trades_file.ASSUMED_CAPITAL
    assert one.notes[0].startswith("capital 10,000 is assumed, since none was given")


@pytest.mark.parametrize("header", ["pnl", "Net P&L BTC", "profit"])
def test_results_of_a_stake_of_a_hundredth_bitcoin_are_asked_for_the_capital(tmp_path: Path, header: str) -> None:
    text = f"exit_time,{header}\n2024-03-01,0.0002\n2024-03-02,-0.0001\n"
    if "&" in header:
        text = (
            text.replace(f"exit_time,{header}", "exit_time,pnl")
            .replace("0.0002", "0.0002 BTC")
            .replace("0.0001", "0.0001 BTC")
        )
    with pytest.raises(Refused, match=r"the largest result in .* is 0.0002") as refusal:
        found(tmp_path, text)
    assert "--capital C" in refusal.value.way_out
    one = found(tmp_path, text, capital=0.01)
    assert trades(one).net == pytest.approx([0.02, -0.0001 / 0.0102])


def test_trades_that_all_end_at_zero_need_no_capital(tmp_path: Path) -> None:
    assert np.all(trades(found(tmp_path, "exit_time,pnl\n2024-03-01,0\n2024-03-02,0\n")).net == 0)
