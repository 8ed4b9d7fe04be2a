"""Look at what advisers ask for: logs since a place, the curator's documents in short, outcomes, the ledger's end."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agents.model.knowledge import Audit, Knowledge, Logged, Place, UnitOutcome
from config import plain
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.files import codec, digest, marked, snapshot
from state.files.layout import Roots
from state.files.run_folders import RoundFolder
from state.files.tree import fitted, fitting, record_of
from state.records import orders
from state.records.agent_states import Read
from state.records.agent_states import loop as loop_of
from state.records.orders import SwarmOrder
from state.records.report_parts import BestResult

NOTES, STORY = "AUTO-WORKFLOW-NOTES", "WORKFLOW-OUTCOMES"
FINDING = re.compile(r"^<!-- finding (\w+) -->$", re.MULTILINE)
_MANY = 400  # lines of a log one cycle takes in; the next one goes on behind them
_ROUNDS = 12  # whose outcomes are read again: what is older is remembered
_TAIL_BYTES = 64_000  # of a log, for an audit
_LEDGER_BYTES = 1_000_000  # of the ledger: some thousands of hypotheses


def knowledge(roots: Roots, limits: SwarmSettings, reads: Mapping[str, Read]) -> Knowledge:
    """The documents, and what the logs have had to say since the curator's memory."""
    folder = roots.knowledge(limits.records.knowledge_folder)
    places = reads.get("curator", Read()).state.memory.get("places")
    events: list[Logged] = []
    for path in (roots.events, roots.session_events):
        since = places.get(path.name) if isinstance(places, dict) else None
        events += _since(path, _place(since))
    failures, is_damaged = failures_in(folder.failures)
    # Its own deeds are left out: writing them down would be one more deed to write down.
    others = {name: one.state for name, one in reads.items() if name != "curator"}
    return Knowledge(
        events=tuple(events),
        failures={name: str(one.get("last_event", "")) for name, one in by_signature(failures).items()},
        is_damaged=is_damaged,
        findings=tuple(FINDING.findall(_text(folder.findings).decode(errors="replace"))),
        notes=marked.block_in(_text(folder.notes), NOTES),
        story=marked.block_in(_text(folder.story), STORY),
        deeds={name: state.tally for name, state in others.items() if state.tally},
        as_of=max((state.at for state in others.values()), default=""),
    )


def failures_in(path: Path) -> tuple[list[Any], bool]:
    """The failure memory's entries, those that others wrote too, and whether what is there is something else."""
    if not path.exists():
        return [], False
    tree = snapshot.read_json(path)
    if not isinstance(tree, list):
        return [], True
    return tree, False


