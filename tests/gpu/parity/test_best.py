"""Ranking on the device, batches that fit and those that do not, and what is left to the bar loop."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from config.settings import load
from tests.engines.builders import bars_of, planes_of
from tests.gpu.parity.test_screen import agree, work_of
from tests.properties.test_engines_agree import executions_of
from tests.properties.worlds import quiet_walk, random_rules, random_signal
from WORKFLOW.engines import bar_loop, cpu
from WORKFLOW.engines.gpu import device as devices
from WORKFLOW.engines.gpu.device import Device
from WORKFLOW.engines.gpu.planes import DevicePlanes
from WORKFLOW.engines.gpu.presence import GpuLost
from WORKFLOW.engines.gpu.screen import Screener, Work
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import SHARPE, TOTAL_TRADES, daily_marks, daily_returns
from WORKFLOW.engines.reference import Signal
from WORKFLOW.engines.rules import Rules
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import draw, family_of
from WORKFLOW.signals import mtf_ema_gpu


def many(combos: int, seed: int = 3) -> tuple[Market, Work]:
    random = np.random.default_rng(seed)
    market = Market.of(bars_of(quiet_walk(random, 500), 0.01))
    costs = Rules(fee_rate=0.0005, slippage=0.0001)
    signals = planes_of(*(random_signal(random, 500) for _ in range(3)))
    rules = [replace(random_rules(random, costs), trailing_stop=0.0) for _ in range(combos)]
    return market, work_of(market, signals, executions_of(rules), costs, random.integers(0, 3, combos))


@pytest.mark.parametrize("keep", [1, 4, 100])
def test_the_best_are_among_what_comes_back(device: Device, keep: int) -> None:
    market, work = many(9)
    window = Window(0, 500)
    table = cpu.screen(market, work.signals, work.executions, work.costs, [window], 1, work.signal_of)[0]
    found = Screener(device, market).best(work, window, 5, keep)
    good = np.flatnonzero((table[:, TOTAL_TRADES] >= 5) & np.isfinite(table[:, SHARPE]))
    assert (found.tried, found.eligible) == (9, len(good))
    assert found.most_trades == table[:, TOTAL_TRADES].max()
    leading = good[np.lexsort((good, -table[good, SHARPE]))][:keep]
    assert set(leading.tolist()) <= set(found.combos.tolist()) <= set(good.tolist())
    np.testing.assert_array_equal(found.table, table[found.combos])


def test_a_short_position_near_ruin_comes_back_from_the_bar_loop(device: Device, monkeypatch: Any) -> None:
    prices = np.repeat(np.concatenate([np.full(50, 100.0), np.linspace(100, 250, 400).round()])[:, None], 4, axis=1)
    market, costs = Market.of(bars_of(prices, 1.0)), Rules(fee_rate=0.0005)
    short = Signal(np.arange(450) < 10, np.ones(450, dtype=bool), 0)
    rules = [Rules(stop_loss=0.05), Rules(), Rules(trailing_stop=0.02)]
    work = work_of(market, planes_of(short, short, short), executions_of(rules), costs)
    asked: list[int] = []
    plain = bar_loop.screen
    monkeypatch.setattr(bar_loop, "screen", lambda *a: asked.append(len(a[2].table)) or plain(*a))
    table = agree(device, market, work, [Window(0, 450)])
    assert asked == [1, 1]
    found = Screener(device, market).best(work, Window(0, 450), 1, 3)
    assert sorted(found.combos.tolist()) == [0, 1, 2]
    np.testing.assert_array_equal(found.table[np.argsort(found.combos)], table[0])


def test_daily_returns_of_all_combos(device: Device) -> None:
    market, work = many(5)
    window = Window(100, 490)
    found = Screener(device, market).daily_returns(work, window, np.float64)
    for i in range(5):
        one = Rules(*[getattr(work.costs, n) for n in Rules.__dataclass_fields__])
        table = work.executions.table[i]
        names = ("stop_loss", "take_profit", "trailing_stop")
        one = replace(one, **dict(zip(names, table[:3].tolist(), strict=True)), max_bars=int(table[3]))
        one = replace(one, direction=("both", "long_only", "short_only")[int(table[4])])
        planes = work.signals(slice(int(work.signal_of[i]), int(work.signal_of[i]) + 1))
        ledger = bar_loop.simulate(market, planes, 0, one, window)
        expected = daily_returns(daily_marks(ledger.equity, market, window), one.capital)
        assert found[i].tolist() == expected.tolist()


@pytest.mark.parametrize("size", [1, 3])
def test_batches_of_any_size(device: Device, size: int) -> None:
    market, work = many(7)
    table = agree(replace(device, most_combos=size), market, work, [Window(0, 500)])
    assert np.isfinite(table[..., SHARPE]).any()


class OutOfMemory(Exception):
    """As the driver says it."""

    code = 2


def test_a_batch_that_does_not_fit_is_halved_and_that_is_remembered(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "LEAST_COMBOS", 2)
    market, work = many(10)
    mine, plain, tried = replace(device, most_combos=64), work.on_device, []

    def sent(chunk: slice) -> DevicePlanes:
        tried.append(mine.most_combos)
        if (mine.most_combos or 0) > 4:
            raise OutOfMemory
        return plain(chunk)

    scarce, window = replace(work, on_device=sent), Window(0, 500)
    found = Screener(mine, market).best(scarce, window, 1, 500)
    assert tried == [64, 5, 2, 2, 2, 2, 2]
    assert found.tried == 10
    tried.clear()
    again = Screener(mine, market).best(scarce, window, 1, 500)
    assert tried == [2] * 5
    assert set(again.combos.tolist()) == set(found.combos.tolist())


def test_no_room_for_the_smallest_batch_is_final(device: Device) -> None:
    market, work = many(3)

    def full(_: slice) -> DevicePlanes:
        raise OutOfMemory

    mine = replace(device, most_combos=64)
    with pytest.raises(GpuLost, match="no room for 3 combos"):
        Screener(mine, market).best(replace(work, on_device=full), Window(0, 500), 1, 5)


def test_no_room_for_the_market_itself_is_final_too(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a family puts on the device once is put there where the device's errors are understood."""

    def full(_: Market) -> None:
        raise OutOfMemory

    monkeypatch.setattr(mtf_ema_gpu, "MtfEmaOnDevice", full)
    settings = load(environment={})
    mode = settings.mode("aggressive")
    evaluator = Evaluator(many(1)[0], family_of(mode), settings.costs, "gpu")
    with pytest.raises(GpuLost, match="no room for 4 combos"):
        evaluator.best(draw(mode, 4, np.random.SeedSequence(1)), 1, 5, 1)


def test_a_lost_device_is_final_and_an_error_of_our_own_is_not_renamed(device: Device) -> None:
    market, work = many(3)

    def fails_with(error: Exception) -> Work:
        def fail(_: slice) -> DevicePlanes:
            raise error

        return replace(work, on_device=fail)

    lost = OutOfMemory()
    lost.code = 719
    with pytest.raises(GpuLost, match=r"a kernel failed \(CUDA error 719\)"):
        Screener(device, market).best(fails_with(lost), Window(0, 500), 1, 5)
    with pytest.raises(ZeroDivisionError):
        Screener(device, market).best(fails_with(ZeroDivisionError()), Window(0, 500), 1, 5)
