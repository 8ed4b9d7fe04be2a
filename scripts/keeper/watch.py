"""What a keeper does: nothing while all is well or after a stop, else `ensure`, in an environment that is on file.

All it knows stands in STATE_ROOT/keeper.json; when that is gone, or names another process, it ends.
"""

import fcntl
import os
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.infra.quick_look import all_well
from state import identity, snapshot
from state.layout import CHECKOUT

_ENSURE = CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh"
_ENSURE_S = 300.0  # starting a dozen Pythons on a loaded machine; what hangs longer is ended and tried again
_LOG_BYTES = 1_000_000


def main(argv: list[str]) -> int:
    """Look once, or for ever."""
    os.umask(0o077)
    state = Path(argv[0])
    if "--once" in argv:
        return _look(state, _record(state))
    if _claimed(state) is None:
        return 0  # another keeper looks after this swarm
    while (record := _record(state)) is not None and record.get("identity") == asdict(identity.mine()):
        _look(state, record)
        time.sleep(float(record["every_s"]))
    return 0


def _record(state: Path) -> "dict[str, Any] | None":
    try:
        record = snapshot.read_json(state / "keeper.json")
    except OSError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("environment"), dict) else None


def _claimed(state: Path) -> "int | None":
    """The held lock, which lives as long as we do; our identity is on file then."""
    record = _record(state)
    if record is None:
        return None
    descriptor = os.open(state / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    snapshot.write_json(state / "keeper.json", {**record, "identity": asdict(identity.mine())})
    return descriptor


def _look(state: Path, record: "dict[str, Any] | None") -> int:
    if record is None or (state / "stopped.json").exists() or all_well(str(state)):
        return 0
    environment = {str(name): str(value) for name, value in record["environment"].items()}
    try:
        done = subprocess.run(
            ["/usr/bin/env", "bash", str(_ENSURE)],
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
    _log(Path(environment["LOGS_ROOT"]) / "keeper.log", said or "ensured")
    return code


def _log(path: Path, said: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {said}\n")
    except OSError:
        pass  # a full disk must not end the keeper
