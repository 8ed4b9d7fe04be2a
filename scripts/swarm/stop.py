"""`stop`: ends workers and sessions, and stays stopped, reboots included."""

import contextlib
import getpass
import os
import signal
import sys
import time

from agents.machine import launcher, processes, sessions
from agents.machine.observe import limits_of, observe
from agents.machine.sessions import NoAnswer, Tmux, installed
from agents.runtime.cycle import Held, NewerSchema, run_cycle
from config.errors import Refused
from config.swarm import SwarmSettings
from scripts.swarm import cli
from scripts.swarm.fit import count
from state import identity, orders, snapshot, wake
from state.clock import SystemClock, stamp
from state.layout import Roots
from state.tighten import prepare

_LOOK_S = 0.2
_SERVER_S = 2.0  # for tmux to say goodbye to who is attached
_NO_CYCLE_S = 5.0  # beyond the grace, for a sentry that does not cycle at all
_PATIENCE_S = 30.0  # beyond the grace that workers get


def main(argv: list[str]) -> int:
    """The command."""
    parser = cli.parser(
        "backtest-optimize stop",
        "End all workers and sessions. Nothing comes back by itself, not even after a reboot; --parallel and start go "
        "on where it was.",
        "scripts/backtest-optimize stop",
        "0 stopped, 1 something would not end, 2 usage",
        "how many workers and stray processes were ended, whether it was stopped already, what to type next",
    )
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    prepare(roots)
    limits = limits_of(roots)
    # Under the launch lock: a start that is under way ends first, one that comes now waits until all of this is over.
    with contextlib.ExitStack() as held:
        with contextlib.suppress(launcher.Busy, OSError):
            held.enter_context(launcher.launch_lock(roots, _PATIENCE_S))
        was = roots.tombstone.exists()
        unwritten = None if was else _remember(roots)
        ended = _end_workers(roots, limits) if unwritten is None else 0
        _end_sessions(roots, limits)
        strays = _sweep(roots)
        left = [one.pid for one in identity.of_swarm(roots.state) if one.pid not in (os.getpid(), os.getppid())]
        unwritten = None if unwritten is None else _remember(roots)
    if left:
        raise Refused(f"{count(len(left), 'process')} would not end: {', '.join(map(str, left))}", "type stop again")
    if unwritten is not None:
        raise Refused(f"stopped now, but that cannot be remembered: {unwritten}", "make room and type stop again")
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    answer = {"workers_ended": ended, "strays_ended": strays, "was_stopped": was and not ended, "next": _next(roots)}
    if asked.json:
        cli.say(answer)
        return 0
    more = f", and {count(strays, 'process')} that did not end by themselves" if strays else ""
    print(f"{'was stopped already' if answer['was_stopped'] else 'stopped'}: {count(ended, 'worker')} ended{more}")
    print(f"it stays stopped; {answer['next']}")
    return 0


def _next(roots: Roots) -> str:
    """What makes sense now: a run that is complete does not go on."""
    order = orders.current(roots)
    if order is None:
        return "to start a run: scripts/backtest-optimize --parallel"
    if roots.swarm_run(order.run_id).finished.exists():
        return "the run is complete, its results: scripts/backtest-optimize results"
    return "to go on where it was: scripts/backtest-optimize start"


def _remember(roots: Roots) -> OSError | None:
    """Write the tombstone; a full disk must not keep anyone from stopping."""
    try:
        by = f"{_user()} (pid {os.getpid()})"
        snapshot.write_json(roots.tombstone, {"at": stamp(SystemClock().now()), "by": by})
    except OSError as error:
        return error
    return None


def _sweep(roots: Roots) -> int:
    """End what is left of the swarm, whether or not any record still names it; how many processes that were."""
    mine = {os.getpid(), os.getppid()}
    found = 0
    deadline = time.monotonic() + _SERVER_S
    while {one.pid for one in identity.of_swarm(roots.state)} - mine and time.monotonic() < deadline:
        time.sleep(_LOOK_S / 4)  # loops hear their pane close
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [one for one in identity.of_swarm(roots.state) if one.pid not in mine]
        found = max(found, len(left))
        for one in left:
            processes.send(one, signal.SIGCONT)
            processes.send(one, number)
        deadline = time.monotonic() + _SERVER_S
        while any(identity.life_of(one) != "dead" for one in left) and time.monotonic() < deadline:
            time.sleep(_LOOK_S / 4)
    return found


def _end_workers(roots: Roots, limits: SwarmSettings) -> int:
    """Ask the sentry; where it is dead, be it for these cycles. How many workers ended.

    Asking twice is harmless. Whatever keeps the sentry from it, damaged records or a loop whose cycles fail: what is
    left is swept.
    """
    before = ended = 0
    began_s, asked = time.monotonic(), None
    while True:
        try:
            world = observe(roots, limits)
        except (OSError, ValueError, TypeError):
            return ended
        before = max(before, len(world.workers))
        ended = before - len(world.workers)
        sentry = next(view for view in world.agents if view.agent == "worker_sentry")
        asked = sentry.cycle if asked is None else asked
        passed_s = time.monotonic() - began_s - limits.stop_grace_s
        if not world.workers or passed_s > (_PATIENCE_S if sentry.cycle != asked else _NO_CYCLE_S):
            return ended
        if sentry.loop_life == "running":
            wake.nudge(roots.pipe("worker_sentry"))
        else:
            with contextlib.suppress(Held, NewerSchema, OSError):
                run_cycle("worker_sentry", roots)
        if sys.stderr.isatty():
            print(f"\r\033[Kending {count(len(world.workers), 'worker')} …", end="", file=sys.stderr, flush=True)
        time.sleep(_LOOK_S)


def _end_sessions(roots: Roots, limits: SwarmSettings) -> None:
    """The server that says itself, or whose process on record says, that it is ours; nobody else's."""
    if not installed():
        return
    client = Tmux.of(roots, limits.tmux_timeout_s)
    process = client.server.process
    with contextlib.suppress(NoAnswer):
        if sessions.is_ours(client):
            client.end_server()
    if process is None:
        return
    deadline = time.monotonic() + _SERVER_S
    while identity.life_of(process) == "running" and time.monotonic() < deadline:
        time.sleep(_LOOK_S / 4)
    processes.send(process, signal.SIGKILL)  # only if it is still there: a stopped one hears nothing
    with contextlib.suppress(OSError):
        snapshot.write_json(roots.swarm, {"label": client.server.label, "folder": client.server.folder})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
