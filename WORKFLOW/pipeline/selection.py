"""Select the trials of a search that become finalists."""

from collections.abc import Callable

from state.files.artifacts import BESTS
from WORKFLOW.pipeline.run import PipelineRun
from WORKFLOW.search.job import SearchFolder
from WORKFLOW.search.study import Trial
from WORKFLOW.validity import plateau

# best → (metric, 1 when more is better, the screen metric that measures its plateau)
_MEASURES = {
    "best_sharpe": ("sharpe_ratio", 1, "sharpe_ratio"),
    "best_returns": ("total_return", 1, "total_return"),
    "lowest_drawdown": ("max_drawdown_pct", -1, "max_drawdown_daily_pct"),
    "best_winrate": ("win_rate", 1, "win_rate"),
}


def finalists(run: PipelineRun, trials: list[Trial]) -> dict[str, Trial]:
    """Return a finalist for each of the four measures: of its best feasible trials, the trial on the best plateau.

    Among equal plateaus, the better measure decides, and then the earlier trial.
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
    """Return the trials and their finalists, after checking that the finalists' metrics follow from their parameters.

    If they do not follow, the study is discarded, and `again` does the search anew.
    """
    chosen = finalists(run, trials)
    if not (wrong := _misjudged(run, list(chosen.values()))):
        return trials, chosen
    why = f"the study holds metrics of trial {wrong[0]} that do not follow from its parameters"
    SearchFolder(run.folder).discard_study(why, run.screen.say)
    trials = again()
    return trials, finalists(run, trials)


def _misjudged(run: PipelineRun, chosen: list[Trial]) -> list[int]:
    """Return the numbers of the trials whose metrics the engine does not confirm to the bit."""
    distinct = list({trial.number: trial for trial in chosen}.values())
    inputs = [[trial.number, trial.parameters, trial.result.as_json()["metrics"]] for trial in distinct]

    def is_confirmed(trial: Trial) -> bool:
        return run.in_sample.metrics(trial.parameters, run.in_sample.whole) == trial.result.metrics

    def wrong() -> list[int]:
        return [trial.number for trial in distinct if not is_confirmed(trial)]

    return run.steps.aside("finalists of the search again", inputs, wrong)


def leaders(trials: list[Trial], best: str, wanted: int) -> list[Trial]:
    """Return the best feasible trials by the measure of `best`, best first; of equal trials the earlier comes first.

    Of trials with the same parameters, only the first counts.
    """
    key, sign, _ = _MEASURES[best]
    defined = [t for t in trials if t.feasible and _measured(t, key) is not None]
    distinct = list({tuple(t.parameters.values()): t for t in reversed(defined)}.values())
    return sorted(distinct, key=lambda t: (-sign * (_measured(t, key) or 0.0), t.number))[:wanted]


def _measured(trial: Trial, key: str) -> float | None:
    return None if trial.result.metrics is None else getattr(trial.result.metrics, key)
