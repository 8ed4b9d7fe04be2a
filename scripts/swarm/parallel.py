"""`--parallel`: starts the control plane, then the work: every symbol × mode × lane. It only asks; agents act."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.machine import launcher
from config import settings
from config.errors import Refused
from config.record import replace
from config.settings import Settings
from scripts.swarm import cli, leaderboard, sessions, tmux
from scripts.swarm.follow import Ended, follow
from state import orders, runs, snapshot, wake
from state.clock import SystemClock, stamp
from state.layout import Roots
from state.orders import SwarmOrder
from state.tighten import prepare

_WAIT_S = 60.0  # for another start to end
_EPILOG = """\
examples:
  scripts/backtest-optimize --parallel                                        one round on generated demo bars
  scripts/backtest-optimize --parallel --symbols SOL,BTC --modes aggressive,balanced --data-path ~/data
  scripts/backtest-optimize --parallel --symbols SOL --data-path ~/data --rounds 1 --wait --json

On a terminal it follows the progress; Ctrl-C leaves the swarm running. Without one it launches and returns (--wait
waits). The same command goes on with a run that was stopped. Results are those of --single, byte for byte.
A lane is one core, for one worker at a time (settings swarm.lanes, swarm.lane_cores).

exit codes: 0 launched, or with --wait all of it complete; 1 refused, or something failed; 2 usage; 130 Ctrl-C
"""


@dataclass(frozen=True)
class Wish:
    """What was typed, checked."""

    symbols: tuple[str, ...]
    modes: tuple[str, ...]
    rounds: int
    data_path: Path | None
    engine: str
    repair: bool
    settings: Settings
    gpu: int | None = None


def main(argv: list[str]) -> int:
    """The command."""
    from WORKFLOW.command_line import gpu_of

    flags = parser()
    asked = flags.parse_args(argv)
    if asked.rounds is not None and asked.rounds < 0:
        flags.error(f"--rounds is {asked.rounds}: 0 goes on until stop, 1 and more are counted")
    if asked.demo and asked.data_path is not None:
        flags.error("--demo generates its own bars, and --data-path names others: leave one of them out")
    try:
        gpu_of(asked)
    except Refused as refusal:
        flags.error(f"{refusal.reason}: {refusal.way_out}")
    return _run(asked)


def parser() -> cli.Parser:
    """Its flags."""
    from WORKFLOW.command_line import ENGINE_HELP, ENGINES

    p = cli.Parser(
        prog="backtest-optimize --parallel",
        description="Start the swarm and let every core search: all symbols × modes × lanes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--symbols", metavar="A,B", help="as results are to name them; data files' names start with them")
    p.add_argument("--modes", metavar="A,B", help="parameter spaces of the settings (default: run.modes)")
    p.add_argument("--rounds", type=int, metavar="N", help="0: until stop (default: 0 with data, 1 on demo bars)")
    p.add_argument("--data-path", type=Path, metavar="D", help="folder or file with 5-minute bars (default: demo bars)")
    p.add_argument("--demo", action="store_true", help="generated bars, labelled synthetic; the default without data")
    p.add_argument("--prescreen", type=int, metavar="N", help="combos to try in phase 0")
    p.add_argument("--trials", type=int, metavar="N", help="Optuna trials")
    p.add_argument("--paths", type=int, metavar="N", help="Monte Carlo paths")
    p.add_argument(
        "--seed", type=int, metavar="S", help="of every random draw in round 1; one more in each that follows"
    )
    p.add_argument("--engine", choices=ENGINES, default="auto", help=ENGINE_HELP)
    p.add_argument("--gpu", type=int, metavar="N", help="number of the only GPU to use (default: all); -1: none")
    p.add_argument("--repair", action="store_true", help="drop rows that repeat an earlier row in every value")
    how = p.add_mutually_exclusive_group()
    how.add_argument("--wait", action="store_true", help="return when the run is complete, without a terminal too")
    how.add_argument("--detach", action="store_true", help="launch and return, on a terminal too")
    p.add_argument("--json", action="store_true", help="print one JSON object at the end")
    return p


def _run(asked: argparse.Namespace) -> int:
    roots = Roots.from_environment()
    wish = _wish(asked, roots)
    tmux.require()
    prepare(roots, deep=True)
    if not asked.json:
        what = "generated demo bars (SYNTHETIC)" if wish.data_path is None else str(wish.data_path)
        print(f"backtest-optimize · {','.join(wish.symbols)} × {','.join(wish.modes)} · {what}", file=sys.stderr)
    try:
        with launcher.launch_lock(roots, _WAIT_S):
            order, resumed = _order(roots, wish)
            sessions.begin(roots, wish.settings)
            done = launcher.ensure_sessions(roots, wish.settings.swarm)
    except launcher.Busy as busy:
        raise Refused(str(busy), "wait for it, then type this again") from busy
    for what in done.repaired:
        print(f"  {what}", file=sys.stderr)
    wake.nudge(roots.pipe("auto_scheduler"))
    word = "going on with" if resumed else "run"
    up = f"{len(done.started)} sessions started" if done.started else "the swarm is up already"
    print(f"  {word} {order.run_id} · {up}\n  state {roots.state}", file=sys.stderr)
    if asked.detach or not (asked.wait or sys.stderr.isatty()):
        _launched(roots, order, asked.json)
        return 0
    ended = follow(roots, order)
    if ended is Ended.LEFT:
        print("\nthe swarm goes on without you", file=sys.stderr)
        _launched(roots, order, asked.json)
        return 130
    return _finish(roots, order, ended, asked.json)


def _launched(roots: Roots, order: SwarmOrder, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"run_id": order.run_id, "state_root": str(roots.state), "complete": False}, indent=2))
        return
    for what, command in (("see", "status"), ("watch", "attach"), ("read", "results"), ("end", "stop")):
        print(f"  {what:<6} scripts/backtest-optimize {command}")


def _finish(roots: Roots, order: SwarmOrder, ended: Ended, as_json: bool) -> int:
    from scripts.swarm.status import failures

    outcomes = outcomes_of(roots, order)
    failed = failures(roots)
    if as_json:
        print(
            json.dumps(
                {
                    "run_id": order.run_id,
                    "complete": ended is Ended.COMPLETE,
                    "failed": failed,
                    "outcomes": outcomes,
                },
                indent=2,
            )
        )
    else:
        show_all(outcomes, failed, order.rounds)
        if ended is Ended.COMPLETE:
            print("\nthe swarm stays up, idle, for the next run; to end it:\n  scripts/backtest-optimize stop")
    if ended is Ended.STOPPED:
        print("the operator stopped the swarm; the same command goes on where it was", file=sys.stderr)
    return 0 if ended is Ended.COMPLETE and not failed else 1


def results(argv: list[str]) -> int:
    """`results`: the tables of the run under way, or of the last one; or one table of all runs."""
    parser_ = cli.parser(
        "backtest-optimize results",
        "What the run under way has found so far, or what the last one found; with --all, all runs in one table.",
        "scripts/backtest-optimize results\n  scripts/backtest-optimize results --all --real --sort drawdown",
        "0 shown, 1 there is nothing (yet), nothing matches, or every symbol and mode failed, 2 usage",
        "print one JSON object",
    )
    parser_.add_argument("run", nargs="?", metavar="RUN", help="a run id (default: the current one)")
    parser_.add_argument("--by-regime", action="store_true", help="also show each finalist by market regime")
    leaderboard.add_flags(parser_)
    asked = parser_.parse_args(argv)
    if asked.run is not None and leaderboard.is_asked(asked):
        parser_.error(f"{asked.run} is one run, and the flags are of all: leave one of them out")
    if asked.top is not None and asked.top < 0:
        parser_.error(f"--top is {asked.top}: 0 shows all")
    roots = Roots.from_environment()
    order = orders.current(roots) if asked.run is None else orders.read(roots.swarm_run(asked.run).order)
    only_single = order is None and asked.run is None and bool(leaderboard.collected(roots))
    if leaderboard.is_asked(asked) or only_single:
        return leaderboard.show(roots, asked)
    if order is None:
        known = ", ".join(one.run_id for one in orders.every(roots)[:10]) or "none"
        raise Refused(f"there is no run {asked.run}" if asked.run else "there is no run yet", f"runs on file: {known}")
    record = snapshot.read_json(roots.swarm_run(order.run_id).finished)
    failed = dict(record.get("failed", {})) if isinstance(record, dict) else {}
    found = outcomes_of(roots, order)
    if not found and not failed:
        raise Refused(f"{order.run_id} has no result yet", "see how far it is: scripts/backtest-optimize status")
    if asked.json:
        answer = {"run_id": order.run_id, "complete": bool(record), "failed": failed, "outcomes": found}
        print(json.dumps(answer, indent=2))
    else:
        show_all(found, failed, order.rounds, asked.by_regime)
    return 0 if found else 1


def show_all(outcomes: list[dict[str, Any]], failed: dict[str, str], rounds: int, by_regime: bool = False) -> None:
    """A table and its verdicts a unit, then in one line what it all came to. `rounds` that were ordered: 0 is any."""
    from rich.console import Console

    from WORKFLOW.report.tables import show

    for outcome in outcomes:
        if rounds != 1:
            of = f" of {rounds}" if rounds else ""
            print(f"\n{outcome['symbol']} {outcome['mode']} · its newest result is of round {outcome['round'] + 1}{of}")
        show(outcome, Console(), by_regime)
    print()
    for unit, why in failed.items():
        print(f"{unit}: {why}")
    if not outcomes:
        print("there is no result: every symbol and mode failed; fix what is said above and type the command again")
        return
    bests = [best for outcome in outcomes for best in outcome["bests"].values()]
    held = sum(best["verdict"].startswith("candidate") for best in bests)
    print(f"{held} of {len(bests)} strategies hold up; each unit is held against luck in its own tries")


def outcomes_of(roots: Roots, order: SwarmOrder) -> list[dict[str, Any]]:
    """What each unit came to, of its last round that has an outcome."""
    found = []
    for unit in order.units:
        for folder in reversed(roots.swarm_run(order.run_id).rounds()):
            outcome = snapshot.read_json(folder.unit(*unit).outcome)
            if isinstance(outcome, dict):
                found.append(outcome)
                break
    return found


# what was typed -------------------------------------------------------------------------------------------------------


def _wish(asked: argparse.Namespace, roots: Roots) -> Wish:
    from WORKFLOW.command_line import DEMO_SYMBOL, changes
    from WORKFLOW.engines.gpu.presence import reason_against

    if (open_run := _unfinished(asked, roots)) is not None:
        return open_run

    resolved = settings.with_values(settings.load(), **changes(asked))
    modes = _names(asked.modes) or resolved.run.modes
    for mode in modes:
        resolved.mode(mode)
    if asked.engine == "gpu" and (against := reason_against()) is not None:
        raise against
    symbols = _names(asked.symbols)
    if asked.data_path is None:
        if symbols and symbols != (DEMO_SYMBOL,):
            raise Refused(f"no bars for {', '.join(symbols)}", "name them with --data-path FOLDER")
        rounds = 1 if asked.rounds is None else asked.rounds
        return Wish((DEMO_SYMBOL,), modes, rounds, None, asked.engine, asked.repair, resolved, asked.gpu)
    _check_data(asked.data_path, symbols)
    rounds = 0 if asked.rounds is None else asked.rounds
    return Wish(symbols, modes, rounds, asked.data_path.absolute(), asked.engine, asked.repair, resolved, asked.gpu)


def _unfinished(asked: argparse.Namespace, roots: Roots) -> Wish | None:
    """Typed without saying what to do, the command goes on with what is not done yet."""
    asks = ("symbols", "modes", "rounds", "data_path", "prescreen", "trials", "paths", "seed", "gpu")
    if any(getattr(asked, name) is not None for name in asks) or asked.demo or asked.repair or asked.engine != "auto":
        return None
    order = orders.current(roots)
    if order is None or not _is_open(roots, order):
        return None
    resolved = settings.of_tree({**order.settings, "swarm": settings.tree_of(settings.load())["swarm"]})
    path = None if order.data_path is None else Path(order.data_path)
    return Wish(order.symbols, order.modes, order.rounds, path, order.engine, order.repair, resolved, order.gpu)


def _names(text: str | None) -> tuple[str, ...]:
    """A comma-separated list, each name once, in order."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _check_data(path: Path, symbols: tuple[str, ...]) -> None:
    from WORKFLOW.data.find import SUFFIXES, check_symbol, find

    if not path.exists():
        raise Refused(f"there is no {path}", "name a folder or a file with 5-minute bars")
    if not symbols:
        files = sorted(p.name for p in path.iterdir() if p.name.endswith(SUFFIXES)) if path.is_dir() else [path.name]
        raise Refused("--symbols is missing", f"--symbols SOL,BTC; {path} holds: {', '.join(files[:10]) or 'no bars'}")
    for symbol in symbols:
        check_symbol(symbol)
        find(path, symbol)


