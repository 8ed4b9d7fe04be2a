"""The tmux server of this swarm: its own socket, a deadline for every call, and exact names only.

Traps that were measured on tmux 3.3a, and what is done about each:

- `-t bt-worker-1` also matches bt-worker-10: targets are exact ids.
- A session whose pane is dead still answers: `pane_dead` is read.
- A server's environment freezes when the server starts: each session gets its own with `-e`.
- A stopped server hangs every client: each call has a deadline, and no answer means unknown, never "gone".
- With its socket deleted, a server lives on unseen: SIGUSR1 makes it open a new socket.
- Outside UTF-8, tmux prints `_` for a tab and for every letter beyond ASCII: it is called with `-u`.
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
# Our sessions run no shell, but a person may split a window, which needs one; and tmux needs to know a terminal.
_TERMINAL = {"TERM": "screen", "SHELL": "/bin/sh"}
_CONTROL = (sys.executable, "-I", "-S", "-c", "")  # a program that takes 10 ms when it gets a core
_SOCKETS = 3  # how often a server is asked for a new socket, because whatever removed the last may remove this one, too
_LOOK_S = 0.02  # seconds between two looks while we wait for a server
# "no current target" comes from a server without any session, which is about to exit.
_NO_SERVER = ("no server running", "error connecting", "no sessions", "server exited", "no current target")


Answer = Literal["yes", "refused", "silent"]


class NoAnswer(Exception):
    """tmux gave no answer within the deadline, or none that can be understood, so its state is unknown."""


def installed() -> bool:
    """Whether tmux is installed."""
    import shutil

    return shutil.which("tmux") is not None


@dataclass(frozen=True)
class Tmux:
    """Calls to one tmux server."""

    roots: Roots
    server: Server
    timeout_s: float

    @classmethod
    def of(cls, roots: Roots, timeout_s: float) -> "Tmux":
        """Return the server of this root: the one on file, else the one that a start would make."""
        server = recorded(roots)
        if server is None:
            server = Server(_label(roots), os.environ.get("TMUX_TMPDIR") or "/tmp")
        elif _is_a_stranger(server, roots):
            server = replace(server, process=None)
        return cls(roots, server, timeout_s)

    def call(self, *arguments: str) -> tuple[int, str]:
        """Run one tmux command; return its exit code and its output.

        Raises:
            NoAnswer: the command took longer than the deadline.
        """
        import subprocess

        # -u: UTF-8 in every locale. -f: no configuration of the user's, which could change names or start programs.
        command = ["tmux", "-u", "-L", self.server.label, "-f", "/dev/null", *map(_literal, arguments)]
        # A server keeps the environment of the call that starts it, so that environment may hold no secret; and it
        # names the state root, so that the server says from its first moment on whose it is.
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
        """Return all sessions, for callers that change nothing; none when there is no server.

        Raises:
            NoAnswer: see `rows`.
            OSError: tmux is not installed.
        """
        rows = self.rows()
        folder = self._state_root() if rows else ""
        return tuple(
            SessionView(row["session_name"], row["pane_dead"] == "0" and _lives(int(row["pane_pid"])), folder)
            for row in rows
        )

    def rows(self, *ids: str) -> list[dict[str, str]]:
        """Return each pane's state, pid, these ids and session name as texts; [] when there is no server.

        Raises:
            NoAnswer: see `call`; or tmux fails, or answers in a form that is not understood.
        """
        # The fields are separated by blanks, which no locale and no version of tmux replaces. The name, which may
        # itself hold blanks, comes last.
        formats = ("pane_dead", "pane_pid", *ids, "session_name")
        code, said = self.call("list-panes", "-a", "-F", " ".join(f"#{{{name}}}" for name in formats))
        if code != 0:
            if any(words in said for words in _NO_SERVER):
                return []
            raise NoAnswer(said)
        return [_row(line, formats) for line in said.split("\n") if line]

    def acting(self) -> "TmuxServer":
        """Return the same server as libtmux's object, for callers that change something; importing libtmux is slow."""
        from agents.machine.tmux_server import TmuxServer

        return TmuxServer(self, self.server.label)

    def start(self, session: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a new session that runs `command`.

        Raises:
            Refused: tmux cannot start it; the message is tmux's.
        """
        self.acting().start(session, command, environment)

    def end(self, session: str) -> None:
        """End the session of exactly this name."""
        self.acting().end(session)

    def end_server(self) -> None:
        """End the server and all its panes, without libtmux: `stop` must work beside a broken environment."""
        self.call("kill-server")

    def claim(
        self,
        names: Sequence[str],
        fresh_for_s: Mapping[str, float],
        began_s: Mapping[str, float],
        awaited: Mapping[str, tuple[float, int]],
    ) -> "Tmux":
        """Mark the server as this root's, and record its process, its sessions, their patience and when they began."""
        with contextlib.suppress(OSError):  # the socket is gone: the next claim sets the mode of the new one
            self.server.socket.chmod(0o600)  # tmux makes its socket with mode 0660, and keeps a mode that it finds
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
        # Written only when it differs, so that `ensure` does not rewrite the file of a healthy swarm.
        if server != recorded(self.roots):
            snapshot.write_json(self.roots.swarm, tree_of(server))
        return Tmux(self.roots, server, self.timeout_s)

    def _state_root(self) -> str:
        return self._said("STATE_ROOT")

    def _said(self, variable: str) -> str:
        """Return a variable of the server's own environment; "" when it is not set."""
        code, said = self.call("show-environment", "-g", variable)
        return said.partition("=")[2] if code == 0 else ""

    def served(self) -> tuple[str, bool]:
        """Return the state root that the server says it serves, and whether that is ours: the same folder and id.

        A server of an older version has no id, which is accepted.
        """
        folder, known = self._state_root(), self._said(MARK)
        ours = root.look(self.roots.state)
        is_here = bool(folder) and os.path.realpath(folder) == str(ours.path)
        return folder, is_here and not ours.is_copy and known in ("", ours.id)


def _row(line: str, formats: Sequence[str]) -> dict[str, str]:
    """Return the fields of one line of `list-panes`.

    Raises:
        NoAnswer: the line has another form.
    """
    row = dict(zip(formats, line.split(" ", len(formats) - 1), strict=False))
    is_whole = len(row) == len(formats) and all(row.values())
    if not (is_whole and row["pane_dead"] in ("0", "1") and row["pane_pid"].removeprefix("-").isdigit()):
        raise NoAnswer(f"tmux says {line!r} where a session was expected")
    return row


def repair(tmux: Tmux) -> str:
    """Repair a server of ours that gives no answer or lost its socket; return what was done, or why nothing was.

    Only the process on file is ever signalled. Ending it costs no work, because panes only watch workers. The server is
    ended only when it is silent; when its socket refuses or was removed, the server is asked for a new socket.
    """
    process = tmux.server.process
    # Without a process on record there is nothing that may be signalled: another server may have this label.
    if process is None or identity.life_of(process) == "dead":
        return "its process is gone"
    if processes.is_stopped(process):  # checked before any call, because each call would cost its deadline
        processes.send_in(tmux.roots.state, process, signal.SIGCONT)
        if _answer(tmux) == "yes":
            return "it was stopped; it was continued"
    said, asked, made = _with_a_socket(tmux, process)
    if said == "yes":
        return "its socket was gone; it made a new one" if asked else "it answers"
    if said == "refused" and made:
        return "it made a new socket each time it was asked, and each was gone again; it was left alone"
    # On a starved machine every program is late. Ending a healthy server then would only add work.
    if _is_starved(tmux.timeout_s):
        return "it gave no answer, but this machine is too busy to tell whether it hangs; it was left alone"
    processes.send_in(tmux.roots.state, process, signal.SIGKILL)
    _wait_until(lambda: identity.life_of(process) == "dead", tmux.timeout_s)
    return "it gave no answer; it was ended"


def _with_a_socket(tmux: Tmux, process: Identity) -> tuple[Answer, int, int]:
    """Return the server's answer once it has a socket, how many sockets it was asked for, and how many it made."""
    said: Answer = "refused"
    asked = made = 0
    # SIGUSR1 makes a tmux server open its socket anew. The socket may be removed again at once, so this is repeated.
    while True:
        if tmux.server.socket.exists():
            said = _answer(tmux)
        if said != "refused" or asked == _SOCKETS:
            return said, asked, made
        processes.send_in(tmux.roots.state, process, signal.SIGUSR1)
        asked += 1
        made += _wait_until(tmux.server.socket.exists, tmux.timeout_s)


def _is_starved(timeout_s: float) -> bool:
    """Whether an empty program, too, takes a fifth of the deadline; then silence does not prove a hanging server."""
    import subprocess

    began_s = time.monotonic()
    try:
        subprocess.run(_CONTROL, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return True
    return time.monotonic() - began_s > timeout_s / 5


def is_ours(tmux: Tmux) -> bool:
    """Whether the server on this label itself says that it serves our root; False when it gives no answer."""
    try:
        return tmux.served()[1]
    except NoAnswer:
        return False


def belongs_to_another(tmux: Tmux) -> str | None:
    """Return the state root that the server on this label serves; None when it is ours, or it names none."""
    folder, serves_us = tmux.served()
    return folder if folder and not serves_us else None


def _is_a_stranger(server: Server, roots: Roots) -> bool:
    """Whether the process on file lives and does not serve this root: the file was forged, copied or damaged."""
    process = server.process
    if process is None or not identity.can_look() or identity.life_of(process) == "dead":
        return False
    return not identity.is_in(process.pid, roots.state)


def other_label(roots: Roots) -> str:
    """Return a label that only this root uses."""
    return f"{_DEFAULT_LABEL}-{digest.of(str(roots.state).encode())[:8]}"


def _label(roots: Roots) -> str:
    default = str(roots.state) == os.path.realpath(DEFAULT / "state")
    return _DEFAULT_LABEL if default else other_label(roots)


def check_folder(server: Server) -> None:
    """Refuse a folder of sockets that others can enter: a user who reaches the socket can type into our panes.

    Raises:
        Refused: the folder is another user's, a link, or open to others; the message says what to type.
    """
    folder = server.socket.parent
    try:
        # lstat, because a link could lead to a folder that another user controls.
        found = folder.lstat()
    except FileNotFoundError:
        return  # tmux makes it with mode 0700
    way_out = "remove it, or name a folder of your own in TMUX_TMPDIR"
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Refused(f"the folder of tmux's sockets {folder} is not a folder of yours", way_out)
    if found.st_mode & 0o077:
        raise Refused(
            f"others can enter the folder of tmux's sockets {folder}", f"chmod 700 {shlex.quote(str(folder))}"
        )


def _literal(argument: str) -> str:
    """Return the argument with a final semicolon escaped, which tmux would read as the end of the command."""
    return f"{argument[:-1]}\\;" if argument.endswith(";") else argument


def _answer(tmux: Tmux) -> Answer:
    """Ask the server for a sign of life.

    Two calls without an answer mean "silent". A refused call is tried again until the deadline, because a server
    refuses every caller in the moment between bind and listen of its new socket.
    """
    deadline_s = time.monotonic() + tmux.timeout_s
    silent = 0
    while silent < 2:  # a server that was just continued may need time for its first answer
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
    """Wait until `is_so()` holds, or the timeout is over; return its last value.

    On a busy machine, a server takes time to make a socket or to end.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (so := is_so()) and time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)
    return so


def _lives(pid: int) -> bool:
    return identity.of(pid) is not None
