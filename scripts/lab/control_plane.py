"""What the control plane costs on this machine, beside the limits it has: `scripts/bench control-plane`."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import mean, median
from typing import TYPE_CHECKING

from agents.registry import AGENTS
from scripts.lab import costs, flags
from scripts.lab.machine import processor
from scripts.lab.private_swarm import PrivateSwarm, private_swarm
from state.host import command
from state.host.cores import usable_cores
from WORKFLOW.command_line import add_flags

if TYPE_CHECKING:
    from collections.abc import Iterator

ABOUT = "What agents, sessions and questions cost on this machine: a private swarm is started, measured and ended."
EPILOG = """\
examples:
  scripts/bench control-plane
  scripts/bench control-plane --minutes 10 --work --json

cold cycle: `python -m agents NAME` in a new interpreter. forked cycle: what a loop does every cadence. whole swarm:
CPU time of all loops, monitors and tmux, with all they start, over --minutes; workers are not counted. Limits are for
medians (the average of all agents for cycles). The line of a bare Python is the yardstick of a noisy machine.

exit codes: 0 everything within its limit, 1 something is not, or refused, 2 usage
"""
_COLD_RUNS = 5
_ENSURE_RUNS = 20
_QUESTIONS = 5
EVENTS = 1_000_000
COLD_LIMIT_MS, SWARM_LIMIT_PCT, ENSURE_LIMIT_MS, QUERY_LIMIT_MS = 60.0, 3.0, 100.0, 300.0


@dataclass(frozen=True)
class MeasuredCost:
    """One measured cost; `limit` is None where there is none."""

    what: str
    measured: float
    unit: str
    limit: float | None = None

    @property
    def verdict(self) -> str:
        """What the last column says."""
        return "" if self.limit is None else "ok" if self.measured <= self.limit else "over"


Say = Callable[[str], None]


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 when something is over its limit."""
    return command.run(_parser, _run, arguments, stopped=("stopped; the private swarm is ended", ""))


def _run(asked: argparse.Namespace) -> int:
    with _progress() as say, private_swarm() as swarm:
        found = _measured(swarm, asked.minutes, asked.work, say)
    if asked.json:
        rows = [{**asdict(one), "verdict": one.verdict or None} for one in found]
        print(json.dumps({"machine": _machine(), "findings": rows}, indent=2))
    else:
        print(_table(found))
    return 1 if any(one.verdict == "over" for one in found) else 0


def _measured(swarm: PrivateSwarm, minutes: float, work: bool, say: Say) -> list[MeasuredCost]:
    found = [MeasuredCost("a bare Python", median(costs.bare_python_ms(_COLD_RUNS, swarm)), "ms CPU")]
    say("starting a private swarm")
    began = time.perf_counter()
    swarm.type("start")
    swarm.await_cycles()
    found.append(MeasuredCost("start, until every agent has cycled", time.perf_counter() - began, "s"))
    found += _cycles(swarm, "idle", say)
    found += _whole(swarm, "idle", minutes, say)
    found += _ensure(swarm, say)
    if work:
        say("starting a run on generated bars")
        swarm.type("--parallel", "--rounds", "0")
        swarm.await_worker()
        found += _cycles(swarm, "at work", say)
        found += _whole(swarm, "at work", minutes, say)
    return found + _questions(swarm, say)


def _cycles(swarm: PrivateSwarm, when: str, say: Say) -> list[MeasuredCost]:
    cold, forked = {}, {}
    for row in AGENTS:
        say(f"cycles of {row.name}, {when}")
        cold[row.name] = median(costs.cold_cycles_ms(row.name, _COLD_RUNS, swarm))
        forked[row.name] = median(costs.forked_cycles_ms(row.name, swarm))
    rows = [MeasuredCost(f"cold cycle of {name}, {when}", value, "ms CPU") for name, value in cold.items()]
    return [
        *rows,
        MeasuredCost(f"cold cycle, all agents, {when}", mean(cold.values()), "ms CPU", COLD_LIMIT_MS),
        MeasuredCost(f"forked cycle, all agents, {when}", mean(forked.values()), "ms CPU"),
        MeasuredCost(f"forked cycle, the dearest agent, {when}", max(forked.values()), "ms CPU"),
    ]


