"""Lists as other programs write them, a few trades each, with every number recomputed by hand."""

import json
import sqlite3
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pytest

from config.errors import Refused
from tests.report.tearsheet.read_lists import HOUR, NOON, TODAY, found, freqtrade, result, trades
from WORKFLOW.report.tearsheet import trades_file
from WORKFLOW.report.tearsheet.sources.ledger import Hints

# TradingView, three generations ---------------------------------------------------------------------------------------

NEWEST = """\
Trade number,Type,Date and time,Signal,Price USD,Size (qty),Size (value),Net PnL USD,Return %,Commission USD,\
Favorable excursion USD,Favorable excursion %,Adverse excursion USD,Adverse excursion %,Cumulative PnL USD,\
Cumulative PnL %,Duration (bars)
3,Entry long,2024-03-01 16:00,Long,111,10,1110,0,0,1,12,1.08,0,0.00,0,0,2
2,Exit short,2024-03-01 15:00,SL,111,10,1100,-12.00,-1.09,2,5,0.45,-15,-1.36,86.00,1.72,2
2,Entry short,2024-03-01 13:00,Short,110,10,1100,-12.00,-1.09,2,5,0.45,-15,-1.36,86.00,1.72,2
1,Exit long,2024-03-01 12:00,TP,110,10,1000,98.00,9.80,2,120,12.00,-20,-2.00,98.00,1.96,3
1,Entry long,2024-03-01 09:00,Long,100,10,1000,98.00,9.80,2,120,12.00,-20,-2.00,98.00,1.96,3
"""
OLDEST = """\
Trade #,Type,Signal,Date/Time,Price,Contracts,Profit,Profit %,Cum. Profit,Cum. Profit %,Run-up,Run-up %,Drawdown,\
Drawdown %
1,Entry Long,Long,2024-03-01 09:00,100,10,,,,,,,,
1,Exit Long,TP,2024-03-01 12:00,110,10,98.00,9.80,98.00,1.96,120,12.00,20,2.00
2,Entry Short,Short,2024-03-01 13:00,110,10,,,,,,,,
2,Exit Short,SL,2024-03-01 15:00,111,10,-12.00,-1.09,86.00,1.72,5,0.45,15,1.36
"""
GERMAN = """\
Trade #,Typ,Datum und Uhrzeit,Signal,Preis USD,Größe (Menge),Größe (Wert),G&V netto USD,G&V netto %,\
Positive Exkursion USD,Positive Exkursion %,Negative Exkursion USD,Negative Exkursion %,Kumulativer G&V USD,\
Kumulativer G&V %
1,Long-Ausstieg,2024-03-01 12:00,TP,110,10,1000,98.00,9.80,120,12.00,-20,-2.00,98.00,1.96
1,Long-Einstieg,2024-03-01 09:00,Long,100,10,1000,98.00,9.80,120,12.00,-20,-2.00,98.00,1.96
2,Short-Ausstieg,2024-03-01 15:00,SL,111,10,1100,-12.00,-1.09,5,0.45,-15,-1.36,86.00,1.72
2,Short-Einstieg,2024-03-01 13:00,Short,110,10,1100,-12.00,-1.09,5,0.45,-15,-1.36,86.00,1.72
"""
RENAMED = TODAY.replace("Date/Time", "exit_time").replace("Net P&L USDT", "pnl", 1)


@pytest.mark.parametrize("text", [TODAY, "\ufeff" + TODAY, NEWEST, OLDEST, GERMAN, RENAMED, TODAY.replace(",", "\t")])
def test_tradingviews_two_rows_are_one_trade(tmp_path: Path, text: str) -> None:
    """Capital: 98 of 1.96 % and 86 of 1.72 % are both 5,000."""
    one = found(tmp_path, text)
    made = trades(one)
    assert made.pnl.tolist() == [98.0, -12.0]
    assert made.exit_ms.tolist() == [NOON, NOON + 3 * HOUR]
    assert made.entry_ms is not None
    assert made.entry_ms.tolist() == [NOON - 3 * HOUR, NOON + HOUR]
    assert made.side is not None
    assert made.side.tolist() == [1, -1]
    assert made.reasons == ("TP", "SL")
    assert made.mae == pytest.approx([-0.02, -0.0136])
    assert made.mfe == pytest.approx([0.12, 0.0045])
    assert one.capital == 5_000.0
    assert made.net == pytest.approx([98 / 5_000, -12 / 5_098])


