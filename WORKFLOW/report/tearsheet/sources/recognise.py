"""Find out which program wrote a file: every source is tried in turn, the specific ones before the general one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from config.errors import Refused
from WORKFLOW.report.tearsheet.sources import (
    bybit,
    curve,
    files,
    fills,
    freqtrade,
    generic,
    lean,
    metatrader,
    ninjatrader,
    tradingview,
)
from WORKFLOW.report.tearsheet.sources.curve import Curve
from WORKFLOW.report.tearsheet.sources.ledger import Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Sheet, of_csv, of_rows, shown

SOURCES: tuple[Callable[[Sheet, Hints], TradeTable | None], ...] = (
    *(tradingview.read, bybit.read, metatrader.read, lean.read, ninjatrader.read, fills.read),
)
_HEADERS = (*(tradingview.is_header, metatrader.is_header, fills.is_header, generic.is_header, curve.is_header),)


def read(path: Path, hints: Hints, unit: str | None) -> TradeTable | Curve:
    """Return the trades of a file, or its curve.

    Raises:
        Refused: the file is broken, has no known source, or leaves something open that only a person can say.
    """
    data = files.unpacked(path)
    if data.startswith(b"PK"):
        return _of_zip(path, data, hints, unit)
    if data.startswith((b"PAR1", b"ARROW1", b"FEA1")):
        return of_sheet(files.frame(path, data), hints, unit)
    if data.startswith(b"SQLite format 3\0"):
        return of_sheet(_live(files.database(path, data)), hints, unit)
    return _of_text(path, data, hints, unit)


def _of_text(path: Path, data: bytes, hints: Hints, unit: str | None) -> TradeTable | Curve:
    text, notes = files.text_of(path, data)
    start = text.lstrip()[:1]
    if start in ("{", "["):
        return _of_json(path, files.json_of(path, text), hints, unit)
    if start == "<" and not text.lstrip()[:7].upper().startswith("<DATE>"):
        return of_sheet(_in_rows(path, [files.tables(path, text)]), hints, unit)
    sheet = of_csv(path, text, is_header, hints.columns)
    return of_sheet(Sheet(sheet.path, sheet.names, sheet.columns, sheet.rows, (*notes, *sheet.notes)), hints, unit)


def is_header(fields: Sequence[str]) -> bool:
    """Return whether a line is the header of a table that some source reads."""
    return any(is_one(fields) for is_one in _HEADERS)


def of_sheet(sheet: Sheet, hints: Hints, unit: str | None) -> TradeTable | Curve:
    """Return the trades or the curve, by the first source that recognises the sheet."""
    if freqtrade.is_market(sheet.names):
        raise Refused(
            f"{sheet.path} holds trades of the market, a price and an amount each, and none of a strategy",
            "give the trades of a backtest (backtest-result-….zip) or of a bot",
        )
    for source in SOURCES:
        found = source(sheet, hints)
        if found is not None:
            return found
    return curve.read(sheet, hints, unit) or generic.read(sheet, hints)


def _of_json(path: Path, found: Any, hints: Hints, unit: str | None) -> TradeTable | Curve:
    known = freqtrade.of_json(str(path), found, hints) or lean.of_json(str(path), found, hints)
    if known is not None:
        return known
    sheet = files.of_records(str(path), found)
    if sheet is None:
        raise Refused(
            f"{path} is JSON that holds no list of trades",
            "give freqtrade's or QuantConnect's result, a list of objects with exit_time and pnl, or a CSV",
        )
    return of_sheet(sheet, hints, unit)


def _of_zip(path: Path, data: bytes, hints: Hints, unit: str | None) -> TradeTable | Curve:
    inside = files.members(path, data)
    results = {name: files.json_of(path, files.text_of(path, one)[0]) for name, one in inside.items() if _may_be(name)}
    known = [found for found in results.values() if freqtrade.strategies(found)]
    if known:
        merged = {name: one for found in known for name, one in freqtrade.strategies(found).items()}
        ledger = freqtrade.of_json(str(path), {"strategy": merged}, hints)
        assert ledger is not None
        return ledger
    if not inside:
        return of_sheet(_in_rows(path, files.workbook(path, data)), hints, unit)
    if len(inside) > 1:
        raise Refused(
            f"{path} holds {len(inside)} files: {', '.join(map(shown, inside))}",
            "unpack it and give the one with the trades",
        )
    return _of_text(path, next(iter(inside.values())), hints, unit)


def _may_be(name: str) -> bool:
    """Return whether a name may be that of a result; freqtrade puts the settings of a backtest beside it."""
    return name.lower().endswith(".json") and not name.lower().endswith("_config.json")


def _in_rows(path: Path, sheets: list[files.Rows]) -> Sheet:
    """Return the first table whose header some source knows."""
    for rows in sheets:
        at = next((at for at, row in enumerate(rows) if len(row) > 1 and is_header(row)), None)
        if at is not None:
            return of_rows(str(path), rows, at)
    raise Refused(
        f"{path} holds no table of trades whose columns are known",
        "save the sheet or table with the trades as CSV, with a header line that has exit_time and pnl",
    )


def _live(sheet: Sheet) -> Sheet:
    """Rename columns of freqtrade's database, which has other names for results than freqtrade's exports."""
    known = {"close_profit_abs": "profit_abs", "close_profit": "profit_ratio"}
    return Sheet(sheet.path, tuple(known.get(name, name) for name in sheet.names), sheet.columns, sheet.rows)
