"""One line a cycle for whoever reads the story of a run afterwards, and the latest of them whole."""

from typing import Any

from agents.actions.records import WriteLine
from agents.model.decision import Agent, Decision
from agents.model.world import World
from config.record import dataclass
from config.swarm import SwarmSettings
from state.records.jobs import STATUSES

SCHEMA = 1
_SCORES = (
    *(("orchestration_consensus", name) for name in ("deviation", "performance", "efficiency")),
    *(("process_auditor", name) for name in ("adherence", "efficacy")),
)


@dataclass(frozen=True)
class Memory:
    """Of which run the last line said that things move: its end is worth one more line."""

    moving: str = ""


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """The line of this cycle; none while there is no run, one more when it has come to rest."""
    if world.order is None:
        return Decision(Memory(), "there is no run")
    line = _line(world, limits)
    rests = world.run_finished or world.stopped
    if rests and memory.moving != world.run_id:
        return Decision(memory, "nothing moves", report=line)
    write = WriteLine(world.run_id, line)
    reason = "writes its last line" if rests else "writes its line"
    return Decision(Memory("" if rests else world.run_id), reason, (write,), line)


def _line(world: World, limits: SwarmSettings) -> dict[str, Any]:
    """Everything in one line; what nobody has said is null."""
    continuity = world.reports.get("session_state_manager", {})
    steps = continuity.get("next_steps") or []
    return {
        "schema": SCHEMA,
        "at": world.now,
        "at_s": world.now_s,
        "boot_id": world.boot_id,
        "run_id": world.run_id,
        "round": world.round,
        "stage": continuity.get("stage"),
        "stopped": world.stopped,
        "finished": world.run_finished,
        "jobs": {s: n for s in STATUSES if (n := sum(job.status == s for job in world.jobs))},
        "workers": [
            {
                "job": w.launch.job.job_id,
                "life": w.life,
                "done": w.done,
                "total": w.total,
                "rate_per_s": w.rate_per_s,
                "silent_s": round(w.silent_s, 1),
            }
            for w in world.workers
        ],
        "stale_agents": [view.agent for view in world.agents if view.is_stale(limits)],
        "incidents": [one.get("id") for one in continuity.get("incidents") or ()],
        "next_step": steps[0].get("id") if steps else None,
        "deaths": len(world.last_deaths),
        "cpu_pct": world.control.get("cpu_pct"),
        "gpu_pct": world.control.get("gpu_pct"),
        "disk_free_bytes": world.disk_free_bytes,
        "scores": {name: world.reports.get(agent, {}).get(name) for agent, name in _SCORES},
    }


OWNS = (WriteLine,)
AGENT = Agent(Memory, decide, OWNS, frozenset({"write_line"}), routine=frozenset({WriteLine}))
