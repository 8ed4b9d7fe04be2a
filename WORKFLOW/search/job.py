"""A search as a record on disk: all that a search process needs to take part, whoever started it."""

import io
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from config.errors import Refused
from config.settings import Choice, Costs, Dimension, Mode, Range
from state import snapshot
from state.layout import RunFolder
from WORKFLOW.data.bars import Bars
from WORKFLOW.engines.market import Market
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Parameters, family_of
from WORKFLOW.search.study import UNDEFINED_SHARPE, Plan, Result, SharedStudy


@dataclass(frozen=True)
class SearchJob:
    """One study: what to try, at which costs. The bars beside it are the in-sample ones and no others."""

    costs: Costs
    min_trades: int
    engine: str
    plan: Plan

    def evaluate(self, evaluator: Evaluator, parameters: Parameters) -> Result:
        """The objective: the in-sample Sharpe ratio, with the minimum of trades as a constraint."""
        metrics = evaluator.metrics(parameters, evaluator.whole)
        sharpe = metrics["sharpe_ratio"]
        return Result(
            value=UNDEFINED_SHARPE if sharpe is None else sharpe,
            violation=float(self.min_trades - metrics["total_trades"]),
            metrics=metrics,
        )


@dataclass(frozen=True)
class SearchFolder:
    """The files of one search inside a run's folder."""

    folder: RunFolder

    def write_bars(self, in_sample: Bars) -> None:
        """Put the in-sample bars where other processes find them."""
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(in_sample.rows), allow_pickle=False)
        snapshot.write_bytes(self.folder.bars, buffer.getvalue())
        labels = {"symbol": in_sample.symbol, "tick": in_sample.tick, "synthetic": in_sample.synthetic}
        snapshot.write_json(self.folder.bar_labels, labels)

    def write(self, job: SearchJob) -> None:
        """Put the job where search processes find it."""
        snapshot.write_json(self.folder.search, asdict(job))

    @cached_property
    def in_sample(self) -> Bars:
        """The in-sample bars, mapped from disk so that processes share their pages."""
        labels = snapshot.read_json(self.folder.bar_labels)
        if not isinstance(labels, dict) or not self.folder.bars.is_file():
            raise Refused(f"{self.folder.bars} or what describes it is gone", "type the command again")
        rows = np.load(self.folder.bars, mmap_mode="r", allow_pickle=False)
        return Bars(labels["symbol"], rows, labels["tick"], labels["synthetic"], str(self.folder.bars))

    @cached_property
    def job(self) -> SearchJob:
        """The job on file."""
        record = snapshot.read_json(self.folder.search)
        if not isinstance(record, dict):
            raise Refused(f"{self.folder.search} is gone or not JSON", "type the command again: it writes it anew")
        plan = record.pop("plan")
        mode = plan.pop("mode")
        space = {name: _dimension(body) for name, body in mode.pop("space").items()}
        seeds = tuple(plan.pop("seeds"))
        costs = Costs(**record.pop("costs"))
        return SearchJob(costs=costs, plan=Plan(mode=Mode(space=space, **mode), seeds=seeds, **plan), **record)

    def evaluator(self) -> Evaluator:
        """What evaluates the job's trials."""
        job = self.job
        return Evaluator(Market.of(self.in_sample), family_of(job.plan.mode), job.costs, job.engine)

    def study(self) -> SharedStudy:
        """The study on file, opened or made."""
        return SharedStudy(self.folder.study, self.folder.claims, self.job.plan)


def _dimension(body: dict[str, Any]) -> Dimension:
    return Choice(tuple(body["values"])) if "values" in body else Range(**body)
