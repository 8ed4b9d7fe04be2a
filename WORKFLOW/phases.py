"""The phases of the pipeline, in the order in which a run takes them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import Refused
from state import codec, runs, snapshot
from state.clock import stamp
from state.layout import ALL_TRIALS, BESTS, PHASE0, Roots
from WORKFLOW.command_line import Order
from WORKFLOW.crosscheck.finalists import in_vectorbt
from WORKFLOW.data.bars import BARS_PER_DAY, Bars
from WORKFLOW.data.generate import write_demo
from WORKFLOW.data.report import Report, UnfitBars
from WORKFLOW.engines.market import Window
from WORKFLOW.handover import (
    Rates,
    best_note,
    loaded_line,
    pass_gates,
    phase0_record,
    plan_of,
    read_progress,
    search_job,
)
from WORKFLOW.job import Job, config_of, split_of
from WORKFLOW.report import manifest, records
from WORKFLOW.report.artifacts import equity_csv, trades_csv
from WORKFLOW.report.console import Screen
from WORKFLOW.search import bayes, space
from WORKFLOW.search import prescreen as screening
from WORKFLOW.search.job import SearchFolder
from WORKFLOW.search.prescreen import Found
from WORKFLOW.search.study import Standing, Trial
from WORKFLOW.validation import check_all
from WORKFLOW.validity import verdict, walk_forward
from WORKFLOW.validity.judge import Case, Judged, chance, judge

# best → (metric, 1 when more is better)
_MEASURES = {
    "best_sharpe": ("sharpe_ratio", 1),
    "best_returns": ("total_return", 1),
    "lowest_drawdown": ("max_drawdown_pct", -1),
    "best_winrate": ("win_rate", 1),
}


def preflight(order: Order, roots: Roots, screen: Screen) -> tuple[Bars, Report]:
    """Bars that can be trusted, or a refusal with every reason. Writes nothing (but the demo's own bars)."""
    settings = order.settings
    space.draw(settings.mode(order.mode), 1, np.random.SeedSequence(0))  # refuses a space without valid combos
    path = order.data_path or _demo(roots, screen)
    if path.is_file() and not path.name.lower().startswith(order.symbol.lower()):
        screen.say(f"  note: results will be named {order.symbol}, but the file is called {path.name}")
    outcome = check_all(settings, path, order.symbol, order.repair)
    if outcome.report is not None:
        for line in outcome.report.lines():
            if not line.startswith(("refused:", "  →")):
                screen.say(f"  {line}")
    if outcome.bars is None or outcome.report is None or outcome.reasons:
        if outcome.report is not None and outcome.report.reasons:
            raise UnfitBars(outcome.report)
        texts = "; ".join(reason.text for reason in outcome.reasons)
        raise Refused(texts, "; ".join(dict.fromkeys(reason.way_out for reason in outcome.reasons if reason.way_out)))
    in_sample = Window(0, split_of(outcome.bars, settings.split.holdout_fraction))
    walk_forward.steps(in_sample, settings.walk_forward, "rolling")  # refuses windows of less than a day
    return outcome.bars, outcome.report


def _demo(roots: Roots, screen: Screen) -> Path:
    screen.say("  demo bars: synthetic, so that you see the whole run before you bring data of your own")
    return write_demo(roots.demo_data())


def prescreen(job: Job) -> Found:
    """Phase 0: every combo once over the in-sample bars; publishes `phase0_top500.json`."""
    settings = job.settings.prescreen
    with job.timed("prescreen"), job.screen.phase("prescreen", settings.combos) as phase:
        combos = space.Draw(job.mode, settings.combos, job.seed("prescreen"))
        progress = read_progress(job.folder.prescreen)
        rates = Rates(phase, len(job.in_sample.market), progress.tried)

        def on_batch(batch: int, of: int, now: screening.Progress) -> None:
            job.bar_combos_per_s = rates.at(batch, of, now)
            snapshot.write_json(job.folder.prescreen, now.as_json())

        progress = screening.run(job.in_sample, combos, settings, job.cores, progress, on_batch)
        found = screening.found(progress, combos)
        job.tree.write_phase0(PHASE0, phase0_record(job.labels, job.settings, job.in_sample.market, found))
    pass_gates("after_prescreen", job.order, job.run.run_id, job.tree, job.log)
    return found


def search(job: Job, found: Found) -> list[Trial]:
    """Phase 1: Optuna around what the prescreen found; resumes an unfinished study."""
    plan = plan_of(job.order, found)
    with job.timed("search"), job.screen.phase("search", plan.trials) as phase:
        folder = SearchFolder(job.folder)
        folder.write_bars(job.bars.before(job.split))
        folder.write(search_job(job.order, plan))
        job.screen.say(f"  {loaded_line(job.order, plan, found)}")
        pass_gates("before_search", job.order, job.run.run_id, job.tree, job.log)

        def on_result(now: Standing) -> None:
            phase.at(now.done, best_note(now))

        return bayes.search(job.folder, job.processes, on_result)


def finalists(trials: list[Trial]) -> dict[str, Trial]:
    """The best feasible trial by each of the four measures; the earlier one where two are equal."""
    chosen = {}
    for best in BESTS:
        key, sign = _MEASURES[best]
        candidates = [t for t in trials if t.feasible and t.result.metrics[key] is not None]
        if candidates:
            chosen[best] = max(candidates, key=lambda t: (sign * t.result.metrics[key], -t.number))
    return chosen


def validate(job: Job, found: Found, trials: list[Trial], chosen: dict[str, Trial]) -> dict[str, Judged]:
    """Walk-forward of the whole process, then every finalist on trial."""
    if not chosen:
        return {}
    walk = job.settings.walk_forward
    distinct = {trial.number: trial for trial in chosen.values()}
    tried_again = min(walk.combos, job.settings.prescreen.combos)
    slices = walk_forward.slices_of(tried_again)
    asked = {n: t.parameters for n, t in distinct.items()} if job.order.engine == "vectorbt" else {}
    total = slices + len(asked) + len(distinct)
    with job.timed("validation"), job.screen.phase("validation", total) as phase:
        phase.at(0, "walk-forward")
        combos = space.draw(job.mode, tried_again, job.seed("walk-forward"))
        process = walk_forward.process(
            job.in_sample, combos, walk, job.settings.prescreen, job.cores, lambda: phase.step("walk-forward")
        )
        checked = in_vectorbt(job.everything, asked, lambda done: phase.at(slices + done, "vectorbt")) if asked else {}
        phase.at(slices + len(asked))
        case = Case(
            everything=job.everything,
            minutes=job.bars.minutes,
            in_sample=job.in_sample,
            windows=job.windows,
            settings=job.settings,
            walk_forward=process,
            tries=job.tries(found, trials),
            synthetic=job.bars.synthetic,
            seed=job.seed,
            cross_checks=checked,
        )
        judged = {}
        for number, trial in distinct.items():
            judged[number] = judge(case, trial)
            phase.step("holdout, Monte Carlo")
        return {best: judged[trial.number] for best, trial in chosen.items()}


def publish(job: Job, found: Found, trials: list[Trial], judged: dict[str, Judged]) -> dict[str, Any]:
    """Put the result tree in place, close the run, and say what came out."""
    files, record = rendered(job, found, trials, judged)
    job.tree.publish(files, record)
    runs.finish(job.folder, job.run)
    return outcome(job, found, trials, judged)


def rendered(
    job: Job, found: Found, trials: list[Trial], judged: dict[str, Judged]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Every file of the result tree, and the manifest without their sums."""
    files = {
        PHASE0: codec.encode(phase0_record(job.labels, job.settings, job.in_sample.market, found)),
        ALL_TRIALS: codec.encode(records.all_trials(job.labels, trials)),
    }
    market, whole, capital = job.everything.market, job.everything.whole, job.settings.costs.capital
    for best, one in judged.items():
        of_best = records.of_best(job.labels, best, one, job.mode.family, asdict(job.settings.costs))
        files |= {f"{best}/{name}": codec.encode(record) for name, record in of_best.items()}
        files[f"{best}/trades.csv"] = trades_csv(one.whole, market)
        files[f"{best}/equity.csv"] = equity_csv(one.whole, market, whole, job.split, capital)
    return files, manifest.record(_facts(job, found, trials, judged))


def outcome(job: Job, found: Found, trials: list[Trial], judged: dict[str, Judged]) -> dict[str, Any]:
    """What `--json` prints and the final table shows."""
    tried = job.tries(found, trials)
    return {
        **job.labels,
        "run_id": job.run.run_id,
        "round": job.round,
        "resumed": job.run.resumed,
        "verdict": _verdict(job, found, trials, judged),
        "bests": records.bests(judged),
        "chance": chance(tried, len(np.unique(job.in_sample.market.day))),
        "prescreen": {"tried": found.tried, "eligible": found.eligible, "bar_combos_per_s": job.bar_combos_per_s},
        "durations_s": job.durations_s,
        "artifacts": str(job.tree.folder),
        "next": _next_command(job, judged),
    }


# helpers --------------------------------------------------------------------------------------------------------------


def _verdict(job: Job, found: Found, trials: list[Trial], judged: dict[str, Judged]) -> str:
    if judged:
        return next(iter(judged.values())).verdict
    most = max((found.most_trades, *(trial.result.metrics["total_trades"] for trial in trials)))
    silent = most == 0 and trials and not job.in_sample.has_side(space.Combos.of([t.parameters for t in trials]))
    days = len(job.in_sample.market) / BARS_PER_DAY if silent else None
    return verdict.nothing_line(job.tries(found, trials), most, job.settings.prescreen.min_trades, days)


def _facts(job: Job, found: Found, trials: list[Trial], judged: dict[str, Judged]) -> manifest.Facts:
    minutes = job.bars.minutes
    return manifest.Facts(
        labels=job.labels,
        verdict=_verdict(job, found, trials, judged),
        data={"sha256": job.bars.sha256, "minutes": minutes and minutes.as_json(), **job.report.as_json()},
        windows={name: walk_forward.span(job.everything.market, window) for name, window in job.windows.items()},
        config=config_of(job.order),
        seed=job.settings.run.seed,
        engine=job.in_sample.engine_name,
        tries={"prescreen": found.tried, "total": job.tries(found, trials)},
        execution={
            "run_id": job.run.run_id,
            "round": job.round,
            "started_at": job.run.started_at,
            "finished_at": stamp(job.clock.now()),
            "resumed": job.run.resumed,
            "durations_s": job.durations_s,
            "bar_combos_per_s": job.bar_combos_per_s,
            "threads": job.cores,
            "search_processes": job.processes,
        },
    )


def _next_command(job: Job, judged: dict[str, Judged]) -> str:
    if job.bars.synthetic:
        return "scripts/backtest-optimize --parallel --symbols SOL --data-path FOLDER_WITH_YOUR_BARS"
    if not judged:
        return f"another space: --mode {next((m for m in job.settings.modes if m != job.order.mode), job.order.mode)}"
    passed = (best for best, one in judged.items() if one.validation["candidate"])
    return f"read why: {job.tree.folder / next(passed, next(iter(judged))) / 'validation.json'}"
