"""A private swarm for a measurement: temporary roots and socket, default settings, and nothing left at the end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agents.machine import keeper, processes
from agents.registry import AGENTS
from config.errors import Refused
from state.files.layout import CHECKOUT, Roots
from state.host import identity
from state.host.environment import is_member
from state.host.identity import Identity

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_DEADLINE_S = 120.0  # seconds for a swarm to come up on a loaded machine


@dataclass(frozen=True)
class PrivateSwarm:
    """The roots of the swarm, and the environment in which commands act on it."""

    roots: Roots
    environment: dict[str, str]

    def type(self, *words: str) -> None:
        """Run a command of `scripts/backtest-optimize` to its end.

        Raises:
            Refused: the command failed; the reason holds its standard error.
        """
        typed = [sys.executable, str(CHECKOUT / "scripts" / "backtest-optimize"), *words]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        done = subprocess.run(typed, env=self.environment, encoding="utf-8", errors="replace", check=False, **quiet)  # type: ignore[call-overload]
        if done.returncode:
            raise Refused(
                f"backtest-optimize {' '.join(words)} failed: {done.stderr.strip()}",
                "fix what it reports, then measure again",
            )

    def await_cycles(self) -> None:
        """Return once every agent has finished a cycle."""
        _until(lambda: all(self.roots.agent_state(row.name).exists() for row in AGENTS), "a cycle of every agent")

    def await_worker(self) -> None:
        """Return once a worker runs."""
        _until(lambda: any((self.roots.state / "heartbeats").glob("*.json")), "a worker")

    def members(self) -> list[Identity]:
        """Return the processes of loops, monitors, tmux server and keeper, without workers (they have other nonces)."""
        there = [one for one in identity.of_swarm(self.roots.state) if is_member(one.pid, self.roots)]
        return [*there, *keeper.processes_of(self.roots)]

    def cpu_s(self) -> dict[Identity, float]:
        """Return the CPU seconds of every member so far, including its children that have ended."""
        return {one: spent for one in self.members() if (spent := _cpu_s(one.pid)) is not None}


@contextmanager
def private_swarm() -> Iterator[PrivateSwarm]:
    """Yield a swarm with the default settings, whatever the environment says; it is not started yet."""
    with TemporaryDirectory(prefix="bt-", dir="/tmp") as folder:  # short: a socket's path may have 107 characters
        sockets = Path(folder) / "t"
        sockets.mkdir(mode=0o700)
        environment = {name: value for name, value in os.environ.items() if not _is_ours(name)}
        environment |= {"RESULTS_ROOT": f"{folder}/r", "TMUX_TMPDIR": str(sockets), "VENV_PATH": sys.prefix}
        swarm = PrivateSwarm(Roots.from_environment(environment), environment)
        try:
            yield swarm
        finally:
            swarm.type("stop")
            for one in identity.of_swarm(swarm.roots.state):
                processes.send(one, signal.SIGKILL)


def _is_ours(name: str) -> bool:
    """Whether a variable would make this another swarm, or its Python slower than that in its sessions."""
    others = ("STATE_ROOT", "LOGS_ROOT", "TMUX", "TMUX_PANE", "PYTHONDONTWRITEBYTECODE")
    return name in others or name.startswith("BACKTEST_OPTIMIZE")


def _cpu_s(pid: int) -> float | None:
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return sum(map(int, words[11:15])) / _TICKS_A_SECOND  # utime, stime, and both of ended children


def _until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise Refused(f"{what} did not come within {_DEADLINE_S:g} s", "try again when the machine has less to do")
        time.sleep(0.1)
