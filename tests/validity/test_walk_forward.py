from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.settings import load
from WORKFLOW.data.bars import Bars
from WORKFLOW.data.check import preflight
from WORKFLOW.data.generate import write_demo
from WORKFLOW.data.load import read
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.search import space
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.steps.keep import Steps
from WORKFLOW.validity import walk_forward
from WORKFLOW.validity.walk_forward import BriefMetrics, DateSpan, Efficiency, WalkedWindow, WalkWindow, steps

WALK = replace(load({}).walk_forward, windows=4, train_to_test=2, combos=60)


def bars_of(folder: Path) -> Bars:
    path = write_demo(folder, days=120, seed=4)
    bars, _ = preflight(read(path, "SYNTHETIC"), load({}).data)
    return bars


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    settings = load({})
    return Evaluator(
        Market.of(bars_of(tmp_path_factory.mktemp("demo"))),
        space.family_of(settings.modes["aggressive"]),
        settings.costs,
    )


def test_windows_by_hand() -> None:
    day = 288
    whole = Window(0, 8 * day)  # 2 train + 4 test windows of one day, and 2 days left over at the start
    rolling = steps(whole, WALK, "rolling")
    assert rolling[0] == WalkWindow(Window(2 * day, 4 * day), Window(4 * day, 5 * day))
    assert rolling[3] == WalkWindow(Window(5 * day, 7 * day), Window(7 * day, 8 * day))
    anchored = steps(whole, WALK, "anchored")
    assert [step.train for step in anchored] == [Window(0, n * day) for n in (4, 5, 6, 7)]
    assert [step.test for step in anchored] == [step.test for step in rolling]


def test_the_choice_in_a_window_is_the_best_of_its_training_bars(evaluator: Evaluator) -> None:
    settings = load({})
    combos = space.draw(settings.modes["aggressive"], WALK.combos, np.random.SeedSequence(1))
    result = walk_forward.process(evaluator, combos, WALK, settings.prescreen, 1, Steps())
    for scheme in walk_forward.SCHEMES:
        for step, window in zip(steps(evaluator.whole, WALK, scheme), result[scheme].windows, strict=True):
            best, best_sharpe = None, -np.inf
            for i in range(len(combos)):  # by hand, one combo at a time, on the training window alone
                values = evaluator.metrics(combos.row(i), step.train)
                sharpe = values.sharpe_ratio
                if values.total_trades >= 30 and sharpe is not None and sharpe > best_sharpe:
                    best, best_sharpe = combos.row(i), sharpe
            assert window.parameters == best
            if best is not None:
                assert window.in_sample.sharpe_ratio == best_sharpe
                assert window.out_of_sample.total_return == evaluator.metrics(best, step.test).total_return


def test_what_comes_after_a_training_window_cannot_change_its_choice(evaluator: Evaluator, tmp_path: Path) -> None:
    settings = load({})
    combos = space.draw(settings.modes["aggressive"], 40, np.random.SeedSequence(2))
    whole = walk_forward.process(evaluator, combos, WALK, settings.prescreen, 1, Steps())
    rows = bars_of(tmp_path).rows.copy()
    cut = steps(evaluator.whole, WALK, "rolling")[1].test.start
    for column in ("open", "high", "low", "close"):
        rows[column][cut:] = np.round(rows[column][cut:] * 1.5, 2)
    changed = Evaluator(Market.of(Bars("X", rows, 0.01, True, "changed")), evaluator.family, evaluator.costs)
    other = walk_forward.process(changed, combos, WALK, settings.prescreen, 1, Steps())
    for scheme in walk_forward.SCHEMES:
        for i in (0, 1):  # chosen before the cut
            assert other[scheme].windows[i].parameters == whole[scheme].windows[i].parameters
        assert other[scheme].windows[0] == whole[scheme].windows[0]


def test_windows_without_a_choice_count_as_days_without_a_return(evaluator: Evaluator) -> None:
    settings = load({})
    combos = space.draw(settings.modes["aggressive"], 5, np.random.SeedSequence(2))
    strict = replace(settings.prescreen, combos=5, keep=5, min_trades=100_000, batch_combos=16)
    result = walk_forward.process(evaluator, combos, WALK, strict, 1, Steps())
    rolling = result["rolling"]
    assert rolling.total_return == 0.0
    assert rolling.sharpe_ratio is None
    assert rolling.efficiency == Efficiency(annualized_return=None, sharpe_ratio=None)
    assert all(window.parameters is None for window in rolling.windows)


def window(days: float, total_return: float, sharpe: float) -> WalkedWindow:
    trained = BriefMetrics(sharpe, total_return, max_drawdown_pct=0.1, win_rate=0.5, total_trades=30)
    return WalkedWindow(DateSpan("", "", 0, days), DateSpan("", "", 0, 0.0), {}, trained, None)


def test_efficiency_by_hand() -> None:
    # In sample 21 % in half a year, twice: 46.41 % a year. Out of sample 10 % in 73 days, a fifth of a year: 61.051 %.
    days = np.zeros(73)
    days[[10, 20]] = 0.1, 0.0
    found = walk_forward._efficiency([days[:40], days[40:]], [window(182.5, 0.21, 2.0), window(182.5, 0.21, 4.0)])
    assert found.annualized_return == pytest.approx(0.61051 / 0.4641)
    sharpe = days.mean() / days.std(ddof=1) * np.sqrt(365)
    assert found.sharpe_ratio == pytest.approx(sharpe / 3.0)


def test_efficiency_leaves_out_windows_that_were_not_traded() -> None:
    days = np.full(10, 0.01) * np.array([1, -1] * 5)
    idle = replace(window(50.0, 0.0, 0.0), in_sample=None)
    alone = walk_forward._efficiency([days], [window(100, 0.5, 1.0)])
    assert walk_forward._efficiency([np.zeros(10), days], [idle, window(100, 0.5, 1.0)]) == alone


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([window(100, -0.5, -1.0)], (None, None)),  # a share of a loss means nothing
        ([window(100, 0.0, 0.0)], (None, None)),
        ([window(100, 0.5, -1.0)], ("a number", None)),
        ([window(1e-3, 1e300, 1.0)], (None, "a number")),  # no float holds it
    ],
)
def test_efficiency_of_nothing_gained_is_undefined(windows: list[WalkedWindow], expected: tuple[Any, Any]) -> None:
    found = walk_forward._efficiency([np.array([0.01, 0.02, -0.01])], windows)
    for value, kind in zip(astuple(found), expected, strict=True):
        assert value is None if kind is None else np.isfinite(value)


def test_efficiency_where_the_test_days_are_all_alike_has_no_sharpe_ratio() -> None:
    found = walk_forward._efficiency([np.zeros(5)], [window(100, 0.5, 1.0)])
    assert found == Efficiency(annualized_return=0.0, sharpe_ratio=None)


def test_efficiency_after_ruin_is_a_total_loss() -> None:
    found = walk_forward._efficiency([np.array([0.1, -1.0, 0.0])], [window(365, 1.0, 1.0)])
    assert found.annualized_return == -1.0
