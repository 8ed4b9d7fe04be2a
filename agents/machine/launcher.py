"""Start the swarm's tmux sessions, under the launch lock; and start workers, outside of tmux.

"Session" means a tmux session here. A worker gets a process session of its own (setsid), so that it outlives tmux.
"""

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
from agents.machine import casualties, processes, sessions
from agents.machine.casualties import Before
from agents.machine.sessions import NoAnswer, Tmux
from agents.registry import AGENTS, MONITORS
from agents.rules.blame import backoff_s
from config.errors import Refused
from config.record import dataclass, replace
from config.swarm import SwarmSettings
from config.trust import refuse_open
from state.files import (
    codec,
    flock,
    made,
    private,
    snapshot,
)
from state.files.layout import CHECKOUT, Roots
from state.files.tree import record_of, tree_of
from state.host import identity
from state.host.cgroup import Container
from state.host.clock import SystemClock
from state.host.environment import of_member, of_swarm
from state.host.identity import NONCE, RUN, WORKER, Identity
from state.records import healing
from state.records.server import Server
from state.records.workers import Launch

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
_HOLDER_S = 10.0  # seconds that a stopped holder of the launch lock may still take after it was continued


class Busy(Exception):
    """Another process holds the launch lock, so the start that is asked for is under way."""


@dataclass(frozen=True)
class Ensured:
    """What `ensure_sessions` did: the sessions that it started, and the repairs that were needed first."""

    started: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()  # sessions whose agent never cycled after earlier starts: their next start waits