def by_signature(entries: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Those entries that are ours."""
    ours = (one for one in entries if isinstance(one, dict) and isinstance(one.get("signature"), str))
    return {one["signature"]: one for one in ours}


def audit(roots: Roots, limits: SwarmSettings, reads: Mapping[str, Read], order: SwarmOrder | None) -> Audit:
    """Who wrote what, how logs end, which handoffs there are, and when the run ended that they speak of."""
    loops = {name: loop_of(roots, name)[0].identity for name in reads}
    logs = (roots.events, roots.session_events, *(roots.cycles(name) for name in reads))
    return Audit(
        writers={name: one.state.agent for name, one in reads.items() if one.is_there},
        loops={name: one.pid for name, one in loops.items() if one is not None},
        bad_tails={path.name: bad for path in logs if (bad := _bad_lines(path))},
        handoffs=tuple(path.name for path in roots.knowledge(limits.records.knowledge_folder).handoffs()),
        finished_at="" if order is None else orders.finished(roots.swarm_run(order.run_id)).finished_at,
    )


def outcomes(roots: Roots, order: SwarmOrder | None) -> tuple[UnitOutcome, ...]:
    """`outcome.json` of every unit in the run's last rounds, with the round it is of."""
    if order is None:
        return ()
    rounds = roots.swarm_run(order.run_id).rounds()[-_ROUNDS:]
    found = (_outcome(folder, *unit) for folder in rounds for unit in order.units)
    return tuple(one for one in found if one is not None)


def hypotheses(roots: Roots) -> tuple[str, ...]:
    """`<id> <event>` of the ledger's last lines."""
    records = _records(_tail(roots.hypotheses, _LEDGER_BYTES))
    return tuple(f"{one.get('id')} {one.get('event')}" for one in records if isinstance(one, dict))


# helpers --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """What is summed up of a best's metrics in one window."""

    sharpe_ratio: float | None = None
    total_trades: int | None = None


@dataclass(frozen=True)
class _Best:
    in_sample: _Window | None = None
    out_of_sample: _Window | None = None
    verdict: str | None = None
    candidate: bool | None = None


@dataclass(frozen=True)
class _Outcome:
    """What is summed up of `outcome.json`."""

    verdict: str | None = None
    synthetic: bool | None = None
    bests: dict[str, _Best] = field(default_factory=dict)


@dataclass(frozen=True)
class _Carried:
    """What is summed up of `carried.json`."""

    tries: int | None = None


def _sum(path: Path) -> str | None:
    """The SHA-256 of a file; None when it is not there."""
    data = _text(path)
    return digest.of(data) if data else None


def _outcome(folder: RoundFolder, symbol: str, mode: str) -> UnitOutcome | None:
    """What came of one unit in one round; None while nothing has."""
    files = folder.unit(symbol, mode)
    kept, _ = fitting(_Outcome, snapshot.read_json(files.outcome))
    if not kept:
        return None
    one, (carried, _) = record_of(_Outcome, kept), fitted(_Carried, snapshot.read_json(files.carried))
    bests = {name: _best(best) for name, best in one.bests.items()}
    about = (symbol, mode, folder.number, one.verdict, one.synthetic)
    return UnitOutcome(*about, bests, carried.tries, _sum(files.manifest))


def _best(one: _Best) -> BestResult:
    inside, outside = one.in_sample or _Window(), one.out_of_sample or _Window()
    sharpe, trades = (inside.sharpe_ratio, outside.sharpe_ratio), (inside.total_trades, outside.total_trades)
    return BestResult(*sharpe, *trades, one.verdict, one.candidate)


def _since(path: Path, place: Place) -> Iterator[Logged]:
    """The lines behind `place`, also when the log has moved aside since; all there are when it is gone."""
    older = path.with_name(f"{path.name}.1")
    files = [(file, _generation(file)) for file in (older, path)]
    known = [generation for _, generation in files].index(place.generation) if _is_there(files, place) else None
    left = _MANY
    for number, (file, generation) in enumerate(files):
        if not generation or (known is not None and number < known):
            continue
        offset = place.offset if number == known else 0
        for line, behind in _lines(file, offset, left):
            left -= 1
            record = _record(line)
            event_id = digest.short(line)
            yield Logged(event_id, path.name, Place(generation, behind), record)


def _is_there(files: list[tuple[Path, str]], place: Place) -> bool:
    return bool(place.generation) and any(generation == place.generation for _, generation in files)


def _lines(path: Path, offset: int, most: int) -> Iterator[tuple[bytes, int]]:
    """At most so many whole lines from byte `offset` on, each with the offset behind it."""
    with plain.opened(path) as file:
        file.seek(offset)
        for _ in range(most):
            line = file.readline()
            if not line.endswith(b"\n"):  # the end, or a line that is still being written
                return
            offset += len(line)
            yield line, offset


def _generation(path: Path) -> str:
    """A name for this file's contents: a log begins with another line each time it is begun."""
    try:
        with plain.opened(path) as file:
            first = file.readline()
    except OSError:
        return ""
    return digest.short(first) if first.endswith(b"\n") else ""


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = codec.decode_line(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _place(tree: Any) -> Place:
    try:
        place = record_of(Place, tree)
    except ValueError:
        return Place()
    return place if place.offset >= 0 else Place()


def _text(path: Path) -> bytes:
    try:
        return plain.read_bytes(path)
    except (FileNotFoundError, plain.NotPlain):
        return b""


def _tail(path: Path, most_bytes: int) -> list[bytes]:
    """The last whole lines of a file."""
    try:
        with plain.opened(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most_bytes))
            data = file.read()
    except (FileNotFoundError, plain.NotPlain):
        return []
    if size > most_bytes:
        data = data.partition(b"\n")[2]
    return data.split(b"\n")[:-1]  # what comes behind the last newline is not whole yet


def _records(lines: Iterable[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield codec.decode_line(line)
        except ValueError:
            continue


def _bad_lines(path: Path) -> int:
    lines = _tail(path, _TAIL_BYTES)
    return len(lines) - sum(1 for _ in _records(lines))
