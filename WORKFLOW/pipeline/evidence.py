"""What finalists are judged by, as steps that are kept one by one: tests of the search, and each one's surroundings."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from WORKFLOW.crosscheck.finalists import in_vectorbt
from WORKFLOW.pipeline.run import PipelineRun
from WORKFLOW.search import space
from WORKFLOW.search.space import Parameters
from WORKFLOW.search.study import Trial
from WORKFLOW.steps.keep import Heard, PlannedStep
from WORKFLOW.validity import cross_validation, judge, plateau, regimes, walk_forward, wicks
from WORKFLOW.validity.judge import Case
from WORKFLOW.validity.plateau import Plateau
from WORKFLOW.validity.search import whole as whole_search


def plan(run: PipelineRun, chosen: Sequence[Trial]) -> list[PlannedStep]:
    """Every step for these finalists: a step that is missing here cannot be done."""
    names = [*walk_forward.names(_tried_again(run)), "cross-validation"]
    asked = chosen if run.order.engine == "vectorbt" else []
    return [
        *whole_search.plan(run.settings.prescreen.combos, run.settings),
        *map(PlannedStep, names),
        *(PlannedStep(_vectorbt_step(trial.number), trial.parameters) for trial in asked),
        *(PlannedStep(_plateau_step(trial.number), trial.parameters) for trial in chosen),
        *(step for trial in chosen for step in judge.plan(trial, list(run.windows))),
    ]


def case_of(run: PipelineRun, tries: int, distinct: Mapping[int, Trial]) -> Case:
    """What every finalist is judged by."""
    steps, settings = run.steps, run.settings
    draw = space.Draw(run.mode, settings.prescreen.combos, run.seed("prescreen"))
    before = run.bars.before(run.split)
    searched = whole_search.of_draw(run.in_sample, before, draw, settings, run.cores, run.seed, steps)
    combos = space.draw(run.mode, _tried_again(run), run.seed("walk-forward"))
    screen, walk = settings.prescreen, settings.walk_forward
    walked = walk_forward.process(run.in_sample, combos, walk, screen, run.cores, steps)

    def crossed() -> dict[str, Any]:
        return cross_validation.process(run.in_sample, combos, settings.cross_validation, screen, run.cores, steps)

    return Case(
        everything=run.everything,
        minutes=run.bars.minutes,
        in_sample=run.in_sample,
        windows=run.windows,
        settings=settings,
        walk_forward=walked,
        cross_validation=steps.do("cross-validation", crossed),
        regimes=regimes.labels(run.everything.market, settings.regimes),
        tries=tries,
        synthetic=run.bars.synthetic,
        seed=run.seed,
        cross_checks=_cross_checks(run, distinct) if run.order.engine == "vectorbt" else {},
        plateaus={
            number: steps.do(_plateau_step(number), partial(surroundings, run, trial.parameters))
            for number, trial in distinct.items()
        },
        search=searched,
        extreme_bars=wicks.extreme_bars(run.bars),
        allowed_wicks=sum(one.minutes != "confirm" for one in run.report.wicks) if run.report.wicks_allowed else 0,
    )


def _cross_checks(run: PipelineRun, distinct: Mapping[int, Trial]) -> dict[int, dict[str, Any]]:
    """What vectorbt makes of each finalist, all of those that it was not asked about yet in one process."""
    numbers = list(distinct)

    def ask(missing: list[int], heard: Heard) -> list[dict[str, Any]]:
        asked = {numbers[at]: distinct[numbers[at]].parameters for at in missing}
        records = in_vectorbt(run.everything, asked, heard)
        return [records[number] for number in asked]

    found = run.steps.together([_vectorbt_step(number) for number in numbers], ask)
    return dict(zip(numbers, found, strict=True))


def _tried_again(run: PipelineRun) -> int:
    return min(run.settings.walk_forward.combos, run.settings.prescreen.combos)


def _vectorbt_step(number: int) -> str:
    return f"vectorbt on trial {number}"


def _plateau_step(number: int) -> str:
    return f"plateau of trial {number}"


def surroundings(run: PipelineRun, parameters: Parameters) -> Plateau:
    """What lies around one strategy, in-sample."""
    return plateau.around(run.in_sample, run.mode, parameters, run.settings.plateau, run.cores)
