"""Read daily returns or an equity curve, which show the worth of an account and nothing about its trades."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from config.errors import Refused
from WORKFLOW.data.bars import DAY_MS, Floats
from WORKFLOW.report.tearsheet.sources import amounts, moments
from WORKFLOW.report.tearsheet.sources.generic import ALIASES
from WORKFLOW.report.tearsheet.sources.ledger import Column, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Indices, Sheet, plain_name

_TIME = ("date", "datetime", "time", "timestamp", "day", "index", "unnamed:_0", "")
_RETURN = (
    *("return", "returns", "ret", "daily_return", "daily_returns", "strategy_returns", "strategy", "pct_change"),
    *("return_pct", "returns_pct", "return_%", "daily_return_%"),
)
_EQUITY = (
    *("equity", "balance", "portfolio_value", "account_value", "net_liquidation", "equity_curve", "nav", "value"),
    *("total_value", "account_equity", "total_equity", "net_asset_value", "portfolio", "wallet", "total_quote"),
)
_DAILY_PNL = ("daily_pnl", "daily_profit", "daily_p&l")
RETURNS, EQUITY, DAILY_PNL = "returns", "equity", "daily results"
_NOT = {"side", "price", "type", *ALIASES["exit_time"]}  # columns that only lists of trades have
_TOO_LARGE = 0.2  # a larger median daily return must be percent


@dataclass(frozen=True)
class Curve:
    """Marks (n,) in order of time; `values` are fractions for RETURNS, and currency for EQUITY and DAILY_PNL."""

    kind: str
    ms: Indices
    values: Floats
    notes: tuple[str, ...]


def is_header(fields: Sequence[str]) -> bool:
    """Return whether the fields name a date, and what an account gained or was worth."""
    plain = [plain_name(field) for field in fields]
    return any(name in plain for name in _TIME) and any(name in plain for name in (*_RETURN, *_EQUITY, *_DAILY_PNL))


def read(sheet: Sheet, hints: Hints, unit: str | None) -> Curve | None:
    """Return the marks; None if the sheet is a list of trades.

    Raises:
        Refused: a value is missing, a time has two values, or returns may be fractions or percent.
    """
    time = sheet.position(*_TIME)
    kinds = {
        EQUITY: sheet.position(*_EQUITY),
        DAILY_PNL: sheet.position(*_DAILY_PNL),
        RETURNS: sheet.position(*_RETURN),
    }
    kind = next((kind for kind, at in kinds.items() if at is not None), None)
    if time is None or kind is None or _NOT & set(sheet.plain):
        return None
    at = kinds[kind]
    assert at is not None
    columns = {
        "exit_time": Column(sheet.names[time], sheet.columns[time]),
        "pnl": Column(sheet.names[at], sheet.columns[at]),
    }
    table = TradeTable(sheet.path, columns, sheet.rows)
    when, found = moments.of(table, "exit_time", hints), amounts.of(table, hints.decimal)["pnl"]
    values, notes = _known(table, found.values, kind), [*sheet.notes, *when.notes]
    if kind == RETURNS:
        values, note = _fractions(table, values, found.is_percent, unit)
        notes.insert(0, note)
    order = np.argsort(when.ms, kind="stable")
    if (np.diff(when.ms) < 0).any():
        notes.append("rows were not in the order of time and were sorted")
    ms = when.ms[order]
    _one_each(table, ms, order)
    return Curve(kind, ms, values[order], tuple(notes))


def _known(table: TradeTable, values: Floats, kind: str) -> Floats:
    """Refuse missing values, but let the first daily return be missing: it has no day before it, and is often empty."""
    if kind == RETURNS and len(values) > 1 and np.isnan(values[0]):
        values = np.concatenate([[0.0], values[1:]])
    if not np.isfinite(values).all():
        at = int(np.argmax(~np.isfinite(values)))
        raise Refused(
            f"{table.name('pnl')} is empty or not finite in {table.where(at)}", "give a number, or leave that row out"
        )
    if kind == EQUITY and (values <= 0).any():
        at = int(np.argmax(values <= 0))
        raise Refused(
            f"{table.name('pnl')} is {values[at]:g} in {table.where(at)}: equity of 0 or less has no return",
            "give what the account was worth (gains alone are no equity: add the capital to each)",
        )
    return values


def _fractions(table: TradeTable, values: Floats, is_percent: bool, unit: str | None) -> tuple[Floats, str]:
    name = table.name("pnl")
    if unit is None and not is_percent and "%" not in name and float(np.median(np.abs(values))) > _TOO_LARGE:
        raise Refused(
            f"half of all returns in {name} of {table.path} are beyond {_TOO_LARGE:.0%} if they are fractions",
            "type --unit percent if 1.2 is 1.2 %, --unit fraction if it is 120 %",
        )
    percent = unit == "percent" if unit else is_percent or "%" in name
    if percent:
        return values / 100, f"returns are column {name!r}, read as percent (1.2 is 1.2 %)"
    return (
        values,
        f"returns are column {name!r}, read as fractions (0.012 is 1.2 %; --unit percent if they are percent)",
    )


def _one_each(table: TradeTable, ms: Indices, order: Indices) -> None:
    again = np.flatnonzero(np.diff(ms) == 0)
    if len(again):
        at = int(order[again[0] + 1])
        raise Refused(
            f"{table.name('exit_time')} is {table.words('exit_time')[at]!r} in {table.where(at)} and in one before it",
            "a curve has one value at a time: keep one of them, or give a file of each strategy",
        )


def daily(curve: Curve, capital: float) -> tuple[int, Floats, float]:
    """Return the first UTC day, the equity at the end of each day (d,), and the capital at the beginning.

    The first mark of an equity curve is its capital, and not the result of a day. A day without a mark has the mark of
    the day before.
    """
    days = curve.ms // DAY_MS
    day_after = int(days[0]) + 1
    if curve.kind == RETURNS:
        marks = capital * np.cumprod(1.0 + curve.values)
    elif curve.kind == DAILY_PNL:
        marks = capital + np.cumsum(curve.values)
    else:
        capital, marks, days = float(curve.values[0]), curve.values[1:], days[1:]
    if not len(marks):
        raise Refused("a curve with one value has no return", "give at least two rows")
    first, last = min(int(days[0]), day_after), int(days[-1])
    closed = np.searchsorted(days, np.arange(first, last + 1), side="right")
    return first, np.concatenate([[capital], marks])[closed], capital
