"""Observe without changing anything: build the world of one cycle from files and /proc."""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.machine import probe
from agents.model.world import (
    AgentView,
    Control,
    HookFault,
    Lane,
    RecordFault,
    Records,
    SessionView,
    Worker,
    World,
    gpu_lane_id,
    patience_s,
)
from agents.registry import MONITORS, Row, at_work
from config.errors import Refused
from config.swarm import SwarmSettings, of_section
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import Roots
from state.files.tree import record_of
from state.host import code, identity, root
from state.host.clock import Clock, SystemClock, stamp
from state.host.identity import Identity, Tree
from state.host.root import Root
from state.records import agent_states, healing, orders, request, server
from state.records.agent_states import AgentState, Deed, Read, Verified, read
from state.records.agent_states import loop as loop_of
from state.records.heartbeat import Heartbeat
from state.records.jobs import DEATHS_KEPT, are_sound, deaths, fold
from state.records.orders import SwarmOrder
from state.records.report_parts import Gpu
from state.records.reports import ControllerReport, WatchdogReport
from state.records.workers import Exit, Launch, Result, on_file

if TYPE_CHECKING:
    from config.settings import Settings


def limits_of(roots: Roots) -> SwarmSettings:
    """Return the swarm's section of the settings, which agents need, in a tenth of the time of `resolved`."""
    tree = snapshot.read_json(roots.settings)
    if isinstance(tree, dict):
        with contextlib.suppress(Refused):  # the file is of a version with other settings
            return of_section(tree.get("swarm"))
    try:
        return resolved(roots).swarm
    except ModuleNotFoundError:  # no YAML library: `status` and `health` must answer without a virtual environment, too
        from config import settings

        return settings.swarm_defaults()


def resolved(roots: Roots) -> "Settings":
    """Return the settings with which the swarm was started; without such a file, the present ones."""
    from config import settings  # importing it takes 10 ms, and most cycles need only one section

    tree = snapshot.read_json(roots.settings)
    if isinstance(tree, dict):
        # the file is of a version with other settings, or damaged
        with contextlib.suppress(Refused, KeyError, TypeError):
            return settings.of_tree(tree)
    return settings.load()


def observe(roots: Roots, limits: SwarmSettings, sees: Iterable[str] = (), clock: Clock | None = None) -> World:
    """Return the world as it is now. `sees` names the costly parts that the agent asks for."""
    clock = SystemClock() if clock is None else clock
    now_s = clock.monotonic_s()
    order = orders.current(roots)
    folder = None if order is None else roots.swarm_run(order.run_id)
    rounds = [] if folder is None else folder.rounds()
    current = rounds[-1] if rounds else None
    page = None if current is None else Journal(current.jobs).read()
    events = () if page is None else page.records
    begun = orders.Begun() if current is None else orders.begun(current)
    states = {row.name: read(roots, row.name) for row in at_work(limits)}
    views = tuple(agents(roots, limits, states, clock))
    reports = agent_states.reports(states)
    # One replay of the journal serves all fields about jobs: a second read could see a later state.
    misfits: list[Any] = []
    states_of_jobs = fold(events, misfits).values()
    sees = frozenset(sees)
    return World(
        now=stamp(clock.now()),
        now_s=now_s,
        boot_id=identity.boot_id(),
        stopped=roots.tombstone.exists(),
        lanes=probe.lanes(limits, target=_lane_target(reports.util_controller, views, limits)),
        lane_cap=probe.lane_cap(limits),
        gpu_lanes=gpu_lanes(reports.watchdog.gpus, order, os.environ.get("CUDA_VISIBLE_DEVICES")),
        order=order,
        run_finished=folder is not None and folder.finished.exists(),
        round=-1 if current is None else current.number,
        round_began=begun.at,
        dropped=begun.dropped,
        holdouts=begun.holdouts,
        jobs=tuple(state for state in states_of_jobs if not state.job.fills),
        fills=tuple(state for state in states_of_jobs if state.job.fills),
        workers=tuple(workers(roots, now_s)),
        requests=request.pending(roots.requests),
        agents=views,
        reports=reports,
        sessions=sessions_of(roots, limits) if "sessions" in sees else None,
        sample=probe.sample(roots, limits, now_s) if "sample" in sees else None,
        disk_free_bytes=probe.disk_free(roots.results),
        disk_free_files=probe.disk_free_files(roots.results, roots.state),
        control=Control(**vars(reports.watchdog), monitors=tuple(monitor.session for monitor in MONITORS)),
        bad_lines=len(misfits) + (0 if page is None else len(page.bad_lines)),
        last_deaths=deaths(events)[-DEATHS_KEPT:],
        code=code.work() if "code" in sees else "",
        round_code=begun.code,
        records=_records(roots, limits, order, reports.watchdog, clock) if "records" in sees else None,
        faults=_faults(roots, views, reports.run_ids()) if "faults" in sees else (),
        told=_told(roots, order, sees),
        healings=healing.recent(roots) if "healings" in sees else (),
        **_around(roots, sees),
        **_read_by_advisers(roots, limits, states, order, sees),
    )