@contextmanager
def launch_lock(roots: Roots, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the launch lock.

    Raises:
        Busy: another process held it for `wait_s` seconds.
    """
    from filelock import FileLock, Timeout  # importing it takes 38 ms, so it is imported only to start something

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
        with contextlib.suppress(OSError):  # the disk may be full; the lock works without its holder's name
            snapshot.write_json(roots.launch_holder, tree_of(identity.mine()))
        yield
    finally:
        lock.release()


def _continue_holder(roots: Roots) -> bool:
    """Send SIGCONT to a stopped lock holder (Ctrl-Z), which would keep all others out; return whether it was sent."""
    try:
        # filelock does not tell who holds a lock, so each holder writes its identity beside it.
        holder = record_of(Identity, snapshot.read_json(roots.launch_holder))
    except ValueError:
        return False
    # The record may be old or forged: only a process that has the lock file open is continued.
    holds = flock.is_open_in(roots.launch_lock, holder.pid)
    return holds and processes.is_stopped(holder) and processes.send(holder, signal.SIGCONT)


# sessions -------------------------------------------------------------------------------------------------------------


def ensure_sessions(
    roots: Roots,
    limits: SwarmSettings,
    by: str,
    respawn: Sequence[str] = (),
    only: Sequence[str] | None = None,
    is_patient: bool = False,
) -> Ensured:
    """Start every missing session once, and respawn those named in `respawn`; all that heals the swarm calls this.

    With `only`, no other sessions are touched; None means all. Call it under the launch lock. It does nothing while the
    operator wants the swarm stopped. It writes to healing.jsonl what was missing, since when and why, and that `by`
    brought it back. With `is_patient` (for agents, not for people), an agent that was started and never cycled is
    started again only after a wait that doubles with every start.

    Raises:
        Refused: tmux is missing or cannot start a session.
    """
    if roots.tombstone.exists():
        return Ensured()
    if not sessions.installed():
        raise Refused("tmux is not installed", "install it: " + "apt-get install tmux (or dnf, apk, pacman, brew)")
    check_installation()
    clock = SystemClock()
    before = casualties.look(roots, limits, clock)
    started: list[str] = []
    repaired: list[str] = []
    try:
        waiting = _started_into(started, repaired, roots, limits, before, respawn, only, is_patient)
    finally:  # recorded even if tmux stops answering half-way
        records = casualties.told(before, started, repaired, by, clock)
        healing.record(roots, clock, records, limits.records.journal_mb * 1_000_000)
    return Ensured(tuple(started), tuple(repaired), tuple(waiting))


def _started_into(
    started: list[str],
    repaired: list[str],
    roots: Roots,
    limits: SwarmSettings,
    before: Before,
    respawn: Sequence[str],
    only: Sequence[str] | None,
    is_patient: bool,
) -> list[str]:
    """Repair tmux and start sessions; return the sessions that have to wait.

    Each deed is appended to `started` or `repaired` as soon as it is done.
    """
    tmux = _reachable(roots, limits, repaired)
    views = tmux.sessions()
    there = {view.name for view in views if view.alive}
    all_names = {view.name for view in views}
    # taken before the first start, so that every loop of these sessions begins later
    now_s = SystemClock().monotonic_s()
    names = registry.sessions(limits)
    commands = _commands(limits)
    missing = [one for one in commands if (only is None or one in only) and (one not in there or one in respawn)]
    # An agent that ends at once, each time, would otherwise be started again in every cycle of every healer.
    waiting = [one for one in missing if is_patient and _is_too_soon(one, before, now_s, limits)]
    missing = [one for one in missing if one not in waiting]
    for session in missing:
        # The loop is killed by its record before its session is ended: it may survive the end of its pane.
        _end_loop(roots, session)
        if session in all_names:
            tmux.end(session)
        tmux.start(session, commands[session], of_member(roots))
        started.append(session)
        # The server is claimed after its first session: if this start is cut short, the next one knows whose it is.
        # All sessions count as begun now: the first agent to look must not find the others as old as their last cycle.
        if len(started) == 1:
            tmux = tmux.claim(names, {}, dict.fromkeys(missing, now_s), _awaited(missing, before, now_s))
    # The patience goes on file, because the keeper judges by it with the standard library alone.
    patience = {roots.agent_state(row.name).name: row.patience_s(limits) for row in registry.at_work(limits)}
    tmux.claim(names, patience, {}, {})
    return waiting


def _is_too_soon(session: str, before: Before, now_s: float, limits: SwarmSettings) -> bool:
    """Whether the session was started a short time ago and its agent has not cycled since an earlier start."""
    if before.server is None or not casualties.is_awaited(session, before):
        return False
    _, starts = before.server.awaited[session]
    return now_s - before.server.began_s.get(session, 0.0) < backoff_s(starts, limits)


def _awaited(started: Sequence[str], before: Before, now_s: float) -> dict[str, tuple[float, int]]:
    """Return for each session since when (monotonic) its agent's first cycle is awaited, and the starts since then."""
    known = {} if before.server is None else before.server.awaited
    return {
        one: (known[one][0], known[one][1] + 1) if casualties.is_awaited(one, before) else (now_s, 1)
        for one in started
        if one in before.views
    }


def check_installation() -> None:
    """Refuse to run, in the user's name, code that another user could have written.

    The owner of the checkout is trusted, because the code that makes this check is the owner's, too.

    Raises:
        Refused: others can write a file of the checkout or of the virtual environment; the message holds the `chmod`.
    """
    owners = (CHECKOUT.stat().st_uid,)
    for path in (CHECKOUT, *(CHECKOUT / name for name in _CODE)):
        refuse_open(path, "the checkout:", owners, private_group=True)
    for path in (Path(sys.prefix), Path(sys.prefix) / "bin", *map(Path, site.getsitepackages([sys.prefix]))):
        refuse_open(path, "the virtual environment:", owners, private_group=True)


def ensure_from_outside(roots: Roots, by: str) -> None:
    """Start `ensure` as a process outside of tmux, because repairing tmux may end every pane."""
    import subprocess

    subprocess.Popen(
        [sys.executable, str(CHECKOUT / "scripts" / "backtest-optimize"), "ensure", "--by", by],
        cwd=CHECKOUT,
        env=of_member(roots),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ).returncode = 0  # a known return code keeps Popen from waiting for the process


def tell_hooks(roots: Roots, events: Sequence[Mapping[str, Any]]) -> None:
    """Start a process that runs the on_incident hooks, each under its deadline; the caller does not wait for it."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as record:
        record.write(codec.encode(list(events)))
        record.seek(0)
        subprocess.Popen(
            [sys.executable, "-c", "from hooks.notify import main; main()"],
            cwd=CHECKOUT,
            env=of_member(roots),
            stdin=record,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ).returncode = 0  # a known return code keeps Popen from waiting for the hooks


def _reachable(roots: Roots, limits: SwarmSettings, repaired: list[str]) -> Tmux:
    """Return a server that answers and is ours: repaired, or on another socket when another root uses this one.

    Each repair is appended to `repaired` as soon as it is done.

    Raises:
        NoAnswer: our server lives on without its socket, and a new server beside it would be a second swarm.
    """
    tmux = Tmux.of(roots, limits.agents.tmux_timeout_s)
    sessions.check_folder(tmux.server)
    process = tmux.server.process
    # looked up in /proc, because a call to a stopped server would take its whole deadline
    if process is not None and processes.is_stopped(process):
        repaired.append(f"tmux -L {tmux.server.label}: {sessions.repair(tmux)}")
    try:
        found = tmux.sessions()
        lost = not found and process is not None and identity.life_of(process) != "dead"
    except NoAnswer as error:
        if tmux.server.process is None and not sessions.is_ours(tmux):
            # No record says that this silent server is ours, so it is left alone and this root takes another socket.
            repaired.append(f"{error}; it is not ours on record, so another socket is used")
            return _elsewhere(tmux)
        lost = True
    if lost:
        repaired.append(f"tmux -L {tmux.server.label}: {sessions.repair(tmux)}")
        found = tmux.sessions()
        if not found and process is not None and identity.life_of(process) == "running":
            # The server lives on without a socket. A new server beside it would be a second swarm.
            raise NoAnswer(f"{repaired[-1]}; its socket is not back yet")
    # A server that neither names a state root nor is on record is a stranger's, even if it names no other root.
    other = sessions.belongs_to_another(tmux) if found else None
    is_known = process is not None and identity.life_of(process) != "dead"
    is_strange = bool(found) and other is None and not is_known and not found[0].state_root
    if other is not None or is_strange:
        repaired.append(f"tmux -L {tmux.server.label} serves {other or 'somebody else'}; another socket is used")
        return _elsewhere(tmux)
    return tmux


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
    """Kill the loop of a session, because one that hangs, is stopped or ignores SIGHUP outlives its pane.

    `send_in` leaves a process of another root alone.
    """
    name = next((row.name for row in AGENTS if row.session == session), None)
    if name is None:
        return
    record = snapshot.read_json(roots.loop(name))
    try:
        loop = record_of(Identity, (record or {}).get("identity"))
    except (ValueError, AttributeError):
        return
    processes.send_in(roots.state, loop, signal.SIGKILL)


# workers --------------------------------------------------------------------------------------------------------------


def mint(job_id: str, epoch: int) -> tuple[str, str]:
    """Return a new worker id, which is also a file name, and a new nonce."""
    return f"{job_id}.e{epoch}.{os.urandom(3).hex()}", os.urandom(16).hex()


def spawn(roots: Roots, launch: Launch, limits: SwarmSettings) -> Launch:
    """Start the wrapper and its worker in a process session of their own; return the launch with the wrapper on record.

    The launch record is on file before the process starts, so that no worker ever runs without one.
    """
    import subprocess

    # Without the record, nothing could tell the process from a stranger's, or account for its end.
    path = roots.launch(launch.worker_id)
    snapshot.write_json(path, tree_of(launch))
    log = roots.worker_log(launch.run_id, launch.job.job_id)
    python = sys.executable
    command = [
        *(python, "-I", "-S", str(_WRAPPER), str(roots.exit(launch.worker_id)), str(roots.pipe("worker_sentry"))),
        *(str(limits.lanes.nice), str(limits.lanes.oom_score), str(Container().memory_events or "")),
        *(python, "-m", "WORKFLOW.pipeline.lane.worker", str(path)),
    ]
    threads = str(launch.cores)
    # The nonce, run and worker id identify the worker's whole tree, however it forks (`identity.Tree`).
    own = {
        NONCE: launch.nonce,
        RUN: launch.run_id,
        WORKER: launch.worker_id,
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONUNBUFFERED": "1",
    }
    own["CUDA_VISIBLE_DEVICES"] = launch.gpu or "-1"  # a worker on a CPU lane must see no GPU
    with made.log(roots, log) as output:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=of_swarm(roots) | own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process.returncode = 0  # keeps Popen from waiting for the wrapper, which outlives this cycle
    launched = replace(launch, wrapper=identity.of(process.pid))
    snapshot.write_json(path, tree_of(launched))
    return launched
