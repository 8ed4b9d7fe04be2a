"""The lease of a job. A worker takes it first, and ends when a worker with a higher epoch has taken it."""

from pathlib import Path

from state.files import flock, snapshot


class Superseded(Exception):
    """A newer worker has this job, so this one must end."""


def take(path: Path, epoch: int, holder: str) -> None:
    """Take the lease of a job for this epoch.

    Raises:
        Superseded: another worker has taken this epoch, or a newer one.
    """
    # Under a lock, because two workers could otherwise both read the old epoch and both write theirs.
    with flock.held(Path(f"{path}.lock")):
        found = _read(path)
        if found[0] > epoch or (found[0] == epoch and found[1] != holder):
            raise Superseded(f"{path.stem}: epoch {found[0]} of {found[1]} has replaced epoch {epoch} of {holder}")
        snapshot.write_json(path, {"epoch": epoch, "holder": holder})


def check(path: Path, epoch: int) -> None:
    """Raise `Superseded` when a newer epoch exists."""
    newest, holder = _read(path)
    if newest > epoch:
        raise Superseded(f"{path.stem}: epoch {newest} of {holder} has replaced epoch {epoch}")


def newest(path: Path) -> int:
    """Return the epoch that holds the lease; 0 before the first worker."""
    return _read(path)[0]


def _read(path: Path) -> tuple[int, str]:
    record = snapshot.read_json(path)
    if isinstance(record, dict) and isinstance(record.get("epoch"), int):
        return record["epoch"], str(record.get("holder"))
    return 0, ""
