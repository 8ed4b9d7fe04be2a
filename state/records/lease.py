"""Who may work on a job: the highest epoch. A worker takes its lease first and leaves when a newer one exists."""

from pathlib import Path

from state.files import flock, snapshot


class Superseded(Exception):
    """A newer worker has this job; leaving is the right thing to do."""


def take(path: Path, epoch: int, holder: str) -> None:
    """Make `epoch` the one that counts.

    Raises:
        Superseded: this epoch or a newer one is taken already, by somebody else.
    """
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
    """The epoch that counts; 0 before the first."""
    return _read(path)[0]


def _read(path: Path) -> tuple[int, str]:
    record = snapshot.read_json(path)
    if isinstance(record, dict) and isinstance(record.get("epoch"), int):
        return record["epoch"], str(record.get("holder"))
    return 0, ""
