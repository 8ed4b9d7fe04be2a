"""Nothing, next to nothing, and what is no market: a clear answer from both engines, never a number made of nothing."""

from typing import Any

import numpy as np
import pytest

from config.settings import load
from tests.engines.builders import bars_of, golden, planes_of, tape
from WORKFLOW.engines import cpu, metrics
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import SCREEN
from WORKFLOW.engines.reference import Signal
from WORKFLOW.engines.rules import Executions, Rules
from WORKFLOW.search import space
from WORKFLOW.search.evaluate import Evaluator

ENGINES = pytest.mark.parametrize("engine", ["reference", "native"])
ONE = "open high low close side\n100 120 80 110 L"


def flat(bars: int) -> Market:
    return Market.of(bars_of(np.full((bars, 4), 100.0), 1.0))


def evaluator(engine: str, bars: int) -> Evaluator:
    settings = load({})
    return Evaluator(flat(bars), space.family_of(settings.mode("aggressive")), settings.costs, engine)


@ENGINES
def test_one_bar_trades_nothing_and_its_metrics_are_undefined(engine: str) -> None:
    ledger = golden(engine, ONE, stop_loss=0.1, take_profit=0.1, trailing_stop=0.1, max_bars=1)
    assert ledger.equity.tolist() == [10_000]
    values = metrics.full(ledger, tape(ONE, 1.0)[0], Window(0, 1), 10_000)
    numbers = {
        key: value for key, value in values.as_json().items() if key not in {"total_trades", "filled_bar_fills", "days"}
    }
    assert set(numbers.values()) == {None, False}  # ruined is False
    assert (values.total_trades, values.days) == (0, 1)


def test_a_screen_of_one_bar_is_undefined() -> None:
    market, signal = tape(ONE, 1.0)
    found = cpu.screen(market, lambda _: planes_of(signal), Executions.one(Rules()), Rules(), [Window(0, 1)])
    np.testing.assert_equal(found, [[[np.nan] * 4 + [0.0]]])


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("bars", [1, 50])
def test_a_screen_of_no_combos_is_an_empty_table(engine: str, bars: int) -> None:
    one = evaluator(engine, bars)
    none = space.draw(load({}).mode("aggressive"), 0, np.random.SeedSequence(1))
    assert one.screen(none, [one.whole, one.whole], 2).shape == (2, 0, len(SCREEN))
    assert one.screen_returns(none, one.whole, 2).shape == (0, 1)


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("bars", [1, 2, 500])
def test_periods_longer_than_the_bars_have_no_side_and_no_trade(engine: str, bars: int) -> None:
    one = evaluator(engine, bars)
    combos = space.draw(load({}).mode("aggressive"), 5, np.random.SeedSequence(1))
    combos.columns["slow_period"][:] = 10_000
    assert not one.has_side(combos)
    np.testing.assert_equal(one.screen(combos, [one.whole], 1), np.tile([np.nan] * 4 + [0.0], (1, 5, 1)))
    np.testing.assert_equal(one.screen_returns(combos, one.whole, 1), np.zeros((5, -(-bars // 288))))
    assert one.metrics(combos.row(0), one.whole).total_return is None


def test_one_combo_that_is_warm_is_enough_to_have_a_side() -> None:
    one = evaluator("native", 3_000)
    prices = 100.0 + np.sin(np.arange(3_000) / 300)
    one = Evaluator(Market.of(bars_of(np.column_stack([prices] * 4), None)), one.family, one.costs)
    combos = space.draw(load({}).mode("aggressive"), 5, np.random.SeedSequence(1))
    combos.columns["slow_period"][:] = [10_000, 10_000, 10_000, 10_000, 10]
    assert one.has_side(combos)


def test_no_bars_are_no_market() -> None:
    with pytest.raises(ValueError, match="no bars"):
        flat(0)


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("tick", [None, 1.0])
def test_bars_with_nan_are_no_market(column: int, value: float, tick: Any) -> None:
    prices = np.full((9, 4), 100.0)
    prices[5, column] = value
    name = ("open", "high", "low", "close")[column]
    with pytest.raises(ValueError, match=f"{name} is {value} at bar 5"):
        Market.of(bars_of(prices, tick))


@pytest.mark.parametrize("bounds", [(0, 0), (5, 5), (5, 3), (-3, 5), (10, 10)])
def test_a_window_without_bars_is_none(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="holds no bars"):
        Window(*bounds)


@ENGINES
def test_a_window_beyond_the_market_is_refused(engine: str) -> None:
    with pytest.raises(IndexError):
        golden(engine, ONE, window=(0, 2))


def test_a_signal_without_a_side_is_flat_in_both_engines() -> None:
    market = flat(20)
    signal = Signal(np.zeros(20, dtype=bool), np.ones(20, dtype=bool), first_side=20)
    found = cpu.screen(market, lambda _: planes_of(signal), Executions.one(Rules()), Rules(), [Window(0, 20)])
    np.testing.assert_equal(found, [[[np.nan] * 4 + [0.0]]])
