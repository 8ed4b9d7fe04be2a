"""The command line of scripts/bench --faults: which bars, how long, what is broken how often."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from config.errors import Refused

ABOUT = "Prove healing by breaking: run a swarm of its own, break something every 75 seconds, time what follows."
EPILOG = """\
examples:
  scripts/bench --faults --symbols SOL,BTC --modes aggressive,balanced --data-path ~/data
  scripts/bench --faults --minutes 5 --every 30 --only worker-killed,agent-killed --verify
  scripts/bench --faults --data-path ~/data --symbols SOL --keep /tmp/broken --json

detected in: seconds until the first record (incident, event, job journal, decision) that shows it. healed in: seconds
until all it took away is back: a worker that makes progress, agents that cycle, a tmux that answers. false kills:
workers, loops and servers that died or were replaced without being meant, by the job journal's epochs and the loops'
identities; must be 0. When tmux or all agents are killed nobody of the swarm is left: ensure is called every 5 seconds
then, as a keeper does. Your own swarm is not touched: roots and socket are the campaign's, and gone afterwards.

exit codes: 0 all healed, no false kill, artifacts complete; 1 refused, or one of these is not so; 2 usage; 130 Ctrl-C
"""


def main(arguments: Sequence[str]) -> int:
    """Break, watch, and print; 1 when something has not healed."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _like_ctrl_c)
    try:
        outcome = _outcome(asked)
    except Refused as refusal:
        print(f"refused: {refusal.reason}\n  → {refusal.way_out}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nended before its time; its swarm is stopped", file=sys.stderr)
        return 130
    if asked.json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        from scripts.benchmark.faults import table

        table.show(outcome)
    return 0 if outcome.is_good else 1


def _outcome(asked: argparse.Namespace) -> Any:
    from scripts.benchmark.faults import artifacts  # psutil and the agents: not before --help
    from scripts.benchmark.faults.campaign import Campaign, Plan
    from scripts.benchmark.faults.injuries import FAULTS, TURNS
    from scripts.benchmark.faults.private import private
    from scripts.swarm import tmux

    turns = _turns(asked.only, FAULTS, TURNS)
    tmux.require()
    began_s = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began_s), 60)
        print(f"[{minutes:3}:{seconds:02}] {text}", file=sys.stderr, flush=True)

    more = {} if asked.cadence_scale is None else {"cadence_scale": asked.cadence_scale}
    with private(asked.keep, more) as swarm:
        say(f"a swarm of its own in {swarm.roots.results}")
        swarm.start([*_what(asked), *_sizes(asked)])
        campaign = Campaign(swarm, Plan(asked.minutes, asked.every, turns, asked.seed), say, keeps=asked.verify)
        outcome = campaign.run()
        if asked.verify:
            swarm.stop()
            say("comparing the first round with undisturbed runs of one process")
            compared, different = artifacts.compare(swarm, _sizes(asked))
            outcome = replace(outcome, compared=compared, different=different)
        say("stopping the swarm")
    return outcome


def _turns(only: Sequence[str] | None, known: Any, all_of_them: Sequence[str]) -> Sequence[str]:
    if only is None:
        return all_of_them
    if unknown := [name for name in only if name not in known]:
        raise Refused(f"there is no fault {unknown[0]!r}", f"known: {', '.join(known)}")
    return only


def _what(asked: argparse.Namespace) -> list[str]:
    bars = ["--data-path", str(asked.data_path), "--symbols", asked.symbols] if asked.data_path else ["--demo"]
    words = ["--rounds", str(asked.rounds), *bars]
    return words + (["--modes", asked.modes] if asked.modes else [])


def _sizes(asked: argparse.Namespace) -> list[str]:
    sizes = {"--prescreen": asked.prescreen, "--trials": asked.trials, "--paths": asked.paths}
    return [word for name, value in sizes.items() if value is not None for word in (name, str(value))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench --faults",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = os.environ.get("BACKTEST_OPTIMIZE_DATA")
    add = parser.add_argument
    add("--minutes", type=_positive, default=30.0, metavar="M", help="how long things are broken (default 30)")
    add("--every", type=_positive, default=75.0, metavar="S", help="seconds between two faults (default 75)")
    add("--only", type=lambda text: text.split(","), metavar="NAME[,NAME]", help="these faults, in this turn")
    add(
        "--symbols",
        default="SOL",
        metavar="A,B",
        help="bars of these symbols (default SOL; the demo's own without data)",
    )
    add("--modes", metavar="A,B", help="as --parallel takes them")
    add("--data-path", type=Path, default=data, help="folder or file (default $BACKTEST_OPTIMIZE_DATA, else demo bars)")
    add("--rounds", type=int, default=0, metavar="N", help="0: as many as fit (default)")
    add("--prescreen", type=int, metavar="N", help="combos, as --parallel takes them")
    add("--trials", type=int, metavar="N", help="trials, as --parallel takes them")
    add("--paths", type=int, metavar="N", help="Monte Carlo paths, as --parallel takes them")
    add("--cadence-scale", type=_positive, metavar="X", help="times the agents' cadences (default: the settings' own)")
    add("--seed", type=int, default=7, help="of who is hit (default 7)")
    add(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="an empty folder for its roots, which stays (default: a temporary one)",
    )
    add("--verify", action="store_true", help="compare the first round with --single, byte for byte")
    add("--json", action="store_true", help="one object on standard output")
    return parser


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _like_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