def _read_by_advisers(
    roots: Roots,
    limits: SwarmSettings,
    reads: Mapping[str, Read],
    order: SwarmOrder | None,
    sees: frozenset[str],
) -> dict[str, Any]:
    """Return the parts of the world that only advisers ask for: documents, audits, outcomes, the ledger."""
    if not sees & {"knowledge", "audit", "outcomes", "hypotheses"}:
        return {}
    from agents.machine import library  # imported only by agents that read there

    return {
        "knowledge": library.knowledge(roots, limits, reads) if "knowledge" in sees else None,
        "audit": library.audit(roots, limits, reads, order) if "audit" in sees else None,
        "outcomes": library.outcomes(roots, order) if "outcomes" in sees else None,
        "hypotheses": library.hypotheses(roots) if "hypotheses" in sees else None,
    }


def sessions_of(roots: Roots, limits: SwarmSettings) -> tuple[SessionView, ...] | None:
    """Return the tmux sessions as they are; None when tmux gives no answer or is not installed."""
    # importing it takes milliseconds, so only cycles that look pay for it
    from agents.machine.sessions import NoAnswer, Tmux

    try:
        return Tmux.of(roots, limits.agents.tmux_timeout_s).sessions()
    except (NoAnswer, OSError):
        return None


_MOST_EXPECTED = 5  # the most actions of one cycle whose expected outcomes are shown
_QUIET_S = 0.2  # seconds since the last progress from which on a worker's CPU time is read


def _records(
    roots: Roots, limits: SwarmSettings, order: SwarmOrder | None, report: WatchdogReport, clock: Clock
) -> Records:
    """Return the records that grew too long, and every few minutes those that expired, which are costly to list."""
    from agents.machine import records  # imported only by cycles that look

    age_s = _age(report.records_looked_s, report.boot_id, clock)
    thorough = age_s is None or age_s >= records.LOOK_EVERY_S * limits.agents.cadence_scale
    return records.look(roots, limits, order, thorough, report.counted_s)


def _lane_target(report: ControllerReport, views: Iterable[AgentView], limits: SwarmSettings) -> int | None:
    """Return how many lanes util_controller wants; None when it has not reported, or its report is too old."""
    wanted = report.lanes
    view = next((one for one in views if one.agent == "util_controller"), None)
    # A controller that is gone must not hold the number of lanes at what suited an earlier load.
    is_fresh = view is not None and view.age_s is not None and view.age_s <= patience_s(view.cadence_s, limits)
    return wanted if is_fresh and wanted is not None and wanted >= 1 else None


_ON_GPU = ("auto", "gpu")  # engines that use a GPU


def gpu_lanes(gpus: tuple[Gpu, ...] | None, order: SwarmOrder | None, visible: str | None) -> tuple[Lane, ...]:
    """Return one lane for each usable GPU that the watchdog saw.

    A GPU is left out when the engine uses none, when the order names another GPU, when it has memory errors, or when
    the operator hides it: `visible` is the operator's CUDA_VISIBLE_DEVICES, None when it is not set.
    """
    if order is None or order.engine not in _ON_GPU:
        return ()
    named = None if visible is None else [name.strip() for name in visible.split(",")]
    wanted = [gpu for gpu in gpus or () if order.gpu in (None, gpu.index)]

    # CUDA_VISIBLE_DEVICES names GPUs by index or by the beginning of their UUID. A MIG slice has only the latter.
    def is_free(gpu: Gpu) -> bool:
        uuid = gpu.uuid or ""
        shown = named is None or any(
            name and (uuid.startswith(name) or (name == str(gpu.index) and gpu.slice is None)) for name in named
        )
        return bool(uuid) and shown and not gpu.uncorrected_errors

    return tuple(Lane(gpu_lane_id(gpu), 1, gpu.uuid or "") for gpu in wanted if is_free(gpu))


