"""Set how many lanes there are, so that cores and GPUs are used and workers do not crowd each other out.

The controller is calm. It measures use over a window. Inside the dead band around the target it changes nothing. A
worker that is still starting counts as one that works (credit). The number of lanes changes by one, at most once in a
window, and never exceeds what the cores and the memory of this container allow (cap). After a worker ran out of memory,
the cap is lower for an hour.
"""

from agents.model.decision import Agent, Decision
from agents.model.world import Worker, World
from config.record import dataclass, replace
from config.swarm import SwarmSettings
from state.records.report_parts import Gpu, Targets
from state.records.reports import ControllerReport

_OOM_MEMORY_S = 3_600.0  # seconds without running out of memory, after which one more lane is tried
_MEMORY_FULL = 0.92  # share of the container's memory in use, from which on a lane is given up
_THROTTLED_PCT = 20.0  # percent of the CPU quota's periods that were cut short: more workers would only wait


@dataclass(frozen=True)
class Memory:
    """The target, when it last changed (monotonic, of the boot `boot_id`), and the cap after running out of memory."""

    boot_id: str = ""
    lanes: int = 0
    changed_at_s: float | None = None
    oom_cap: int | None = None
    oom_at_s: float = 0.0
    ooms: int = 0


@dataclass(frozen=True)
class Wish:
    """The number of lanes that would be better, and why."""

    lanes: int
    reason: str


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Report the target number of lanes, which worker_sentry follows."""
    memory = _begun(world, memory)
    memory = _learned(world, memory, limits)
    wish = _wish(world, memory, limits)
    held = _held(world, memory, wish, limits)
    if wish.lanes != memory.lanes and not held:
        memory = replace(memory, lanes=wish.lanes, changed_at_s=world.now_s)
    reason = held or wish.reason
    return Decision(memory, reason, report=_report(world, memory, reason, limits))


def _report(world: World, memory: Memory, reason: str, limits: SwarmSettings) -> ControllerReport:
    gpus = world.control.gpus
    return ControllerReport(
        lanes=memory.lanes,
        cap=_cap(world, memory),
        queue=sum(state.may_start(world.now_s) for state in world.jobs),
        fill_lanes=_fill_lanes(world, memory),
        gpu_lanes=len(gpus or ()),
        gpu_reason=_gpu_reason(gpus),
        reason=reason,
        cpu_pct=world.control.cpu_pct,
        credit_pct=round(_credit_pct(world, limits), 1),
        targets=Targets(limits.use.cpu_target_pct, limits.use.gpu_target_pct),
    )


def _begun(world: World, memory: Memory) -> Memory:
    """Return the memory with a usable target: without one of this boot, the number of lanes that are there now."""
    # A target of another boot, or one that is no longer possible here, is not a place to start from.
    if memory.boot_id == world.boot_id and 1 <= memory.lanes <= max(world.lane_cap, len(world.lanes)) + 1:
        return memory
    return replace(memory, boot_id=world.boot_id, lanes=max(1, len(world.lanes)), changed_at_s=None, oom_at_s=0.0)


def _learned(world: World, memory: Memory, limits: SwarmSettings) -> Memory:
    """Return the memory with a lower cap after a worker ran out of memory, and a higher one an hour later."""
    # Counted from the jobs, so that a controller that was away learns of every worker that ran out of memory.
    ooms = sum(state.ooms for state in (*world.jobs, *world.fills))
    if ooms > memory.ooms:
        cap = max(1, min(memory.lanes, memory.oom_cap or memory.lanes) - 1)
        return replace(memory, ooms=ooms, oom_cap=cap, oom_at_s=world.now_s)
    memory = replace(memory, ooms=ooms)
    if memory.oom_cap is not None and world.now_s - memory.oom_at_s > _OOM_MEMORY_S:
        cap = memory.oom_cap + 1
        return replace(memory, oom_cap=None if cap >= world.lane_cap else cap, oom_at_s=world.now_s)
    return memory


def _cap(world: World, memory: Memory) -> int:
    return max(1, world.lane_cap if memory.oom_cap is None else min(world.lane_cap, memory.oom_cap))


def _wish(world: World, memory: Memory, limits: SwarmSettings) -> Wish:
    """Return one lane less when there are too many, one more when nothing speaks against it, else the same number."""
    cap = _cap(world, memory)
    if memory.lanes > cap:
        why = "memory ran out" if memory.oom_cap is not None else "cores and memory allow no more"
        return Wish(memory.lanes - 1, f"one lane less: {why} (cap {cap})")
    if (pressure := _pressure(world)) and memory.lanes > 1:
        return Wish(memory.lanes - 1, f"one lane less: {pressure}")
    if why := _why_no_more(world, memory, limits):
        return Wish(memory.lanes, why)
    cpu, target = world.control.cpu_pct, limits.use.cpu_target_pct
    return Wish(memory.lanes + 1, f"one lane more: CPU at {cpu:.0f} % of {target:.0f} % with a queue")


def _why_no_more(world: World, memory: Memory, limits: SwarmSettings) -> str:
    """Return why no lane is added; "" when one more would help. The reasons are ordered: the first counts."""
    cpu, cap = world.control.cpu_pct, _cap(world, memory)
    lowest = limits.use.cpu_target_pct - limits.use.dead_band_pct
    reasons = (
        (cpu is None, "CPU use is unknown"),
        (not _queue(world), "there is no queue"),
        (cpu is not None and cpu + _credit_pct(world, limits) >= lowest, f"CPU at {cpu} %, within or above its target"),
        (
            sum(not one.launch.gpu for one in world.workers) < memory.lanes,
            f"CPU at {cpu} %, although lanes are free",
        ),
        (memory.lanes >= cap, f"CPU at {cpu} %, and no more lanes than {cap} are possible"),
    )
    return next((why for is_so, why in reasons if is_so), "")


def _pressure(world: World) -> str:
    """Return why there are too many workers; "" when there are not."""
    used, total = world.control.memory_used_bytes, world.control.memory_total_bytes
    if used and total and used > _MEMORY_FULL * total:
        return f"{100 * used / total:.0f} % of the memory is in use"
    slow, cores = world.reports.worker_sentry.slow_prescreens, world.control.cores or 0
    crowded = sum(one.cause == "oversubscribed" for one in slow.values())
    if crowded and len(world.lanes) > cores:
        return f"{crowded} prescreen{'' if crowded == 1 else 's'} slowed down by more lanes than cores"
    throttled = world.control.throttled_pct
    if throttled is not None and throttled > _THROTTLED_PCT and len(world.lanes) > cores:
        return f"the container is held back in {throttled:.0f} % of its periods"
    return ""


def _held(world: World, memory: Memory, wish: Wish, limits: SwarmSettings) -> str:
    """Return why a change must wait; "" when it may be made. Only one change is made in a window."""
    if wish.lanes == memory.lanes or memory.changed_at_s is None or memory.changed_at_s > world.now_s:
        return ""
    # Within a window of the last change the measurement still contains the time before it.
    left_s = limits.use.window_s - (world.now_s - memory.changed_at_s)
    return "" if left_s <= 0 else f"waits {left_s:.0f} s more since the last change; then: {wish.reason}"


def _credit_pct(world: World, limits: SwarmSettings) -> float:
    """Return the use, in percent of all cores, that starting workers will add and the window has not seen yet."""
    cores = world.control.cores or len(world.lanes)
    return sum(100 * worker.launch.cores / cores for worker in world.workers if _is_young(worker, limits))


def _is_young(worker: Worker, limits: SwarmSettings) -> bool:
    return worker.life == "running" and worker.age_s < limits.use.start_credit_s


def _queue(world: World) -> bool:
    if world.stopped or world.run_finished or world.order is None:
        return False
    return any(state.may_start(world.now_s) for state in (*world.jobs, *world.fills))


def _fill_lanes(world: World, memory: Memory) -> int:
    """Return how many lanes may be filled with work that nothing waits for: none while anything is short."""
    if world.stopped or world.run_finished or world.order is None or world.control.host_starved:
        return 0
    return 0 if _pressure(world) else memory.lanes


def _gpu_reason(gpus: tuple[Gpu, ...] | None) -> str:
    if gpus is None:
        return "the driver gives no answer: nothing is started on a GPU"
    return "" if gpus else "skip_gpu_actions_no_gpu_detected"


OWNS = ()
AGENT = Agent(Memory, decide, OWNS)
