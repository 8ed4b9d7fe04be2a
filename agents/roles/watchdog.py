"""Sample the machine once for all agents, write down failures, and keep logs and records short."""

from collections.abc import Mapping
from typing import Any

from agents.actions.records import CompactJobs, RetireRecords, RotateLogs, SetAside, WriteEvents
from agents.model.action import Action
from agents.model.decision import Agent, Decision
from agents.model.world import Records, Sample, World, patience_s
from agents.rules import aging, clocks
from agents.rules.clocks import Clocks
from config.record import dataclass, field, replace
from config.swarm import SwarmSettings
from state.records import healing
from state.records.jobs import SCREENS
from state.records.report_parts import Finding, Targets
from state.records.reports import WatchdogReport

_CADENCE_S = 15.0  # seconds between two cycles of this agent, as in the registry
_CPU_READINGS = 120  # the most readings of one window; more would only make the record longer
_DISK_EVERY_S = 600.0  # seconds between two readings of the disk
_DISK_READINGS = 144  # readings of one day
_DISK_ENOUGH_S = 3_600.0  # seconds: a forecast from a shorter time would be a guess
_FULL_SOON_DAYS = 2.0  # leaves a person enough time to make room
_STARVING = 2  # the fewest other agents that must be late at once; when one alone is late, the machine is not to blame
_SCARCE = 0.9  # share of the container's limit of processes from which on they count as scarce


@dataclass(frozen=True)
class Reading:
    """The container's counters at one time: CPU seconds used, and periods of the CPU quota."""

    at_s: float
    cpu_used_s: float
    periods: int | None = None
    throttled_periods: int | None = None


@dataclass(frozen=True)
class DiskReading:
    """The free bytes of the disk at one time."""

    at_s: float
    free_bytes: int


