"""The phases of the pipeline, in the order in which a run takes them."""

import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import Refused, Transient
from state.files import codec, sealed, snapshot
from state.files.layout import (
    ALL_TRIALS,
    BESTS,
    PARETO,
    PARETO_SVG,
    PHASE0,
    SEARCH,
    TEARSHEET,
    WINDOWS,
    Roots,
)
from state.files.tighten import prepare
from state.host.clock import stamp
from state.records import runs
from state.records.holdout import Holdout
from WORKFLOW.command_line import Order
from WORKFLOW.crosscheck.finalists import in_vectorbt
from WORKFLOW.data.bars import BARS_PER_DAY, Bars
from WORKFLOW.data.forms.shown import shown
from WORKFLOW.data.generate import write_demo
from WORKFLOW.data.report import Report, UnfitBars
from WORKFLOW.engines.market import Window
from WORKFLOW.pipeline import evidence
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
from WORKFLOW.pipeline.run import PipelineRun, config_of, split_of
from WORKFLOW.report import front, manifest, records, windows
from WORKFLOW.report.artifacts import equity_csv, trades_csv
from WORKFLOW.report.console import Screen
from WORKFLOW.report.heat_maps import svg
from WORKFLOW.report.tearsheet import document as tearsheet
from WORKFLOW.report.tearsheet import page
from WORKFLOW.search import bayes, needs, pareto, space
from WORKFLOW.search import prescreen as screening
from WORKFLOW.search.job import SearchFolder
from WORKFLOW.search.prescreen import Prescreened
from WORKFLOW.search.space import Parameters
from WORKFLOW.search.study import Standing, Trial
from WORKFLOW.validation import check_all
from WORKFLOW.validity import cross_validation, holdout, plateau, verdict, walk_forward
from WORKFLOW.validity.history import History, made_of
from WORKFLOW.validity.judge import Judged, chance, judge
from WORKFLOW.validity.promote import promotions
from WORKFLOW.validity.search.whole import SearchTrial

# best → (metric, 1 when more is better, the metric of a screen that its plateau is told by)
_MEASURES = {
    "best_sharpe": ("sharpe_ratio", 1, "sharpe_ratio"),
    "best_returns": ("total_return", 1, "total_return"),
    "lowest_drawdown": ("max_drawdown_pct", -1, "max_drawdown_daily_pct"),
    "best_winrate": ("win_rate", 1, "win_rate"),
}


@dataclass(frozen=True)
class Validated:
    """What validation came to: of the whole search (None where it chose nothing), and by best."""

    search: SearchTrial | None = None
    judged: dict[str, Judged] = field(default_factory=dict)
    promotions: dict[str, dict[str, Any]] = field(default_factory=dict)
    holdout: Holdout | None = None  # what is left of it; None where nobody can tell, or bars are synthetic


def preflight(order: Order, roots: Roots, screen: Screen) -> tuple[Bars, Report]:
    """Bars that can be trusted, or a refusal with every reason. Writes nothing (but the demo's own bars)."""
    settings = order.settings
    space.draw(settings.mode(order.mode), 1, np.random.SeedSequence(0))  # refuses a space without valid combos
    needs.check(settings.search.storage)
    path = order.data_path or _demo(roots, screen)
    if path.is_file() and not path.name.lower().startswith(order.symbol.lower()):
        screen.say(f"  note: results will be named {order.symbol}, but the file is called {shown(path.name)}")
    outcome = check_all(settings, path, order.symbol, order.repair, order.allow_wicks, order.reading)
    if outcome.report is not None:
        for line in outcome.report.lines():
            if not line.startswith(("refused:", "  →")):
                screen.say(f"  {line}")
    if outcome.bars is None or outcome.report is None or outcome.reasons:
        if outcome.report is not None and outcome.report.reasons:
            raise UnfitBars(outcome.report)
        texts = "; ".join(reason.text for reason in outcome.reasons)
        kind = Transient if all(reason.passes for reason in outcome.reasons) else Refused
        raise kind(texts, "; ".join(dict.fromkeys(reason.way_out for reason in outcome.reasons if reason.way_out)))
    in_sample = Window(0, split_of(outcome.bars, settings.split.holdout_fraction))
    walk_forward.steps(in_sample, settings.walk_forward, "rolling")  # refuses windows of less than a day
    cross_validation.check(settings.cross_validation)
    return outcome.bars, outcome.report


