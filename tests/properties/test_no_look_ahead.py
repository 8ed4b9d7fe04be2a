"""Bars after a cut cannot change anything up to it: neither signals nor trades nor equity."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import load
from tests.engines.builders import T0, bars_of, planes_of
from tests.properties.worlds import quiet_walk, random_costs, random_market, random_rules, random_signal
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines import bar_loop, reference
from WORKFLOW.engines.ledger import TRADE, Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.planes import Planes, unpack
from WORKFLOW.engines.reference import Signal
from WORKFLOW.search.space import Combos, draw
from WORKFLOW.signals import FAMILIES

SEEDS = st.integers(0, 2**32 - 1)


# What shortens the warm-ups of a family, where they would end after the bars do: parameter → (values, least).
SHORTER = {
    "mtf_ema": {"fast_period": (6, 1), "slow_period": (9, 7)},
    "donchian": {"channel_period": (9, 1), "atr_period": (6, 1), "atr_lookback": (7, 1)},
}


def combos_of(family: str, seed: int) -> Combos:
    modes = [mode for mode in load(environment={}).modes.values() if mode.family == family]
    combos = draw(modes[-1], 8, np.random.SeedSequence(seed))
    for name, (span, least) in SHORTER.get(family, {}).items():
        combos.columns[name] = combos.columns[name] % span + least
    return combos


def planes_on(market: Market, family: str, combos: Combos) -> Planes:
    signals = FAMILIES[family].on(market)
    signals.prepare(combos.columns)
    return signals.planes(combos.columns)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=30)
@given(seed=SEEDS, bars=st.integers(2, 4_000), where=st.floats(0, 1), late=st.integers(0, 287))
def test_later_bars_change_no_earlier_bit(family: str, seed: int, bars: int, where: float, late: int) -> None:
    random = np.random.default_rng(seed)
    cut = min(int(where * bars), bars - 2)  # the last bar that is known
    past = quiet_walk(random, bars)
    other = np.vstack([past[: cut + 1], quiet_walk(random, bars - cut - 1, start=past[cut, 3])])
    combos = combos_of(family, seed)
    markets = [Market.of(bars_of(ohlc, 0.01, start_ms=T0 + late * BAR_MS)) for ohlc in (past, other, past[: cut + 1])]
    planes = [planes_on(market, family, combos) for market in markets]
    known, *others = [unpack(p.side, len(m))[:, : cut + 1] for p, m in zip(planes, markets, strict=True)]
    armed, *armed_others = [unpack(p.armed, len(m))[:, : cut + 1] for p, m in zip(planes, markets, strict=True)]
    firsts = [np.minimum(p.first_side, cut + 1) for p in planes]
    assert all((side == known).all() for side in others)
    assert all((bits == armed).all() for bits in armed_others)
    assert all((first == firsts[0]).all() for first in firsts)


def up_to(ledger: Ledger, window: Window, cut: int) -> tuple[list[list[float]], list[float]]:
    closed = ledger.trades[ledger.trades["exit_bar"] <= cut]
    return [closed[name].tolist() for name in TRADE.names or ()], ledger.equity[
        : max(0, cut + 1 - window.start)
    ].tolist()


@settings(max_examples=80)
@given(seed=SEEDS, bars=st.integers(2, 300), where=st.floats(0, 1))
def test_later_bars_and_bits_change_no_earlier_trade(seed: int, bars: int, where: float) -> None:
    random = np.random.default_rng(seed)
    cut = min(int(where * bars), bars - 2)
    market, changed = random_market(random, bars), random_market(random, bars)
    signal, later = random_signal(random, bars), random_signal(random, bars)
    rules = random_rules(random, random_costs(random))

    def joined(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        return np.concatenate([old[: cut + 1], new[cut + 1 :]])

    prices = {name: joined(getattr(market, name), getattr(changed, name)) for name in ("open", "high", "low", "close")}
    other = replace(market, **prices, filled=joined(market.filled, changed.filled))
    turned = Signal(joined(signal.side, later.side), joined(signal.armed, later.armed), signal.first_side)
    for window in (Window(0, bars), Window(bars // 3, bars)):
        before = up_to(reference.simulate(market, signal, rules, window), window, cut)
        assert up_to(reference.simulate(other, turned, rules, window), window, cut) == before
        assert up_to(bar_loop.simulate(other, planes_of(turned), 0, rules, window), window, cut) == before


@settings(max_examples=40)
@given(seed=SEEDS, bars=st.integers(2, 300))
def test_bars_before_the_window_are_not_traded(seed: int, bars: int) -> None:
    """Prices before a window do not matter to it: only its signal has seen them."""
    random = np.random.default_rng(seed)
    start = int(random.integers(1, bars))
    market, changed = random_market(random, bars), random_market(random, bars)
    signal, rules = random_signal(random, bars), random_rules(random, random_costs(random))
    names = ("open", "high", "low", "close")
    prices = {n: np.concatenate([getattr(changed, n)[:start], getattr(market, n)[start:]]) for n in names}
    window = Window(start, bars)
    before = up_to(reference.simulate(market, signal, rules, window), window, bars)
    assert up_to(reference.simulate(replace(market, **prices), signal, rules, window), window, bars) == before
