"""The tmux server of this swarm: its own socket, every call with a deadline, exact names only.

Measured on tmux 3.3a: `-t bt-worker-1` also means bt-worker-10 (hence `=name`); a dead pane still answers (hence
pane_dead); a server's environment freezes when it starts (hence -e); a stopped server hangs every client (hence the
deadline; no answer is unknown, never "gone"); with its socket deleted a server lives on unseen until SIGUSR1; outside
UTF-8 it says `_` for a tab and for every letter beyond ASCII (hence -u).
"""

import contextlib
import os
import shlex
import signal
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from agents.machine import processes
from agents.model.world import SessionView
from config.errors import Refused
from config.record import dataclass, replace
from state.files import digest, snapshot
from state.files.layout import DEFAULT, Roots
from state.files.tree import tree_of
from state.host import identity, root
from state.host.environment import of_member
from state.host.identity import Identity
from state.host.root import MARK
from state.records.server import Server, recorded

if TYPE_CHECKING:
    from agents.machine.tmux_server import TmuxServer

_DEFAULT_LABEL = "bt"
# tmux starts no shell of ours, but asks for one when it splits a window by hand; and it wants to know a terminal.
_TERMINAL = {"TERM": "screen", "SHELL": "/bin/sh"}
_CONTROL = (sys.executable, "-I", "-S", "-c", "")  # 10 ms where there is a core for it
_SOCKETS = 3  # that it is asked for: whoever removes them may do so in the moment after
_LOOK_S = 0.02
_NO_SERVER = ("no server running", "error connecting", "no sessions", "server exited")


Answer = Literal["yes", "refused", "silent"]


class NoAnswer(Exception):
    """tmux did not answer within its deadline: its state is unknown."""


def installed() -> bool:
    """Whether there is a tmux to call."""
    import shutil

    return shutil.which("tmux") is not None


