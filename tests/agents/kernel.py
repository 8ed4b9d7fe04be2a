"""A simulated kernel under the real agents: processes, signals, the start of programs, clocks, and a disk that fails.

Only the kernel is replaced, at the few places where the product calls it: pids and environments of processes, signals,
`subprocess.Popen`, clocks and sleeps, a nudge through a pipe, and the write of a file when the disk is full or
read-only. Everything above is the product's own code on real files. The programs are in `programs.py`.

Time is virtual. While a program sleeps, all others go on; a program that was killed meanwhile unwinds.
"""

import errno
import heapq
import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from subprocess import TimeoutExpired
from types import SimpleNamespace
from typing import Any

import pytest

from agents.machine import keeper, observe, processes, sessions
from scripts.infra import quick_look
from scripts.swarm import keeper as keeper_command
from scripts.swarm import stop
from state.files import flock, journal, snapshot
from state.host import code, identity, root, wake
from state.host.clock import SystemClock
from state.host.identity import Identity

_FIRST_PID = 2**22 + 1  # Linux gives none so high
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_WITH_CLOCKS = (keeper, observe, sessions, quick_look, keeper_command, stop)
_POLL_S = 0.05


class Died(BaseException):
    """The program that runs was killed while it slept."""


@dataclass(eq=False)
class Process:
    """One process. `life`: R runs, T is stopped, X is dead; `why` it is."""

    identity: Identity
    words: tuple[str, ...]
    environment: Mapping[str, str]
    began_s: float
    kind: str = ""
    name: str = ""
    life: str = "R"
    why: str = ""
    code: int | None = None  # exit code; None: it was killed
    number: int | None = None  # the signal that killed it
    deaf_to: frozenset[int] = frozenset()
    on_end: list[Callable[[], None]] = field(default_factory=list)
    on_signal: dict[int, Callable[[], None]] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """Its number."""
        return self.identity.pid

    @property
    def lives(self) -> bool:
        """Stopped or not."""
        return self.life != "X"


