"""Bayesian search that several processes share and that gives the same trials whatever their number.

A study advances in sealed batches. Whoever finds no open batch opens the next one: all its trials are asked at once, by
a sampler seeded with (study, batch) that knows the sealed batches only. Any process evaluates any of them. When all
results are in, whoever is there tells them in trial order, which seals the batch. So neither the number of processes
nor their timing nor a kill -9 changes what the sampler ever sees.

Everything is in the study's journal: a result is on file before anyone relies on it. A claim is a held flock, so the
death of its holder frees it at once; there are no heartbeats and no process ids. A RUNNING trial that no committed
batch names is a zombie (its opener died while asking): it is failed before anyone asks again, because zombies poison
the sampler's constant liar.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY  # set_constraint's own key; versions are pinned
from optuna.trial import FrozenTrial, TrialState

from config.settings import Dimension, Mode, Range
from WORKFLOW.search.space import Combos, Parameters, family_of, on_grid
from WORKFLOW.search.storage import open_storage

# Told for a combo whose Sharpe ratio is undefined: worse than any real one, and finite, as samplers like it.
UNDEFINED_SHARPE = -1_000.0
_CONSTRAINT = "min_trades"


@dataclass(frozen=True)
class Result:
    """What evaluating one trial gave: `value` is maximised; `violation` > 0 breaks the minimum of trades by so many."""

    value: float
    violation: float
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One finished trial, numbered in the order in which the study took it."""

    number: int
    batch: int
    source: str  # "phase0", "earlier_round": enqueued from there; "sampler": proposed by TPE
    parameters: Parameters
    result: Result

    @property
    def feasible(self) -> bool:
        """Whether it has the minimum of trades."""
        return self.result.violation <= 0


@dataclass(frozen=True)
class Standing:
    """How far a study is: trials with a result, and the best value among those that kept the constraint."""

    done: int
    best: float | None


Evaluate = Callable[[Parameters], Result]


@dataclass(frozen=True)
class Plan:
    """What a study is to do. `seeds` are tried first, in order, as part of the budget; the first `carried` of them come
    from earlier rounds, the others from phase 0.
    """

    mode: Mode
    trials: int
    batch_trials: int
    seed: int
    seeds: tuple[Parameters, ...]
    carried: int = 0


