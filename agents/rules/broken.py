"""Which records are damaged or lost, and who does what about it: what an incident says of each."""

from agents.model.world import World

Row = tuple[str, str, str, bool]  # id, what, remedy, and whether the swarm does it by itself


def records(world: World) -> list[Row]:
    """What agents keep of their own first, then what others name and nobody finds whole."""
    own = [
        (f"record_damaged:{file}", f"{file} is damaged: {what}", f"{view.agent} keeps it beside a new one", True)
        for view in world.agents
        for file, _, what in (one.partition(": ") for one in view.damaged[:1])
    ]
    return own + [
        (f"record_{one.state}:{one.record}", f"{one.record} is {one.what}", one.remedy, one.by_itself)
        for one in world.faults
    ]