def _whole(swarm: PrivateSwarm, when: str, minutes: float, say: Say) -> list[MeasuredCost]:
    before, began = swarm.cpu_s(), time.monotonic()
    while (left := 60 * minutes - (time.monotonic() - began)) > 0:
        say(f"the whole swarm, {when}: {left:.0f} s left")
        time.sleep(min(1.0, left))
    seconds, after = time.monotonic() - began, swarm.cpu_s()
    used = sum(spent - before.get(one, 0.0) for one, spent in after.items())
    memory = [costs.private_mb(one.pid) for one in swarm.members()]
    return [
        MeasuredCost(
            f"whole swarm, {when}, {seconds / 60:.1f} min", 100 * used / seconds, "% of a core", SWARM_LIMIT_PCT
        ),
        MeasuredCost(f"private memory of a session, {when}", median(memory), "MB"),
    ]


def _ensure(swarm: PrivateSwarm, say: Say) -> list[MeasuredCost]:
    say("ensure_swarm_watchdogs.sh, all well")
    took = costs.ensure_ms(_ENSURE_RUNS, swarm)
    return [
        MeasuredCost(f"ensure when all is well, median of {len(took)}", median(took), "ms", ENSURE_LIMIT_MS),
        MeasuredCost(f"ensure when all is well, worst of {len(took)}", max(took), "ms"),
    ]


def _questions(swarm: PrivateSwarm, say: Say) -> list[MeasuredCost]:
    say(f"writing {EVENTS:,} events")
    costs.write_events(swarm.roots.session_events, EVENTS)
    say(f"questions beside {EVENTS:,} events")
    query, status = (median(took) for took in costs.questions_ms(_QUESTIONS, swarm))
    return [
        MeasuredCost(f"--query --json, {EVENTS:,} events on file", query, "ms", QUERY_LIMIT_MS),
        MeasuredCost(f"status --json, {EVENTS:,} events on file", status, "ms", QUERY_LIMIT_MS),
    ]


def _table(found: Sequence[MeasuredCost]) -> str:
    head = ("what", "measured", "limit", "unit", "")
    cells = [
        (one.what, f"{one.measured:.1f}", "" if one.limit is None else f"{one.limit:g}", one.unit, one.verdict)
        for one in found
    ]
    widths = [max(len(row[column]) for row in (head, *cells)) for column in range(len(head))]
    numbers = (1, 2)
    lines = [
        "  ".join(cell.rjust(w) if i in numbers else cell.ljust(w) for i, (cell, w) in pairs).rstrip()
        for row in (head, tuple("─" * w for w in widths), *cells)
        for pairs in [list(enumerate(zip(row, widths, strict=True)))]
    ]
    return "\n".join([_machine(), "", *lines])


def _machine() -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    return " · ".join(
        (
            f"{datetime.now(UTC):%Y-%m-%d}",
            processor(),
            f"{usable_cores()} cores",
            f"Python {python}",
            f"{len(AGENTS)} agents",
        )
    )


@contextmanager
def _progress() -> "Iterator[Say]":
    """A line that says what is being measured; without a terminal one line a stage."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _said_once()
        return
    with console.status("…") as status:
        yield status.update


def _said_once() -> Say:
    said: list[str] = []

    def say(what: str) -> None:
        stage = what.partition(":")[0]
        if stage not in said:
            said.append(stage)
            print(f"… {stage}", file=sys.stderr, flush=True)

    return say


def _parser() -> command.Parser:
    parser = flags.parser("control-plane", ABOUT, EPILOG)
    parser.add_argument("--minutes", type=_minutes, default=2.0, metavar="N", help="of the whole swarm (default 2)")
    parser.add_argument("--work", action="store_true", help="also while a run on generated bars is under way")
    add_flags(parser, "--json", help="one object on standard output")
    return parser


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes from 0.01 to 10,000")
    return value
