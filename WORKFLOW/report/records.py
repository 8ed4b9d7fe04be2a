"""Artifacts as plain records: what each JSON file holds (its schema stands in docs/reference/schemas)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from config.settings import PrescreenSettings
from WORKFLOW.search.prescreen import Found

if TYPE_CHECKING:  # optuna and arch: a prescreen needs neither
    from WORKFLOW.search.study import Trial
    from WORKFLOW.validity.judge import Judged

Record = dict[str, Any]


def phase0(labels: Record, found: Found, settings: PrescreenSettings, window: Record) -> Record:
    """`phase0_top500.json`."""
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
            {"rank": rank, "combo": one.combo, "parameters": one.parameters, "metrics": one.metrics}
            for rank, one in enumerate(found.best, start=1)
        ],
    }


def all_trials(labels: Record, trials: "list[Trial]") -> Record:
    """`all_trials.json`."""
    return {
        **labels,
        "trials": [
            {
                "number": trial.number,
                "batch": trial.batch,
                "source": trial.source,
                "feasible": trial.feasible,
                "value": trial.result.metrics["sharpe_ratio"],
                "parameters": trial.parameters,
                "metrics": trial.result.metrics,
            }
            for trial in trials
        ],
    }


def of_best(labels: Record, best: str, judged: "Judged", family: str, costs: Record) -> dict[str, Record]:
    """`config.json`, `metrics.json` and `validation.json` of one best."""
    label = {**labels, "strategy": best}
    return {
        "config.json": {**label, "family": family, "parameters": judged.trial.parameters, "costs": costs},
        "metrics.json": {
            **label,
            "verdict": judged.verdict,
            "in_sample": judged.in_sample,
            "out_of_sample": judged.out_of_sample,
            "full": judged.full,
        },
        "validation.json": {**label, **judged.validation},
    }


def bests(judged: "Mapping[str, Judged]") -> Record:
    """The bests as `--json` prints them."""
    return {
        best: {
            "parameters": one.trial.parameters,
            "in_sample": one.in_sample,
            "out_of_sample": one.out_of_sample,
            "verdict": one.verdict,
            "note": one.validation["ambiguity"]["note"],
            "candidate": one.validation["candidate"],
            **({"cross_check": one.validation["cross_check"]["line"]} if "cross_check" in one.validation else {}),
        }
        for best, one in judged.items()
    }
