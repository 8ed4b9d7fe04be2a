"""What depends on every run ever made: all tries on these days, all looks at this holdout, and a second opinion.

The checks in `validation.json` are a matter of this run alone, and the same command gives them again to the bit. Those
here grow stricter with every run, so they stand in the manifest beside them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from config.settings import VerdictSettings
from hooks import promotion
from WORKFLOW.validity.search import deflated
from WORKFLOW.validity.verdict import VerdictCheck

if TYPE_CHECKING:  # whoever only counts again what is on file needs no engine
    from WORKFLOW.search.space import Parameters
    from WORKFLOW.validity.finalist import Judged
    from WORKFLOW.validity.history import History
    from WORKFLOW.validity.search.whole import SearchTrial

Days = np.ndarray[Any, np.dtype[np.float64]]  # daily returns, (d,)
NOT_ASKED = "not asked: another check failed"  # of vectorbt
# What another engine makes of a strategy: the `cross_check` record of `WORKFLOW.crosscheck.finalists`.
SecondOpinion = Callable[[int, "Parameters"], Mapping[str, Any]]


@dataclass(frozen=True)
class Promotion:
    """Whether a best may be promoted, and why; the counts of all runs, and the checks that depend on them."""

    promoted: bool
    reason: str
    tries_of_all_runs: int
    looks_of_all_runs: int
    checks: Sequence[VerdictCheck]

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {**vars(self), "checks": [asdict(check) for check in self.checks]}


def promotions(
    judged: "Mapping[str, Judged]",
    search: "SearchTrial",
    history: "History",
    settings: VerdictSettings,
    second_opinion: SecondOpinion,
) -> dict[str, Promotion]:
    """Best → whether it may be promoted.

    The second opinion costs seconds and half a gigabyte; it is asked only about a strategy that passes all else.
    """
    count, bad = history.count(), history.ledger.bad_lines()
    out: dict[str, Promotion] = {}
    opinions: dict[int, Mapping[str, Any]] = {}
    for best, finalist in judged.items():
        mine = finalist.validation.checks
        effective = search.effective_trials
        trials = None if effective is None else effective * max(1.0, count.tries / search.tried)
        inside, outside = finalist.in_sample_returns, finalist.out_of_sample_returns
        of_history = [ledger_check(bad), *of_all_runs(inside, outside, trials, count.tries, count.looks, settings)]
        number = finalist.trial.number
        if all(check.passed for check in (*mine, *of_history)):
            if number not in opinions:
                known = finalist.validation.cross_check
                opinions[number] = known or second_opinion(number, finalist.trial.parameters)
            of_history.append(_agrees(opinions[number]))
        else:
            of_history.append(_agrees(finalist.validation.cross_check))
        verdict = promotion.judge([asdict(check) for check in (*mine, *of_history)])
        out[best] = Promotion(verdict.passed, verdict.reason, count.tries, count.looks, of_history)
    return out


def ledger_check(bad_lines: int) -> VerdictCheck:
    """Whether every line of the ledger of tries can be read."""
    whole, message = bad_lines == 0, f"{bad_lines} lines of the ledger of tries are damaged"
    return VerdictCheck("ledger_whole", whole, whole, None, "every line readable", message)


def of_all_runs(
    inside: Days, outside: Days, trials: float | None, tries: int, looks: int, settings: VerdictSettings
) -> list[VerdictCheck]:
    """The checks that grow stricter with every run, from the daily returns (d,) of both windows.

    `trials`: what the `tries` of all runs on these days are worth, independent ones; None where nobody can tell.
    """
    sharpe = None if trials is None else deflated.deflated_sharpe(inside, trials)
    p_value = holdout_luck(outside)
    luck = None if p_value is None else min(1.0, p_value * max(looks, 1))
    floor, ceiling = settings.min_deflated_sharpe, settings.max_holdout_luck
    return [
        VerdictCheck(
            "deflated_sharpe_of_all_tries",
            sharpe is not None and sharpe >= floor,
            sharpe,
            floor,
            f">= {floor:g} after {tries:,} tries in all runs",
            "deflated Sharpe after the tries of all runs",
        ),
        VerdictCheck(
            "holdout_after_all_looks",
            luck is not None and luck <= ceiling,
            luck,
            ceiling,
            f"<= {ceiling:g} after {looks:,} looks at this holdout",
            "the holdout after all looks at it",
        ),
    ]


def _agrees(record: Mapping[str, Any] | None) -> VerdictCheck:
    agree = None if record is None else record.get("agree")
    line = NOT_ASKED if record is None else str(record.get("line"))
    return VerdictCheck("vectorbt_agrees", agree is True, agree, None, "vectorbt = our engines", line)


def holdout_luck(returns: Days) -> float | None:
    """Probability that a strategy without merit shows a Sharpe ratio as high as this one's daily returns (d,)."""
    probability = deflated.probabilistic_sharpe(returns, 0.0)
    return None if probability is None else 1.0 - probability
