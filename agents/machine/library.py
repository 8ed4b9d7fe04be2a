"""Read what advisers ask for: new lines of logs, the curator's documents, outcomes, the end of the ledger."""

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
_MANY = 400  # lines of a log that one cycle reads; the next cycle goes on behind them
_ROUNDS = 12  # the last rounds whose outcomes are read each time; agents remember older ones
_TAIL_BYTES = 64_000  # how much of the end of a log an audit reads
_LEDGER_BYTES = 1_000_000  # how much of the end of the ledger is read: some thousands of hypotheses


def knowledge(roots: Roots, limits: SwarmSettings, reads: Mapping[str, Read]) -> Knowledge:
    """Return the documents, and the lines of the logs behind the places in the curator's memory."""
    folder = roots.knowledge(limits.records.knowledge_folder)
    places = reads.get("curator", Read()).state.memory.get("places")
    events: list[Logged] = []
    for path in (roots.events, roots.session_events):
        since = places.get(path.name) if isinstance(places, dict) else None
        events += _since(path, _place(since))
    failures, is_damaged = failures_in(folder.failures)
    # The curator's own actions are left out: writing them down would be a further action to write down, without end.
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
    """Return the failure memory's entries, also those written by people, and whether the file holds no array."""
    if not path.exists():
        return [], False
    tree = snapshot.read_json(path)
    if not isinstance(tree, list):
        return [], True
    return tree, False


def by_signature(entries: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Return the curator's entries by their signatures; entries of people have none."""
    ours = (one for one in entries if isinstance(one, dict) and isinstance(one.get("signature"), str))
    return {one["signature"]: one for one in ours}


def audit(roots: Roots, limits: SwarmSettings, reads: Mapping[str, Read], order: SwarmOrder | None) -> Audit:
    """Return which agent wrote which state file, damaged ends of logs, the handoffs, and when the run ended."""
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
    """Return the outcome of every unit in the run's last rounds; units without an outcome are left out."""
    if order is None:
        return ()
    rounds = roots.swarm_run(order.run_id).rounds()[-_ROUNDS:]
    found = (_outcome(folder, *unit) for folder in rounds for unit in order.units)
    return tuple(one for one in found if one is not None)


def hypotheses(roots: Roots) -> tuple[str, ...]:
    """Return the last lines of the ledger, each as `<id> <event>`."""
    records = _records(_tail(roots.hypotheses, _LEDGER_BYTES))
    return tuple(f"{one.get('id')} {one.get('event')}" for one in records if isinstance(one, dict))


# helpers --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """The metrics of a best strategy in one window that the summary needs."""

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
    """The fields of `outcome.json` that the summary needs."""

    verdict: str | None = None
    synthetic: bool | None = None
    bests: dict[str, _Best] = field(default_factory=dict)


@dataclass(frozen=True)
class _Carried:
    """The field of `carried.json` that the summary needs."""

    tries: int | None = None


def _sum(path: Path) -> str | None:
    """Return the SHA-256 of a file; None when the file is missing or empty."""
    data = _text(path)
    return digest.of(data) if data else None


def _outcome(folder: RoundFolder, symbol: str, mode: str) -> UnitOutcome | None:
    """Return the outcome of one unit in one round; None while there is none."""
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
    """Yield the lines behind `place`, also after the log was rotated; all lines when the place is in neither file."""
    # The place may lie in the file before a rotation: its rest is read first, then the new file.
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
    """Yield at most `most` whole lines from byte `offset` on, each with the offset behind it."""
    with plain.opened(path) as file:
        file.seek(offset)
        for _ in range(most):
            line = file.readline()
            if not line.endswith(b"\n"):  # the end, or a line that is still being written
                return
            offset += len(line)
            yield line, offset


def _generation(path: Path) -> str:
    """Return a name for a log's contents, made from its first line, which is new after a rotation; "" without one."""
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
    """Return the whole lines in the last `most_bytes` of a file."""
    try:
        with plain.opened(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most_bytes))
            data = file.read()
    except (FileNotFoundError, plain.NotPlain):
        return []
    if size > most_bytes:
        data = data.partition(b"\n")[2]
    return data.split(b"\n")[:-1]  # the text behind the last newline is still being written


def _records(lines: Iterable[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield codec.decode_line(line)
        except ValueError:
            continue


def _bad_lines(path: Path) -> int:
    lines = _tail(path, _TAIL_BYTES)
    return len(lines) - sum(1 for _ in _records(lines))
