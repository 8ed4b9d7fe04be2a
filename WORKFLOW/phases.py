"""The phases of the pipeline, in the order in which a run takes them."""

import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from config.errors import Refused
from config.settings import Mode, Settings
from hooks import prescreen_artifacts
from state import codec, runs, snapshot
from state.clock import Clock, SystemClock, stamp
from state.layout import ALL_TRIALS, BESTS, PHASE0, Roots, RunFolder
from state.runs import Run
from WORKFLOW import SOURCE_HASH
from WORKFLOW.command_line import Order
from WORKFLOW.data.bars import DAY_MS, Bars
from WORKFLOW.data.generate import write_demo
from WORKFLOW.data.report import Report, UnfitBars
from WORKFLOW.engines import metrics
from WORKFLOW.engines.cores import usable_cores
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.report import manifest
from WORKFLOW.report.artifacts import ResultTree, equity_csv, trades_csv
from WORKFLOW.report.console import Screen
from WORKFLOW.search import bayes, space
from WORKFLOW.search import prescreen as screening
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.job import SearchFolder, SearchJob
from WORKFLOW.search.prescreen import Ranked
from WORKFLOW.search.space import Parameters
from WORKFLOW.search.study import Plan, Standing, Trial
from WORKFLOW.validation import check_all
from WORKFLOW.validity import monte_carlo, verdict, walk_forward
from WORKFLOW.validity.chance import expected_max_sharpe


