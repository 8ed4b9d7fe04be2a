"""The metrics of a strategy: the names, units and order of all of them, defined here and nowhere else.

A metric without a value (fewer than 2 days, no trade, a denominator of 0) is NaN inside the kernels and None in a
record and in a file. Neither NaN nor an infinity ever stands in a record.
"""

from collections.abc import Mapping
from typing import Any, Self

from config.record import dataclass, fields


@dataclass(frozen=True)
class Metrics:
    """All metrics of one simulation over one window; the fields are in the order of the files."""

    total_return: float | None  # fraction of the capital
    annualized_return: float | None  # fraction a year, compounded
    sharpe_ratio: float | None  # annualised, of daily returns
    sortino_ratio: float | None  # annualised, of daily returns
    calmar_ratio: float | None  # annualised return over `max_drawdown_pct`
    max_drawdown: float | None  # in currency, of every bar's close
    max_drawdown_pct: float | None  # fraction of the peak, of every bar's close
    max_drawdown_daily_pct: float | None  # fraction of the peak, of daily marks
    cvar_95: float | None  # fraction: mean loss of the worst 5 % of days
    win_rate: float | None  # fraction of closed trades
    profit_factor: float | None  # what winners gained over what losers lost
    exposure: float | None  # fraction of the bars with a position
    turnover: float | None  # traded volume a year, in multiples of the mean equity
    avg_bars_held: float | None  # bars for each closed trade
    total_trades: int  # closed ones
    filled_bar_fills: int  # fills on bars that were filled in
    ruined: bool  # equity fell to 0
    days: int  # UTC days that the window touches

    def as_json(self) -> dict[str, Any]:
        """Return the metrics as files hold them."""
        return {name: getattr(self, name) for name in NAMES}

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the metrics in a record that `as_json` made.

        Raises:
            TypeError: a metric is missing, is not known, or `record` is no object.
        """
        return cls(**record)


@dataclass(frozen=True)
class ScreenMetrics:
    """The metrics that a batch engine gives for every combo, in the order of its columns; units as in `Metrics`."""

    sharpe_ratio: float | None
    total_return: float | None
    max_drawdown_daily_pct: float | None
    win_rate: float | None
    total_trades: int

    def as_json(self) -> dict[str, Any]:
        """Return the metrics as files hold them."""
        return {name: getattr(self, name) for name in SCREEN}


@dataclass(frozen=True)
class StatedMetrics:
    """The metrics of a strategy in one window, as a file of any version or a list of foreign trades states them.

    The fields are those that readers decide on. `stated` holds everything that was found, and is written unchanged: a
    later version may know more metrics, an earlier one or a list of trades fewer. Units as in `Metrics`.
    """

    sharpe_ratio: float | None
    total_return: float | None
    max_drawdown_pct: float | None
    win_rate: float | None
    total_trades: int | None
    days: int | None
    stated: Mapping[str, Any]

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the metrics that `record` states.

        Raises:
            KeyError: one of the fields is missing.
            TypeError: one of them is no number, or `record` is no object.
        """
        known = {name: record[name] for name in STATED}
        for name, value in known.items():
            if not isinstance(value, int | float | None):
                raise TypeError(f"{name} is {value!r}")
        return cls(**known, stated=record)

    def as_json(self) -> dict[str, Any]:
        """Return everything that was found, in its order, as files hold it."""
        return dict(self.stated)


NAMES = tuple(one.name for one in fields(Metrics))
SCREEN = tuple(one.name for one in fields(ScreenMetrics))
STATED = tuple(one.name for one in fields(StatedMetrics))[:-1]
