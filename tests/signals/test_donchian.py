"""The Donchian breakout by hand, and against a slow reading of its specification that goes bar by bar with a clock."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import Refused
from config.modes import Choice, Dimension, Mode, Range
from config.settings import load
from tests.engines.builders import T0, bars_of
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines import bar_loop, reference
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.planes import unpack
from WORKFLOW.engines.reference import Signal
from WORKFLOW.engines.rules import Rules
from WORKFLOW.search.space import draw, family_of
from WORKFLOW.signals import FAMILIES
from WORKFLOW.signals.donchian import DONCHIAN, atr, percent_ranks, reach, set_bits

MINUTE_MS = 60_000
Combo = tuple[int, int, int, int, int]  # timeframe, channel period, ATR period, lookback, percentile

# open high low close; what happens at each close with a channel of 2 bars, and an ATR of 2 bars among its 2 before
TAPE = """
    9  10  8  9
    9  11  9 10
   10  12 10 11
   11  14 11 13
   13  13 12 12
   12  12  8  9
    9  13  9 13
   13  15 13 14
   14  14 13 13
   13  13 10 11
   11  11 11 11
"""


def market_of(ohlc: object, late: int = 0, tick: float | None = 1.0) -> Market:
    """Bar 0 opens `late` bars after 00:00 UTC."""
    return Market.of(bars_of(np.asarray(ohlc, dtype=np.float64), tick, start_ms=T0 + late * BAR_MS))


def taped() -> Market:
    return market_of([[float(price) for price in line.split()] for line in TAPE.split("\n") if line.strip()])


def columns(*combos: Combo) -> dict[str, np.ndarray]:
    return dict(zip(DONCHIAN.parameters, np.array(combos).T, strict=True))


def planes(market: Market, *combos: Combo) -> tuple[list[list[bool]], list[list[bool]], list[int]]:
    """Side and armed bits of each combo, and the first bar that has a side."""
    family = DONCHIAN.on(market)
    family.prepare(columns(*combos))
    made = family.planes(columns(*combos))
    n = len(market)
    return unpack(made.side, n).tolist(), unpack(made.armed, n).tolist(), made.first_side.tolist()


# by hand ------------------------------------------------------------------------------------------------------------


def test_reach_counts_the_buckets_a_close_has_broken_out_of() -> None:
    """Bar 2 closes on the high of bar 1: on the edge, not out. Bar 3: above bars 2, 1 and 0. Bar 5: below 4, 3 and 2,
    whose lows are 12, 11, 10, on the edge of bar 1's 9. Bar 6 on the high of bar 4. Bar 9: below bars 8 and 7."""
    m = taped()
    found = reach(m.high, m.low, m.close, 100)
    assert found.tolist() == [0, 0, 0, 3, 0, -3, 1, 3, 0, -2, 0]
    assert reach(m.high, m.low, m.close, 2).tolist() == [0, 0, 0, 2, 0, -2, 1, 2, 0, -2, 0]


def test_atr_is_wilders() -> None:
    """True ranges from bar 1 on: 2 2 3 1 4 4 2 1 3 0; the first average is that of the first two."""
    m = taped()
    expected = [0, 0, 2, 2.5, 1.75, 2.875, 3.4375, 2.71875, 1.859375, 2.4296875, 1.21484375]
    assert atr(m.high, m.low, m.close, 2).tolist() == expected


def test_a_gap_counts_in_the_true_range() -> None:
    """Close 10, then a bar from 14 to 15: 15 − 10 = 5; close 15, then a bar from 3 to 4: 15 − 3 = 12."""
    high, low, close = np.array([10.0, 15.0, 4.0]), np.array([10.0, 14.0, 3.0]), np.array([10.0, 15.0, 4.0])
    assert atr(high, low, close, 1).tolist() == [0, 5, 12]


def test_percent_ranks_are_counts_of_values_not_above() -> None:
    """ATRs count from bar 2 on, two of them lie before bar 4: 2 and 2.5 both exceed 1.75; a tie does not exceed."""
    m = taped()
    assert percent_ranks(atr(m.high, m.low, m.close, 2), 2, 2).tolist() == [-1, -1, -1, -1, 0, 2, 2, 0, 0, 1, 0]
    assert percent_ranks(np.full(5, 3.0), 0, 2).tolist() == [-1, -1, 2, 2, 2]


