"""Reference = CPU, to the bit; whatever the market, the rules, the window, the threads and the chunks."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import load
from tests.engines.builders import bars_of, planes_of
from tests.properties.worlds import quiet_walk, random_costs, random_market, random_rules, random_signal, random_window
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines import bar_loop, cpu, metrics, reference
from WORKFLOW.engines.ledger import TRADE, Closed, Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.planes import Planes, unpack
from WORKFLOW.engines.reference import Signal
from WORKFLOW.engines.rules import Executions, Rules, direction_code
from WORKFLOW.search.space import draw
from WORKFLOW.signals import FAMILIES

SEEDS = st.integers(0, 2**32 - 1)


def assert_same(found: Ledger, expected: Ledger) -> None:
    """Every field of every trade, every equity mark and every count: equal, not nearly equal."""
    for name in TRADE.names or ():
        assert found.trades[name].tolist() == expected.trades[name].tolist(), name
    assert found.equity.tolist() == expected.equity.tolist()
    for name in ("entries", "held_bars", "notional", "filled_bar_fills", "ruined"):
        assert getattr(found, name) == getattr(expected, name), name


def both_engines(market: Market, signal: Signal, rules: Rules, window: Window) -> Ledger:
    expected = reference.simulate(market, signal, rules, window)
    assert_same(bar_loop.simulate(market, planes_of(signal), 0, rules, window), expected)
    return expected


def one_world(seed: int, bars: int) -> Ledger:
    random = np.random.default_rng(seed)
    market = random_market(random, bars)
    rules = random_rules(random, random_costs(random))
    return both_engines(market, random_signal(random, bars), rules, random_window(random, bars))


@settings(max_examples=300)
@given(seed=SEEDS, bars=st.integers(1, 300))
def test_cpu_equals_reference(seed: int, bars: int) -> None:
    one_world(seed, bars)


def test_cpu_equals_reference_where_everything_happens() -> None:
    """1,000 fixed worlds; and they are not tame: each way of closing a trade occurs, so do ruins and filled bars."""
    reasons: Counter[int] = Counter()
    ruined = filled = same_bar = 0
    for seed in range(1_000):
        ledger = one_world(seed, 250)
        reasons.update(ledger.trades["reason_close"].tolist())
        ruined += ledger.ruined
        filled += ledger.filled_bar_fills
        same_bar += int((ledger.trades["entry_bar"] == ledger.trades["exit_bar"]).sum())
    assert all(reasons[int(reason)] >= 10 for reason in Closed), reasons
    assert min(ruined, filled, same_bar) >= 10


# screens -------------------------------------------------------------------------------------------------------------


def executions_of(rules: list[Rules]) -> Executions:
    def column(name: str) -> np.ndarray:
        return np.array([getattr(r, name) for r in rules], dtype=np.float64)

    directions = np.array([direction_code(r.direction) for r in rules])
    names = ("stop_loss", "take_profit", "trailing_stop", "max_bars")
    return Executions.of(*(column(name) for name in names), directions)


def rows_of(planes: Planes) -> Callable[[slice], Planes]:
    def of(chunk: slice) -> Planes:
        return Planes(planes.side[chunk], planes.armed[chunk], planes.first_side[chunk])

    return of


def screened(ledger: Ledger, market: Market, window: Window, capital: float) -> list[float]:
    values = metrics.full(ledger, market, window, capital)
    row = [getattr(values, key) for key in metrics.SCREEN]
    return [math.nan if value is None else value for value in row]


@settings(max_examples=100)
@given(seed=SEEDS, bars=st.integers(1, 700), combos=st.integers(1, 12))
def test_a_screen_equals_the_metrics_of_the_reference_ledgers(seed: int, bars: int, combos: int) -> None:
    random = np.random.default_rng(seed)
    market, costs = random_market(random, bars), random_costs(random)
    signals = [random_signal(random, bars) for _ in range(combos)]
    rules = [random_rules(random, costs) for _ in range(combos)]
    windows = [random_window(random, bars) for _ in range(3)]
    found = cpu.screen(market, rows_of(planes_of(*signals)), executions_of(rules), costs, windows, threads=2)
    expected = [
        [
            screened(reference.simulate(market, signal, rule, window), market, window, costs.capital)
            for signal, rule in zip(signals, rules, strict=True)
        ]
        for window in windows
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


@settings(max_examples=100)
@given(seed=SEEDS, bars=st.integers(1, 1_500), combos=st.integers(1, 12))
def test_daily_returns_of_a_screen_are_those_of_the_reference_ledgers(seed: int, bars: int, combos: int) -> None:
    """Markets with funding and combos near ruin, which are left to the bar loop, among them."""
    random = np.random.default_rng(seed)
    market, costs = random_market(random, bars), random_costs(random)
    signals = [random_signal(random, bars) for _ in range(combos)]
    rules = [random_rules(random, costs) for _ in range(combos)]
    window = random_window(random, bars)
    _, found = cpu.screen_returns(market, rows_of(planes_of(*signals)), executions_of(rules), costs, window, threads=2)
    ledgers = [reference.simulate(market, signal, rule, window) for signal, rule in zip(signals, rules, strict=True)]
    marks = [metrics.daily_marks(ledger.equity, market, window) for ledger in ledgers]
    expected = np.array([metrics.daily_returns(one, costs.capital) for one in marks])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_daily_returns_stand_in_the_order_of_the_combos_and_beside_the_screen() -> None:
    """60 combos of five signals in any order, some left to bar loops; rows have the Sharpe ratio of the screen."""
    random = np.random.default_rng(4)
    market, costs = random_market(random, 3_000), Rules(fee_rate=0.0005, slippage=0.0001)
    market = replace(market, funding=np.zeros(0))
    planes = planes_of(*(random_signal(random, 3_000) for _ in range(5)))
    executions = executions_of([random_rules(random, costs) for _ in range(60)])
    which = random.integers(0, 5, 60)
    window = Window(100, 2_900)
    table = cpu.screen(market, rows_of(planes), executions, costs, [window], 2, which)[0]
    _, returns = cpu.screen_returns(market, rows_of(planes), executions, costs, window, 2, which)
    assert returns.shape == (60, metrics.days_of(market, window))
    traded = np.isfinite(table[:, metrics.TOTAL_RETURN])
    assert traded.sum() > 30
    sharpes = np.array([metrics.sharpe(row) for row in returns])
    np.testing.assert_allclose(sharpes[traded], table[traded, metrics.SHARPE], rtol=1e-9, equal_nan=True)
    assert not returns[~traded].any()


def test_a_screen_depends_on_neither_threads_nor_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """150 combos, with one armed row each and with one for all."""
    random = np.random.default_rng(11)
    bars, combos = 900, 150
    market, costs = random_market(random, bars), Rules(fee_rate=0.0005, slippage=0.0001)
    planes = planes_of(*(random_signal(random, bars) for _ in range(combos)))
    executions = executions_of([random_rules(random, costs) for _ in range(combos)])
    windows = [Window(0, bars), Window(300, 800)]
    shared = Planes(planes.side, planes.armed[:1], planes.first_side)

    def shared_rows(chunk: slice) -> Planes:
        return Planes(shared.side[chunk], shared.armed, shared.first_side[chunk])

    for signals in (rows_of(planes), shared_rows):
        alone = cpu.screen(market, signals, executions, costs, windows, threads=1)
        assert alone.shape == (2, combos, len(metrics.SCREEN))
        assert np.isfinite(alone[..., metrics.SHARPE]).any()
        for per_task in (64, 1, 7, 1000):
            monkeypatch.setattr(cpu, "_COMBOS_PER_TASK", per_task)
            for threads in (1, 2, 5):
                again = cpu.screen(market, signals, executions, costs, windows, threads)
                assert again.tobytes() == alone.tobytes()


def test_combos_of_one_batch_do_not_touch_each_other() -> None:
    """A combo amid others gives what it gives alone, also after one that was ruined."""
    random = np.random.default_rng(5)
    market, costs = random_market(random, 600), random_costs(random)
    planes = planes_of(*(random_signal(random, 600) for _ in range(40)))
    executions = executions_of([random_rules(random, costs) for _ in range(40)])
    window = [Window(0, 600)]
    together = cpu.screen(market, rows_of(planes), executions, costs, window)
    for i in range(40):
        row = slice(i, i + 1)
        alone = cpu.screen(
            market, lambda _, row=row: rows_of(planes)(row), Executions(executions.table[row]), costs, window
        )
        assert alone[0, 0].tobytes() == together[0, i].tobytes()


def both_screens(
    market: Market, planes: Planes, executions: Executions, costs: Rules, windows: list[Window]
) -> tuple[np.ndarray, np.ndarray]:
    """What the event-compressed engine and the plain bar loop make of it."""
    compressed = cpu.screen(market, rows_of(planes), executions, costs, windows, threads=2)
    return compressed, bar_loop.screen(market, rows_of(planes), executions, costs, windows, threads=2)


@pytest.mark.parametrize("scale", [1.0, 0.0123, 1e5], ids=["ticks", "no tick", "ticks beyond int32"])
def test_a_screen_over_several_tiles_equals_the_bar_loop(scale: float) -> None:
    """70,000 bars; trades that cross the tiles, trails, time stops, directions, unarmed events; to the bit."""
    random = np.random.default_rng(17)
    tick = {1.0: 1.0, 0.0123: None, 1e5: 1e-5}[scale]
    market = Market.of(bars_of(quiet_walk(random, 70_000) * 100 * scale, tick))
    costs = Rules(fee_rate=0.0005, slippage=0.0001)
    turns = [np.cumsum(random.random(70_000) < rate) % 2 == 1 for rate in (1e-4, 1e-3, 1e-2, 0.2)]
    signals = [Signal(turns[i % 4], random.random(70_000) < 0.9, int(random.integers(500))) for i in range(24)]
    executions = executions_of([random_rules(random, costs) for _ in signals])
    windows = [Window(0, 70_000), Window(33_000, 66_001)]
    compressed, plain = both_screens(market, planes_of(*signals), executions, costs, windows)
    np.testing.assert_array_equal(compressed, plain)
    assert plain[..., metrics.TOTAL_TRADES].sum() > 10_000


def test_combos_that_share_a_signal_are_told_apart() -> None:
    """Five signals, 60 combos in any order: as if each combo had brought its own."""
    random = np.random.default_rng(3)
    market, costs = random_market(random, 800), Rules(fee_rate=0.0005, slippage=0.0001)
    planes = planes_of(*(random_signal(random, 800) for _ in range(5)))
    executions = executions_of([random_rules(random, costs) for _ in range(60)])
    which = random.integers(0, 5, 60)
    own = Planes(planes.side[which], planes.armed[which], planes.first_side[which])
    windows = [Window(0, 800), Window(100, 700)]
    expected = cpu.screen(market, rows_of(own), executions, costs, windows)
    shared = cpu.screen(market, rows_of(planes), executions, costs, windows, 2, which)
    assert shared.tobytes() == expected.tobytes()


def test_a_short_position_near_ruin_is_left_to_the_bar_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The price doubles under a short position without a stop; the one with a stop needs no second look."""
    prices = np.repeat(np.concatenate([np.full(50, 100.0), np.linspace(100, 250, 400).round()])[:, None], 4, axis=1)
    market, costs = Market.of(bars_of(prices, 1.0)), Rules(fee_rate=0.0005)
    short = Signal(np.arange(450) < 10, np.ones(450, dtype=bool), 0)
    asked: list[int] = []
    plain = bar_loop.screen

    def counted(*arguments: Any) -> np.ndarray:
        asked.append(len(arguments[2].table))
        return plain(*arguments)

    monkeypatch.setattr(bar_loop, "screen", counted)
    rules = [Rules(stop_loss=0.05), Rules(), Rules(trailing_stop=0.02)]
    found = cpu.screen(market, rows_of(planes_of(short, short, short)), executions_of(rules), costs, [Window(0, 450)])
    assert asked == [1]
    _, returns = cpu.screen_returns(
        market, rows_of(planes_of(short, short, short)), executions_of(rules), costs, Window(0, 450)
    )
    assert asked == [1, 1]
    assert np.prod(1 + returns, axis=1) - 1 == pytest.approx(found[0, :, metrics.TOTAL_RETURN])
    assert found[0, 1, metrics.TOTAL_RETURN] == -1.0
    assert found[0, 0, metrics.TOTAL_RETURN] > -0.1


