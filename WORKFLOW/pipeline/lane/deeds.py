"""The deed of each phase, built from the same parts as the pipeline of one process, so that both give the same bytes.

Each returns the job's metrics and imports what it needs: a merge starts in half the time of a validation.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

from state.files import ours, sealed, snapshot
from state.files.artifacts import MANIFEST, PHASE0
from state.files.journal import Journal
from state.files.tree import record_of
from state.host.clock import SystemClock
from state.records import runs
from state.records.jobs import JobJournal
from state.records.runs import Run
from state.records.tries import TriesLedger
from state.records.workers import Result
from WORKFLOW.pipeline.lane import mended, refinement
from WORKFLOW.pipeline.lane.given import LEAST_HELD, LaneContext, Outdated

_WARM_COMBOS = 16


def _preflight(lane: LaneContext) -> dict[str, Any]:
    """Check the bars, leave the in-sample ones for all others, and compile what they will run."""
    from WORKFLOW.pipeline import phases
    from WORKFLOW.report.console import Screen
    from WORKFLOW.search import space
    from WORKFLOW.search.job import SearchFolder

    with Screen(lane.log, quiet=True) as screen:
        bars, report = phases.preflight(lane.order, lane.roots, screen)
        lane.progress(1, 3, "bars checked")
        run = _pipeline_run(lane, bars, report, screen)
        gates = phases.accept(run)
        _find_seeds(lane, bars)
        SearchFolder(lane.folder).write_bars(bars.before(run.split))
        lane.progress(2, 3, "in-sample bars written")
        combos = space.draw(run.mode, _WARM_COMBOS, run.seed("warm"))
        run.in_sample.screen(combos, [run.in_sample.whole], lane.launch.cores)
        mended.snapshot_of(lane, bars)
        lane.progress(3, 3)
    return {"bars": len(bars), "days": round(bars.days, 3), "synthetic": bars.synthetic, "gates": gates}


def _prescreen(lane: LaneContext) -> dict[str, Any]:
    """One shard of the combos; goes on from its checkpoint."""
    from WORKFLOW.pipeline.handover import Rates, draw_of, read_progress
    from WORKFLOW.pipeline.lane.screening import PaceReport
    from WORKFLOW.report.console import Screen
    from WORKFLOW.search import prescreen

    job, settings = lane.launch.job, lane.order.settings.prescreen
    checkpoint = lane.folder.shard(job.shard)
    evaluator = _evaluator(lane)
    combos = draw_of(lane.order)
    batches = prescreen.shard(len(combos), settings, job.shard, job.shards)
    total = min(batches.stop * settings.batch_combos, len(combos)) - batches.start * settings.batch_combos
    with Screen(lane.log, lane.progress, quiet=True) as screen, screen.phase("prescreen", total) as phase:
        progress = read_progress(checkpoint, lane.say)
        pace = PaceReport(lane, evaluator, progress.tried)
        rates = Rates(phase, len(evaluator.market), progress.tried)
        rate = None

        def on_batch(batch: int, of: int, now: prescreen.PrescreenProgress) -> None:
            nonlocal rate
            pace.at(now.tried)
            rate = rates.at(batch, of, now)
            sealed.write_json(checkpoint, now.as_json())

        progress = prescreen.run(evaluator, combos, settings, lane.threads, progress, on_batch, batches, lane.held)
    counts = {"tried": progress.tried, "eligible": progress.eligible, "bar_combos_per_s": rate}
    return {**counts, "engine": evaluator.engine_name, "pace": pace.came_to(progress.tried)}


def _merge(lane: LaneContext) -> dict[str, Any]:
    """Put the shards together, publish `phase0_top500.json`, and plan the search."""
    from WORKFLOW.pipeline import handover
    from WORKFLOW.report.tree import ResultTree, writing
    from WORKFLOW.search.job import SearchFolder

    order, settings = lane.order, lane.order.settings
    prescreened = mended.prescreened(lane, partial(_evaluator, lane), lane.launch.job.shards)
    bars = mended.in_sample(lane)
    labels = {"symbol": order.symbol, "mode": order.mode, "synthetic": bars.synthetic}
    tree = ResultTree(lane.roots.artifacts(order.symbol, order.mode))
    with writing(lane.roots, order.symbol, order.mode):
        lane.still_mine()
        market = _evaluator(lane).market
        _history(lane, market).prescreened(prescreened.tried, settings, settings.mode(order.mode), bars.sha256)
        record = handover.phase0_record(labels, settings, market, prescreened)
        _say(tree.write_phase0(PHASE0, record))
    gates = handover.pass_gates("after_prescreen", order, lane.launch.run_id, tree, lane.log)
    plan = handover.plan_of(order, prescreened, lane.carried()["seeds"], lane.seed_files())
    SearchFolder(lane.folder).write(handover.search_job(order, plan))
    best = prescreened.best[0].metrics.sharpe_ratio if prescreened.best else None
    return {"tried": prescreened.tried, "eligible": prescreened.eligible, "best_in_sample_sharpe": best, "gates": gates}


def _search(lane: LaneContext) -> dict[str, Any]:
    """Take part in the unit's study until its budget is used up."""
    from WORKFLOW.pipeline import handover
    from WORKFLOW.report.console import Screen
    from WORKFLOW.report.tree import ResultTree
    from WORKFLOW.search.study import Standing

    order = lane.order
    mended.in_sample(lane)
    prescreened = mended.prescreened(lane, partial(_evaluator, lane))
    folder = mended.job_of(lane, prescreened)
    plan = folder.job.plan
    tree = ResultTree(lane.roots.artifacts(order.symbol, order.mode))
    with Screen(lane.log, lane.progress, quiet=True) as screen, screen.phase("search", plan.trials) as phase:
        screen.say(handover.loaded_line(order, plan, prescreened, lane.seed_files()))
        gates = handover.pass_gates("before_search", order, lane.launch.run_id, tree, lane.log)
        evaluator, study = folder.evaluator(), folder.study(lane.say)

        def on_result(now: Standing) -> None:
            phase.at(now.done, handover.best_note(now))

        try:
            study.work(partial(folder.job.evaluate, evaluator), on_result, lambda: True)
            now = study.standing()
        finally:
            study.close()
    return {"trials": now.done, "best_value": now.best, "gates": gates}