@dataclass(frozen=True)
class Memory:
    """What later cycles compare with, and which events are already in the log."""

    boot_id: str = ""
    readings: tuple[Reading, ...] = ()
    disk: tuple[DiskReading, ...] = ()
    clocks: Clocks | None = None
    last_death: str = ""
    healing_mark: str = ""  # the last record of healing.jsonl that was written down
    said: Mapping[str, str] = field(default_factory=dict)  # id of a finding in the log → its words there
    environment: Mapping[str, str] = field(default_factory=dict)
    uuids: tuple[str, ...] = ()  # of all GPUs that were seen in this boot
    oom_kills: int | None = None
    no_gpu_said: bool = False
    looked_s: float | None = None  # when expired records were last listed
    counted_s: float | None = None  # the wall time by which the age of records is judged: see agents/rules/aging.py


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Report the machine to all other agents, write down new events, and shorten records that grew too long."""
    moved, events = clocks.events(world, memory.boot_id, memory.clocks, patience_s(_CADENCE_S, limits))
    memory = replace(memory, counted_s=_counted_s(world, memory))
    memory = _with_readings(world, memory, limits)
    memory, more = _machine_events(world, memory)
    # after its own absence, the watchdog cannot tell since when others are late
    starved = not moved and _is_starved(world, limits)
    found = _findings(world, memory, starved, limits)
    memory, said = _said(memory, found)
    memory, deaths = _deaths(world, memory)
    memory, healed = _healings(world, memory)
    events += more + said + deaths + healed
    if world.records is not None and world.records.expired is not None:
        memory = replace(memory, looked_s=world.now_s)
    cpu_pct = _cpu_pct(memory, world.sample)
    report = replace(
        _report(world, memory, limits),
        cpu_pct=cpu_pct,
        host_starved=starved,
        grace=moved or starved,
        findings=tuple(found),
    )
    memory = replace(memory, clocks=clocks.of(world))
    some = f"{len(world.workers)} worker{'' if len(world.workers) == 1 else 's'}"
    reason = f"CPU {'unknown' if cpu_pct is None else f'{cpu_pct:.0f} %'}, {some}"
    if found:
        reason += "; " + ", ".join(one.id for one in found)
    strays = _strays(world)
    return Decision(memory, reason, (*_writes(events), *strays, *_housekeeping(world.records)), report)


def _writes(events: list[dict[str, Any]]) -> list[Action]:
    return [WriteEvents(tuple(events))] if events else []


def _strays(world: World) -> list[Action]:
    """Set damaged launch records and requests aside, because the agents that own them cannot read even their names."""
    mine = [one for one in world.faults if one.record.startswith(("workers/", "requests/"))]
    return [SetAside(one.record, one.what) for one in mine]


def _housekeeping(records: Records | None) -> list[Action]:
    if records is None:
        return []
    actions: list[Action] = []
    if records.long_logs:
        actions.append(RotateLogs(records.long_logs))
    if records.long_journals:
        actions.append(CompactJobs(records.long_journals))
    if records.expired:
        actions.append(RetireRecords(records.expired))
    return actions


# the report -----------------------------------------------------------------------------------------------------------


def _fallbacks(world: World) -> tuple[str, ...]:
    """Return the jobs that must have a GPU and run on a CPU lane. No agent starts a job so; this checks it."""
    if world.order is None or world.order.engine != "gpu":
        return ()
    jobs = [one.launch.job for one in world.workers if not one.launch.gpu]
    return tuple(job.job_id for job in jobs if job.phase in SCREENS)


def _report(world: World, memory: Memory, limits: SwarmSettings) -> WatchdogReport:
    """Return the report without the fields that depend on the findings."""
    sample = world.sample
    gpus = None if sample is None else sample.gpus
    growth = _bytes_per_day(memory.disk)
    return WatchdogReport(
        boot_id=world.boot_id,
        cores=None if sample is None else sample.cores,
        throttled_pct=_throttled_pct(memory),
        cpu_pressure_pct=None if sample is None else sample.cpu_pressure_pct,
        gpu_pct=max((gpu.utilisation_pct for gpu in gpus or () if gpu.utilisation_pct is not None), default=None),
        gpus=gpus,
        gpu_reason="nobody looked" if sample is None else sample.gpu_reason,
        gpu_plan="cpu_only" if not gpus else "cpu_and_gpu",
        gpu_fallbacks=_fallbacks(world),
        memory_used_bytes=None if sample is None else sample.memory_used_bytes,
        memory_total_bytes=None if sample is None else sample.memory_total_bytes,
        oom_kills=None if sample is None else sample.oom_kills,
        pids_used=None if sample is None else sample.pids_used,
        pids_limit=None if sample is None else sample.pids_limit,
        nproc_limit=None if sample is None else sample.nproc_limit,
        nofile_limit=None if sample is None else sample.nofile_limit,
        disk_free_bytes=world.disk_free_bytes,
        disk_free_files=world.disk_free_files,
        disk_bytes_per_day=None if growth is None else round(growth),
        disk_full_in_days=_full_in_days(world.disk_free_bytes, growth, limits),
        workers=len(world.workers),
        queue=sum(state.may_start(world.now_s) for state in world.jobs),
        sessions=None if world.sessions is None else tuple(sorted(s.name for s in world.sessions if s.alive)),
        targets=Targets(limits.use.cpu_target_pct, limits.use.gpu_target_pct),
        records_looked_s=memory.looked_s,
        counted_s=memory.counted_s,
    )


def _with_readings(world: World, memory: Memory, limits: SwarmSettings) -> Memory:
    """Return the memory with this cycle's readings; those of another boot are dropped, because the clock began anew."""
    if memory.boot_id != world.boot_id:
        memory = replace(memory, boot_id=world.boot_id, readings=(), disk=(), uuids=(), oom_kills=None, looked_s=None)
    readings = _cpu_readings(world, memory, limits.use.window_s)
    return replace(memory, disk=_disk_readings(world, memory), readings=readings)


def _disk_readings(world: World, memory: Memory) -> tuple[DiskReading, ...]:
    free, readings = world.disk_free_bytes, memory.disk
    is_due = not readings or world.now_s - readings[-1].at_s >= _DISK_EVERY_S
    if free is None or not is_due:
        return readings
    return (*readings, DiskReading(world.now_s, free))[-_DISK_READINGS:]


def _cpu_readings(world: World, memory: Memory, window_s: float) -> tuple[Reading, ...]:
    sample = world.sample
    if sample is None or sample.cpu_used_s is None:
        return memory.readings
    old = [one for one in memory.readings if one.at_s < world.now_s]
    if len(old) > 1 and old[-1].at_s - old[-2].at_s < window_s / _CPU_READINGS:
        old.pop()  # a long window does not need the reading of every cycle
    # The newest reading older than the window stays, because use is measured from there.
    start = max((i for i, one in enumerate(old) if one.at_s <= world.now_s - window_s), default=0)
    new = Reading(world.now_s, sample.cpu_used_s, sample.periods, sample.throttled_periods)
    return (*old[start:], new)


def _cpu_pct(memory: Memory, sample: Sample | None) -> float | None:
    if sample is None or len(memory.readings) < 2:
        return None
    first, last = memory.readings[0], memory.readings[-1]
    used = (last.cpu_used_s - first.cpu_used_s) / (last.at_s - first.at_s) / sample.cores
    return round(100 * min(max(used, 0.0), 1.0), 1)