def test_planes_by_hand() -> None:
    sides, armed, firsts = planes(taped(), (5, 2, 2, 2, 100), (5, 2, 2, 2, 50), (5, 2, 2, 2, 0))
    assert firsts == [3, 3, 3]
    assert sides[0] == [bar in (3, 4, 7, 8) for bar in range(11)]
    assert sides[0] == sides[1] == sides[2]
    assert armed == [[bar in (5, 6) for bar in range(11)], [bar in (5, 6, 9) for bar in range(11)], [True] * 11]


def test_an_unarmed_breakout_exits_and_does_not_open() -> None:
    """Bar 3's is the first side, no event. Short at bar 5, armed: in at the open of bar 6, 9. Long at bar 7, not armed:
    out at the open of bar 8, 14, and no new position. The short event of bar 9 is armed at 50 % only."""
    market, window = taped(), Window(0, 11)
    for percentile, entries in ((100, 1), (50, 2)):
        family = DONCHIAN.on(market)
        family.prepare(columns((5, 2, 2, 2, percentile)))
        made = family.planes(columns((5, 2, 2, 2, percentile)))
        signal = Signal(unpack(made.side, 11)[0], unpack(made.armed, 11)[0], int(made.first_side[0]))
        ledgers = (
            bar_loop.simulate(market, made, 0, Rules(), window),
            reference.simulate(market, signal, Rules(), window),
        )
        for ledger in ledgers:
            (trade,) = ledger.trades
            assert (trade["side"], trade["entry_bar"], trade["exit_bar"]) == (-1, 6, 8)
            assert (trade["entry_price"], trade["exit_price"]) == (9, 14)
            assert trade["pnl"] == pytest.approx(10_000 / 9 * (9 - 14), rel=1e-12)
            assert ledger.entries == entries


def test_a_bucket_is_visible_from_the_bar_that_closes_it_on_and_a_partial_first_one_is_dropped() -> None:
    """15 minutes, bar 0 opens at 00:05: whole buckets are bars 2–4, 5–7, 8–10; the third closes above the other two."""
    prices = [50.0, 50.0, *[10.0] * 6, 20.0, 20.0, 20.0, 20.0]
    ohlc = np.column_stack([prices] * 4)
    sides, _, firsts = planes(market_of(ohlc, late=1), (15, 2, 1, 1, 0))
    assert firsts == [10]
    assert sides[0] == [False] * 10 + [True] * 2


def test_a_flat_market_has_no_side() -> None:
    sides, _, firsts = planes(market_of(np.full((700, 4), 7.0)), (15, 5, 3, 10, 50), (60, 1, 1, 1, 0))
    assert firsts == [700, 700]
    assert not np.any(sides)


def test_too_few_bars_for_anything() -> None:
    assert planes(market_of([[7.0] * 4] * 2), (60, 3, 2, 2, 50)) == ([[False] * 2], [[False] * 2], [2])


@pytest.mark.parametrize(("start", "stop"), [(0, 64), (0, 1), (63, 65), (5, 5), (1, 200), (128, 192), (64, 64)])
def test_set_bits(start: int, stop: int) -> None:
    words = np.zeros(4, dtype=np.uint64)
    set_bits(words, start, stop)
    assert np.flatnonzero(unpack(words[None], 256)[0]).tolist() == list(range(start, stop))


# against a slow reading of the specification ------------------------------------------------------------------------


