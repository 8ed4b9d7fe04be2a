"""The programs of a swarm on the simulated kernel: a tmux server, loops, wrappers and workers, the keeper, commands.

The keeper and the commands are the product's own functions; loops and workers live in `actors.py`.
"""

import contextlib
import io
import json
import os
import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from agents import registry
from agents.machine import keeper, launcher, wrapper
from config.errors import Refused
from scripts.infra.quick_look import all_well
from scripts.keeper import watch
from scripts.swarm import sessions as commands
from scripts.swarm import stop
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import tree_of
from tests.agents.actors import COMES_UP_S, Loop, Work
from tests.agents.kernel import Kernel, Process


@dataclass
class Tmux:
    """One server and its panes; `unlinked`: it lives on without a socket."""

    process: Process
    socket: Path
    unlinked: bool = False
    told: dict[str, str] = field(default_factory=dict)  # its environment
    panes: dict[str, Process] = field(default_factory=dict)


@dataclass
class Machine:
    """All programs of one swarm. `continues`: tmux continues what is stopped in its panes, as 3.3a does."""

    roots: Roots
    random: Random
    kernel: Kernel = field(init=False)
    servers: list[Tmux] = field(default_factory=list)
    continues: bool = True
    crashes: list[str] = field(default_factory=list)  # tracebacks of cycles and commands, which nobody expects
    said: list[str] = field(default_factory=list)  # by commands
    cycles: int = 0
    cycled_s: dict[str, float] = field(default_factory=dict)  # agent → when its last whole cycle began
    _wakes: dict[str, Callable[[], None]] = field(default_factory=dict)  # pipe → what a nudge does

    def __post_init__(self) -> None:
        self.kernel = Kernel(self.begin, self.tmux)
        self.kernel.nudge = lambda pipe: self._wakes.get(str(pipe), lambda: None)()

    def begin(self, one: Process) -> None:
        """The program of a process that was just started."""
        words = one.words
        if str(launcher._WRAPPER) in words:
            self._wrapper(one)
        elif "agents.runtime.loop" in words:
            one.kind, one.name = "loop", words[-1]
            self.kernel.after(COMES_UP_S, Loop(self, one, registry.row(words[-1])).begin)
        elif "scripts.swarm" in words:
            one.kind, one.name = "monitor", words[-1]
        elif keeper.MARK in one.environment and "--once" not in words and "ensure" not in words:
            self._keeper(one)
        elif "ensure" in words or any(word.endswith("ensure_swarm_watchdogs.sh") for word in words):
            one.kind, one.name = "ensure", words[-1]
            self.kernel.after(0.3, lambda: self._run(one, lambda: commands.ensure(["--by", words[-1]])))
        else:  # it loads the code, or tells hooks
            one.kind = "other"
            self.kernel.after(0.3, lambda: self.kernel.end(one, "it was done"))

    def _run(self, one: Process | None, command: Callable[[], int]) -> None:
        """A command of the product, with what it says kept; refusals are answers."""

        def run() -> int:
            said = io.StringIO()
            try:
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                    return command()
            except (Refused, launcher.Busy, OSError) as refusal:
                said.write(f"error: {refusal}")
                return 1
            except Exception:
                self.crashes.append(traceback.format_exc())
                return 1
            finally:
                self.said.append(said.getvalue())

        if one is not None and one.life != "R":
            return
        done = self.kernel.act(one, run)
        if one is not None:
            self.kernel.end(one, "it was done", done)

    # the operator -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Type `start`, once the holder of the launch lock has ended."""
        self._under_lock(lambda: self._run(None, lambda: commands.start([])))

    def stop(self) -> None:
        """Type `stop`."""
        self._under_lock(lambda: self._run(None, lambda: stop.main([])))

    def ensure(self) -> None:
        """Call `ensure` as a shell start-up does; it first looks whether all is well."""
        if not all_well(str(self.roots.state)):
            self._run(None, lambda: commands.ensure([]))

    def _under_lock(self, what: Callable[[], None]) -> None:
        try:
            with launcher.launch_lock(self.roots):
                pass
        except (launcher.Busy, OSError):
            self.kernel.after(0.2, lambda: self._under_lock(what))
            return
        what()

    # tmux -------------------------------------------------------------------------------------------------------------

    def server(self) -> Tmux | None:
        """The one that lives."""
        return next((one for one in reversed(self.servers) if one.process.lives), None)

    def tmux(self, words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str] | None:
        """A client: exit code and what it says; None: it hangs."""
        label, folder = words[words.index("-L") + 1], environment["TMUX_TMPDIR"]
        socket = Path(folder) / f"tmux-{os.getuid()}" / label
        rest = [word for word in words[words.index("-L") + 2 :] if word not in ("-f", "/dev/null")]
        name, said = rest[0], rest[1:]
        reached = [one for one in self.servers if one.socket == socket and one.process.lives and not one.unlinked]
        if not reached and name != "new-session":
            return 1, f"error connecting to {socket} (No such file or directory)"
        here = reached[-1] if reached else self._server(socket, environment)
        if here.process.life == "T":
            return None
        return self._answered(here, name, said, environment)

    def _answered(self, here: Tmux, name: str, said: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
        if name == "list-panes":
            return 0, "\n".join(_expanded(said[-1], session, pane) for session, pane in here.panes.items())
        if name == "new-session":
            return self._new_session(here, said, environment)
        if name == "kill-session":
            session = said[-1].removeprefix("$")
            if session in here.panes:
                self._close(here.panes[session])
        elif name == "kill-server":
            self.kernel.end(here.process, "kill-server")
        elif name == "set-environment":
            here.told[said[-2]] = said[-1]
        elif name == "show-environment":
            return 0, f"{said[-1]}={here.told.get(said[-1], '')}"
        elif name == "display-message":
            return 0, str(here.process.pid)
        return 0, ""

    def _server(self, socket: Path, environment: Mapping[str, str]) -> Tmux:
        socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        socket.touch(0o600)
        process = self.kernel.fork(["tmux"], environment)
        process.kind = process.name = "tmux"
        one = Tmux(process, socket, told=dict(environment))
        self.servers.append(one)

        def socket_again() -> None:
            if process.life == "R" and one.unlinked:
                socket.touch(0o600)
                one.unlinked = False

        def goes_on() -> None:
            for pane in list(one.panes.values()):
                if self.continues and pane.life == "T":
                    self.kernel.kill(pane, signal.SIGCONT, "tmux")
                if not pane.lives:
                    self._reap(one, pane)

        def ended() -> None:
            if process.number is None and not one.unlinked:  # killed, it leaves its socket behind
                socket.unlink(missing_ok=True)
            for pane in list(one.panes.values()):
                self._close(pane)
            for watching in self.kernel.living("keeper"):
                self._wakes[f"keeper {watching.pid}"]()

        process.on_signal = {signal.SIGUSR1: socket_again, signal.SIGCONT: goes_on}
        process.on_end.append(ended)
        return one

    def _new_session(self, here: Tmux, said: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
        session, own = said[said.index("-s") + 1], dict(environment)
        if session in here.panes:
            return 1, f"duplicate session: {session}"
        own.update(said[n + 1].split("=", 1) for n, word in enumerate(said) if word == "-e")  # type: ignore[misc]
        pane = self.kernel.fork(said[said.index("-c") + 2 :], own)
        here.panes[session] = pane
        pane.on_end.append(lambda: self._reap(here, pane))
        pane.on_signal[signal.SIGSTOP] = lambda: self._may_continue(here, pane)
        self.begin(pane)
        return 0, ""

    def _may_continue(self, here: Tmux, pane: Process) -> None:
        if self.continues and here.process.life == "R":
            self.kernel.kill(pane, signal.SIGCONT, "tmux")

    def _reap(self, here: Tmux, pane: Process) -> None:
        """Close the session of the ended program; with the last session the server ends."""
        if here.process.life != "R":
            return
        for session in [name for name, one in here.panes.items() if one is pane]:
            del here.panes[session]
        if not here.panes:
            self.kernel.end(here.process, "no sessions are left")

    def _close(self, pane: Process) -> None:
        """Close a pane: its program gets the signal, stopped or not."""
        self.kernel.end(pane, f"its pane was closed by {self.kernel._by()}", None, int(signal.SIGHUP))

    # workers ----------------------------------------------------------------------------------------------------------

    def _wrapper(self, one: Process) -> None:
        one.kind, one.deaf_to = "wrapper", frozenset((signal.SIGHUP, signal.SIGTERM, signal.SIGINT))
        at = one.words.index(str(launcher._WRAPPER))
        one.name, path = Path(one.words[at + 1]).stem, Path(one.words[-1])
        nudges = Path(one.words[at + 2])
        self.kernel.after(0.05, lambda: one.life == "R" and self._worker(one, path, Path(one.words[at + 1]), nudges))

    def _worker(self, parent: Process, path: Path, exit_file: Path, nudges: Path) -> None:
        child = self.kernel.fork(["worker", str(path)], parent.environment)
        child.kind, child.name = "worker", parent.name

        def waited() -> None:
            if parent.life == "T":
                self.kernel.after(0.5, waited)
            elif parent.life == "R":
                record = {"worker_id": parent.name, "code": child.code, "signal": child.number, "oom": False}
                with contextlib.suppress(OSError):  # it ends with a traceback, and how its worker ended is not known
                    self.kernel.check_disk()
                    wrapper.write(str(exit_file), json.dumps(record).encode())
                    self.kernel.nudge(nudges)
                self.kernel.end(parent, "its worker has ended")

        child.on_end.append(lambda: self.kernel.after(0.02, waited))
        self.kernel.after(0.6, Work(self, child, path).step)

    # the keeper -------------------------------------------------------------------------------------------------------

    def _keeper(self, one: Process) -> None:
        one.kind = one.name = "keeper"
        looked_s = self.kernel.now_s if "--later" in one.words else float("-inf")
        due_s = float("inf")

        def claims() -> None:
            record = watch._record(self.roots.state)
            others = [other for other in self.kernel.living("keeper") if other is not one and other.code is None]
            holds = any(self._wakes.get(f"keeper {other.pid}") for other in others)
            if not one.lives:
                return
            if record is None or holds:
                self.kernel.end(one, "another keeper is there")
                return
            try:
                snapshot.write_json(self.roots.keeper, {**record, "identity": tree_of(one.identity)})
            except OSError:
                self.kernel.end(one, "it cannot write")
                return
            self._wakes[f"keeper {one.pid}"] = lambda: again(max(0.0, looked_s + 5.0 - self.kernel.now_s))
            again(60.0 if "--later" in one.words else 0.0)

        def again(wait_s: float) -> None:
            nonlocal due_s
            due_s = self.kernel.now_s + wait_s
            mine = due_s
            self.kernel.after(wait_s, lambda: looks() if due_s == mine else None)

        def looks() -> None:
            nonlocal looked_s
            record = watch._record(self.roots.state)
            if one.life == "T":
                again(0.5)
            elif one.lives and (record is None or record.get("identity") != tree_of(one.identity)):
                self.kernel.end(one, "it is not wanted any more")
            elif one.lives:
                self.kernel.act(one, lambda: watch._look(self.roots.state, record))
                looked_s = self.kernel.now_s
                if one.lives:
                    again(60.0)

        self.kernel.after(0.3, claims)


def _expanded(text: str, session: str, pane: Process) -> str:
    """A format of tmux for a session of one pane; its name stands for every id."""
    known = {"session_name": session, "session_id": f"${session}", "window_id": f"@{session}", "pane_id": f"%{session}"}
    for name, value in {**known, "pane_pid": str(pane.pid), "pane_dead": "0"}.items():
        text = text.replace(f"#{{{name}}}", value)
    return text
