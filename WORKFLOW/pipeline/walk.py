"""The second part of validation: choose anew on what was known then, and look at what came next.

Both tests stay in-sample, and both judge the way of choosing. The finalists are looked at by the third part.
"""

from dataclasses import dataclass

from WORKFLOW.pipeline.run import PipelineRun
from WORKFLOW.search import space
from WORKFLOW.search.space import Combos
from WORKFLOW.steps.keep import PlannedStep
from WORKFLOW.validity import cross_validation, walk_forward
from WORKFLOW.validity.cross_validation import CrossValidation
from WORKFLOW.validity.walk_forward import WalkForward

_CROSS_VALIDATION = "cross-validation"  # the name of its step


@dataclass(frozen=True)
class Walked:
    """How the choice did on days that it had not seen, as `validation.json` tells it."""

    forward: dict[str, WalkForward]  # by scheme
    cross_validation: CrossValidation


def plan(run: PipelineRun) -> list[PlannedStep]:
    """The steps of `walk`."""
    return [PlannedStep(name) for name in (*walk_forward.names(_combos(run)), _CROSS_VALIDATION)]


def walk(run: PipelineRun) -> Walked:
    """Walk-forward, anchored and rolling, then combinatorial cross-validation of the same combos."""
    combos = space.draw(run.mode, _combos(run), run.seed("walk-forward"))
    forward = walk_forward.process(
        run.in_sample, combos, run.settings.walk_forward, run.settings.prescreen, run.cores, run.steps
    )
    return Walked(forward, run.steps.do(_CROSS_VALIDATION, lambda: _crossed(run, combos)))


def _crossed(run: PipelineRun, combos: Combos) -> CrossValidation:
    settings = run.settings
    return cross_validation.process(
        run.in_sample, combos, settings.cross_validation, settings.prescreen, run.cores, run.steps
    )


def _combos(run: PipelineRun) -> int:
    """How many combos are tried again in every window."""
    return min(run.settings.walk_forward.combos, run.settings.prescreen.combos)