def plain(market: Market, combo: Combo) -> tuple[list[bool], list[bool], int]:
    """Bar by bar: at each close finish the bucket that ends there, then ask the questions of the specification."""
    minutes, channel, period, lookback, percentile = combo
    bucket: list[int] = []
    highs: list[float] = []
    lows: list[float] = []
    ranges: list[float] = []
    averages: list[float] = []
    last_close: float | None = None
    side, armed, first = False, percentile == 0, len(market)
    sides, arms = [], []
    for bar in range(len(market)):
        open_ms = int(market.time_ms[bar])
        if open_ms % (minutes * MINUTE_MS) == 0:
            bucket = [bar]
        elif bucket:
            bucket.append(bar)
        if bucket and (open_ms + BAR_MS) % (minutes * MINUTE_MS) == 0:
            high, low = max(market.high[i] for i in bucket), min(market.low[i] for i in bucket)
            close = market.close[bar]
            if len(highs) >= channel and close > max(highs[-channel:]):
                side, first = True, min(first, bar)
            if len(lows) >= channel and close < min(lows[-channel:]):
                side, first = False, min(first, bar)
            if last_close is not None:
                ranges.append(max(high - low, abs(high - last_close), abs(low - last_close)))
                if len(ranges) == period:
                    averages.append(sum(ranges) / period)
                elif len(ranges) > period:
                    averages.append((averages[-1] * (period - 1) + ranges[-1]) / period)
            if percentile > 0 and len(averages) > lookback:
                below = sum(value <= averages[-1] for value in averages[-lookback - 1 : -1])
                armed = 100 * below >= percentile * lookback
            highs.append(high)
            lows.append(low)
            last_close = close
        sides.append(side)
        arms.append(armed)
    return sides, arms, first


def walked(seed: int, bars: int, late: int) -> Market:
    """Whole ticks, so that closes often lie on the edge of a channel and ATRs often tie."""
    random = np.random.default_rng(seed)
    close = 1_000.0 + np.cumsum(random.integers(-3, 4, bars))
    open_ = np.concatenate([close[:1], close[:-1]]) + (random.random(bars) < 0.05) * random.integers(-5, 6, bars)
    up, down = random.integers(0, 4, (2, bars))
    return market_of(
        np.column_stack([open_, np.maximum(open_, close) + up, np.minimum(open_, close) - down, close]), late
    )


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 2_500), late=st.integers(0, 287))
def test_planes_equal_the_slow_reading(seed: int, bars: int, late: int) -> None:
    random = np.random.default_rng(seed)
    market = walked(seed, bars, late)
    combos: list[Combo] = [
        (
            minutes,
            int(random.integers(1, 12)),
            int(random.integers(1, 6)),
            int(random.integers(1, 12)),
            int(random.choice([0, 1, 50, 70, 100])),
        )
        for minutes in (5, 15, 15, 60, 120)
    ]
    sides, armed, firsts = planes(market, *combos)
    for combo, side, arms, first in zip(combos, sides, armed, firsts, strict=True):
        expected_side, expected_armed, expected_first = plain(market, combo)
        assert first == expected_first
        assert side[first:] == expected_side[first:]
        assert arms == expected_armed


# the seam -----------------------------------------------------------------------------------------------------------


def test_the_family_goes_by_its_name_and_has_a_mode() -> None:
    mode = load({}).mode("breakout")
    assert FAMILIES["donchian"] is family_of(mode) is DONCHIAN
    assert DONCHIAN.valid(draw(mode, 500, np.random.SeedSequence(1)).columns).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channel_period": Range(0, 10, 1)}, "channel_period .* whole numbers from 1 to 10000"),
        ({"atr_percentile": Choice((50, 101))}, "atr_percentile .* whole numbers from 0 to 100"),
        ({"atr_percentile": Range(0.5, 0.9, 0.1)}, "atr_percentile .* whole numbers"),
        ({"atr_lookback": Choice((100, 12.5))}, "atr_lookback .* whole numbers"),
        ({"timeframe": Choice((1, 15))}, "timeframe .* whole numbers from 5 to 1440"),
        ({"fast_period": Range(3, 9, 1)}, "missing or has too much: fast_period"),
    ],
)
def test_a_wrong_space_is_refused(change: dict[str, Dimension], said: str) -> None:
    space = {**load({}).mode("breakout").space, **change}
    with pytest.raises(Refused, match=f"(?s){said}"):
        family_of(Mode("mine", "donchian", space))


def test_a_timeframe_that_does_not_divide_a_day_is_refused() -> None:
    with pytest.raises(Refused, match="50 minutes cannot be made"):
        planes(taped(), (50, 2, 2, 2, 50))
