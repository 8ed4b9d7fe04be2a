"""The phases of the pipeline, in the order in which a run takes them."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import Refused
from hooks import prescreen_artifacts
from state import codec, runs, snapshot
from state.clock import stamp
from state.layout import ALL_TRIALS, BESTS, PHASE0, Roots
from WORKFLOW.command_line import Order
from WORKFLOW.data.bars import Bars
from WORKFLOW.data.generate import write_demo
from WORKFLOW.data.report import Report, UnfitBars
from WORKFLOW.job import Job, config_of
from WORKFLOW.report import manifest, records
from WORKFLOW.report.artifacts import equity_csv, trades_csv
from WORKFLOW.report.console import Screen
from WORKFLOW.search import bayes, space
from WORKFLOW.search import prescreen as screening
from WORKFLOW.search.job import SearchFolder, SearchJob
from WORKFLOW.search.prescreen import Found, Ranked
from WORKFLOW.search.study import Plan, Standing, Trial
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
    space.family_of(order.settings.mode(order.mode))
    path = order.data_path or _demo(roots, screen)
    if path.is_file() and not path.name.lower().startswith(order.symbol.lower()):
        screen.say(f"  note: results will be named {order.symbol}, but the file is called {path.name}")
    outcome = check_all(order.settings, path, order.symbol, order.repair)
    if outcome.report is not None:
        for line in outcome.report.lines():
            if not line.startswith(("refused:", "  →")):
                screen.say(f"  {line}")
    if outcome.bars is None or outcome.report is None or outcome.reasons:
        if outcome.report is not None and outcome.report.reasons:
            raise UnfitBars(outcome.report)
        texts = "; ".join(reason.text for reason in outcome.reasons)
        raise Refused(texts, "; ".join(dict.fromkeys(reason.way_out for reason in outcome.reasons if reason.way_out)))
    return outcome.bars, outcome.report


def _demo(roots: Roots, screen: Screen) -> Path:
    screen.say("  demo bars: synthetic, so that you see the whole run before you bring data of your own")
    return write_demo(roots.demo_data())


def prescreen(job: Job) -> Found:
    """Phase 0: every combo once over the in-sample bars; publishes `phase0_top500.json`."""
    settings = job.settings.prescreen
    with job.timed("prescreen"), job.screen.phase("prescreen", settings.combos) as phase:
        combos = space.draw(job.mode, settings.combos, job.seed("prescreen"))
        progress = _progress_so_far(job)
        phase.at(progress.tried)
        started, began_at = time.monotonic(), progress.tried

        def on_batch(batch: int, of: int, now: screening.Progress) -> None:
            rate = (now.tried - began_at) * job.split / max(time.monotonic() - started, 1e-9)
            job.bar_combos_per_s = rate
            line = f"Batch {batch}/{of} · {rate / 1e9:.2f} G bar-combos/s · {now.eligible:,} eligible"
            phase.at(now.tried, note=f"Batch {batch}/{of} · {rate / 1e9:.2f} G bc/s", line=line)
            snapshot.write_json(job.folder.prescreen, now.as_json())

        progress = screening.run(job.in_sample, combos, settings, job.cores, progress, on_batch)
        found = screening.found(progress, combos)
        job.tree.write_phase0(PHASE0, _phase0_record(job, found))
    gate = prescreen_artifacts.judge(job.tree.folder / PHASE0, job.order.symbol, job.order.mode)
    if not gate.passed:
        raise Refused(gate.reason, "run the same command again; if it stays, --fresh")
    return found


def search(job: Job, found: Found) -> list[Trial]:
    """Phase 1: Optuna around what the prescreen found; resumes an unfinished study."""
    settings, bars = job.settings, job.bars.before(job.split)
    share = settings.search.seed_fraction
    seeds = _seeds(found)[: max(1, round(settings.search.trials * share)) if share else 0]
    plan = Plan(
        mode=job.mode,
        trials=settings.search.trials,
        batch_trials=settings.search.batch_trials,
        seed=settings.run.seed,
        seeds=tuple(one.parameters for one in seeds),
    )
    order = SearchJob(
        symbol=bars.symbol,
        tick=bars.tick,
        synthetic=bars.synthetic,
        costs=settings.costs,
        min_trades=settings.prescreen.min_trades,
        engine=job.order.engine,
        plan=plan,
    )
    with job.timed("search"), job.screen.phase("search", plan.trials) as phase:
        SearchFolder(job.folder).write(order, bars)
        best = f"best in-sample Sharpe {seeds[0].metrics['sharpe_ratio']:.2f}" if seeds else "none passed"
        where = f"{job.order.symbol}/{job.order.mode}"
        job.screen.say(f"  Loaded Phase0 seed: {where} {len(seeds)} of {len(found.best)} ({best})")

        def on_result(now: Standing) -> None:
            phase.at(now.done, "" if now.best is None else f"best in-sample Sharpe {now.best:.2f}")

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
    total = walk_forward.slices_of(tried_again) + len(distinct)
    with job.timed("validation"), job.screen.phase("validation", total) as phase:
        phase.at(0, "walk-forward")
        combos = space.draw(job.mode, tried_again, job.seed("walk-forward"))
        process = walk_forward.process(
            job.in_sample, combos, walk, job.settings.prescreen, job.cores, lambda: phase.step("walk-forward")
        )
        case = Case(
            everything=job.everything,
            in_sample=job.in_sample,
            windows=job.windows,
            settings=job.settings,
            walk_forward=process,
            tries=tries(found, trials),
            synthetic=job.bars.synthetic,
            seed=job.seed,
        )
        judged = {}
        for number, trial in distinct.items():
            judged[number] = judge(case, trial)
            phase.step("holdout, Monte Carlo")
        return {best: judged[trial.number] for best, trial in chosen.items()}


def publish(job: Job, found: Found, trials: list[Trial], judged: dict[str, Judged]) -> dict[str, Any]:
    """Put the result tree in place, close the run, and say what came out."""
    tried = tries(found, trials)
    said = _verdict(job, found, trials, judged)
    files = {
        PHASE0: codec.encode(_phase0_record(job, found)),
        ALL_TRIALS: codec.encode(records.all_trials(job.labels, trials)),
    }
    market, whole, capital = job.everything.market, job.everything.whole, job.settings.costs.capital
    for best, one in judged.items():
        of_best = records.of_best(job.labels, best, one, job.mode.family, asdict(job.settings.costs))
        files |= {f"{best}/{name}": codec.encode(record) for name, record in of_best.items()}
        files[f"{best}/trades.csv"] = trades_csv(one.whole, market)
        files[f"{best}/equity.csv"] = equity_csv(one.whole, market, whole, job.split, capital)
    job.tree.publish(files, manifest.record(_facts(job, found, tried, said)))
    runs.finish(job.folder, job.run)
    return {
        **job.labels,
        "run_id": job.run.run_id,
        "resumed": job.run.resumed,
        "verdict": said,
        "bests": records.bests(judged),
        "chance": chance(tried, len(np.unique(job.in_sample.market.day))),
        "prescreen": {"tried": found.tried, "eligible": found.eligible, "bar_combos_per_s": job.bar_combos_per_s},
        "durations_s": job.durations_s,
        "artifacts": str(job.tree.folder),
        "next": _next_command(job, judged),
    }


def tries(found: Found, trials: list[Trial]) -> int:
    """Everything that was looked at on the in-sample bars; an enqueued seed was counted in phase 0 already."""
    return found.tried + sum(trial.source == "sampler" for trial in trials)


# helpers --------------------------------------------------------------------------------------------------------------


def _progress_so_far(job: Job) -> screening.Progress:
    record: Any = snapshot.read_json(job.folder.prescreen)
    try:
        return screening.Progress.of_json(record)
    except (TypeError, KeyError, ValueError, AttributeError):  # none yet, or not what we write: it can be made anew
        return screening.Progress()


def _phase0_record(job: Job, found: Found) -> dict[str, Any]:
    window = walk_forward.span(job.in_sample.market, job.in_sample.whole)
    return records.phase0(job.labels, found, job.settings.prescreen, window)


def _seeds(found: Found) -> list[Ranked]:
    """Best Sharpe first, but the best by each other measure among the first, so that no search ends below phase 0."""
    measures = (("total_return", 1), ("max_drawdown_daily_pct", -1), ("win_rate", 1))
    leaders = found.best[:1] + [
        max(found.best, key=lambda one: sign * (one.metrics[key] or 0.0)) for key, sign in measures if found.best
    ]
    return list({one.combo: one for one in [*leaders, *found.best]}.values())


def _verdict(job: Job, found: Found, trials: list[Trial], judged: dict[str, Judged]) -> str:
    if judged:
        return next(iter(judged.values())).verdict
    most = max((found.most_trades, *(trial.result.metrics["total_trades"] for trial in trials)))
    return verdict.nothing_line(tries(found, trials), most, job.settings.prescreen.min_trades)


def _facts(job: Job, found: Found, tried: int, said: str) -> manifest.Facts:
    return manifest.Facts(
        labels=job.labels,
        verdict=said,
        data={"sha256": job.bars.sha256, **job.report.as_json()},
        windows={name: walk_forward.span(job.everything.market, window) for name, window in job.windows.items()},
        config=config_of(job.order),
        seed=job.settings.run.seed,
        engine=job.in_sample.engine_name,
        tries={"prescreen": found.tried, "total": tried},
        execution={
            "run_id": job.run.run_id,
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
        return "scripts/backtest-optimize --single --symbol SOL --data-path FOLDER_WITH_YOUR_BARS"
    if not judged:
        return f"another space: --mode {next((m for m in job.settings.modes if m != job.order.mode), job.order.mode)}"
    passed = (best for best, one in judged.items() if one.validation["candidate"])
    return f"read why: {job.tree.folder / next(passed, next(iter(judged))) / 'validation.json'}"
