"""A result tree that passes every check, made from trades, and a forger who edits it and can write every hash."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from config import settings as operator
from state.files import sealed
from WORKFLOW.recount import checks as recounting
from WORKFLOW.recount import figures
from WORKFLOW.recount.files import WINDOW_NAMES, Simulation, read, tree_of
from WORKFLOW.validity.chance import expected_max_sharpe
from WORKFLOW.validity.promote import ledger_check

DAY_S, BARS_A_DAY = 86_400, 288
FIRST_S = 1_672_531_200  # 2023-01-01
DAYS = {"in_sample": 600, "out_of_sample": 250}
CAPITAL, TRIES = 10_000.0, 1_000
PARAMETERS = {"fast_period": 5}
HISTORY = ("ledger_whole", "deflated_sharpe_of_all_tries", "holdout_after_all_looks", "vectorbt_agrees")


def trade(first_day: int, days: int, mean: float, spread: float, seed: int, capital: float = CAPITAL) -> Simulation:
    """One trade on every other day, flat at its end; `mean` and `spread` of a trade's net profit, as fractions."""
    net = np.random.default_rng(seed).normal(mean, spread, days // 2)
    pnl, equity = np.empty(len(net)), capital
    for number, one in enumerate(net):
        pnl[number] = equity * one
        equity += pnl[number]
    opens = FIRST_S + DAY_S * (first_day + np.arange(days, dtype=np.int64))
    marks = capital + np.repeat(np.cumsum(pnl), 2)
    return Simulation(opens + DAY_S - 300, marks, opens[::2] + 36_000, opens[::2] + 72_000, pnl, net)


def joined(runs: Sequence[Simulation]) -> Simulation:
    """The same trades in one continuous run."""
    net = np.concatenate([run.net for run in runs])
    pnl, equity = np.empty(len(net)), CAPITAL
    for number, one in enumerate(net):
        pnl[number] = equity * one
        equity += pnl[number]
    parts = {name: np.concatenate([getattr(run, name) for run in runs]) for name in ("days", "entry", "exit")}
    return Simulation(marks=CAPITAL + np.repeat(np.cumsum(pnl), 2), pnl=pnl, net=net, **parts)


def metrics_of(run: Simulation) -> dict[str, Any]:
    """All metrics, those that only bars can tell among them."""
    draft: dict[str, Any] = {"max_drawdown_pct": 0.0}
    draft["max_drawdown_pct"] = figures.again(run, draft, len(run.marks) * BARS_A_DAY, CAPITAL)[
        "max_drawdown_daily_pct"
    ]
    found = figures.again(run, draft, len(run.marks) * BARS_A_DAY, CAPITAL)
    untold = {"max_drawdown": 500.0, "exposure": 0.2, "turnover": 40.0, "filled_bar_fills": 0, "ruined": False}
    return {**found, **draft, **untold}


def publish(folder: Path, best: str = "best_sharpe", mean: float = 0.006, out: float = 0.006) -> Path:
    """A tree with one best; `mean`, `out`: what a trade earns on average in-sample and out-of-sample."""
    inside = trade(0, DAYS["in_sample"], mean, 0.015, 1)
    outside = trade(DAYS["in_sample"], DAYS["out_of_sample"], out, 0.015, 2)
    runs, whole = dict(zip(WINDOW_NAMES, (inside, outside), strict=True)), joined([inside, outside])
    metric = {**{name: metrics_of(run) for name, run in runs.items()}, "full": metrics_of(whole), "verdict": "…"}
    labels = {"symbol": "SOL", "mode": "aggressive", "synthetic": False}
    records = {
        "search.json": {**labels, **_search()},
        f"{best}/metrics.json": {**labels, **metric},
        f"{best}/config.json": {**labels, "parameters": PARAMETERS, "costs": _config()["costs"]},
        f"{best}/plateau.json": {**labels, **_plateau(metric), "parameters": PARAMETERS},
        f"{best}/validation.json": {**labels, **_validation(metric)},
        f"{best}/windows.json": {**labels, **{name: _window(run) for name, run in runs.items()}},
    }
    for name, record in records.items():
        write(folder / name, record)
    (folder / best / "equity.csv").write_text(_equity(whole))
    (folder / best / "trades.csv").write_text(_trades(whole))
    write(folder / "run_manifest.json", {**labels, **_manifest(best)})
    reseal(folder)
    judge_again(folder, best)
    return folder


def judge_again(folder: Path, best: str = "best_sharpe") -> None:
    """Forge with our own code: write every check as the stored figures give it, and every hash."""
    reseal(folder)
    found = recounting.checks(read(tree_of(folder), best))
    edit(folder / best / "validation.json", lambda v: v | {"checks": found[:-4], "candidate": _all(found[:-4])})
    edit(
        folder / "run_manifest.json",
        lambda m: m["promotion"][best].update(checks=found[-4:], promoted=_all(found)) or m,
    )
    reseal(folder)


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """The record at `path` as `change` gives it back, or leaves it."""
    record = json.loads(path.read_text())
    write(path, change(record) or record)


def reseal(folder: Path) -> None:
    """Every sum as our own code writes it."""
    manifest = json.loads((folder / "run_manifest.json").read_text())
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "run_manifest.json")
    sums = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    write(folder / "run_manifest.json", sealed.manifest({**manifest, "files": sums}))