def _validate(lane: LaneContext) -> dict[str, Any]:
    """Walk-forward, holdout and Monte Carlo of the finalists; stages every artifact."""
    from WORKFLOW.pipeline import outcome, phases, selection
    from WORKFLOW.report.console import Screen

    with Screen(lane.log, lane.progress, quiet=True) as screen:
        bars, report = mended.checked_bars(lane, screen)
        mended.must_be_of(lane, bars)
        run = _pipeline_run(lane, bars, report, screen)
        _recall(lane, run)
        run.holdout_before = lane.holdout_before()
        prescreened = mended.prescreened(lane, lambda: run.in_sample)
        search = partial(mended.searched, lane, mended.job_of(lane, prescreened))
        trials, chosen = selection.chosen_of(run, search(), search)
        validated = phases.validate(run, prescreened, trials, chosen)
        gates = phases.approve(run, prescreened, trials, validated)
        files, manifest = outcome.rendered(run, prescreened, trials, validated)
    lane.still_mine()
    ours.remove(lane.folder.staged, lane.roots.swarm_run(lane.launch.run_id).path)
    mended.stage(lane, files, manifest)
    snapshot.write_json(lane.folder.outcome, outcome.summary(run, prescreened, trials, validated))
    parameters = [finalist.trial.parameters for finalist in validated.judged.values()]
    seeds = list({str(strategy): strategy for strategy in parameters}.values())
    sealed.write_json(lane.folder.carried, {"tries": run.tries(prescreened, trials), "seeds": seeds})
    promoted = sum(promotion.promoted for promotion in validated.promotions.values())
    candidates = sum(finalist.validation.candidate for finalist in validated.judged.values())
    return {
        "verdict": manifest["verdict"],
        "candidates": candidates,
        "promoted": promoted,
        "tries": run.tries(prescreened, trials),
        "holdout": None if validated.holdout is None else asdict(validated.holdout),
        "gates": gates,
    }


