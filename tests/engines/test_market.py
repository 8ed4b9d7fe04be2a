import numpy as np
import pytest

from tests.engines.builders import T0, bars_of
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines.market import Market

DAY = 86_400_000


@pytest.mark.parametrize(
    ("tick", "per_unit", "in_ticks"),
    [(0.01, 100.0, [1_029.0, 58.0]), (1.0, 1.0, None), (10.0, 0.1, None), (None, 1.0, [10.29, 0.58])],
)
def test_prices_are_whole_ticks(tick: float | None, per_unit: float, in_ticks: list[float] | None) -> None:
    """10.29·100 is 1028.9999999999998 in float64 and 0.58·100 is 57.99999999999999; in ticks they are whole numbers."""
    prices = [10.29, 0.58] if in_ticks else [1_020.0, 30.0]
    market = Market.of(bars_of(np.repeat(np.array(prices)[:, None], 4, axis=1), tick))
    assert market.per_unit == pytest.approx(per_unit)
    assert market.has_tick == (tick is not None)
    expected = in_ticks or [price / (tick or 1) for price in prices]
    for column in (market.open, market.high, market.low, market.close):
        assert column.tolist() == expected


def test_a_price_in_ticks_gives_the_price_back() -> None:
    prices = np.arange(1, 100_000) / 100
    market = Market.of(bars_of(np.repeat(prices[:, None], 4, axis=1), 0.01))
    assert (market.close / market.per_unit == prices).all()


def test_days_are_numbered_in_utc() -> None:
    """Three bars from 23:50: two on the first day, one on the next."""
    market = Market.of(bars_of(np.ones((3, 4)), None, start_ms=T0 + DAY - 2 * BAR_MS))
    assert (market.day - T0 // DAY).tolist() == [0, 0, 1]


def test_bars_with_a_hole_are_no_market() -> None:
    bars = bars_of(np.ones((4, 4)), None)
    bars.rows["time_ms"][2:] += BAR_MS
    with pytest.raises(ValueError, match="holes"):
        Market.of(bars)