@dataclass(frozen=True)
class Tmux:
    """Calls to one server."""

    roots: Roots
    server: Server
    timeout_s: float

    @classmethod
    def of(cls, roots: Roots, timeout_s: float) -> "Tmux":
        """The server of this root: the one on file, else the one it would get."""
        server = recorded(roots)
        if server is None:
            server = Server(_label(roots), os.environ.get("TMUX_TMPDIR") or "/tmp")
        elif _is_a_stranger(server, roots):
            server = replace(server, process=None)
        return cls(roots, server, timeout_s)

    def call(self, *arguments: str) -> tuple[int, str]:
        """One tmux command: exit code and what it said.

        Raises:
            NoAnswer: it took longer than the deadline.
        """
        import subprocess

        command = ["tmux", "-u", "-L", self.server.label, "-f", "/dev/null", *map(_literal, arguments)]
        # A server takes over the environment of the call that starts it, so it may hold no secret; and from its first
        # moment it says whose it is.
        environment = of_member(self.roots) | {"TMUX_TMPDIR": self.server.folder, **_TERMINAL}
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NoAnswer(f"tmux -L {self.server.label} gave no answer within {self.timeout_s:g} s") from error
        return done.returncode, done.stdout.decode(errors="surrogateescape").removesuffix("\n")

    def sessions(self) -> tuple[SessionView, ...]:
        """All sessions, for those who look and change nothing; none when there is no server.

        Raises:
            NoAnswer: see `call`, or nobody understands it. OSError: tmux is not installed.
        """
        rows = self.rows()
        folder = self._state_root() if rows else ""
        return tuple(
            SessionView(row["session_name"], row["pane_dead"] == "0" and _lives(int(row["pane_pid"])), folder)
            for row in rows
        )

    def rows(self, *ids: str) -> list[dict[str, str]]:
        """Of all panes: whether it is dead, its pid, these ids, its session's name; no rows when there is no server.

        Raises:
            NoAnswer: see `call`, or a line that nobody understands.
        """
        # Blanks between the fields: no locale and no version of tmux puts anything else in their place. A name, which
        # may hold blanks, comes last.
        formats = ("pane_dead", "pane_pid", *ids, "session_name")
        code, said = self.call("list-panes", "-a", "-F", " ".join(f"#{{{name}}}" for name in formats))
        if code != 0:
            if any(words in said for words in _NO_SERVER):
                return []
            raise NoAnswer(said)
        return [_row(line, formats) for line in said.split("\n") if line]

    def acting(self) -> "TmuxServer":
        """The same server as libtmux's object, for those who change something: importing libtmux is dear."""
        from agents.machine.tmux_server import TmuxServer

        return TmuxServer(self, self.server.label)

    def start(self, session: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """A new session that runs `command`.

        Raises:
            Refused: tmux says why not.
        """
        self.acting().start(session, command, environment)

    def end(self, session: str) -> None:
        """End exactly this session."""
        self.acting().end(session)

    def end_server(self) -> None:
        """End the whole server and with it all panes. `stop` does that, beside a broken environment too: no libtmux."""
        self.call("kill-server")

    def claim(
        self,
        names: Sequence[str],
        fresh_for_s: Mapping[str, float],
        began_s: Mapping[str, float],
        awaited: Mapping[str, tuple[float, int]],
    ) -> "Tmux":
        """Mark the server as this root's; put its process, its sessions, their patience and beginning on file."""
        with contextlib.suppress(OSError):  # gone in this moment: the next claim is of the one that is made then
            self.server.socket.chmod(0o600)  # tmux makes it 0660, and keeps what it finds
        self.acting().claim({"STATE_ROOT": str(self.roots.state), MARK: root.look(self.roots.state).id})
        code, said = self.call("display-message", "-p", "#{pid}")
        process = identity.of(int(said)) if code == 0 and said.isdigit() else None
        server = replace(
            self.server,
            process=process,
            sessions=tuple(names),
            fresh_for_s=dict(fresh_for_s),
            began_s={**self.server.began_s, **began_s},
            awaited={**self.server.awaited, **awaited},
        )
        if server != recorded(self.roots):
            snapshot.write_json(self.roots.swarm, tree_of(server))
        return Tmux(self.roots, server, self.timeout_s)

    def _state_root(self) -> str:
        return self._said("STATE_ROOT")

    def _said(self, variable: str) -> str:
        """A variable of the server's own environment; nothing when it has none."""
        code, said = self.call("show-environment", "-g", variable)
        return said.partition("=")[2] if code == 0 else ""

    def served(self) -> tuple[str, bool]:
        """The state root that the server says it serves, and whether that is ours: the same folder, the same id.

        One of the version before knows no id.
        """
        folder, known = self._state_root(), self._said(MARK)
        ours = root.look(self.roots.state)
        is_here = bool(folder) and os.path.realpath(folder) == str(ours.path)
        return folder, is_here and not ours.is_copy and known in ("", ours.id)


def _row(line: str, formats: Sequence[str]) -> dict[str, str]:
    """One line of `list-panes`."""
    row = dict(zip(formats, line.split(" ", len(formats) - 1), strict=False))
    is_whole = len(row) == len(formats) and all(row.values())
    if not (is_whole and row["pane_dead"] in ("0", "1") and row["pane_pid"].removeprefix("-").isdigit()):
        raise NoAnswer(f"tmux says {line!r} where a session was expected")
    return row


def repair(tmux: Tmux) -> str:
    """Bring a server of ours that gives no answer, or lost its socket, back; what was done, or why nothing was.

    Only the very process on file is ever touched; its panes only look at workers, so ending it costs no work. It is
    ended for silence alone: one whose socket refuses, or was removed, is asked for a new socket.
    """
    process = tmux.server.process
    if process is None or identity.life_of(process) == "dead":
        return "its process is gone"
    if processes.is_stopped(process):  # before any call: each would cost its deadline
        processes.send_in(tmux.roots.state, process, signal.SIGCONT)
        if _answer(tmux) == "yes":
            return "it was stopped; it was continued"
    said, asked, made = _with_a_socket(tmux, process)
    if said == "yes":
        return "its socket was gone; it made a new one" if asked else "it answers"
    if said == "refused" and made:
        return "it made a new socket each time it was asked, and each was gone again; it was left alone"
    if _is_starved(tmux.timeout_s):
        return "it gave no answer, but this machine is too busy to tell whether it hangs; it was left alone"
    processes.send_in(tmux.roots.state, process, signal.SIGKILL)
    _wait_until(lambda: identity.life_of(process) == "dead", tmux.timeout_s)
    return "it gave no answer; it was ended"


def _with_a_socket(tmux: Tmux, process: Identity) -> tuple[Answer, int, int]:
    """What it says when it has a socket, for how many it was asked before that, and how many of these it made."""
    said: Answer = "refused"
    asked = made = 0
    while True:
        if tmux.server.socket.exists():
            said = _answer(tmux)
        if said != "refused" or asked == _SOCKETS:
            return said, asked, made
        processes.send_in(tmux.roots.state, process, signal.SIGUSR1)
        asked += 1
        made += _wait_until(tmux.server.socket.exists, tmux.timeout_s)


def _is_starved(timeout_s: float) -> bool:
    """Whether a program that asks nobody takes a fifth of the deadline, too: then silence does not say who hangs."""
    import subprocess

    began_s = time.monotonic()
    try:
        subprocess.run(_CONTROL, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return True
    return time.monotonic() - began_s > timeout_s / 5


def is_ours(tmux: Tmux) -> bool:
    """Whether the server that answers on this label says itself that it serves our root."""
    try:
        return tmux.served()[1]
    except NoAnswer:
        return False


def belongs_to_another(tmux: Tmux) -> str | None:
    """The state root that the server on this label serves, when it is not ours."""
    folder, serves_us = tmux.served()
    return folder if folder and not serves_us else None


def _is_a_stranger(server: Server, roots: Roots) -> bool:
    """Whether the process on file lives and serves no swarm of this root: the file was forged, copied or damaged."""
    process = server.process
    if process is None or not identity.can_look() or identity.life_of(process) == "dead":
        return False
    return not identity.is_in(process.pid, roots.state)


def other_label(roots: Roots) -> str:
    """A label of this root's own."""
    return f"{_DEFAULT_LABEL}-{digest.of(str(roots.state).encode())[:8]}"


def _label(roots: Roots) -> str:
    default = str(roots.state) == os.path.realpath(DEFAULT / "state")
    return _DEFAULT_LABEL if default else other_label(roots)


def check_folder(server: Server) -> None:
    """Refuse a folder of sockets that others can enter: who reaches the socket types into our panes.

    Raises:
        Refused: it is another's, a link, or open; with what to type.
    """
    folder = server.socket.parent
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return  # tmux makes it, 0700
    way_out = "remove it, or name a folder of your own in TMUX_TMPDIR"
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Refused(f"the folder of tmux's sockets {folder} is not a folder of yours", way_out)
    if found.st_mode & 0o077:
        raise Refused(
            f"others can enter the folder of tmux's sockets {folder}", f"chmod 700 {shlex.quote(str(folder))}"
        )


def _literal(argument: str) -> str:
    """An argument as tmux reads it: one that ends in a semicolon would end the command there."""
    return f"{argument[:-1]}\\;" if argument.endswith(";") else argument


def _answer(tmux: Tmux) -> Answer:
    """Two calls without an answer are silence. A refusal is none: between bind and listen every caller is refused."""
    deadline_s = time.monotonic() + tmux.timeout_s
    silent = 0
    while silent < 2:  # one that was just continued may need its time
        try:
            code, _said = tmux.call("display-message", "-p", "#{pid}")
        except NoAnswer:
            silent += 1
            continue
        if code == 0:
            return "yes"
        if time.monotonic() >= deadline_s or not tmux.server.socket.exists():
            return "refused"
        time.sleep(_LOOK_S)
    return "silent"


def _wait_until(is_so: Callable[[], bool], timeout_s: float) -> bool:
    """A server on a busy machine takes its time to make a socket, or to end; asked before, it would seem not to."""
    deadline_s = time.monotonic() + timeout_s
    while not (so := is_so()) and time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)
    return so


def _lives(pid: int) -> bool:
    return identity.of(pid) is not None
