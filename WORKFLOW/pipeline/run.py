"""One run: its order, the bars that it works on, and the folders that it writes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from config.modes import Mode
from config.settings import Settings
from state.files import made, snapshot
from state.files.checkpoint import Checkpoint
from state.files.layout import Roots
from state.files.run_folders import RunFolder
from state.host.clock import Clock, SystemClock
from state.host.cores import usable_cores
from state.records import results, runs
from state.records.holdout import Holdout
from state.records.runs import Run
from state.records.tries import TriesLedger
from WORKFLOW import SOURCE_HASH
from WORKFLOW.command_line import Order
from WORKFLOW.data.bars import DAY_MS, Bars
from WORKFLOW.data.find import market_name
from WORKFLOW.data.report import Report
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.pipeline.handover import draw_of, seed_of
from WORKFLOW.report import manifest
from WORKFLOW.report.console import Screen
from WORKFLOW.report.tree import ResultTree, writing
from WORKFLOW.search import seed_folders, space
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.prescreen import Prescreened
from WORKFLOW.search.seed_folders import SeedFile
from WORKFLOW.search.space import Draw
from WORKFLOW.search.study import Trial
from WORKFLOW.steps.keep import KeptSteps


@dataclass
class PipelineRun:
    """What the phases of one run share: order and bars, the record of the run, its folders, and its evaluators."""

    order: Order
    bars: Bars
    report: Report
    record: Run
    folder: RunFolder
    tree: ResultTree
    screen: Screen
    clock: Clock
    log: Path
    ledger: TriesLedger
    round: int = 0  # of the swarm; results carry the number
    carried_tries: int = 0  # of earlier rounds of the swarm, because luck had those chances, too
    holdout_before: Holdout | None = None  # as the round before left it
    durations_s: dict[str, float] = field(default_factory=dict)
    bar_combos_per_s: float | None = None
    seed_files: tuple[SeedFile, ...] = ()  # other prescreens whose best combos are tried first
    prescreened_by: set[str] = field(default_factory=set)  # engines; CPUs and GPUs of a swarm may share one prescreen

    @property
    def settings(self) -> Settings:
        """The operator's settings with the flags of the command applied."""
        return self.order.settings

    @property
    def mode(self) -> Mode:
        """The mode with its parameter space."""
        return self.settings.mode(self.order.mode)

    @cached_property
    def split(self) -> int:
        """The first bar of the holdout."""
        return split_of(self.bars, self.settings.split.holdout_fraction)

    @cached_property
    def in_sample(self) -> Evaluator:
        """The evaluator for every step that selects; it does not contain the bars of the holdout."""
        return self._evaluator(self.bars.before(self.split))

    @cached_property
    def everything(self) -> Evaluator:
        """The evaluator over all bars; only validation uses it, after the selection."""
        return self._evaluator(self.bars)

    @property
    def windows(self) -> dict[str, Window]:
        """The windows in_sample and out_of_sample, as windows of `everything`."""
        return {"in_sample": Window(0, self.split), "out_of_sample": Window(self.split, len(self.bars))}

    @property
    def labels(self) -> dict[str, Any]:
        """The labels with which every artifact begins."""
        return {"symbol": self.order.symbol, "mode": self.order.mode, "synthetic": self.bars.synthetic}

    @cached_property
    def cores(self) -> int:
        """The threads of a prescreen."""
        return usable_cores()

    @property
    def processes(self) -> int:
        """The number of search processes; more processes than trials in a batch would only wait."""
        wanted = self.settings.search.processes or self.cores
        return min(wanted, self.settings.search.batch_trials)

    def seed(self, purpose: str, *more: int) -> np.random.SeedSequence:
        """Return a seed of its own for every purpose, derived from the run's seed."""
        return seed_of(self.settings, purpose, *more)

    @property
    def draw(self) -> Draw:
        """The combos of the prescreen."""
        return draw_of(self.order)

    @cached_property
    def steps(self) -> KeptSteps:
        """The steps of validation, kept until the results are published.

        Their key covers everything that decides a step.
        """
        engine = {"engine_used": self.in_sample.engine_name, **manifest.software()}
        key = runs.key_of({**_identity(self.order, self.bars, self.seed_files), **engine})
        return KeptSteps(Checkpoint(self.folder.validation, key), self.screen.say)

    def tries(self, prescreened: Prescreened, trials: list[Trial]) -> int:
        """Return the number of all tries on the in-sample bars; a seed is counted where it came from."""
        others = sum(file.tried for file in self.seed_files)
        return self.carried_tries + others + prescreened.tried + sum(trial.source == "sampler" for trial in trials)

    def _evaluator(self, bars: Bars) -> Evaluator:
        return Evaluator(
            Market.of(bars), space.family_of(self.mode), self.settings.costs, self.order.engine, self.order.gpu
        )

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Record how long a phase takes in this process."""
        started = time.monotonic()
        yield
        self.durations_s[phase] = round(time.monotonic() - started, 3)


@contextmanager
def begin(order: Order, roots: Roots, bars: Bars, report: Report, screen: Screen) -> Iterator[PipelineRun]:
    """Begin a run, or resume the unfinished run that computes exactly this.

    No other run may write this symbol and mode meanwhile.
    """
    clock = SystemClock()
    seeds = seed_files(order, bars)
    if order.seed_dirs and not seeds:
        raise seed_folders.none_there(order.seed_dirs, [(order.symbol, order.mode)])
    with writing(roots, order.symbol, order.mode):
        key = runs.key_of(_identity(order, bars, seeds))
        record, folder = runs.begin(roots, key, order.symbol, order.mode, clock, order.fresh)
        made.log(roots, roots.log(record.run_id)).close()
        screen.log_to(roots.log(record.run_id))
        going_on = f"going on with {record.run_id} (--fresh starts anew)" if record.resumed else f"run {record.run_id}"
        screen.say(f"  {going_on} · log {roots.log(record.run_id)}")
        tree = ResultTree(roots.artifacts(order.symbol, order.mode))
        snapshot.sweep(folder.path)
        tree.sweep()
        old = results.seen(tree.folder)
        run_id = None if old is None else old.manifest.get("execution", {}).get("run_id")
        if old is not None and run_id not in (None, record.run_id):
            tries = old.manifest.get("tries", {}).get("total", 0)
            screen.say(f"  will replace the results of {run_id} ({tries:,} tries)")
        ledger = TriesLedger(roots.tries(market_name(order.data_path, order.symbol)))
        run = PipelineRun(
            order, bars, report, record, folder, tree, screen, clock, roots.log(record.run_id), ledger, seed_files=seeds
        )
        screen.say(f"  engine {run.in_sample.choice} · {run.cores} threads · {run.processes} search processes")
        yield run


def seed_files(order: Order, bars: Bars) -> tuple[SeedFile, ...]:
    """Return the prescreens of this symbol and mode in the folders that `--phase0-seed-dirs` names.

    Raises:
        Refused: one of them was selected on days of this holdout, or is not the result of a prescreen.
    """
    files = seed_folders.read(order.seed_dirs, order.symbol, order.settings.mode(order.mode))
    split = split_of(bars, order.settings.split.holdout_fraction)
    seed_folders.must_be_past(files, int(bars.rows["time_ms"][split]))
    return files


def split_of(bars: Bars, holdout_fraction: float) -> int:
    """Return the first bar of the holdout; it begins a UTC day, so that no day belongs to both sides."""
    days = bars.rows["time_ms"] // DAY_MS
    wanted = int(len(bars) * (1 - holdout_fraction))
    return int(np.searchsorted(days, days[wanted]))


def _identity(order: Order, bars: Bars, seeds: tuple[SeedFile, ...]) -> dict[str, Any]:
    """Return everything that decides the results; the number of processes does not."""
    of_others = {"seeds": [file.sha256 for file in seeds]} if seeds else {}
    return of_others | {
        "data": bars.sha256,
        "minutes": None if bars.minutes is None else bars.minutes.sha256,
        "synthetic": bars.synthetic,
        "symbol": order.symbol,
        "engine": order.engine,
        "code": SOURCE_HASH,
        "config": config_of(order),
    }


def config_of(order: Order) -> dict[str, Any]:
    """Return the settings that decide the results: only the mode in use, and not how or where they are computed."""
    config = asdict(order.settings)
    for changes_nothing in ("processes", "storage"):
        config["search"].pop(changes_nothing)
    config.pop("swarm")
    config.pop("reading")  # it limits how much is read, and changes no bar
    config["run"] = {"modes": [order.mode], "seed": order.settings.run.seed}  # without the rule for further rounds
    config["modes"] = {order.mode: config["modes"][order.mode]}
    return config
