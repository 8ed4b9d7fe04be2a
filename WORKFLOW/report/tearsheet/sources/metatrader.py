"""Read MetaTrader 4 and 5: positions with separate commission and swap, and deals in and out, after all costs."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from config.errors import Refused
from WORKFLOW.report.tearsheet.sources import amounts, ledger, moments
from WORKFLOW.report.tearsheet.sources.ledger import AS_WRITTEN, Capital, Column, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Sheet, as_text, plain_name, shown

_COSTS = ("commission", "swap", "fee", "taxes", "commissions")
_BALANCE = ("balance", "deposit", "credit")
_SLACK = 1e-9


def is_header(fields: Sequence[str]) -> bool:
    """Return whether these are columns of MetaTrader."""
    plain = [plain_name(field) for field in fields]
    return "profit" in plain and (_is_positions(plain) or _is_deals(plain))


def _is_positions(plain: Sequence[str]) -> bool:
    """Return whether each row is a trade, with two times, or an open and a close time, beside MetaTrader's costs."""
    has_two = plain.count("time") == 2 or ("open_time" in plain and "close_time" in plain)
    return has_two and "swap" in plain


def _is_deals(plain: Sequence[str]) -> bool:
    return "deal" in plain and "direction" in plain and "time" in plain


def read(sheet: Sheet, hints: Hints) -> TradeTable | None:
    """Return the trades; None if the sheet is another kind of list.

    Raises:
        Refused: more is closed than was opened before.
    """
    plain = list(sheet.plain)
    if "profit" not in plain:
        return None
    if _is_deals(plain):
        return _of_deals(sheet, hints)
    return _of_positions(sheet, plain, hints) if _is_positions(plain) else None


# positions ------------------------------------------------------------------------------------------------------------


def _of_positions(sheet: Sheet, plain: list[str], hints: Hints) -> TradeTable:
    times = [at for at, name in enumerate(plain) if name == "time"] or [
        plain.index("open_time"),
        plain.index("close_time"),
    ]
    prices = [at for at, name in enumerate(plain) if name in ("price", "open_price", "close_price")]
    kinds = sheet.words(plain.index("type")) if "type" in plain else ["buy"] * len(sheet)
    kept = [at for at, kind in enumerate(kinds) if kind.lower() in ("buy", "sell")]
    if not kept:
        raise Refused(f"{sheet.path} has no row of type buy or sell", "export the list of closed positions")
    position = {"entry_time": times[0], "exit_time": times[1], "pnl": plain.index("profit")}
    position |= {f"cost_{n + 1}": at for n, at in enumerate(_costs(plain))}
    if "type" in plain:
        position["side"] = plain.index("type")
    if len(prices) == 2:
        position |= {"entry_price": prices[0], "exit_price": prices[1]}
    found = ledger.of_sheet(sheet.taken(kept), position, unused=False)
    others = len(sheet) - len(kept)
    notes = [_said(sheet, plain), *found.notes]
    if others:
        notes.append(f"{others:,} rows are neither buy nor sell (deposits, orders that were cancelled): left out")
    costs = {f"cost_{n + 1}": AS_WRITTEN for n in range(len(_costs(plain)))}
    return TradeTable(
        sheet.path, found.columns, found.rows, costs, capital=_deposit(sheet, kinds, hints), notes=tuple(notes)
    )


def _costs(plain: Sequence[str]) -> list[int]:
    return [at for at, name in enumerate(plain) if name in _COSTS]


def _said(sheet: Sheet, plain: Sequence[str]) -> str:
    named = " + ".join(sheet.names[at] for at in (plain.index("profit"), *_costs(plain)))
    return f"MetaTrader: the result of a trade is {named}, as they are written"


def _deposit(sheet: Sheet, kinds: list[str], hints: Hints) -> Capital | None:
    """Return the profit of the first row of type balance (MetaTrader 4, deals), which is the amount paid in."""
    at = next((at for at, kind in enumerate(kinds) if kind.lower() in _BALANCE), None)
    if at is None:
        return None
    row = sheet.taken([at])
    amount = next((value for word in _last_first(row) if (value := _amount(row, word, hints)) > 0), 0.0)
    return Capital(amount, "as its first deposit says") if amount > 0 else None


def _last_first(row: Sheet) -> list[str]:
    """Return the values of a row in which a deposit is sought, profit first; reports that span cells put it last."""
    profit = row.words(row.plain.index("profit"))
    return [*profit, *(row.words(at)[0] for at in reversed(range(len(row.names))) if row.names[at] != "Balance")]


def _amount(row: Sheet, word: str, hints: Hints) -> float:
    try:
        table = TradeTable(row.path, {"pnl": Column("profit", as_text([word]))}, row.rows)
        return float(np.nan_to_num(amounts.of(table, hints.decimal or "point")["pnl"].values[0]))
    except Refused:
        return 0.0


# deals ----------------------------------------------------------------------------------------------------------------


@dataclass
class _Open:
    """The open rest of a deal; `cost` is what was charged for that rest."""

    ms: int
    price: float
    volume: float
    cost: float


@dataclass(frozen=True)
class _Trade:
    row: int
    entry_ms: int
    exit_ms: int
    is_long: bool
    entry_price: float
    exit_price: float
    pnl: float


