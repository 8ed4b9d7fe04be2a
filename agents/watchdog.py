"""Look at the machine once for everyone, and write down what failed."""

from dataclasses import dataclass, replace
from typing import Any

from agents.runtime.decision import Action, Agent, Decision
from agents.runtime.world import Sample, World
from config.settings import SwarmSettings

_WINDOW_S = 60.0  # over which utilisation is measured


@dataclass(frozen=True)
class Reading:
    """CPU seconds used by this container up to a moment."""

    at_s: float
    cpu_used_s: float


@dataclass(frozen=True)
class Memory:
    """Readings of the last minute, and up to which death of which round everything is written down."""

    boot_id: str = ""
    readings: tuple[Reading, ...] = ()
    round_seen: str = ""
    deaths_seen: int = 0
    no_gpu_said: bool = False


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """The report that all others read; events for deaths nobody has written down yet."""
    sample = world.sample
    memory = _with_reading(world, memory)
    cpu_pct = None if sample is None else _cpu_pct(memory, sample)
    gpus = None if sample is None else sample.gpus
    gpu_pct = (
        max((g["utilisation_pct"] for g in gpus if g["utilisation_pct"] is not None), default=None) if gpus else None
    )
    memory, events = _events(world, memory, gpus)
    report: dict[str, Any] = {
        "cores": None if sample is None else sample.cores,
        "cpu_pct": cpu_pct,
        "gpu_pct": gpu_pct,
        "gpus": None if gpus is None else list(gpus),
        "gpu_plan": "cpu_only" if not gpus else "cpu_and_gpu",
        "memory_used_bytes": None if sample is None else sample.memory_used_bytes,
        "memory_total_bytes": None if sample is None else sample.memory_total_bytes,
        "disk_free_bytes": world.disk_free_bytes,
        "workers": len(world.workers),
        "sessions": None if world.sessions is None else sorted(s.name for s in world.sessions if s.alive),
        "targets": {"cpu_pct": limits.cpu_target_pct, "gpu_pct": limits.gpu_target_pct},
    }
    action = (
        (Action("write_events", "workflow_events.log", "the events are on file", {"events": events}),) if events else ()
    )
    reason = f"CPU {'unknown' if cpu_pct is None else f'{cpu_pct:.0f} %'}, {len(world.workers)} workers"
    return Decision(memory, reason, action, report)


def _with_reading(world: World, memory: Memory) -> Memory:
    if memory.boot_id != world.boot_id:
        memory = replace(memory, boot_id=world.boot_id, readings=())
    if world.sample is None or world.sample.cpu_used_s is None:
        return memory
    old = [one for one in memory.readings if one.at_s < world.now_s]
    # The youngest that is older than the window stays: utilisation is measured from it.
    start = max((i for i, one in enumerate(old) if one.at_s <= world.now_s - _WINDOW_S), default=0)
    return replace(memory, readings=(*old[start:], Reading(world.now_s, world.sample.cpu_used_s)))


def _cpu_pct(memory: Memory, sample: Sample) -> float | None:
    if len(memory.readings) < 2:
        return None
    first, last = memory.readings[0], memory.readings[-1]
    used = (last.cpu_used_s - first.cpu_used_s) / (last.at_s - first.at_s) / sample.cores
    return round(100 * min(max(used, 0.0), 1.0), 1)


def _events(
    world: World, memory: Memory, gpus: tuple[dict[str, Any], ...] | None
) -> tuple[Memory, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    if gpus == () and not memory.no_gpu_said:
        events.append({"event": "skip_gpu_actions_no_gpu_detected"})
        memory = replace(memory, no_gpu_said=True)
    here = f"{world.run_id}/{world.round}"
    seen = memory.deaths_seen if memory.round_seen == here else 0
    events += [{**death, "run_id": world.run_id} for death in world.last_deaths[seen:]]
    return replace(memory, round_seen=here, deaths_seen=len(world.last_deaths)), events


OWNS = ("write_events",)
AGENT = Agent(Memory, decide, OWNS, frozenset({"sample", "sessions"}))
