"""What surrounds a strategy, by hand; planted peaks, cliffs and plateaus; the real engine's numbers on the maps."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from config.modes import Choice, Mode, Range
from config.settings import load
from tests.engines.builders import bars_of
from tests.metric_sets import metric_set
from tests.properties.worlds import quiet_walk
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import MAX_DRAWDOWN_DAILY, SCREEN, SHARPE
from WORKFLOW.pipeline import selection
from WORKFLOW.report.heat_maps import svg
from WORKFLOW.search import space
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos, Parameters
from WORKFLOW.search.study import Trial, TrialResult
from WORKFLOW.steps.keep import Steps
from WORKFLOW.validity import plateau

SETTINGS = replace(load({}).plateau, candidates=3, steps=3, step_fraction=0.05, max_neighbours=5_000)
MODE = load({}).modes["aggressive"]
CENTRE: Parameters = {
    "fast_timeframe": 30,
    "fast_period": 20,
    "slow_timeframe": 120,
    "slow_period": 100,
    "direction": "both",
    "stop_loss": 0.02,
    "take_profit": 0.05,
    "trailing_stop": 0.02,
    "max_bars": 0,
}
WHOLE = Window(0, 1)
FIXED = {name: Choice((value,)) for name, value in CENTRE.items()}


def mode_of(**dimensions: Any) -> Mode:
    """A space in which only these vary."""
    return replace(MODE, space={**FIXED, **dimensions})


@dataclass(frozen=True)
class Landscape:
    """Sharpe ratios as a function of the parameters, in place of a market."""

    sharpe: Callable[[Parameters], float]
    drawdown: Callable[[Parameters], float] | None = None
    engine: str = "auto"
    whole: Window = WHOLE

    def screen(self, combos: Combos, windows: list[Window], threads: int) -> np.ndarray:
        table = np.full((1, len(combos), len(SCREEN)), np.nan)
        table[0, :, SHARPE] = [self.sharpe(combos.row(i)) for i in range(len(combos))]
        table[0, :, MAX_DRAWDOWN_DAILY] = 0.2 if self.drawdown is None else 0.0
        for i in range(len(combos) if self.drawdown else 0):
            table[0, i, MAX_DRAWDOWN_DAILY] = self.drawdown(combos.row(i))
        return table


def score(sharpe: Callable[[Parameters], float], mode: Mode = MODE, centre: Parameters = CENTRE) -> float:
    return plateau.scores(Landscape(sharpe), mode, [centre], SETTINGS, 1)[0]["sharpe_ratio"]


def around(sharpe: Callable[[Parameters], float], mode: Mode = MODE, **settings: Any) -> plateau.Plateau:
    return plateau.around(Landscape(sharpe), mode, CENTRE, replace(SETTINGS, **settings), 1)


# neighbours -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dimension", "value", "expected"),
    [
        (Range(0.005, 0.05, 0.0001), 0.02, (0.016, 0.018, 0.019, 0.02, 0.021, 0.022, 0.024)),  # 1, 2 and 4 tenths
        (Range(3, 50, 1), 10, (7, 8, 9, 10, 11, 12, 13)),  # 5 % is less than a step: at least one
        (Range(10, 200, 2), 100, (80, 90, 96, 100, 104, 110, 120)),  # 5 % are 2.5 steps, to the even one
        (Range(10, 200, 2), 10, (10, 12, 14, 16)),
        (Range(10, 200, 2), 200, (160, 180, 190, 200)),
        (Range(3, 50, 1), 49, (39, 44, 47, 49, 50)),  # the end of the range is nearer than a step
        (Range(0, 80, 10), 0, (0, 10, 20, 30)),  # no percent of nothing: steps
        (Range(5, 5, 1), 5, (5,)),
        (Range(3, 50, 1), 52, (42, 47, 49, 50, 52)),  # the settings have changed since: it stays what it is
        (Range(0.01, 0.02, 0.005), 0.0123, (0.0123, 0.015, 0.02)),
        (Choice((0.05, 0.0, 0.02)), 0.02, (0.0, 0.02, 0.05)),
        (Choice(("both", "long_only")), "both", ("both", "long_only")),
    ],
)
def test_the_values_of_an_axis(dimension: Any, value: Any, expected: tuple[Any, ...]) -> None:
    found = plateau._axis(dimension, value, SETTINGS)
    assert found == expected
    assert [type(x) for x in found] == [type(x) for x in expected]


def test_the_nearest_are_one_step_away_in_all_ranges_at_once() -> None:
    seen: list[Parameters] = []
    score(lambda p: seen.append(p) or 0.0)
    assert len(seen) == 3**4
    assert seen[0] == CENTRE
    assert {p["stop_loss"] for p in seen} == {0.019, 0.02, 0.021}
    assert {p["slow_period"] for p in seen} == {96, 100, 104}
    assert {(p["fast_timeframe"], p["trailing_stop"], p["max_bars"]) for p in seen} == {(30, 0.02, 0)}


def test_where_a_cube_would_be_too_many_two_ranges_vary_at_a_time() -> None:
    seen: list[Parameters] = []
    few = replace(SETTINGS, max_neighbours=80)
    plateau.scores(Landscape(lambda p: seen.append(p) or 0.0), MODE, [CENTRE], few, 1)
    assert len(seen) == 1 + 4 * 2 + 6 * 4
    assert max(sum(p[name] != CENTRE[name] for name in CENTRE) for p in seen) == 2


def test_combos_that_mean_nothing_are_no_neighbours() -> None:
    mode = mode_of(fast_period=Range(3, 50, 1), slow_period=Range(10, 200, 2))
    centre = {**CENTRE, "fast_timeframe": 60, "slow_timeframe": 60, "fast_period": 12, "slow_period": 14}
    seen: list[Parameters] = []
    plateau.scores(Landscape(lambda p: seen.append(p) or 0.0), mode, [centre], SETTINGS, 1)
    pairs = {(p["fast_period"], p["slow_period"]) for p in seen}
    assert pairs == {(f, s) for f in (11, 12, 13) for s in (12, 14, 16) if f < s}


def test_lists_are_neighbours_only_where_there_is_no_range() -> None:
    mode = mode_of(trailing_stop=Choice((0.0, 0.02, 0.05)), max_bars=Choice((0, 2016)))
    seen: list[Parameters] = []
    score(lambda p: seen.append(p) or 0.0, mode)
    assert [(p["trailing_stop"], p["max_bars"]) for p in seen] == [(0.02, 0), (0.0, 0), (0.05, 0), (0.02, 2016)]


# scores ---------------------------------------------------------------------------------------------------------------


def test_three_quarters_of_the_neighbours_reach_the_score() -> None:
    mode = mode_of(fast_period=Range(3, 50, 1), slow_period=Range(10, 200, 2))
    values = iter([5.0, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 0.5])
    # nine in order: 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 5.0; two of them lie below the quarter
    assert score(lambda p: next(values), mode) == 0.3


def test_a_plateau_beats_a_peak_a_ridge_and_a_cliff() -> None:
    broad = score(lambda p: 1.5)
    assert broad == 1.5
    assert score(lambda p: 3.0 if p == CENTRE else 0.2) == 0.2
    assert score(lambda p: 3.0 if p["slow_period"] == 100 else 0.1) == 0.1
    assert score(lambda p: 3.0 if p["stop_loss"] <= 0.02 else -1.0) == -1.0, "a third lies over the edge"


def test_what_does_not_trade_is_worse_than_any_loss() -> None:
    assert score(lambda p: np.nan if p["stop_loss"] > 0.02 else 2.0) == -np.inf
    assert score(lambda p: np.nan if p["stop_loss"] > 0.02 and p["take_profit"] > 0.05 else 2.0) == 2.0
    assert score(lambda p: np.nan) == -np.inf


def test_of_drawdowns_the_smallest_that_three_quarters_stay_within() -> None:
    mode = mode_of(fast_period=Range(3, 50, 1), slow_period=Range(10, 200, 2))
    values = iter([0.05, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.5])
    (found,) = plateau.scores(Landscape(lambda p: 1.0, lambda p: next(values)), mode, [CENTRE], SETTINGS, 1)
    assert found["max_drawdown_daily_pct"] == -0.7
    assert (found["sharpe_ratio"], found["win_rate"]) == (1.0, -np.inf)


def test_a_space_of_one_combo_has_no_plateau() -> None:
    assert score(lambda p: 2.0, mode_of()) == -np.inf
    alone = around(lambda p: 2.0, mode_of())
    assert (alone.sharpe, alone.grids, alone.summary.neighbours, alone.summary.score) == (2.0, (), 0, None)
    assert set(astuple(alone.summary.sharpe_ratio)) == {alone.summary.rank, alone.summary.share_of_half} == {None}


def test_no_centres_no_scores() -> None:
    assert plateau.scores(Landscape(lambda p: 1.0), MODE, [], SETTINGS, 1) == []


# maps -----------------------------------------------------------------------------------------------------------------


def height(p: Parameters) -> float:
    return 2.0 - abs(float(p["stop_loss"]) - 0.02) * 50 - abs(int(p["fast_period"]) - 20) * 0.1


def test_summary_by_hand() -> None:
    mode = mode_of(fast_period=Range(3, 50, 1), stop_loss=Range(0.005, 0.05, 0.0001))
    found = around(height, mode)
    summary = found.summary
    assert (found.sharpe, summary.neighbours, summary.undefined, summary.rank) == (2.0, 8, 0, 1)
    assert summary.evaluated == 7 * 7
    assert summary.share_of_half == 1.0
    # 2.0 once, 1.95 twice, 1.9 twice, 1.85 four times
    assert [*astuple(summary.sharpe_ratio)] == pytest.approx([1.85, 1.85, 1.9, 1.95, 1.95])
    assert summary.score == summary.sharpe_ratio.p25


def test_better_neighbours_push_the_rank_down_and_losers_have_no_half() -> None:
    mode = mode_of(fast_period=Range(3, 50, 1), stop_loss=Range(0.005, 0.05, 0.0001))
    assert around(lambda p: float(p["stop_loss"]), mode).summary.rank == 4
    assert around(lambda p: -1.0, mode).summary.share_of_half is None
    undefined = around(lambda p: np.nan, mode)
    assert (undefined.sharpe, undefined.summary.rank, undefined.summary.undefined) == (None, None, 8)
    assert undefined.summary.score is None


def test_every_pair_of_dimensions_has_a_map_and_ranges_come_first() -> None:
    found = around(height)
    varying = [name for name in CENTRE if name != "direction"]
    assert len(found.grids) == len(varying) * (len(varying) - 1) // 2
    ranges = ("fast_period", "slow_period", "stop_loss", "take_profit")
    assert found.ranges == ranges
    assert all({grid.x, grid.y} <= set(ranges) for grid in found.grids[:6])
    for grid in found.grids:
        for of_y, row in zip(found.axes[grid.y], grid.sharpe, strict=True):
            for of_x, value in zip(found.axes[grid.x], row, strict=True):
                parameters = {**CENTRE, grid.x: of_x, grid.y: of_y}
                is_valid = space.family_of(MODE).valid(Combos.of([parameters]).columns).all()
                assert value == (height(parameters) if is_valid else None)


def test_no_more_neighbours_than_allowed() -> None:
    counted: list[Parameters] = []
    found = around(lambda p: counted.append(p) or 1.0, max_neighbours=200)
    assert len(counted) == found.summary.evaluated <= 200
    assert 0 < len(found.grids) < 28


def test_the_maps_hold_what_the_engine_finds() -> None:
    settings = load({})
    market = Market.of(bars_of(quiet_walk(np.random.default_rng(5), 60 * 288), 0.01))
    evaluator = Evaluator(market, space.family_of(MODE), settings.costs)
    mode = mode_of(slow_period=Choice((40,)), fast_period=Range(3, 50, 1), take_profit=Range(0.01, 0.15, 0.0001))
    centre = {**CENTRE, "slow_period": 40}
    found = plateau.around(evaluator, mode, centre, SETTINGS, 2)
    (grid,) = found.grids
    for i, j in ((0, 0), (3, 3), (6, 1)):
        parameters = {**centre, grid.x: found.axes[grid.x][j], grid.y: found.axes[grid.y][i]}
        expected = evaluator.metrics(parameters, evaluator.whole).sharpe_ratio
        assert grid.sharpe[i][j] == pytest.approx(expected, rel=1e-9)
    assert found.sharpe == pytest.approx(evaluator.metrics(centre, evaluator.whole).sharpe_ratio, rel=1e-9)
    slow = replace(evaluator, engine="reference")
    assert plateau.around(slow, mode, centre, SETTINGS, 1) == found
    (scores,) = plateau.scores(evaluator, mode, [centre], SETTINGS, 1)
    assert scores["sharpe_ratio"] == found.summary.score


# the choice -----------------------------------------------------------------------------------------------------------


def trial(number: int, sharpe: float | None, stop: float, feasible: bool = True, **metrics: float) -> Trial:
    values = {"sharpe_ratio": sharpe, "total_return": 0.5, "max_drawdown_pct": 0.2, "win_rate": 0.4} | metrics
    violation = 0.0 if feasible else 5.0
    return Trial(
        number, 0, "sampler", {**CENTRE, "stop_loss": stop}, TrialResult(sharpe or 0.0, violation, metric_set(**values))
    )


def chosen(
    trials: list[Trial],
    sharpe: Callable[[Parameters], float],
    candidates: int = 3,
    drawdown: Callable[[Parameters], float] | None = None,
) -> dict[str, int]:
    settings = SimpleNamespace(plateau=replace(SETTINGS, candidates=candidates))
    job = SimpleNamespace(settings=settings, in_sample=Landscape(sharpe, drawdown), mode=MODE, cores=1, steps=Steps())
    return {best: trial.number for best, trial in selection.finalists(job, trials).items()}


def test_the_broadest_plateau_among_the_best_becomes_the_finalist() -> None:
    trials = [trial(0, 3.0, 0.01), trial(1, 2.8, 0.02), trial(2, 2.9, 0.03), trial(3, 2.0, 0.04)]

    def broad_at(stop: float) -> Callable[[Parameters], float]:
        return lambda p: 1.5 if abs(float(p["stop_loss"]) - stop) < 0.004 else 0.5

    assert chosen(trials, broad_at(0.02))["best_sharpe"] == 1
    assert chosen(trials, broad_at(0.04))["best_sharpe"] == 0, "number 3 is not among the best three"
    assert chosen(trials, broad_at(0.04), candidates=4)["best_sharpe"] == 3
    assert chosen(trials, broad_at(0.02), candidates=1)["best_sharpe"] == 0


def test_every_measure_has_a_plateau_of_its_own() -> None:
    trials = [trial(0, 3.0, 0.01), trial(1, 2.9, 0.02), trial(2, 2.8, 0.03)]
    found = chosen(trials, lambda p: float(p["stop_loss"]), drawdown=lambda p: abs(float(p["stop_loss"]) - 0.02))
    assert (found["best_sharpe"], found["lowest_drawdown"], found["best_winrate"]) == (2, 1, 0)


def test_equal_plateaus_are_told_apart_by_the_measure_and_then_by_age() -> None:
    trials = [
        trial(0, 1.0, 0.01, total_return=0.9),
        trial(1, 2.0, 0.02, max_drawdown_pct=0.1),
        trial(2, 2.0, 0.03, win_rate=0.8),
    ]
    expected = {"best_sharpe": 1, "best_returns": 0, "lowest_drawdown": 1, "best_winrate": 2}
    assert chosen(trials, lambda p: 1.0) == expected
    assert chosen(trials, lambda p: np.nan) == expected


def test_one_trial_or_none_that_is_feasible() -> None:
    assert set(chosen([trial(7, 1.0, 0.02)], lambda p: np.nan).values()) == {7}
    assert chosen([trial(0, 1.0, 0.02, feasible=False)], lambda p: 1.0) == {}
    assert chosen([], lambda p: 1.0) == {}
    assert "best_sharpe" not in chosen([trial(0, None, 0.02)], lambda p: 1.0)


def test_equal_parameters_are_one_candidate() -> None:
    trials = [trial(0, 3.0, 0.01), trial(1, 3.0, 0.01), trial(2, 3.0, 0.01), trial(3, 2.0, 0.04)]
    assert [t.number for t in selection.leaders(trials, "best_sharpe", 2)] == [0, 3]


# the picture ----------------------------------------------------------------------------------------------------------


def drawn(found: plateau.Plateau) -> tuple[list[str], list[dict[str, str]]]:
    root = ET.fromstring(svg(found, "A & B <x>"))
    tag = "{http://www.w3.org/2000/svg}"
    return [e.text or "" for e in root.iter(f"{tag}text")], [e.attrib for e in root.iter(f"{tag}rect")]


def test_the_picture_names_axes_values_and_the_finalist() -> None:
    texts, boxes = drawn(around(height))
    assert {"A & B <x>", "stop loss", "fast period", "2.00%", "the finalist"} <= set(texts)
    assert sum(box["fill"] == "none" for box in boxes) == 6, "each map frames the finalist once"
    assert texts.count("2.00") >= 6


def test_gains_losses_and_nothing_have_colours_of_their_own() -> None:
    mode = mode_of(fast_period=Range(3, 50, 1), stop_loss=Range(0.005, 0.05, 0.0001))
    by_period = {20: 2.0, 19: -2.0}
    texts, boxes = drawn(around(lambda p: by_period.get(int(p["fast_period"]), np.nan), mode))
    fills = [box["fill"] for box in boxes]
    assert [fills.count(colour) for colour in ("#2166ac", "#b2182b", "#d9d9d9")] == [7, 7, 5 * 7 + 1]
    assert texts.count("–") == 5 * 7


def test_a_picture_of_nothing_says_so() -> None:
    texts, _ = drawn(around(lambda p: 2.0, mode_of()))
    assert any("nothing around it" in text for text in texts)
    lists = mode_of(trailing_stop=Choice((0.0, 0.02)), max_bars=Choice((0, 2016)))
    texts, _ = drawn(around(lambda p: np.nan, lists))
    assert {"off", "2016", "–"} <= set(texts)