def test_tradingviews_percentages_are_those_of_each_trade(tmp_path: Path) -> None:
    made = trades(found(tmp_path, TODAY, wants="pct"))
    assert made.net == pytest.approx([0.098, -0.0109])


def test_a_tradingview_list_that_was_pasted_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"trade 1 has 'Exit long' in row 1 of .* and again in row 7"):
        found(tmp_path, TODAY + TODAY.split("\n", 1)[1])


def test_entries_and_exits_without_a_number_are_refused(tmp_path: Path) -> None:
    bare = "\n".join(line.partition(",")[2] for line in TODAY.splitlines())
    with pytest.raises(Refused, match="no column for the trade's number"):
        found(tmp_path, bare)


PAIRS = ["1,2024-03-01 09:00,98", "1,2024-03-01 12:00,98", "2,2024-03-01 15:00,-12", "2,2024-03-01 13:00,-12"]


def test_two_rows_of_one_number_and_one_result_are_one_trade_whatever_they_are_called(tmp_path: Path) -> None:
    one = found(tmp_path, "\n".join(["id,exit_time,pnl", *PAIRS]), capital=5_000.0)
    made = trades(one)
    assert made.pnl.tolist() == [98.0, -12.0]
    assert made.entry_ms is not None
    assert (made.exit_ms - made.entry_ms).tolist() == [3 * HOUR, 2 * HOUR]
    assert any("stands in two rows" in note for note in one.notes)


def test_equal_pairs_without_a_number_are_refused_and_the_way_out_works(tmp_path: Path) -> None:
    rows = [row.partition(",")[2] for row in [*PAIRS, "3,2024-03-02 09:00,5", "3,2024-03-02 10:00,5"]]
    with pytest.raises(Refused, match="each trade would count twice") as refusal:
        found(tmp_path, "\n".join(["exit_time,pnl", *rows]), capital=5_000.0)
    assert "keep the rows of the exits alone" in refusal.value.way_out
    kept = [rows[1], rows[2], rows[5]]
    assert trades(found(tmp_path, "\n".join(["exit_time,pnl", *kept]), capital=5_000.0)).pnl.tolist() == [98, -12, 5]


def test_partial_exits_of_one_number_are_trades_of_their_own(tmp_path: Path) -> None:
    rows = [f"{at},2024-03-01 09:00,2024-03-01 {hour},49" for at in (1, 2, 3) for hour in ("11:00", "12:00")]
    assert len(trades(found(tmp_path, "\n".join(["trade_id,entry_time,exit_time,pnl", *rows]), capital=1e4))) == 6


# MetaTrader -----------------------------------------------------------------------------------------------------------

POSITIONS = """\
Time;Position;Symbol;Type;Volume;Price;S / L;T / P;Time;Price;Commission;Swap;Profit
2024.03.01 09:00:00;5001;EURUSD;buy;0.10;1.08000;;;2024.03.01 12:00:00;1.09000;-0.70;-0.10;1 000.50
2024.03.01 13:00:00;5002;EURUSD;sell;0.10;1.09000;;;2024.03.01 15:00:00;1.09100;-0.70;0.00;-100.00
"""
MT4 = """\
Ticket;Open Time;Type;Size;Item;Price;S / L;T / P;Close Time;Price;Commission;Taxes;Swap;Profit
1;2024.02.01 00:00:00;balance;;;;;;;;;;;5 000.00
2;2024.03.01 09:00:00;buy;0.10;eurusd;1.08000;0;0;2024.03.01 12:00:00;1.09000;-0.70;0.00;-0.10;1 000.50
3;2024.03.01 10:00:00;buy limit;0.10;eurusd;1.00000;0;0;2024.03.01 11:00:00;1.08000;0;0;0;0
4;2024.03.01 13:00:00;sell;0.10;eurusd;1.09000;0;0;2024.03.01 15:00:00;1.09100;-0.70;0.00;0.00;-100.00
"""
NAMED = """\
Open Time,Type,Volume,Symbol,Price,Close Time,Close Price,Commission,Swap,Profit
2024.03.01 09:00:00,buy,0.10,EURUSD,1.08,2024.03.01 12:00:00,1.09,-0.70,-0.10,1000.50
2024.03.01 13:00:00,sell,0.10,EURUSD,1.09,2024.03.01 15:00:00,1.091,-0.70,0.00,-100.00
"""
REPORT = (
    "Trade History Report;;;\nName:;Somebody;;\n\nPositions;;;\n"
    + POSITIONS
    + "\nOrders;;;\nOpen Time;Order;Symbol;Type\n2024.03.01 09:00:00;1;EURUSD;buy\n"
)


