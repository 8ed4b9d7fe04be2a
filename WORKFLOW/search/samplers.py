"""Propose parameters with Optuna's samplers, for one position of the budget at a time.

A proposal depends only on the seed, the position and the sealed trials, so any process may ask for any position. TPE's
two density estimates are the same for a whole batch, and are built once. Stock TPE builds them anew at each ask
(docs/reference/search.md says what this costs).
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.samplers._tpe.sampler import (  # versions are pinned
    _split_trials,
    default_gamma,
    default_gamma_multiobjective,
)
from optuna.trial import FrozenTrial, TrialState

from config.modes import Dimension, Range
from WORKFLOW.search.parzen import Mixture
from WORKFLOW.search.space import Parameters, on_grid
from WORKFLOW.search.storage import Direction

Space = Mapping[str, BaseDistribution]
_STARTUP = 10  # trials before TPE proposes anything, which are random; Optuna's default
_JUDGED = 32  # sealed trials before their median decides what is hopeless


@dataclass(frozen=True)
class Proposal:
    """Parameters to try, and the attributes that the sampler wants to keep with them."""

    parameters: Parameters
    system_attrs: dict[str, Any]


class Proposer:
    """A sampler with all that it has learned: the sealed trials of one study, in the order of their positions."""

    def __init__(self, sampler: str, directions: Sequence[Direction], space: Space, seed: int) -> None:
        self._space, self._seed = space, seed
        self._sampler = _made(sampler)
        self._study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), directions=list(directions), sampler=self._sampler
        )
        self._trials: list[FrozenTrial] = []
        self._steps: dict[int, list[float]] = {}
        self._estimators: tuple[Mixture, Mixture] | None = None

    def learn(self, trials: Sequence[FrozenTrial]) -> None:
        """Add sealed trials; their order counts."""
        for trial in trials:
            mine = copy.copy(trial)
            mine.user_attrs = {}  # holds the metrics, which no sampler reads; the study would copy them
            mine.number = len(self._trials)
            self._trials.append(mine)
            # TPE takes the trials from `self._trials`; storing them in the study would cost 1 ms each.
            if not isinstance(self._sampler, TPESampler):
                self._study._storage.create_new_trial(self._study._study_id, template_trial=mine)
            if trial.state == TrialState.COMPLETE:
                for step, value in trial.intermediate_values.items():
                    self._steps.setdefault(step, []).append(value)
        self._estimators = None
        if isinstance(self._sampler, NSGAIISampler):
            # The first ask of a generation sees its parents by rank, and all later asks see them by number. So one ask
            # is thrown away here, and every proposal is a later one.
            self._study.tell(self._study.ask(dict(self._space)), state=TrialState.FAIL)

    def propose(
        self, position: int, is_valid: Callable[[Parameters], bool], fixed: Parameters | None = None
    ) -> Proposal:
        """Return what to try at `position`: `fixed` if it is given, otherwise a valid draw."""
        drawn = np.random.SeedSequence([self._seed, position]).generate_state(1)[0]
        for random in _generators(self._sampler):
            random.seed(int(drawn))
        while True:
            proposal = self._drawn(fixed)
            if fixed is not None or is_valid(proposal.parameters):
                return proposal

    def is_hopeless(self, values: Sequence[float]) -> bool:
        """Return whether a trial with these values, one per step, is below the sealed trials' median at that step."""
        known = self._steps.get(len(values) - 1, ())
        return len(known) >= _JUDGED and values[-1] < float(np.median(known))

    def _drawn(self, fixed: Parameters | None) -> Proposal:
        if isinstance(self._sampler, TPESampler):
            return Proposal(self._by_tpe(self._sampler) if fixed is None else dict(fixed), {})
        if fixed is not None:
            self._study.enqueue_trial(fixed)
        trial = self._study.ask(dict(self._space))
        system_attrs = self._study._storage.get_trial(trial._trial_id).system_attrs
        self._study.tell(trial, state=TrialState.FAIL)
        parameters = trial.params if fixed is None else fixed
        return Proposal(_on_grid(parameters), dict(system_attrs))

    def _by_tpe(self, tpe: TPESampler) -> Parameters:
        if len(self._trials) < _STARTUP:
            uniform = tpe._random_sampler
            trial = optuna.trial.create_trial(state=TrialState.RUNNING)
            return _on_grid({n: uniform.sample_independent(self._study, trial, n, d) for n, d in self._space.items()})
        below, above = self._built(tpe)
        samples = below.sample(tpe._rng.rng, tpe._n_ei_candidates)
        best = tpe._compare(samples, below.log_density(samples) - above.log_density(samples))
        drawn = {name: kind.to_external_repr(best[name]) for name, kind in _free(self._space).items()}
        return _on_grid({name: drawn[name] if name in drawn else _only(kind) for name, kind in self._space.items()})

    def _built(self, tpe: TPESampler) -> tuple[Mixture, Mixture]:
        if self._estimators is None:
            study, space = self._study, _free(self._space)
            gamma = default_gamma_multiobjective if len(study.directions) > 1 else default_gamma
            below, above = _split_trials(study, self._trials, gamma(len(self._trials)))
            self._estimators = (
                Mixture(tpe._build_parzen_estimator(study, space, below, handle_below=True), space),
                Mixture(tpe._build_parzen_estimator(study, space, above, handle_below=False), space),
            )
        return self._estimators


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return a dimension in Optuna's terms."""
    if not isinstance(dimension, Range):
        return CategoricalDistribution(dimension.values)
    if dimension.is_integer:
        return IntDistribution(int(dimension.low), int(dimension.high), step=int(dimension.step))
    return FloatDistribution(dimension.low, dimension.high, step=dimension.step)


def _made(sampler: str) -> BaseSampler:
    if sampler == "nsgaii":
        return NSGAIISampler(seed=0)
    if sampler == "random":
        return RandomSampler(seed=0)
    # The constant liar stays off: with it, a proposal would depend on which process asked for the rest of its batch,
    # and when.
    return TPESampler(seed=0, multivariate=True, constant_liar=False)


def _generators(sampler: Any) -> list[np.random.RandomState]:
    owners = (sampler, getattr(sampler, "_random_sampler", None))
    return [owner._rng.rng for owner in owners if owner is not None]


def _free(space: Space) -> dict[str, BaseDistribution]:
    return {name: kind for name, kind in space.items() if not kind.single()}


def _only(kind: Any) -> Any:
    return kind.choices[0] if isinstance(kind, CategoricalDistribution) else kind.low


def _on_grid(parameters: Mapping[str, Any]) -> Parameters:
    return {name: on_grid(value) for name, value in parameters.items()}