def _demo(roots: Roots, screen: Screen) -> Path:
    screen.say("  demo bars: synthetic, so that you see the whole run before you bring data of your own")
    prepare(roots)
    return write_demo(roots.demo_data())


def accept(run: PipelineRun) -> list[dict[str, Any]]:
    """Ask the gates whether these bars may be worked on."""
    reading = run.order.reading.as_json()
    facts = {"data": {"sha256": run.bars.sha256, "synthetic": run.bars.synthetic, **run.report.as_json(), **reading}}
    return pass_gates("after_preflight", run.order, run.record.run_id, run.tree, run.log, facts)


def approve(
    run: PipelineRun, prescreened: Prescreened, trials: list[Trial], validated: Validated
) -> list[dict[str, Any]]:
    """Ask the gates whether what the finalists came to may be published."""
    result = outcome(run, prescreened, trials, validated)
    facts = {key: result[key] for key in ("verdict", "bests", "chance")}
    facts["validation"] = {best: one.validation for best, one in validated.judged.items()}
    facts["promotion"] = validated.promotions
    return pass_gates("after_validation", run.order, run.record.run_id, run.tree, run.log, facts)


def prescreen(run: PipelineRun) -> Prescreened:
    """Phase 0: every combo once over the in-sample bars; publishes `phase0_top500.json`."""
    settings = run.settings.prescreen
    with run.timed("prescreen"), run.screen.phase("prescreen", settings.combos) as phase:
        combos = space.Draw(run.mode, settings.combos, run.seed("prescreen"))
        progress = read_progress(run.folder.prescreen, run.screen.say)
        rates = Rates(phase, len(run.in_sample.market), progress.tried)

        def on_batch(batch: int, of: int, now: screening.PrescreenProgress) -> None:
            run.bar_combos_per_s = rates.at(batch, of, now)
            run.prescreened_by.add(run.in_sample.engine_name)
            sealed.write_json(run.folder.prescreen, now.as_json())

        progress = screening.run(run.in_sample, combos, settings, run.cores, progress, on_batch)
        prescreened = screening.result(progress, combos)
        # Here and not with the search's: a run that is stopped from here on has shown what it found.
        _history(run).prescreened(prescreened.tried, run.settings, run.mode, run.bars.before(run.split).sha256)
        record = phase0_record(run.labels, run.settings, run.in_sample.market, prescreened)
        for stepped_aside in run.tree.write_phase0(PHASE0, record):
            run.screen.say(f"  {stepped_aside}")
    pass_gates("after_prescreen", run.order, run.record.run_id, run.tree, run.log)
    return prescreened


def search(run: PipelineRun, prescreened: Prescreened) -> list[Trial]:
    """Phase 1: Optuna around what the prescreen found; resumes an unfinished study."""
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


def finalists(run: PipelineRun, trials: list[Trial]) -> dict[str, Trial]:
    """For each of the four measures: of the best feasible trials by it, the one on the best plateau of it.

    Equal plateaus are told apart by the measure, and then the earlier trial is taken.
    """
    settings = run.settings.plateau
    leading = {best: leaders(trials, best, settings.candidates) for best in BESTS}
    distinct = {trial.number: trial for of_best in leading.values() for trial in of_best}
    centres = [trial.parameters for trial in distinct.values()]
    found = run.steps.aside(
        "plateaus of candidates", centres, lambda: plateau.scores(run.in_sample, run.mode, centres, settings, run.cores)
    )
    scores = dict(zip(distinct, found, strict=True))
    chosen = {}
    for best, some in leading.items():
        values = [scores[trial.number][_MEASURES[best][2]] for trial in some]
        if some:
            chosen[best] = some[values.index(max(values))]  # the first of equals
    return chosen