class SharedStudy:
    """One study on disk, as one process sees it."""

    def __init__(self, journal: Path, claims: Path, plan: Plan) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._plan = plan
        self._claims = claims
        self._seen: dict[int, Result] = {}  # results never change: what was read once need not be read again
        self._space = {name: _distribution(dimension) for name, dimension in plan.mode.space.items()}
        self._family = family_of(plan.mode)
        claims.mkdir(parents=True, exist_ok=True)
        # One turn at a time: opening and sealing batches. Evaluation happens outside.
        self._turn = FileLock(f"{journal}.turn")
        with self._turn:
            self._study = optuna.create_study(
                storage=open_storage(journal), study_name="phase1", direction="maximize", load_if_exists=True
            )

    def work(self, evaluate: Evaluate, on_result: Callable[[Standing], None], may_go_on: Callable[[], bool]) -> None:
        """Take part until the budget is used up or `may_go_on` says no; `on_result` hears how far the study is."""
        while may_go_on():
            with self._turn:
                pending = self._pending()
                if not pending:
                    # Only what this very look found complete is sealed: results arrive outside the turn, so a second
                    # look could find a batch done that nobody has sealed, and open the next one on top of it.
                    self._seal()
                    pending = self._open_next()
            if not pending:
                return
            self._evaluate_one(pending, evaluate)
            on_result(self.standing())

    def standing(self) -> Standing:
        """How far it is, sealed or not."""
        for trial in self._members():
            if trial.number not in self._seen and "result" in trial.user_attrs:
                self._seen[trial.number] = _result(trial)
        feasible = (result.value for result in self._seen.values() if result.violation <= 0)
        return Standing(len(self._seen), max(feasible, default=None))

    def finished(self) -> list[Trial]:
        """All trials of sealed batches, in order."""
        done: list[Trial] = []
        batches = self._batches()
        trials = self._trials()
        for batch, numbers in enumerate(batches):
            for trial in (trials[number] for number in numbers):
                if trial.state == TrialState.COMPLETE:
                    source = trial.user_attrs["source"]
                    done.append(Trial(len(done), batch, source, _parameters(trial), _result(trial)))
        return done

    # evaluating -------------------------------------------------------------------------------------------------------

    def _evaluate_one(self, pending: list[FrozenTrial], evaluate: Evaluate) -> None:
        for trial in pending:
            with self._claim(trial, wait=False) as mine:
                if mine:
                    self._evaluate(trial, evaluate)
                    return
        # Others are at work on all of them: wait for the first to end or to die, then look again.
        with self._claim(pending[0], wait=True):
            pass

    def _evaluate(self, trial: FrozenTrial, evaluate: Evaluate) -> None:
        # Between our look and our claim another process may have finished it.
        if "result" in self._trials()[trial.number].user_attrs:
            return
        result = evaluate(_parameters(trial))
        record = {"value": result.value, "violation": result.violation, "metrics": result.metrics}
        self._storage.set_trial_user_attr(trial._trial_id, "result", record)

    @contextmanager
    def _claim(self, trial: FrozenTrial, wait: bool) -> Iterator[bool]:
        descriptor = os.open(self._claims / f"{trial.number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(descriptor)

    # turns: only under self._turn -------------------------------------------------------------------------------------

    def _seal(self) -> None:
        batches = self._batches()
        if not batches:
            return
        trials = self._trials()
        for trial in (trials[number] for number in batches[-1]):
            if trial.state == TrialState.RUNNING:
                result = _result(trial)
                key = f"{_CONSTRAINTS_KEY}:{_CONSTRAINT}"
                self._storage.set_trial_system_attr(trial._trial_id, key, result.violation)
                self._study.tell(trial.number, result.value)

    def _pending(self) -> list[FrozenTrial]:
        return [trial for trial in self._members() if "result" not in trial.user_attrs]

    def _open_next(self) -> list[FrozenTrial]:
        batches = self._batches()
        asked = sum(map(len, batches))
        wanted = min(self._plan.batch_trials, self._plan.trials - asked)
        if wanted <= 0:
            return []
        self._reap(set().union(*batches))
        sampler_seed = np.random.SeedSequence([self._plan.seed, len(batches)]).generate_state(1)[0]
        self._study.sampler = optuna.samplers.TPESampler(seed=int(sampler_seed))
        numbers = [self._ask(position) for position in range(asked, asked + wanted)]
        self._study.set_user_attr(f"batch {len(batches):06d}", numbers)  # the commit: without it these are zombies
        return self._pending()

    def _ask(self, position: int) -> int:
        if position < len(self._plan.seeds):
            source = "earlier_round" if position < self._plan.carried else "phase0"
            self._study.enqueue_trial(self._plan.seeds[position], user_attrs={"source": source})
            return self._study.ask(self._space).number
        while True:
            trial = self._study.ask(self._space)
            if self._family.valid(Combos.of([_parameters(trial)]).columns).all():
                trial.set_user_attr("source", "sampler")
                return trial.number
            self._study.tell(trial, state=TrialState.FAIL)  # an invalid draw is drawn again

    def _reap(self, committed: set[int]) -> None:
        while any(trial.state == TrialState.WAITING for trial in self._trials()):
            self._study.ask(self._space)  # a seed whose opener died before asking for it: now RUNNING, failed below
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and trial.number not in committed:
                self._study.tell(trial.number, state=TrialState.FAIL)

    # reading ----------------------------------------------------------------------------------------------------------

    @property
    def _storage(self) -> optuna.storages.BaseStorage:
        return self._study._storage

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _batches(self) -> list[list[int]]:
        attributes = self._study.user_attrs
        return [attributes[name] for name in sorted(attributes) if name.startswith("batch ")]

    def _members(self) -> list[FrozenTrial]:
        batches = self._batches()  # first: a batch that is committed in between names trials of its own
        trials = self._trials()
        return [trials[number] for numbers in batches for number in numbers]


def _parameters(trial: FrozenTrial | optuna.Trial) -> Parameters:
    return {name: on_grid(value) for name, value in trial.params.items()}


def _result(trial: FrozenTrial) -> Result:
    record = trial.user_attrs["result"]
    return Result(record["value"], record["violation"], record["metrics"])


def _distribution(dimension: Dimension) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution(dimension.values)
    if dimension.is_integer:
        return IntDistribution(int(dimension.low), int(dimension.high), step=int(dimension.step))
    return FloatDistribution(dimension.low, dimension.high, step=dimension.step)
