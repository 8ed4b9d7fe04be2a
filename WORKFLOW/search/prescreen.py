"""Phase 0: screen every combo once with the fast engine, and keep the best by Sharpe ratio with enough trades."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from config.settings import PrescreenSettings
from state.records.metrics import ScreenMetrics
from WORKFLOW.data.bars import Floats
from WORKFLOW.engines.best import Best, Integers
from WORKFLOW.engines.metrics import SCREEN, SHARPE
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Draw, Parameters

Rows = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Ranked:
    """One combo that was kept: its number in the draw, its parameters, and its in-sample screen metrics."""

    combo: int
    parameters: Parameters
    metrics: ScreenMetrics


@dataclass(frozen=True)
class Prescreened:
    """The result of a prescreen: counts over all combos, and the best combos first.

    `tried` counts all combos, `eligible` those with enough trades, and `most_trades` is the most trades of any combo.

    Iteration yields dicts, as scripts that users have deployed expect: one dict per strategy, best first, with `combo`
    (its number in the draw), its parameters, and its in-sample metrics by name, such as `total_trades`. An undefined
    metric is None.
    """

    tried: int
    eligible: int
    most_trades: int
    best: list[Ranked]

    def __len__(self) -> int:
        """Return the number of strategies that were kept."""
        return len(self.best)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the records of the kept strategies, best first."""
        return (self[place] for place in range(len(self.best)))

    def __getitem__(self, place: int) -> dict[str, Any]:
        """Return the record of the strategy at this place; place 0 is the best."""
        ranked = self.best[place]
        return {"combo": ranked.combo, **ranked.parameters, **ranked.metrics.as_json()}


@dataclass(frozen=True)
class PrescreenProgress:
    """The progress of a prescreen with all that it needs to go on: a plain record that survives a restart."""

    tried: int = 0
    eligible: int = 0
    most_trades: int = 0
    combos: tuple[int, ...] = ()  # kept so far, best first
    table: Rows = field(default=())  # their `SCREEN` rows; an undefined value is None

    def as_json(self) -> dict[str, Any]:
        """Return the record for a snapshot; floats survive the round trip exactly."""
        return {
            "tried": self.tried,
            "eligible": self.eligible,
            "most_trades": self.most_trades,
            "combos": list(self.combos),
            "table": [list(row) for row in self.table],
        }

    @classmethod
    def of_json(cls, record: dict[str, Any]) -> "PrescreenProgress":
        """Read back what `as_json` wrote."""
        table = tuple(tuple(row) for row in record["table"])
        return cls(record["tried"], record["eligible"], record["most_trades"], tuple(record["combos"]), table)


def run(
    evaluator: Evaluator,
    combos: Draw,
    settings: PrescreenSettings,
    threads: int,
    progress: PrescreenProgress,
    on_batch: Callable[[int, int, PrescreenProgress], None],
    batches: range | None = None,
    held: int | None = None,
) -> PrescreenProgress:
    """Go on from `progress` to the end of `batches` (None: all batches).

    `on_batch` receives (batch, of, progress) after each batch, or after several that a GPU does at once. `held` limits
    the combos that are tried at a time; None: whole batches. With fewer, less memory is needed for the same results.
    """
    size = settings.batch_combos
    batches = range(batches_of(len(combos), settings)) if batches is None else batches
    done = batches_of(progress.tried, settings)  # rounded up, because a short last batch is done, too
    together = evaluator.batches_together(size)
    while done < len(batches):
        now = batches[done : done + (together if done else 1)]  # the first batch alone, so that its log line comes soon
        for numbers, part in combos.at(range(now.start * size, min(now.stop * size, len(combos)))):
            for first in range(0, len(part), held or size * len(now)):
                some = slice(first, first + (held or size * len(now)))
                best = evaluator.best(part[some], settings.min_trades, settings.keep, threads)
                progress = _merge(progress, numbers[some], best, settings)
        done += len(now)
        on_batch(done, len(batches), progress)
    return progress


def shard(combos: int, settings: PrescreenSettings, number: int, of: int) -> range:
    """Return the batches of shard `number` of `of`: contiguous, and as equal in number as possible."""
    batches = batches_of(combos, settings)
    return range(batches * number // of, batches * (number + 1) // of)


def merged(parts: Iterable[PrescreenProgress], settings: PrescreenSettings) -> PrescreenProgress:
    """Join the progress of shards to that of one prescreen over all their combos."""
    whole = PrescreenProgress()
    for part in parts:
        table = np.array(part.table, dtype=np.float64).reshape(-1, len(SCREEN))
        ranked = _ranked(whole, np.array(part.combos, dtype=np.int64), table, settings.keep)
        whole = PrescreenProgress(
            tried=whole.tried + part.tried,
            eligible=whole.eligible + part.eligible,
            most_trades=max(whole.most_trades, part.most_trades),
            combos=ranked[0],
            table=ranked[1],
        )
    return whole


def result(progress: PrescreenProgress, combos: Draw) -> Prescreened:
    """Return the result of a complete prescreen."""
    best = []
    rows = zip(progress.combos, combos.rows(progress.combos), progress.table, strict=True)
    for combo, parameters, row in rows:
        best.append(Ranked(combo, parameters, _named(row)))
    return Prescreened(progress.tried, progress.eligible, progress.most_trades, best)


def _named(row: tuple[float | None, ...]) -> ScreenMetrics:
    sharpe, total_return, drawdown, wins, trades = row
    return ScreenMetrics(sharpe, total_return, drawdown, wins, int(trades or 0))


def batches_of(combos: int, settings: PrescreenSettings) -> int:
    """Return how many batches a prescreen of this number of combos has."""
    return -(-combos // settings.batch_combos)


def _merge(
    progress: PrescreenProgress, numbers: Integers, best: Best, settings: PrescreenSettings
) -> PrescreenProgress:
    combos, rows = _ranked(progress, numbers[best.combos], best.table, settings.keep)
    return PrescreenProgress(
        tried=progress.tried + best.tried,
        eligible=progress.eligible + best.eligible,
        most_trades=max(progress.most_trades, best.most_trades),
        combos=combos,
        table=rows,
    )


def _ranked(progress: PrescreenProgress, more: Integers, table: Floats, keep: int) -> tuple[tuple[int, ...], Rows]:
    """Return the best of the kept combos and of `more` combos with their rows: highest Sharpe first, then by number."""
    numbers = np.concatenate([np.array(progress.combos, dtype=np.int64), more])
    kept = np.array(progress.table, dtype=np.float64).reshape(-1, len(SCREEN))  # None becomes NaN
    rows = np.concatenate([kept, table])
    # A partition is faster than a sort, and keeps every row that can be among the best, ties included.
    if len(rows) > keep:
        least = np.partition(rows[:, SHARPE], len(rows) - keep)[len(rows) - keep]
        numbers, rows = numbers[rows[:, SHARPE] >= least], rows[rows[:, SHARPE] >= least]
    best = np.lexsort((numbers, -rows[:, SHARPE]))[:keep]
    listed = rows[best].tolist()
    if not np.isfinite(rows[best]).all():
        listed = [[None if math.isnan(x) else x for x in row] for row in listed]
    return tuple(numbers[best].tolist()), tuple(map(tuple, listed))