# the real thing ------------------------------------------------------------------------------------------------------


def real_market(folder: Path, symbol: str, days: int) -> Market:
    """The first `days` of a file; they have no hole."""
    table = pyarrow.csv.read_csv(folder / f"{symbol}USDT_5m.csv.gz").slice(0, days * 288)
    stamps = table["timestamp"].to_numpy()
    assert (np.diff(stamps) == BAR_MS).all()
    ohlc = np.column_stack([table[name].to_numpy() for name in ("open", "high", "low", "close")])
    return Market.of(bars_of(ohlc, 0.01, start_ms=int(stamps[0])))


@pytest.mark.parametrize("symbol", ["SOL", "BTC"])
def test_real_bars_and_aggressive_combos(real_data: Path, symbol: str) -> None:
    """20 combos of the default space under the default costs over 150 real days, the whole and a part of them."""
    market = real_market(real_data, symbol, days=150)
    settings = load(environment={})
    mode = settings.mode("aggressive")
    combos = draw(mode, 20, np.random.SeedSequence(2024))
    family = FAMILIES[mode.family].on(market)
    family.prepare(combos.columns)
    planes = family.planes(combos.columns)
    sides, armed = unpack(planes.side, len(market)), unpack(planes.armed, len(market))[0]
    trades = 0
    for i in range(len(combos)):
        execution = {
            name: value for name, value in combos.row(i).items() if name not in FAMILIES[mode.family].parameters
        }
        rules = Rules.of(settings.costs, execution)
        window = Window(0, len(market)) if i % 2 else Window(9_999, 31_111)
        signal = Signal(sides[i], armed, int(planes.first_side[i]))
        expected = reference.simulate(market, signal, rules, window)
        assert_same(bar_loop.simulate(market, planes, i, rules, window), expected)
        one = Planes(planes.side[i : i + 1], planes.armed, planes.first_side[i : i + 1])
        row = cpu.screen(market, rows_of(one), Executions.one(rules), Rules.of(settings.costs, {}), [window])
        np.testing.assert_allclose(row[0, 0], screened(expected, market, window, rules.capital), rtol=1e-9, atol=1e-9)
        trades += len(expected.trades)
    assert trades > 300