@pytest.mark.parametrize("text", [POSITIONS, MT4, NAMED, REPORT])
def test_metatraders_result_is_what_is_left_after_commission_and_swap(tmp_path: Path, text: str) -> None:
    made = trades(found(tmp_path, text, capital=5_000.0))
    assert made.pnl == pytest.approx([999.70, -100.70])
    assert made.exit_ms.tolist() == [NOON, NOON + 3 * HOUR]
    assert made.entry_ms is not None
    assert made.entry_ms.tolist() == [NOON - 3 * HOUR, NOON + HOUR]
    assert made.side is not None
    assert made.side.tolist() == [1, -1]


def test_metatrader_4_says_what_was_paid_in(tmp_path: Path) -> None:
    assert found(tmp_path, MT4).capital == 5_000.0


def test_a_metatrader_page_is_read_as_its_table(tmp_path: Path) -> None:
    rows = [line.split(";") for line in POSITIONS.splitlines()]
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    hidden = cells.replace("<td>buy</td>", '<td>buy</td><td class="hidden" colspan="8"></td>')
    page = f"<html><body><table><tr><th>Trade History Report</th></tr>{hidden}</table></body></html>"
    made = trades(found(tmp_path, page.encode("utf-16"), "ReportHistory.html", capital=5_000.0))
    assert made.pnl == pytest.approx([999.70, -100.70])


DEALS = """\
Time,Deal,Symbol,Type,Direction,Volume,Price,Order,Commission,Fee,Swap,Profit,Balance,Comment
2024.03.01 08:00:00,1,,balance,,,,,0.00,0.00,0.00,10 000.00,10 000.00,
2024.03.01 09:00:00,2,EURUSD,buy,in,2.00,1.0800,11,-4.00,0.00,0.00,0.00,9 996.00,
2024.03.01 10:00:00,3,EURUSD,sell,out,0.50,1.0900,12,-1.00,0.00,0.00,500.00,10 495.00,
2024.03.01 12:00:00,4,EURUSD,sell,in/out,2.50,1.0820,13,-5.00,0.00,-0.30,300.00,10 789.70,
2024.03.01 15:00:00,5,EURUSD,buy,out,1.00,1.0830,14,-2.00,0.00,0.00,-100.00,10 687.70,
"""


def test_metatraders_deals_are_paired_and_add_up_to_the_balance(tmp_path: Path) -> None:
    """Charged at entry: 4 for 2 lots; of 2.5 lots in/out 1.5 close and 1 opens: 3 and 2 of its 5."""
    one = found(tmp_path, DEALS)
    made = trades(one)
    assert one.capital == 10_000.0
    assert made.pnl == pytest.approx([500 - 1 - 1, 300 - (5.30 * 1.5 / 2.5) - 3, -100 - 2 - (5.30 * 1 / 2.5)])
    assert made.pnl.sum() == pytest.approx(10_687.70 - 10_000)
    assert made.side is not None
    assert made.side.tolist() == [1, 1, -1]
    assert made.entry_ms is not None
    assert made.entry_ms.tolist() == [NOON - 3 * HOUR, NOON - 3 * HOUR, NOON]


def test_a_deal_that_closes_what_was_never_opened_is_refused(tmp_path: Path) -> None:
    rows = DEALS.splitlines()
    with pytest.raises(Refused, match=r"row 2 of .* closes 0.5 EURUSD, and the rows before it"):
        found(tmp_path, "\n".join([rows[0], rows[1], *rows[3:]]))


# freqtrade ------------------------------------------------------------------------------------------------------------


KNOWN = {"starting_balance": 1_000.0, "stake_currency": "USDT"}


def test_freqtrades_result_says_its_trades_and_its_capital(tmp_path: Path) -> None:
    one = found(tmp_path, json.dumps(result("Mine", **KNOWN)), "result.json")
    assert trades(one).pnl.tolist() == [5.0, -2.0]
    assert one.capital == 1_000.0
    assert "capital 1,000 USDT as its starting_balance says" in one.notes
    assert trades(one).side is not None
    assert trades(one).reasons == ("roi", "roi")


def test_freqtrades_zip_is_read_and_its_settings_are_not(tmp_path: Path) -> None:
    path = tmp_path / "result.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("backtest-result-1.json", json.dumps(result("Mine", **KNOWN)))
        archive.writestr("backtest-result-1_config.json", json.dumps({"strategy": "Mine"}))
        archive.writestr("backtest-result-1_Mine.py", "class Mine: ...")
    assert trades(trades_file.read(path, None)).pnl.tolist() == [5.0, -2.0]


