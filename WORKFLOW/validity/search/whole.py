"""Judge all combos of a search together, in one pass over their daily returns.

The returns of 250,000 combos over two years take 1.5 GB, and no test needs them at once. Combos come in chunks. Each
chunk leaves its sums by block of days and its part in the maxima of the bootstrap.
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

CHUNK = 16_384  # combos at a time; their daily returns over two years take 64 MB
_DIGITS = 12  # significant digits in files; the last bits of matrix products depend on the number of threads

SeedOf = Callable[[str], np.random.SeedSequence]


@dataclass(frozen=True)
class SearchTrial:
    """The results of the tests of a whole search. `eligible` counts the tried combos that could have been chosen."""

    tried: int
    eligible: int
    days: int
    overfit: Overfit | None
    tests: dict[str, Any]
    luck: float | None  # p-value of Hansen's test on Sharpe ratios, kind `consistent`
    expected_maximum: float | None  # what luck gives to the best of these combos, in standard errors
    placebo: Placebo

    @property
    def effective_trials(self) -> float | None:
        """How many independent tries the eligible combos are worth; None if the equity of none of them moves."""
        return (
            None if self.expected_maximum is None else deflated.effective_trials(self.expected_maximum, self.eligible)
        )

    def as_json(self) -> dict[str, Any]:
        """Return the record for `search.json`."""
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
    """The results of some combos: their part in the maxima of the bootstrap, and their sums by block of days."""

    maxima: Maxima
    sums: BlockSums


def of_draw(
    evaluator: Evaluator, bars: Bars, draw: Draw, settings: Settings, threads: int, seed: SeedOf, steps: Steps
) -> SearchTrial:
    """Test the search of `draw`; `evaluator` holds the market of `bars`, which are the in-sample bars.

    A combo counts if the search could have chosen it: it must have the minimum of closed trades.
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
    steps.rest("overfitting")  # if not every combo is eligible, there are fewer steps than planned
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
    """Return the steps of `of_draw` for this number of combos."""
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
    """Round the floats of a record to 12 significant digits, so that they do not depend on the number of threads."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
