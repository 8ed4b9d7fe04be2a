"""Look, and touch nothing: everything one cycle may see, put together from files and /proc."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.machine import probe
from agents.registry import MONITORS, at_work
from agents.runtime.world import (
    AgentView,
    HookFault,
    Lane,
    Records,
    SessionView,
    Worker,
    World,
    gpu_lane_id,
    patience_s,
)
from config.errors import Refused
from config.swarm import SwarmSettings, of_section
from state import code, identity, orders, request, server, snapshot
from state.clock import Clock, SystemClock, stamp
from state.heartbeat import Heartbeat
from state.identity import Identity
from state.jobs import DEATHS, DEATHS_KEPT, fold
from state.journal import Journal
from state.layout import Roots
from state.orders import SwarmOrder
from state.tree import record_of
from state.workers import Exit, Launch, Result

if TYPE_CHECKING:
    from config.settings import Settings


def limits_of(roots: Roots) -> SwarmSettings:
    """What agents need of `resolved`: one section, in a tenth of the time."""
    tree = snapshot.read_json(roots.settings)
    if isinstance(tree, dict):
        with contextlib.suppress(Refused):  # written by a version with other settings
            return of_section(tree.get("swarm"))
    return resolved(roots).swarm


def resolved(roots: Roots) -> "Settings":
    """The settings as they were when the swarm was started; resolved now where there is no such file."""
    from config import settings  # 10 ms of a cold cycle, which needs one section of it

    tree = snapshot.read_json(roots.settings)
    if isinstance(tree, dict):
        with contextlib.suppress(Refused, KeyError, TypeError):  # of a version with other settings, or damaged
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
    events = () if page is None else page.records
    begun = None if current is None else snapshot.read_json(current.begun)
    begun = begun if isinstance(begun, dict) else {}
    states = {row.name: _mapping(snapshot.read_json(roots.agent_state(row.name))) for row in at_work(limits)}
    views = tuple(agents(roots, limits, states, clock))
    reports = {name: _mapping(state.get("report")) for name, state in states.items()}
    states_of_jobs = fold(events).values()
    sees = frozenset(sees)
    return World(
        now=stamp(clock.now()),
        now_s=now_s,
        boot_id=identity.boot_id(),
        stopped=roots.tombstone.exists(),
        lanes=probe.lanes(limits, target=_lane_target(states, views, limits)),
        lane_cap=probe.lane_cap(limits),
        gpu_lanes=gpu_lanes(reports["watchdog"].get("gpus"), order, os.environ.get("CUDA_VISIBLE_DEVICES")),
        order=order,
        run_finished=folder is not None and folder.finished.exists(),
        round=-1 if current is None else current.number,
        round_began=str(begun.get("at", "")),
        dropped=dropped if isinstance(dropped := begun.get("dropped"), dict) else {},
        jobs=tuple(state for state in states_of_jobs if not state.job.fills),
        fills=tuple(state for state in states_of_jobs if state.job.fills),
        workers=tuple(_workers(roots, now_s)),
        requests=request.pending(roots.requests),
        agents=views,
        reports=reports,
        sessions=_sessions(roots, limits) if "sessions" in sees else None,
        sample=probe.sample(roots, limits, now_s) if "sample" in sees else None,
        disk_free_bytes=probe.disk_free(roots.results),
        control={**reports["watchdog"], "monitors": [monitor.session for monitor in MONITORS]},
        bad_lines=0 if page is None else len(page.bad_lines),
        last_deaths=tuple(r for r in events if isinstance(r, dict) and r.get("event") in DEATHS)[-DEATHS_KEPT:],
        code=code.work() if "code" in sees else "",
        round_code=str(begun.get("code", "")),
        records=_records(roots, limits, order, reports["watchdog"], clock) if "records" in sees else None,
        told=_told(roots, order, sees),
        **_around(roots, sees),
        **_read_by_advisers(roots, limits, states, order, sees),
    )


def _read_by_advisers(
    roots: Roots,
    limits: SwarmSettings,
    states: Mapping[str, dict[str, Any]],
    order: SwarmOrder | None,
    sees: frozenset[str],
) -> dict[str, Any]:
    """What only advisers read: documents, audits, outcomes, the ledger."""
    if not sees & {"knowledge", "audit", "outcomes", "hypotheses"}:
        return {}
    from agents.machine import library  # only for who reads there

    return {
        "knowledge": library.knowledge(roots, limits, states) if "knowledge" in sees else None,
        "audit": library.audit(roots, limits, states, order) if "audit" in sees else None,
        "outcomes": library.outcomes(roots, order) if "outcomes" in sees else None,
        "hypotheses": library.hypotheses(roots) if "hypotheses" in sees else None,
    }


def _sessions(roots: Roots, limits: SwarmSettings) -> tuple[SessionView, ...] | None:
    from agents.machine import launcher  # 10 ms of a cold cycle: only those pay who look

    return launcher.look(roots, limits)


_MOST_EXPECTED = 5
_QUIET_S = 0.2  # who progressed a moment ago is not asked how much CPU it had


def _records(
    roots: Roots, limits: SwarmSettings, order: SwarmOrder | None, report: Mapping[str, Any], clock: Clock
) -> Records:
    """What grew; a search for what expired costs, so it is made every few minutes only."""
    from agents.machine import records  # as above

    age_s = _age(report.get("records_looked_s"), report.get("boot_id"), clock)
    thorough = age_s is None or age_s >= records.LOOK_EVERY_S * limits.cadence_scale
    return records.look(roots, limits, order, thorough)


def _lane_target(states: Mapping[str, dict[str, Any]], views: Iterable[AgentView], limits: SwarmSettings) -> int | None:
    """How many lanes the controller wants; None when it says nothing, or has said nothing for too long."""
    wanted = _mapping(states.get("util_controller", {}).get("report")).get("lanes")
    view = next((one for one in views if one.agent == "util_controller"), None)
    is_fresh = view is not None and view.age_s is not None and view.age_s <= patience_s(view.cadence_s, limits)
    is_one = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 1
    return wanted if is_fresh and is_one else None


_ON_GPU = ("auto", "gpu")  # engines


def gpu_lanes(gpus: object, order: SwarmOrder | None, visible: str | None) -> tuple[Lane, ...]:
    """One lane a device that the watchdog saw, by UUID; none for engines that want none, on one with memory errors,
    or on another than the order names. `visible`: CUDA_VISIBLE_DEVICES of the operator, who may hide some or all.
    """
    if order is None or order.engine not in _ON_GPU or not isinstance(gpus, list):
        return ()
    named = None if visible is None else [name.strip() for name in visible.split(",")]
    if order.gpu is not None:
        gpus = [gpu for gpu in gpus if isinstance(gpu, dict) and gpu.get("index") == order.gpu]

    def is_free(gpu: dict[str, Any]) -> bool:
        uuid = str(gpu.get("uuid") or "")
        shown = named is None or any(
            name and (uuid.startswith(name) or (name == str(gpu.get("index")) and "slice" not in gpu)) for name in named
        )
        return bool(uuid) and shown and not gpu.get("uncorrected_errors")

    return tuple(Lane(gpu_lane_id(gpu), 1, str(gpu["uuid"])) for gpu in gpus if isinstance(gpu, dict) and is_free(gpu))


def _around(roots: Roots, sees: frozenset[str]) -> dict[str, Any]:
    """What stands around the swarm: the keeper, and the user's hooks with what is wrong with them now."""
    if not sees & {"keeper", "hooks"}:
        return {}
    from agents.machine import keeper
    from hooks import notify
    from hooks.folder import faults, hooks_at

    wrong = (*faults(roots), *notify.failed(roots))  # a notification that did not work, as long as it is unchanged
    return {
        "keeper": keeper.look(roots, ask="keeper" in sees),
        "incident_hooks": tuple(map(str, hooks_at("on_incident", roots))),
        "hook_faults": tuple(HookFault(one.path, one.fault, one.fix) for one in wrong),
    }


