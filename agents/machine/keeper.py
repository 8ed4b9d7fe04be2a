"""The keeper's record, and whether the keeper is there: a process of ours, lines in a crontab, or a systemd unit."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from agents.machine import processes
from agents.model.world import KeeperView
from config.record import dataclass
from state.files import digest, made, snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tree import record_of
from state.host import identity, process
from state.host.identity import Identity

Method = Literal["systemd", "cron", "process"]
MARK = "BACKTEST_OPTIMIZE_KEEPER"  # variable in a keeper's environment: the state root that it serves
_PROGRAM = CHECKOUT / "scripts" / "keeper"
_TIMEOUT_S = 5.0
_WAKES_S = 0.2  # seconds that the kernel may take to continue a process
COMES_UP_S = 10.0  # seconds that a Python without site-packages may take to start on a loaded machine


@dataclass(frozen=True)
class Keeper:
    """An installed keeper. `environment` is all that `ensure` is run with; `entry` says what to remove at uninstall."""

    method: Method
    environment: dict[str, str]
    python: str
    every_s: float
    installed_at: str
    entry: str = ""
    lingers: bool = False  # we asked systemd to keep the user's units running without a login
    by_default: bool = False  # a process that came with a start, and goes with the next stop
    identity: Identity | None = None


def recorded(roots: Roots) -> Keeper | None:
    """Return the keeper on file; None when none is installed."""
    try:
        return record_of(Keeper, snapshot.read_json(roots.keeper))
    except ValueError:
        return None


def look(roots: Roots, ask: bool) -> KeeperView | None:
    """Return the keeper as it is; None when none is installed. With `ask`, cron is asked, which costs a process."""
    keeper = recorded(roots)
    if keeper is None:
        return None
    return KeeperView(keeper.method, _is_alive(keeper, roots, ask), keeper.entry)


def start(roots: Roots, *more: str) -> None:
    """Start the keeper process, but not after a stop. A second keeper finds the lock held and ends.

    A keeper that was stopped (SIGSTOP) still holds the lock: it is continued first, and killed when that has no effect.
    """
    keeper = recorded(roots)
    if keeper is None or keeper.method != "process" or roots.tombstone.exists():
        return
    # Only a process of this root is continued: a copied root may hold the record of another root's keeper.
    if keeper.identity is not None and _is_of(keeper.identity, roots):
        _wake(keeper.identity, roots)
    with made.log(roots, roots.keeper_log) as log:
        subprocess.Popen(
            command(keeper.python, roots, *more),
            env=keeper.environment | {MARK: str(roots.state)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ).returncode = 0  # Popen must not wait for the keeper, which outlives this process


def command(python: str, roots: Roots, *more: str) -> list[str]:
    """Return the keeper's command line. Without site-packages, Python starts in milliseconds."""
    return [python, "-S", "-E", "-X", "utf8", str(_PROGRAM), str(roots.state), *more]


def processes_of(roots: Roots) -> list[Identity]:
    """Return every keeper process of this root, whatever the record says."""
    return identity.of_swarm(roots.state, MARK)


def tag(roots: Roots) -> str:
    """Return the text that marks our lines in a crontab and names our systemd unit."""
    return f"backtest-optimize-keeper-{digest.of(str(roots.state).encode())[:8]}"


# cron -----------------------------------------------------------------------------------------------------------------


def crontab() -> bytes | None:
    """Return the user's crontab, b"" when there is none; None when cron cannot be asked."""
    done = run(["crontab", "-l"])
    if done is None:
        return None
    return done.stdout if done.returncode == 0 else (b"" if b"no crontab" in done.stderr else None)


def with_lines(text: bytes, roots: Roots, python: str) -> bytes:
    """Return `text` with our lines in it once, and every other line as it was."""
    rest = without_lines(text, roots)
    # cron reads % as a newline and hands the line to a shell, so the paths are quoted for that shell.
    said = shlex.join(command(python, roots, "--once")).replace("%", "\\%")
    rest += b"" if not rest or rest.endswith(b"\n") else b"\n"
    return rest + "".join(f"{when} {said} # {tag(roots)}\n" for when in ("@reboot", "* * * * *")).encode()


def without_lines(text: bytes, roots: Roots) -> bytes:
    """Return `text` without our lines."""
    mark = f"# {tag(roots)}".encode()
    return b"".join(line for line in text.splitlines(keepends=True) if not line.rstrip().endswith(mark))


def write_crontab(text: bytes) -> bool:
    """Install the crontab, or remove it when it is empty; return whether that worked."""
    done = run(["crontab", "-"], text) if text else run(["crontab", "-r"])
    return done is not None and done.returncode == 0


# systemd --------------------------------------------------------------------------------------------------------------


def unit_file(roots: Roots) -> Path:
    """Return the path of the systemd unit."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "systemd" / "user" / f"{tag(roots)}.service"


def unit_text(roots: Roots, python: str) -> str:
    """Return the unit's text. systemd keeps the same loop running; stopping the unit ends neither tmux nor workers."""
    words = " ".join(_systemd_word(word) for word in command(python, roots))
    return (
        "[Unit]\nDescription=brings the backtest-optimize swarm back\n\n"
        f"[Service]\nExecStart={words}\nRestart=always\nRestartSec=10\nKillMode=process\nUMask=0077\n\n"
        "[Install]\nWantedBy=default.target\n"
    )


def systemctl(*words: str) -> bool:
    """Run `systemctl --user`, and return whether it succeeded."""
    done = run(["systemctl", "--user", *words])
    return done is not None and done.returncode == 0


def _systemd_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


# helpers --------------------------------------------------------------------------------------------------------------


def _serves(process: Identity, roots: Roots) -> bool:
    """Whether the process runs and serves this root; a stopped process serves nothing."""
    return identity.life_of(process) == "running" and _is_of(process, roots)


def _is_of(process: Identity, roots: Roots) -> bool:
    """Whether the process belongs to this root. A copied root may hold the record of the other root's keeper."""
    return not identity.can_look() or identity.is_in(process.pid, roots.state, MARK)


def _wake(process: Identity, roots: Roots) -> None:
    """Continue a stopped keeper. One that a debugger holds cannot go on, so it is killed to free the lock."""
    if identity.life_of(process) != "stopped":
        return
    processes.send_in(roots.state, process, signal.SIGCONT, MARK)
    if not _leaves_stop(process):
        processes.send_in(roots.state, process, signal.SIGKILL, MARK)


def _leaves_stop(process: Identity) -> bool:
    deadline = time.monotonic() + _WAKES_S
    while identity.life_of(process) == "stopped":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _is_young(roots: Roots) -> bool:
    try:
        return abs(time.time() - roots.keeper.stat().st_mtime) < COMES_UP_S
    except OSError:
        return False


def _is_alive(keeper: Keeper, roots: Roots, ask: bool) -> bool | None:
    if keeper.method == "process":
        # A keeper that was just started would look dead until it has written its identity.
        if keeper.identity is None and _is_young(roots):
            return None  # the process has started and not written its identity yet
        return keeper.identity is not None and _serves(keeper.identity, roots)
    if keeper.method == "systemd":
        return Path(keeper.entry).exists()
    if not ask:
        return None
    text = crontab()
    return None if text is None else text != without_lines(text, roots)


def run(words: Sequence[str], text: bytes | None = None) -> "subprocess.CompletedProcess[bytes] | None":
    """Run one short command; return None when it cannot be run or takes too long."""
    try:
        english = process.in_english(os.environ)  # crontab says only in words that there is no crontab
        return subprocess.run(
            words, env=english, input=text or b"", capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
