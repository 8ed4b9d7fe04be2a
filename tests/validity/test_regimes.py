"""Regimes by hand and by plain loops; no later bar changes an earlier label; parts add up to the whole."""

from dataclasses import replace

import numpy as np
import pytest

from config.settings import load
from tests.engines.builders import bars_of, planes_of
from tests.properties.worlds import quiet_walk
from WORKFLOW.data.bars import BARS_PER_DAY
from WORKFLOW.engines import bar_loop, metrics
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.reference import Signal
from WORKFLOW.engines.rules import Rules
from WORKFLOW.validity import regimes
from WORKFLOW.validity.regimes import REGIMES, RegimeDays, by_regime, labels

SETTINGS = replace(load({}).regimes, trend_days=5, volatility_days=3, median_days=40)
UNKNOWN = len(REGIMES) - 1


def market_of(closes: np.ndarray, late: int = 0) -> Market:
    """A market whose bars close there; `late`: bars of its first day that are missing."""
    ohlc = np.repeat(closes[:, None], 4, axis=1)
    return Market.of(bars_of(ohlc[late:], None, start_ms=1_704_067_200_000 + late * 300_000))


def wild(seed: int, days: int) -> np.ndarray:
    """Closes with trends and bursts."""
    random = np.random.default_rng(seed)
    burst = np.repeat(random.choice([0.5, 3.0], days), BARS_PER_DAY)
    drift = np.repeat(random.choice([-2.0, 0.0, 2.0], days // 10 + 1), 10 * BARS_PER_DAY)[: days * BARS_PER_DAY]
    return 100 * np.exp(np.cumsum(random.normal(0, 0.001, len(burst)) * burst + drift * 2e-5))


def by_plain_loop(market: Market, day: int) -> str:
    """The label of a day, from nothing but the closes of the bars before it."""
    start = int(np.flatnonzero(market.day == day)[0])
    closes = market.close[:start]

    def energy(until: int, days: int) -> float | None:
        begin = until - days * BARS_PER_DAY
        if begin < 0:
            return None
        moves = np.diff(np.log(market.close[max(begin - 1, 0) : until]))  # nothing moved before the first close
        return float((moves**2).sum())

    span = energy(start, SETTINGS.trend_days)
    if span is None:
        return "unknown"
    begin = start - SETTINGS.trend_days * BARS_PER_DAY
    strength = np.log(closes[-1] / market.close[max(begin - 1, 0)]) / np.sqrt(span)
    now, past = energy(start, SETTINGS.volatility_days), []
    for back in range(1, SETTINGS.median_days + 1):
        if day - back >= market.day[0]:
            one = energy(int(np.flatnonzero(market.day == day - back)[0]), SETTINGS.volatility_days)
            past += [] if one is None else [one]
    if len(past) < 30 or now is None:
        return "unknown"
    trend = "up" if strength > 0.43 else "down" if strength < -0.43 else "sideways"
    return f"{trend}_{'volatile' if now > np.median(past) else 'calm'}"


@pytest.mark.parametrize("late", [0, 100])
def test_labels_are_those_of_a_plain_loop(late: int) -> None:
    market = market_of(wild(3, 90), late)
    found = [REGIMES[label] for label in labels(market, SETTINGS)]
    assert found == [by_plain_loop(market, day) for day in range(market.day[0], market.day[-1] + 1)]
    assert set(found) == set(REGIMES), "every regime occurs"


def test_no_later_bar_changes_a_label() -> None:
    closes = wild(4, 80)
    whole = labels(market_of(closes), SETTINGS)
    random = np.random.default_rng(1)
    for cut in random.integers(BARS_PER_DAY, len(closes), 12).tolist():
        known = cut // BARS_PER_DAY + 1  # the day of the cut began before it
        futures = [closes[:cut], np.append(closes[:cut], closes[cut:] * 5), np.append(closes[:cut], closes[cut:][::-1])]
        for future in futures:
            assert labels(market_of(future), SETTINGS)[:known].tolist() == whole[:known].tolist()


def test_the_day_itself_does_not_count_and_the_day_before_does() -> None:
    closes = np.full(60 * BARS_PER_DAY, 100.0) * np.exp(np.tile([1e-4, -1e-4], 30 * BARS_PER_DAY))
    jump = 50 * BARS_PER_DAY
    closes[jump:] *= 1.2
    found = [REGIMES[label] for label in labels(market_of(closes), SETTINGS)]
    assert found[50] == "sideways_calm"
    assert found[51] == "up_volatile"
    assert found[51 + SETTINGS.trend_days].startswith("sideways")


def test_a_random_walk_spends_a_third_of_its_days_in_each_trend() -> None:
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 1e-4, 3_000 * BARS_PER_DAY)))
    found = labels(market_of(closes), replace(SETTINGS, trend_days=1))
    known = found[found != UNKNOWN] // 2
    assert np.bincount(known) / len(known) == pytest.approx([1 / 3] * 3, abs=0.04)


