"""Which agents are missing, and which agent brings each of them back when others are missing, too."""

from collections.abc import Iterable

from agents.model.world import AgentView, World
from config.swarm import SwarmSettings

GUARD, MANAGER = "operation_hang_guard", "session_state_manager"
GUARDS = (GUARD, MANAGER)  # the hang guard respawns every session, the state manager the hang guard's
_BY_HAND = "bash scripts/ensure_swarm_watchdogs.sh"


def all_dead(world: World, limits: SwarmSettings) -> bool:
    """Whether no loop lives and no session is so young that its loop may still come up."""
    dead = (view.loop_life != "running" and not view.is_young(limits) for view in world.agents)
    return bool(world.agents) and all(dead)


def who_heals_all(world: World, limits: SwarmSettings) -> tuple[str, bool]:
    """Return what brings the swarm back when no agent is left, and whether this happens without the operator."""
    if world.keeper is not None and world.keeper.alive:
        every = "minute" if world.keeper.method == "cron" else f"{limits.agents.keeper_s:g} s"
        return f"the keeper, which looks every {every}, brings them back; to do it at once, type: {_BY_HAND}", True
    return f"type: {_BY_HAND}", False


def missing(world: World, limits: SwarmSettings, me: str = "") -> Iterable[tuple[AgentView, str]]:
    """Yield every missing agent with a sentence on what brings it back. `me` is the agent that looks, so it lives."""
    wanting = {view.agent: view for view in world.agents if view.agent != me and view.is_wanting(limits)}
    for name, view in wanting.items():
        yield view, _who_heals(name, view.session, wanting.keys(), world)


def _who_heals(name: str, session: str, wanting: Iterable[str], world: World) -> str:
    # The order is that of healing: the hang guard, else the state manager, else the rescue that any loop runs.
    wanting = set(wanting)
    if name != GUARD and GUARD not in wanting:
        return f"{GUARD} respawns {session}"
    if MANAGER not in wanting:
        return f"{MANAGER} respawns {session if name == GUARD else f'the hang guard, and that {session}'}"
    left = next((view.agent for view in world.agents if view.agent not in wanting), "")
    others = f"the loop of {left}, or of any other agent that lives," if left else "whichever loop lives"
    return f"{others} brings all sessions back after its next cycle"
