"""Build the records of the JSON artifacts; their schemas are in docs/reference/schemas."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from config.search import OBJECTIVES
from config.settings import PrescreenSettings
from state.records.metrics import Metrics
from WORKFLOW.search.prescreen import Prescreened

if TYPE_CHECKING:  # these import Optuna, which a prescreen does not need
    from WORKFLOW.search.study import Trial
    from WORKFLOW.validity.finalist import Judged
    from WORKFLOW.validity.promote import Promotion

Record = dict[str, Any]


def phase0(labels: Record, found: Prescreened, settings: PrescreenSettings, window: Record) -> Record:
    """Return `phase0_top500.json`."""
    nothing = (
        f"none of {found.tried:,} combos closed {settings.min_trades} trades in-sample (the most: {found.most_trades})"
    )
    return {
        **labels,
        "tried": found.tried,
        "eligible": found.eligible,
        "min_trades": settings.min_trades,
        "reason": None if found.best else nothing,
        "window": window,
        "results": [
            {"rank": rank, "combo": one.combo, "parameters": one.parameters, "metrics": one.metrics.as_json()}
            for rank, one in enumerate(found.best, start=1)
        ],
    }


def all_trials(labels: Record, trials: "list[Trial]") -> Record:
    """Return `all_trials.json`; an undefined value is None."""
    return {
        **labels,
        "trials": [
            {
                "number": trial.number,
                "batch": trial.batch,
                "source": trial.source,
                "feasible": trial.feasible,
                "pruned": trial.result.pruned,
                "value": _value(trial),
                "folds": list(trial.result.folds),
                "parameters": trial.parameters,
                "metrics": _stated(trial.result.metrics),
            }
            for trial in trials
        ],
    }


def pareto_front(
    labels: Record, objectives: Sequence[str], trials: "Sequence[Trial]", front: "Sequence[Trial]", chosen: Record
) -> Record:
    """Return `pareto_front.json`; `chosen` maps each best to the number of its trial."""
    from WORKFLOW.search.pareto import values

    return {
        **labels,
        "objectives": [
            {"name": name, "direction": "maximize" if OBJECTIVES[name] > 0 else "minimize"} for name in objectives
        ],
        "feasible": sum(trial.feasible for trial in trials),
        "front": [
            {
                "number": trial.number,
                "values": dict(zip(objectives, values(trial), strict=True)),
                "bests": [best for best, number in chosen.items() if number == trial.number],
                "parameters": trial.parameters,
                "metrics": _stated(trial.result.metrics),
            }
            for trial in front
        ],
    }


def of_best(labels: Record, best: str, judged: "Judged", family: str, costs: Record) -> dict[str, Record]:
    """Return `config.json`, `metrics.json`, `validation.json` and `plateau.json` of one best."""
    label = {**labels, "strategy": best}
    return {
        "config.json": {**label, "family": family, "parameters": judged.trial.parameters, "costs": costs},
        "metrics.json": {
            **label,
            "verdict": judged.verdict,
            "in_sample": judged.in_sample.as_json(),
            "out_of_sample": judged.out_of_sample.as_json(),
            "full": judged.full.as_json(),
        },
        "validation.json": {**label, **judged.validation.as_json()},
        "plateau.json": {**label, **judged.plateau.as_json()},
    }


def bests(judged: "Mapping[str, Judged]", promotions: "Mapping[str, Promotion]") -> Record:
    """Return the bests as `--json` prints them."""
    return {
        best: {
            "parameters": one.trial.parameters,
            "in_sample": one.in_sample.as_json(),
            "out_of_sample": one.out_of_sample.as_json(),
            "verdict": one.verdict,
            "note": one.validation.ambiguity.note,
            "wicks": one.validation.wicks.note,
            "candidate": one.validation.candidate,
            "promoted": promotions[best].promoted,
            "promotion": promotions[best].reason,
            "by_regime": one.validation.by_regime_json(),
            **({} if one.validation.cross_check is None else {"cross_check": one.validation.cross_check["line"]}),
        }
        for best, one in judged.items()
    }


def _stated(metrics: Metrics | None) -> Record | None:
    return None if metrics is None else metrics.as_json()


def _value(trial: "Trial") -> float | None:
    from WORKFLOW.search.objective import UNDEFINED_SHARPE

    return None if trial.result.value == UNDEFINED_SHARPE else trial.result.value
