"""Read Bybit's closed P&L: one row for each position that was closed, named by the closing order."""

import re

from WORKFLOW.report.tearsheet.sources import ledger
from WORKFLOW.report.tearsheet.sources.ledger import Column, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Sheet, as_text

_TIME = re.compile(r"^(trade|filled/settlement|close)_time")
_LONG = ("close long", "sell")  # a sale closes a long position


def read(sheet: Sheet, hints: Hints) -> TradeTable | None:
    """Return the trades; None if the sheet is another kind of list."""
    plain = sheet.plain
    time = next((at for at, name in enumerate(plain) if _TIME.match(name)), None)
    if time is None or not {"closing_direction", "closed_p&l"} <= set(plain):
        return None
    position = {"exit_time": time, "pnl": plain.index("closed_p&l")}
    position |= {name: plain.index(name) for name in ("entry_price", "exit_price") if name in plain}
    if "exit_type" in plain:
        position["reason"] = plain.index("exit_type")
    found = ledger.of_sheet(sheet, position, unused=False)
    way = plain.index("closing_direction")
    sides = ["long" if word.lower() in _LONG else "short" for word in sheet.words(way)]
    columns = {**found.columns, "side": Column(sheet.names[way], as_text(sides))}
    return TradeTable(
        sheet.path, columns, found.rows, notes=("Bybit's closed P&L, fees taken off by Bybit", *found.notes)
    )