def chosen_of(
    run: PipelineRun, trials: list[Trial], again: Callable[[], list[Trial]]
) -> tuple[list[Trial], dict[str, Trial]]:
    """The trials and their finalists, each of which is what its parameters come to on these bars; `again` searches anew
    where the study says otherwise, and then what it gives counts."""
    chosen = finalists(run, trials)
    if not (wrong := _misjudged(run, list(chosen.values()))):
        return trials, chosen
    why = f"the study says of trial {wrong[0]} what its parameters do not come to"
    SearchFolder(run.folder).discard_study(why, run.screen.say)
    trials = again()
    return trials, finalists(run, trials)


def _misjudged(run: PipelineRun, chosen: list[Trial]) -> list[int]:
    """The numbers of those whose metrics the engine does not confirm, to the bit."""
    distinct = list({trial.number: trial for trial in chosen}.values())
    inputs = [[trial.number, trial.parameters, trial.result.metrics] for trial in distinct]
    whole = run.in_sample.whole

    def wrong() -> list[int]:
        return [one.number for one in distinct if run.in_sample.metrics(one.parameters, whole) != one.result.metrics]

    return run.steps.aside("finalists of the search again", inputs, wrong)


def leaders(trials: list[Trial], best: str, wanted: int) -> list[Trial]:
    """The best feasible trials by the measure of `best`, best first, the earlier one where two are equal.

    Of trials with the same parameters the first counts.
    """
    key, sign, _ = _MEASURES[best]
    defined = [t for t in trials if t.feasible and t.result.metrics[key] is not None]
    distinct = list({tuple(t.parameters.values()): t for t in reversed(defined)}.values())
    return sorted(distinct, key=lambda t: (-sign * t.result.metrics[key], t.number))[:wanted]


def validate(run: PipelineRun, prescreened: Prescreened, trials: list[Trial], chosen: dict[str, Trial]) -> Validated:
    """The whole search on trial, walk-forward and cross-validation of the whole process, then every finalist."""
    history = remembered(run, prescreened, trials)
    if not chosen:
        return Validated()
    distinct = {trial.number: trial for trial in chosen.values()}
    steps, planned = run.steps, evidence.plan(run, list(distinct.values()))
    with (
        run.timed("validation"),
        run.screen.phase("validation", len(planned)) as phase,
        steps.under_way(planned, phase.at) as kept,
    ):
        if kept:
            run.screen.say(f"  validation goes on: {kept} of {len(planned)} steps are kept")
        case = evidence.case_of(run, run.tries(prescreened, trials), distinct)
        judged = {}
        for number, trial in distinct.items():
            history.looked("holdout", data=run.bars.sha256, family=run.mode.family, parameters=trial.parameters)
            judged[number] = judge(case, trial, steps)
        bests = {best: judged[trial.number] for best, trial in chosen.items()}

        def ask_vectorbt(number: int, parameters: Parameters) -> dict[str, Any]:
            def asked() -> dict[str, Any]:
                return in_vectorbt(run.everything, {number: parameters})[number]

            return steps.aside(f"second opinion on trial {number}", parameters, asked)

        found_out = promotions(bests, case.search, history, run.settings.verdict, ask_vectorbt)
    run.screen.log(f"validation: {kept} steps were kept, {len(steps.done_now)} done now")
    return Validated(case.search, bests, found_out, _holdout_after(run, history, judged))


