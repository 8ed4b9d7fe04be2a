"""`results`: the tables of the current run or of the last one, or one table of all runs."""

import json
from typing import Any

from config.errors import Refused
from scripts.infra import environment
from scripts.swarm import cli, leaderboard
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.host import command
from state.records import orders, strategies
from state.records.orders import SwarmOrder


def main(argv: list[str]) -> int:
    """Print the tables; 1 when there is no result to print."""
    parser = command.parser(
        "backtest-optimize results",
        "Show what the current run has found so far, or what the last run found; with --all, all runs in one table.",
        "scripts/backtest-optimize results\n  scripts/backtest-optimize results --all --real --sort drawdown",
        "0 shown, 1 there is no result (yet), none matches, or every symbol and mode failed, 2 usage",
        "print one JSON object",
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run id (default: the current one)")
    parser.add_argument("--by-regime", action="store_true", help="also show each finalist by market regime")
    leaderboard.add_flags(parser)
    asked = parser.parse_args(argv)
    if asked.run is not None and leaderboard.is_asked(asked):
        parser.error(f"{asked.run} names one run, and the other flags are for all runs: leave out either")
    if asked.top is not None and asked.top < 0:
        parser.error(f"--top is {asked.top}; it must be 0 (all) or more")
    if (lack := environment.missing(CHECKOUT)) is not None:  # the library that lays out tables is in the environment
        raise lack
    roots = Roots.from_environment()
    order = orders.current(roots) if asked.run is None else orders.read(roots.swarm_run(asked.run).order)
    only_single = order is None and asked.run is None and bool(strategies.collected(roots))
    if leaderboard.is_asked(asked) or only_single:
        return leaderboard.show(roots, asked)
    if order is None:
        known = cli.on_file("runs on file", (one.run_id for one in orders.every(roots)[:10]))
        raise Refused(f"there is no run {asked.run}" if asked.run else "there is no run yet", known)
    failed = orders.finished(roots.swarm_run(order.run_id)).failed
    found = outcomes_of(roots, order)
    if not found and not failed:
        raise Refused(f"{order.run_id} has no result yet", "see how far it is: scripts/backtest-optimize status")
    if asked.json:
        is_complete = not orders.is_open(roots, order)
        answer = {"run_id": order.run_id, "complete": is_complete, "failed": failed, "outcomes": found}
        print(json.dumps(answer, indent=2))
    else:
        show_all(found, failed, order.rounds, asked.by_regime)
    return 0 if found else 1


def show_all(outcomes: list[dict[str, Any]], failed: dict[str, str], rounds: int, by_regime: bool = False) -> None:
    """Print a table and its verdicts for each unit, then a summary line. `rounds` were ordered; 0: no fixed number."""
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
    """Return the outcome of each unit (symbol and mode), from its last round that has an outcome."""
    found = []
    for unit in order.units:
        for folder in reversed(roots.swarm_run(order.run_id).rounds()):
            outcome = snapshot.read_json(folder.unit(*unit).outcome)
            if isinstance(outcome, dict):
                found.append(outcome)
                break
    return found
