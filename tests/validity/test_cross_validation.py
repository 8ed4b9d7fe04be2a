"""Choices and paths against plain loops over days; what is purged, what is embargoed, and what cannot be split."""

import itertools
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from config.errors import Refused
from config.settings import load
from tests.engines.builders import bars_of
from tests.properties.worlds import quiet_walk
from WORKFLOW.data.bars import BARS_PER_DAY
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import SCREEN, TOTAL_TRADES
from WORKFLOW.search import space
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos
from WORKFLOW.validity import cross_validation

SETTINGS = replace(load({}).cross_validation, folds=5, test_folds=2, embargo_share=0.5)
SCREEN_SETTINGS = replace(load({}).prescreen, combos=8, keep=8, min_trades=30, batch_combos=16)
DAYS, COMBOS = 63, 8  # folds of 12 days, the last one of 15


@dataclass
class Known:
    """Combos whose daily returns, trades, holding and warm-up are given, in place of a market that has them."""

    returns: np.ndarray
    trades: np.ndarray = field(default_factory=lambda: np.full((5, COMBOS), 20.0))  # of each fold
    held_bars: tuple[int, ...] = (100,) * COMBOS
    open_bars: int = 0
    warm_bars: int = 0

    @property
    def market(self) -> Any:
        days = np.repeat(np.arange(self.returns.shape[1]) + 19_000, BARS_PER_DAY)[100:]  # begins in mid-day

        class Bars(SimpleNamespace):
            def __len__(self) -> int:
                return len(days)

        return Bars(day=days)

    @property
    def whole(self) -> Window:
        return Window(0, len(self.market))

    def screen_returns(self, combos: Combos, window: Window, threads: int) -> np.ndarray:
        return self.returns[combos.columns["one"]]

    def screen(self, combos: Combos, windows: list[Window], threads: int) -> np.ndarray:
        first_days = [int(self.market.day[window.start]) - 19_000 for window in windows]
        assert first_days == [0, 12, 24, 36, 48]
        assert windows[-1].stop == len(self.market)
        table = np.zeros((len(windows), len(combos), len(SCREEN)))
        table[..., TOTAL_TRADES] = self.trades
        return table

    def ledger(self, parameters: dict[str, Any], window: Window) -> Any:
        held = self.held_bars[parameters["one"]]
        trades = np.array([(0, held), (500, 510)], dtype=[("entry_bar", "i8"), ("exit_bar", "i8")])
        return SimpleNamespace(trades=trades, held_bars=held + 10 + self.open_bars)

    def warm_up_bars(self, combos: Combos) -> np.ndarray:
        return np.full(len(combos), self.warm_bars)


def combos() -> Combos:
    return Combos({"one": np.arange(COMBOS), "direction": np.zeros(COMBOS, dtype=np.int64)})


def process(known: Any, **settings: Any) -> dict[str, Any]:
    return cross_validation.process(known, combos(), replace(SETTINGS, **settings), SCREEN_SETTINGS, 1)


def noise(seed: int = 1, days: int = DAYS) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.001, 0.02, (COMBOS, days))


def folds() -> list[np.ndarray]:
    return [np.arange(12 * f, 12 * f + 12 if f < 4 else DAYS) for f in range(5)]


def training_days(tested: tuple[int, int], purge: int, embargo: int) -> list[int]:
    """Day by day: in no test fold, not within `purge` days of one, not within as many and `embargo` more behind it."""
    out = []
    for day in range(DAYS):
        kept = True
        for f in tested:
            first, last = folds()[f][0], folds()[f][-1]
            kept &= not first - purge <= day <= last + purge + embargo
        if kept:
            out.append(day)
    return out


def by_hand(known: Known, purge: int, embargo: int) -> dict[tuple[int, int], int]:
    chosen = {}
    for tested in itertools.combinations(range(5), 2):
        days, sharpes = training_days(tested, purge, embargo), []
        for combo in range(COMBOS):
            trained = sum(known.trades[f, combo] for f in range(5) if f not in tested)
            of_days = known.returns[combo, days]
            sharpes.append(of_days.mean() / of_days.std(ddof=1) if trained >= 30 else -np.inf)
        chosen[tested] = int(np.argmax(sharpes))
    return chosen


@pytest.mark.parametrize(
    ("known", "purge", "embargo"),
    [
        (Known(noise()), 1, 0),
        (Known(noise(2), held_bars=(3 * BARS_PER_DAY,) * COMBOS), 4, 0),  # 3 days and a bar
        (Known(noise(3), warm_bars=2 * BARS_PER_DAY), 1, 2),
        (Known(noise(4), warm_bars=90 * BARS_PER_DAY), 1, 6),  # half a fold
        (Known(noise(5), open_bars=2 * BARS_PER_DAY), 2, 0),
        (Known(noise(6), trades=np.random.default_rng(6).integers(0, 20, (5, COMBOS))), 1, 0),
    ],
)
def test_choices_and_paths_are_those_of_plain_loops(known: Known, purge: int, embargo: int) -> None:
    found = process(known)
    assert (found.purge_days, found.embargo_days, found.reason) == (purge, embargo, None)
    assert (found.splits, len(found.paths), found.days) == (10, 4, DAYS)
    chosen = by_hand(known, purge, embargo)
    assert len(set(chosen.values())) > 1
    # Path number j takes of every fold the j-th split that tests it.
    expected = []
    for j in range(4):
        path = np.zeros(DAYS)
        for f, days in enumerate(folds()):
            split = [tested for tested in chosen if f in tested][j]
            path[days] = known.returns[chosen[split], days]
        expected.append((path.mean() / path.std(ddof=1) * 365**0.5, np.prod(1 + path) - 1))
    assert [(p.sharpe_ratio, p.total_return) for p in found.paths] == [pytest.approx(e) for e in expected]
    assert found.probability_of_loss == np.mean([total < 0 for _, total in expected])
    assert found.sharpe_ratio.p50 == pytest.approx(np.median([sharpe for sharpe, _ in expected]))


