"""The deed of each phase, built from the same parts as the pipeline of one process, so that both give the same bytes.

Each returns the job's metrics and imports what it needs: a merge starts in half the time of a validation.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

from state.files import ours, sealed, snapshot
from state.files.journal import Journal
from state.files.layout import MANIFEST, PHASE0
from state.files.tree import record_of
from state.host.clock import SystemClock
from state.records import runs
from state.records.jobs import JobJournal
from state.records.runs import Run
from state.records.tries import TriesLedger
from state.records.workers import Result
from WORKFLOW.pipeline.lane import mended, refinement
from WORKFLOW.pipeline.lane.given import LEAST_HELD, Outdated, Worker

_WARM_COMBOS = 16


def _preflight(worker: Worker) -> dict[str, Any]:
    """Check the bars, leave the in-sample ones for all others, and compile what they will run."""
    from WORKFLOW.pipeline import phases
    from WORKFLOW.report.console import Screen
    from WORKFLOW.search import space
    from WORKFLOW.search.job import SearchFolder

    with Screen(worker.log, quiet=True) as screen:
        bars, report = phases.preflight(worker.order, worker.roots, screen)
        worker.progress(1, 3, "bars checked")
        job = _job(worker, bars, report, screen)
        gates = phases.accept(job)
        _find_seeds(worker, bars)
        SearchFolder(worker.folder).write_bars(bars.before(job.split))
        worker.progress(2, 3, "in-sample bars written")
        combos = space.draw(job.mode, _WARM_COMBOS, job.seed("warm"))
        job.in_sample.screen(combos, [job.in_sample.whole], worker.launch.cores)
        mended.snapshot_of(worker, bars)
        worker.progress(3, 3)
    return {"bars": len(bars), "days": round(bars.days, 3), "synthetic": bars.synthetic, "gates": gates}


def _prescreen(worker: Worker) -> dict[str, Any]:
    """One shard of the combos; goes on from its checkpoint."""
    from WORKFLOW.pipeline.handover import Rates, read_progress, seed_of
    from WORKFLOW.pipeline.lane.screening import Pace
    from WORKFLOW.report.console import Screen
    from WORKFLOW.search import prescreen, space

    order, job, settings = worker.order, worker.launch.job, worker.order.settings.prescreen
    checkpoint = worker.folder.shard(job.shard)
    evaluator = _evaluator(worker)
    combos = space.Draw(order.settings.mode(order.mode), settings.combos, seed_of(order.settings, "prescreen"))
    batches = prescreen.shard(len(combos), settings, job.shard, job.shards)
    total = min(batches.stop * settings.batch_combos, len(combos)) - batches.start * settings.batch_combos
    with Screen(worker.log, worker.progress, quiet=True) as screen, screen.phase("prescreen", total) as phase:
        progress = read_progress(checkpoint, worker.say)
        pace = Pace(worker, evaluator, progress.tried)
        rates = Rates(phase, len(evaluator.market), progress.tried)
        rate = None

        def on_batch(batch: int, of: int, now: prescreen.Progress) -> None:
            nonlocal rate
            pace.at(now.tried)
            rate = rates.at(batch, of, now)
            sealed.write_json(checkpoint, now.as_json())

        progress = prescreen.run(evaluator, combos, settings, worker.threads, progress, on_batch, batches, worker.held)
    said = {"tried": progress.tried, "eligible": progress.eligible, "bar_combos_per_s": rate}
    return {**said, "engine": evaluator.engine_name, "pace": pace.came_to(progress.tried)}


def _merge(worker: Worker) -> dict[str, Any]:
    """Put the shards together, publish `phase0_top500.json`, and plan the search."""
    from WORKFLOW.pipeline import handover
    from WORKFLOW.report.tree import ResultTree, writing
    from WORKFLOW.search import prescreen, space
    from WORKFLOW.search.job import SearchFolder

    order, folder, settings = worker.order, worker.folder, worker.order.settings
    of, evaluate = worker.launch.job.shards, partial(_evaluator, worker)
    whole = prescreen.merged([mended.shard(worker, number, of, evaluate) for number in range(of)], settings.prescreen)
    if whole.tried != settings.prescreen.combos:
        raise Outdated(f"the shards hold {whole.tried:,} of {settings.prescreen.combos:,} combos")
    combos = space.Draw(settings.mode(order.mode), settings.prescreen.combos, handover.seed_of(settings, "prescreen"))
    found = prescreen.found(whole, combos)
    bars = mended.in_sample(worker)
    labels = {"symbol": order.symbol, "mode": order.mode, "synthetic": bars.synthetic}
    tree = ResultTree(worker.roots.artifacts(order.symbol, order.mode))
    with writing(worker.roots, order.symbol, order.mode):
        worker.still_mine()
        market = _evaluator(worker).market
        _history(worker, market).prescreened(found.tried, settings, settings.mode(order.mode), bars.sha256)
        record = handover.phase0_record(labels, settings, market, found)
        _say(tree.write_phase0(PHASE0, record))
    gates = handover.pass_gates("after_prescreen", order, worker.launch.run_id, tree, worker.log)
    sealed.write_json(folder.prescreen, whole.as_json())
    plan = handover.plan_of(order, found, worker.carried()["seeds"], worker.seed_files())
    SearchFolder(folder).write(handover.search_job(order, plan))
    best = found.best[0].metrics["sharpe_ratio"] if found.best else None
    return {"tried": found.tried, "eligible": found.eligible, "best_in_sample_sharpe": best, "gates": gates}


def _search(worker: Worker) -> dict[str, Any]:
    """Take part in the unit's study until its budget is used up."""
    from WORKFLOW.pipeline import handover
    from WORKFLOW.report.console import Screen
    from WORKFLOW.report.tree import ResultTree
    from WORKFLOW.search.study import Standing

    order = worker.order
    mended.in_sample(worker)
    found = mended.prescreened(worker, partial(_evaluator, worker))
    folder = mended.job_of(worker, found)
    plan = folder.job.plan
    tree = ResultTree(worker.roots.artifacts(order.symbol, order.mode))
    with Screen(worker.log, worker.progress, quiet=True) as screen, screen.phase("search", plan.trials) as phase:
        screen.say(handover.loaded_line(order, plan, found, worker.seed_files()))
        gates = handover.pass_gates("before_search", order, worker.launch.run_id, tree, worker.log)
        evaluator, study = folder.evaluator(), folder.study(worker.say)

        def on_result(now: Standing) -> None:
            phase.at(now.done, handover.best_note(now))

        try:
            study.work(partial(folder.job.evaluate, evaluator), on_result, lambda: True)
            now = study.standing()
        finally:
            study.close()
    return {"trials": now.done, "best_value": now.best, "gates": gates}


