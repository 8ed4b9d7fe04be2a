"""Files of trades that are refused, and how each part of the advice is followed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Edit = Callable[[str], str]


@dataclass(frozen=True)
class Case:
    """A file, what is typed, and how each part of the advice is followed: by flags that it spells out, or an edit."""

    name: str
    text: str
    words: tuple[str, ...] = ()
    flags: int = 0  # how many flags with their values the advice spells out, each to be typed on its own
    values: dict[str, str] = field(default_factory=dict)  # for what stands for a value, such as C
    edits: tuple[
        tuple[Any, ...], ...
    ] = ()  # words of the advice, what is done to the text, and what is typed beside it


def _sub(old: str, new: str) -> Edit:
    return lambda text: text.replace(old, new)


def _without(row: int) -> Edit:
    return lambda text: "\n".join(line for at, line in enumerate(text.splitlines()) if at != row) + "\n"


ROWS = "2024-03-01T12:00:00Z,5\n2024-03-02T12:00:00Z,-3\n"
DEALS = "Time,Deal,Symbol,Type,Direction,Volume,Price,Commission,Swap,Profit\n"
DAYS = "".join(f"2024-{1 + at // 28:02}-{1 + at % 28:02},0.19\n" for at in range(170))
LIST = "Trade #,Type,Date/Time,Net P&L USDT\n"
FILLS = "Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n"
BOUGHT_AND_SOLD = (
    "2024-03-01 09:00:00,SOLUSDT,BUY,100,10SOL,1000USDT,1USDT\n"
    "2024-03-01 12:00:00,SOLUSDT,SELL,110,10SOL,1100USDT,1USDT\n"
)
IN_AND_OUT = "2024.03.01 11:00:00,2,X,buy,in,1,1,0,0,0\n2024.03.01 12:00:00,3,X,sell,out,1,1,0,0,5\n"
CASES = (
    Case("no name for the exit", "when,pnl\n" + ROWS, edits=(("called exit_time", _sub("when", "exit_time")),)),
    Case(
        "no name for the result",
        "exit_time,price\n" + ROWS,
        edits=(("call the result of each trade pnl", _sub("price", "pnl")),),
    ),
    Case(
        "no name for the result, percent",
        "exit_time,price\n" + ROWS.replace("5", "0.05").replace("-3", "-0.03"),
        edits=(("net_pnl_pct", _sub("price", "net_pnl_pct")),),
    ),
    Case("no header", ROWS, flags=1),
    Case("a date and a result", "date,pnl\n2024-03-01,5\n2024-03-02,-3\n", flags=2),
    Case("day or month", "exit_time,pnl\n01/03/2024,5\n02/03/2024,-3\n", flags=2),
    Case("day or month, with a clock", "exit_time,pnl\n01/03/2024 2:30 PM,5\n02/03/2024 3:00 PM,-3\n", flags=2),
    Case(
        "thousands or decimals",
        'exit_time,pnl\n2024-03-01,"1,234"\n2024-03-02,"-5,678"\n',
        ("--capital", "9999999"),
        flags=2,
    ),
    Case("percent taken for fractions", "exit_time,pnl_pct\n2024-03-01,5\n2024-03-02,-3\n", flags=1),
    Case("percent returns", "date,return\n2024-03-01,5\n2024-03-02,-3\n", flags=1),
    Case("a stake of bitcoin", "exit_time,pnl\n2024-03-01,0.0002\n2024-03-02,-0.0001\n", flags=1, values={"C": "0.01"}),
    Case("a capital that is gone", "exit_time,pnl\n2024-03-01,-20000\n2024-03-02,5\n", flags=1, values={"C": "20001"}),
    Case(
        "growth beyond all measure",
        "exit_time,net_pnl_pct\n" + "".join(f"2024-03-{at:02},5\n" for at in range(1, 29)),
        flags=1,
    ),
    Case(
        "an empty result",
        "exit_time,pnl\n2024-03-01,\n2024-03-02,3\n",
        edits=(("give a number", _sub("01,", "01,1")), ("leave the trade out", _without(1))),
    ),
    Case(
        "a word for a number",
        "exit_time,pnl\n2024-03-01,five\n",
        edits=(
            ("1234.5", _sub("five", "1234.5")),
            ("-1,234.50", _sub("five", '"-1,234.50"')),
            ("(1,234.50)", _sub("five", '"(1,234.50)"')),
            ("$5", _sub("five", "$5")),
        ),
    ),
    Case(
        "a word for a time",
        "exit_time,pnl\nsoon,5\n",
        edits=tuple(
            (one, _sub("soon", one)) for one in ("2024-03-01T10:00:00Z", "2024-03-01 10:00", "01.03.2024 10:00")
        ),
    ),
    Case(
        "a zone here and none there",
        "exit_time,pnl\n2024-03-01T12:00:00Z,5\n2024-03-02 12:00:00,-3\n",
        edits=(
            ("write all of them with a zone", _sub("02 12:00:00", "02T12:00:00Z")),
            ("or all without", _sub("T12:00:00Z", " 12:00:00")),
        ),
    ),
    Case(
        "a zone for exits alone",
        "entry_time,exit_time,pnl\n2024-03-01 10:00:00,2024-03-01T12:00:00Z,5\n",
        edits=(
            ("both with a zone", _sub("01 10:00:00", "01T10:00:00Z")),
            ("both without", _sub("T12:00:00Z", " 12:00:00")),
        ),
    ),
    Case(
        "an end before its beginning",
        "entry_time,exit_time,pnl\n2024-03-02,2024-03-01,5\n",
        edits=(("repair that row", _sub("2024-03-02,2024-03-01", "2024-03-01,2024-03-02")),),
    ),
    Case(
        "a side that is none",
        "exit_time,pnl,side\n2024-03-01,5,up\n",
        edits=tuple((word, _sub("up", word)) for word in ("long", "short", "buy", "sell")),
    ),
    Case(
        "two columns of one name",
        "exit_time,pnl,pnl\n2024-03-01,5,6\n",
        edits=(
            ("names that differ", _sub("pnl,pnl", "pnl,other")),
            ("keep one of them", lambda text: "exit_time,pnl\n2024-03-01,5\n"),
        ),
    ),
    Case(
        "nothing closed",
        "exit_time,pnl,status\n2024-03-01,5,open\n",
        edits=(("an exit time", _sub(",open", ",closed")),),
    ),
    Case(
        "percent signs here and there",
        "exit_time,return_pct\n2024-03-01,5%\n2024-03-02,-3\n",
        edits=(
            ("behind all of them", _sub("-3", "-3%")),
            ("behind none and type --unit percent", _sub("%", ""), "--unit", "percent"),
        ),
    ),
    Case(
        "two currencies",
        "exit_time,pnl\n2024-03-01,5 USD\n2024-03-02,-3 EUR\n",
        edits=(("convert them to one", _sub("EUR", "USD")), ("a file of each", _without(2))),
    ),
    Case(
        "two decimal marks",
        "exit_time;pnl\n2024-03-01;1,5\n2024-03-02;-3.25\n",
        edits=(("in one way", _sub("-3.25", "-3,25")),),
    ),
    Case(
        "each trade in two rows",
        "exit_time,pnl\n" + "".join(f"2024-03-0{at},{at}\n2024-03-0{at},{at}\n" for at in (1, 2, 3)),
        edits=(
            (
                "keep the rows of the exits alone",
                lambda text: "exit_time,pnl\n" + "".join(f"2024-03-0{at},{at}\n" for at in (1, 2, 3)),
            ),
        ),
    ),
    Case(
        "a list pasted twice",
        "Trade #,Type,Date/Time,Net P&L USDT\n" + 2 * "1,Exit long,2024-03-02,5\n1,Entry long,2024-03-01,5\n",
        edits=(("take out what was pasted twice", lambda text: "\n".join(text.splitlines()[:3])),),
    ),
    Case(
        "a list without its numbers",
        "Type,Date/Time,Net P&L USDT\nExit long,2024-03-02,5\nEntry long,2024-03-01,5\n",
        edits=(
            (
                "with all of its columns (Trade #",
                lambda text: (
                    "Trade #,Type,Date/Time,Net P&L USDT\n1,Exit long,2024-03-02,5\n1,Entry long,2024-03-01,5\n"
                ),
            ),
        ),
    ),
    Case(
        "an exit without its entry",
        LIST + "1,Exit long,2024-03-02,5\n2,Exit long,2024-03-04,5\n2,Entry long,2024-03-03,5\n",
        edits=(("export the whole list", lambda text: text + "1,Entry long,2024-03-01,5\n"),),
    ),
    Case(
        "a deal that closes nothing",
        DEALS + "2024.03.01 10:00:00,1,X,sell,out,1,1,0,0,5\n" + IN_AND_OUT,
        edits=(
            ("leave that row out", _without(1)),
            ("from before that deal's opening", _sub(DEALS, DEALS + "2024.03.01 09:00:00,0,X,buy,in,1,1,0,0,0\n")),
        ),
    ),
    Case(
        "a fee in a coin of its own",
        FILLS + BOUGHT_AND_SOLD.replace("1USDT", "1BNB"),
        edits=(("the number alone", _sub("1BNB", "1")),),
    ),
    Case(
        "more sold than bought",
        FILLS + "2024-03-01 08:00:00,SOLUSDT,SELL,100,1SOL,100USDT,1USDT\n" + BOUGHT_AND_SOLD,
        edits=(
            ("leave that row out", _without(1)),
            ("from before that buy", _sub("Fee\n", "Fee\n2024-03-01 07:00:00,SOLUSDT,BUY,90,1SOL,90USDT,1USDT\n")),
        ),
    ),
    Case(
        "several strategies",
        json.dumps(
            {
                "strategy": {
                    name: {
                        "trades": [{"open_date": "2024-03-01", "close_date": "2024-03-02", "profit_abs": 5.0}],
                        "starting_balance": 100,
                    }
                    for name in ("One", "Two")
                }
            }
        ),
        edits=(),
    ),
    Case(
        "equity of gains alone",
        "date,equity\n2024-03-01,0\n2024-03-02,5\n",
        edits=(("add the capital to each", lambda text: "date,equity\n2024-03-01,100\n2024-03-02,105\n"),),
    ),
    Case(
        "two values of a day",
        "date,equity\n2024-03-01,100\n2024-03-01,101\n2024-03-02,105\n",
        edits=(("keep one of them", _without(2)),),
    ),
    Case("a split beyond the trades", "exit_time,pnl\n" + ROWS, ("--split", "2030-01-01"), edits=()),
    Case("returns beyond all measure", "date,return\n" + DAYS, flags=1),
    Case("a return of less than nothing", "date,return\n2024-03-01,0.1\n2024-03-02,0.2\n2024-03-03,-1.5\n", flags=1),
    Case("days that cost all", "date,daily_pnl\n2024-03-01,-20000\n", flags=1, values={"C": "20001"}),
    Case(
        "a word among decimal commas",
        "exit_time;pnl\n2024-03-01;1,5\n2024-03-02;five\n",
        edits=tuple((one, _sub("five", one)) for one in ("1234,5", "-1.234,50", "(1.234,50)", "5 €")),
    ),
    Case(
        "percent beyond everything",
        "exit_time,return_pct\n2024-03-01,5%\n2024-03-02,-150%\n",
        edits=(
            ("repair that row", _sub("-150", "-15")),
            ("give a column of pnl", lambda text: "exit_time,pnl\n2024-03-01,5\n2024-03-02,-150\n"),
        ),
    ),
)
