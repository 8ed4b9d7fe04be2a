"""What a run leaves: the files of its result tree, its manifest, and what it says on the screen."""

import shlex
from dataclasses import asdict
from typing import Any

import numpy as np

from state.files import codec
from state.files.artifacts import ALL_TRIALS, PARETO, PARETO_SVG, PHASE0, SEARCH, TEARSHEET, WINDOWS
from state.host.clock import stamp
from WORKFLOW.data.bars import BARS_PER_DAY
from WORKFLOW.pipeline.handover import phase0_record
from WORKFLOW.pipeline.judge import Validated
from WORKFLOW.pipeline.run import PipelineRun, config_of
from WORKFLOW.report import front, manifest, records, windows
from WORKFLOW.report.artifacts import equity_csv, trades_csv
from WORKFLOW.report.heat_maps import svg
from WORKFLOW.report.tearsheet import document as tearsheet
from WORKFLOW.report.tearsheet import page
from WORKFLOW.search import pareto, space
from WORKFLOW.search.prescreen import Prescreened
from WORKFLOW.search.study import Trial
from WORKFLOW.validity import verdict, walk_forward
from WORKFLOW.validity.chance import Chance
from WORKFLOW.validity.finalist import Judged


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
    market, whole, costs = run.everything.market, run.everything.whole, run.settings.costs
    synthetic = " · SYNTHETIC DATA" if run.bars.synthetic else ""
    objectives = run.settings.search.objectives
    if len(objectives) > 1:
        best_of_both = pareto.front(trials, objectives)
        chosen = {best: finalist.trial.number for best, finalist in validated.judged.items()}
        files[PARETO] = codec.encode(records.pareto_front(run.labels, objectives, trials, best_of_both, chosen))
        title = f"{run.order.symbol} {run.order.mode} · Pareto front{synthetic}"
        files[PARETO_SVG] = front.svg(trials, best_of_both, set(chosen.values()), objectives, title)
    for best, finalist in validated.judged.items():
        of_best = records.of_best(run.labels, best, finalist, run.mode.family, asdict(costs))
        files |= {f"{best}/{name}": codec.encode(record) for name, record in of_best.items()}
        files[f"{best}/plateau.svg"] = svg(finalist.plateau, f"{run.order.symbol} {run.order.mode} · {best}{synthetic}")
        apart = {name: windows.record(ledger, market, run.windows[name]) for name, ledger in finalist.ledgers.items()}
        files[f"{best}/{WINDOWS}"] = codec.encode({**run.labels, "strategy": best, **apart})
        files[f"{best}/trades.csv"] = trades_csv(finalist.whole, market)
        files[f"{best}/equity.csv"] = equity_csv(finalist.whole, market, whole, run.split, costs.capital)
        sheet = tearsheet.of_finalist(run.labels, best, finalist, run.mode.family, costs, market, run.split)
        files[f"{best}/{TEARSHEET}"] = page.render(sheet)
    return files, manifest.record(_facts(run, prescreened, trials, validated))


def summary(run: PipelineRun, prescreened: Prescreened, trials: list[Trial], validated: Validated) -> dict[str, Any]:
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
        "chance": asdict(Chance.of(tried, len(np.unique(run.in_sample.market.day)))),
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


def _verdict(run: PipelineRun, prescreened: Prescreened, trials: list[Trial], judged: dict[str, Judged]) -> str:
    if judged:
        return next(iter(judged.values())).verdict
    measured = [trial.result.metrics for trial in trials if trial.result.metrics]
    most = max((prescreened.most_trades, *(one.total_trades for one in measured)))
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
        windows={
            name: walk_forward.span(run.everything.market, window).as_json() for name, window in run.windows.items()
        },
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
            {"path": file.path, "sha256": file.sha256, "tried": file.tried, "seeds": len(file.seeds)}
            for file in run.seed_files
        ],
        promotion={best: one.as_json() for best, one in validated.promotions.items()},
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
