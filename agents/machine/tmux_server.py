"""The tmux server as libtmux's `Server`, for whoever changes something in it; whoever only looks asks `sessions.Tmux`.

libtmux 0.62 sets no deadline, asks some questions without going through `Server.cmd`, and is as dear to import as most
of a cold cycle (ADR 29). So here every call goes through `Tmux.call`, which knows socket, deadline and environment; a
question that libtmux would ask past `cmd` raises an error; and only those who act import this module.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import libtmux
from libtmux import Pane, Session
from libtmux._internal.query_list import QueryList
from libtmux.common import tmux_cmd
from libtmux.constants import OptionScope
from libtmux.exc import LibTmuxException

from config.errors import Refused
from state.files.layout import CHECKOUT
from state.host.secrets import redacted

_IDS = ("pane_id", "window_id", "session_id")
_OPTIONS = {
    "status-left-length": "40",  # our names are longer than the default of 10
    "status-right": "%H:%M",  # the default shows titles, which programs set as they like
    "automatic-rename": "off",
}


class Calls(Protocol):
    """What this module needs of `sessions.Tmux`, which imports it: tmux by our deadline and environment."""

    def call(self, *arguments: str) -> tuple[int, str]:
        """One tmux command: exit code and what it said."""

    def rows(self, *ids: str) -> list[dict[str, str]]:
        """Of all panes: whether it is dead, its pid, these ids, its session's name."""


class Answer(tmux_cmd):
    """What tmux answered, in libtmux's form. libtmux takes a call for failed when, and only when, stderr has a line."""

    def __init__(self, words: list[str], code: int, message: str) -> None:
        lines = message.split("\n") if message else []
        self.cmd = words
        self.returncode = code
        self.stdout = [] if code else lines
        self.stderr = (lines or [f"tmux ended with exit code {code}"]) if code else []


class TmuxServer(libtmux.Server):
    """libtmux's server, with our deadline and environment. Every method may raise `sessions.NoAnswer`."""

    def __init__(self, tmux: Calls, label: str) -> None:
        super().__init__(socket_name=label)
        self._tmux = tmux

    def cmd(self, cmd: str, *args: Any, target: str | int | None = None) -> tmux_cmd:
        """One tmux command, within the deadline."""
        words = [cmd, *([] if target is None else ["-t", str(target)]), *map(str, args)]
        return Answer(words, *self._tmux.call(*words))

    @property
    def tmux_bin(self) -> str | None:
        """The program that libtmux would run where it does not go through `cmd`: never, for that call might hang.

        Raises:
            NotImplementedError: always. It is none of libtmux's own errors, which libtmux takes for "nothing there".
        """
        raise NotImplementedError("libtmux asks tmux here without our deadline and environment: ask through cmd")

    @tmux_bin.setter
    def tmux_bin(self, _path: str | None) -> None:
        pass  # set by libtmux when it makes the object

    # what is there ----------------------------------------------------------------------------------------------------

    def is_alive(self) -> bool:
        """Whether there is a server. libtmux's own method says no after any error, and so to silence as well."""
        return self.cmd("list-sessions").returncode == 0

    @property
    def panes(self) -> QueryList[Pane]:
        """All panes. Of libtmux's 125 formats six are read: ids, pid, the session's name, and whether it is dead."""
        return QueryList([Pane(server=self, **dict[str, Any](row)) for row in self._tmux.rows(*_IDS)])

    @property
    def sessions(self) -> QueryList[Session]:
        """All sessions; none when there is no server. libtmux's own list is empty after any error of tmux as well."""
        names = {row["session_id"]: row["session_name"] for row in self._tmux.rows(*_IDS)}
        return QueryList([Session(server=self, session_id=id_, session_name=name) for id_, name in names.items()])

    # what is done -----------------------------------------------------------------------------------------------------

    def start(self, session: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """A new session that runs `command`. `new_session` would hand it to a shell, as one text.

        Raises:
            Refused: tmux says why not.
        """
        pairs = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        size = ("-x", "120", "-y", "30")
        answer = self.cmd("new-session", "-d", "-s", session, *size, *pairs, "-c", _plain(str(CHECKOUT)), *command)
        message = "\n".join(answer.stderr)
        if message and "duplicate session" not in message:
            raise Refused(
                f"tmux cannot start {session}: {redacted(message)}", f"look at it with: tmux -L {self.socket_name}"
            )

    def end(self, name: str) -> None:
        """End exactly this session: by its id, for a name as a target also means the names that begin with it."""
        with suppress(LibTmuxException):  # it has ended since it was listed
            for session in self.sessions.filter(session_name=name):
                session.kill()

    def claim(self, variables: Mapping[str, str]) -> None:
        """Have the server say whose it is, and show our names in full."""
        with suppress(LibTmuxException, ValueError):  # it ends in this moment: the next claim is of the one after it
            for name, value in variables.items():
                self.set_environment(name, value)
            for option, value in _OPTIONS.items():
                self.set_option(option, value, global_=True, scope=OptionScope.Session)

    def run_outside(self, command: str) -> bool:
        """Have the server run a shell command in its own environment, as nobody's child; whether it took it."""
        try:
            self.run_shell(_plain(command), background=True)
        except LibTmuxException:
            return False
        return True


def _plain(text: str) -> str:
    """A text for an argument that tmux expands: #(…) in a path would be run by a shell."""
    return text.replace("#", "##")
