"""A search as a record on disk, with all that a search process needs to take part, whichever program started it."""

import fcntl
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from config.errors import Recomputable, Refused
from config.modes import Choice, Dimension, Mode, Range
from config.search import JOURNAL, OBJECTIVES, SQLITE
from config.settings import Costs
from state.files import private, sealed, snapshot
from state.files.run_folders import RunFolder
from WORKFLOW.data.bars import Bars
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.metrics import SHARPE
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.objective import UNDEFINED_SHARPE, folds_of, stable
from WORKFLOW.search.space import Combos, Parameters, family_of
from WORKFLOW.search.storage import JournalStore, StudyStore, name_of
from WORKFLOW.search.study import Hopeless, SharedStudy, StudyPlan, TrialResult


@dataclass(frozen=True)
class SearchJob:
    """One study: what to try, and at which costs. The bars on file beside it are the in-sample bars and no others."""

    costs: Costs
    min_trades: int
    engine: str
    plan: StudyPlan
    folds: int = 1
    instability_penalty: float = 0.0
    prune: bool = False
    storage: str = JOURNAL

    def evaluate(self, evaluator: Evaluator, parameters: Parameters, is_hopeless: Hopeless) -> TrialResult:
        """Evaluate one trial: its objectives, its trades as a constraint, and its metrics over all in-sample bars.

        With `prune`, the folds are evaluated one by one, and `is_hopeless` may end the trial early.
        """
        windows = folds_of(evaluator.market, self.folds)
        sharpes: list[float] = []
        for some in ([window] for window in windows) if self.prune else (windows,):
            sharpes += self._sharpes(evaluator, parameters, some)
            steps = tuple(stable(sharpes[: n + 1], self.instability_penalty) for n in range(len(sharpes)))
            if self.prune and len(sharpes) < len(windows) and is_hopeless(steps):
                return TrialResult(steps[-1], 0.0, None, _defined(sharpes), steps, pruned=True)
        metrics = evaluator.metrics(parameters, evaluator.whole)
        undefined = metrics.sharpe_ratio is None
        return TrialResult(
            value=UNDEFINED_SHARPE if undefined else steps[-1],
            violation=float(self.min_trades - metrics.total_trades),
            metrics=metrics,
            folds=_defined(sharpes),
            steps=steps,
            others=tuple(_aim(getattr(metrics, name), OBJECTIVES[name]) for name in self.plan.objectives[1:]),
        )

    @staticmethod
    def _sharpes(evaluator: Evaluator, parameters: Parameters, windows: Sequence[Window]) -> list[float]:
        table = evaluator.screen(Combos.of([parameters]), windows, threads=1)
        return [float(value) for value in table[:, 0, SHARPE]]


_AGAIN = "type the command again: it writes them anew"


