"""Make sure that tmux is installed: through the system's package manager if that is allowed, else refuse."""

import os
import shlex
import shutil
import subprocess
import sys

from agents.machine.sessions import Tmux
from config.errors import Refused
from state.files.layout import Roots

_MANAGERS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("apt-get", (("apt-get", "install", "-y", "tmux"), ("apt-get", "update"), ("apt-get", "install", "-y", "tmux"))),
    ("dnf", (("dnf", "install", "-y", "tmux"),)),
    ("yum", (("yum", "install", "-y", "tmux"),)),
    ("apk", (("apk", "add", "tmux"),)),
    ("pacman", (("pacman", "-S", "--noconfirm", "tmux"),)),
    ("zypper", (("zypper", "--non-interactive", "install", "tmux"),)),
    ("brew", (("brew", "install", "tmux"),)),
)
_TIMEOUT_S = 300.0


def require() -> None:
    """Return once tmux is installed.

    Raises:
        Refused: tmux is missing and cannot be installed from here; the way out says what to type.
    """
    if shutil.which("tmux"):
        return
    if sys.platform != "linux":
        raise Refused("the swarm runs on Linux", "scripts/backtest-optimize --single works here in full")
    found = next(((name, commands) for name, commands in _MANAGERS if shutil.which(name)), None)
    if found is None:
        raise Refused("tmux is not installed, and no package manager is known here", "install tmux, or use --single")
    name, commands = found
    by_hand = f"{'' if name == 'brew' else 'sudo '}{' '.join(commands[-1])}"
    prefix = _right_to_install(name)
    if prefix is None:
        raise Refused(
            "tmux is not installed, and installing it takes a password", f"type: {by_hand}\n    or use --single"
        )
    print(f"tmux is not installed: {by_hand.removeprefix('sudo ')} …", file=sys.stderr, flush=True)
    said = ""
    for command in commands:
        done = _run([*prefix, *command])
        said = (done.stdout or "").strip()
        if shutil.which("tmux"):
            print("  tmux is installed", file=sys.stderr, flush=True)
            return
    last = said.splitlines()[-1] if said else "it said nothing"
    raise Refused(f"tmux cannot be installed: {last}", f"install it by hand ({by_hand}), or use --single")


def to_attach(roots: Roots, timeout_s: float, session: str) -> str:
    """Return the plain tmux command that shows `session`, read-only, for the shell of the user.

    The swarm's server is its own (`-L`): a bare `tmux attach -t NAME` asks the user's default server, which does not
    know the session.
    """
    server = Tmux.of(roots, timeout_s).server
    folder = "" if server.folder == "/tmp" else f"TMUX_TMPDIR={shlex.quote(server.folder)} "
    return f"{folder}tmux -L {server.label} attach -r -t ={session}"


def _right_to_install(manager: str) -> list[str] | None:
    """Return the words that go before the command, such as sudo, or None when it would ask for a password."""
    if os.geteuid() == 0 or manager == "brew":
        return []
    if shutil.which("sudo") and _run(["sudo", "-n", "true"]).returncode == 0:
        return ["sudo", "-n"]
    return None


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, stdout=str(error))