def _validate(worker: Worker) -> dict[str, Any]:
    """Walk-forward, holdout and Monte Carlo of the finalists; stages every artifact."""
    from WORKFLOW.pipeline import phases
    from WORKFLOW.report.console import Screen

    with Screen(worker.log, worker.progress, quiet=True) as screen:
        bars, report = mended.checked_bars(worker, screen)
        mended.must_be_of(worker, bars)
        job = _job(worker, bars, report, screen)
        _recall(worker, job)
        job.holdout_before = worker.holdout_before()
        found = mended.prescreened(worker, lambda: job.in_sample)
        search = partial(mended.searched, worker, mended.job_of(worker, found))
        trials, chosen = phases.chosen_of(job, search(), search)
        validated = phases.validate(job, found, trials, chosen)
        gates = phases.approve(job, found, trials, validated)
        files, manifest = phases.rendered(job, found, trials, validated)
    worker.still_mine()
    ours.remove(worker.folder.staged, worker.roots.swarm_run(worker.launch.run_id).path)
    mended.stage(worker, files, manifest)
    snapshot.write_json(worker.folder.outcome, phases.outcome(job, found, trials, validated))
    seeds = list({str(one.trial.parameters): one.trial.parameters for one in validated.judged.values()}.values())
    sealed.write_json(worker.folder.carried, {"tries": job.tries(found, trials), "seeds": seeds})
    promoted = sum(bool(one["promoted"]) for one in validated.promotions.values())
    candidates = sum(bool(one.validation["candidate"]) for one in validated.judged.values())
    return {
        "verdict": manifest["verdict"],
        "candidates": candidates,
        "promoted": promoted,
        "tries": job.tries(found, trials),
        "holdout": None if validated.holdout is None else asdict(validated.holdout),
        "gates": gates,
    }


