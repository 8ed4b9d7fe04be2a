"""The record of a run: what it computes, and whether it is done. A run that was stopped goes on where it was."""

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
    """`key` is a hash of everything that decides the results: two runs with one key give the same bytes."""

    run_id: str
    key: str
    symbol: str
    mode: str
    started_at: str
    done: bool = False
    resumed: int = 0
    schema: int = SCHEMA


def key_of(identity: dict[str, Any]) -> str:
    """The key of a run that is decided by `identity` (plain JSON)."""
    return digest.of(codec.encode_line(identity))


def begin(roots: Roots, key: str, symbol: str, mode: str, clock: Clock, fresh: bool = False) -> tuple[Run, RunFolder]:
    """The unfinished run with this key, one more time resumed, or a new one. Call it under the symbol/mode lock."""
    if not fresh:
        for folder in reversed(roots.runs()):
            run = read(folder)
            if run is not None and run.key == key and not run.done:
                resumed = replace(run, resumed=run.resumed + 1)
                write(folder, resumed)
                return resumed, folder
    folder = claim(roots, clock)
    run = Run(folder.path.name, key, symbol, mode, stamp(clock.now()))
    write(folder, run)
    return run, folder


def claim(roots: Roots, clock: Clock) -> RunFolder:
    """A run id and folder that nobody else has."""
    moment = clock.now()
    folder = roots.run(_mint(moment))
    while not _claimed(folder):
        moment += timedelta(seconds=1)
        folder = roots.run(_mint(moment))
    return folder


def finish(folder: RunFolder, run: Run) -> None:
    """Mark the run done and drop what only an unfinished run needs; its study stays."""
    write(folder, replace(run, done=True))
    for path in (folder.bars, folder.bar_labels, folder.prescreen, *folder.path.glob("prescreen-*.json")):
        path.unlink(missing_ok=True)
    from state.files import ours  # a cold cycle, which only reads records of runs, has no use for it

    for path in (folder.claims, folder.validation):
        ours.remove(path, folder.path)


def read(folder: RunFolder) -> Run | None:
    """The record in `folder`; None when it is missing, torn or of another schema."""
    record = snapshot.read_json(folder.record)
    known = {f.name for f in fields(Run)}
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or set(record) != known:
        return None
    return Run(**record)


def write(folder: RunFolder, run: Run) -> None:
    """Put the record on disk."""
    snapshot.write_json(folder.record, asdict(run))


def _claimed(folder: RunFolder) -> bool:
    """Make the folder; False when somebody has. Making it is the claim: two runs of one second cannot share it."""
    private.folder(folder.path.parent)
    try:
        folder.path.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _mint(moment: datetime) -> str:
    return f"bt-{moment:%Y%m%d_%H%M%SZ}"
