"""What one phase hands to the next, whether both run in one process or each on a lane of the swarm."""

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from config.settings import Settings
from hooks.folder import Point
from hooks.gate import pass_all
from state.files import sealed
from state.files.artifacts import PHASE0
from WORKFLOW.command_line import Order
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.report import records
from WORKFLOW.report.console import Phase
from WORKFLOW.report.tree import ResultTree
from WORKFLOW.search import prescreen as screening
from WORKFLOW.search import seed_folders
from WORKFLOW.search.prescreen import Prescreened, Ranked
from WORKFLOW.search.seed_folders import Seed, SeedFile
from WORKFLOW.search.space import Draw, Parameters
from WORKFLOW.validity import walk_forward

if TYPE_CHECKING:  # optuna costs a prescreen half a second that it does not need
    from WORKFLOW.search.job import SearchJob
    from WORKFLOW.search.study import Standing, StudyPlan


_LEADERS = 4  # of a prescreen: by Sharpe ratio, return, drawdown, win rate


def pass_gates(
    point: Point, order: Order, run_id: str, tree: ResultTree, log: Path, records: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Every verdict at `point`; refuses when one of them is no. `records` are what this point is about."""
    facts = {"symbol": order.symbol, "mode": order.mode, "run_id": run_id, **(records or {})}
    return pass_all(point, {**facts, "phase0": str(tree.folder / PHASE0), "log": str(log)})


class Rates:
    """Tells a phase's bar, batch by batch, how far a prescreen is and how fast."""

    def __init__(self, phase: Phase, bars: int, tried: int) -> None:
        self._phase, self._bars, self._tried, self._began_s = phase, bars, tried, time.monotonic()
        phase.at(tried)

    def at(self, batch: int, of: int, now: screening.PrescreenProgress) -> float:
        """Bar-combos a second since the start; the log line is what the deadline of the first kernel looks for."""
        rate = (now.tried - self._tried) * self._bars / max(time.monotonic() - self._began_s, 1e-9)
        line = f"Batch {batch}/{of} · {rate / 1e9:.2f} G bar-combos/s · {now.eligible:,} eligible"
        self._phase.at(now.tried, note=f"Batch {batch}/{of} · {rate / 1e9:.2f} G bc/s", line=line)
        return rate


def plan_of(
    order: Order, prescreened: Prescreened, carried: Sequence[Parameters] = (), other: Sequence[SeedFile] = ()
) -> "StudyPlan":
    """What the study is to do: try the best of earlier rounds and of phase 0 first, here and in `other` prescreens."""
    from WORKFLOW.search.study import StudyPlan

    settings = order.settings
    share = settings.search.seed_fraction
    most = max(1, round(settings.search.trials * share)) if share else 0
    seeds = with_other(seeds_of(prescreened), seed_folders.merged(other))[:most]
    return StudyPlan(
        mode=settings.mode(order.mode),
        trials=settings.search.trials,
        batch_trials=settings.search.batch_trials,
        seed=settings.run.seed,
        seeds=(*carried, *seeds),
        carried=len(carried),
        sampler=settings.search.sampler,
        objectives=settings.search.objectives,
        study_trials=settings.search.study_trials,
    )


def search_job(order: Order, plan: "StudyPlan") -> "SearchJob":
    """The plan with its costs and its constraint."""
    from WORKFLOW.search.job import SearchJob

    search = order.settings.search
    return SearchJob(
        costs=order.settings.costs,
        min_trades=order.settings.prescreen.min_trades,
        engine=order.engine,
        plan=plan,
        folds=search.folds,
        instability_penalty=search.instability_penalty,
        prune=search.prune,
        storage=search.storage,
    )


def loaded_line(order: Order, plan: "StudyPlan", prescreened: Prescreened, other: Sequence[SeedFile] = ()) -> str:
    """What a log must say before a long search; it names the folders from which seeds were merged."""
    loaded = len(plan.seeds) - plan.carried
    sharpes = [prescreened.best[0].metrics.sharpe_ratio or 0.0] if prescreened.best else []
    sharpes += [file.seeds[0].sharpe_ratio for file in other if file.seeds]
    best = f"best in-sample Sharpe {max(sharpes):.2f}" if loaded else "none passed"
    there = len(prescreened.best) + sum(len(file.seeds) for file in other)
    folders = "".join(f" · {len(file.seeds)} from {file.path}" for file in other)
    return f"Loaded Phase0 seed: {order.symbol}/{order.mode} {loaded} of {there} ({best}){folders}"


def best_note(now: "Standing") -> str:
    """What is worth knowing while a search goes on."""
    return "" if now.best is None else f"best value {now.best:.2f}"


def read_progress(path: Path, say: Callable[[str], None]) -> screening.PrescreenProgress:
    """The checkpoint at `path`; nothing done where there is none, or where it is not what was written: then `say`
    hears that it is done again."""
    record: Any = sealed.read_json(path)
    try:
        return screening.PrescreenProgress.of_json(record)
    except (TypeError, KeyError, ValueError, AttributeError):
        if path.exists():
            say(f"{path} is not what was written: what it held is done again")
        return screening.PrescreenProgress()


def draw_of(order: Order) -> Draw:
    """The combos that a prescreen of this order tries."""
    settings = order.settings
    return Draw(settings.mode(order.mode), settings.prescreen.combos, seed_of(settings, "prescreen"))


def prescreened_of(order: Order, progress: screening.PrescreenProgress) -> Prescreened:
    """What a prescreen of this order that is through has found."""
    return screening.result(progress, draw_of(order))


def phase0_record(
    labels: dict[str, Any], settings: Settings, market: Market, prescreened: Prescreened
) -> dict[str, Any]:
    """`phase0_top500.json`; `market` is the in-sample one."""
    window = walk_forward.span(market, Window(0, len(market)))
    return records.phase0(labels, prescreened, settings.prescreen, window.as_json())


def seed_of(settings: Settings, purpose: str, *more: int) -> np.random.SeedSequence:
    """A seed of its own for every purpose, derived from the run's."""
    return np.random.SeedSequence([settings.run.seed, zlib.crc32(purpose.encode()), *more])


def with_other(own: Sequence[Ranked], other: Sequence[Seed]) -> list[Parameters]:
    """The seeds of both, best Sharpe ratio first, but this prescreen's leaders by each measure among the first.

    Parameters that both found count once. Without others' seeds the order is that of `own`.
    """
    leaders = [combo.parameters for combo in own[:_LEADERS]]
    ranked = [combo.parameters for combo in own]
    if other:
        scored = [(combo.metrics.sharpe_ratio or 0.0, combo.parameters) for combo in own]
        scored += [(seed.sharpe_ratio, seed.parameters) for seed in other]
        ranked = [parameters for _, parameters in sorted(scored, key=lambda pair: -pair[0])]
    first = [*ranked[:1], *leaders, *ranked]
    return distinct(first)


def distinct(some: Sequence[Parameters]) -> list[Parameters]:
    """Each parameters once, where it stands first."""
    kept: dict[str, Parameters] = {}
    for parameters in some:
        kept.setdefault(str(sorted(parameters.items())), parameters)
    return list(kept.values())


def seeds_of(prescreened: Prescreened) -> list[Ranked]:
    """Best Sharpe first, but the best by each other measure among the first, so that no search ends below phase 0."""
    measures = (("total_return", 1), ("max_drawdown_daily_pct", -1), ("win_rate", 1))
    leaders = prescreened.best[:1] + [
        max(prescreened.best, key=lambda ranked: sign * (getattr(ranked.metrics, key) or 0.0))
        for key, sign in measures
        if prescreened.best
    ]
    return list({ranked.combo: ranked for ranked in [*leaders, *prescreened.best]}.values())
