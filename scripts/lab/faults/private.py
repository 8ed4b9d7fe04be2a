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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from agents import registry
from agents.machine import processes
from agents.machine.sessions import NoAnswer, Tmux
from config import settings
from config.errors import Refused
from config.swarm import SwarmSettings
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.files.run_folders import RoundFolder, SwarmRunFolder
from state.files.tree import record_of
from state.host import identity
from state.host.identity import Identity
from state.records import orders
from state.records.heartbeat import Heartbeat
from state.records.jobs import JobState, fold
from state.records.server import recorded
from state.records.workers import Launch

_OURS = ("RESULTS_ROOT", "STATE_ROOT", "LOGS_ROOT", "TMUX", "TMUX_PANE")
_COMMAND_S = 180.0  # for a command that starts or stops a swarm on a loaded machine
_TMUX_S = 2.0
_DISK_MB = 2_048  # of a disk that a campaign fills: it holds several rounds of results
_INODES = 60_000  # files on it, likewise
_LONGEST_FOLDER = 60  # characters: a socket's whole path may have 107

R = TypeVar("R")


@dataclass(frozen=True)
class Swarm:
    """One root and its commands; everything it knows of the swarm it reads from the files that all others read."""

    roots: Roots
    environment: Mapping[str, str]
    limits: SwarmSettings
    code: Path = CHECKOUT  # the checkout it runs from: this one, or a copy that may be upgraded under it
    is_mounted: bool = False  # its roots are a small disk of their own, which can be filled
    known: dict[str, str] = field(default_factory=dict, compare=False)  # what its records said last

    @property
    def command(self) -> str:
        """`scripts/backtest-optimize` of its checkout."""
        return str(self.code / "scripts" / "backtest-optimize")

    # what people type -------------------------------------------------------------------------------------------------

    def start(self, arguments: Sequence[str]) -> None:
        """`--parallel`, detached.

        Raises:
            Refused: it says why not.
        """
        done = self.typed(self.command, "--parallel", "--detach", *arguments)
        if done.returncode:
            raise Refused(
                done.stderr.strip().removeprefix("error: ") or f"exit code {done.returncode}",
                "fix what it reports, then start again",
            )

    def ensure(self) -> "subprocess.Popen[str]":
        """`ensure_swarm_watchdogs.sh`, as a keeper calls it; nobody waits for it here."""
        return subprocess.Popen(
            [str(self.code / "scripts" / "ensure_swarm_watchdogs.sh")],
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a Ctrl-C at the campaign ends the campaign, not a start in the middle
        )

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """Begin a command of `scripts/backtest-optimize`; nobody waits for its end here."""
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            [self.command, *words],
            env=dict(self.environment),
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            **quiet,
        )

    def stop(self) -> None:
        """`stop`, and then nothing that carries this root is left, whatever the faults did to the records."""
        if (server := self.server()) is not None:
            processes.send(server, signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):  # what is left is ended below
            self.typed(self.command, "stop", is_apart=True)
        for one in self.members():
            processes.send(one, signal.SIGKILL)

    def members(self) -> list[Identity]:
        """Every process that carries this root, but this one."""
        return [one for one in identity.of_swarm(self.roots.state) if one.pid != os.getpid()]

    def typed(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        for_s: float | None = _COMMAND_S,
        is_apart: bool = False,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, in this swarm's environment or another; a Ctrl-C does not reach one `is_apart`."""
        return subprocess.run(
            words,
            env=dict(self.environment if environment is None else environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=for_s,
            start_new_session=is_apart,
            check=False,
        )

    # what is ----------------------------------------------------------------------------------------------------------

    @property
    def run(self) -> SwarmRunFolder:
        """The run under way."""
        order = orders.current(self.roots)
        if order is not None:
            self.known["run_id"] = order.run_id
        elif "run_id" not in self.known:
            raise Refused(f"the run's order under {self.roots.state} is gone", "start the campaign again")
        return self.roots.swarm_run(self.known["run_id"])  # an attack may have taken its records away for a moment

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

    def loop_began_s(self, agent: str) -> float:
        """When the agent's loop began, monotonic, as it says itself; minus infinity when nobody knows."""
        record = snapshot.read_json(self.roots.loop(agent))
        began_s = record.get("began_s") if isinstance(record, dict) else None
        return float(began_s) if isinstance(began_s, int | float) else float("-inf")

    def cycled_at_s(self, agent: str) -> float:
        """When the agent last cycled, monotonic; minus infinity when nobody knows."""
        state = snapshot.read_json(self.roots.agent_state(agent))
        at_s = state.get("at_s") if isinstance(state, dict) else None
        return float(at_s) if isinstance(at_s, int | float) else float("-inf")

    def agents(self) -> list[str]:
        """The agents that run under these settings."""
        return [row.name for row in registry.at_work(self.limits)]

    def left_behind(self) -> tuple[str, ...]:
        """What is there after `stop` and should not be: processes, a socket, sessions behind it, half-written files."""
        found = [f"process {one.pid}" for one in self.members()]
        server = recorded(self.roots)
        if server is not None and server.socket.exists():
            found.append(f"socket {server.socket}")
            with contextlib.suppress(NoAnswer, OSError):
                found += [f"session {view.name}" for view in Tmux.of(self.roots, _TMUX_S).sessions()]
        found += [str(path) for path in self.roots.results.rglob("*.tmp")]
        return tuple(found)

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
def private(keep: Path | None, more: Mapping[str, Any], apart: bool = False) -> Iterator[Swarm]:
    """A swarm in `keep`, or in a folder that is gone afterwards; `more`: settings of the swarm that differ.

    `apart`: it runs from a copy of this checkout and, where this user may mount one, on a small disk of its own, so
    that an upgrade and a full disk hit nobody else.

    Raises:
        Refused: `keep` is in use, or its name is too long for a socket.
    """
    folder = _folder(keep)
    (folder / "t").mkdir(mode=0o700)
    (folder / "r").mkdir(mode=0o700)
    code = _copied(folder / "code") if apart else CHECKOUT
    mounted = apart and _mount(folder / "r")
    logs = folder / "l" if mounted else folder / "r" / "logs"  # beside the disk that is filled: they say who felt it
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    environment |= {"RESULTS_ROOT": str(folder / "r"), "LOGS_ROOT": str(logs)}
    environment |= {"TMUX_TMPDIR": str(folder / "t"), "VENV_PATH": sys.prefix}
    environment |= {f"{settings.VALUE_PREFIX}SWARM__{name.upper()}": json.dumps(value) for name, value in more.items()}
    environment |= {f"{settings.VALUE_PREFIX}RUN__STOP_WHEN_HOLDOUT_SPENT": "false"}  # there is work until the end
    if apart:  # the copy has the same sources, so what was compiled for this checkout serves it, too
        environment.setdefault("NUMBA_CACHE_DIR", str(CHECKOUT / "state" / ".cache" / "numba"))
    limits = settings.load(environment).swarm
    swarm = Swarm(Roots.from_environment(environment), environment, limits, code, mounted)
    try:
        yield swarm
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave a swarm behind
        try:
            swarm.stop()
        finally:
            signal.signal(signal.SIGINT, before)
            if mounted and keep is None:
                subprocess.run(["umount", "--lazy", str(folder / "r")], check=False)
            if keep is None:
                shutil.rmtree(folder, ignore_errors=True)


def _copied(target: Path) -> Path:
    """A copy of this checkout's sources, without what it has made itself."""
    keep_out = shutil.ignore_patterns(".git", ".venv*", ".cache", "run", "__pycache__")
    shutil.copytree(CHECKOUT, target, ignore=keep_out)
    return target


def _mount(folder: Path) -> bool:
    """Whether a small disk in memory could be mounted there: this takes root."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m,nr_inodes={_INODES},mode=700", "tmpfs", str(folder)]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


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
