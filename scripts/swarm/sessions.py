"""`start`, `ensure` and `attach`: the sessions of the swarm, from the command line."""

import argparse
import os
import sys

from agents.machine import launcher
from agents.machine.observe import observe, resolved
from agents.machine.sessions import NoAnswer, Tmux
from agents.registry import AGENTS, MONITORS, SESSIONS
from config import settings
from config.errors import Refused
from scripts.swarm import tmux
from state import snapshot
from state.layout import Roots

_WAIT_S = 60.0  # for another start to end


def start(argv: list[str]) -> int:
    """Clear the tombstone and start all loops (`scripts/start_swarm_watchdogs.sh`)."""
    parser = argparse.ArgumentParser(
        prog="start_swarm_watchdogs.sh",
        description="Start all loops and monitors; clears an earlier stop. What was under way goes on.",
        epilog="example:\n  bash scripts/start_swarm_watchdogs.sh\n\nexit codes: 0 they run, 1 they cannot",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    tmux.require()
    roots = Roots.from_environment()
    with launcher.launch_lock(roots, _WAIT_S):
        begin(roots, settings.load())
        done = launcher.ensure_sessions(roots, resolved(roots).swarm)
    _say(done, always=True)
    print(f"attach: scripts/backtest-optimize attach · stop: scripts/backtest-optimize stop · state: {roots.state}")
    return 0


def begin(roots: Roots, resolved_now: settings.Settings) -> None:
    """What a start by the operator's own hand does first: settings on file, tombstone gone."""
    snapshot.write_json(roots.settings, settings.tree_of(resolved_now))
    roots.tombstone.unlink(missing_ok=True)


def ensure(argv: list[str]) -> int:
    """See that all loops run (`scripts/ensure_swarm_watchdogs.sh`); silent when they do. It installs nothing."""
    parser = argparse.ArgumentParser(
        prog="ensure_swarm_watchdogs.sh",
        description="Start what is missing and respawn what hangs; silent when all is well; does nothing after a stop.",
        epilog="example (in ~/.bashrc):\n  bash ~/backtest-optimize/scripts/ensure_swarm_watchdogs.sh\n\n"
        "exit codes: 0 all is well now, or stopped on purpose, 1 something is missing",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    roots = Roots.from_environment()
    if roots.tombstone.exists():
        return 0
    try:
        with launcher.launch_lock(roots):
            if not _is_whole(roots):
                snapshot.write_json(roots.settings, settings.tree_of(settings.load()))
            limits = resolved(roots).swarm
            stale = [
                v.session for v in observe(roots, limits).agents if v.loop_life != "unknown" and v.is_stale(limits)
            ]
            done = launcher.ensure_sessions(roots, limits, stale)
    except launcher.Busy:
        print("another start is at work on this swarm; nothing to do here", file=sys.stderr)
        return 0
    except NoAnswer as error:
        raise Refused(str(error), "type it again in a moment") from error
    _say(done, always=False)
    return 0


def _is_whole(roots: Roots) -> bool:
    tree = snapshot.read_json(roots.settings)
    try:
        return isinstance(tree, dict) and settings.of_tree(tree) is not None
    except (Refused, KeyError, TypeError):
        return False


def attach(argv: list[str]) -> int:
    """Become tmux, attached to a session."""
    parser = argparse.ArgumentParser(
        prog="backtest-optimize attach",
        description="Attach to a session; Ctrl-B d leaves it running.",
        epilog="sessions: " + ", ".join(SESSIONS) + "\n\nexample:\n  scripts/backtest-optimize attach bt-worker-sentry",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("session", nargs="?", default="bt-worker-progress", metavar="SESSION")
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    client = Tmux.of(roots, resolved(roots).swarm.tmux_timeout_s)
    there = [view.name for view in client.sessions() if view.alive]
    if asked.session not in there:
        known = ", ".join(there) or "none: start the swarm with bash scripts/start_swarm_watchdogs.sh"
        raise Refused(f"there is no session {asked.session!r}", f"there are: {known}")
    # Read-only: a key pressed at night in a pane must not end the loop in it.
    command = ["tmux", "-L", client.server.label, "attach-session", "-r", "-t", f"={asked.session}"]
    os.environ.pop("TMUX", None)  # another server than ours: nesting is what is asked for
    os.environ["TMUX_TMPDIR"] = client.server.folder
    if not sys.stdout.isatty():
        raise Refused("attaching needs a terminal", f"type in one: {' '.join(command)}")
    os.execvp("tmux", command)


def _say(done: launcher.Ensured, always: bool) -> None:
    for what in done.repaired:
        print(what, file=sys.stderr)
    if done.started:
        print(f"started {', '.join(done.started)}", file=sys.stderr)
    elif always:
        print(f"all {len(AGENTS)} agents and {len(MONITORS)} monitors were there already")