def _of_deals(sheet: Sheet, hints: Hints) -> TradeTable:
    plain = list(sheet.plain)
    kinds = [word.lower() for word in sheet.words(plain.index("type"))]
    capital = _deposit(sheet, kinds, hints)
    dealt = sheet.taken([at for at, kind in enumerate(kinds) if kind in ("buy", "sell")])
    trades, still_open = _paired(dealt, plain, hints)
    if not trades:
        raise Refused(f"none of the {len(dealt):,} deals in {sheet.path} closes an earlier one", "export a longer time")
    notes = [
        _said(sheet, plain),
        f"MetaTrader's deals: {len(dealt):,} deals in and out are {len(trades):,} closed trades, first in first out",
        *sheet.notes,
    ]
    others = len(sheet) - len(dealt)
    if others:
        notes.append(f"{others:,} rows are neither buy nor sell (deposits, corrections): left out")
    if still_open:
        notes.append(f"{still_open:,} deals are not closed at the end: left out, with what they were charged")
    return _ledger(sheet, trades, capital, (*notes, *moments.of(_times(dealt, plain), "exit_time", hints).notes))


def _times(dealt: Sheet, plain: list[str]) -> TradeTable:
    at = plain.index("time")
    return TradeTable(dealt.path, {"exit_time": Column(dealt.names[at], dealt.columns[at])}, dealt.rows)


def _paired(sheet: Sheet, plain: list[str], hints: Hints) -> tuple[list[_Trade], int]:
    """Return trades by the closing deals; a deal in/out closes all that is open and opens its rest the other way."""
    fields = {"pnl": plain.index("profit"), "entry_price": plain.index("price"), "pct": plain.index("volume")}
    fields |= {f"cost_{n + 1}": at for n, at in enumerate(_costs(plain))}
    table = ledger.of_sheet(sheet, fields, unused=False)
    values = {name: np.nan_to_num(one.values) for name, one in amounts.of(table, hints.decimal).items()}
    charged = sum((values[name] for name in values if name.startswith("cost")), np.zeros(len(sheet)))
    ms = moments.of(_times(sheet, plain), "exit_time", hints).ms
    symbols = sheet.words(plain.index("symbol")) if "symbol" in plain else [""] * len(sheet)
    ways = [word.lower().replace(" ", "") for word in sheet.words(plain.index("direction"))]
    kinds = [word.lower() for word in sheet.words(plain.index("type"))]
    books: dict[tuple[str, bool], deque[_Open]] = {}
    trades = []
    for at in np.argsort(ms, kind="stable").tolist():
        is_buy, volume, price = kinds[at] == "buy", float(values["pct"][at]), float(values["entry_price"][at])
        left, rate = volume, float(charged[at]) / volume if volume else 0.0
        if ways[at] != "in":
            book = books.setdefault((symbols[at], not is_buy), deque())
            wanted = volume if ways[at] != "in/out" else min(volume, sum(one.volume for one in book))
            taken = _take(book, wanted)
            if taken is None:
                raise Refused(
                    f"row {sheet.rows[at]:,} of {sheet.path} closes {volume:g} {shown(symbols[at])}, and the rows"
                    " before it did not open as much",
                    "export from before that deal's opening, or leave that row out",
                )
            left = volume - wanted
            entry_ms, mean, cost = taken
            pnl = float(values["pnl"][at]) + rate * wanted + cost
            trades.append(_Trade(int(sheet.rows[at]), entry_ms, int(ms[at]), not is_buy, mean, price, pnl))
        if ways[at] in ("in", "in/out") and left > _SLACK:
            books.setdefault((symbols[at], is_buy), deque()).append(_Open(int(ms[at]), price, left, rate * left))
    return trades, sum(len(book) for book in books.values())


def _take(book: deque[_Open], volume: float) -> tuple[int, float, float] | None:
    """Take so much of what was opened first; return first entry, mean price and cost, or None if there is less."""
    entry_ms, worth, cost, left = None, 0.0, 0.0, volume
    while left > _SLACK:
        if not book:
            return None
        one = book[0]
        part = min(left, one.volume)
        share = one.cost * part / one.volume
        entry_ms = one.ms if entry_ms is None else min(entry_ms, one.ms)
        worth, cost, left = worth + one.price * part, cost + share, left - part
        one.volume, one.cost = one.volume - part, one.cost - share
        if one.volume <= _SLACK:
            book.popleft()
    return None if entry_ms is None else (entry_ms, worth / volume, cost)


def _ledger(sheet: Sheet, trades: list[_Trade], capital: Capital | None, notes: tuple[str, ...]) -> TradeTable:
    columns = {
        "exit_time": Column("Time", ledger.moments_as_text([one.exit_ms for one in trades])),
        "entry_time": Column("Time", ledger.moments_as_text([one.entry_ms for one in trades])),
        "side": Column("Type", as_text(["long" if one.is_long else "short" for one in trades])),
        "pnl": Column("Profit", ledger.numbers_as_text([one.pnl for one in trades])),
        "entry_price": Column("Price", ledger.numbers_as_text([one.entry_price for one in trades])),
        "exit_price": Column("Price", ledger.numbers_as_text([one.exit_price for one in trades])),
    }
    rows = np.array([one.row for one in trades], dtype=np.int64)
    return TradeTable(sheet.path, columns, rows, capital=capital, notes=notes)
