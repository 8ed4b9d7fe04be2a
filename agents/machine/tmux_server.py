"""The tmux server as libtmux's `Server`, for callers that change something; callers that only look use `sessions.Tmux`.

libtmux 0.62 sets no deadline, runs some commands without going through `Server.cmd`, and takes as long to import as
most of a cold cycle (ADR 29). So every call goes through `Tmux.call`, which knows socket, deadline and environment; a
command that libtmux would run past `cmd` raises an error; and only cycles that act on tmux import this module.
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
    "status-left-length": "40",  # our names are longer than the default of 10 characters
    "status-right": "%H:%M",  # the default shows titles, which any program can set
    "automatic-rename": "off",
}


class Calls(Protocol):
    """What this module needs of `sessions.Tmux`, which imports it: calls under our deadline and environment."""

    def call(self, *arguments: str) -> tuple[int, str]:
        """Run one tmux command; return its exit code and its output."""

    def rows(self, *ids: str) -> list[dict[str, str]]:
        """Return of each pane whether it is dead, its pid, these ids and its session's name."""


class Answer(tmux_cmd):
    """An answer of tmux in libtmux's form. libtmux takes a call as failed exactly when stderr has a line."""

    def __init__(self, words: list[str], code: int, message: str) -> None:
        lines = message.split("\n") if message else []
        self.cmd = words
        self.returncode = code
        self.stdout = [] if code else lines
        self.stderr = (lines or [f"tmux ended with exit code {code}"]) if code else []


class TmuxServer(libtmux.Server):
    """libtmux's server under our deadline and environment. Every method may raise `sessions.NoAnswer`."""

    def __init__(self, tmux: Calls, label: str) -> None:
        super().__init__(socket_name=label)
        self._tmux = tmux

    def cmd(self, cmd: str, *args: Any, target: str | int | None = None) -> tmux_cmd:
        """Run one tmux command within the deadline."""
        words = [cmd, *([] if target is None else ["-t", str(target)]), *map(str, args)]
        return Answer(words, *self._tmux.call(*words))

    @property
    def tmux_bin(self) -> str | None:
        """The program that libtmux would run without going through `cmd`; refused, because such a call might hang.

        Raises:
            NotImplementedError: always. libtmux's own errors would not do, because libtmux takes them for "nothing
            there".
        """
        raise NotImplementedError("libtmux asks tmux here without our deadline and environment: ask through cmd")

    @tmux_bin.setter
    def tmux_bin(self, _path: str | None) -> None:
        pass  # set by libtmux when it makes the object

    # what is there ----------------------------------------------------------------------------------------------------

    def is_alive(self) -> bool:
        """Whether there is a server. libtmux's own method returns False after any error, even without an answer."""
        return self.cmd("list-sessions").returncode == 0

    @property
    def panes(self) -> QueryList[Pane]:
        """All panes, with only six of libtmux's 125 formats: three ids, pid, session name, and whether it is dead."""
        return QueryList([Pane(server=self, **dict[str, Any](row)) for row in self._tmux.rows(*_IDS)])

    @property
    def sessions(self) -> QueryList[Session]:
        """All sessions; none when there is no server. libtmux's own list is also empty after any error of tmux."""
        names = {row["session_id"]: row["session_name"] for row in self._tmux.rows(*_IDS)}
        return QueryList([Session(server=self, session_id=id_, session_name=name) for id_, name in names.items()])

    # what is done -----------------------------------------------------------------------------------------------------

    def start(self, session: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a session that runs `command`; libtmux's `new_session` would hand the command to a shell as one text.

        Raises:
            Refused: tmux cannot start it; the message is tmux's.
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
        """End the session of exactly this name, by its id: a name as a target also matches longer names."""
        with suppress(LibTmuxException):  # it has ended since it was listed
            for session in self.sessions.filter(session_name=name):
                session.kill()

    def claim(self, variables: Mapping[str, str]) -> None:
        """Set the variables that say whose server this is, and the options that show our session names in full."""
        # the server ends in this moment: the next claim marks its successor
        with suppress(LibTmuxException, ValueError):
            for name, value in variables.items():
                self.set_environment(name, value)
            for option, value in _OPTIONS.items():
                self.set_option(option, value, global_=True, scope=OptionScope.Session)

    def run_outside(self, command: str) -> bool:
        """Let the server run a shell command in the background, in its environment; return whether it accepted that."""
        try:
            self.run_shell(_plain(command), background=True)
        except LibTmuxException:
            return False
        return True


def _plain(text: str) -> str:
    """Return the text with every # doubled, for arguments that tmux expands: a shell would run #(…) in a path."""
    return text.replace("#", "##")