# the run --------------------------------------------------------------------------------------------------------------


def _order(roots: Roots, wish: Wish) -> tuple[SwarmOrder, bool]:
    """The order on file that is not finished and asks for the same, or a new one. Call it under the launch lock."""
    key = _key(wish)
    current = orders.current(roots)
    if current is not None and _is_open(roots, current) and current.key != key and not roots.tombstone.exists():
        what = f"{','.join(current.symbols)} × {','.join(current.modes)}"
        raise Refused(
            f"another run is under way: {current.run_id}, {what}",
            "scripts/backtest-optimize stop ends it (it can go on later); or name another RESULTS_ROOT",
        )
    found = next((o for o in orders.every(roots) if o.key == key and _is_open(roots, o)), None)
    order = found or _new(roots, wish, key)
    if order.gpu != wish.gpu:  # decides no result, so the run goes on, with what was typed last
        order = replace(order, gpu=wish.gpu)
        orders.write(roots.swarm_run(order.run_id).order, order)
    snapshot.write_json(roots.current_run, {"run_id": order.run_id})
    return order, found is not None


def _new(roots: Roots, wish: Wish, key: str) -> SwarmOrder:
    clock = SystemClock()
    run_id = runs.claim(roots, clock).path.name
    order = SwarmOrder(
        run_id=run_id,
        key=key,
        symbols=wish.symbols,
        modes=wish.modes,
        rounds=wish.rounds,
        data_path=None if wish.data_path is None else str(wish.data_path),
        engine=wish.engine,
        repair=wish.repair,
        started_at=stamp(clock.now()),
        settings=settings.tree_of(wish.settings),
        gpu=wish.gpu,
    )
    orders.write(roots.swarm_run(run_id).order, order)
    return order


def _is_open(roots: Roots, order: SwarmOrder) -> bool:
    return not roots.swarm_run(order.run_id).finished.exists()


def _key(wish: Wish) -> str:
    """All that decides the results; how the swarm goes about it does not."""
    from WORKFLOW import SOURCE_HASH

    tree = settings.tree_of(wish.settings)
    tree.pop("swarm")
    tree["search"].pop("processes")
    path = wish.data_path
    return runs.key_of(
        {
            "symbols": wish.symbols,
            "modes": wish.modes,
            "rounds": wish.rounds,
            "data_path": None if path is None else str(path),
            "engine": wish.engine,
            "repair": wish.repair,
            "code": SOURCE_HASH,
            "settings": tree,
        }
    )
