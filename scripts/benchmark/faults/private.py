"""A swarm of the campaign's own: private roots, a private socket, the commands people type, and what the files say."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agents import registry
from agents.machine import processes
from agents.machine.sessions import NoAnswer, Tmux
from config import settings
from config.errors import Refused
from config.swarm import SwarmSettings
from state import identity, orders, snapshot
from state.heartbeat import Heartbeat
from state.identity import Identity
from state.jobs import JobState, fold
from state.journal import Journal
from state.layout import CHECKOUT, Roots, RoundFolder, SwarmRunFolder
from state.server import recorded
from state.tree import record_of
from state.workers import Launch

COMMAND = CHECKOUT / "scripts" / "backtest-optimize"
ENSURE = CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh"
_OURS = ("RESULTS_ROOT", "STATE_ROOT", "LOGS_ROOT", "TMUX", "TMUX_PANE")
_COMMAND_S = 180.0  # for a command that starts or stops a swarm on a loaded machine
_TMUX_S = 2.0
_LONGEST_FOLDER = 60  # characters: a socket's whole path may have 107

R = TypeVar("R")


@dataclass(frozen=True)
class Swarm:
    """One root and its commands; everything it knows of the swarm it reads from the files that all others read."""

    roots: Roots
    environment: Mapping[str, str]
    limits: SwarmSettings

    # what people type -------------------------------------------------------------------------------------------------

    def start(self, arguments: Sequence[str]) -> None:
        """`--parallel`, detached.

        Raises:
            Refused: it says why not.
        """
        done = self.typed(str(COMMAND), "--parallel", "--detach", *arguments)
        if done.returncode:
            raise Refused(done.stderr.strip().removeprefix("error: ") or f"exit code {done.returncode}", "see above")

    def ensure(self) -> "subprocess.Popen[str]":
        """`ensure_swarm_watchdogs.sh`, as a keeper calls it; nobody waits for it here."""
        return subprocess.Popen(
            [str(ENSURE)],
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a Ctrl-C at the campaign ends the campaign, not a start in the middle
        )

    def stop(self) -> None:
        """`stop`, and then nothing that carries this root is left, whatever the faults did to the records."""
        if (server := self.server()) is not None:
            processes.send(server, signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):  # what is left is ended below
            self.typed(str(COMMAND), "stop")
        for one in identity.of_swarm(self.roots.state):
            if one.pid != os.getpid():
                processes.send(one, signal.SIGKILL)

    def typed(
        self, *words: str, environment: Mapping[str, str] | None = None, for_s: float | None = _COMMAND_S
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, in this swarm's environment or another."""
        return subprocess.run(
            words,
            env=dict(self.environment if environment is None else environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=for_s,
            check=False,
        )

    # what is ----------------------------------------------------------------------------------------------------------

    @property
    def run(self) -> SwarmRunFolder:
        """The run under way."""
        order = orders.current(self.roots)
        if order is None:
            raise Refused(f"the run's order under {self.roots.state} is gone", "start the campaign again")
        return self.roots.swarm_run(order.run_id)

    def round(self) -> RoundFolder | None:
        """The round under way."""
        rounds = self.run.rounds()
        return rounds[-1] if rounds else None

    def jobs(self, number: int) -> dict[str, JobState]:
        """The jobs of a round."""
        return fold(Journal(self.run.round(number).jobs).read().records)

    def launches(self) -> list[Launch]:
        """The workers on file."""
        return [one for path in sorted(self.roots.workers.glob("*.json")) if (one := _read(Launch, path)) is not None]

    def beat(self, worker_id: str) -> Heartbeat | None:
        """What a worker last said of itself."""
        return _read(Heartbeat, self.roots.heartbeat(worker_id))

    def loop(self, agent: str) -> Identity | None:
        """The process that runs an agent's cycles, dead or alive."""
        record = snapshot.read_json(self.roots.loop(agent))
        return _record(Identity, record.get("identity") if isinstance(record, dict) else None)

    def cycled_at_s(self, agent: str) -> float:
        """When the agent last cycled, monotonic; minus infinity when nobody knows."""
        state = snapshot.read_json(self.roots.agent_state(agent))
        at_s = state.get("at_s") if isinstance(state, dict) else None
        return float(at_s) if isinstance(at_s, int | float) else float("-inf")

    def agents(self) -> list[str]:
        """The agents that run under these settings."""
        return [row.name for row in registry.at_work(self.limits)]

    def server(self) -> Identity | None:
        """The tmux server on file."""
        found = recorded(self.roots)
        return None if found is None else found.process

    def all_sessions_there(self) -> bool:
        """Whether tmux answers and names every session; a server that is stopped is not asked: it would not answer."""
        server = self.server()
        if server is None or identity.life_of(server) != "running":
            return False
        try:
            there = {view.name for view in Tmux.of(self.roots, _TMUX_S).sessions() if view.alive}
        except (NoAnswer, OSError):
            return False
        return set(registry.sessions(self.limits)) <= there


def _read(kind: type[R], path: Path) -> R | None:
    return _record(kind, snapshot.read_json(path))


def _record(kind: type[R], tree: Any) -> R | None:
    try:
        return record_of(kind, tree)
    except ValueError:
        return None


@contextmanager
def private(keep: Path | None, more: Mapping[str, Any]) -> Iterator[Swarm]:
    """A swarm in `keep`, or in a folder that is gone afterwards; `more`: settings of the swarm that differ.

    Raises:
        Refused: `keep` is in use, or its name is too long for a socket.
    """
    folder = _folder(keep)
    (folder / "t").mkdir(mode=0o700)
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    environment |= {"RESULTS_ROOT": str(folder / "r"), "TMUX_TMPDIR": str(folder / "t"), "VENV_PATH": sys.prefix}
    environment |= {f"{settings.VALUE_PREFIX}SWARM__{name.upper()}": json.dumps(value) for name, value in more.items()}
    swarm = Swarm(Roots.from_environment(environment), environment, settings.load(environment).swarm)
    try:
        yield swarm
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave a swarm behind
        try:
            swarm.stop()
        finally:
            signal.signal(signal.SIGINT, before)
            if keep is None:
                shutil.rmtree(folder, ignore_errors=True)


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="bt-faults-", dir="/tmp"))  # short: sockets lie in it
    folder = keep.absolute()
    if len(str(folder)) > _LONGEST_FOLDER:
        raise Refused(f"{folder} is too long a name for tmux sockets", f"name one of up to {_LONGEST_FOLDER} letters")
    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder} is not empty", "name a folder that is empty or not there yet")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
