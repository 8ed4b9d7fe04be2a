"""The phases of the pipeline, in the order in which a run takes them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import Refused, Transient
from state.files import sealed, snapshot
from state.files.artifacts import PHASE0
from state.files.layout import Roots
from state.files.tighten import prepare
from state.records import runs
from WORKFLOW.command_line import Order
from WORKFLOW.data.bars import Bars
from WORKFLOW.data.forms.shown import shown
from WORKFLOW.data.generate import write_demo
from WORKFLOW.data.report import Report, UnfitBars
from WORKFLOW.engines.market import Window
from WORKFLOW.pipeline import judge, outcome, try_search, walk
from WORKFLOW.pipeline.handover import (
    Rates,
    best_note,
    loaded_line,
    pass_gates,
    phase0_record,
    plan_of,
    read_progress,
    search_job,
)
from WORKFLOW.pipeline.judge import Validated
from WORKFLOW.pipeline.run import PipelineRun, split_of
from WORKFLOW.report.console import Screen
from WORKFLOW.search import bayes, needs, space
from WORKFLOW.search import prescreen as screening
from WORKFLOW.search.job import SearchFolder
from WORKFLOW.search.prescreen import Prescreened
from WORKFLOW.search.study import Standing, Trial
from WORKFLOW.steps.keep import PlannedStep
from WORKFLOW.validation import check_all
from WORKFLOW.validity import cross_validation, walk_forward
from WORKFLOW.validity.history import History, made_of


def preflight(order: Order, roots: Roots, screen: Screen) -> tuple[Bars, Report]:
    """Return bars that can be trusted, or refuse with every reason. Nothing is written, except the bars of the demo."""
    settings = order.settings
    space.draw(settings.mode(order.mode), 1, np.random.SeedSequence(0))  # refuses a space without valid combos
    needs.check(settings.search.storage)
    path = order.data_path or _demo(roots, screen)
    if path.is_file() and not path.name.lower().startswith(order.symbol.lower()):
        screen.say(f"  note: results will be named {order.symbol}, but the file is called {shown(path.name)}")
    checked = check_all(settings, path, order.symbol, order.repair, order.allow_wicks, order.reading)
    if checked.report is not None:
        for line in checked.report.lines():
            if not line.startswith(("refused:", "  →")):
                screen.say(f"  {line}")
    if checked.bars is None or checked.report is None or checked.reasons:
        if checked.report is not None and checked.report.reasons:
            raise UnfitBars(checked.report)
        texts = "; ".join(reason.text for reason in checked.reasons)
        kind = Transient if all(reason.passes for reason in checked.reasons) else Refused
        raise kind(texts, "; ".join(dict.fromkeys(reason.way_out for reason in checked.reasons if reason.way_out)))
    in_sample = Window(0, split_of(checked.bars, settings.split.holdout_fraction))
    walk_forward.steps(in_sample, settings.walk_forward, "rolling")  # refuses windows of less than a day
    cross_validation.check(settings.cross_validation)
    return checked.bars, checked.report


def _demo(roots: Roots, screen: Screen) -> Path:
    screen.say("  demo bars: synthetic, so that you see the whole run before you bring data of your own")
    prepare(roots)
    return write_demo(roots.demo_data())


def accept(run: PipelineRun) -> list[dict[str, Any]]:
    """Ask the gates whether these bars may be used."""
    reading = run.order.reading.as_json()
    facts = {"data": {"sha256": run.bars.sha256, "synthetic": run.bars.synthetic, **run.report.as_json(), **reading}}
    return pass_gates("after_preflight", run.order, run.record.run_id, run.tree, run.log, facts)


def approve(
    run: PipelineRun, prescreened: Prescreened, trials: list[Trial], validated: Validated
) -> list[dict[str, Any]]:
    """Ask the gates whether the results of the finalists may be published."""
    result = outcome.summary(run, prescreened, trials, validated)
    facts = {key: result[key] for key in ("verdict", "bests", "chance")}
    facts["validation"] = {best: finalist.validation.as_json() for best, finalist in validated.judged.items()}
    facts["promotion"] = {best: promotion.as_json() for best, promotion in validated.promotions.items()}
    return pass_gates("after_validation", run.order, run.record.run_id, run.tree, run.log, facts)


def prescreen(run: PipelineRun) -> Prescreened:
    """Run phase 0: screen every combo once over the in-sample bars, and publish `phase0_top500.json`."""
    settings = run.settings.prescreen
    with run.timed("prescreen"), run.screen.phase("prescreen", settings.combos) as phase:
        progress = read_progress(run.folder.prescreen, run.screen.say)
        rates = Rates(phase, len(run.in_sample.market), progress.tried)

        def on_batch(batch: int, of: int, now: screening.PrescreenProgress) -> None:
            run.bar_combos_per_s = rates.at(batch, of, now)
            run.prescreened_by.add(run.in_sample.engine_name)
            sealed.write_json(run.folder.prescreen, now.as_json())

        progress = screening.run(run.in_sample, run.draw, settings, run.cores, progress, on_batch)
        prescreened = screening.result(progress, run.draw)
        # Recorded here and not with the search's tries, because a run that is stopped after this point has already
        # shown its best combos.
        _history(run).prescreened(prescreened.tried, run.settings, run.mode, run.bars.before(run.split).sha256)
        record = phase0_record(run.labels, run.settings, run.in_sample.market, prescreened)
        for stepped_aside in run.tree.write_phase0(PHASE0, record):
            run.screen.say(f"  {stepped_aside}")
    pass_gates("after_prescreen", run.order, run.record.run_id, run.tree, run.log)
    return prescreened


def search(run: PipelineRun, prescreened: Prescreened) -> list[Trial]:
    """Run phase 1: a Bayesian search that starts from the best of the prescreen; an unfinished study is resumed."""
    plan = plan_of(run.order, prescreened, other=run.seed_files)
    with run.timed("search"), run.screen.phase("search", plan.trials) as phase:
        folder = SearchFolder(run.folder)
        folder.write_bars(run.bars.before(run.split))
        folder.write(search_job(run.order, plan))
        run.screen.say(f"  {loaded_line(run.order, plan, prescreened, run.seed_files)}")
        pass_gates("before_search", run.order, run.record.run_id, run.tree, run.log)

        def on_result(now: Standing) -> None:
            phase.at(now.done, best_note(now))

        return bayes.search(run.folder, run.processes, on_result, run.screen.say)


def validate(run: PipelineRun, prescreened: Prescreened, trials: list[Trial], chosen: dict[str, Trial]) -> Validated:
    """Test the search, walk the selection rule forward, and judge the finalists; complete steps are kept."""
    history = remembered(run, prescreened, trials)
    if not chosen:
        return Validated()
    planned = plan_of_validation(run, chosen)
    with (
        run.timed("validation"),
        run.screen.phase("validation", len(planned)) as phase,
        run.steps.under_way(planned, phase.at) as kept,
    ):
        if kept:
            run.screen.say(f"  validation goes on: {kept} of {len(planned)} steps are kept")
        search_trial = try_search.try_search(run)
        walked = walk.walk(run)
        validated = judge.judge(run, chosen, run.tries(prescreened, trials), search_trial, walked, history)
    run.screen.log(f"validation: {kept} steps were kept, {len(run.steps.done_now)} done now")
    return validated


def plan_of_validation(run: PipelineRun, chosen: dict[str, Trial]) -> list[PlannedStep]:
    """Return every step of validation; a step that is missing here cannot be done."""
    return [*try_search.plan(run), *walk.plan(run), *judge.plan(run, chosen)]


def remembered(run: PipelineRun, prescreened: Prescreened, trials: list[Trial]) -> History:
    """Record all tries in the ledger, before anything is selected from them."""
    history, settings, data = _history(run), run.settings, run.bars.before(run.split).sha256
    history.prescreened(prescreened.tried, settings, run.mode, data)
    for file in run.seed_files:
        history.tried(file.tried, "seeds of another prescreen", sha256=file.sha256)
    searched = sum(trial.source == "sampler" for trial in trials)
    how = {name: value for name, value in asdict(settings.search).items() if name not in ("processes", "storage")}
    # The proposed parameters are part of the identity, because other seeds, such as those of an earlier round, lead to
    # other proposals.
    proposed = [trial.parameters for trial in trials if trial.source == "sampler"]
    made = made_of(prescreened.tried, settings, run.mode, data)
    history.tried(searched, "search", **made, search=how, proposed=proposed)
    return history


def publish(run: PipelineRun, prescreened: Prescreened, trials: list[Trial], validated: Validated) -> dict[str, Any]:
    """Publish the result tree, close the run, and return its summary."""
    approve(run, prescreened, trials, validated)
    files, record = outcome.rendered(run, prescreened, trials, validated)
    for stepped_aside in run.tree.publish(files, record):
        run.screen.say(f"  {stepped_aside}")
    result = outcome.summary(run, prescreened, trials, validated)
    snapshot.write_json(run.folder.outcome, result)  # stays when a later run replaces the tree
    runs.finish(run.folder, run.record)
    return result


def _history(run: PipelineRun) -> History:
    return History.of(run.ledger, run.everything.market, run.windows, run.record.run_id, run.clock)
