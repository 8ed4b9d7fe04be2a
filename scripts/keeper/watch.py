"""What a keeper does: nothing while all is well or after a stop, else `ensure`, with variables from its record.

The keeper knows only what STATE_ROOT/keeper.json holds. When that file is gone or names another process, it ends.
"""

import fcntl
import os
import select
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.infra.quick_look import all_well
from state.files import codec, snapshot
from state.files.layout import CHECKOUT, Roots
from state.host import identity, presence

_ENSURE = CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh"
# Seconds to start a dozen Pythons on a loaded machine; an ensure that hangs longer is ended and tried again.
_ENSURE_S = 300.0
_LOG_BYTES = 1_000_000
_LONGEST_S = 1e6  # seconds between two looks: a record that names more is damaged
_SHORTEST_S = 5.0  # seconds between two looks: even a tmux that dies again and again is not restarted without a pause


def main(argv: list[str]) -> int:
    """Look once, or for ever; with `--later`, first wait until it is time to look."""
    os.umask(0o077)
    state = Path(argv[0])
    if "--once" in argv:
        return _look(state, _record(state))
    if _claimed(state) is None:
        return 0  # another keeper already looks after this swarm
    looks = "--later" not in argv
    last: dict[str, Any] | None = None
    while (record := _current(state, last)) is not None and record.get("identity") == asdict(identity.mine()):
        last = record
        if looks:
            _look(state, record)
        looks = True
        _wait(state, float(record["every_s"]))
    return 0


def _wait(state: Path, every_s: float) -> None:
    """Wait until it is time to look again, or the tmux server dies."""
    shortest_s = min(_SHORTEST_S, every_s)
    time.sleep(shortest_s)
    server = _server(state)
    if server is None:
        time.sleep(every_s - shortest_s)
        return
    try:
        select.select([server], [], [], every_s - shortest_s)
    finally:
        os.close(server)


def _server(state: Path) -> "int | None":
    """Return a descriptor that becomes readable when the recorded tmux server dies; None without a live server."""
    try:
        process = (snapshot.read_json(state / "swarm.json") or {})["process"]
        descriptor = os.pidfd_open(int(process["pid"]))
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        return None
    try:
        # Checked after the descriptor was opened, so the pid cannot pass to another process meanwhile.
        one = identity.of(int(process["pid"]))
    except OSError:  # no descriptor is left: the next look then comes at its usual time
        one = None
    if one is not None and asdict(one).items() >= process.items():  # a record of the version before names no namespace
        return descriptor
    os.close(descriptor)
    return None


def _record(state: Path) -> "dict[str, Any] | None":
    try:
        record = snapshot.read_json(state / "keeper.json")
    except OSError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("environment"), dict):
        return None
    every_s = record.get("every_s")
    return record if isinstance(every_s, int | float) and 0 < every_s < _LONGEST_S else None


def _current(state: Path, last: "dict[str, Any] | None") -> "dict[str, Any] | None":
    """Return the record; a damaged one is replaced by that of the last look. A record that is gone stays gone."""
    record, path = _record(state), state / "keeper.json"
    if record is not None or last is None or not os.path.lexists(path):
        return record
    try:
        aside = snapshot.set_aside(path)
        snapshot.write_new(path, codec.encode(last))
        said = f"{path} was damaged and is whole again: {aside.name}"
        _log(Roots.from_environment({str(name): str(value) for name, value in last["environment"].items()}), said)
    except OSError:
        pass  # a full disk must not end the keeper
    return last


def _claimed(state: Path) -> "int | None":
    """Take the lock for as long as this process lives, and record our identity; None when there is nothing to keep."""
    record = _record(state)
    if record is None:
        return None
    descriptor = os.open(state / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    presence.hold(state)
    snapshot.write_json(state / "keeper.json", {**record, "identity": asdict(identity.mine())})
    return descriptor


def _look(state: Path, record: "dict[str, Any] | None") -> int:
    if record is None or (state / "stopped.json").exists() or all_well(str(state)):
        return 0
    environment = {str(name): str(value) for name, value in record["environment"].items()}
    try:
        done = subprocess.run(
            ["/usr/bin/env", "bash", str(_ENSURE), "--by", "the keeper"],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_ENSURE_S,
            check=False,
        )
        said, code = done.stdout.decode(errors="replace").strip(), done.returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        said, code = str(error), 1
    _log(Roots.from_environment(environment), said or "ensured")
    return code


def _log(roots: Roots, said: str) -> None:
    from state.files import made  # a keeper that writes nothing needs no log

    path = roots.keeper_log
    try:
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            made.move_aside(roots, path)
        with made.log(roots, path) as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {said}\n".encode())
    except OSError:
        pass  # a full disk must not end the keeper
