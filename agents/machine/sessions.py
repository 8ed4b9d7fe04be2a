"""The tmux server of this swarm: its own socket, every call with a deadline, exact names only.

Measured on tmux 3.3a: `-t bt-worker-1` also means bt-worker-10 (hence `=name`); a dead pane still answers (hence
pane_dead); a server's environment freezes when it starts (hence -e); a stopped server hangs every client (hence the
deadline; no answer is unknown, never "gone"); with its socket deleted a server lives on unseen until SIGUSR1.
"""

import contextlib
import os
import shlex
import signal
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.machine import processes
from agents.runtime.world import SessionView
from config.errors import Refused
from config.record import dataclass, replace
from state import digest, identity, snapshot
from state.environment import of_swarm
from state.identity import NONCE
from state.layout import CHECKOUT, Roots
from state.secrets import redacted
from state.server import Server, recorded
from state.tree import tree_of

_DEFAULT_LABEL = "bt"
_FORMAT = "#{session_name}\t#{pane_dead}\t#{pane_pid}"
# tmux starts no shell of ours, but asks for one when it splits a window by hand; and it wants to know a terminal.
_TERMINAL = {"TERM": "screen", "SHELL": "/bin/sh"}
_NO_SERVER = ("no server running", "error connecting", "no sessions", "server exited")


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
        return cls(roots, server, timeout_s)

    def call(self, *arguments: str) -> tuple[int, str]:
        """One tmux command: exit code and what it said.

        Raises:
            NoAnswer: it took longer than the deadline.
        """
        import subprocess

        command = ["tmux", "-L", self.server.label, "-f", "/dev/null", *map(_literal, arguments)]
        # A server takes over the environment of the call that starts it, so it may hold no secret; and from its first
        # moment it says whose it is.
        environment = of_swarm(self.roots) | {"TMUX_TMPDIR": self.server.folder, NONCE: "swarm", **_TERMINAL}
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
        """All sessions; none when there is no server.

        Raises:
            NoAnswer: see `call`. OSError: tmux is not installed.
        """
        code, said = self.call("list-panes", "-a", "-F", _FORMAT)
        if code != 0:
            if any(words in said for words in _NO_SERVER):
                return ()
            raise NoAnswer(said)
        root = self._state_root()
        rows = (line.split("\t") for line in said.splitlines())
        return tuple(SessionView(name, dead != "1" and _lives(int(pid)), root) for name, dead, pid in rows)

    def start(self, session: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """A new session that runs `command`.

        Raises:
            Refused: tmux says why not.
        """
        pairs = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        size = ("-x", "120", "-y", "30")
        code, said = self.call("new-session", "-d", "-s", session, *size, *pairs, "-c", _plain(str(CHECKOUT)), *command)
        if code != 0 and "duplicate session" not in said:
            raise Refused(
                f"tmux cannot start {session}: {redacted(said)}", "look at it with: tmux -L " + self.server.label
            )

    def end(self, session: str) -> None:
        """End exactly this session."""
        self.call("kill-session", "-t", f"={session}")

    def end_server(self) -> None:
        """End the whole server and with it all panes."""
        self.call("kill-server")

    def claim(self, names: Sequence[str], fresh_for_s: Mapping[str, float], began_s: Mapping[str, float]) -> "Tmux":
        """Mark the server as this root's; put its process, its sessions, their patience and beginning on file."""
        with contextlib.suppress(OSError):  # gone in this moment: the next claim is of the one that is made then
            self.server.socket.chmod(0o600)  # tmux makes it 0660, and keeps what it finds
        self.call("set-environment", "-g", "STATE_ROOT", str(self.roots.state))
        code, said = self.call("display-message", "-p", "#{pid}")
        process = identity.of(int(said)) if code == 0 and said.isdigit() else None
        self.call("set-option", "-g", "status-left-length", "40")  # our names are longer than the default of 10
        self.call(
            "set-option", "-g", "status-right", "%H:%M"
        )  # the default shows titles, which programs set as they like
        self.call("set-option", "-g", "automatic-rename", "off")
        server = replace(
            self.server,
            process=process,
            sessions=tuple(names),
            fresh_for_s=dict(fresh_for_s),
            began_s={**self.server.began_s, **began_s},
        )
        if server != recorded(self.roots):
            snapshot.write_json(self.roots.swarm, tree_of(server))
        return Tmux(self.roots, server, self.timeout_s)

    def _state_root(self) -> str:
        code, said = self.call("show-environment", "-g", "STATE_ROOT")
        return said.partition("=")[2] if code == 0 else ""


def repair(tmux: Tmux) -> str:
    """Bring a server of ours that gives no answer, or lost its socket, back; what was done, or why nothing was.

    Only the very process on file is ever touched; its panes only look at workers, so ending it costs no work.
    """
    process = tmux.server.process
    if process is None or identity.life_of(process) == "dead":
        return "its process is gone"
    if processes.is_stopped(process):  # before any call: each would cost its deadline
        processes.send(process, signal.SIGCONT)
        if _answers(tmux):
            return "it was stopped; it was continued"
    if not tmux.server.socket.exists():
        processes.send(process, signal.SIGUSR1)
        _wait_for(tmux.server.socket, tmux.timeout_s)
        if _answers(tmux):
            return "its socket was gone; it made a new one"
    if _answers(tmux):
        return "it answers"
    processes.send(process, signal.SIGKILL)
    return "it gave no answer; it was ended"


def is_ours(tmux: Tmux) -> bool:
    """Whether the server that answers on this label says itself that it serves our root."""
    try:
        return tmux._state_root() == str(tmux.roots.state)
    except NoAnswer:
        return False


def belongs_to_another(tmux: Tmux) -> str | None:
    """The state root that the server on this label serves, when it is not ours."""
    root = tmux._state_root()
    return root if root and root != str(tmux.roots.state) else None


def other_label(roots: Roots) -> str:
    """A label of this root's own."""
    return f"{_DEFAULT_LABEL}-{digest.of(str(roots.state).encode())[:8]}"


def _label(roots: Roots) -> str:
    default = roots.state == CHECKOUT / "state" / "run" / "state"
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


def _plain(text: str) -> str:
    """A text for an option that tmux expands: #(…) in a path would be run by a shell."""
    return text.replace("#", "##")


def _answers(tmux: Tmux) -> bool:
    for _ in range(2):  # one that was just continued may need its time
        try:
            code, _said = tmux.call("display-message", "-p", "#{pid}")
        except NoAnswer:
            continue
        if code == 0:
            return True
    return False


def _wait_for(socket: Path, timeout_s: float) -> None:
    """A server on a busy machine takes its time to make a socket; asked before, it would seem to give no answer."""
    deadline_s = time.monotonic() + timeout_s
    while not socket.exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    return identity.of(pid) is not None
