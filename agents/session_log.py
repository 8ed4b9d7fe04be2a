"""One line a cycle for whoever reads the story of a run afterwards, and the latest of them whole."""

from dataclasses import dataclass

from agents.runtime.decision import Action, Agent, Decision
from agents.runtime.world import World
from config.settings import SwarmSettings
from state.jobs import STATUSES


@dataclass(frozen=True)
class Memory:
    """Nothing to remember."""


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """The line of this cycle; none while there is no run."""
    if world.order is None:
        return Decision(memory, "there is no run")
    line = {
        "at": world.now,
        "run_id": world.run_id,
        "round": world.round,
        "stopped": world.stopped,
        "finished": world.run_finished,
        "jobs": {s: n for s in STATUSES if (n := sum(job.status == s for job in world.jobs))},
        "workers": [
            {"job": w.launch.job.job_id, "done": w.done, "total": w.total, "silent_s": round(w.silent_s, 1)}
            for w in world.workers
        ],
        "cpu_pct": world.control.get("cpu_pct"),
    }
    if world.run_finished or world.stopped:
        return Decision(memory, "nothing moves", report=line)
    write = Action("write_line", world.run_id, "the line is on file", {"line": line})
    return Decision(memory, "writes its line", (write,), line)


OWNS = ("write_line",)
AGENT = Agent(Memory, decide, OWNS)
