"""Families and engines that look ahead in the ways people do by mistake, and honest ones beside them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BASE_MINUTES
from WORKFLOW.engines import reference
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import Planes, pack
from WORKFLOW.mtf_resampler import align_to_base_tf, resample_ohlc
from WORKFLOW.signals.family import Columns

Bits = NDArray[np.bool_]
MINUTES = 60
BARS = MINUTES // BASE_MINUTES
PERIOD = 5


@dataclass(frozen=True)
class Planted:
    """Every combo says the same of a market: a side, whether it is armed, and from which bar on."""

    side: Callable[[Market], Bits]
    armed: Callable[[Market], Bits] = field(default=lambda market: np.ones(len(market), dtype=np.bool_))
    first: Callable[[Market], int] = field(default=lambda market: 0)
    name: str = "planted"
    parameters: tuple[str, ...] = ("one",)
    limits: dict[str, tuple[int, int]] = field(default_factory=lambda: {"one": (1, 1)})

    def valid(self, columns: Columns) -> Bits:
        return np.ones(len(columns["one"]), dtype=np.bool_)

    def on(self, market: Market) -> "_Said":
        return _Said(self, market)


@dataclass(frozen=True)
class _Said:
    family: Planted
    market: Market

    def prepare(self, columns: Columns) -> None:
        """Nothing is shared."""

    def planes(self, columns: Columns) -> Planes:
        f, m, k = self.family, self.market, len(columns["one"])
        side, armed, first = pack(f.side(m)), pack(f.armed(m)), min(f.first(m), len(m))
        return Planes(np.repeat(side, k, axis=0), armed, np.full(k, first, dtype=np.int64))


def hours(market: Market) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Closes of finished hours, and the base bar that closes each."""
    made = resample_ohlc(
        market.open, market.high, market.low, market.close, MINUTES, first_open_ms=int(market.time_ms[0])
    )
    return made.close, made.closes_at


def above_average(closes: NDArray[np.float64]) -> Bits:
    """Each of (b,) closes against the mean of itself and up to four before it; one more False in front, for none."""
    sums = np.concatenate([np.zeros(PERIOD), np.cumsum(closes)])
    counts = np.minimum(np.arange(1, len(closes) + 1), PERIOD)
    return np.concatenate([[False], closes * counts > sums[PERIOD:] - sums[:-PERIOD]])


def honest(market: Market) -> Bits:
    closes, closes_at = hours(market)
    return above_average(closes)[align_to_base_tf(closes_at, len(market)) + 1]


def one_bar_early(market: Market) -> Bits:
    closes, closes_at = hours(market)
    return above_average(closes)[align_to_base_tf(closes_at - 1, len(market)) + 1]


def unshifted(market: Market) -> Bits:
    """Each hour stamped with its open and spread over its bars."""
    closes, closes_at = hours(market)
    return above_average(closes)[align_to_base_tf(np.maximum(closes_at - BARS + 1, 0), len(market)) + 1]


def unfinished(market: Market) -> Bits:
    """The hour under way counts as a bucket, too: on the last bar there is, it closes with that bar."""
    closes, closes_at = hours(market)
    if len(closes_at) and closes_at[-1] < len(market) - 1:
        closes, closes_at = np.append(closes, market.close[-1]), np.append(closes_at, len(market) - 1)
    return above_average(closes)[align_to_base_tf(closes_at, len(market)) + 1]


def normalised(market: Market) -> Bits:
    """A z-score over the whole series."""
    return (market.close - market.close.mean()) / (market.close.std() + 1) > 0.1


def next_open(market: Market) -> Bits:
    return np.append(market.open[1:] > market.close[:-1], False)


def calm(market: Market) -> Bits:
    """Armed where a bar's range is above the median of ALL ranges."""
    ranges = market.high - market.low
    return ranges > np.median(ranges)


def by_the_clock(market: Market) -> Bits:
    """Honest whatever the prices: turns every 7 bars."""
    return market.time_ms // 300_000 // 7 % 2 == 0


# engines ------------------------------------------------------------------------------------------------------------


class SeesTheHighFirst(reference._Account):
    """The trailing stop follows the high of the very bar whose low it is then tested against."""

    def inside(self, j: int) -> None:
        self.see(j)
        super().inside(j)


class FillsAtTheOpenOfTheEvent(reference._Account):
    """Decides on a bar's close and fills at the same bar's open."""

    def market_orders(self, j: int, event_bar: int, price: float) -> None:
        super().market_orders(j, event_bar + 1, price)


class SkipsLosers(reference._Account):
    """Opens no position that the next bar would turn against."""

    def open(self, j: int, side: int, price: float, event_bar: int, reason: reference.Opened) -> None:
        if j + 1 < len(self.closes) and side * (self.closes[j + 1] - price) > 0:
            super().open(j, side, price, event_bar, reason)


class LeavesAtTheBest(reference._Account):
    """A take-profit fills at the best price of its bar."""

    def exit_inside(self, j: int, price: float, reason: reference.Closed, slipped: bool) -> None:
        if reason == reference.Closed.TAKE_PROFIT and self.position is not None:
            price = self.highs[j] if self.position.side == 1 else self.lows[j]
        super().exit_inside(j, price, reason, slipped)


class EntersInTheMiddle(reference._Account):
    """Fills an entry between its bar's high and low."""

    def open(self, j: int, side: int, price: float, event_bar: int, reason: reference.Opened) -> None:
        super().open(j, side, (self.highs[j] + self.lows[j]) / 2, event_bar, reason)


class ClosesWhereTheBarsEnd(reference._Account):
    """Leaves at the last close of its window: where that is, only the future tells."""

    def mark(self, j: int) -> float:
        if j == self.window.stop - 1 and self.position is not None:
            self.close(j, self.closes[j], reference.Closed.SIGNAL, slipped=True)
        return super().mark(j)
