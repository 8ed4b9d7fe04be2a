"""Tell the user's on_incident hooks which incidents opened or closed. They notify; their answers decide nothing.

A hook that cannot be asked goes on record and is an incident itself, until a later run succeeds or its file changes.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hooks.executable import ask
from hooks.folder import Fault, hooks_at
from state.files import flock, private, snapshot
from state.files.layout import Roots
from state.host import process


def main() -> None:
    """Tell all hooks all events of the JSON list on standard input; the program that starts this one does not wait."""
    process.begin()
    private.close()
    tell(json.load(sys.stdin), Roots.from_environment())


def tell(events: Sequence[Mapping[str, Any]], roots: Roots) -> None:
    """Run each hook once for each event, in order. A hook that fails is not asked about the events that are left."""
    for path in hooks_at("on_incident", roots):
        record: dict[str, Any] | None = None
        for event in events:
            said = ask(path, {"point": "on_incident", **event})
            if said.fault:
                record = {"fault": said.fault, "fix": said.fix, "changed_ns": _changed_ns(path)}
                break
        _write_down(roots, path, record)


def failed(roots: Roots) -> Iterator[Fault]:
    """Yield the hooks whose last run failed and whose files have not changed since."""
    records = snapshot.read_json(roots.notified)
    for path, record in records.items() if isinstance(records, dict) else ():
        if isinstance(record, dict) and record.get("changed_ns") == _changed_ns(Path(path)) is not None:
            yield Fault(path, str(record.get("fault")), str(record.get("fix")))


def _write_down(roots: Roots, path: Path, record: dict[str, Any] | None) -> None:
    with flock.held(Path(f"{roots.notified}.lock")):
        known = snapshot.read_json(roots.notified)
        records = {k: v for k, v in (known if isinstance(known, dict) else {}).items() if k != str(path)}
        if record is not None:
            records[str(path)] = record
        if records != known:
            snapshot.write_json(roots.notified, records)


def _changed_ns(path: Path) -> int | None:
    try:
        return path.stat().st_ctime_ns
    except OSError:
        return None
