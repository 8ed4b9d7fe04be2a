"""Read freqtrade's files: the result of a backtest as JSON (in a zip, too), and lists of its trades."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from config.errors import Refused
from WORKFLOW.report.tearsheet.sources.generic import read as by_names
from WORKFLOW.report.tearsheet.sources.ledger import Capital, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Sheet, shown

_READ = (
    *(
        "pair",
        "open_date",
        "close_date",
        "open_rate",
        "close_rate",
        "profit_ratio",
        "profit_abs",
        "is_short",
        "is_open",
    ),
    *("exit_reason", "sell_reason"),
)
_MARKET = {"price", "amount", "cost", "side"}  # columns of the market trades that freqtrade downloads


def strategies(found: Any) -> Mapping[str, Any]:
    """Return the results by strategy name; {} if the file is not a result."""
    inside = found.get("strategy") if isinstance(found, Mapping) else None
    if not isinstance(inside, Mapping):
        return {}
    return {str(name): one for name, one in inside.items() if isinstance(one, Mapping) and "trades" in one}


def of_json(path: str, found: Any, hints: Hints) -> TradeTable | None:
    """Return the trades; None if the JSON is of another kind.

    Raises:
        Refused: there are several strategies and the user named none, or there is no trade.
    """
    known = strategies(found)
    if known:
        return _of_result(path, known, hints)
    rows = found.get("trades") if isinstance(found, Mapping) else found
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        return None
    if "close_date" not in rows[0] and "open_date" not in rows[0]:
        return None
    return by_names(_sheet(path, rows), hints)


def _of_result(path: str, known: Mapping[str, Any], hints: Hints) -> TradeTable:
    called = hints.called if hints.called in known else next(iter(known)) if len(known) == 1 else None
    if called is None:
        names = ", ".join(map(shown, known))
        raise Refused(
            f"{path} holds the results of {len(known)} strategies: {names}",
            f"name the one to draw as STRATEGY, such as {shlex.quote(shown(next(iter(known))))}"
            f" --trades {shlex.quote(path)}",
        )
    one = known[called]
    rows = one["trades"]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise Refused(f"{path} holds no trade of {called}", "give the result of a backtest that traded")
    found = by_names(_sheet(path, rows), hints)
    start, currency = one.get("starting_balance"), one.get("stake_currency") or ""
    capital = None
    if isinstance(start, int | float) and start > 0:
        capital = Capital(float(start), f"{currency} as its starting_balance says".strip())
    note = f"freqtrade's result of {called}"
    return TradeTable(
        path, found.columns, found.rows, found.costs, False, found.excursions_in_percent, capital, (note, *found.notes)
    )


def _sheet(path: str, rows: Sequence[Mapping[str, Any]]) -> Sheet:
    names = [name for name in _READ if any(name in row for row in rows)]
    return Sheet.of(path, names, [[_text(row.get(name)) for name in names] for row in rows])


def _text(value: Any) -> str | None:
    return None if value is None else repr(value) if isinstance(value, float) else str(value)


def is_market(names: Sequence[str]) -> bool:
    """Return whether these columns are of market trades, which have a price and an amount each and no result."""
    plain = {name.lower() for name in names}
    return plain >= _MARKET and bool(plain & {"id", "timestamp"})
