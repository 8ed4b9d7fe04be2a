"""Start all sessions again when the two agents that do so are both silent. Any loop that lives can run this.

operation_hang_guard respawns all sessions, session_state_manager respawns the guard. If both were dead or hung,
everything that died after them would stay dead. The rescue has no session and no cadence of its own: each loop checks
both after its own cycle, and runs a cycle of the rescue when neither shows a sign of life.
"""

from agents.actions.sessions import RescueSessions
from agents.model.decision import Agent, Decision
from agents.model.world import AgentView, World
from agents.rules.absent import GUARDS
from agents.rules.blame import backoff_s
from config.record import dataclass, replace
from config.swarm import SwarmSettings

# seconds, times the cadence scale, between two looks at a guard that lives and is silent: the hang guard's cadence
_APART_S = 20.0


@dataclass(frozen=True)
class Memory:
    """How many rescues in a row had no effect, when the last one was, and since when both guards are silent."""

    boot_id: str = ""
    times: int = 0
    tried_s: float | None = None
    silent_since_s: float | None = None


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Start all sessions when both guards are dead, or silent at two looks.

    The wait before the next rescue doubles as long as rescues have no effect.
    """
    memory = _of_now(world, memory, limits)
    guards = [view for view in world.agents if view.agent in GUARDS]
    if world.stopped:
        return Decision(Memory(), "the operator stopped the swarm")
    if not guards or not all(view.is_stale(limits) for view in guards):
        return Decision(
            replace(memory, silent_since_s=None), "the hang guard or the state manager cycles, or has just started"
        )
    since_s = world.now_s if memory.silent_since_s is None else memory.silent_since_s
    memory = replace(memory, silent_since_s=since_s)
    # Death is proof; silence may be a busy machine, so it counts only at a second look.
    are_dead = all(view.loop_life == "dead" for view in guards)
    if not are_dead and world.now_s - since_s < _APART_S * limits.agents.cadence_scale:
        return Decision(memory, "the hang guard and the state manager are silent: a second look decides")
    wait_s = 0.0 if memory.tried_s is None else memory.tried_s + backoff_s(max(1, memory.times), limits) - world.now_s
    if wait_s > 0:
        return Decision(memory, f"the last rescue was recent: the next one is allowed in {wait_s:.0f} s")
    memory = replace(memory, times=memory.times + 1, tried_s=world.now_s)
    # On a starved machine every loop is silent, and ending loops would not help.
    respawn = () if world.control.host_starved else tuple(v.session for v in guards if _hangs(v))
    what = "; ".join(f"{view.agent} {view.how()}" for view in guards)
    return Decision(memory, what, (RescueSessions(respawn),))


def _hangs(view: AgentView) -> bool:
    """Whether the agent's loop must be ended before its session is started; a dead loop has left no session."""
    return view.loop_life != "dead"


def _of_now(world: World, memory: Memory, limits: SwarmSettings) -> Memory:
    """Return what still counts of the memory.

    Monotonic times of another boot are dropped, and a rescue that had its effect, or was long ago, is not counted.
    """
    if memory.boot_id != world.boot_id or memory.tried_s is None:
        return Memory(world.boot_id, silent_since_s=memory.silent_since_s if memory.boot_id == world.boot_id else None)
    tried_s = memory.tried_s
    ages = (view.age_s for view in world.agents if view.agent in GUARDS)
    has_worked = any(age_s is not None and world.now_s - age_s > tried_s for age_s in ages)
    return replace(memory, times=0) if has_worked or world.now_s - tried_s > limits.blame.healthy_after_s else memory


OWNS = (RescueSessions,)
AGENT = Agent(Memory, decide, OWNS)
