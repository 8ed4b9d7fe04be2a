"""Start things: the swarm's sessions, under the launch lock, and workers, in sessions of their own."""

import contextlib
import os
import signal
import site
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents import registry
from agents.machine import processes, sessions
from agents.machine.sessions import NoAnswer, Tmux
from agents.registry import AGENTS, MONITORS
from agents.runtime.world import SessionView
from config.errors import Refused
from config.record import dataclass, replace
from config.swarm import SwarmSettings
from config.trust import refuse_open
from state import codec, identity, private, snapshot
from state.cgroup import Container
from state.clock import SystemClock
from state.environment import of_swarm
from state.identity import NONCE, Identity
from state.layout import CHECKOUT, Roots
from state.server import Server
from state.tree import record_of, tree_of
from state.workers import Launch

_WRAPPER = Path(__file__).with_name("wrapper.py")
_CODE = (
    "scripts/backtest-optimize",
    "scripts/keeper",
    "agents/machine/wrapper.py",
    "WORKFLOW",
    "hooks",
    "state",
    "config",
)
_HOLDER_S = 10.0  # for a lock holder that was stopped and goes on


class Busy(Exception):
    """Somebody else holds the launch lock: what is asked for is being done."""


@dataclass(frozen=True)
class Ensured:
    """What had to be done: sessions started, and what was repaired on the way."""

    started: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()


