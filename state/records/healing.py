"""healing.jsonl: what was found dead, gone or hung, and which program brought it back and how.

The program that starts sessions writes it under launch.lock, worker_sentry writes what it did for workers, and
session_state_manager what it did for the keeper. watchdog copies each record to `workflow_events.log`, and
session_state_manager copies each failure that was over before its cycle to its own events; both continue after the
last `mark` that they have copied.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from config import plain
from state.files import codec
from state.files.journal import Journal
from state.files.layout import Roots
from state.host.clock import Clock, stamp

Record = dict[str, Any]

# A failure and the remedy that follows it for the same target are one incident.
FAILURES = (
    "agent_died",
    "agent_hung",
    "agent_does_not_begin",
    "session_closed",
    "tmux_died",
    "tmux_hung",
    "machine_rebooted",
    "keeper_died",
    "record_damaged",
    "record_lost",
)
REMEDIES = (
    "agent_respawned",
    "session_restarted",
    "tmux_respawned",
    "tmux_repaired",
    "keeper_respawned",
    "worker_continued",
    "worker_respawned",
    "workers_adopted",
    "record_rebuilt",
    "record_set_aside",
)
MOST = 120  # the most records that a look at the end returns: enough for a swarm that dies three times in a row
_TAIL_BYTES = 65_536


def record(roots: Roots, clock: Clock, events: Iterable[Record], most_bytes: int) -> None:
    """Append the records, each with its time and a mark of its own. A full disk is ignored: healing must go on."""
    at = stamp(clock.now())
    lines = [{"at": at, "mark": os.urandom(6).hex(), **one} for one in events]
    if lines:
        with contextlib.suppress(OSError):
            Journal(roots.healing, max_bytes=most_bytes).append(*lines)


def recent(roots: Roots) -> tuple[Record, ...]:
    """Return the last `MOST` records, the oldest first; lines that hold no such record are skipped."""
    return tuple(filter(_is_record, _tail(roots.healing)[-MOST:]))


def marks(path: Path) -> frozenset[tuple[str, str]]:
    """Return mark and event of every record near the end of a log to which these records are copied."""
    return frozenset((one["mark"], str(one.get("event"))) for one in _tail(path))


def _tail(path: Path) -> list[Record]:
    try:
        with plain.opened(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]  # an unterminated last line is still being written
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):  # the first line may be cut, because reading begins anywhere
            one = codec.decode(line)
            if isinstance(one, dict) and isinstance(one.get("mark"), str):
                found.append(one)
    return found


_TEXTS = ("event", "id", "at")  # text fields of every record
_MORE_TEXTS = ("what", "why", "by", "since")  # text fields of some records


def _is_record(one: Record) -> bool:
    """Whether a line holds event, target and time in the right types; in a damaged journal a line may hold anything."""
    has_texts = all(isinstance(one.get(key), str) for key in _TEXTS)
    is_in_words = all(isinstance(one.get(key) or "", str) for key in _MORE_TEXTS)
    for_s = one.get("for_s")
    return has_texts and is_in_words and (for_s is None or (isinstance(for_s, int | float) and abs(for_s) < _LONGEST_S))


_LONGEST_S = 10**10  # three hundred years: a longer time is a damaged value


def rebuilt(record: str, event: str, what: str, by: str, how: str) -> tuple[Record, Record]:
    """Return failure and remedy of a record that was damaged or lost. `by` made it anew, and `how` says from what."""
    return failure(event, record, what), remedy("record_rebuilt", record, by, how, None)


def after(records: Sequence[Record], mark: str) -> tuple[Record, ...]:
    """Return the records after the one with this mark; all of them when none has it."""
    # The search begins at the end, because usually only few records are new.
    last = next((n for n in range(len(records) - 1, -1, -1) if records[n]["mark"] == mark), -1)
    return tuple(records[last + 1 :])


def failure(event: str, target: str, what: str, since: str = "", **more: Any) -> Record:
    """Return the record of a failure. `what` describes it, `since` is the last sign of life, "" when there is none."""
    return {"event": event, "id": target, "what": what, "since": since or None, **more}


def remedy(event: str, target: str, by: str, why: str, for_s: float | None, **more: Any) -> Record:
    """Return the record of a remedy. `for_s`: seconds from the last sign of life to now, None when unknown."""
    return {"event": event, "id": target, "by": by, "why": why, "for_s": for_s, **more}


def between_s(since: str, at: str) -> float | None:
    """Return the seconds between two timestamps, at least 0.0; None when one of them cannot be read."""
    try:
        return round(max(0.0, (datetime.fromisoformat(at) - datetime.fromisoformat(since)).total_seconds()), 1)
    except (TypeError, ValueError):
        return None


def pairs(records: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    """Return each failure with the next remedy for the same target, None when there is none yet."""
    found = []
    for number, one in enumerate(records):
        if one.get("event") in FAILURES:
            rest = (two for two in records[number + 1 :] if two.get("event") in REMEDIES and two.get("id") == one["id"])
            found.append((one, next(rest, None)))
    return found
