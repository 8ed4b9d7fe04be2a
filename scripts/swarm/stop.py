"""`stop`: ends workers and sessions, and stays stopped, reboots included."""

import argparse
import contextlib
import getpass
import os
import signal
import sys
import time

from agents.machine import launcher, processes, sessions
from agents.machine.observe import observe, resolved
from agents.machine.sessions import NoAnswer, Tmux, installed
from agents.runtime.cycle import Held, run_cycle
from config.errors import Refused
from config.settings import SwarmSettings
from scripts.swarm.show import count
from state import identity, snapshot, wake
from state.clock import SystemClock, stamp
from state.layout import Roots

_LOOK_S = 0.2
_SERVER_S = 2.0  # for tmux to say goodbye to who is attached
_PATIENCE_S = 30.0  # beyond the grace that workers get


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="backtest-optimize stop",
        description="End all workers and sessions. Nothing comes back by itself, not even after a reboot; --parallel "
        "and start_swarm_watchdogs.sh go on where it was.",
        epilog="example:\n  scripts/backtest-optimize stop\n\nexit codes: 0 stopped, 1 something would not end",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    roots = Roots.from_environment()
    limits = resolved(roots).swarm
    # Under the launch lock: a start that is under way ends first, one that comes now waits until all of this is over.
    with contextlib.ExitStack() as held:
        with contextlib.suppress(launcher.Busy, OSError):
            held.enter_context(launcher.launch_lock(roots, _PATIENCE_S))
        was = roots.tombstone.exists()
        unwritten = None if was else _remember(roots)
        ended = _end_workers(roots, limits) if unwritten is None else 0
        _end_sessions(roots, limits)
        strays = _sweep(roots)
        unwritten = None if unwritten is None else _remember(roots)
    if unwritten is not None:
        raise Refused(f"stopped now, but that cannot be remembered: {unwritten}", "make room and type stop again")
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    more = f", and {count(strays, 'process')} that no record named" if strays else ""
    print(f"{'was stopped already' if was and not ended else 'stopped'}: {count(ended, 'worker')} ended{more}")
    print("it stays stopped; to go on where it was: scripts/backtest-optimize start")
    return 0


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
    """Ask the sentry; where it is dead, be it for these cycles. Asking twice is harmless."""
    first = len(observe(roots, limits).workers)
    deadline = time.monotonic() + limits.stop_grace_s + _PATIENCE_S
    while True:
        world = observe(roots, limits)
        if not world.workers:
            return first
        if time.monotonic() > deadline:
            names = ", ".join(worker.launch.job.job_id for worker in world.workers)
            raise Refused(f"{len(world.workers)} workers would not end: {names}", "look at them with status, try again")
        sentry = next(view for view in world.agents if view.agent == "worker_sentry")
        if sentry.loop_life == "running":
            wake.nudge(roots.pipe("worker_sentry"))
        else:
            with contextlib.suppress(Held):
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