def test_the_longest_trade_of_a_combo_that_is_never_chosen_does_not_matter() -> None:
    returns = noise()
    returns[7] = -0.01
    known = Known(returns, held_bars=(100,) * 7 + (30 * BARS_PER_DAY,))
    assert process(known).purge_days == 1


def test_a_wider_purge_is_looked_at_again() -> None:
    """The first choice needs a purge, with which another combo is chosen, which needs a wider purge."""
    held = [100, *(2 * BARS_PER_DAY,) * 6, 4 * BARS_PER_DAY]
    for seed in range(60):
        known = Known(noise(seed), held_bars=tuple(held))
        first, second, third = (set(by_hand(known, purge, 0).values()) for purge in (0, 3, 5))
        if 7 not in first and 7 in second and 7 in third:
            break
    found = process(known)
    assert 7 not in first and 7 in second
    assert (found.purge_days, found.longest_trade_days) == (5, 5)


def test_what_lies_in_the_test_folds_and_their_gaps_cannot_change_a_choice() -> None:
    known = Known(noise(9), warm_bars=3 * BARS_PER_DAY)
    tried = cross_validation._Tried(known, combos(), cross_validation._Folds(known.market, SETTINGS), 30, 1)
    for tested, (train, tests) in zip(itertools.combinations(range(5), 2), tried.folds.splits(2, 3), strict=True):
        best = tried.best(train, tests)
        returns = known.returns.copy()
        hidden = np.setdiff1d(np.arange(DAYS), training_days(tested, 2, 3))
        returns[:, hidden] = np.random.default_rng(1).normal(0, 0.5, (COMBOS, len(hidden)))
        other = cross_validation._Tried(replace(known, returns=returns), combos(), tried.folds, 30, 1)
        assert other.best(train, tests) == best
        returns[(best + 1) % COMBOS, train] += 0.1
        another = cross_validation._Tried(replace(known, returns=returns), combos(), tried.folds, 30, 1)
        assert another.best(train, tests) == (best + 1) % COMBOS


# what cannot be -------------------------------------------------------------------------------------------------------


def test_nobody_traded_enough_so_nothing_was_earned() -> None:
    found = process(Known(noise(), trades=np.full((5, COMBOS), 3.0)))
    assert found.splits_without_choice == found.splits == 10
    assert {(p.sharpe_ratio, p.total_return) for p in found.paths} == {(None, 0.0)}
    assert (found.sharpe_ratio.p50, found.longest_trade_days, found.reason) == (None, 0, None)


def test_nobody_has_a_sharpe_ratio() -> None:
    assert process(Known(np.zeros((COMBOS, DAYS)))).splits_without_choice == 10


def test_trades_longer_than_a_fold_leave_nothing() -> None:
    found = process(Known(noise(), held_bars=(20 * BARS_PER_DAY,) * COMBOS))
    assert found.reason == "a purge of 21 and an embargo of 0 days leave nothing of folds of 12 days"
    assert (found.paths, found.purge_days, found.sharpe_ratio.p50) == ([], None, None)


@pytest.mark.parametrize("days", [1, 9])
def test_too_few_days(days: int) -> None:
    found = process(Known(noise(days=days)))
    assert found.reason == f"{days} in-sample days are too few for 5 folds: each needs 2 at least"
    assert found.paths == []
    written = list(found.as_json())
    assert written[-4:] == ["probability_of_loss", "sharpe_ratio", "paths", "reason"], "as every such file has it"


@pytest.mark.parametrize(("folds", "test_folds"), [(5, 5), (5, 7), (40, 20)])
def test_what_cannot_be_split_is_refused_before_any_work(folds: int, test_folds: int) -> None:
    with pytest.raises(Refused, match=f"test_folds is {test_folds} of {folds} folds"):
        cross_validation.check(replace(SETTINGS, folds=folds, test_folds=test_folds))
    cross_validation.check(load({}).cross_validation)


# real combos ----------------------------------------------------------------------------------------------------------


def test_every_record_has_the_same_keys_and_threads_change_nothing() -> None:
    settings = load({})
    mode = settings.modes["aggressive"]
    market = Market.of(bars_of(quiet_walk(np.random.default_rng(5), 150 * BARS_PER_DAY + 30), 0.01))
    evaluator = Evaluator(market, space.family_of(mode), settings.costs)
    drawn = space.draw(mode, 60, np.random.SeedSequence(3))
    few = replace(settings.prescreen, min_trades=5)
    one, two = (cross_validation.process(evaluator, drawn, settings.cross_validation, few, n) for n in (1, 2))
    assert one == two
    assert (one.reason, one.splits, len(one.paths), one.days) == (None, 45, 9, 151)
    assert one.purge_days >= one.longest_trade_days > 0
    assert one.splits_without_choice == 0
    assert set(one.as_json()) == set(process(Known(noise(days=9))).as_json())
