"""Read NinjaTrader's list of trades; its cumulative column shows whether commission is already subtracted."""

import numpy as np

from WORKFLOW.report.tearsheet.sources import amounts, ledger
from WORKFLOW.report.tearsheet.sources.ledger import AGAINST, Column, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Sheet

_NAMES = {
    "entry_time": "entry_time",
    "exit_time": "exit_time",
    "side": "market_pos",
    "entry_price": "entry_price",
    "exit_price": "exit_price",
    "pnl": "profit",
    "reason": "exit_name",
}
_FEES = ("commission", "clearing_fee", "exchange_fee", "ip_fee", "nfa_fee")
_TOTAL = "cum_net_profit"
_CENT = 0.011  # tolerance for amounts that are shown to the cent


def read(sheet: Sheet, hints: Hints) -> TradeTable | None:
    """Return the trades; None if the sheet is another kind of list."""
    plain = sheet.plain
    if not {"market_pos", "entry_time", "exit_time", "profit"} <= set(plain):
        return None
    position = {field: plain.index(name) for field, name in _NAMES.items() if name in plain}
    position |= {f"cost_{n + 1}": plain.index(name) for n, name in enumerate(_FEES) if name in plain}
    found = ledger.of_sheet(sheet, position, unused=False)
    costs, note = _costs(sheet, found, hints)
    return TradeTable(sheet.path, found.columns, found.rows, costs, notes=(note, *found.notes))


def _costs(sheet: Sheet, found: TradeTable, hints: Hints) -> tuple[dict[str, int], str]:
    """Return the cost columns that still reduce the profit, and a note.

    There are none if the cumulative column is the sum of the profit column alone.
    """
    fields = [name for name in found.columns if name.startswith("cost")]
    profit = found.name("pnl")
    if not fields:
        return {}, f"NinjaTrader: the result of a trade is {profit}; the list has no costs"
    if _adds_up(sheet, found, hints):
        return {}, f"NinjaTrader: {profit} is after commission, as its cumulative column says"
    named = ", ".join(found.name(name) for name in fields)
    return dict.fromkeys(fields, AGAINST), f"NinjaTrader: the result of a trade is {profit} less {named}"


def _adds_up(sheet: Sheet, found: TradeTable, hints: Hints) -> bool:
    """Return whether the cumulative column moves by the profit alone, in whichever direction the list is written."""
    if _TOTAL not in sheet.plain:
        return False
    at = sheet.plain.index(_TOTAL)
    table = TradeTable(
        sheet.path, {"pnl": found.columns["pnl"], "pct": Column(sheet.names[at], sheet.columns[at])}, sheet.rows
    )
    read_ = amounts.of(table, hints.decimal)
    profit, total = read_["pnl"].values, read_["pct"].values
    if total[0] != profit[0]:
        profit, total = profit[::-1], total[::-1]
    return bool(np.all(np.abs(np.diff(total, prepend=0.0) - profit) < _CENT))
