"""Say in milliseconds whether all of the swarm is alive, with the standard library alone, for shell start-up."""

import json
import os
import subprocess
import time

from scripts.infra import plain_file

_TMUX_TIMEOUT_S = 2.0


def all_well(state_root: str) -> bool:
    """Whether every session on record is alive and every agent has cycled in time; False when that is unknown."""
    try:
        swarm = json.loads(plain_file.read(os.path.join(state_root, "swarm.json")))
        expected = swarm["fresh_for_s"]
        return (
            bool(expected)
            and _is_here(state_root)
            and _runs(swarm["process"]["pid"])
            and _all_there(swarm["label"], swarm["folder"], swarm["sessions"])
            and all(_fresh(state_root, *one) for one in expected.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, subprocess.SubprocessError):
        return False


def _is_here(state_root: str) -> bool:
    """Whether the records belong to this folder, not to one it was copied from, and to this PID namespace."""
    with open(os.path.join(state_root, "root.json"), encoding="utf-8") as file:
        root = json.load(file)
    found = os.stat(state_root)
    here = (found.st_ino, found.st_dev, os.stat("/proc/self/ns/pid").st_ino)
    return bool((root["inode"], root["device"], root["namespace"]) == here)


def _runs(pid: int) -> bool:
    """Whether the tmux server runs and can be asked; asking a stopped server would hang us."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "TtZ"
    except OSError:
        return not os.path.isdir("/proc/self")


def _all_there(label: str, folder: str, sessions: "list[str]") -> bool:
    command = ["tmux", "-u", "-L", label, "list-panes", "-a", "-F", "#{session_name} #{pane_dead}"]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "TMUX_TMPDIR": folder}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=_TMUX_TIMEOUT_S, check=False)
    return {f"{session} 0" for session in sessions} <= set(done.stdout.decode(errors="replace").splitlines())


def _fresh(state_root: str, file_name: str, fresh_for_s: float) -> bool:
    """Whether the file is recent by its time. After a clock change it may look stale; `ensure` then looks closely."""
    age_s = time.time() - os.stat(os.path.join(state_root, file_name)).st_mtime
    return -fresh_for_s < age_s < fresh_for_s