@pytest.mark.parametrize("seed", [71, 112, 2, 20])
def test_an_account_worn_down_or_blown_up_beyond_all_floats_ends_alike(seed: int) -> None:
    """Thousands of reversals at 10 % slippage: denormal equity without the rule on dust; the other way, infinite."""
    random = np.random.default_rng(seed)
    bars = int(random.choice([6_000, 9_000]))
    price = float(random.choice([3, 50, 5_000]))
    close = np.maximum(np.rint(price * np.exp(np.cumsum(random.normal(0, 0.01, bars)))), 2)
    open_ = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(open_, close) + 1, np.maximum(np.minimum(open_, close) - 1, 1)
    market = Market.of(bars_of(np.column_stack([open_, high, low, close]), 1.0))
    rules = Rules(
        direction=("both", "short_only", "long_only")[seed % 3],
        slippage=0.1,
        fee_rate=float(random.choice([0, 0.0005, 0.1])),
        max_bars=int(random.choice([0, 1, 2])),
        take_profit=float(random.choice([0, 0.001])),
    )
    signal = Signal(np.cumsum(random.random(bars) < 0.9) % 2 == 0, np.ones(bars, dtype=bool), 0)
    window = Window(0, bars)
    with np.errstate(all="ignore"):
        ledger = reference.simulate(market, signal, rules, window)
    compressed, plain = both_screens(market, planes_of(signal), executions_of([rules]), rules, [window])
    np.testing.assert_array_equal(compressed, plain)
    assert plain[0, 0, metrics.TOTAL_TRADES] == len(ledger.trades)
    assert bar_loop.simulate(market, planes_of(signal), 0, rules, window).ruined == ledger.ruined
