"""A Bayesian search that several processes share, with the same trials whatever their number.

A study advances in sealed batches. A batch is a run of positions of the budget. The parameters at a position follow
from the seed, the position and the batches sealed before: either the next seed from phase 0, or a proposal of the
sampler. So any process may work on any position. The process claims the position, asks for parameters, evaluates them,
and adds the finished trial in one record. A batch is sealed when each of its positions has a trial. Neither the number
of processes, nor their timing, nor a kill -9 changes what the sampler sees
(docs/adr/0020-asking-is-part-of-a-trial.md).

One search may consist of several Optuna studies, one after the other. An *era* is the number of such a study, from 0.

A claim is a held flock, so the death of its holder frees the claim at once, without heartbeats or process ids. Nothing
of an unfinished trial is on file, so a death leaves nothing behind: the next process that claims the position gets the
same parameters.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY  # the key of `set_constraint`; versions are pinned
from optuna.trial import FrozenTrial, TrialState

from config.modes import Mode
from config.search import OBJECTIVES
from state.files import private
from state.records.metrics import Metrics
from WORKFLOW.search.samplers import Proposal, Proposer, distribution
from WORKFLOW.search.space import Combos, Parameters, family_of, on_grid
from WORKFLOW.search.storage import Direction, StudyStore, damaged

_CONSTRAINT = "min_trades"
_CARRIED = 500  # best trials with which the study of a new era begins: a tenth of a full study
# How long a process waits for the holder of a claim: this many seconds, or this many times its own longest trial,
# whichever is longer.
_PATIENCE_S, _PATIENCE = 5.0, 10.0
# The first pause takes half as long as a short trial, and each one doubles, so that a long wait takes no core.
_POLL_S, _MOST_POLL_S = 0.0005, 0.02
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class TrialResult:
    """The result of one trial. `value` is maximised; `violation` > 0 is by how many trades the minimum was missed.

    `folds` holds the Sharpe ratio of each in-sample fold, None where undefined. `steps` holds the value after each
    fold. `others` holds the further objectives, in the plan's order. A `pruned` trial ended after `steps`, and its
    `metrics` is None.
    """

    value: float
    violation: float
    metrics: Metrics | None
    folds: tuple[float | None, ...] = ()
    steps: tuple[float, ...] = ()
    others: tuple[float, ...] = ()
    pruned: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the result as the study holds it."""
        return {**vars(self), "metrics": {} if self.metrics is None else self.metrics.as_json()}

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> Self:
        """Read back what `as_json` returned.

        Raises:
            LookupError, TypeError: a part is missing or unknown.
        """
        lists = {name: tuple(record[name]) for name in ("folds", "steps", "others")}
        metrics = Metrics.of_json(record["metrics"]) if record["metrics"] else None
        return cls(**{**record, **lists, "metrics": metrics})


@dataclass(frozen=True)
class Trial:
    """One finished trial, numbered by its position in the budget."""

    number: int
    batch: int
    source: str  # "phase0" or "earlier_round" for a seed, "sampler" for a proposal
    parameters: Parameters
    result: TrialResult

    @property
    def feasible(self) -> bool:
        """Whether the trial has the minimum of trades; a pruned trial can never be chosen."""
        return self.result.violation <= 0 and not self.result.pruned


@dataclass(frozen=True)
class Standing:
    """The progress of a study: trials with a result, and the best value among those that kept the constraint."""

    done: int
    best: float | None


Hopeless = Callable[[Sequence[float]], bool]  # takes the values after each fold so far
Evaluate = Callable[[Parameters, Hopeless], TrialResult]


