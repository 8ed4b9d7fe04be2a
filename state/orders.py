"""What a run of the swarm is to do, as a record: written once when it begins, read by agents and workers."""

from pathlib import Path
from typing import Any

from config.errors import Refused
from config.record import dataclass
from state import snapshot
from state.layout import Roots
from state.tree import record_of, tree_of

SCHEMA = 1


@dataclass(frozen=True)
class SwarmOrder:
    """`key` is a hash of all that decides the results; `rounds` 0 goes on until stop; `data_path` None is the demo."""

    run_id: str
    key: str
    symbols: tuple[str, ...]
    modes: tuple[str, ...]
    rounds: int
    data_path: str | None
    engine: str
    repair: bool
    started_at: str
    settings: dict[str, Any]
    gpu: int | None = None  # the only GPU that gets a lane; -1: none does
    schema: int = SCHEMA

    @property
    def units(self) -> tuple[tuple[str, str], ...]:
        """Every symbol × mode, in the order in which they were named."""
        return tuple((symbol, mode) for symbol in self.symbols for mode in self.modes)


def read(path: Path) -> SwarmOrder | None:
    """The order at `path`; None when there is none or it is of a schema we do not know."""
    record = snapshot.read_json(path)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        return None
    try:
        return record_of(SwarmOrder, record)
    except ValueError:
        return None


def write(path: Path, order: SwarmOrder) -> None:
    """Put the order on file."""
    snapshot.write_json(path, tree_of(order))


def current(roots: Roots) -> SwarmOrder | None:
    """The run the swarm works on; None before the first. When the pointer is lost: the newest that is not finished."""
    record = snapshot.read_json(roots.current_run)
    if isinstance(record, dict) and isinstance(record.get("run_id"), str):
        return read(roots.swarm_run(record["run_id"]).order)
    return next((order for order in every(roots) if not roots.swarm_run(order.run_id).finished.exists()), None)


def every(roots: Roots) -> list[SwarmOrder]:
    """All orders on file, newest first."""
    found = (read(roots.swarm_run(folder.path.name).order) for folder in reversed(roots.runs()))
    return [order for order in found if order is not None]


def must(path: Path) -> SwarmOrder:
    """Like `read`, but a missing order is refused."""
    order = read(path)
    if order is None:
        raise Refused(f"{path} is gone or not an order", "type the --parallel command again")
    return order