def write(path: Path, record: Any) -> None:
    """As JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def _all(checks: Sequence[dict[str, Any]]) -> bool:
    return all(check["passed"] for check in checks)


def _config() -> dict[str, Any]:
    """The sections that a replay and a check read, as a manifest holds them."""
    tree = json.loads(json.dumps(asdict(operator.load({}))))
    some = {name: tree[name] for name in ("costs", "split", "data", "validity", "verdict", "prescreen")}
    return {**some, "modes": {"aggressive": tree["modes"]["aggressive"]}}


def _search() -> dict[str, Any]:
    return {
        "tried": TRIES,
        "effective_trials": 40.0,
        "overfitting": {"pbo": 0.1},
        "superior_ability": {"consistent": 0.002},
        "placebo": {"p_value": 1 / 40, "best": 3.0, "luck": [1.0] * 39},
    }


def _plateau(metric: dict[str, Any]) -> dict[str, Any]:
    return {"sharpe_ratio": metric["in_sample"]["sharpe_ratio"], "summary": {"share_of_half": 0.9}}


def _validation(metric: dict[str, Any]) -> dict[str, Any]:
    days = DAYS["in_sample"]
    without = {name: {"trades": 0, "sharpe_ratio": metric[name]["sharpe_ratio"]} for name in WINDOW_NAMES}
    walked = {
        "windows": [{"in_sample": {"sharpe_ratio": 4.0}}],
        "sharpe_ratio": 2.0,
        "efficiency": {"sharpe_ratio": 0.5},
    }
    return {
        "verdict": "…",
        "candidate": True,
        "checks": [],
        **{name: {**_span(name), "metrics": metric[name]} for name in WINDOW_NAMES},
        "chance": {"tries": TRIES, "days": days, "expected_max_sharpe": expected_max_sharpe(TRIES, days)},
        "effective_trials": 40.0,
        "buy_and_hold": {"out_of_sample": {"sharpe_ratio": 0.3}},
        "engines": {"agree": True},
        "look_ahead": {"proven": True, "first_difference": None},
        "wicks": {"allowed": 0, **without},
        "plateau": {"share_of_half": 0.9},
        "walk_forward": {"process": {"rolling": walked}},
    }


def _span(name: str) -> dict[str, Any]:
    return {"from": name, "bars": DAYS[name] * BARS_A_DAY}


def _manifest(best: str) -> dict[str, Any]:
    agrees = {
        "name": "vectorbt_agrees",
        "passed": True,
        "value": True,
        "threshold": None,
        "needed": "",
        "if_failed": "",
    }
    history = {"tries_of_all_runs": TRIES, "looks_of_all_runs": 1, "checks": [asdict(ledger_check(0)), agrees]}
    return {
        "verdict": "candidate: …",
        "data": {"synthetic": False, "sha256": "0" * 64, "source": "/nowhere/SOL.csv", "copies_dropped": 0}
        | {"wicks_allowed": False},
        "windows": {name: _span(name) for name in WINDOW_NAMES},
        "config": _config(),
        "tries": {"total": TRIES},
        "promotion": {best: {"promoted": True, "reason": "", **history}},
        "execution": {"run_id": "bt-20260101_000000Z", "round": 0},
        "files": {},
    }


def _window(run: Simulation) -> dict[str, Any]:
    trades = {"side": ["long"] * len(run.pnl), "entry_time": _times(run.entry), "exit_time": _times(run.exit)}
    trades |= {"pnl": run.pnl.tolist(), "net_pnl_pct": run.net.tolist()}
    return {"time": _times(run.days), "equity": run.marks.tolist(), "trades": trades}


def _times(seconds: Any) -> list[str]:
    return [f"{np.datetime64(int(one), 's')}Z" for one in seconds]


def _equity(run: Simulation) -> str:
    names = [name for name in WINDOW_NAMES for _ in range(DAYS[name])]
    rows = zip(_times(run.days), run.marks.tolist(), names, strict=True)
    return "time,equity,window\n" + "".join(f"{time},{mark},{name}\n" for time, mark, name in rows)


def _trades(run: Simulation) -> str:
    rows = zip(_times(run.entry), _times(run.exit), run.pnl.tolist(), run.net.tolist(), strict=True)
    return "entry_time,exit_time,pnl,net_pnl_pct\n" + "".join(f"{a},{b},{p},{n}\n" for a, b, p, n in rows)
