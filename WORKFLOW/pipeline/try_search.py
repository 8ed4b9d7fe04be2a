"""The first part of validation: test the whole search. Could chance, or a shuffled market, do as well?"""

from WORKFLOW.pipeline.run import PipelineRun
from WORKFLOW.steps.keep import PlannedStep
from WORKFLOW.validity.search import whole
from WORKFLOW.validity.search.whole import SearchTrial


def plan(run: PipelineRun) -> list[PlannedStep]:
    """Return the steps of `try_search`."""
    return whole.plan(run.settings.prescreen.combos, run.settings)


def try_search(run: PipelineRun) -> SearchTrial:
    """Test all combos that the prescreen tried, together and on the in-sample bars."""
    before = run.bars.before(run.split)
    return whole.of_draw(run.in_sample, before, run.draw, run.settings, run.cores, run.seed, run.steps)
