"""The specification as readable Python: bar after bar, with every rule in the order in which it applies.

Every other engine must give the same trades: equal in their bars, and within 1e-9 in money. Read `_Account.bar` first.
The `Switches` make this engine agree, trade by trade, with engines that others wrote; their defaults are our semantics.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.engines.ledger import TRADE, Closed, Ledger, Opened
from WORKFLOW.engines.market import TICK_SNAP, Market, Window
from WORKFLOW.engines.rules import DUST, Rules, Tie


@dataclass(frozen=True)
class Signal:
    """The signal of one combo over n bars, as booleans (n,).

    `side` has a meaning from bar `first_side` on (n: never). Bit i may use bars up to i only.
    """

    side: NDArray[np.bool_]
    armed: NDArray[np.bool_]
    first_side: int


@dataclass(frozen=True)
class Switches:
    """The rules in which other engines differ.

    `fill`: market orders fill at the next open, or at the close that gave the signal. `anchor`: stops are measured from
    the entry bar's open, or from the signal bar's close. `tp_gap`: a take-profit that the open has passed fills at its
    limit (pessimistic), or at the open. `drop_signal_on_stop_bar`: an event on the bar of a stop is lost. `open_first`:
    gaps at the open are tested before anything inside the bar.
    """

    fill: Literal["next_open", "close"] = "next_open"
    anchor: Literal["open", "signal_close"] = "open"
    tp_gap: Literal["limit", "open"] = "limit"
    drop_signal_on_stop_bar: bool = False
    open_first: bool = True


@dataclass(frozen=True)
class BothTouched:
    """An ambiguous bar: no level was gapped at its open, and then it touched both levels of the position of `side`.

    `stop` is the nearest of stop-loss, trailing stop and ruin, and `limit` is the take-profit. Both are in ticks and
    stood there for the whole bar. The bar's four prices do not tell which of them was touched first.
    """

    bar: int
    side: int
    stop: float
    limit: float


# Decides an ambiguous bar. It may know what happened inside that bar, and must know nothing of later bars.
FirstTouch = Callable[[BothTouched], Tie]


def simulate(
    market: Market,
    signal: Signal,
    rules: Rules,
    window: Window,
    switches: Switches | None = None,
    first_touch: FirstTouch | None = None,
) -> Ledger:
    """Trade `signal` over `window`, and return the ledger.

    `first_touch` is asked about every ambiguous bar, in order; without it, `rules.tie` decides all of them.
    """
    account = _Account(market, signal, rules, window, switches or Switches(), first_touch)
    equity = np.empty(len(window))
    for j in range(window.start, window.stop):
        equity[j - window.start] = account.bar(j)
    return Ledger(
        trades=np.array(account.trades, dtype=TRADE),
        equity=equity,
        entries=account.entries,
        held_bars=account.held_bars,
        notional=account.notional,
        filled_bar_fills=account.filled_bar_fills,
        ruined=account.ruined,
    )


@dataclass
class _Position:
    side: int  # 1 long, -1 short
    units: float
    entry_bar: int
    entry_price: float
    equity_at_entry: float
    base: float  # equity at price x is base + side * units * x
    reason: Opened
    stop: float  # levels in ticks; ±inf when switched off
    limit: float
    trail: float
    best: float  # ticks
    lowest: float  # in ticks, over the bars held so far
    highest: float


class _Account:
    """Cash, at most one position, and the trades so far."""

    def __init__(
        self,
        market: Market,
        signal: Signal,
        rules: Rules,
        window: Window,
        switches: Switches,
        first_touch: FirstTouch | None,
    ) -> None:
        self.market, self.signal, self.rules, self.window, self.switches = market, signal, rules, window, switches
        self.first_touch = first_touch
        # Lists, because reading one element of an array takes ten times as long.
        self.opens, self.highs = market.open.tolist(), market.high.tolist()
        self.lows, self.closes = market.low.tolist(), market.close.tolist()
        self.sides, self.armed = signal.side.tolist(), signal.armed.tolist()
        self.cash = rules.capital
        self.position: _Position | None = None
        self.trades: list[tuple[float | int, ...]] = []
        self.entries = self.held_bars = self.filled_bar_fills = 0
        self.notional = 0.0
        self.ruined = False
        self.exited_inside = -1  # the bar of the last stop, limit or ruin

    def bar(self, j: int) -> float:
        """Do everything that happens on bar j, in order, and return the equity at its close."""
        if self.switches.fill == "next_open":
            self.market_orders(j, event_bar=j - 1, price=self.opens[j])
        self.pay_funding(j)
        if self.switches.open_first:
            self.gaps_at_open(j)
        self.inside(j)
        self.see(j)
        if self.switches.fill == "close":
            self.market_orders(j, event_bar=j, price=self.closes[j])
        return self.mark(j)

    # (1) market orders ------------------------------------------------------------------------------------------------

    def market_orders(self, j: int, event_bar: int, price: float) -> None:
        event = self.is_event(event_bar)
        if event and self.switches.drop_signal_on_stop_bar and self.exited_inside == event_bar:
            event = False
        reversing = False
        position = self.position
        if position is not None:
            timed_out = self.rules.max_bars > 0 and j == position.entry_bar + self.rules.max_bars
            if event or timed_out:
                self.close(j, price, Closed.SIGNAL if event else Closed.MAX_BARS, slipped=True)
                reversing = event
        if event and self.cash > 0.0 and self.armed[event_bar]:
            side = 1 if self.sides[event_bar] else -1
            if self.rules.direction == "both" or (self.rules.direction == "long_only") == (side == 1):
                self.open(j, side, price, event_bar, Opened.REVERSAL if reversing else Opened.SIGNAL)

    def is_event(self, i: int) -> bool:
        """Return whether the close of bar i changed the side; only bars of this window count."""
        if i < self.window.start or i <= self.signal.first_side:
            return False
        return bool(self.sides[i] != self.sides[i - 1])

    def open(self, j: int, side: int, price: float, event_bar: int, reason: Opened) -> None:
        market, rules = self.market, self.rules
        fill = price / market.per_unit * (1 + side * rules.slippage)
        units = self.cash / (fill * (1 + rules.fee_rate))
        anchor = float(price if self.switches.anchor == "open" else self.closes[event_bar])
        self.position = _Position(
            side=side,
            units=units,
            entry_bar=j,
            entry_price=fill,
            equity_at_entry=self.cash,
            base=self.cash - side * units * fill - rules.fee_rate * units * fill,
            reason=reason,
            stop=self.stop_level(anchor, side, rules.stop_loss),
            limit=self.limit_level(anchor, side, rules.take_profit),
            trail=self.stop_level(anchor, side, rules.trailing_stop),
            best=anchor,
            lowest=float(price),
            highest=float(price),
        )
        self.entries += 1
        self.count_fill(j, units * fill)

    def stop_level(self, anchor: float, side: int, fraction: float) -> float:
        """Return the level `fraction` against the position, on the tick nearer to the anchor; 0: out of reach."""
        return self.on_tick(anchor * (1 - side * fraction), side) if fraction > 0 else -side * math.inf

    def limit_level(self, anchor: float, side: int, fraction: float) -> float:
        """Return the level `fraction` in the position's favour, on the tick further from the anchor; 0: infinite."""
        return self.on_tick(anchor * (1 + side * fraction), side) if fraction > 0 else side * math.inf

    def on_tick(self, exact: float, side: int) -> float:
        """Round to a tick: up for a long position and down for a short one, for stops and limits alike."""
        if not self.market.has_tick:
            return exact
        return float(math.ceil(exact - TICK_SNAP) if side == 1 else math.floor(exact + TICK_SNAP))

    # funding ----------------------------------------------------------------------------------------------------------

    def pay_funding(self, j: int) -> None:
        position = self.position
        if position is None or len(self.market.funding) == 0:
            return
        # Funding changes the cash and with it the level of ruin; a long position pays a positive rate, a short one
        # earns it.
        price = self.opens[j] / self.market.per_unit
        position.base -= position.side * position.units * price * self.market.funding[j]

    # (2) gaps at the open, (3) inside the bar -------------------------------------------------------------------------

    def gaps_at_open(self, j: int) -> None:
        position = self.position
        if position is None:
            return
        price = self.opens[j]
        stop = self.effective_stop(position)
        if position.side * (price - stop) <= 0:
            self.exit_inside(j, price, self.stop_reason(position), slipped=True)
        elif position.side * (price - self.ruin_level(position)) <= 0:
            self.exit_inside(j, price, Closed.RUIN, slipped=False)
        elif position.side * (price - position.limit) >= 0:
            self.exit_inside(
                j, position.limit if self.switches.tp_gap == "limit" else price, Closed.TAKE_PROFIT, slipped=False
            )

    def inside(self, j: int) -> None:
        if self.position is None:
            return
        tests = [self.test_stop, self.test_ruin, self.test_limit]
        if self.tie_on(j, self.position) == "tp_first":
            tests = [self.test_limit, self.test_stop, self.test_ruin]
        for test in tests:
            if self.position is not None:
                test(j, self.position)

    def tie_on(self, j: int, position: _Position) -> Tie:
        """Return the level that counts as touched first on bar j.

        If only one level is touched, the answer changes nothing.
        """
        best = self.highs[j] if position.side == 1 else self.lows[j]
        if self.first_touch is None or position.side * (best - position.limit) < 0:
            return self.rules.tie
        nearer = max if position.side == 1 else min
        stop = nearer(self.effective_stop(position), self.ruin_level(position))
        if position.side * (self.worst(j, position) - stop) > 0:
            return self.rules.tie
        return self.first_touch(BothTouched(j, position.side, stop, position.limit))

    def test_stop(self, j: int, position: _Position) -> None:
        stop = self.effective_stop(position)
        reachable = position.side * (stop - self.ruin_level(position)) > 0  # a stop beyond ruin is never reached
        if reachable and position.side * (self.worst(j, position) - stop) <= 0:
            gapped = position.side * (self.opens[j] - stop) <= 0  # can only be true when gaps are not tested first
            self.exit_inside(j, self.opens[j] if gapped else stop, self.stop_reason(position), slipped=True)

    def test_ruin(self, j: int, position: _Position) -> None:
        ruin = self.ruin_level(position)
        if position.side * (self.worst(j, position) - ruin) <= 0:
            self.exit_inside(j, ruin, Closed.RUIN, slipped=False)

    def test_limit(self, j: int, position: _Position) -> None:
        best = self.highs[j] if position.side == 1 else self.lows[j]
        if position.side * (best - position.limit) >= 0:
            gapped = position.side * (self.opens[j] - position.limit) >= 0
            at_open = gapped and self.switches.tp_gap == "open"
            self.exit_inside(j, self.opens[j] if at_open else position.limit, Closed.TAKE_PROFIT, slipped=False)

    def worst(self, j: int, position: _Position) -> float:
        return float(self.lows[j] if position.side == 1 else self.highs[j])

    def ruin_level(self, position: _Position) -> float:
        """Return the price in ticks at which equity is 0: twice the entry for a short position, near 0 for a long one.

        Fees and funding move it.
        """
        return -position.base / (position.side * position.units) * self.market.per_unit

    def effective_stop(self, position: _Position) -> float:
        return max(position.stop, position.trail) if position.side == 1 else min(position.stop, position.trail)

    def stop_reason(self, position: _Position) -> Closed:
        return Closed.TRAILING_STOP if position.side * (position.trail - position.stop) > 0 else Closed.STOP_LOSS

    # exits ------------------------------------------------------------------------------------------------------------

    def exit_inside(self, j: int, price: float, reason: Closed, slipped: bool) -> None:
        self.exited_inside = j
        self.close(j, price, reason, slipped)

    def close(self, j: int, price: float, reason: Closed, slipped: bool) -> None:
        position, market, rules = self.position, self.market, self.rules
        assert position is not None
        side, units = position.side, position.units
        fill = price / market.per_unit * (1 - side * rules.slippage if slipped else 1.0)
        equity = position.base + side * units * fill - rules.fee_rate * units * fill
        if equity <= DUST * rules.capital or reason == Closed.RUIN:
            equity, self.ruined = 0.0, True
        # The prices that the trade has certainly seen on its last bar: the open, and the level at which it left.
        lowest = min(position.lowest, price, self.opens[j]) / market.per_unit
        highest = max(position.highest, price, self.opens[j]) / market.per_unit
        against, favour = (lowest, highest) if side == 1 else (highest, lowest)
        self.trades.append(
            (
                side,
                position.entry_bar,
                j,
                position.entry_price,
                fill,
                equity - position.equity_at_entry,
                side * (fill / position.entry_price - 1),
                equity / position.equity_at_entry - 1,
                min(0.0, side * (against / position.entry_price - 1)),
                max(0.0, side * (favour / position.entry_price - 1)),
                position.reason,
                reason,
            )
        )
        self.count_fill(j, units * fill)
        self.cash, self.position = equity, None

    def count_fill(self, j: int, notional: float) -> None:
        self.notional += notional
        self.filled_bar_fills += int(self.market.filled[j])

    # (4) the close ----------------------------------------------------------------------------------------------------

    def see(self, j: int) -> None:
        """Add the whole bar to the extremes of the open position, and move the trailing stop for the bars to come."""
        position = self.position
        if position is None:
            return
        position.lowest = min(position.lowest, self.lows[j])
        position.highest = max(position.highest, self.highs[j])
        best = self.highs[j] if position.side == 1 else self.lows[j]
        if self.rules.trailing_stop > 0 and position.side * (best - position.best) > 0:
            position.best = float(best)
            position.trail = self.stop_level(position.best, position.side, self.rules.trailing_stop)

    def mark(self, j: int) -> float:
        if self.position is None:
            return self.cash
        self.held_bars += 1
        return self.equity_at(self.closes[j])

    def equity_at(self, price: float) -> float:
        position = self.position
        assert position is not None
        return float(position.base + position.side * position.units * (price / self.market.per_unit))
