"""The search for the first touch against a walk over the bars: whole ticks, floats, ticks too large for int32."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.builders import bars_of
from tests.properties.worlds import walk
from WORKFLOW.engines.fills import stop_at
from WORKFLOW.engines.jit import kernel
from WORKFLOW.engines.lanes import LANES, above, below, less, lowest_bit, on_cache_line, ones, padded, touched
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.touch import BLOCK, first_touch, first_touch_trailing, touchable

SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(["ticks", "no tick", "huge ticks"])


def market(seed: int, bars: int, kind: str) -> Market:
    ohlc = walk(np.random.default_rng(seed), bars)
    return {
        "ticks": lambda: Market.of(bars_of(ohlc, 1.0)),
        "no tick": lambda: Market.of(bars_of(ohlc * 0.0123, None)),
        "huge ticks": lambda: Market.of(bars_of(ohlc * 1e5, 1e-5)),
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "held_in"), [("ticks", np.int32), ("no tick", np.float64), ("huge ticks", np.float64)]
)
def test_prices_are_as_narrow_as_they_can_be(kind: str, held_in: type) -> None:
    found = touchable(market(1, 100, kind))
    assert {prices.dtype for prices in found[:5]} == {np.dtype(held_in)}


@settings(max_examples=300)
@given(seed=SEEDS, bars=st.integers(1, 3_000), kind=KINDS)
def test_the_first_touch_is_what_a_walk_finds(seed: int, bars: int, kind: str) -> None:
    here, random = market(seed, bars, kind), np.random.default_rng(seed)
    prices = touchable(here)
    for _ in range(10):
        bar = int(random.integers(bars))
        until = int(random.integers(bar, bars)) + 1
        spread = float(random.choice([0.001, 0.01, 0.1, 0.5, math.inf, 1.0]))
        floor, ceiling = (
            here.open[bar] * (1 + side * spread) if spread < math.inf else side * spread for side in (-1, 1)
        )
        if random.random() < 0.3:  # exactly on a price
            floor = here.low[random.integers(bars)]
        walked = (j for j in range(bar, until) if here.low[j] <= floor or here.high[j] >= ceiling)
        assert first_touch(prices, bar, until, floor, ceiling) == next(walked, until)


@settings(max_examples=300)
@given(seed=SEEDS, bars=st.integers(1, 1_500), kind=KINDS)
def test_the_first_touch_of_a_trailing_stop_is_what_a_walk_finds(seed: int, bars: int, kind: str) -> None:
    here, random = market(seed, bars, kind), np.random.default_rng(seed)
    prices = touchable(here)
    for _ in range(10):
        bar, side = int(random.integers(bars)), int(random.choice([-1, 1]))
        until = int(random.integers(bar, bars)) + 1
        fraction = float(random.choice([0.002, 0.01, 0.05, 0.3, 0.9]))
        anchor = here.open[bar]
        stop = stop_at(anchor, side, float(random.choice([0.0, 0.02, 0.2])), here.has_tick)
        limit = anchor * (1 + side * float(random.choice([0.01, 0.1, 5.0])))
        best, expected = anchor, (until, None)
        for j in range(bar, until):
            trail = stop_at(best, side, fraction, here.has_tick)
            worst, finest = (here.low[j], here.high[j]) if side == 1 else (here.high[j], here.low[j])
            tightest = max(stop, trail) if side == 1 else min(stop, trail)
            if side * (worst - tightest) <= 0 or side * (finest - limit) >= 0:
                expected = (j, trail)
                break
            best = max(best, finest) if side == 1 else min(best, finest)
        at, trail = first_touch_trailing(prices, bar, until, side, stop, limit, anchor, fraction, here.has_tick)
        assert at == expected[0]
        assert expected[1] is None or trail == expected[1]


def test_long_quiet_stretches_are_searched_to_their_end() -> None:
    """A touch in each of 5,000 places, far beyond the blocks that are looked at first, and none at all."""
    ohlc = np.full((5_000, 4), 1_000.0)
    quiet = touchable(Market.of(bars_of(ohlc, 1.0)))
    assert first_touch(quiet, 3, 5_000, 999.0, 1_001.0) == 5_000
    for place in (3, 34, 35, 66, 1_030, 1_059, 1_060, 2_117, 4_999):
        ohlc[place, 2] = 999.0
        prices = touchable(Market.of(bars_of(ohlc, 1.0)))
        assert first_touch(prices, 3, 5_000, 999.0, 1_001.0) == place
        assert first_touch(prices, 3, place, 999.0, 1_001.0) == place  # not there: `until`
        assert first_touch_trailing(prices, 3, 5_000, 1, 0.0, 2_000.0, 1_000.0, 0.001, True) == (place, 999.0)
        ohlc[place, 2] = 1_000.0


# lanes ----------------------------------------------------------------------------------------------------------------


@kernel
def masks(a: np.ndarray, b: np.ndarray, at: int, level: float) -> tuple[int, int, int, int]:
    return touched(a, b, at, level, level), less(a, b, at), below(a, at, level), above(a, at, level)


@given(seed=SEEDS)
def test_a_mask_has_the_bit_of_each_comparison(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = (padded(random.integers(0, 9, 100).astype(np.float64), 0.0) for _ in range(2))
    at, level = int(random.integers(100)), float(random.integers(9))
    x, y = a[at : at + LANES], b[at : at + LANES]
    expected = [(x[:32] <= level) | (y[:32] >= level), x < y, x[:32] < level, x[:32] > level]
    for mask, bits in zip(masks(a, b, at, level), expected, strict=True):
        assert int(mask) == sum(1 << i for i, bit in enumerate(bits) if bit)


@kernel
def places(word: int) -> tuple[int, int]:
    return lowest_bit(word), ones(word)


@pytest.mark.parametrize(("word", "place", "count"), [(0, 64, 0), (1, 0, 1), (1 << 63, 63, 1), (2**64 - 8, 3, 61)])
def test_bits_are_counted(word: int, place: int, count: int) -> None:
    assert places(np.uint64(word)) == (place, count)


@pytest.mark.parametrize("kind", [np.int32, np.float64])
def test_arrays_begin_on_a_cache_line(kind: type) -> None:
    for size in (1, BLOCK + 1, 1_000):
        made = on_cache_line((size, 8), kind)
        assert (made.shape, made.dtype, made.ctypes.data % 64) == ((size, 8), np.dtype(kind), 0)
