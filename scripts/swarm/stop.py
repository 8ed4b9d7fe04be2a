"""`stop`: ends workers and sessions, and stays stopped, reboots included."""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.machine import launcher, processes, sessions
from agents.machine.observe import limits_of, observe
from agents.machine.sessions import NoAnswer, Tmux, installed
from agents.runtime.cycle import Held, NewerSchema, run_cycle
from config.errors import Refused
from config.swarm import SwarmSettings
from scripts.swarm import cli, keeper, outside
from scripts.swarm.fit import count
from state.files import checkpoint, ours, snapshot
from state.files.layout import Roots
from state.files.tighten import prepare
from state.host import command, identity, root, wake
from state.host.clock import SystemClock, stamp
from state.host.identity import Identity
from state.records import orders

_LOOK_S = 0.2
_SERVER_S = 2.0  # for tmux to say goodbye to who is attached
_NO_CYCLE_S = 5.0  # beyond the grace, for a sentry that does not cycle at all
_PATIENCE_S = 30.0  # beyond the grace that workers get


def main(argv: list[str]) -> int:
    """The command."""
    parser = command.parser(
        "backtest-optimize stop",
        "End all workers, sessions and the keeper process. Nothing comes back by itself, not even after a reboot (a "
        "keeper of systemd or cron stays and does nothing); --parallel and start continue where it stopped.",
        "scripts/backtest-optimize stop",
        "0 stopped (or, typed inside the swarm, handed to a process outside), 1 something would not end, 2 usage",
        "how many workers and stray processes were ended, whether it was stopped already, how many steps of each "
        "validation under way are kept, what to type next",
    )
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    root.must_be_here(root.look(roots.state))
    if outside.is_inside(roots):
        return _from_inside(roots, argv)
    prepare(roots)
    limits = limits_of(roots)
    # Under the launch lock: a start that is under way ends first, one that comes now waits until all of this is over.
    with contextlib.ExitStack() as held:
        # Without the environment there is nothing that locks, and nobody who could start.
        with contextlib.suppress(launcher.Busy, OSError, ModuleNotFoundError):
            held.enter_context(launcher.launch_lock(roots, _PATIENCE_S))
        with contextlib.suppress(OSError):  # a full disk: who is of this root is found all the same
            cli.settle(roots)
        was = roots.tombstone.exists()
        unwritten = None if was else _remember(roots)
        keeper.end_with_the_swarm(roots)  # first: it would bring back what is ended next, if that cannot be remembered
        ended = _end_workers(roots, limits) if unwritten is None else 0
        _end_sessions(roots, limits)
        keeper.end_with_the_swarm(roots)  # once more: an agent that looked a moment ago may have started it again
        strays = _sweep(roots)
        left = [one.pid for one in identity.of_swarm(roots.state) if one.pid not in (os.getpid(), os.getppid())]
        unwritten = None if unwritten is None else _remember(roots)
        if not left:
            _remove_debris(roots)
    if left:
        raise Refused(f"{count(len(left), 'process')} would not end: {', '.join(map(str, left))}", "type stop again")
    if unwritten is not None:
        raise Refused(f"stopped now, but that cannot be remembered: {unwritten}", "make room and type stop again")
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    answer = {"workers_ended": ended, "strays_ended": strays, "was_stopped": was and not ended, "next": _next(roots)}
    kept = _kept(roots)
    if asked.json:
        cli.say({**answer, "kept": kept})
        return 0
    more = f", and {count(strays, 'process')} that did not end by themselves" if strays else ""
    print(f"{'was stopped already' if answer['was_stopped'] else 'stopped'}: {count(ended, 'worker')} ended{more}")
    for one in kept:
        print(f"validation of {one['symbol']} {one['mode']}: {one['kept']} of {one['steps']} steps are kept")
    print(f"it stays stopped; {answer['next']}")
    return 0