@pytest.mark.parametrize("days", [1, 5, 33])
def test_too_few_days_are_unknown(days: int) -> None:
    assert labels(market_of(wild(1, days)), SETTINGS).tolist() == [UNKNOWN] * days


def test_a_market_that_stands_still_is_sideways_and_calm() -> None:
    found = labels(market_of(np.full(50 * BARS_PER_DAY, 100.0)), SETTINGS)
    assert {REGIMES[label] for label in found} == {"sideways_calm", "unknown"}


def test_the_parts_are_the_whole() -> None:
    random = np.random.default_rng(6)
    market = Market.of(bars_of(quiet_walk(random, 100 * BARS_PER_DAY), 0.01))
    signal = Signal(np.cumsum(random.random(len(market)) < 0.005) % 2 == 1, np.ones(len(market), dtype=bool), 0)
    window = Window(20 * BARS_PER_DAY + 7, 95 * BARS_PER_DAY)
    ledger = bar_loop.simulate(market, planes_of(signal), 0, Rules(stop_loss=0.02), window)
    of_day = labels(market, SETTINGS)
    parts = by_regime(ledger, market, window, 10_000.0, of_day)
    assert list(parts) == list(REGIMES)
    assert sum(part.days for part in parts.values()) == 75
    assert sum(part.total_trades for part in parts.values()) == len(ledger.trades) > 50
    together = np.prod([1 + (part.total_return or 0.0) for part in parts.values()])
    assert together == pytest.approx(ledger.equity[-1] / 10_000.0)
    returns = metrics.daily_returns(metrics.daily_marks(ledger.equity, market, window), 10_000.0)
    for i, name in enumerate(REGIMES):
        days = [d for d in range(75) if of_day[20 + d] == i]
        assert parts[name].days == len(days)
        assert parts[name].total_trades == sum(of_day[bar // BARS_PER_DAY] == i for bar in ledger.trades["entry_bar"])
        if len(days) > 1:
            of_days = returns[days]
            assert parts[name].sharpe_ratio == pytest.approx(of_days.mean() / of_days.std(ddof=1) * 365**0.5)


def test_a_regime_without_days_and_a_strategy_without_trades() -> None:
    market = market_of(np.full(10 * BARS_PER_DAY, 100.0))
    signal = Signal(np.zeros(len(market), dtype=bool), np.ones(len(market), dtype=bool), len(market))
    ledger = bar_loop.simulate(market, planes_of(signal), 0, Rules(), Window(0, len(market)))
    parts = by_regime(ledger, market, Window(0, len(market)), 10_000.0, labels(market, SETTINGS))
    assert parts["up_calm"] == RegimeDays(days=0, total_return=None, sharpe_ratio=None, total_trades=0)
    assert parts[regimes.UNKNOWN] == RegimeDays(days=10, total_return=0.0, sharpe_ratio=None, total_trades=0)