def remembered(run: PipelineRun, prescreened: Prescreened, trials: list[Trial]) -> History:
    """Put what was tried on file, before anything of it is looked at."""
    history, settings, data = _history(run), run.settings, run.bars.before(run.split).sha256
    history.prescreened(prescreened.tried, settings, run.mode, data)
    for one in run.seed_files:
        history.tried(one.tried, "seeds of another prescreen", sha256=one.sha256)
    searched = sum(one.source == "sampler" for one in trials)
    how = {name: value for name, value in asdict(settings.search).items() if name not in ("processes", "storage")}
    # What it proposed is part of it: seeds of an earlier round, say, lead elsewhere.
    proposed = [one.parameters for one in trials if one.source == "sampler"]
    made = made_of(prescreened.tried, settings, run.mode, data)
    history.tried(searched, "search", **made, search=how, proposed=proposed)
    return history


def publish(run: PipelineRun, prescreened: Prescreened, trials: list[Trial], validated: Validated) -> dict[str, Any]:
    """Put the result tree in place, close the run, and say what came out."""
    approve(run, prescreened, trials, validated)
    files, record = rendered(run, prescreened, trials, validated)
    for stepped_aside in run.tree.publish(files, record):
        run.screen.say(f"  {stepped_aside}")
    result = outcome(run, prescreened, trials, validated)
    snapshot.write_json(run.folder.outcome, result)  # a later run replaces the tree, and this stays
    runs.finish(run.folder, run.record)
    return result