def test_of_several_strategies_the_one_that_is_called_is_drawn(tmp_path: Path) -> None:
    text = json.dumps(result("One", "Two", **KNOWN))
    with pytest.raises(Refused, match="2 strategies: One, Two") as refusal:
        found(tmp_path, text, "result.json", hints=Hints(called="mine"))
    assert refusal.value.way_out.startswith("name the one to draw as STRATEGY, such as One --trades ")
    assert len(trades(found(tmp_path, text, "result.json", hints=Hints(called="One")))) == 2


def test_freqtrades_lists_are_read_from_json_feather_and_its_database(tmp_path: Path) -> None:
    rows = [freqtrade(5.0), freqtrade(-2.0), freqtrade(1.0, is_open=True)]
    for inside in (rows, {"trades": rows, "trades_count": 3}):
        assert trades(found(tmp_path, json.dumps(inside), "trades.json", capital=1e3)).pnl.tolist() == [5.0, -2.0]
    table = pa.table({name: [row[name] for row in rows] for name in rows[0]})
    pyarrow.feather.write_feather(table, tmp_path / "trades.feather")
    assert trades(trades_file.read(tmp_path / "trades.feather", 1e3)).pnl.tolist() == [5.0, -2.0]
    with sqlite3.connect(tmp_path / "tradesv3.sqlite") as base:
        base.execute(
            "CREATE TABLE trades"
            " (open_date, close_date, close_profit, close_profit_abs, is_open, is_short, exit_reason)"
        )
        for row in rows:
            profit = (row["profit_ratio"], row["profit_abs"])
            values = (row["open_date"], row["close_date"], *profit, row["is_open"], row["is_short"], "roi")
            base.execute("INSERT INTO trades VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    base.close()
    assert trades(trades_file.read(tmp_path / "tradesv3.sqlite", 1e3)).pnl.tolist() == [5.0, -2.0]


def test_trades_of_the_market_are_not_taken_for_ones_own(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="trades of the market"):
        found(tmp_path, "timestamp,id,type,side,price,amount,cost\n1709294400000,1,,buy,100,1,100\n")


# others ---------------------------------------------------------------------------------------------------------------

LEAN = """\
Entry Time,Symbols,Exit Time,Direction,Entry Price,Exit Price,Quantity,P&L,Fees,Drawdown,IsWin,Order Ids
2024-03-01T09:00:00Z,SPY,2024-03-01T12:00:00Z,Buy,100,110,10,100,2.0,5,1,"1,2"
2024-03-01T13:00:00Z,SPY,2024-03-01T15:00:00Z,Sell,110,111,10,-10,2.0,12,0,"3,4"
"""
LEAN_JSON = {
    "totalPerformance": {
        "closedTrades": [
            {
                "symbol": {"value": "SPY"},
                "entryTime": "2024-03-01T09:00:00Z",
                "entryPrice": 100.0,
                "direction": 0,
                "quantity": 10.0,
                "exitTime": "2024-03-01T12:00:00Z",
                "exitPrice": 110.0,
                "profitLoss": 100.0,
                "totalFees": 2.0,
            },
            {
                "symbol": {"value": "SPY"},
                "entryTime": "2024-03-01T13:00:00Z",
                "entryPrice": 110.0,
                "direction": 1,
                "quantity": 10.0,
                "exitTime": "2024-03-01T15:00:00Z",
                "exitPrice": 111.0,
                "profitLoss": -10.0,
                "totalFees": 2.0,
            },
        ],
        "portfolioStatistics": {"startEquity": "5000"},
    }
}


@pytest.mark.parametrize("text", [LEAN, json.dumps(LEAN_JSON)])
def test_quantconnects_fees_are_taken_off(tmp_path: Path, text: str) -> None:
    one = found(tmp_path, text, capital=5_000.0 if text == LEAN else None)
    assert trades(one).pnl.tolist() == [98.0, -12.0]
    assert trades(one).side is not None
    assert trades(one).side.tolist() == [1, -1]  # type: ignore[union-attr]
    assert one.capital == 5_000.0


NINJA = """\
Trade number;Instrument;Account;Strategy;Market pos.;Qty;Entry price;Exit price;Entry time;Exit time;Entry name;\
Exit name;Profit;Cum. net profit;Commission;Clearing Fee;Exchange Fee;IP Fee;NFA Fee;MAE;MFE;ETD;Bars;
1;ES SEP25;Sim;;Long;1;6387,50;6389,50;13/3/2024 12:18:21;13/3/2024 12:35:29;Entry;Target1;$ 100,00;{};$ 2,00;\
$ 0,00;$ 0,00;$ 0,00;$ 0,00;$ 200,00;$ 175,00;$ 375,00;0;
2;ES SEP25;Sim;;Short;1;6445,00;6445,20;14/3/2024 16:46:10;14/3/2024 16:50:00;Entry;Stop1;-$ 10,00;{};$ 2,00;\
$ 0,00;$ 0,00;$ 0,00;$ 0,00;$ 200,00;$ 37,50;$ 237,50;0;
"""


def test_ninjatraders_cumulative_column_says_whether_commission_is_off_already(tmp_path: Path) -> None:
    before = trades(found(tmp_path, NINJA.format("$ 98,00", "$ 86,00"), capital=5_000.0))
    assert before.pnl.tolist() == [98.0, -12.0]
    after = trades(found(tmp_path, NINJA.format("$ 100,00", "$ 90,00"), capital=5_000.0))
    assert after.pnl.tolist() == [100.0, -10.0]
    assert after.reasons == ("Target1", "Stop1")


def test_bybits_closing_sale_ends_a_long_position(tmp_path: Path) -> None:
    text = (
        "Contracts,Closing Direction,Qty,Entry Price,Exit Price,Closed P&L,Exit Type,Trade Time(UTC+0)\n"
        "BTCUSDT,Sell,0.5,60000,60500,98.0,Trade,2024-03-01 12:00:00\n"
        "BTCUSDT,Close Short,0.5,60000,60500,-12.0,Trade,2024-03-01 15:00:00\n"
    )
    made = trades(found(tmp_path, text, capital=5_000.0))
    assert (made.pnl.tolist(), made.exit_ms.tolist()) == ([98.0, -12.0], [NOON, NOON + 3 * HOUR])
    assert made.side is not None
    assert made.side.tolist() == [1, -1]


BACKTESTING = """\
,Size,EntryBar,ExitBar,EntryPrice,ExitPrice,SL,TP,PnL,Commission,ReturnPct,EntryTime,ExitTime,Duration,Tag
0,10,5,8,100,110,,,98.0,2.0,0.098,2024-03-01 09:00:00,2024-03-01 12:00:00,0 days 03:00:00,
1,-10,10,13,110,111,,,-12.0,2.0,-0.0109,2024-03-01 13:00:00,2024-03-01 15:00:00,0 days 02:00:00,
"""
BACKTRADER = """\
ref,ticker,dir,datein,pricein,dateout,priceout,chng%,pnl,pnl%,size,value,cumpnl,nbars,pnl/bar,mfe%,mae%
1,SOL,long,2024-03-01 09:00:00,100,2024-03-01 12:00:00,110,10,98.0,1.96,10,1000,98,3,32,12,-2
2,SOL,short,2024-03-01 13:00:00,110,2024-03-01 15:00:00,111,0.9,-12.0,-0.24,-10,1100,86,2,-6,0.45,-1.36
"""
VECTORBT = """\
,Exit Trade Id,Column,Size,Entry Timestamp,Avg Entry Price,Entry Fees,Exit Timestamp,Avg Exit Price,Exit Fees,PnL,\
Return,Direction,Status,Position Id
0,0,0,10,2024-03-01 09:00:00,100,1,2024-03-01 12:00:00,110,1,98.0,0.098,Long,Closed,0
1,1,0,10,2024-03-01 13:00:00,110,1,2024-03-01 15:00:00,111,1,-12.0,-0.0109,Short,Closed,1
2,2,0,10,2024-03-01 16:00:00,111,1,2024-03-01 18:00:00,112,1,9.0,0.0081,Long,Open,2
"""


@pytest.mark.parametrize("text", [BACKTESTING, BACKTRADER, VECTORBT])
def test_lists_of_python_libraries_are_read_with_their_sides(tmp_path: Path, text: str) -> None:
    made = trades(found(tmp_path, text, capital=5_000.0))
    assert (made.pnl.tolist(), made.exit_ms.tolist()) == ([98.0, -12.0], [NOON, NOON + 3 * HOUR])
    assert made.side is not None
    assert made.side.tolist() == [1, -1]
    assert made.entry_ms is not None


def test_backtraders_excursions_are_percent(tmp_path: Path) -> None:
    made = trades(found(tmp_path, BACKTRADER, capital=5_000.0))
    assert made.mae == pytest.approx([-0.02, -0.0136])
    assert made.mfe == pytest.approx([0.12, 0.0045])
