"""Attacks on the records below STATE_ROOT: values of a wrong shape, missing records, pipes instead of files."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.registry import row
from scripts.lab.faults.hostile.answers import wrong_with
from scripts.lab.faults.injuries import Dice, Injury, monotonic_s
from scripts.lab.faults.private import Swarm
from scripts.lab.faults.surroundings import all_cycle_after
from state.files import snapshot
from state.host import identity
from state.host.identity import Identity

_SHAPES: tuple[Any, ...] = ("x", ["x"], {"a": {"b": []}}, None, -1, 1e308, "1e999", True, [[["x"]]], 10**30)
_LONG_LINE_BYTES = 150 * 2**20
_QUICK_S = 30.0  # seconds: slower agents are not attacked, because their records come back too late for the campaign


def wrong_shape(swarm: Swarm, dice: Dice) -> Injury | None:
    """Give one value in an agent's state another shape, as an editor or another version could."""
    found = _quick(swarm, dice)
    record = None if found is None else snapshot.read_json(found[1])
    if found is None or not isinstance(record, dict) or not record:
        return None
    (agent, path), key = found, dice.one_of(sorted(record))
    struck_s = monotonic_s()
    snapshot.write_json(path, {**record, key: dice.one_of(_SHAPES)})
    harm = [*wrong_with(swarm, "health"), *wrong_with(swarm, "status")]
    healed = _cycled(swarm, agent, struck_s)
    return Injury("wrong shape", f"{path.name} {key}", (f"agent_stale:{agent}",), healed, harm=lambda: harm)


def wrong_line(swarm: Swarm, dice: Dice) -> Injury | None:
    """Append a whole line to a journal in which every field has an unexpected shape."""
    journals = [swarm.roots.events, swarm.roots.healing, swarm.roots.session_events]
    path = dice.one_of([*journals, *(swarm.roots.cycles(agent) for agent in swarm.agents())])
    if not path.exists():
        return None
    struck_s = monotonic_s()
    with path.open("ab") as file:
        file.write(b'{"at":5,"event":["x"],"by":{},"agent":[1],"cycle":"x","decision":"x","id":{"a":1},"stage":7}\n')
    harm = [*wrong_with(swarm, "health"), *wrong_with(swarm, "status"), *wrong_with(swarm, "health", "--json")]
    return Injury("wrong line", path.name, ("bad_lines",), all_cycle_after(swarm, struck_s), harm=lambda: harm)


def long_line(swarm: Swarm, dice: Dice) -> Injury | None:
    """Append one line of 150 MB to the journal of events; once is enough."""
    path, struck_s = swarm.roots.events, monotonic_s()
    if not path.exists() or path.stat().st_size > _LONG_LINE_BYTES:
        return None
    with path.open("ab") as file:
        file.write(b"x" * _LONG_LINE_BYTES + b"\n")
    harm = [*wrong_with(swarm, "health"), *wrong_with(swarm, "status")]
    return Injury("a line of 150 MB", path.name, ("bad_lines",), all_cycle_after(swarm, struck_s), harm=lambda: harm)


def pipe_for_state(swarm: Swarm, dice: Dice) -> Injury | None:
    """Put a pipe in the place of an agent's state: a program that opens it as a file waits for ever."""
    found = _quick(swarm, dice)
    if found is None or not found[1].is_file():
        return None
    agent, path = found
    struck_s = monotonic_s()
    path.unlink()
    os.mkfifo(path, 0o600)
    harm = [*wrong_with(swarm, "health"), *wrong_with(swarm, "status")]
    healed = _cycled(swarm, agent, struck_s)
    return Injury("a pipe for a state", path.name, (f"agent_stale:{agent}",), healed, harm=lambda: harm)