def rendered(
    run: PipelineRun, prescreened: Prescreened, trials: list[Trial], validated: Validated
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Every file of the result tree, and the manifest without their sums."""
    files = {
        PHASE0: codec.encode(phase0_record(run.labels, run.settings, run.in_sample.market, prescreened)),
        ALL_TRIALS: codec.encode(records.all_trials(run.labels, trials)),
    }
    if validated.search is not None:
        files[SEARCH] = codec.encode({**run.labels, **validated.search.as_json()})
    market, whole, capital = run.everything.market, run.everything.whole, run.settings.costs.capital
    synthetic = " · SYNTHETIC DATA" if run.bars.synthetic else ""
    objectives = run.settings.search.objectives
    if len(objectives) > 1:
        best_of_both = pareto.front(trials, objectives)
        chosen = {best: one.trial.number for best, one in validated.judged.items()}
        files[PARETO] = codec.encode(records.pareto_front(run.labels, objectives, trials, best_of_both, chosen))
        title = f"{run.order.symbol} {run.order.mode} · Pareto front{synthetic}"
        files[PARETO_SVG] = front.svg(trials, best_of_both, set(chosen.values()), objectives, title)
    for best, one in validated.judged.items():
        of_best = records.of_best(run.labels, best, one, run.mode.family, asdict(run.settings.costs))
        files |= {f"{best}/{name}": codec.encode(record) for name, record in of_best.items()}
        files[f"{best}/plateau.svg"] = svg(one.plateau, f"{run.order.symbol} {run.order.mode} · {best}{synthetic}")
        apart = {name: windows.record(ledger, market, run.windows[name]) for name, ledger in one.ledgers.items()}
        files[f"{best}/{WINDOWS}"] = codec.encode({**run.labels, "strategy": best, **apart})
        files[f"{best}/trades.csv"] = trades_csv(one.whole, market)
        files[f"{best}/equity.csv"] = equity_csv(one.whole, market, whole, run.split, capital)
        sheet = tearsheet.of_finalist(run.labels, best, one, run.mode.family, run.settings.costs, market, run.split)
        files[f"{best}/{TEARSHEET}"] = page.render(sheet)
    return files, manifest.record(_facts(run, prescreened, trials, validated))


def outcome(run: PipelineRun, prescreened: Prescreened, trials: list[Trial], validated: Validated) -> dict[str, Any]:
    """What `--json` prints and the final table shows."""
    tried, judged = run.tries(prescreened, trials), validated.judged
    return {
        **run.labels,
        "run_id": run.record.run_id,
        "round": run.round,
        "resumed": run.record.resumed,
        "verdict": _verdict(run, prescreened, trials, judged),
        "bests": records.bests(judged, validated.promotions),
        "holdout": None if validated.holdout is None else asdict(validated.holdout),
        "chance": chance(tried, len(np.unique(run.in_sample.market.day))),
        "prescreen": {
            "tried": prescreened.tried,
            "eligible": prescreened.eligible,
            "bar_combos_per_s": run.bar_combos_per_s,
        },
        "durations_s": run.durations_s,
        "artifacts": str(run.tree.folder),
        "next": _next_command(run, judged),
    }


# helpers --------------------------------------------------------------------------------------------------------------


def _history(run: PipelineRun) -> History:
    return History.of(run.ledger, run.everything.market, run.windows, run.record.run_id, run.clock)


def _holdout_after(run: PipelineRun, history: History, judged: dict[int, Judged]) -> Holdout | None:
    """Synthetic bars are no market: they have no holdout that could be used up."""
    if run.bars.synthetic or not judged:
        return None
    ceiling, fraction = run.settings.verdict.max_holdout_luck, run.settings.split.holdout_fraction
    days = len(next(iter(judged.values())).out_of_sample_returns)
    found = [one.in_sample_returns for one in judged.values()]
    left = holdout.after(history, found, days, ceiling, fraction, run.holdout_before)
    return None if left is None else holdout.told(left, run.order.data_path, run.order.symbol)


def _verdict(run: PipelineRun, prescreened: Prescreened, trials: list[Trial], judged: dict[str, Judged]) -> str:
    if judged:
        return next(iter(judged.values())).verdict
    most = max((prescreened.most_trades, *(trial.result.metrics.get("total_trades", 0) for trial in trials)))
    silent = most == 0 and trials and not run.in_sample.has_side(space.Combos.of([t.parameters for t in trials]))
    days = len(run.in_sample.market) / BARS_PER_DAY if silent else None
    moves = bool(np.ptp(run.in_sample.market.close) > 0)
    return verdict.nothing_line(run.tries(prescreened, trials), most, run.settings.prescreen.min_trades, days, moves)


def _facts(
    run: PipelineRun, prescreened: Prescreened, trials: list[Trial], validated: Validated
) -> manifest.ManifestFacts:
    minutes, device = run.bars.minutes, run.in_sample.choice.device
    return manifest.ManifestFacts(
        labels=run.labels,
        verdict=_verdict(run, prescreened, trials, validated.judged),
        data={
            "sha256": run.bars.sha256,
            "minutes": minutes and minutes.as_json(),
            **run.report.as_json(),
            **run.order.reading.as_json(),
        },
        windows={name: walk_forward.span(run.everything.market, window) for name, window in run.windows.items()},
        config=config_of(run.order),
        seed=run.settings.run.seed,
        engine=run.in_sample.engine_name,
        gpu=None if device is None else device.name,
        tries={
            "earlier_rounds": run.carried_tries,
            "prescreen": prescreened.tried,
            "total": run.tries(prescreened, trials),
        },
        phase0_seeds=[
            {"path": one.path, "sha256": one.sha256, "tried": one.tried, "seeds": len(one.seeds)}
            for one in run.seed_files
        ],
        promotion=validated.promotions,
        execution={
            "run_id": run.record.run_id,
            "round": run.round,
            "started_at": run.record.started_at,
            "finished_at": stamp(run.clock.now()),
            "resumed": run.record.resumed,
            "durations_s": run.durations_s,
            "bar_combos_per_s": run.bar_combos_per_s,
            "prescreened_by": sorted(run.prescreened_by),
            "threads": run.cores,
            "search_processes": run.processes,
        },
    )


def _next_command(run: PipelineRun, judged: dict[str, Judged]) -> str:
    if run.bars.synthetic:
        return "scripts/backtest-optimize --parallel --symbols SOL --data-path FOLDER_WITH_YOUR_BARS"
    if not judged:
        return f"another space: --mode {next((m for m in run.settings.modes if m != run.order.mode), run.order.mode)}"
    return f"hooks/promotion.py {shlex.quote(str(run.tree.folder))}"
