"""Which records are damaged or lost, and what an incident says about each of them."""

from agents.model.world import World

# the incident's id, what is wrong, the remedy, and whether the swarm carries it out by itself
Row = tuple[str, str, str, bool]


def records(world: World) -> list[Row]:
    """Return a row for each damaged state file of an agent, then for each other record that is damaged or lost.

    Only the first damaged value of an agent's file is named: the agent writes the whole file anew.
    """
    own = [
        (f"record_damaged:{file}", f"{file} is damaged: {what}", f"{view.agent} keeps it beside a new one", True)
        for view in world.agents
        for file, _, what in (one.partition(": ") for one in view.damaged[:1])
    ]
    return own + [
        (f"record_{one.state}:{one.record}", f"{one.record} is {one.what}", one.remedy, one.by_itself)
        for one in world.faults
    ]