def record_lost(swarm: Swarm, dice: Dice) -> Injury | None:
    """Remove or empty one record on which the run depends."""
    roots = swarm.roots
    path = dice.one_of([swarm.run.order, roots.settings, roots.current_run, roots.swarm])
    if not path.is_file():
        return None
    before, struck_s = path.read_bytes(), monotonic_s()
    how = dice.one_of([_removed, _emptied])
    how(path)
    harm = wrong_with(swarm, "health")
    said = swarm.typed(swarm.command, "health")
    if said.returncode == 0 and (not path.exists() or not path.stat().st_size):
        harm.append(f"`health` says {said.stdout.strip()!r} although {path.name} is gone")
    cycled = all_cycle_after(swarm, struck_s)

    def is_back() -> bool:
        if not path.is_file() or not path.stat().st_size:
            return False
        return (path == roots.swarm or path.read_bytes() == before) and cycled()

    return Injury("record lost", f"{path.name} {how.__name__.strip('_')}", (path.name,), is_back, harm=lambda: harm)


def run_folder_removed(swarm: Swarm, dice: Dice) -> Injury | None:
    """Remove the folder of the current run: its work begins again."""
    if not swarm.run.path.is_dir():
        return None
    struck_s = monotonic_s()
    workers = frozenset(one.worker_id for one in swarm.launches())
    shutil.rmtree(swarm.run.path, ignore_errors=True)  # the workers of the run write there meanwhile
    harm = wrong_with(swarm, "health")

    def works_again() -> bool:
        beats = [swarm.beat(one.worker_id) for one in swarm.launches() if one.worker_id not in workers]
        return swarm.run.order.is_file() and any(one is not None and one.progressed_at_s > struck_s for one in beats)

    return Injury(
        "run folder removed", swarm.run.path.name, ("is gone",), works_again, frozenset(workers), harm=lambda: harm
    )


def state_root_moved(swarm: Swarm, dice: Dice) -> Injury | None:
    """Move the whole state root away, check what `health` says, move the root back, and start."""
    state, struck_s = swarm.roots.state, monotonic_s()
    away = state.with_name("state-away")
    state.rename(away)
    harm = wrong_with(swarm, "health", codes=(1, 2))

    def back() -> None:
        if state.exists():  # a live process may have written there once more
            shutil.rmtree(state.with_name("state-between"), ignore_errors=True)
            state.rename(state.with_name("state-between"))
        away.rename(state)
        harm.extend(wrong_with(swarm, "start", codes=(0,)))

    healed = all_cycle_after(swarm, struck_s)
    return Injury(
        "state root moved", state.name, ("state",), healed, undo=back, ends_everything=True, harm=lambda: harm
    )


def inodes_gone(swarm: Swarm, dice: Dice) -> Injury | None:
    """Use up the inodes of the roots' disk: there is space, but no file can be made."""
    if not swarm.is_mounted:
        return None
    folder, struck_s = swarm.roots.results / "fillers", monotonic_s()
    folder.mkdir()
    number = 0
    try:
        while True:
            (folder / str(number)).touch()
            number += 1
    except OSError:
        pass
    healed = all_cycle_after(swarm, struck_s)

    def undo() -> None:
        shutil.rmtree(folder)

    return Injury("inodes gone", f"{number:,} files", ("inode", "files"), healed, undo=undo, stops_writing=True)


def _removed(path: Path) -> None:
    path.unlink()


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _quick(swarm: Swarm, dice: Dice) -> tuple[str, Path] | None:
    agent = dice.one_of([name for name in swarm.agents() if row(name).cadence_s <= _QUICK_S])
    path = swarm.roots.agent_state(agent)
    return (agent, path) if path.is_file() else None


def _cycled(swarm: Swarm, agent: str, struck_s: float) -> Callable[[], bool]:
    """Whether the agent has cycled since then and its loop lives; a record from the future does not count."""

    def cycled() -> bool:
        loop: Identity | None = swarm.loop(agent)
        lives = loop is not None and identity.life_of(loop) == "running"
        return lives and struck_s < swarm.cycled_at_s(agent) <= monotonic_s()

    return cycled
