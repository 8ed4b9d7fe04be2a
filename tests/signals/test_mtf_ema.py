"""The EMA cross by hand, and against a slow reading of the specification that goes bar by bar with a clock."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.builders import T0, bars_of
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import unpack
from WORKFLOW.signals import FAMILIES
from WORKFLOW.signals.mtf_ema import MTF_EMA, ema

MINUTE_MS = 60_000


def closes(prices: list[float] | np.ndarray, late: int = 0, tick: float | None = None) -> Market:
    """A market of these closes, each open the last close; bar 0 opens `late` bars after 00:00 UTC."""
    close = np.asarray(prices, dtype=np.float64)
    open_ = np.concatenate([close[:1], close[:-1]])
    ohlc = np.column_stack([open_, np.maximum(open_, close), np.minimum(open_, close), close])
    return Market.of(bars_of(ohlc, tick, start_ms=T0 + late * BAR_MS))


def columns(*combos: tuple[int, int, int, int]) -> dict[str, np.ndarray]:
    """Combos as (fast timeframe, fast period, slow timeframe, slow period)."""
    return dict(zip(MTF_EMA.parameters, np.array(combos).T, strict=True))


def planes(market: Market, *combos: tuple[int, int, int, int]) -> tuple[list[list[bool]], list[int]]:
    """Side bits of each combo, and the first bar that has a side."""
    family = MTF_EMA.on(market)
    family.prepare(columns(*combos))
    made = family.planes(columns(*combos))
    assert unpack(made.armed, len(market)).all()
    return unpack(made.side, len(market)).tolist(), made.first_side.tolist()


# the average --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [1, 3, 10, 200])
def test_ema_is_the_weighted_sum_of_its_closes(period: int) -> None:
    """EMA_i = (1 − a)^i · c_0 + Σ a·(1 − a)^(i − k) · c_k for k = 1 … i."""
    prices = np.random.default_rng(period).uniform(50, 150, 120)
    a = 2 / (period + 1)
    expected = [
        (1 - a) ** i * prices[0] + sum(a * (1 - a) ** (i - k) * prices[k] for k in range(1, i + 1))
        for i in range(len(prices))
    ]
    assert ema(prices, period) == pytest.approx(expected, rel=1e-12)


def test_ema_by_hand() -> None:
    """Period 3: alpha 1/2, seeded with the first close: 8, (8 + 16)/2 = 12, (12 + 4)/2 = 8, (8 + 9)/2 = 8.5."""
    assert ema(np.array([8.0, 16.0, 4.0, 9.0]), 3).tolist() == [8.0, 12.0, 8.0, 8.5]


def test_ema_of_a_flat_market_is_exactly_its_price() -> None:
    for period in (3, 7, 50, 199):
        assert set(ema(np.full(1_000, 0.1), period).tolist()) == {0.1}


def test_ema_of_nothing() -> None:
    assert len(ema(np.zeros(0), 3)) == 0


# which combos mean anything -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("combo", "is_valid"),
    [
        ((15, 10, 60, 20), True),
        ((15, 50, 60, 10), True),  # on a higher timeframe the slow period may be the smaller number
        ((60, 10, 60, 20), True),
        ((60, 20, 60, 20), False),
        ((60, 21, 60, 20), False),
        ((120, 3, 60, 200), False),
    ],
)
def test_fast_is_faster_than_slow(combo: tuple[int, int, int, int], is_valid: bool) -> None:
    assert MTF_EMA.valid(columns(combo, (15, 3, 360, 200))).tolist() == [is_valid, True]


def test_the_family_goes_by_its_name() -> None:
    assert FAMILIES["mtf_ema"] is MTF_EMA


# by hand ------------------------------------------------------------------------------------------------------------
# 15 minutes are 3 bars, an hour is 12. Fast period 1 is the 15-minute close itself; slow period 2 is warm with its 6th
# hourly bucket, which bar 71 closes when bar 0 opens at 00:00.


def test_the_warm_up_ends_with_the_bucket_number_three_times_the_period() -> None:
    """Rising prices: the fast close is above the slow average as soon as there is a side at all."""
    rising = np.arange(1.0, 121.0)
    sides, firsts = planes(closes(rising), (15, 1, 60, 2))
    assert firsts == [71]
    assert sides[0] == [False] * 71 + [True] * 49


def test_the_slower_warm_up_decides_and_it_may_be_the_fast_ema() -> None:
    """Fast period 20 on 15 minutes: 60 buckets, 180 bars; slow period 3 on an hour: 9 buckets, 108 bars."""
    _, firsts = planes(closes(np.arange(1.0, 301.0)), (15, 20, 60, 3))
    assert firsts == [179]


def test_a_partial_first_bucket_is_dropped() -> None:
    """Bar 0 opens at 00:05: the first whole hour is bars 11 to 22, the sixth closes with bar 11 + 72 − 1 = 82."""
    _, firsts = planes(closes(np.arange(1.0, 121.0), late=1), (15, 1, 60, 2))
    assert firsts == [82]


def test_too_few_bars_for_a_side() -> None:
    assert planes(closes(np.arange(1.0, 72.0)), (15, 1, 60, 2))[1] == [71]  # 71 bars: bar 71 is not there
    assert planes(closes([5.0, 6.0]), (15, 1, 60, 2)) == ([[False, False]], [2])


def test_a_bucket_is_visible_from_the_bar_that_closes_it_on() -> None:
    """Hours of 100 up to bar 71, then bars at 90: the 15 minutes of bars 72 to 74 close with bar 74, not before.

    At bar 71 both are 100: no side. At bar 74 fast is 90, slow still 100: short, the first side there is. The prices
    of 130 from bar 75 on are seen by bar 77.
    """
    prices = [100.0] * 72 + [90.0] * 3 + [130.0] * 9
    sides, firsts = planes(closes(prices), (15, 1, 60, 2))
    assert firsts == [74]
    assert sides[0] == [False] * 77 + [True] * 7


def test_a_zero_difference_keeps_the_side() -> None:
    """Slow period 3 (alpha 1/2) is warm with its 9th hour (bar 107), worth 100. Hour 10 closes at 108: slow 104.

    Fast 108: long from bar 110 on (its first 15 minutes). Then 104 = slow, zero: still long; then 103: short;
    then 104 again: still short. Slow moves with bar 131 only: (104 + 104)/2.
    """
    prices = [100.0] * 108 + [108.0] * 12 + [104.0] * 3 + [103.0] * 3 + [104.0] * 6 + [104.0] * 3
    sides, firsts = planes(closes(prices), (15, 1, 60, 3))
    assert firsts == [110]
    assert sides[0][110:] == [True] * 15 + [False] * 10
    assert sides[0][119:126] == [True] * 6 + [False]  # short from bar 125, the close of the 15 minutes at 103


def test_a_flat_market_never_has_a_side() -> None:
    sides, firsts = planes(closes([0.1] * 2_000), (15, 3, 60, 10), (15, 3, 15, 7))
    assert firsts == [2_000, 2_000]
    assert not np.any(sides)


# against a slow reading of the specification ------------------------------------------------------------------------


def plain(market: Market, combo: tuple[int, int, int, int]) -> tuple[list[bool], int]:
    """Bar by bar: at each close, finish the buckets that end there, then compare the two averages."""
    averages: dict[str, float] = {}
    finished = {"fast": 0, "slow": 0}
    frames = {"fast": combo[:2], "slow": combo[2:]}
    first_open = int(market.time_ms[0])
    side, first, sides = False, len(market), []
    for bar in range(len(market)):
        close_ms = int(market.time_ms[bar]) + BAR_MS
        for name, (minutes, period) in frames.items():
            ends = close_ms % (minutes * MINUTE_MS) == 0
            if ends and close_ms - minutes * MINUTE_MS >= first_open:  # began at or after bar 0
                price = float(market.close[bar])
                alpha = 2 / (period + 1)
                finished[name] += 1
                averages[name] = alpha * price + (1 - alpha) * averages[name] if finished[name] > 1 else price
        warm = all(finished[name] >= 3 * period for name, (_, period) in frames.items())
        if warm and averages["fast"] != averages["slow"]:
            side = averages["fast"] > averages["slow"]
            first = min(first, bar)
        sides.append(side)
    return sides, first


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 3_000), late=st.integers(0, 287))
def test_planes_equal_the_slow_reading(seed: int, bars: int, late: int) -> None:
    """Prices without ties, so that rounding cannot decide a comparison; several combos share their averages."""
    random = np.random.default_rng(seed)
    market = closes(100 * np.exp(np.cumsum(random.normal(0, 0.003, bars))), late)
    combos = [
        (int(random.choice([15, 30, 45, 60])), int(random.integers(1, 8)), slow, int(random.integers(8, 14)))
        for slow in (60, 60, 120, 240, 360)
    ]
    sides, firsts = planes(market, *combos)
    for combo, found, first in zip(combos, sides, firsts, strict=True):
        expected_sides, expected_first = plain(market, combo)
        assert first == expected_first
        assert found[first:] == expected_sides[first:]


def test_planes_with_ticks_are_those_of_the_prices() -> None:
    """Prices in ticks of 0.01 give the bits of the same prices without a tick size."""
    prices = np.round(100 * np.exp(np.cumsum(np.random.default_rng(4).normal(0, 0.003, 4_000))), 2)
    combos = ((15, 3, 60, 10), (30, 9, 240, 10), (45, 20, 60, 50))
    assert planes(closes(prices, tick=0.01), *combos) == planes(closes(prices), *combos)


def test_later_preparations_leave_earlier_planes_alone() -> None:
    """The rows of a family are shared by batches; preparing more of them changes none."""
    market = closes(100 * np.exp(np.cumsum(np.random.default_rng(8).normal(0, 0.003, 3_000))))
    family = MTF_EMA.on(market)
    first, second = columns((15, 3, 60, 10), (30, 5, 60, 10)), columns((15, 4, 120, 10), (15, 3, 60, 10))
    family.prepare(first)
    before = family.planes(first)
    family.prepare(second)
    after, other = family.planes(first), family.planes(second)
    assert (after.side == before.side).all()
    assert (other.side[1] == before.side[0]).all()