def _told(roots: Roots, order: SwarmOrder | None, sees: frozenset[str]) -> dict[str, str]:
    """Of the logs that this agent writes, when the last line was written; nothing when there is none."""
    logs = {"write_events": roots.events, "write_incidents": roots.session_events}
    logs |= {} if order is None else {"write_line": roots.session_log(order.run_id)}
    last = {kind: _mapping(Journal(path).last()) for kind, path in logs.items() if kind in sees}
    return {kind: str(record.get("told_at") or record.get("at", "")) for kind, record in last.items()}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def agents(
    roots: Roots, limits: SwarmSettings, states: Mapping[str, dict[str, Any]], clock: Clock
) -> Iterable[AgentView]:
    """Every agent as its files show it."""
    tmux = server.recorded(roots)
    began_s = {} if tmux is None else tmux.began_s
    boot_id = None if tmux is None or tmux.process is None else tmux.process.boot_id
    for row in at_work(limits):
        state, loop = states[row.name], _mapping(snapshot.read_json(roots.loop(row.name)))
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
            code_problem=str(loop.get("code_problem", "")),
            unmet=_unmet(state.get("verified_last_cycle")),
            expects=_expects(state.get("actions_last_cycle")),
        )


def _failed(actions: Any) -> str:
    """The first action whose outcome says that it failed."""
    for action in actions if isinstance(actions, list) else ():
        if str(action.get("outcome", "")).startswith("failed: "):
            return f"{action['kind']} {action['target']} {action['outcome']}"
    return ""


def _unmet(verified: Any) -> tuple[str, ...]:
    """Actions that were done and whose expected outcome the next cycle did not find."""
    rows = verified if isinstance(verified, list) else ()
    return tuple(f"{row['kind']} {row['target']}: {row['expected']}" for row in rows if row.get("holds") is False)


def _expects(actions: Any) -> tuple[dict[str, str], ...]:
    """What its last actions are expected to come to; the first few, it is a summary."""
    rows = actions if isinstance(actions, list) else ()
    return tuple({key: str(row.get(key)) for key in ("kind", "target", "expected")} for row in rows[:_MOST_EXPECTED])


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
    silent_s = round(max(0.0, now_s - progressed_s), 3) if same_boot else 0.0
    return Worker(
        launch=launch,
        life=_worker_life(launch, beat, ended),
        age_s=round(max(0.0, now_s - launch.launched_at_s), 3) if same_boot else 0.0,
        silent_s=silent_s,
        pid=None if beat is None else beat.identity.pid,
        done=0 if beat is None else beat.done,
        total=0 if beat is None else beat.total,
        rate_per_s=None if beat is None else beat.rate_per_s,
        note="" if beat is None else beat.note,
        cpu_s=None if beat is None or silent_s < _QUIET_S else identity.cpu_s(beat.identity),
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
