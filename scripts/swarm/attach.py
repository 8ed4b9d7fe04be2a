"""`attach [SESSION]`: become tmux, attached to a session; without a terminal a monitor's page as plain lines."""

import os
import shlex
import sys

from agents.machine.observe import limits_of
from agents.machine.sessions import NoAnswer, Tmux, installed
from agents.registry import MONITORS, SESSIONS
from config.errors import Refused
from scripts.swarm import cli
from state.files.layout import Roots
from state.host import command
from state.host.environment import allowed

DEFAULT = "bt-worker-progress"


def main(argv: list[str]) -> int:
    """The command."""
    flags = parser()
    asked = flags.parse_args(argv)
    view = {one.session: one.view for one in MONITORS}.get(asked.session)
    if asked.once and view is None:
        flags.error(f"--once is for monitors: {', '.join(one.session for one in MONITORS)}")
    plain = view is not None and (asked.once or not sys.stdout.isatty()) and not asked.json
    if plain and view is not None:
        from scripts.swarm.monitor import main as show

        return show([view, *(["--once"] if asked.once else [])])
    roots = Roots.from_environment()
    client = Tmux.of(roots, limits_of(roots).agents.tmux_timeout_s)
    # Read-only: a key pressed at night in a pane must not end the loop in it.
    client_words = ["tmux", "-L", client.server.label, "attach-session", "-r", "-t", f"={asked.session}"]
    typed = f"TMUX_TMPDIR={shlex.quote(client.server.folder)} {shlex.join(client_words)}"
    there = _there(client)
    if asked.session not in there:
        known = ", ".join(there) or "none; scripts/backtest-optimize status says why"
        raise Refused(f"there is no session {asked.session!r}", f"there are: {known}")
    if asked.json:
        cli.say({"session": asked.session, "command": typed, "sessions": there})
        return 0
    # Without TMUX: another server than ours, nesting is what is asked for. The rest of the shell is not its business.
    environment = allowed() | {"TMUX_TMPDIR": client.server.folder, "TERM": os.environ.get("TERM", "screen")}
    if not sys.stdout.isatty():
        raise Refused("attaching needs a terminal", f"type in one: {typed}")
    return os.execvpe("tmux", client_words, environment)


def parser() -> command.Parser:
    """Its flags."""
    made = command.parser(
        "backtest-optimize attach",
        "Attach to a session, read-only; Ctrl-B d leaves it running. Without a terminal a monitor prints lines until"
        " `stop`.",
        "scripts/backtest-optimize attach bt-worker-cpu-mon\n  scripts/backtest-optimize attach --once | less\n\n"
        f"sessions: {', '.join(SESSIONS)}",
        "0 attached and left, 1 there is no such session, 2 usage",
        "do not attach: say which sessions there are and the plain tmux command",
    )
    made.add_argument("session", nargs="?", default=DEFAULT, metavar="SESSION", help=f"default: {DEFAULT}")
    made.add_argument("--once", action="store_true", help="print a monitor's page once, without tmux")
    return made


def _there(client: Tmux) -> list[str]:
    """The sessions that live. A server that gives no answer is not the same as none, and is said by the caller."""
    if not installed():
        raise Refused("tmux is not installed", "scripts/backtest-optimize doctor says how to get it")
    try:
        return [view.name for view in client.sessions() if view.alive]
    except NoAnswer as error:
        raise Refused(str(error), "bash scripts/ensure_swarm_watchdogs.sh repairs it; or: attach --once") from error
