"""Combinatorial purged cross-validation of the way of choosing (López de Prado 2018, chapter 12, by skfolio).

The in-sample days are cut into folds. For every combination of test folds the choice is made anew on the days of all
other folds, and what it would have earned on the test folds is put together to paths, each over all days: walk-forward
gives one history, this a distribution. Training days may lie after test days; two things keep what happened there out
of the choice. *Purge*: on both sides of a test fold as many training days are dropped as any chosen combo ever held a
position, so no trade is on both sides. *Embargo*: behind a test fold further days are dropped, for as long as the
indicators of any chosen combo remember (their warm-up), but no more than a part of a fold: the slowest would leave
nothing to train on.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import Refused
from config.settings import CrossValidationSettings, PrescreenSettings
from WORKFLOW.data.bars import BARS_PER_DAY, Floats
from WORKFLOW.engines import metrics
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos
from WORKFLOW.steps import exact
from WORKFLOW.steps.keep import Steps
from WORKFLOW.validity.bands import Bands

_MOST_SPLITS = 5_000  # choices to make; a second or two
_MOST_COMBOS = 20_000  # 80 MB of daily returns over 500 days
Days = NDArray[np.int64]


@exact.record
@dataclass(frozen=True)
class CrossedPath:
    """One history over all days; return and drawdown are fractions."""

    sharpe_ratio: float | None
    total_return: float
    max_drawdown_daily_pct: float


@exact.record
@dataclass(frozen=True)
class CrossValidation:
    """How the paths did. `reason` says why there are none; what was then never counted is None."""

    folds: int
    test_folds: int
    days: int
    combos: int | None = None
    splits: int | None = None
    splits_without_choice: int | None = None
    longest_trade_days: int | None = None
    warm_up_days: int | None = None
    purge_days: int | None = None
    embargo_days: int | None = None
    sharpe_ratio: Bands = field(default_factory=Bands)
    probability_of_loss: float | None = None
    paths: list[CrossedPath] = field(default_factory=list)
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For `validation.json`; without paths the probability stands before the Sharpe ratio."""
        record = asdict(self)
        if self.reason is not None:
            record |= {name: record.pop(name) for name in ("sharpe_ratio", "paths", "reason")}
        return record


def check(settings: CrossValidationSettings) -> None:
    """Refuse, before any work, what cannot be split."""
    splits = math.comb(settings.folds, settings.test_folds)
    if settings.test_folds >= settings.folds or splits > _MOST_SPLITS:
        reason = f"cross_validation.test_folds is {settings.test_folds} of {settings.folds} folds: {splits:,} splits"
        raise Refused(reason, f"leave a fold to train on and make at most {_MOST_SPLITS:,} splits; 2 of 10 make 45")


def process(
    evaluator: Evaluator,
    combos: Combos,
    settings: CrossValidationSettings,
    screen: PrescreenSettings,
    threads: int,
    kept: Steps | None = None,
) -> CrossValidation:
    """How the paths did. The choice: the best Sharpe ratio over the training days.

    A split in which no combo closed the minimum of trades in the training folds (each fold started flat for the count)
    is not traded: its days return 0.
    """
    folds = _Folds(evaluator.market, settings)
    if folds.size < 2:
        days = f"{folds.days} in-sample days are too few for {settings.folds} folds"
        return CrossValidation(*folds.sizes, reason=f"{days}: each needs 2 at least")
    tried = _Tried(evaluator, combos[:_MOST_COMBOS], folds, screen.min_trades, threads)
    kept = kept or Steps()
    purge = embargo = 0
    while True:
        if purge + embargo >= folds.size - 1:
            gaps = f"a purge of {purge} and an embargo of {embargo} days leave nothing of folds of {folds.size} days"
            return CrossValidation(*folds.sizes, reason=gaps)
        splits = list(folds.splits(purge, embargo))
        chosen = kept.aside(f"cross-validation choices {purge} {embargo}", None, partial(_chosen, tried, splits))
        held, memory = tried.needs({combo for combo in chosen if combo is not None})
        wanted = min(memory, int(folds.size * settings.embargo_share))
        if held <= purge and wanted <= embargo:
            break
        purge, embargo = max(purge, held), max(embargo, wanted)
    sharpe, loss, paths = _performance(_paths(tried.returns, folds, splits, chosen))
    return CrossValidation(
        *folds.sizes,
        combos=len(tried.combos),
        splits=len(splits),
        splits_without_choice=chosen.count(None),
        longest_trade_days=held,
        warm_up_days=memory,
        purge_days=purge,
        embargo_days=embargo,
        sharpe_ratio=sharpe,
        probability_of_loss=loss,
        paths=paths,
    )


def _chosen(tried: "_Tried", splits: list[tuple[Days, list[Days]]]) -> list[int | None]:
    return [tried.best(train, tests) for train, tests in splits]