def _from_inside(roots: Roots, argv: list[str]) -> int:
    """Typed in a pane, a hook or a worker's child: they end with the swarm, so another process does it."""
    log = outside.run(roots, ["stop", *argv])
    said = f"stop goes on outside: whatever runs in the swarm ends with it, this too; what it says stands in {log}"
    if "--json" in argv:
        cli.say({"goes_on_outside": True, "log": str(log)})
    else:
        print(f"{said}\nwhether it is done: scripts/backtest-optimize health", flush=True)
    return 0


def _next(roots: Roots) -> str:
    """What makes sense now: a run that is complete does not go on."""
    order = orders.current(roots)
    if order is None:
        return "to start a run: scripts/backtest-optimize --parallel"
    if roots.swarm_run(order.run_id).finished.exists():
        return "the run is complete, its results: scripts/backtest-optimize results"
    return "to continue where it stopped: scripts/backtest-optimize start"


def _remove_debris(roots: Roots) -> None:
    """Remove what writers left that were killed between writing and renaming; nobody of ours writes any more."""
    order = orders.current(roots)
    of_run = () if order is None else roots.swarm_run(order.run_id).path.rglob(".*.tmp")
    of_agents = (path for folder in ("*", "*/*") for path in roots.state.glob(f"{folder}.tmp"))
    for path in [*of_run, *of_agents]:
        if ours.is_debris(str(path.relative_to(roots.state))) and path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.unlink()


def _kept(roots: Roots) -> list[dict[str, Any]]:
    """Of each unit whose validation is under way in the run's last round: how many of its steps are on file."""
    order = orders.current(roots)
    if order is None:
        return []
    folders = [(unit, one.unit(*unit)) for one in roots.swarm_run(order.run_id).rounds()[-1:] for unit in order.units]
    found = [(*unit, counted) for unit, folder in folders if (counted := checkpoint.count(folder.validation))]
    return [{"symbol": symbol, "mode": mode, "kept": n.kept, "steps": n.steps} for symbol, mode, n in found]


def _remember(roots: Roots) -> OSError | None:
    """Write the tombstone; a full disk must not keep anyone from stopping."""
    try:
        by = f"{cli.user()} (pid {os.getpid()})"
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
            processes.send_in(roots.state, one, signal.SIGCONT)
            processes.send_in(roots.state, one, number)
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
        except Exception:  # whatever is wrong with the records: stop ends what runs all the same
            return ended
        before = max(before, len(world.workers))
        ended = before - len(world.workers)
        sentry = next(view for view in world.agents if view.agent == "worker_sentry")
        asked = sentry.cycle if asked is None else asked
        passed_s = time.monotonic() - began_s - limits.hang.stop_grace_s
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


def _await_end(process: Identity, goes_on: Callable[[identity.Life], bool]) -> None:
    """Wait as long as it is so, two seconds at most."""
    deadline = time.monotonic() + _SERVER_S
    while goes_on(identity.life_of(process)) and time.monotonic() < deadline:
        time.sleep(_LOOK_S / 4)


def _remove_socket(client: Tmux, process: Identity) -> None:
    """The socket of our server, which tmux leaves when it ends; one that answers is another's, and stays."""
    path = client.server.socket
    with contextlib.suppress(OSError):
        if identity.life_of(process) == "dead" and path.is_socket() and not _answers(path):
            path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(_SERVER_S)
        try:
            asked.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def _end_sessions(roots: Roots, limits: SwarmSettings) -> None:
    """The server that says itself, or whose process on record says, that it is ours; nobody else's."""
    if not installed():
        return
    client = Tmux.of(roots, limits.agents.tmux_timeout_s)
    process = client.server.process
    with contextlib.suppress(NoAnswer):
        if sessions.is_ours(client):
            client.end_server()
    if process is None:
        return
    _await_end(process, lambda life: life == "running")
    # Only if it is still there: a stopped one hears nothing.
    if processes.send_in(roots.state, process, signal.SIGKILL):
        _await_end(process, lambda life: life != "dead")
    _remove_socket(client, process)
    with contextlib.suppress(OSError):
        snapshot.write_json(roots.swarm, {"label": client.server.label, "folder": client.server.folder})
