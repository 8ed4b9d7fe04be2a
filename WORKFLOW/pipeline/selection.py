"""Which trials of a search become finalists."""

from collections.abc import Callable

from state.files.artifacts import BESTS
from WORKFLOW.pipeline.run import PipelineRun
from WORKFLOW.search.job import SearchFolder
from WORKFLOW.search.study import Trial
from WORKFLOW.validity import plateau

# best → (metric, 1 when more is better, the metric of a screen that its plateau is told by)
_MEASURES = {
    "best_sharpe": ("sharpe_ratio", 1, "sharpe_ratio"),
    "best_returns": ("total_return", 1, "total_return"),
    "lowest_drawdown": ("max_drawdown_pct", -1, "max_drawdown_daily_pct"),
    "best_winrate": ("win_rate", 1, "win_rate"),
}


def finalists(run: PipelineRun, trials: list[Trial]) -> dict[str, Trial]:
    """For each of the four measures: of the best feasible trials by it, the one on the best plateau of it.

    Equal plateaus are told apart by the measure, and then the earlier trial is taken.
    """
    settings = run.settings.plateau
    leading = {best: leaders(trials, best, settings.candidates) for best in BESTS}
    distinct = {trial.number: trial for of_best in leading.values() for trial in of_best}
    centres = [trial.parameters for trial in distinct.values()]
    of_candidates = run.steps.aside(
        "plateaus of candidates", centres, lambda: plateau.scores(run.in_sample, run.mode, centres, settings, run.cores)
    )
    scores = dict(zip(distinct, of_candidates, strict=True))
    chosen = {}
    for best, some in leading.items():
        values = [scores[trial.number][_MEASURES[best][2]] for trial in some]
        if some:
            chosen[best] = some[values.index(max(values))]  # the first of equals
    return chosen


def chosen_of(
    run: PipelineRun, trials: list[Trial], again: Callable[[], list[Trial]]
) -> tuple[list[Trial], dict[str, Trial]]:
    """The trials and their finalists, each of which is what its parameters come to on these bars; `again` searches anew
    where the study says otherwise, and then what it gives counts."""
    chosen = finalists(run, trials)
    if not (wrong := _misjudged(run, list(chosen.values()))):
        return trials, chosen
    why = f"the study says of trial {wrong[0]} what its parameters do not come to"
    SearchFolder(run.folder).discard_study(why, run.screen.say)
    trials = again()
    return trials, finalists(run, trials)


def _misjudged(run: PipelineRun, chosen: list[Trial]) -> list[int]:
    """The numbers of those whose metrics the engine does not confirm, to the bit."""
    distinct = list({trial.number: trial for trial in chosen}.values())
    inputs = [[trial.number, trial.parameters, trial.result.as_json()["metrics"]] for trial in distinct]

    def is_confirmed(trial: Trial) -> bool:
        return run.in_sample.metrics(trial.parameters, run.in_sample.whole) == trial.result.metrics

    def wrong() -> list[int]:
        return [trial.number for trial in distinct if not is_confirmed(trial)]

    return run.steps.aside("finalists of the search again", inputs, wrong)


def leaders(trials: list[Trial], best: str, wanted: int) -> list[Trial]:
    """The best feasible trials by the measure of `best`, best first, the earlier one where two are equal.

    Of trials with the same parameters the first counts.
    """
    key, sign, _ = _MEASURES[best]
    defined = [t for t in trials if t.feasible and _measured(t, key) is not None]
    distinct = list({tuple(t.parameters.values()): t for t in reversed(defined)}.values())
    return sorted(distinct, key=lambda t: (-sign * (_measured(t, key) or 0.0), t.number))[:wanted]


def _measured(trial: Trial, key: str) -> float | None:
    return None if trial.result.metrics is None else getattr(trial.result.metrics, key)
