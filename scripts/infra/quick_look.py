"""Is all of the swarm there and breathing? Milliseconds, with the standard library alone, for shell start-up."""

import json
import os
import subprocess
import time

from scripts.infra import plain_file

_TMUX_TIMEOUT_S = 2.0


def all_well(state_root: str) -> bool:
    """Whether every session on record is alive and every agent has cycled within its patience. No answer is a no."""
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
    """Whether its records are of this folder and not of one it was copied from, and of this PID namespace."""
    with open(os.path.join(state_root, "root.json"), encoding="utf-8") as file:
        root = json.load(file)
    found = os.stat(state_root)
    here = (found.st_ino, found.st_dev, os.stat("/proc/self/ns/pid").st_ino)
    return bool((root["inode"], root["device"], root["namespace"]) == here)


def _runs(pid: int) -> bool:
    """Whether the tmux server is in a state in which asking it makes sense: a stopped one would hang us."""
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
    """By the file's time: a clock that was set makes it look stale, and the long look then tells."""
    age_s = time.time() - os.stat(os.path.join(state_root, file_name)).st_mtime
    return -fresh_for_s < age_s < fresh_for_s