def _around(roots: Roots, sees: frozenset[str]) -> dict[str, Any]:
    """Return the surroundings of the swarm: the keeper, and the user's hooks with their faults."""
    if not sees & {"keeper", "hooks"}:
        return {}
    from agents.machine import keeper
    from hooks import notify
    from hooks.folder import faults, hooks_at

    # a notification hook that failed counts as faulty until its file changes
    wrong = (*faults(roots), *notify.failed(roots))
    return {
        "keeper": keeper.look(roots, ask="keeper" in sees),
        "incident_hooks": tuple(map(str, hooks_at("on_incident", roots))),
        "hook_faults": tuple(HookFault(one.path, one.fault, one.fix) for one in wrong),
    }


def _faults(roots: Roots, views: Iterable[AgentView], named: Iterable[str]) -> tuple[RecordFault, ...]:
    from agents.machine import faults  # imported only by cycles that look

    lives = any(view.loop_life in ("running", "stopped") for view in views)
    return faults.look(roots, lives, named)


def _told(roots: Roots, order: SwarmOrder | None, sees: frozenset[str]) -> dict[str, str]:
    """Return for each log that this agent writes when its last line was written; "" when the log is empty."""
    logs = {"write_events": roots.events, "write_incidents": roots.session_events}
    logs |= {} if order is None else {"write_line": roots.session_log(order.run_id)}
    last = {kind: _mapping(Journal(path).last()) for kind, path in logs.items() if kind in sees}
    return {kind: str(record.get("told_at") or record.get("at", "")) for kind, record in last.items()}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def agents(roots: Roots, limits: SwarmSettings, states: Mapping[str, Read], clock: Clock) -> Iterable[AgentView]:
    """Yield every agent as its files show it. In a copy of a root, no process on file belongs to this root."""
    here = root.look(roots.state)
    there = root.home(here)
    tmux = None if here.is_copy else server.recorded(roots)
    began_s = {} if tmux is None else tmux.began_s
    awaited = {} if tmux is None else tmux.awaited
    boot_id = None if tmux is None or tmux.process is None else tmux.process.boot_id
    for row in at_work(limits):
        state, (loop, not_loop) = states[row.name].state, loop_of(roots, row.name)
        yield AgentView(
            agent=row.name,
            session=row.session,
            cadence_s=row.cadence_s,
            age_s=_age(state.at_s, state.boot_id, clock),
            session_age_s=_age(began_s.get(row.session), boot_id, clock),
            loop_age_s=_age(loop.began_s, None if loop.identity is None else loop.identity.boot_id, clock),
            loop_life="unknown" if here.is_copy else _life(loop.identity, there),
            awaited_s=_awaited_s(awaited.get(row.session), state, boot_id, clock),
            cycle=state.cycle,
            failed=_failed(state.actions_last_cycle),
            code_problem=loop.code_problem,
            unmet=_unmet(state.verified_last_cycle),
            expects=_expects(state.actions_last_cycle),
            damaged=_damaged(roots, row.name, states[row.name].wrong, not_loop),
        )


def _awaited_s(started: tuple[float, int] | None, state: AgentState, boot_id: str | None, clock: Clock) -> float | None:
    """Return for how long an agent's first cycle is awaited, over all its starts; None when it has cycled since."""
    age_s = None if started is None else _age(started[0], boot_id, clock)
    cycled_s = _age(state.at_s, state.boot_id, clock)
    return age_s if age_s is not None and (cycled_s is None or cycled_s > age_s) else None


def is_silent(roots: Roots, row: Row, limits: SwarmSettings) -> bool:
    """Whether an agent's loop is dead or stopped, or its last cycle looks too old, by reading only two files.

    The age is taken from the state file's wall time, so an agent also looks silent after the clock was set. The cycle
    of the rescue, which looks at everything, decides.
    """
    if _life(loop_of(roots, row.name)[0].identity, None) != "running":
        return True
    try:
        age_s = time.time() - roots.agent_state(row.name).stat().st_mtime
    except OSError:
        return True
    return not -row.patience_s(limits) < age_s < row.patience_s(limits)


def _failed(deeds: Iterable[Deed]) -> str:
    """Return the first action that failed, with its outcome; "" when none failed."""
    return next((f"{one.kind} {one.target} {one.outcome}" for one in deeds if one.has_failed), "")


def _unmet(verified: Iterable[Verified]) -> tuple[str, ...]:
    """Return the actions whose expected outcome the next cycle did not find."""
    return tuple(f"{one.kind} {one.target}: {one.expected}" for one in verified if one.holds is False)


