"""Look, and touch nothing: everything one cycle may see, put together from files and /proc."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agents.machine import launcher, probe, sessions
from agents.registry import AGENTS, MONITORS
from agents.runtime.world import AgentView, Worker, World
from config import settings
from config.errors import Refused
from config.settings import Settings, SwarmSettings
from state import identity, orders, request, snapshot
from state.clock import Clock, SystemClock, stamp
from state.heartbeat import Heartbeat
from state.identity import Identity
from state.jobs import fold
from state.journal import Journal
from state.layout import Roots
from state.tree import record_of
from state.workers import Exit, Launch, Result


def resolved(roots: Roots) -> Settings:
    """The settings as they were when the swarm was started; resolved now where there is no such file."""
    tree = snapshot.read_json(roots.settings)
    if isinstance(tree, dict):
        with contextlib.suppress(Refused):  # written by a version with other settings
            return settings.of_tree(tree)
    return settings.load()


def observe(roots: Roots, limits: SwarmSettings, sees: Iterable[str] = (), clock: Clock | None = None) -> World:
    """The world as it is now. `sees` names what costs something to look at."""
    clock = SystemClock() if clock is None else clock
    now_s = clock.monotonic_s()
    order = orders.current(roots)
    folder = None if order is None else roots.swarm_run(order.run_id)
    rounds = [] if folder is None else folder.rounds()
    current = rounds[-1] if rounds else None
    page = None if current is None else Journal(current.jobs).read()
    records = () if page is None else page.records
    begun = None if current is None else snapshot.read_json(current.begun)
    begun = begun if isinstance(begun, dict) else {}
    control = snapshot.read_json(roots.agent_state("watchdog"))
    report = control.get("report", {}) if isinstance(control, dict) else {}
    sees = frozenset(sees)
    return World(
        now=stamp(clock.now()),
        now_s=now_s,
        boot_id=identity.boot_id(),
        stopped=roots.tombstone.exists(),
        lanes=probe.lanes(limits),
        order=order,
        run_finished=folder is not None and folder.finished.exists(),
        round=-1 if current is None else current.number,
        round_began=str(begun.get("at", "")),
        dropped=dropped if isinstance(dropped := begun.get("dropped"), dict) else {},
        jobs=tuple(fold(records).values()),
        workers=tuple(_workers(roots, now_s)),
        requests=request.pending(roots.requests),
        agents=tuple(agents(roots, clock)),
        sessions=launcher.look(roots, limits) if "sessions" in sees else None,
        sample=probe.sample(roots.results) if "sample" in sees else None,
        disk_free_bytes=probe.disk_free(roots.results),
        control={**report, "monitors": [monitor.session for monitor in MONITORS]},
        bad_lines=0 if page is None else len(page.bad_lines),
        last_deaths=tuple(r for r in records if isinstance(r, dict) and r.get("event") in _DEATHS),
    )


_DEATHS = ("died", "failed", "quarantined")


def agents(roots: Roots, clock: Clock) -> Iterable[AgentView]:
    """Every agent as its files show it."""
    server = sessions.recorded(roots)
    began_s = {} if server is None else server.began_s
    boot_id = None if server is None or server.process is None else server.process.boot_id
    for row in AGENTS:
        state = snapshot.read_json(roots.agent_state(row.name))
        loop = snapshot.read_json(roots.loop(row.name))
        state = state if isinstance(state, dict) else {}
        loop = loop if isinstance(loop, dict) else {}
        yield AgentView(
            agent=row.name,
            session=row.session,
            cadence_s=row.cadence_s,
            age_s=_age(state.get("at_s"), state.get("boot_id"), clock),
            session_age_s=_age(began_s.get(row.session), boot_id, clock),
            loop_age_s=_age(loop.get("began_s"), (loop.get("identity") or {}).get("boot_id"), clock),
            loop_life=_life(loop.get("identity")),
            cycle=cycle if isinstance(cycle := state.get("cycle"), int) else 0,
            failed=_failed(state.get("actions_last_cycle")),
        )


def _failed(actions: Any) -> str:
    """The first action whose outcome says that it failed."""
    for action in actions if isinstance(actions, list) else ():
        if str(action.get("outcome", "")).startswith("failed: "):
            return f"{action['kind']} {action['target']} {action['outcome']}"
    return ""


def _age(moment_s: Any, boot_id: Any, clock: Clock) -> float | None:
    if not isinstance(moment_s, int | float) or boot_id != identity.boot_id():
        return None
    return round(max(0.0, clock.monotonic_s() - moment_s), 3)


def _life(record: Any) -> str:
    try:
        return identity.life_of(record_of(Identity, record))
    except ValueError:
        return "unknown"


def _workers(roots: Roots, now_s: float) -> Iterable[Worker]:
    for path in sorted(roots.workers.glob("*.json")) if roots.workers.is_dir() else ():
        launch = _read(Launch, path)
        if launch is not None:
            yield _worker(roots, launch, now_s)


def _worker(roots: Roots, launch: Launch, now_s: float) -> Worker:
    beat = _read(Heartbeat, roots.heartbeat(launch.worker_id))
    ended = _read(Exit, roots.exit(launch.worker_id))
    folder = roots.swarm_run(launch.run_id).round(launch.job.round)
    same_boot = launch.boot_id == identity.boot_id()
    progressed_s = launch.launched_at_s if beat is None or not same_boot else beat.progressed_at_s
    return Worker(
        launch=launch,
        life=_worker_life(launch, beat, ended),
        age_s=round(max(0.0, now_s - launch.launched_at_s), 3) if same_boot else 0.0,
        silent_s=round(max(0.0, now_s - progressed_s), 3) if same_boot else 0.0,
        pid=None if beat is None else beat.identity.pid,
        done=0 if beat is None else beat.done,
        total=0 if beat is None else beat.total,
        rate_per_s=None if beat is None else beat.rate_per_s,
        note="" if beat is None else beat.note,
        exit=ended,
        result=_read(Result, folder.result(launch.job.job_id)),
    )


def _worker_life(launch: Launch, beat: Heartbeat | None, ended: Exit | None) -> str:
    """The process itself where it is known, else whoever carries the nonce: one that only begins has no heartbeat."""
    if launch.boot_id != identity.boot_id() or ended is not None:
        return "dead"
    if beat is not None:
        life = identity.life_of(beat.identity)
        # Its wrapper still writes down how it ended: a moment later there is an exit file.
        dying = life == "dead" and launch.wrapper is not None and identity.life_of(launch.wrapper) == "running"
        return "running" if dying else life
    return "running" if identity.holders(launch.nonce) else "dead"


def _read(kind: Any, path: Path) -> Any:
    try:
        return record_of(kind, snapshot.read_json(path))
    except ValueError:
        return None
