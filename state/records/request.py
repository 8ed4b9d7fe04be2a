"""Requests. Any program may write one; the owner of its target answers it by moving it to `done/` or `refused/`.

A request has a target, evidence, and a time after which it need not be answered.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from config.record import dataclass, field
from state.files import snapshot
from state.files.tree import read_records, record_of, tree_of
from state.host.clock import Clock, stamp

KINDS = ("cancel_job", "ensure_sessions", "add_findings")  # the kinds that an agent answers
_MOST_BYTES = 65_536


@dataclass(frozen=True)
class Request:
    """A request of a `kind` for a `target`. Two requests for the same target lead to one remedy."""

    request_id: str
    kind: str
    target: str
    asked_by: str
    asked_at: str
    expires_at: str
    evidence: dict[str, Any] = field(default_factory=dict)


def ask(
    folder: Path, clock: Clock, kind: str, target: str, asked_by: str, evidence: dict[str, Any], for_s: float = 300.0
) -> Request:
    """Write a request that expires after `for_s` seconds, and return it."""
    now = clock.now()
    request = Request(
        f"{now:%Y%m%dT%H%M%S}-{os.urandom(4).hex()}",
        kind,
        target,
        asked_by,
        stamp(now),
        stamp(now + timedelta(seconds=for_s)),
        evidence,
    )
    snapshot.write_json(folder / f"{request.request_id}.json", tree_of(request))
    return request


def pending(folder: Path) -> tuple[Request, ...]:
    """Return the requests that are not answered yet, the oldest first. The file's name is the request's id."""
    if not folder.is_dir():
        return ()
    return read_records(Request, (tree for _, tree in _trees(folder)))


def damaged(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that should hold a request and do not, and why; no agent can answer these."""
    for path, tree in _trees(folder) if folder.is_dir() else ():
        try:
            record_of(Request, tree)
        except ValueError as error:
            yield path, str(error)


def _trees(folder: Path) -> Iterator[tuple[Path, Any]]:
    for path in sorted(folder.glob("*.json")):
        if not snapshot.is_aside(path) and _is_readable(path):
            tree = snapshot.read_json(path)
            yield path, {**tree, "request_id": path.stem} if isinstance(tree, dict) else tree


def _is_readable(path: Path) -> bool:
    """Whether a file is plain and short enough for a request; a long one would get into the records of every agent."""
    try:
        return path.is_file() and path.stat().st_size <= _MOST_BYTES
    except OSError:
        return False


def answer(folder: Path, request_id: str, done: bool, reason: str, clock: Clock) -> None:
    """Move a request to `done/` or `refused/` with the owner's reason. A request that is gone was already answered."""
    path = folder / f"{request_id}.json"
    record = snapshot.read_json(path)
    if not isinstance(record, dict):
        return
    target = folder / ("done" if done else "refused") / path.name
    # Written before the open request is removed: when this is cut short, it is answered once more, and not lost.
    snapshot.write_json(target, {**record, "answered_at": stamp(clock.now()), "reason": reason})
    path.unlink(missing_ok=True)