def _report(lane: LaneContext) -> dict[str, Any]:
    """Put what was staged into the result tree."""
    from WORKFLOW.report.tree import ResultTree, writing

    ready = mended.staged(lane)
    if ready is None:
        lane.say(f"{lane.folder.staged} is not what validation wrote: it is validated again")
        _validate(lane)
        ready = mended.staged(lane)
    if ready is None:
        raise Outdated(f"{lane.folder.staged} is not complete")
    files, manifest = ready
    tree = ResultTree(lane.roots.artifacts(*lane.launch.job.unit))
    with writing(lane.roots, *lane.launch.job.unit):
        lane.still_mine()
        tree.sweep()
        _say(tree.publish(files, manifest))
        snapshot.write_bytes(lane.folder.manifest, (tree.folder / MANIFEST).read_bytes())
    runs.finish(lane.folder, _record_of(lane))
    _tidy(lane)
    return {"verdict": manifest["verdict"], "artifacts": str(tree.folder), "files": len(files) + 1}


def _refine(lane: LaneContext) -> dict[str, Any]:
    """Fill a lane: more combos around the best of this unit's prescreen, for the next round to begin with."""
    from WORKFLOW.pipeline import handover
    from WORKFLOW.report.console import Screen
    from WORKFLOW.search import refine

    order, job, settings = lane.order, lane.launch.job, lane.order.settings
    mode, limits = settings.mode(order.mode), settings.swarm
    if not lane.folder.prescreen.exists():  # the report has dropped it: this symbol and mode are done
        return {"tried": 0, "eligible": 0}
    prescreened = mended.prescreened(lane, partial(_evaluator, lane))
    centres = [ranked.parameters for ranked in prescreened.best[: refinement.CENTRES]]
    if not centres:
        return {"tried": 0, "eligible": 0}
    near = refine.around(mode, centres, limits.jobs.fill_combos, handover.seed_of(settings, "refine", job.shard))
    held = max(LEAST_HELD, settings.prescreen.batch_combos >> lane.launch.ooms)
    evaluator, least = _evaluator(lane), settings.prescreen.min_trades
    with Screen(lane.log, lane.progress, quiet=True) as screen, screen.phase("refine", len(near)) as phase:
        refined = refine.screen(evaluator, near, lane.threads, least, refinement.KEEP, held, phase.at)
    lane.still_mine()
    _remember(lane, evaluator.market, refined.tried)
    refinement.write(lane.folder, job.shard, refined)
    best = refined.best[0][0] if refined.best else None
    return {"tried": refined.tried, "eligible": refined.eligible, "best_in_sample_sharpe": best}


def _remember(lane: LaneContext, market: Any, tries: int) -> None:
    """Put the tries of a refinement on file."""
    from WORKFLOW.search.job import SearchFolder

    order, job, history = lane.order, lane.launch.job, _history(lane, market)
    settings = order.settings
    space_of = {"data": SearchFolder(lane.folder).in_sample.sha256, "mode": asdict(settings.mode(order.mode))}
    made_with = {"seed": settings.run.seed, "round": job.round, "shard": job.shard, "costs": asdict(settings.costs)}
    history.tried(tries, "refine", **space_of, **made_with, combos=settings.prescreen.combos, more=tries)


def _history(lane: LaneContext, in_sample: Any) -> Any:
    """Of a job that sees the in-sample market and nothing else."""
    from WORKFLOW.engines.market import Window
    from WORKFLOW.validity.history import History

    whole = {"in_sample": Window(0, len(in_sample))}
    return History.of(_ledger(lane), in_sample, whole, lane.launch.run_id, SystemClock())


