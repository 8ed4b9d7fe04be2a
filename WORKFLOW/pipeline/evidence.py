"""What finalists are judged by, as steps that are kept one by one: tests of the search, and each one's surroundings."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from WORKFLOW.crosscheck.finalists import in_vectorbt
from WORKFLOW.pipeline.run import Job
from WORKFLOW.search import space
from WORKFLOW.search.space import Parameters
from WORKFLOW.search.study import Trial
from WORKFLOW.steps.keep import Heard, Step
from WORKFLOW.validity import cross_validation, judge, plateau, regimes, walk_forward, wicks
from WORKFLOW.validity.judge import Case
from WORKFLOW.validity.plateau import Plateau
from WORKFLOW.validity.search import whole as whole_search


def plan(job: Job, chosen: Sequence[Trial]) -> list[Step]:
    """Every step for these finalists: a step that is missing here cannot be done."""
    names = [*walk_forward.names(_tried_again(job)), "cross-validation"]
    asked = chosen if job.order.engine == "vectorbt" else []
    return [
        *whole_search.plan(job.settings.prescreen.combos, job.settings),
        *map(Step, names),
        *(Step(_vectorbt_step(trial.number), trial.parameters) for trial in asked),
        *(Step(_plateau_step(trial.number), trial.parameters) for trial in chosen),
        *(step for trial in chosen for step in judge.plan(trial, list(job.windows))),
    ]


def case_of(job: Job, tries: int, distinct: Mapping[int, Trial]) -> Case:
    """What every finalist is judged by."""
    steps, settings = job.steps, job.settings
    draw = space.Draw(job.mode, settings.prescreen.combos, job.seed("prescreen"))
    before = job.bars.before(job.split)
    searched = whole_search.of_draw(job.in_sample, before, draw, settings, job.cores, job.seed, steps)
    combos = space.draw(job.mode, _tried_again(job), job.seed("walk-forward"))
    screen, walk = settings.prescreen, settings.walk_forward
    walked = walk_forward.process(job.in_sample, combos, walk, screen, job.cores, steps)

    def crossed() -> dict[str, Any]:
        return cross_validation.process(job.in_sample, combos, settings.cross_validation, screen, job.cores, steps)

    return Case(
        everything=job.everything,
        minutes=job.bars.minutes,
        in_sample=job.in_sample,
        windows=job.windows,
        settings=settings,
        walk_forward=walked,
        cross_validation=steps.do("cross-validation", crossed),
        regimes=regimes.labels(job.everything.market, settings.regimes),
        tries=tries,
        synthetic=job.bars.synthetic,
        seed=job.seed,
        cross_checks=_cross_checks(job, distinct) if job.order.engine == "vectorbt" else {},
        plateaus={
            number: steps.do(_plateau_step(number), partial(surroundings, job, trial.parameters))
            for number, trial in distinct.items()
        },
        search=searched,
        extreme_bars=wicks.extreme_bars(job.bars),
        allowed_wicks=sum(one.minutes != "confirm" for one in job.report.wicks) if job.report.wicks_allowed else 0,
    )


def _cross_checks(job: Job, distinct: Mapping[int, Trial]) -> dict[int, dict[str, Any]]:
    """What vectorbt makes of each finalist, all of those that it was not asked about yet in one process."""
    numbers = list(distinct)

    def ask(missing: list[int], heard: Heard) -> list[dict[str, Any]]:
        asked = {numbers[at]: distinct[numbers[at]].parameters for at in missing}
        records = in_vectorbt(job.everything, asked, heard)
        return [records[number] for number in asked]

    found = job.steps.together([_vectorbt_step(number) for number in numbers], ask)
    return dict(zip(numbers, found, strict=True))


def _tried_again(job: Job) -> int:
    return min(job.settings.walk_forward.combos, job.settings.prescreen.combos)


def _vectorbt_step(number: int) -> str:
    return f"vectorbt on trial {number}"


def _plateau_step(number: int) -> str:
    return f"plateau of trial {number}"


def surroundings(job: Job, parameters: Parameters) -> Plateau:
    """What lies around one strategy, in-sample."""
    return plateau.around(job.in_sample, job.mode, parameters, job.settings.plateau, job.cores)