@dataclass(frozen=True)
class StudyPlan:
    """The plan of a study.

    `seeds` are tried first, in order, as part of the budget. The first `carried` seeds come from earlier rounds, and
    the others from phase 0. After about `study_trials` trials, a fresh study begins from the best ones.
    """

    mode: Mode
    trials: int
    batch_trials: int
    seed: int
    seeds: tuple[Parameters, ...]
    carried: int = 0
    sampler: str = "auto"
    objectives: tuple[str, ...] = ("sharpe_ratio",)
    study_trials: int = 5_000

    @property
    def directions(self) -> list[Direction]:
        """The direction of each objective, in Optuna's words."""
        return ["maximize" if OBJECTIVES[name] > 0 else "minimize" for name in self.objectives]

    @property
    def positions_of_a_study(self) -> int:
        """Return the positions, in whole batches, until a fresh study begins; only TPE needs one, as it slows down."""
        if self.sampler not in {"auto", "tpe"}:
            return self.trials
        return max(1, self.study_trials // self.batch_trials) * self.batch_trials


@dataclass
class _Known:
    """The finished trials of the studies so far, by position."""

    trials: dict[int, FrozenTrial] = field(default_factory=dict)
    read: dict[int, int] = field(default_factory=dict)  # era → number of its first trials that are finished and read
    mark: int | None = None  # the storage's mark at the last look
    sealed: int = 0  # positions in sealed batches, counted from the first
    best: float | None = None


class SharedStudy:
    """The studies of one search on disk, as one process sees them."""

    def __init__(self, store: StudyStore, claims: Path, plan: StudyPlan) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._plan, self._store, self._claims = plan, store, claims
        self._family = family_of(plan.mode)
        self._known = _Known()
        self._longest_s = 0.0  # the longest trial of this process
        self._proposer: tuple[int, int, Proposer] | None = None  # its era, and the position up to which it has learned
        private.folder(claims)
        self._fail_strangers()

    def work(self, evaluate: Evaluate, on_result: Callable[[Standing], None], may_go_on: Callable[[], bool]) -> None:
        """Take part until the budget is used up or `may_go_on` returns False; `on_result` receives the progress."""
        while may_go_on():
            self._look()
            pending = self._pending()
            if not pending:
                return
            self._do_one(pending, evaluate)
            on_result(self._standing())

    def standing(self) -> Standing:
        """Return the progress of the study, sealed or not."""
        self._look()
        return self._standing()

    def finished(self) -> list[Trial]:
        """Return all trials of sealed batches, in order."""
        self._look()
        return [
            Trial(
                number=position,
                batch=position // self._plan.batch_trials,
                source=trial.user_attrs["source"],
                parameters=_parameters(trial, self._plan.mode),
                result=_result(trial),
            )
            for position, trial in self._in_order(0, self._known.sealed)
        ]

    def close(self) -> None:
        """Release the storage."""
        self._store.close()

    # one trial --------------------------------------------------------------------------------------------------------

    def _do_one(self, pending: list[int], evaluate: Evaluate) -> None:
        for position in pending:
            with self._claim(position) as mine:
                if mine:
                    self._try(position, evaluate)
                    return
        # Other processes work on all open positions. Wait until the first of them ends or dies, then look again. A
        # process that does neither is stopped or hangs. Its trial is then computed here, and its own copy is ignored
        # later.
        until_s, pause_s = time.monotonic() + max(_PATIENCE_S, _PATIENCE * self._longest_s), _POLL_S
        while time.monotonic() < until_s:
            with self._claim(pending[0]) as mine:
                if mine:
                    return
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _MOST_POLL_S)
        self._try(pending[0], evaluate)

    def _try(self, position: int, evaluate: Evaluate) -> None:
        self._look()
        if position in self._known.trials:  # another process has finished the trial between our look and our claim
            return
        began, began_s, proposal = datetime.now(), time.monotonic(), self._ask(position)
        result = evaluate(proposal.parameters, self._proposer_now().is_hopeless)
        self._longest_s = max(self._longest_s, time.monotonic() - began_s)
        self._tell(position, proposal, result, began)

    def _ask(self, position: int) -> Proposal:
        fixed = self._plan.seeds[position] if position < len(self._plan.seeds) else None
        return self._proposer_now().propose(position, self._is_valid, fixed)

    def _tell(self, position: int, asked: Proposal, result: TrialResult, began: datetime) -> None:
        plan = self._plan
        is_seed = position < len(plan.seeds)
        source = "earlier_round" if position < plan.carried else "phase0" if is_seed else "sampler"
        trial = optuna.trial.create_trial(
            state=TrialState.PRUNED if result.pruned else TrialState.COMPLETE,
            values=None if result.pruned else [result.value, *result.others],
            params=asked.parameters,
            distributions=self._space,
            user_attrs={"position": position, "source": source, "result": result.as_json()},
            system_attrs=asked.system_attrs | {f"{_CONSTRAINTS_KEY}:{_CONSTRAINT}": result.violation},
            intermediate_values=dict(enumerate(result.steps)) if len(plan.objectives) == 1 else {},
        )
        trial.datetime_start = began
        era = position // plan.positions_of_a_study
        self._store.act(lambda storage: storage.create_new_trial(self._study_id(storage, era), template_trial=trial))

    def _is_valid(self, parameters: Parameters) -> bool:
        return bool(self._family.valid(Combos.of([parameters]).columns).all())

    @contextmanager
    def _claim(self, position: int) -> Iterator[bool]:
        descriptor = os.open(self._claims / f"{position}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(descriptor)

    # what the sampler knows -------------------------------------------------------------------------------------------

    def _proposer_now(self) -> Proposer:
        """Return the sampler of the current study, after it has learned all sealed batches."""
        sealed, plan = self._known.sealed, self._plan
        era = sealed // plan.positions_of_a_study
        first = era * plan.positions_of_a_study
        if self._proposer is None or self._proposer[0] != era:
            fresh = Proposer(plan.sampler, plan.directions, self._space, plan.seed)
            fresh.learn(self._best(first))
            self._proposer = (era, first, fresh)
        _, told, proposer = self._proposer
        if told < sealed:
            proposer.learn([trial for _, trial in self._in_order(told, sealed)])
            self._proposer = (era, sealed, proposer)
        return proposer

    def _best(self, before: int) -> list[FrozenTrial]:
        """Return the best feasible trials at earlier positions, best first; a fresh study begins with them."""
        feasible = [
            (position, trial)
            for position, trial in self._in_order(0, before)
            if trial.state == TrialState.COMPLETE and _result(trial).violation <= 0
        ]
        feasible.sort(key=lambda candidate: (-candidate[1].values[0], candidate[0]))
        return [trial for _, trial in feasible[:_CARRIED]]

    @cached_property
    def _space(self) -> dict[str, Any]:
        return {name: distribution(dimension) for name, dimension in self._plan.mode.space.items()}

    # reading ----------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Read new trials, and go on to the next study where a study is full."""
        mark = self._store.mark()  # before reading, so that trials added meanwhile are read by the next look
        if mark is not None and mark == self._known.mark:
            return
        self._known.mark = mark
        while True:
            era = self._known.sealed // self._plan.positions_of_a_study
            self._take_in(era, self._store.act(partial(self._all_trials, era)))
            self._advance()
            if self._known.sealed >= self._plan.trials or self._known.sealed // self._plan.positions_of_a_study == era:
                return

    def _all_trials(self, era: int, storage: optuna.storages.BaseStorage) -> list[FrozenTrial]:
        return storage.get_all_trials(self._study_id(storage, era), deepcopy=False)

    def _take_in(self, era: int, trials: Sequence[FrozenTrial]) -> None:
        read = self._known.read.get(era, 0)
        is_gapless = True
        for trial in trials[read:]:
            is_gapless = is_gapless and trial.state.is_finished()
            read += is_gapless
            position = trial.user_attrs.get("position")
            # Two trials of one position are equal: the first process died, or did not learn that its trial was written.
            if not isinstance(position, int) or position in self._known.trials or trial.state not in _FINISHED:
                continue
            result = self._result_of_ours(trial)
            self._known.trials[position] = trial
            if result.violation <= 0 and not result.pruned:
                self._known.best = result.value if self._known.best is None else max(self._known.best, result.value)
        self._known.read[era] = read

    def _result_of_ours(self, trial: FrozenTrial) -> TrialResult:
        try:
            _parameters(trial, self._plan.mode)
            return _result(trial)
        except (LookupError, TypeError) as error:
            raise damaged(self._store.where, f"holds trial {trial.number}, which is not whole: {error!r}") from error

    def _advance(self) -> None:
        plan, known = self._plan, self._known
        while known.sealed < plan.trials:
            end = min(known.sealed + plan.batch_trials, plan.trials)
            if not all(position in known.trials for position in range(known.sealed, end)):
                return
            known.sealed = end

    def _pending(self) -> list[int]:
        """Return the positions of the open batch that have no finished trial."""
        first = self._known.sealed
        end = min(first + self._plan.batch_trials, self._plan.trials)
        return [position for position in range(first, end) if position not in self._known.trials]

    def _standing(self) -> Standing:
        return Standing(len(self._known.trials), self._known.best)

    def _in_order(self, first: int, end: int) -> list[tuple[int, FrozenTrial]]:
        return [(position, self._known.trials[position]) for position in range(first, end)]

    def _study_id(self, storage: optuna.storages.BaseStorage, era: int) -> int:
        return self._store.study_id(storage, era, self._plan.directions)

    def _fail_strangers(self) -> None:
        """Mark RUNNING and WAITING trials as failed: ours appear only when they are finished, so others left these."""
        self._look()
        era = self._known.sealed // self._plan.positions_of_a_study

        def fail(storage: optuna.storages.BaseStorage) -> None:
            for trial in storage.get_all_trials(self._study_id(storage, era), deepcopy=False):
                if not trial.state.is_finished():
                    storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

        self._store.act(fail)


def _parameters(trial: FrozenTrial, mode: Mode) -> Parameters:
    """Return a trial's parameters in the order of the space; a database served over gRPC returns them in any order."""
    return {name: on_grid(trial.params[name]) for name in mode.space}


def _result(trial: FrozenTrial) -> TrialResult:
    return TrialResult.of_json(trial.user_attrs["result"])