@contextmanager
def launch_lock(roots: Roots, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the launch lock.

    Raises:
        Busy: it was held for `wait_s`.
    """
    from filelock import FileLock, Timeout  # 38 ms: only those pay who start something

    private.folder(roots.launch_lock.parent)
    lock = FileLock(roots.launch_lock, mode=0o600)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        if not _continue_holder(roots):
            raise Busy(f"{roots.launch_lock} is held by another start") from error
        try:
            lock.acquire(timeout=_HOLDER_S)
        except Timeout as again:
            raise Busy(f"{roots.launch_lock} is held by a start that had been stopped and was continued") from again
    try:
        with contextlib.suppress(OSError):  # a full disk; who holds the lock is only a help
            snapshot.write_json(roots.launch_holder, tree_of(identity.mine()))
        yield
    finally:
        lock.release()


def _continue_holder(roots: Roots) -> bool:
    """A holder that is stopped (Ctrl-Z) would keep everyone else out for ever: it goes on."""
    try:
        holder = record_of(Identity, snapshot.read_json(roots.launch_holder))
    except ValueError:
        return False
    return processes.is_stopped(holder) and processes.send(holder, signal.SIGCONT)


# sessions -------------------------------------------------------------------------------------------------------------


def ensure_sessions(
    roots: Roots, limits: SwarmSettings, respawn: Sequence[str] = (), only: Sequence[str] | None = None
) -> Ensured:
    """Make every session be there, once; respawn the named ones. Serves ensure, hang guard and state manager alike.

    Call it under the launch lock. Does nothing while the operator wants the swarm stopped.

    Raises:
        Refused: tmux is missing or cannot start a session.
    """
    if roots.tombstone.exists():
        return Ensured()
    if not sessions.installed():
        raise Refused("tmux is not installed", "install it: " + "apt-get install tmux (or dnf, apk, pacman, brew)")
    check_installation()
    tmux, repaired = _reachable(roots, limits)
    views = tmux.sessions()
    there = {view.name for view in views if view.alive}
    all_names = {view.name for view in views}
    started = []
    now_s = SystemClock().monotonic_s()  # before the first of them is there: a loop that begins later is this session's
    names = registry.sessions(limits)
    commands = _commands(limits)
    missing = [one for one in commands if (only is None or one in only) and (one not in there or one in respawn)]
    for session in missing:
        if session in respawn:
            _end_loop(roots, session)
        if session in all_names:
            tmux.end(session)
        tmux.start(session, commands[session], of_swarm(roots) | {NONCE: "swarm"})
        started.append(session)
        if len(started) == 1:  # cut short from here on, the next start knows whose server this is
            # All begin now: the first of them to look must not find the others as old as their last cycle.
            tmux = tmux.claim(names, {}, dict.fromkeys(missing, now_s))
    patience = {roots.agent_state(row.name).name: row.patience_s(limits) for row in registry.at_work(limits)}
    tmux.claim(names, patience, {})
    return Ensured(tuple(started), tuple(repaired))


def check_installation() -> None:
    """Refuse to run, in the user's name, code that somebody else could have written.

    Whoever owns the checkout is trusted: it is his code that is asking.

    Raises:
        Refused: what can be written by others, and how to end that.
    """
    owners = (CHECKOUT.stat().st_uid,)
    for path in (CHECKOUT, *(CHECKOUT / name for name in _CODE)):
        refuse_open(path, "the checkout:", owners, private_group=True)
    for path in (Path(sys.prefix), Path(sys.prefix) / "bin", *map(Path, site.getsitepackages([sys.prefix]))):
        refuse_open(path, "the virtual environment:", owners, private_group=True)


def ensure_from_outside(roots: Roots) -> None:
    """Have `ensure` run by a process that does not live in a pane: repairing tmux may end every pane."""
    import subprocess

    subprocess.Popen(
        [sys.executable, str(CHECKOUT / "scripts" / "backtest-optimize"), "ensure"],
        cwd=CHECKOUT,
        env=of_swarm(roots) | {NONCE: "swarm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ).returncode = 0  # nobody here waits for it


def tell_hooks(roots: Roots, events: Sequence[Mapping[str, Any]]) -> None:
    """Have the on_incident hooks run by a process that nobody waits for; each has its deadline."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as record:
        record.write(codec.encode(list(events)))
        record.seek(0)
        subprocess.Popen(
            [sys.executable, "-c", "from hooks.notify import main; main()"],
            cwd=CHECKOUT,
            env=of_swarm(roots) | {NONCE: "swarm"},
            stdin=record,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ).returncode = 0  # nobody here waits for it


def look(roots: Roots, limits: SwarmSettings) -> tuple[SessionView, ...] | None:
    """The sessions as they are; None when tmux gives no answer or is not there."""
    try:
        return Tmux.of(roots, limits.tmux_timeout_s).sessions()
    except (NoAnswer, OSError):
        return None


def _reachable(roots: Roots, limits: SwarmSettings) -> tuple[Tmux, list[str]]:
    """A server that answers and is ours: repaired, or on a socket of its own when another root has the label."""
    tmux = Tmux.of(roots, limits.tmux_timeout_s)
    sessions.check_folder(tmux.server)
    repaired = []
    process = tmux.server.process
    if process is not None and processes.is_stopped(process):  # known without a call that would cost its deadline
        repaired.append(f"tmux -L {tmux.server.label}: {sessions.repair(tmux)}")
    try:
        found = tmux.sessions()
        lost = not found and process is not None and identity.life_of(process) != "dead"
    except NoAnswer as error:
        if tmux.server.process is None and not sessions.is_ours(tmux):
            # Not ours as far as anybody knows: it is left alone, and this root takes another socket.
            return _elsewhere(tmux), [f"{error}; it is not ours on record, so another socket is used"]
        lost = True
    if lost:
        repaired.append(f"tmux -L {tmux.server.label}: {sessions.repair(tmux)}")
        found = tmux.sessions()
    other = sessions.belongs_to_another(tmux) if found else None
    is_strange = bool(found) and other is None and tmux.server.process is None and not found[0].state_root
    if other is not None or is_strange:
        return _elsewhere(tmux), [
            f"tmux -L {tmux.server.label} serves {other or 'somebody else'}; another socket is used"
        ]
    return tmux, repaired


def _elsewhere(tmux: Tmux) -> Tmux:
    server = Server(sessions.other_label(tmux.roots), tmux.server.folder)
    if server.label == tmux.server.label:
        raise Refused(
            f"tmux -L {server.label} gives no answer, and nothing on record says that it is ours",
            f"end it by hand, or remove its socket {server.socket}",
        )
    return Tmux(tmux.roots, server, tmux.timeout_s)


def _commands(limits: SwarmSettings) -> dict[str, list[str]]:
    python = sys.executable
    loops = {row.session: [python, "-m", "agents.runtime.loop", row.name] for row in registry.at_work(limits)}
    return loops | {m.session: [python, "-m", "scripts.swarm", m.view] for m in MONITORS}


def _end_loop(roots: Roots, session: str) -> None:
    """A loop that hangs or is stopped does not hear its pane close."""
    name = next((row.name for row in AGENTS if row.session == session), None)
    if name is None:
        return
    record = snapshot.read_json(roots.loop(name))
    try:
        loop = record_of(Identity, (record or {}).get("identity"))
    except (ValueError, AttributeError):
        return
    processes.send(loop, signal.SIGKILL)


# workers --------------------------------------------------------------------------------------------------------------


def mint(job_id: str, epoch: int) -> tuple[str, str]:
    """A worker id (also a file name) and a nonce."""
    return f"{job_id}.e{epoch}.{os.urandom(3).hex()}", os.urandom(16).hex()


def spawn(roots: Roots, launch: Launch, limits: SwarmSettings) -> Launch:
    """Start the wrapper and its worker, detached from everything; the launch record is on file before and after."""
    import subprocess

    path = roots.launch(launch.worker_id)
    snapshot.write_json(path, tree_of(launch))
    log = roots.worker_log(launch.run_id, launch.job.job_id)
    private.folder(log.parent)
    python = sys.executable
    command = [
        *(python, "-I", "-S", str(_WRAPPER), str(roots.exit(launch.worker_id)), str(roots.pipe("worker_sentry"))),
        *(str(limits.nice), str(limits.oom_score), str(Container().memory_events or "")),
        *(python, "-m", "WORKFLOW.lane.worker", str(path)),
    ]
    threads = str(launch.cores)
    own = {NONCE: launch.nonce, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    own["CUDA_VISIBLE_DEVICES"] = launch.gpu or "-1"  # a worker on a CPU lane opens no device
    log.touch(0o600)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=of_swarm(roots) | own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process.returncode = 0  # nobody here waits for it: it outlives this cycle
    launched = replace(launch, wrapper=identity.of(process.pid))
    snapshot.write_json(path, tree_of(launched))
    return launched
