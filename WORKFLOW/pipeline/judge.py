"""The third part of validation: judge every finalist, and add what all runs together say about it.

No step before this part has seen a bar of the holdout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from state.records.holdout import Holdout
from WORKFLOW.crosscheck.finalists import in_vectorbt
from WORKFLOW.pipeline.run import PipelineRun
from WORKFLOW.pipeline.walk import Walked
from WORKFLOW.search.space import Parameters
from WORKFLOW.search.study import Trial
from WORKFLOW.steps.keep import Heard, PlannedStep
from WORKFLOW.validity import finalist, holdout, plateau, regimes, wicks
from WORKFLOW.validity.finalist import Case, Finalist, Judged
from WORKFLOW.validity.history import History
from WORKFLOW.validity.plateau import Plateau
from WORKFLOW.validity.promote import Promotion, promotions
from WORKFLOW.validity.search.whole import SearchTrial


@dataclass(frozen=True)
class Validated:
    """The result of validation: the test of the whole search (None if no finalist was selected), and each best's."""

    search: SearchTrial | None = None
    judged: dict[str, Judged] = field(default_factory=dict)
    promotions: dict[str, Promotion] = field(default_factory=dict)
    holdout: Holdout | None = None  # what is left of it; None if unknown, or if the bars are synthetic


def plan(run: PipelineRun, chosen: Mapping[str, Trial]) -> list[PlannedStep]:
    """Return the steps of `judge`, in their order."""
    trials = distinct(chosen)
    asked = trials if _asks_vectorbt(run) else []
    return [
        *(PlannedStep(_vectorbt_step(trial.number), trial.parameters) for trial in asked),
        *(PlannedStep(_plateau_step(trial.number), trial.parameters) for trial in trials),
        *(step for trial in trials for step in finalist.plan(trial, list(run.windows))),
    ]


def judge(
    run: PipelineRun, chosen: Mapping[str, Trial], tries: int, search: SearchTrial, walked: Walked, history: History
) -> Validated:
    """Judge every chosen trial once, even if it is several of the bests. `tries` also counts those of earlier rounds.

    Each look at the holdout is recorded in `history` before it is taken.
    """
    surrounded = _surrounded(run, distinct(chosen))
    case = _case(run, tries, search, walked)
    judged = {}
    for subject in surrounded:
        trial = subject.trial
        history.looked("holdout", data=run.bars.sha256, family=run.mode.family, parameters=trial.parameters)
        judged[trial.number] = finalist.judge(case, subject, run.steps)
    bests = {best: judged[trial.number] for best, trial in chosen.items()}
    promoted = promotions(bests, search, history, run.settings.verdict, partial(_second_opinion, run))
    return Validated(search, bests, promoted, _holdout_left(run, history, list(judged.values())))


def distinct(chosen: Mapping[str, Trial]) -> list[Trial]:
    """Return the trials that became finalists, each once, in the order of the bests."""
    return list({trial.number: trial for trial in chosen.values()}.values())


# what finalists are judged by -----------------------------------------------------------------------------------------


def _case(run: PipelineRun, tries: int, search: SearchTrial, walked: Walked) -> Case:
    report = run.report
    return Case(
        everything=run.everything,
        minutes=run.bars.minutes,
        in_sample=run.in_sample,
        windows=run.windows,
        settings=run.settings,
        walk_forward=walked.forward,
        cross_validation=walked.cross_validation,
        tries=tries,
        synthetic=run.bars.synthetic,
        seed=run.seed,
        search=search,
        regimes=regimes.labels(run.everything.market, run.settings.regimes),
        extreme_bars=wicks.extreme_bars(run.bars),
        allowed_wicks=sum(wick.minutes != "confirm" for wick in report.wicks) if report.wicks_allowed else 0,
    )


def _surrounded(run: PipelineRun, trials: Sequence[Trial]) -> list[Finalist]:
    """Return each trial with its plateau, and with the verdict of vectorbt if the order asks for it."""
    cross_checks = _cross_checks(run, trials) if _asks_vectorbt(run) else {}
    return [
        Finalist(
            trial,
            run.steps.do(_plateau_step(trial.number), partial(surroundings, run, trial.parameters)),
            cross_checks.get(trial.number),
        )
        for trial in trials
    ]


def surroundings(run: PipelineRun, parameters: Parameters) -> Plateau:
    """Evaluate the in-sample neighbours of one strategy."""
    return plateau.around(run.in_sample, run.mode, parameters, run.settings.plateau, run.cores)


def _cross_checks(run: PipelineRun, trials: Sequence[Trial]) -> dict[int, dict[str, Any]]:
    """Ask vectorbt about each finalist; one process takes all finalists whose answer is not on file yet."""

    def ask(missing: list[int], heard: Heard) -> list[dict[str, Any]]:
        asked = {trials[at].number: trials[at].parameters for at in missing}
        records = in_vectorbt(run.everything, asked, heard)
        return [records[number] for number in asked]

    answers = run.steps.together([_vectorbt_step(trial.number) for trial in trials], ask)
    return {trial.number: answer for trial, answer in zip(trials, answers, strict=True)}


# what all runs together tell ------------------------------------------------------------------------------------------


def _second_opinion(run: PipelineRun, number: int, parameters: Parameters) -> dict[str, Any]:
    """Ask vectorbt about a finalist that passes everything else; the plan cannot know whether this step is needed."""

    def ask() -> dict[str, Any]:
        return in_vectorbt(run.everything, {number: parameters})[number]

    return run.steps.aside(f"second opinion on trial {number}", parameters, ask)


def _holdout_left(run: PipelineRun, history: History, judged: Sequence[Judged]) -> Holdout | None:
    """Return what is left of the holdout. Synthetic bars have no holdout that could be used up."""
    if run.bars.synthetic or not judged:
        return None
    left = holdout.after(
        history,
        [subject.in_sample_returns for subject in judged],
        len(judged[0].out_of_sample_returns),
        run.settings.verdict.max_holdout_luck,
        run.settings.split.holdout_fraction,
        run.holdout_before,
    )
    return None if left is None else holdout.told(left, run.order.data_path, run.order.symbol)


def _asks_vectorbt(run: PipelineRun) -> bool:
    return run.order.engine == "vectorbt"


def _vectorbt_step(number: int) -> str:
    return f"vectorbt on trial {number}"


def _plateau_step(number: int) -> str:
    return f"plateau of trial {number}"
