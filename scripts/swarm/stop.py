"""`stop`: end workers and sessions. The swarm stays stopped, also after a reboot."""

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
_SERVER_S = 2.0  # seconds for tmux to detach its clients
_NO_CYCLE_S = 5.0  # beyond the grace, for a sentry that does not cycle at all
_PATIENCE_S = 30.0  # beyond the grace that workers get


def main(argv: list[str]) -> int:
    """End the swarm and remember that it was stopped on purpose; 1 when something would not end."""
    parser = command.parser(
        "backtest-optimize stop",
        "End all workers, sessions and the keeper process. Nothing comes back by itself, not even after a reboot (a "
        "keeper of systemd or cron stays and does nothing). --parallel and start continue where the swarm stopped.",
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
    # The launch lock makes a start that is under way end first, and makes a start that comes now wait for the end.
    with contextlib.ExitStack() as held:
        # Without the virtual environment there is no lock, and no program could start the swarm.
        with contextlib.suppress(launcher.Busy, OSError, ModuleNotFoundError):
            held.enter_context(launcher.launch_lock(roots, _PATIENCE_S))
        with contextlib.suppress(OSError):  # the disk is full: processes of this root are found all the same
            cli.settle(roots)
        was = roots.tombstone.exists()
        unwritten = None if was else _remember(roots)
        # The keeper goes first: if the stop cannot be remembered, it would restart what is ended next.
        keeper.end_with_the_swarm(roots)
        ended = _end_workers(roots, limits) if unwritten is None else 0
        _end_sessions(roots, limits)
        # Once more, because an agent that looked a moment ago may have started the keeper again.
        keeper.end_with_the_swarm(roots)
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
    """Let another process stop the swarm: a pane, a hook or a worker's child would end with it."""
    log = outside.run(roots, ["stop", *argv])
    said = f"stop goes on outside: whatever runs in the swarm ends with it, this too; what it says stands in {log}"
    if "--json" in argv:
        cli.say({"goes_on_outside": True, "log": str(log)})
    else:
        print(f"{said}\nwhether it is done: scripts/backtest-optimize health", flush=True)
    return 0


def _next(roots: Roots) -> str:
    """Return what to type next: a complete run does not go on."""
    order = orders.current(roots)
    if order is None:
        return "to start a run: scripts/backtest-optimize --parallel"
    if roots.swarm_run(order.run_id).finished.exists():
        return "the run is complete, its results: scripts/backtest-optimize results"
    return "to continue where it stopped: scripts/backtest-optimize start"


def _remove_debris(roots: Roots) -> None:
    """Remove files of writers that were killed between writing and renaming; nothing of the swarm writes any more."""
    order = orders.current(roots)
    of_run = () if order is None else roots.swarm_run(order.run_id).path.rglob(".*.tmp")
    of_agents = (path for folder in ("*", "*/*") for path in roots.state.glob(f"{folder}.tmp"))
    for path in [*of_run, *of_agents]:
        if ours.is_debris(str(path.relative_to(roots.state))) and path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.unlink()


def _kept(roots: Roots) -> list[dict[str, Any]]:
    """Return how many steps are on file for each symbol and mode whose validation is under way in the last round."""
    order = orders.current(roots)
    if order is None:
        return []
    folders = [(unit, one.unit(*unit)) for one in roots.swarm_run(order.run_id).rounds()[-1:] for unit in order.units]
    found = [(*unit, counted) for unit, folder in folders if (counted := checkpoint.count(folder.validation))]
    return [{"symbol": symbol, "mode": mode, "kept": n.kept, "steps": n.steps} for symbol, mode, n in found]


def _remember(roots: Roots) -> OSError | None:
    """Write the tombstone. A full disk must not prevent a stop."""
    try:
        by = f"{cli.user()} (pid {os.getpid()})"
        snapshot.write_json(roots.tombstone, {"at": stamp(SystemClock().now()), "by": by})
    except OSError as error:
        return error
    return None


def _sweep(roots: Roots) -> int:
    """End what is left of the swarm, whether or not a record still names it; return the number of processes."""
    mine = {os.getpid(), os.getppid()}
    found = 0
    deadline = time.monotonic() + _SERVER_S
    while {one.pid for one in identity.of_swarm(roots.state)} - mine and time.monotonic() < deadline:
        time.sleep(_LOOK_S / 4)  # loops end when their pane closes
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
    """Ask the sentry to end the workers; run its cycles here when it is dead. Return how many workers ended.

    Asking twice is harmless. When damaged records or failing cycles keep the sentry from it, `_sweep` ends what is
    left.
    """
    before = ended = 0
    began_s, asked = time.monotonic(), None
    while True:
        try:
            world = observe(roots, limits)
        except Exception:  # whatever is wrong with the records, stop ends what runs
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
    """Wait while the condition holds, at most two seconds."""
    deadline = time.monotonic() + _SERVER_S
    while goes_on(identity.life_of(process)) and time.monotonic() < deadline:
        time.sleep(_LOOK_S / 4)


def _remove_socket(client: Tmux, process: Identity) -> None:
    """Remove our server's socket, which tmux leaves when it ends. A socket that answers belongs to another server."""
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
    """End the server when it, or its process on record, says that it is ours; never another server."""
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
    # Only if the server is still there; a stopped server does not react to TERM.
    if processes.send_in(roots.state, process, signal.SIGKILL):
        _await_end(process, lambda life: life != "dead")
    _remove_socket(client, process)
    with contextlib.suppress(OSError):
        snapshot.write_json(roots.swarm, {"label": client.server.label, "folder": client.server.folder})