def _expects(deeds: tuple[Deed, ...]) -> tuple[dict[str, str], ...]:
    """Return the expected outcomes of the first few actions of the last cycle."""
    return tuple({"kind": o.kind, "target": o.target, "expected": o.expected} for o in deeds[:_MOST_EXPECTED])


def _damaged(roots: Roots, agent: str, state: Iterable[str], loop: Iterable[str]) -> tuple[str, ...]:
    """Return the values in an agent's two records that have a wrong type, each with its file."""
    files = (roots.agent_state(agent).name, state), (f"loops/{roots.loop(agent).name}", loop)
    return tuple(f"{name}: {what}" for name, wrong in files for what in wrong)


def _age(moment_s: float | None, boot_id: str | None, clock: Clock) -> float | None:
    if moment_s is None or boot_id != identity.boot_id():
        return None
    return round(max(0.0, clock.monotonic_s() - moment_s), 3)


def _life(process: Identity | None, there: int | None) -> str:
    """Return the life of a loop's process.

    `there` is the PID namespace of a living swarm whose processes cannot be seen from here. A process of that namespace
    counts as running, and only the age of its last cycle tells more.
    """
    if process is None:
        return "unknown"
    return "running" if there is not None and process.namespace == there else identity.life_of(process)


def workers(roots: Roots, now_s: float) -> Iterable[Worker]:
    """Yield the worker of every launch record; none in a copy of a root, because its records are the original's."""
    here = root.look(roots.state)
    launches = () if here.is_copy else on_file(roots)
    there = root.home(here) if launches else None
    return (_worker(roots, here, there, launch, now_s) for launch in launches)


def _worker(roots: Roots, here: Root, there: int | None, launch: Launch, now_s: float) -> Worker:
    beat = _read(Heartbeat, roots.heartbeat(launch.worker_id))
    ended = _read(Exit, roots.exit(launch.worker_id))
    # The launch record, and not the run under way, says where the result lies: a worker may outlive its run.
    folder = roots.swarm_run(launch.run_id).round(launch.job.round)
    same_boot = launch.boot_id == identity.boot_id()
    # Monotonic times of another boot cannot be compared, and no process of another boot is alive.
    progressed_s = launch.launched_at_s if beat is None or not same_boot else beat.progressed_at_s
    silent_s = round(max(0.0, now_s - progressed_s), 3) if same_boot else 0.0
    is_gone = not same_boot or ended is not None
    return Worker(
        launch=launch,
        life="dead" if is_gone else "running" if there is not None else _worker_life(here, launch, beat),
        age_s=round(max(0.0, now_s - launch.launched_at_s), 3) if same_boot else 0.0,
        silent_s=silent_s,
        pid=None if beat is None else beat.identity.pid,
        done=0 if beat is None else beat.done,
        total=0 if beat is None else beat.total,
        rate_per_s=None if beat is None else beat.rate_per_s,
        note="" if beat is None else beat.note,
        cpu_s=None if beat is None or silent_s < _QUIET_S else identity.cpu_s(beat.identity),
        exit=ended,
        result=_result(folder.result(launch.job.job_id)),
        screening=beat.screening if beat is not None and same_boot else None,
    )


def _worker_life(here: Root, launch: Launch, beat: Heartbeat | None) -> str:
    """Return the life of a worker's process, or, before its first heartbeat, whether any process of its tree lives.

    The process on record may by now be another root's, run's or launch's, because pids are reused. Then the worker is
    dead, whatever that process does.
    """
    tree = Tree(here, launch.nonce, launch.run_id, launch.worker_id)
    if beat is None:
        return "running" if tree.members() else "dead"
    life = _life_in(tree, beat.identity)
    # The worker is dead and its wrapper still lives: a moment later there is an exit file, which says how it ended.
    dying = life == "dead" and launch.wrapper is not None and _life_in(tree, launch.wrapper) == "running"
    return "running" if dying else life


def _life_in(tree: Tree, one: Identity) -> str:
    is_strange = identity.can_look() and not tree.has(one.pid)
    return "dead" if is_strange else identity.life_of(one)


def _result(path: Path) -> Result | None:
    result: Result | None = _read(Result, path)
    return result if result is not None and are_sound(result.metrics, result.gates) else None


def _read(kind: Any, path: Path) -> Any:
    try:
        return record_of(kind, snapshot.read_json(path))
    except ValueError:
        return None