def _throttled_pct(memory: Memory) -> float | None:
    """Return the percentage of the quota's periods that were cut short, over the CPU's window; None: unknown."""
    known = [one for one in memory.readings if one.periods is not None and one.throttled_periods is not None]
    if len(known) < 2:
        return None
    periods = (known[-1].periods or 0) - (known[0].periods or 0)
    throttled = (known[-1].throttled_periods or 0) - (known[0].throttled_periods or 0)
    return round(100 * throttled / periods, 1) if periods > 0 else None


def _bytes_per_day(readings: tuple[DiskReading, ...]) -> float | None:
    """Return the bytes a day by which the disk fills, as the median over pairs of readings; None in the first hour.

    The readings of a pair lie half of all readings apart, so that a single large write does not decide the result.
    """
    if not readings or readings[-1].at_s - readings[0].at_s < _DISK_ENOUGH_S:
        return None
    # Pairs far apart are compared, because the free space jumps with each result that is written or removed.
    half = len(readings) // 2
    pairs = zip(readings, readings[half:], strict=False)
    speeds = sorted((a.free_bytes - b.free_bytes) / (b.at_s - a.at_s) for a, b in pairs if b.at_s > a.at_s)
    return 86_400 * speeds[len(speeds) // 2]


def _full_in_days(free: int | None, per_day: float | None, limits: SwarmSettings) -> float | None:
    """Return the days until the disk is too full to start a worker; None when it does not fill, or when unknown."""
    if free is None or per_day is None or per_day <= 0:
        return None
    return round(max(0.0, free - limits.records.min_free_mb * 1_000_000) / per_day, 1)


# clocks ---------------------------------------------------------------------------------------------------------------


def _counted_s(world: World, memory: Memory) -> float | None:
    """Return the wall time by which the age of records is judged; None before records were listed."""
    now, then = clocks.of(world), memory.clocks
    oldest_s = None if world.records is None else world.records.oldest_s
    passed_s = 0.0
    if then is not None:
        slept_s = (now.suspended_s or 0.0) - (then.suspended_s or 0.0) if then.suspended_s is not None else 0.0
        moved = (now.wall_s - then.wall_s, now.monotonic_s - then.monotonic_s, slept_s)
        passed_s = aging.passed_s(*moved, is_same_boot=memory.boot_id == world.boot_id)
    return aging.counted_s(memory.counted_s, passed_s, oldest_s, now.wall_s)


def _is_starved(world: World, limits: SwarmSettings) -> bool:
    """Whether all living agents and workers are late at once: then the machine is starved, and none of them failed."""
    others = [one for one in world.agents if one.agent != "watchdog" and one.loop_life == "running"]
    others = [one for one in others if not one.is_young(limits) and one.age_s is not None]
    # Workers count, too: when agents are late and workers advance, the machine is not starved.
    late = [one for one in others if (one.age_s or 0.0) > patience_s(one.cadence_s, limits)]
    running = [one for one in world.workers if one.life == "running"]
    silent = all(one.silent_s > limits.hang.after_s for one in running)
    return len(late) >= _STARVING and len(late) == len(others) and silent


# what is not as it should be ------------------------------------------------------------------------------------------


def _findings(world: World, memory: Memory, starved: bool, limits: SwarmSettings) -> list[Finding]:
    sample, found = world.sample, []
    if starved:
        what = "every agent and every worker is late at once: the machine is starved of CPU"
        found.append(Finding("host_starved", what, "nothing is ended; look for what else runs here"))
    days = _full_in_days(world.disk_free_bytes, _bytes_per_day(memory.disk), limits)
    if days is not None and days < _FULL_SOON_DAYS:
        found.append(Finding("disk_full_soon", f"the disk is full in {days:g} days", "make room under RESULTS_ROOT"))
    stuck = sorted({one.code_problem for one in world.agents if one.code_problem})
    if stuck:
        found.append(
            Finding("code_not_loadable", stuck[0], "the agents go on with the code they have; fix the checkout")
        )
    return found if sample is None else [*found, *_sample_findings(sample, memory)]


def _sample_findings(sample: Sample, memory: Memory) -> list[Finding]:
    found = []
    if sample.state_problem:
        found.append(Finding("state_root", sample.state_problem, "make it writable for you alone"))
    if sample.settings_problem:
        remedy = "type: bash scripts/ensure_swarm_watchdogs.sh, compare what it sets aside, then remove that file"
        found.append(Finding("settings_damaged", sample.settings_problem, remedy))
    if sample.gpus is None and not sample.gpu_reason.endswith("asked yet"):
        remedy = "no GPU job is started until it answers; look with: nvidia-smi"
        found.append(Finding("gpu_unknown", f"the GPUs are unknown: {sample.gpu_reason}", remedy))
    gone = _gone(sample, memory)
    if gone:
        remedy = "its jobs go on elsewhere; look with: nvidia-smi, dmesg"
        found.append(Finding("gpu_gone", f"{', '.join(gone)} was there before and is gone now", remedy))
    broken = [str(gpu.uuid) for gpu in sample.gpus or () if gpu.uncorrected_errors]
    if broken:
        what = f"uncorrected memory errors on {', '.join(broken)}"
        found.append(Finding("gpu_errors", what, "its results cannot be trusted; reset or replace it"))
    if sample.pids_used is not None and sample.pids_limit and sample.pids_used > _SCARCE * sample.pids_limit:
        what = f"{sample.pids_used} of {sample.pids_limit} processes are taken"
        found.append(Finding("pids_scarce", what, "raise the container's pids limit"))
    return found


def _gone(sample: Sample, memory: Memory) -> list[str]:
    if sample.gpus is None:  # unknown is not gone
        return []
    there = {gpu.uuid for gpu in sample.gpus}
    return [uuid for uuid in memory.uuids if uuid not in there]


def _said(memory: Memory, found: list[Finding]) -> tuple[Memory, list[dict[str, Any]]]:
    """Return the events for findings that are new or over: each is logged once when it comes and once when it goes."""
    now = {one.id: one.what for one in found}
    events = [
        {"event": "found", "id": one.id, "what": one.what, "remedy": one.remedy}
        for one in found
        if one.id not in memory.said
    ]
    events += [{"event": "over", "id": key, "what": what} for key, what in memory.said.items() if key not in now]
    return replace(memory, said=now), events


def _machine_events(world: World, memory: Memory) -> tuple[Memory, list[dict[str, Any]]]:
    sample, events = world.sample, list[dict[str, Any]]()
    if sample is None:
        return memory, events
    if sample.gpus == () and not memory.no_gpu_said:
        events.append({"event": "skip_gpu_actions_no_gpu_detected"})
    # An environment that cannot be compared yet, because nothing is known of it, has not drifted.
    known = memory.environment
    drifted = sorted(key for key, value in sample.environment.items() if known.get(key, value) != value)
    if drifted:
        words = {key: {"was": known[key], "is": sample.environment[key]} for key in drifted}
        events.append({"event": "environment_drift", "changed": words})
    struck = None if sample.oom_kills is None or memory.oom_kills is None else sample.oom_kills - memory.oom_kills
    if struck is not None and struck > 0:
        events.append({"event": "out_of_memory", "kills": struck})
    uuids = [gpu.uuid for gpu in sample.gpus or () if gpu.uuid]
    memory = replace(
        memory,
        no_gpu_said=memory.no_gpu_said or sample.gpus == (),
        environment=sample.environment or known,
        oom_kills=memory.oom_kills if sample.oom_kills is None else sample.oom_kills,
        uuids=tuple(dict.fromkeys([*memory.uuids, *uuids])),
    )
    return memory, events


def _deaths(world: World, memory: Memory) -> tuple[Memory, list[dict[str, Any]]]:
    """Return the events for deaths after the last one in the log.

    When that death is no longer in the journal, because it was compacted, all deaths still there count as new.
    """
    # The job journal may be compacted between two cycles, so the last death is remembered by its contents.
    marks = [_mark(world, death) for death in world.last_deaths]
    seen = max((n for n, mark in enumerate(marks) if mark == memory.last_death), default=-1)
    events = [{**death, "run_id": world.run_id} for death in world.last_deaths[seen + 1 :]]
    return (replace(memory, last_death=marks[-1]) if marks else memory), events


def _healings(world: World, memory: Memory) -> tuple[Memory, list[dict[str, Any]]]:
    """Return the new records of healing.jsonl as events: what was found dead or gone, and what brought it back."""
    events = [dict(one) for one in healing.after(world.healings, memory.healing_mark)]
    return (replace(memory, healing_mark=str(events[-1]["mark"])) if events else memory), events


def _mark(world: World, death: Mapping[str, Any]) -> str:
    words = (world.run_id, world.round, death.get("at"), death.get("event"), death.get("job_id"))
    return " ".join(str(word) for word in words)


OWNS = (WriteEvents, SetAside, RotateLogs, CompactJobs, RetireRecords)
AGENT = Agent(Memory, decide, OWNS, frozenset({"sample", "sessions", "records", "write_events", "healings", "faults"}))