@dataclass(frozen=True)
class _Folds:
    """Days 0 to `days` of a market in equal folds; the last one has what is left over, too."""

    market: Market
    settings: CrossValidationSettings

    @property
    def days(self) -> int:
        return metrics.days_of(self.market, Window(0, len(self.market)))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """What every record begins with: folds, folds that are tested at once, days."""
        return self.settings.folds, self.settings.test_folds, self.days

    @property
    def size(self) -> int:
        return self.days // self.settings.folds

    @property
    def windows(self) -> list[Window]:
        """The bars of each fold."""
        first_days = self.market.day[0] + self.size * np.arange(self.settings.folds)
        starts = [*np.searchsorted(self.market.day, first_days).tolist(), len(self.market)]
        return [Window(a, b) for a, b in itertools.pairwise(starts)]

    def splits(self, purge: int, embargo: int) -> Iterator[tuple[Days, list[Days]]]:
        """The training days of each split, and the days of each of its test folds."""
        yield from self.splitter(purge, embargo).split(np.zeros((self.days, 1)))

    def splitter(self, purge: int = 0, embargo: int = 0) -> Any:
        from skfolio.model_selection import CombinatorialPurgedCV  # 3 s to import

        return CombinatorialPurgedCV(self.settings.folds, self.settings.test_folds, purge, embargo)


@dataclass(frozen=True)
class _Tried:
    """The combos to choose from, and what is known of them on every day and in every fold."""

    evaluator: Evaluator
    combos: Combos
    folds: _Folds
    min_trades: int
    threads: int

    @cached_property
    def returns(self) -> Floats:
        """Daily returns (k, days) of one continuous run."""
        return self.evaluator.screen_returns(self.combos, self.evaluator.whole, self.threads)

    @cached_property
    def trades(self) -> Floats:
        """Trades (folds, k) closed in each fold."""
        return self.evaluator.screen(self.combos, self.folds.windows, self.threads)[..., metrics.TOTAL_TRADES]

    @cached_property
    def _held_days(self) -> dict[int, int]:
        return {}

    def best(self, train: Days, tests: list[Days]) -> int | None:
        """The combo with the best Sharpe ratio over the training days, the first of equals; None when none passes."""
        tested = [min(int(days[0]) // self.folds.size, len(self.trades) - 1) for days in tests]
        trained = np.delete(self.trades, tested, axis=0).sum(axis=0)
        passed = np.flatnonzero(trained >= self.min_trades)
        sharpes = np.array([metrics.sharpe(row) for row in self.returns[np.ix_(passed, train)]])
        defined = np.isfinite(sharpes)
        return int(passed[np.argmax(np.where(defined, sharpes, -np.inf))]) if defined.any() else None

    def needs(self, chosen: set[int]) -> tuple[int, int]:
        """Days, rounded up, that any of these combos ever held a position, and that its indicators take to be valid."""
        if not chosen:
            return 0, 0
        held = max(self._held(combo) for combo in sorted(chosen))
        warm = int(self.evaluator.warm_up_bars(self.combos[np.array(sorted(chosen))]).max())
        return held, -(-warm // BARS_PER_DAY)

    def _held(self, combo: int) -> int:
        if combo not in self._held_days:
            ledger = self.evaluator.ledger(self.combos.row(combo), self.evaluator.whole)
            bars = ledger.trades["exit_bar"] - ledger.trades["entry_bar"]
            still_open = ledger.held_bars - int(bars.sum())
            self._held_days[combo] = -(-max(int(bars.max(initial=0)) + 1, still_open) // BARS_PER_DAY)
        return self._held_days[combo]


def _paths(returns: Floats, folds: _Folds, splits: list[tuple[Days, list[Days]]], chosen: list[int | None]) -> Floats:
    """Daily returns (paths, days): every fold of a path from another split."""
    splitter = folds.splitter()
    paths = np.zeros((splitter.n_test_paths, folds.days))
    for (_, tests), combo, path_ids in zip(splits, chosen, splitter.get_path_ids(), strict=True):
        for days, path in zip(tests, path_ids, strict=True):
            if combo is not None:
                paths[path, days] = returns[combo, days]
    return paths


def _performance(paths: Floats) -> tuple[Bands, float, list[CrossedPath]]:
    """Bands of the Sharpe ratios, the share of paths that lose, and every path; `paths` (n, days) are returns."""
    sharpes = np.array([metrics.sharpe(path) for path in paths])
    equity = np.cumprod(1.0 + paths, axis=1)
    totals = equity[:, -1] - 1.0
    drawdowns = [float(metrics.max_drawdown_fraction(path_equity, 1.0)) for path_equity in equity]
    rows = zip(sharpes.tolist(), totals.tolist(), drawdowns, strict=True)
    told = [CrossedPath(metrics.or_none(sharpe), total, drawdown) for sharpe, total, drawdown in rows]
    return Bands.of(sharpes), float(np.mean(totals < 0)), told
