"""Check whether an action had its expected outcome, by the world that the next cycle sees."""

from agents.model.action import Action, Held
from agents.model.world import World
from state.records.agent_states import Deed


def holds(deed: Deed, owns: tuple[type[Action], ...], world: World) -> Held:
    """Return whether the expected outcome of a recorded action came true. `owns`: the kinds that its agent knows.

    None means unknown: the action failed when it was carried out, its effect cannot be seen in a world, or it is of a
    kind that only another version knows.
    """
    if deed.has_failed:
        return None
    kind = next((one for one in owns if one.kind == deed.kind), None)
    return None if kind is None else kind.came_true(deed.target, world, deed.at)
