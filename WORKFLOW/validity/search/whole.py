"""Everything a search tried, looked at together: one pass over the daily returns of all combos.

The returns of 250,000 combos over two years are 1.5 GB; none of the tests needs them at once. Combos come in chunks,
and what stays of each is its sums by block of days and its part in the maxima of the bootstrap.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from config.settings import Settings
from WORKFLOW.data.bars import Bars
from WORKFLOW.engines.metrics import TOTAL_TRADES
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Draw
from WORKFLOW.steps import exact
from WORKFLOW.steps.keep import PlannedStep, Steps
from WORKFLOW.validity.search import deflated, overfit
from WORKFLOW.validity.search import placebo as shuffling
from WORKFLOW.validity.search.overfit import BlockSums, Overfit
from WORKFLOW.validity.search.placebo import Placebo, placebo
from WORKFLOW.validity.search.superior import Maxima, Resampling, Superior

CHUNK = 16_384  # combos at a time: 64 MB of daily returns over two years
_DIGITS = 12  # of what is written: matrix products may differ in the last bits with the number of threads

SeedOf = Callable[[str], np.random.SeedSequence]


@dataclass(frozen=True)
class SearchTrial:
    """What is known of the search as a whole. `eligible`: of the `tried` those that could have been chosen."""

    tried: int
    eligible: int
    days: int
    overfit: Overfit | None
    tests: dict[str, Any]
    luck: float | None  # p-value of Hansen's test on Sharpe ratios, consistent
    expected_maximum: float | None  # standard errors that luck gives to the best of these combos
    placebo: Placebo

    @property
    def effective_trials(self) -> float | None:
        """How many independent tries the eligible combos are worth."""
        return (
            None if self.expected_maximum is None else deflated.effective_trials(self.expected_maximum, self.eligible)
        )

    def as_json(self) -> dict[str, Any]:
        """`search.json`."""
        record = {
            "tried": self.tried,
            "eligible": self.eligible,
            "days": self.days,
            "effective_trials": self.effective_trials,
            "expected_maximum_standard_errors": self.expected_maximum,
            "overfitting": None if self.overfit is None else self.overfit.as_json(),
            **self.tests,
            "placebo": self.placebo.as_json(),
        }
        return rounded(record)  # type: ignore[no-any-return]


@exact.record
@dataclass(frozen=True)
class Chunk:
    """What stays of some combos: their part in the maxima of the bootstrap, and their sums by block of days."""

    maxima: Maxima
    sums: BlockSums


def of_draw(
    evaluator: Evaluator, bars: Bars, draw: Draw, settings: Settings, threads: int, seed: SeedOf, steps: Steps
) -> SearchTrial:
    """The search of `draw` on trial; `evaluator` stands on `bars`, the in-sample ones.

    A combo counts where the search could have chosen it: with the minimum of closed trades.
    """
    validity = settings.validity
    days = len(np.unique(evaluator.market.day))
    random = np.random.default_rng(seed("reality check"))
    resampling = Resampling.of(days, validity.draws, settings.monte_carlo.block_days, random)
    superior = Superior(resampling)
    sums: list[BlockSums] = []
    for number, name in enumerate(_chunks(len(draw))):
        chunk = steps.do(name, partial(_chunk, evaluator, draw, number, resampling, settings, threads))
        superior.take(chunk.maxima)
        sums.append(chunk.sums)
    every = BlockSums.joined(sums)
    overfitted = overfit.probability(every, threads, steps)
    steps.rest("overfitting")  # there are fewer parts where not every combo is eligible
    shuffled = placebo(
        evaluator,
        bars,
        draw.sample(validity.placebo_combos),
        settings.prescreen.min_trades,
        validity.placebo_markets,
        validity.placebo_block_bars,
        seed("placebo"),
        threads,
        steps,
    )
    return SearchTrial(
        tried=len(draw),
        eligible=every.sums.shape[1],
        days=days,
        overfit=overfitted,
        tests=superior.as_json(),
        luck=(superior.p_values("sharpe") or {}).get("consistent"),
        expected_maximum=superior.expected_maximum(),
        placebo=shuffled,
    )


def plan(combos: int, settings: Settings) -> list[PlannedStep]:
    """The steps of `of_draw` for so many combos."""
    names = [*_chunks(combos), *overfit.steps(combos), *shuffling.names(settings.validity.placebo_markets)]
    return [PlannedStep(name) for name in names]


def _chunks(combos: int) -> list[str]:
    return [f"daily returns {number}" for number in range(-(-combos // CHUNK))]


def _chunk(
    evaluator: Evaluator, draw: Draw, number: int, resampling: Resampling, settings: Settings, threads: int
) -> Chunk:
    first, superior, sums = number * CHUNK, Superior(resampling), []
    for _, combos in draw.at(range(first, min(first + CHUNK, len(draw)))):
        table, returns = evaluator.screen_with_returns(combos, evaluator.whole, threads)
        chosen = returns[table[:, TOTAL_TRADES] >= settings.prescreen.min_trades]
        superior.add(chosen)
        sums.append(BlockSums.of(chosen, settings.validity.blocks))
    return Chunk(superior.maxima, BlockSums.joined(sums))


def rounded(value: Any) -> Any:
    """A record with its floats to 12 significant digits, so that it does not depend on the number of threads."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