@dataclass(frozen=True)
class SearchFolder:
    """The files of one search inside a run's folder."""

    folder: RunFolder

    def write_bars(self, in_sample: Bars) -> None:
        """Write the in-sample bars where other processes find them."""
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(in_sample.rows), allow_pickle=False)
        snapshot.write_bytes(self.folder.bars, buffer.getvalue())
        labels = {"symbol": in_sample.symbol, "tick": in_sample.tick, "synthetic": in_sample.synthetic}
        sealed.write_json(self.folder.bar_labels, {**labels, "sha256": in_sample.sha256})

    def write(self, job: SearchJob) -> None:
        """Write the job where search processes find it."""
        snapshot.write_json(self.folder.search, asdict(job))

    @cached_property
    def in_sample(self) -> Bars:
        """The in-sample bars, mapped from disk so that processes share their memory pages.

        Raises:
            Recomputable: the bars are gone, or are not those that were written.
        """
        labels = sealed.read_json(self.folder.bar_labels)
        changed = Recomputable(f"{self.folder.bars} or what describes them is not what was written", _AGAIN)
        if labels is None or not self.folder.bars.is_file():
            raise changed
        try:
            rows = np.load(self.folder.bars, mmap_mode="r", allow_pickle=False)
        except (EOFError, ValueError):
            raise changed from None
        bars = Bars(labels["symbol"], rows, labels["tick"], labels["synthetic"], str(self.folder.bars))
        if bars.sha256 != labels["sha256"]:
            raise changed
        return bars

    @cached_property
    def job(self) -> SearchJob:
        """The job on file."""
        record = snapshot.read_json(self.folder.search)
        if not isinstance(record, dict):
            raise Refused(f"{self.folder.search} is gone or not JSON", "type the command again: it writes it anew")
        plan = record.pop("plan")
        mode = plan.pop("mode")
        space = {name: _dimension(body) for name, body in mode.pop("space").items()}
        seeds, objectives = tuple(plan.pop("seeds")), tuple(plan.pop("objectives"))
        costs = Costs(**record.pop("costs"))
        return SearchJob(
            costs=costs, plan=StudyPlan(Mode(space=space, **mode), seeds=seeds, objectives=objectives, **plan), **record
        )

    def evaluator(self) -> Evaluator:
        """Return the evaluator of the job's trials."""
        job = self.job
        return Evaluator(Market.of(self.in_sample), family_of(job.plan.mode), job.costs, job.engine)

    def study(self, say: Callable[[str], None] = print) -> SharedStudy:
        """Open the study on file, or make it; a damaged study is set aside and made again, which `say` reports.

        Raises:
            Recomputable: the study is damaged and lies on a database server, where only the server's owner can set it
                aside.
        """
        try:
            return self._opened()
        except Recomputable as damage:
            if self.job.storage not in (JOURNAL, SQLITE):
                raise
            return self._made_again(damage, say)

    def discard_study(self, why: str, say: Callable[[str], None] = print) -> None:
        """Set the study aside, because its trials do not follow from these bars and this job; `why` is the finding."""
        if self.job.storage != JOURNAL:
            raise Recomputable(why, "its owner has to move it away; then type the command again")
        with self._alone():
            if self.folder.study.exists():
                self._set_aside(why, say)

    def _opened(self) -> SharedStudy:
        return SharedStudy(self._store(), self.folder.claims, self.job.plan)

    def _made_again(self, damage: Recomputable, say: Callable[[str], None]) -> SharedStudy:
        """Make the study again. One process at a time sets a study aside; a later process finds the new study."""
        with self._alone():
            try:
                return self._opened()
            except Recomputable:
                self._set_aside(damage.reason, say)
                return self._opened()

    def _set_aside(self, why: str, say: Callable[[str], None]) -> None:
        is_journal = self.job.storage == JOURNAL
        aside = snapshot.set_aside(self.folder.study if is_journal else self.folder.study_database)
        for name in ("-wal", "-shm", "-journal"):  # side files of the damaged database mean nothing to a new one
            self.folder.study_database.with_name(f"{self.folder.study_database.name}{name}").unlink(missing_ok=True)
        say(f"  {why}: it is set aside as {aside.name}, and the search is done again")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock under which a study is set aside; the kernel frees the lock of a process that dies."""
        private.folder(self.folder.claims)
        descriptor = os.open(self.folder.claims / "set_aside.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _store(self) -> StudyStore:
        storage = self.job.storage
        if storage == JOURNAL:
            return JournalStore(self.folder.study)
        from WORKFLOW.search.database import DatabaseStore

        url = f"sqlite:///{self.folder.study_database}" if storage == SQLITE else storage
        return DatabaseStore(url, self.folder.study_server, name_of(self.folder))


def _dimension(body: dict[str, Any]) -> Dimension:
    return Choice(tuple(body["values"])) if "values" in body else Range(**body)


def _defined(sharpes: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(sharpe) else sharpe for sharpe in sharpes)


def _aim(value: float | None, sign: int) -> float:
    return sign * UNDEFINED_SHARPE if value is None else float(value)