def _report(worker: Worker) -> dict[str, Any]:
    """Put what was staged into the result tree."""
    from WORKFLOW.report.tree import ResultTree, writing

    ready = mended.staged(worker)
    if ready is None:
        worker.say(f"{worker.folder.staged} is not what validation wrote: it is validated again")
        _validate(worker)
        ready = mended.staged(worker)
    if ready is None:
        raise Outdated(f"{worker.folder.staged} is not complete")
    files, manifest = ready
    tree = ResultTree(worker.roots.artifacts(*worker.launch.job.unit))
    with writing(worker.roots, *worker.launch.job.unit):
        worker.still_mine()
        tree.sweep()
        _say(tree.publish(files, manifest))
        snapshot.write_bytes(worker.folder.manifest, (tree.folder / MANIFEST).read_bytes())
    runs.finish(worker.folder, _run(worker))
    _tidy(worker)
    return {"verdict": manifest["verdict"], "artifacts": str(tree.folder), "files": len(files) + 1}


def _refine(worker: Worker) -> dict[str, Any]:
    """Fill a lane: more combos around the best of this unit's prescreen, for the next round to begin with."""
    from WORKFLOW.pipeline import handover
    from WORKFLOW.report.console import Screen
    from WORKFLOW.search import prescreen, refine, space

    order, job, settings = worker.order, worker.launch.job, worker.order.settings
    mode, limits = settings.mode(order.mode), settings.swarm
    combos = space.Draw(mode, settings.prescreen.combos, handover.seed_of(settings, "prescreen"))
    found = prescreen.found(handover.read_progress(worker.folder.prescreen, worker.say), combos)
    centres = [one.parameters for one in found.best[: refinement.CENTRES]]
    if not centres:
        return {"tried": 0, "eligible": 0}
    near = refine.around(mode, centres, limits.fill_combos, handover.seed_of(settings, "refine", job.shard))
    held = max(LEAST_HELD, settings.prescreen.batch_combos >> worker.launch.ooms)
    evaluator, least = _evaluator(worker), settings.prescreen.min_trades
    with Screen(worker.log, worker.progress, quiet=True) as screen, screen.phase("refine", len(near)) as phase:
        refined = refine.screen(evaluator, near, worker.threads, least, refinement.KEEP, held, phase.at)
    worker.still_mine()
    _remember(worker, evaluator.market, refined.tried)
    refinement.write(worker.folder, job.shard, refined)
    best = refined.best[0][0] if refined.best else None
    return {"tried": refined.tried, "eligible": refined.eligible, "best_in_sample_sharpe": best}


def _remember(worker: Worker, market: Any, tries: int) -> None:
    """Put the tries of a refinement on file."""
    from WORKFLOW.search.job import SearchFolder

    order, job, history = worker.order, worker.launch.job, _history(worker, market)
    settings = order.settings
    space_of = {"data": SearchFolder(worker.folder).in_sample.sha256, "mode": asdict(settings.mode(order.mode))}
    made_with = {"seed": settings.run.seed, "round": job.round, "shard": job.shard, "costs": asdict(settings.costs)}
    history.tried(tries, "refine", **space_of, **made_with, combos=settings.prescreen.combos, more=tries)