def _ledger(lane: LaneContext) -> TriesLedger:
    from WORKFLOW.data.find import market_name

    return TriesLedger(lane.roots.tries(market_name(lane.order.data_path, lane.order.symbol)))


DEEDS: dict[str, Callable[[LaneContext], dict[str, Any]]] = {
    "preflight": _preflight,
    "prescreen": _prescreen,
    "merge": _merge,
    "search": _search,
    "validate": _validate,
    "report": _report,
    "refine": _refine,
}


# helpers --------------------------------------------------------------------------------------------------------------


def _say(lines: Iterable[str]) -> None:
    """To the job's log."""
    for line in lines:
        print(line, flush=True)


def _evaluator(lane: LaneContext) -> Any:
    from WORKFLOW.engines.market import Market
    from WORKFLOW.search.evaluate import Evaluator
    from WORKFLOW.search.space import family_of

    settings = lane.order.settings
    market = Market.of(mended.in_sample(lane))
    return Evaluator(market, family_of(settings.mode(lane.order.mode)), settings.costs, lane.order.engine)


def _find_seeds(lane: LaneContext, bars: Any) -> None:
    """Put on file what prescreens in the folders of `--phase0-seed-dirs` hand on: later phases rely on it."""
    from WORKFLOW.pipeline.run import seed_files
    from WORKFLOW.search import seed_folders

    if files := seed_files(lane.order, bars):
        snapshot.write_json(lane.folder.phase0_seeds, seed_folders.as_json(files))


def _pipeline_run(lane: LaneContext, bars: Any, report: Any, screen: Any) -> Any:
    from WORKFLOW.pipeline.run import PipelineRun
    from WORKFLOW.report.tree import ResultTree

    tree = ResultTree(lane.roots.artifacts(*lane.launch.job.unit))
    run = PipelineRun(
        order=lane.order,
        bars=bars,
        report=report,
        record=_record_of(lane),
        folder=lane.folder,
        tree=tree,
        screen=screen,
        clock=SystemClock(),
        log=lane.log,
        ledger=_ledger(lane),
        round=lane.launch.job.round,
        carried_tries=lane.carried()["tries"],
        seed_files=lane.seed_files(),
    )
    run.cores = lane.launch.cores
    return run


def _recall(lane: LaneContext, run: Any) -> None:
    """What the earlier phases of this unit took, for the manifest."""
    for state in JobJournal(Journal(lane.round_folder.jobs), SystemClock()).states().values():
        record = snapshot.read_json(lane.round_folder.result(state.job.job_id))
        if state.job.unit != lane.launch.job.unit or not isinstance(record, dict):
            continue
        try:
            result, phase = record_of(Result, record), state.job.phase
        except ValueError:
            continue
        run.durations_s[phase] = round(max(run.durations_s.get(phase, 0.0), result.duration_s), 3)
        if phase == "prescreen":  # shards work side by side
            run.bar_combos_per_s = (run.bar_combos_per_s or 0.0) + (result.metrics.get("bar_combos_per_s") or 0.0)
            run.prescreened_by |= {result.metrics["engine"]} if "engine" in result.metrics else set()


def _tidy(lane: LaneContext) -> None:
    """Drop what only an unfinished round needs from the round before the last: a run may go on for weeks."""
    number = lane.launch.job.round - 2
    if number < 0:
        return
    run = lane.roots.swarm_run(lane.launch.run_id)
    old = run.round(number).unit(*lane.launch.job.unit)
    for path in (old.staged, old.validation):
        ours.remove(path, run.path)
    for path in (*old.path.glob("study.jsonl*"), *old.path.glob("study.sqlite3*"), old.search):
        path.unlink(missing_ok=True)


def _record_of(lane: LaneContext) -> Run:
    order = lane.swarm_order
    return Run(order.run_id, order.key, *lane.launch.job.unit, order.started_at)
