"""Read QuantConnect and LEAN: trades as CSV, and the closed trades in a result's JSON. Fees are subtracted."""

from collections.abc import Mapping
from typing import Any

from WORKFLOW.report.tearsheet.sources import ledger
from WORKFLOW.report.tearsheet.sources.ledger import AGAINST, Capital, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Sheet

_NAMES = ("Entry Time", "Exit Time", "Direction", "Entry Price", "Exit Price", "P&L", "Fees")
_KEYS = ("entrytime", "exittime", "direction", "entryprice", "exitprice", "profitloss", "totalfees")
_SIDES = {"0": "long", "1": "short"}
_FIELDS = ("entry_time", "exit_time", "side", "entry_price", "exit_price", "pnl", "cost_1")


def read(sheet: Sheet, hints: Hints) -> TradeTable | None:
    """Return the trades; None if the sheet is another kind of list."""
    plain = sheet.plain
    if not {"entry_time", "exit_time", "p&l", "fees", "direction"} <= set(plain):
        return None
    position = {field: plain.index(name.lower().replace(" ", "_")) for field, name in zip(_FIELDS, _NAMES, strict=True)}
    found = ledger.of_sheet(sheet, position, unused=False)
    note = (
        f"QuantConnect: the result of a trade is {sheet.names[position['pnl']]} less {sheet.names[position['cost_1']]}"
    )
    return TradeTable(sheet.path, found.columns, found.rows, {"cost_1": AGAINST}, notes=(note, *found.notes))


def of_json(path: str, found: Any, hints: Hints) -> TradeTable | None:
    """Return the closed trades of a result; None if the JSON is of another kind."""
    performance = _get(found, "totalperformance") or found
    rows = _get(performance, "closedtrades")
    if not isinstance(rows, list) or not rows:
        return None
    lowered = [{str(key).lower(): value for key, value in row.items()} for row in rows if isinstance(row, Mapping)]
    table = [[_word(key, row.get(key)) for key in _KEYS] for row in lowered]
    made = read(Sheet.of(path, _NAMES, table), hints)
    start = _get(_get(performance, "portfoliostatistics"), "startequity")
    try:
        amount = float(str(start))
    except ValueError:
        return made
    if made is None or not amount > 0:
        return made
    capital = Capital(amount, "as its startEquity says")
    return TradeTable(made.path, made.columns, made.rows, made.costs, capital=capital, notes=made.notes)


def _get(found: Any, key: str) -> Any:
    """Return the value of a key, whatever the case of its letters."""
    if not isinstance(found, Mapping):
        return None
    return next((value for name, value in found.items() if str(name).lower() == key), None)


def _word(key: str, value: Any) -> str | None:
    if value is None:
        return None
    return _SIDES.get(str(value), str(value)) if key == "direction" else str(value)