def _history(worker: Worker, in_sample: Any) -> Any:
    """Of a job that sees the in-sample market and nothing else."""
    from WORKFLOW.engines.market import Window
    from WORKFLOW.validity.history import History

    whole = {"in_sample": Window(0, len(in_sample))}
    return History.of(_ledger(worker), in_sample, whole, worker.launch.run_id, SystemClock())


def _ledger(worker: Worker) -> TriesLedger:
    from WORKFLOW.data.find import market_name

    return TriesLedger(worker.roots.tries(market_name(worker.order.data_path, worker.order.symbol)))


DEEDS: dict[str, Callable[[Worker], dict[str, Any]]] = {
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


def _evaluator(worker: Worker) -> Any:
    from WORKFLOW.engines.market import Market
    from WORKFLOW.search.evaluate import Evaluator
    from WORKFLOW.search.space import family_of

    settings = worker.order.settings
    market = Market.of(mended.in_sample(worker))
    return Evaluator(market, family_of(settings.mode(worker.order.mode)), settings.costs, worker.order.engine)


def _find_seeds(worker: Worker, bars: Any) -> None:
    """Put on file what prescreens in the folders of `--phase0-seed-dirs` hand on: later phases rely on it."""
    from WORKFLOW.pipeline.run import seed_files
    from WORKFLOW.search import seed_folders

    if found := seed_files(worker.order, bars):
        snapshot.write_json(worker.folder.phase0_seeds, seed_folders.as_json(found))


def _job(worker: Worker, bars: Any, report: Any, screen: Any) -> Any:
    from WORKFLOW.pipeline.run import Job
    from WORKFLOW.report.tree import ResultTree

    tree = ResultTree(worker.roots.artifacts(*worker.launch.job.unit))
    job = Job(
        order=worker.order,
        bars=bars,
        report=report,
        run=_run(worker),
        folder=worker.folder,
        tree=tree,
        screen=screen,
        clock=SystemClock(),
        log=worker.log,
        ledger=_ledger(worker),
        round=worker.launch.job.round,
        carried_tries=worker.carried()["tries"],
        seed_files=worker.seed_files(),
    )
    job.cores = worker.launch.cores
    return job


def _recall(worker: Worker, job: Any) -> None:
    """What the earlier phases of this unit took, for the manifest."""
    for state in JobJournal(Journal(worker.round_folder.jobs), SystemClock()).states().values():
        record = snapshot.read_json(worker.round_folder.result(state.job.job_id))
        if state.job.unit != worker.launch.job.unit or not isinstance(record, dict):
            continue
        try:
            result, phase = record_of(Result, record), state.job.phase
        except ValueError:
            continue
        job.durations_s[phase] = round(max(job.durations_s.get(phase, 0.0), result.duration_s), 3)
        if phase == "prescreen":  # shards work side by side
            job.bar_combos_per_s = (job.bar_combos_per_s or 0.0) + (result.metrics.get("bar_combos_per_s") or 0.0)
            job.prescreened_by |= {result.metrics["engine"]} if "engine" in result.metrics else set()


def _tidy(worker: Worker) -> None:
    """Drop what only an unfinished round needs from the round before the last: a run may go on for weeks."""
    number = worker.launch.job.round - 2
    if number < 0:
        return
    run = worker.roots.swarm_run(worker.launch.run_id)
    old = run.round(number).unit(*worker.launch.job.unit)
    for path in (old.staged, old.validation):
        ours.remove(path, run.path)
    for path in (*old.path.glob("study.jsonl*"), *old.path.glob("study.sqlite3*"), old.search):
        path.unlink(missing_ok=True)


def _run(worker: Worker) -> Run:
    order = worker.swarm_order
    return Run(order.run_id, order.key, *worker.launch.job.unit, order.started_at)