@dataclass
class Job:
    """One run under way: what it was asked, what it works on, where it writes."""

    order: Order
    bars: Bars
    report: Report
    run: Run
    folder: RunFolder
    tree: ResultTree
    screen: Screen
    clock: Clock
    durations_s: dict[str, float] = field(default_factory=dict)
    bar_combos_per_s: float | None = None

    @property
    def settings(self) -> Settings:
        """The operator's values, flags applied."""
        return self.order.settings

    @property
    def mode(self) -> Mode:
        """The mode's space."""
        return self.settings.mode(self.order.mode)

    @cached_property
    def split(self) -> int:
        """First bar of the holdout: the first bar of a UTC day, so that no day is seen by both sides."""
        days = self.bars.rows["time_ms"] // DAY_MS
        wanted = int(len(self.bars) * (1 - self.settings.split.holdout_fraction))
        return int(np.searchsorted(days, days[wanted]))

    @cached_property
    def in_sample(self) -> Evaluator:
        """Everything that chooses works on this: the holdout's bars are not in it."""
        return self._evaluator(self.bars.before(self.split))

    @cached_property
    def everything(self) -> Evaluator:
        """Only validation looks at this, after the choice."""
        return self._evaluator(self.bars)

    @property
    def holdout(self) -> Window:
        """The out-of-sample window."""
        return Window(self.split, len(self.bars))

    @cached_property
    def cores(self) -> int:
        """Threads of a prescreen."""
        return usable_cores()

    @property
    def processes(self) -> int:
        """Search processes; more than a batch has trials would only wait."""
        wanted = self.settings.search.processes or self.cores
        return min(wanted, self.settings.search.batch_trials)

    def seed(self, purpose: str, *more: int) -> np.random.SeedSequence:
        """A seed of its own for every purpose, derived from the run's."""
        return np.random.SeedSequence([self.settings.run.seed, zlib.crc32(purpose.encode()), *more])

    def _evaluator(self, bars: Bars) -> Evaluator:
        return Evaluator(Market.of(bars), space.family_of(self.mode), self.settings.costs, self.order.engine)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Remember how long a phase took, over all the times it was resumed in this process."""
        started = time.monotonic()
        yield
        self.durations_s[phase] = round(time.monotonic() - started, 3)


@dataclass(frozen=True)
class Phase0:
    """What the prescreen found."""

    tried: int
    eligible: int
    most_trades: int
    best: list[Ranked]


@dataclass(frozen=True)
class Judged:
    """Everything known about one finalist."""

    trial: Trial
    in_sample: dict[str, Any]
    out_of_sample: dict[str, Any]
    full: dict[str, Any]
    validation: dict[str, Any]
    verdict: str
    trades: bytes
    equity: bytes


# pre-flight -----------------------------------------------------------------------------------------------------------


def preflight(order: Order, roots: Roots, screen: Screen) -> tuple[Bars, Report]:
    """Bars that can be trusted, or a refusal with every reason. Writes nothing (but the demo's own bars)."""
    path = order.data_path or _demo(roots, screen)
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
    screen.say("  generating demo bars: synthetic, so that you see the whole run before you bring data of your own")
    return write_demo(roots.demo_data())


# begin ----------------------------------------------------------------------------------------------------------------


@contextmanager
def begin(order: Order, roots: Roots, bars: Bars, report: Report, screen: Screen) -> Iterator[Job]:
    """A new run, or the unfinished one that computes exactly this; nobody else may write this symbol and mode."""
    clock = SystemClock()
    path = roots.lock(f"results-{order.symbol}-{order.mode}")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        held = lock.acquire(timeout=0)
    except Timeout as busy:
        raise Refused(
            f"another run is writing {order.symbol} {order.mode} under {roots.results} right now",
            "wait for it, take another --mode, or name another RESULTS_ROOT",
        ) from busy
    with held:
        key = runs.key_of(_identity(order, bars))
        run, folder = runs.begin(roots, key, order.symbol, order.mode, clock, order.fresh)
        screen.log_to(roots.log(run.run_id))
        going_on = f"going on with {run.run_id} (--fresh starts anew)" if run.resumed else f"run {run.run_id}"
        screen.say(f"  {going_on} · log {roots.log(run.run_id)}")
        tree = ResultTree(roots.artifacts(order.symbol, order.mode))
        job = Job(order, bars, report, run, folder, tree, screen, clock)
        screen.say(f"  engine {job.in_sample.engine_name} · {job.cores} threads · {job.processes} search processes")
        yield job


def _identity(order: Order, bars: Bars) -> dict[str, Any]:
    """Everything that decides the results; the number of processes does not."""
    return {
        "data": bars.sha256,
        "synthetic": bars.synthetic,
        "symbol": order.symbol,
        "engine": order.engine,
        "code": SOURCE_HASH,
        "config": config_of(order),
    }


def config_of(order: Order) -> dict[str, Any]:
    """The settings as they decide the results: of the modes only the one in use, without the number of processes."""
    config = asdict(order.settings)
    config["search"].pop("processes")
    config["run"]["modes"] = [order.mode]
    config["modes"] = {order.mode: config["modes"][order.mode]}
    return config


# phase 0: prescreen ---------------------------------------------------------------------------------------------------


def prescreen(job: Job) -> Phase0:
    """Every combo once over the in-sample bars; publishes `phase0_top500.json`."""
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
        phase0 = Phase0(progress.tried, progress.eligible, progress.most_trades, screening.ranked(progress, combos))
        job.tree.write_phase0(PHASE0, _phase0_record(job, phase0))
    gate = prescreen_artifacts.judge(job.tree.folder / PHASE0, job.order.symbol, job.order.mode)
    if not gate.passed:
        raise Refused(gate.reason, "run the same command again; if it stays, --fresh")
    return phase0


def _progress_so_far(job: Job) -> screening.Progress:
    record = snapshot.read_json(job.folder.prescreen)
    return screening.Progress() if record is None else screening.Progress.of_json(record)


def _phase0_record(job: Job, phase0: Phase0) -> dict[str, Any]:
    wanted = job.settings.prescreen.min_trades
    missing = (
        None
        if phase0.best
        else f"none of {phase0.tried:,} combos closed {wanted} trades in-sample (the most: {phase0.most_trades})"
    )
    return {
        **_labels(job),
        "tried": phase0.tried,
        "eligible": phase0.eligible,
        "min_trades": wanted,
        "reason": missing,
        "window": _window(job, Window(0, job.split)),
        "results": [
            {"rank": rank, "combo": r.combo, "parameters": r.parameters, "metrics": r.metrics}
            for rank, r in enumerate(phase0.best, start=1)
        ],
    }


# phase 1: Bayesian search ---------------------------------------------------------------------------------------------


def search(job: Job, phase0: Phase0) -> list[Trial]:
    """Optuna around what the prescreen found; resumes an unfinished study."""
    settings = job.settings
    share = (
        max(1, round(settings.search.trials * settings.search.seed_fraction)) if settings.search.seed_fraction else 0
    )
    seeds = tuple(r.parameters for r in phase0.best[:share])
    plan = Plan(job.mode, settings.search.trials, settings.search.batch_trials, settings.run.seed, seeds)
    files = SearchFolder(job.folder)
    with job.timed("search"), job.screen.phase("search", settings.search.trials) as phase:
        bars = job.bars
        files.write(
            SearchJob(
                bars.symbol,
                bars.tick,
                bars.synthetic,
                settings.costs,
                settings.prescreen.min_trades,
                job.order.engine,
                plan,
            ),
            bars.before(job.split),
        )
        best = f"best in-sample Sharpe {phase0.best[0].metrics['sharpe_ratio']:.2f}" if seeds else "none passed"
        job.screen.say(
            f"  Loaded Phase0 seed: {job.order.symbol}/{job.order.mode} {len(seeds)} of {len(phase0.best)} ({best})"
        )

        def on_result(now: Standing) -> None:
            phase.at(now.done, "" if now.best is None else f"best in-sample Sharpe {now.best:.2f}")

        return bayes.search(job.folder, job.processes, on_result)


def finalists(trials: list[Trial]) -> dict[str, Trial]:
    """The best feasible trial by each of the four measures; the earlier one where two are equal."""
    keys = {
        "best_sharpe": "sharpe_ratio",
        "best_returns": "total_return",
        "lowest_drawdown": "max_drawdown_pct",
        "best_winrate": "win_rate",
    }
    signs = {"lowest_drawdown": -1}
    chosen = {}
    for best in BESTS:
        key, sign = keys[best], signs.get(best, 1)
        candidates = [t for t in trials if t.feasible and t.result.metrics[key] is not None]
        if candidates:
            chosen[best] = max(candidates, key=lambda t: (sign * t.result.metrics[key], -t.number))
    return chosen


# validation -----------------------------------------------------------------------------------------------------------


def validate(job: Job, phase0: Phase0, trials: list[Trial], chosen: dict[str, Trial]) -> dict[str, Judged]:
    """Walk-forward of the whole process, then every finalist on the holdout, in Monte Carlo, by the other engine."""
    if not chosen:
        return {}
    walk = job.settings.walk_forward
    distinct = {trial.number: trial for trial in chosen.values()}
    total = walk_forward.slices_of(walk.combos) + len(distinct)
    with job.timed("validation"), job.screen.phase("validation", total) as phase:
        combos = space.draw(job.mode, walk.combos, job.seed("walk-forward"))
        process = walk_forward.process(
            job.in_sample, combos, walk, job.settings.prescreen, job.cores, lambda: phase.step("walk-forward")
        )
        judged = {}
        for number, trial in distinct.items():
            judged[number] = _judge(job, trial, process, tries(phase0, trials))
            phase.step("holdout, Monte Carlo")
        return {best: judged[trial.number] for best, trial in chosen.items()}


def tries(phase0: Phase0, trials: list[Trial]) -> int:
    """Everything that was looked at on the in-sample bars; an enqueued seed was counted in phase 0 already."""
    return phase0.tried + sum(trial.source == "sampler" for trial in trials)


def _judge(job: Job, trial: Trial, process: dict[str, Any], tried: int) -> Judged:
    settings, everything, parameters = job.settings, job.everything, trial.parameters
    capital = settings.costs.capital
    inside = Window(0, job.split)
    ledgers = {
        "in_sample": everything.ledger(parameters, inside),
        "out_of_sample": everything.ledger(parameters, job.holdout),
    }
    windows = {"in_sample": inside, "out_of_sample": job.holdout}
    values = {name: metrics.full(ledgers[name], everything.market, windows[name], capital) for name in windows}
    agree = all(_same(ledgers[name], everything.reference_ledger(parameters, windows[name])) for name in windows)
    evidence = verdict.Evidence(
        in_sample=values["in_sample"],
        out_of_sample=values["out_of_sample"],
        walk_forward_sharpe=process["rolling"]["sharpe_ratio"],
        engines_agree=agree,
        synthetic=job.bars.synthetic,
        tries=tried,
    )
    results = verdict.checks(evidence, settings)
    said = verdict.line(evidence, results)
    validation = {
        "verdict": said,
        "tradeable": all(check.passed for check in results),
        "checks": [asdict(check) for check in results],
        "in_sample": {**_window(job, inside), "metrics": values["in_sample"]},
        "out_of_sample": {**_window(job, job.holdout), "metrics": values["out_of_sample"]},
        "chance": _chance(job, tried),
        "engines": {"agree": agree, "trades_compared": sum(len(ledger.trades) for ledger in ledgers.values())},
        "ambiguity": {name: _ambiguity(everything, parameters, windows[name], values[name]) for name in windows},
        "walk_forward": {
            "process": process,
            "this_strategy": walk_forward.fixed(job.in_sample, parameters, settings.walk_forward),
        },
        "monte_carlo": {
            name: {
                "trade_shuffle": monte_carlo.trade_shuffle(
                    np.ascontiguousarray(ledgers[name].trades["net_pnl_pct"]),
                    settings.monte_carlo,
                    job.seed(f"shuffle {name}", trial.number),
                ),
                "block_bootstrap": monte_carlo.block_bootstrap(
                    metrics.daily_returns(
                        metrics.daily_marks(ledgers[name].equity, everything.market, windows[name]), capital
                    ),
                    settings.monte_carlo,
                    job.seed(f"bootstrap {name}", trial.number),
                ),
            }
            for name in windows
        },
    }
    whole = everything.whole
    ledger = everything.ledger(parameters, whole)
    return Judged(
        trial=trial,
        in_sample=values["in_sample"],
        out_of_sample=values["out_of_sample"],
        full=metrics.full(ledger, everything.market, whole, capital),
        validation=validation,
        verdict=said,
        trades=trades_csv(ledger, everything.market),
        equity=equity_csv(ledger, everything.market, whole, job.split, capital),
    )


def _same(fast: Any, reference: Any) -> bool:
    """Equal trades in bars, sides and reasons; numbers within 1e-9 (strategy_semantics: when two engines agree)."""
    exact = ("side", "entry_bar", "exit_bar", "reason_open", "reason_close")
    if len(fast.trades) != len(reference.trades) or any((fast.trades[k] != reference.trades[k]).any() for k in exact):
        return False
    pairs = [(fast.trades[k], reference.trades[k]) for k in ("entry_price", "exit_price", "pnl", "net_pnl_pct")]
    return all(
        np.all(np.abs(a - b) <= 1e-9 * np.maximum(1, np.abs(b))) for a, b in [*pairs, (fast.equity, reference.equity)]
    )


def _ambiguity(
    evaluator: Evaluator, parameters: Parameters, window: Window, pessimistic: dict[str, Any]
) -> dict[str, Any]:
    """Total return with the stop first and with the take-profit first: the truth of one-bar ties lies between."""
    optimistic = evaluator.metrics(parameters, window, tie="tp_first")
    return {"total_return_sl_first": pessimistic["total_return"], "total_return_tp_first": optimistic["total_return"]}


def _chance(job: Job, tried: int) -> dict[str, Any]:
    days = len(np.unique(job.in_sample.market.day))
    return {"tries": tried, "days": days, "expected_max_sharpe": expected_max_sharpe(tried, days)}


# artifacts ------------------------------------------------------------------------------------------------------------


def publish(job: Job, phase0: Phase0, trials: list[Trial], judged: dict[str, Judged]) -> dict[str, Any]:
    """Put the result tree in place, close the run, and say what came out."""
    tried = tries(phase0, trials)
    most = max((phase0.most_trades, *(t.result.metrics["total_trades"] for t in trials)))
    said = (
        next(iter(judged.values())).verdict
        if judged
        else verdict.nothing_line(tried, most, job.settings.prescreen.min_trades)
    )
    files = {
        PHASE0: codec.encode(_phase0_record(job, phase0)),
        ALL_TRIALS: codec.encode({**_labels(job), "trials": [_trial_record(trial) for trial in trials]}),
    }
    for best, one in judged.items():
        label = {**_labels(job), "strategy": best}
        files[f"{best}/config.json"] = codec.encode(
            {
                **label,
                "family": job.mode.family,
                "parameters": one.trial.parameters,
                "costs": asdict(job.settings.costs),
            }
        )
        files[f"{best}/metrics.json"] = codec.encode(
            {
                **label,
                "verdict": one.verdict,
                "in_sample": one.in_sample,
                "out_of_sample": one.out_of_sample,
                "full": one.full,
            }
        )
        files[f"{best}/validation.json"] = codec.encode({**label, **one.validation})
        files[f"{best}/trades.csv"] = one.trades
        files[f"{best}/equity.csv"] = one.equity
    job.tree.publish(files, manifest.record(_manifest_facts(job, phase0, tried, said)))
    runs.finish(job.folder, job.run)
    return {
        **_labels(job),
        "run_id": job.run.run_id,
        "resumed": job.run.resumed,
        "verdict": said,
        "bests": {
            best: {
                "parameters": one.trial.parameters,
                "in_sample": one.in_sample,
                "out_of_sample": one.out_of_sample,
                "verdict": one.verdict,
                "tradeable": one.validation["tradeable"],
            }
            for best, one in judged.items()
        },
        "chance": _chance(job, tried),
        "prescreen": {"tried": phase0.tried, "eligible": phase0.eligible, "bar_combos_per_s": job.bar_combos_per_s},
        "durations_s": job.durations_s,
        "artifacts": str(job.tree.folder),
        "next": _next_command(job, judged),
    }


def _manifest_facts(job: Job, phase0: Phase0, tried: int, said: str) -> manifest.Facts:
    return manifest.Facts(
        labels=_labels(job),
        verdict=said,
        data={"sha256": job.bars.sha256, **job.report.as_json()},
        windows={"in_sample": _window(job, Window(0, job.split)), "out_of_sample": _window(job, job.holdout)},
        config=config_of(job.order),
        seed=job.settings.run.seed,
        engine=job.in_sample.engine_name,
        tries={"prescreen": phase0.tried, "total": tried},
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


def _trial_record(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "batch": trial.batch,
        "source": trial.source,
        "feasible": trial.feasible,
        "value": trial.result.metrics["sharpe_ratio"],
        "parameters": trial.parameters,
        "metrics": trial.result.metrics,
    }


def _labels(job: Job) -> dict[str, Any]:
    return {"symbol": job.order.symbol, "mode": job.order.mode, "synthetic": job.bars.synthetic}


def _window(job: Job, window: Window) -> dict[str, Any]:
    return walk_forward.span(job.everything.market, window)


def _next_command(job: Job, judged: dict[str, Judged]) -> str:
    if job.bars.synthetic:
        return "scripts/backtest-optimize --single --symbol SOL --data-path FOLDER_WITH_YOUR_BARS"
    if not judged:
        return f"another space: --mode {next((m for m in job.settings.modes if m != job.order.mode), job.order.mode)}"
    return f"read why: {job.tree.folder / next(iter(judged)) / 'validation.json'}"
