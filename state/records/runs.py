"""The record of a single process's run: what it computes, and whether it is done. A stopped run continues from it."""

from datetime import datetime, timedelta
from typing import Any

from config.record import asdict, dataclass, fields, replace
from state.files import codec, digest, private, snapshot
from state.files.layout import Roots
from state.files.run_folders import RunFolder
from state.host.clock import Clock, stamp

SCHEMA = 1


@dataclass(frozen=True)
class Run:
    """One run. `key` is a hash of everything that decides the results: runs with the same key give the same bytes.

    `resumed` counts how often the run was continued.
    """

    run_id: str
    key: str
    symbol: str
    mode: str
    started_at: str
    done: bool = False
    resumed: int = 0
    schema: int = SCHEMA


def key_of(identity: dict[str, Any]) -> str:
    """Return the key of a run whose results are decided by `identity` (plain JSON)."""
    return digest.of(codec.encode_line(identity))


def begin(roots: Roots, key: str, symbol: str, mode: str, clock: Clock, fresh: bool = False) -> tuple[Run, RunFolder]:
    """Return the unfinished run with this key, resumed once more, or a new run, and its folder.

    Call it under the lock of the symbol and mode. With `fresh`, the run is always a new one.
    """
    if not fresh:
        for folder in reversed(roots.runs()):
            run = read(folder)
            # The same key means the same results, so the unfinished run can be continued whatever was typed.
            if run is not None and run.key == key and not run.done:
                resumed = replace(run, resumed=run.resumed + 1)
                write(folder, resumed)
                return resumed, folder
    folder = claim(roots, clock)
    run = Run(folder.path.name, key, symbol, mode, stamp(clock.now()))
    write(folder, run)
    return run, folder


def claim(roots: Roots, clock: Clock) -> RunFolder:
    """Make and return a run folder, whose name is the run's id, that no other run has."""
    moment = clock.now()
    folder = roots.run(_mint(moment))
    while not _claimed(folder):
        # Ids hold the time to the second; a run that begins in a second already taken gets the next free one.
        moment += timedelta(seconds=1)
        folder = roots.run(_mint(moment))
    return folder


def finish(folder: RunFolder, run: Run) -> None:
    """Mark the run as done, and remove what only an unfinished run needs; its study stays."""
    write(folder, replace(run, done=True))
    for path in (folder.bars, folder.bar_labels, folder.prescreen, *folder.path.glob("prescreen-*.json")):
        path.unlink(missing_ok=True)
    from state.files import ours  # imported here because a cold cycle, which only reads runs, does not need it

    for path in (folder.claims, folder.validation):
        ours.remove(path, folder.path)


def read(folder: RunFolder) -> Run | None:
    """Return the record in `folder`; None when it is missing, damaged or of another schema."""
    record = snapshot.read_json(folder.record)
    known = {f.name for f in fields(Run)}
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or set(record) != known:
        return None
    return Run(**record)


def write(folder: RunFolder, run: Run) -> None:
    """Write the record."""
    snapshot.write_json(folder.record, asdict(run))


def _claimed(folder: RunFolder) -> bool:
    """Make the folder; return False when it exists. So two runs that begin in the same second cannot share a folder."""
    private.folder(folder.path.parent)
    try:
        folder.path.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _mint(moment: datetime) -> str:
    return f"bt-{moment:%Y%m%d_%H%M%SZ}"