@dataclass
class Kernel:
    """A table of processes, and what will happen when."""

    programs: Callable[[Process], None]  # begins the program of a new process
    answer: Callable[[Sequence[str], Mapping[str, str]], tuple[int, str] | None]  # of tmux; None: it hangs
    boot_s: float = field(default_factory=time.monotonic)
    now_s: float = 0.0
    wall_off_s: float = 0.0
    disk: int = 0  # errno of every write; 0: it is well
    versions: dict[str, int] = field(default_factory=lambda: {"work": 0, "control": 0})
    table: dict[int, Process] = field(default_factory=dict)
    actors: list[Process | None] = field(default_factory=list)  # who runs now, and whom it interrupted
    ended: list[Process] = field(default_factory=list)
    nudge: Callable[[Path], None] = lambda _pipe: None
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.now_s = self.boot_s

    # time -------------------------------------------------------------------------------------------------------------

    def wall(self) -> datetime:
        """Return the wall time, including a change of the clock."""
        return _BEGIN + timedelta(seconds=self.now_s - self.boot_s + self.wall_off_s)

    def after(self, wait_s: float, what: Callable[[], None]) -> None:
        """Schedule a deed."""
        heapq.heappush(self._events, (self.now_s + wait_s, next(self._count), what))

    def run(self, for_s: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Run all events of this time, or until the condition holds; return whether it holds."""
        end_s = self.now_s + for_s
        while not until():
            if not self._events or self._events[0][0] > end_s:
                self.now_s = max(self.now_s, end_s)
                return until()
            at_s, _, what = heapq.heappop(self._events)
            self.now_s = max(self.now_s, at_s)
            what()
        return True

    def sleep(self, for_s: float) -> None:
        """Let the running program sleep."""
        me = self.actors[-1] if self.actors else None
        self.run(for_s)
        if me is not None:
            self.run(600.0, lambda: me.life != "T")
            if me.life != "R":
                raise Died

    def act(self, who: Process | None, what: Callable[[], Any]) -> Any:
        """Run a piece of a program as this process; None when it was killed in it."""
        self.actors.append(who)
        try:
            return what()
        except Died:
            return None
        finally:
            self.actors.pop()

    # processes --------------------------------------------------------------------------------------------------------

    def fork(self, words: Sequence[str], environment: Mapping[str, str]) -> Process:
        """A new process, without a program yet."""
        number = _FIRST_PID + len(self.table)
        one = Identity(identity.boot_id(), number, int(self.now_s * 100), number)
        self.table[number] = Process(one, tuple(words), dict(environment), self.now_s)
        return self.table[number]

    def end(self, one: Process, why: str, code_: int | None = 0, number: int | None = None) -> None:
        """Mark the process as dead."""
        if one.lives:
            one.life, one.why, one.code, one.number = "X", why, code_, number
            self.ended.append(one)
            for what in one.on_end:
                what()

    def kill(self, one: Process, number: int, by: str) -> None:
        """Send a signal, with the rules of kill(2)."""
        if number == signal.SIGSTOP:
            one.life = "T" if one.lives else one.life
        elif number == signal.SIGCONT:
            one.life = "R" if one.lives else one.life
        elif number not in one.on_signal and not (number in one.deaf_to and number != signal.SIGKILL):
            self.end(one, f"signal {int(number)} by {by}", None, int(number))
        if one.lives and number in one.on_signal:
            one.on_signal[number]()

    def living(self, kind: str) -> list[Process]:
        """Return all live processes of one kind."""
        return [one for one in self.table.values() if one.kind == kind and one.lives]

    def _by(self) -> str:
        actor = self.actors[-1] if self.actors else None
        return "the operator" if actor is None else (actor.name or actor.kind)

    def _look(self, pid: int) -> tuple[Identity, str] | None:
        actor = self.actors[-1] if self.actors else None
        if pid == os.getppid() and actor is not None:  # a cycle's parent is the loop that forked it
            return actor.identity, actor.life
        one = self.table.get(pid)
        return (one.identity, one.life) if one is not None and one.lives else None

    def _environment(self, pid: int) -> list[bytes]:
        one = self.table.get(pid)
        words = {} if one is None or not one.lives else one.environment
        return [f"{name}={value}".encode() for name, value in words.items()]

    def _send(self, target: Identity, number: signal.Signals, is_meant: Callable[[], bool]) -> bool:
        one = self.table.get(target.pid)
        if one is None or not one.lives or one.identity != target or not is_meant():
            return False
        self.kill(one, number, self._by())
        return True

    def _all(self) -> list[Process]:
        return [one for one in self.table.values() if one.lives]

    def _popen(self, words: Sequence[str], **how: Any) -> "Started":
        environment = how.get("env") or dict(os.environ)
        if words[0] == "tmux":
            return Started(self, words, environment, None, bool(how.get("encoding")))
        if words[0] in ("crontab", "systemctl", "loginctl", "nvidia-smi"):
            raise FileNotFoundError(errno.ENOENT, "no such program here", words[0])
        one = self.fork(words, environment)
        self.programs(one)
        return Started(self, words, environment, one, bool(how.get("encoding")))

    # in the place of the real one -------------------------------------------------------------------------------------

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Make the product call this kernel from now on."""
        real_look, real_environment = identity._look, identity._environment
        is_mine = self.table.__contains__
        patch.setattr(
            identity,
            "_look",
            lambda pid: self._look(pid) if is_mine(pid) or pid == os.getppid() else real_look(pid),
        )
        patch.setattr(
            identity, "_environment", lambda pid: self._environment(pid) if is_mine(pid) else real_environment(pid)
        )
        patch.setattr(identity, "_pids", lambda: [one.pid for one in self._all()])
        patch.setattr(root, "environments", lambda: [self._environment(one.pid) for one in self._all()])
        patch.setattr(processes, "_send", self._send)
        patch.setattr(processes, "_last_born", lambda: 0)
        patch.setattr("subprocess.Popen", self._popen)
        patch.setattr(quick_look, "_runs", lambda pid: is_mine(pid) and self.table[pid].life == "R")
        patch.setattr(SystemClock, "now", lambda _: self.wall())
        patch.setattr(SystemClock, "monotonic_s", lambda _: self.now_s)
        clocks = SimpleNamespace(
            time=lambda: self.wall().timestamp(), monotonic=lambda: self.now_s, sleep=self.sleep, strftime=time.strftime
        )
        for module in _WITH_CLOCKS:
            if hasattr(module, "time"):
                patch.setattr(module, "time", clocks)
        patch.setattr(wake, "nudge", self.nudge)
        patch.setattr(code, "_hash", self._hash)
        patch.setattr(code, "running", cache(code.control))  # or the test process would remember ours as its own
        self._install_disk(patch)

    def _hash(self, base: Path, _folders: Any) -> str:
        which = "work" if base.name == "WORKFLOW" else "control"
        return f"{which}-{self.versions[which]}"

    def _install_disk(self, patch: pytest.MonkeyPatch) -> None:
        """A full disk takes no byte, a read-only one opens no file to write; files carry the virtual wall time."""
        write, append, held = snapshot._write_bytes, journal._write_whole, flock.held

        def written(path: Path, data: bytes) -> None:
            self.check_disk()
            write(path, data)
            os.utime(path, (self.wall().timestamp(),) * 2)

        def appended(descriptor: int, line: bytes, end: int) -> None:
            self.check_disk()
            append(descriptor, line, end)

        @contextmanager
        def locked(path: Path, wait: bool = True) -> Any:
            if self.disk == errno.EROFS:
                self.check_disk()
            with held(path, wait):
                yield

        patch.setattr(snapshot, "_write_bytes", written)
        patch.setattr(journal, "_write_whole", appended)
        patch.setattr(flock, "held", locked)

    def check_disk(self) -> None:
        """Raise what a write raises now."""
        if self.disk:
            raise OSError(self.disk, os.strerror(self.disk))


class Started:
    """What `subprocess.Popen` returns, as far as the product uses it."""

    def __init__(
        self, kernel: Kernel, words: Sequence[str], environment: Mapping[str, str], one: Process | None, is_text: bool
    ) -> None:
        self.args, self.pid = words, 0 if one is None else one.pid
        self.returncode: int | None = None
        self.stdin = self.stdout = self.stderr = None
        self._kernel, self._environment, self._one, self._is_text = kernel, environment, one, is_text

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """What it said, once it has ended."""
        said = ""
        if self._one is None:
            answer = self._kernel.answer(self.args, self._environment)
            if answer is None:
                self._kernel.sleep(timeout or 3600.0)
                raise TimeoutExpired(list(self.args), timeout or 3600.0)
            self.returncode, said = answer
        else:
            deadline_s = self._kernel.now_s + (timeout or 3600.0)
            while self._one.lives:
                if self._kernel.now_s >= deadline_s:
                    raise TimeoutExpired(list(self.args), timeout or 3600.0)
                self._kernel.sleep(_POLL_S)
            self.returncode = self._one.code if self._one.code is not None else -(self._one.number or 0)
        return (said, "") if self._is_text else (said.encode(), b"")

    def poll(self) -> int | None:
        """How it ended, or nothing yet."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the same as `poll`: the product waits only after `communicate`."""
        return self.returncode

    def kill(self) -> None:
        """End it."""
        if self._one is not None:
            self._kernel.kill(self._one, signal.SIGKILL, "its parent")
