"""`handoff`: hand a run over in one file, with evidence that this very command has gathered."""

import contextlib
import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from agents.machine.observe import observe, resolved
from agents.model.world import World
from agents.runtime.cycle import Held, run_cycle
from config.errors import Refused
from config.swarm import SwarmSettings
from scripts.swarm import cli, evidence
from scripts.swarm.handoff_page import Facts, page
from scripts.swarm.results import outcomes_of
from state.files import snapshot
from state.files.journal import Journal
from state.files.knowledge import KnowledgeFolder
from state.files.layout import Roots
from state.host import command, wake
from state.host.clock import SystemClock
from state.records import orders, request
from state.records.jobs import fold
from state.records.orders import SwarmOrder
from state.records.request import Request

_WAIT_S = 30.0  # for the curator: it is nudged, and its cycle takes a fraction of a second
_LOOK_S = 0.1
_DAY_S = 86_400.0  # for a curator that is not there to come back
_EPILOG = """\
examples:
  scripts/backtest-optimize handoff
  scripts/backtest-optimize handoff --run bt-20260131_120000Z --json

Writes HANDOFF_SWARM_RUN_<date>_<time>Z.md into the knowledge folder (setting swarm.records.knowledge_folder, by default
docs/reference under RESULTS_ROOT) and has its findings added to KNOWLEDGE_BASE_BACKTEST.md.

exit codes: 0 written, and all evidence holds; 1 refused, or written and some evidence does not hold; 2 usage
"""


def main(argv: list[str]) -> int:
    """The command."""
    parser = command.Parser(
        prog="backtest-optimize handoff",
        description="Hand a run over: what it did, what it found, what went wrong, what is next, verified now.",
        epilog=_EPILOG,
    )
    parser.add_argument("--run", metavar="RUN", help="a run id (default: the current one, or the last)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    order = _order(roots, asked.run)
    limits = resolved(roots).swarm
    world = observe(roots, limits)
    moment = SystemClock().now()
    facts = _facts(roots, order, world, limits, moment)
    path = _claim(roots.knowledge(limits.records.knowledge_folder), moment, page(facts, None))
    found = evidence.collect(roots, bool(facts.outcomes), _say)
    snapshot.write_bytes(path, page(facts, found).encode())
    added = _tell_curator(roots, limits, world, _wish(roots, order, facts, found, path))
    failing = [one for one in found if not one.passed]
    if asked.json:
        told = {"file": str(path), "run_id": order.run_id, "ok": not failing, "knowledge_base": added}
        print(json.dumps({**told, "evidence": [one.as_json() for one in found]}, indent=2))
    else:
        _show(path, found, added)
    return 1 if failing else 0


def _order(roots: Roots, run_id: str | None) -> SwarmOrder:
    known = orders.every(roots)
    order = next((one for one in known if one.run_id == run_id), None) if run_id else orders.current(roots)
    order = order if order is not None or run_id else next(iter(known), None)
    if order is None:
        names = cli.on_file("runs on file", (one.run_id for one in known[:10]))
        raise Refused(f"there is no run {run_id}" if run_id else "there is no run yet", names)
    return order


def _facts(roots: Roots, order: SwarmOrder, world: World, limits: SwarmSettings, moment: datetime) -> Facts:
    """Everything the page says besides its evidence, from the run's own records."""
    folder = roots.swarm_run(order.run_id)
    finished = snapshot.read_json(folder.finished)
    records = [r for one in folder.rounds() for r in Journal(one.jobs).read().records if isinstance(r, dict)]
    states = [state for one in folder.rounds() for state in fold(Journal(one.jobs).read().records).values()]
    events = [*Journal(_before(roots.session_events)).read().records, *Journal(roots.session_events).read().records]
    return Facts(
        order=order,
        moment=moment,
        rounds=len(folder.rounds()),
        finished=finished if isinstance(finished, dict) else None,
        outcomes=outcomes_of(roots, order),
        jobs=tuple(states),
        deaths=tuple(r for r in records if r.get("event") == "died"),
        events=tuple(e for e in events if isinstance(e, dict) and str(e.get("at", "")) >= order.started_at),
        world=world if world.run_id == order.run_id else None,
        limits=limits,
        roots=roots,
    )


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _claim(folder: KnowledgeFolder, moment: datetime, text: str) -> Path:
    """A file of this name that nobody else has; it says that nothing is verified yet until the evidence is in.

    The audit that is part of the evidence asks for a fresh handoff, so the file must be there first.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    draft = folder.path / f".handoff.{os.getpid()}.tmp"
    snapshot.write_bytes(draft, text.encode())
    try:
        for number in range(1, 100):
            path = folder.handoff(moment, number)
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)  # unlike a rename it fails when the name is taken
                return path
    finally:
        draft.unlink(missing_ok=True)
    raise Refused(f"99 handoffs of this minute lie in {folder.path}", "wait a minute")


# the knowledge base ---------------------------------------------------------------------------------------------------


def _wish(roots: Roots, order: SwarmOrder, facts: Facts, found: list[evidence.CommandRun], path: Path) -> Request:
    held = sum(one.passed for one in found)
    failing = ", ".join(one.what for one in found if not one.passed)
    lines = [
        f"Handed over in {path.name}: {held} of {len(found)} checks passed{f'; failing: {failing}' if failing else ''}."
    ]
    lines += [f"- {one['symbol']} {one['mode']}: {one['verdict']}" for one in facts.outcomes]
    said = {"run_id": order.run_id, "findings": ["\n".join(lines)]}
    return request.ask(roots.requests, SystemClock(), "add_findings", path.name, "handoff", said, _DAY_S)


def _tell_curator(roots: Roots, limits: SwarmSettings, world: World, wish: Request) -> str:
    """Its answer: from its own loop where that is alive, else from one cycle of it that is run here."""
    deadline = time.monotonic() + _WAIT_S
    view = next((one for one in world.agents if one.agent == "curator"), None)
    lives = view is not None and not world.stopped and not view.is_stale(limits)
    while time.monotonic() < deadline:
        if lives:
            wake.nudge(roots.pipe("curator"))
        else:
            with contextlib.suppress(Held):
                run_cycle("curator", roots)
        for folder in ("done", "refused"):
            record: Any = snapshot.read_json(roots.requests / folder / f"{wish.request_id}.json")
            if isinstance(record, dict):
                return str(record["reason"])
        time.sleep(_LOOK_S)
    return "the curator has not answered yet; it will in its next cycle"


# for people -----------------------------------------------------------------------------------------------------------


def _say(what: str) -> None:
    print(f"  verifying: {what} …", file=sys.stderr, flush=True)


def _show(path: Path, found: list[evidence.CommandRun], added: str) -> None:
    for one in found:
        why = f": {one.why}" if one.why else ""
        print(f"{'ok    ' if one.passed else 'FAILED'} {one.what} ({one.duration_s:.1f} s){why}")
    print(f"knowledge base: {added}")
    print(path)
