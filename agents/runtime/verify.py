"""Did what was done have the effect it was expected to have? Asked of the next cycle's world, never of the deed."""

from agents.model.action import Action, Held
from agents.model.world import World
from state.records.agent_states import Deed


def holds(deed: Deed, owns: tuple[type[Action], ...], world: World) -> Held:
    """Whether the expectation of one recorded action came true; `owns`: the kinds of actions its agent knows.

    One that failed when it was carried out, and one whose effect can only be read in a file, is None: its outcome says
    all there is to say. So is one of a kind that another version's agent did and we know nothing of.
    """
    if deed.has_failed:
        return None
    kind = next((one for one in owns if one.kind == deed.kind), None)
    return None if kind is None else kind.came_true(deed.target, world, deed.at)
