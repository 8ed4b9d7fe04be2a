"""Which symbols and modes further rounds leave out: another look at their holdout can promote nothing."""

from typing import Any

from agents.model.world import World
from state.records import holdout
from state.records.orders import SwarmOrder

Records = dict[str, dict[str, Any]]


def known(world: World) -> Records:
    """Unit → its holdout as its last round left it: what this round found out replaces what was known before.

    A unit that has not been validated yet in this round keeps the holdout that the round before left.
    """
    now = {
        " ".join(state.job.unit): holdout.sound(left)
        for state in world.jobs
        if state.job.phase == "validate" and (left := state.metrics.get("holdout")) is not None
    }
    return {**world.holdouts, **now}


def used_up(world: World) -> dict[str, str]:
    """Unit → why its holdout is used up, in words."""
    said = {unit: holdout.words(record) for unit, record in known(world).items()}
    return {unit: why for unit, why in said.items() if why}


def left_out(world: World, order: SwarmOrder) -> dict[str, str]:
    """Unit → why further rounds leave it out. A number of rounds that was ordered is done in any case."""
    return used_up(world) if order.rounds == 0 and order.stop_when_holdout_spent else {}
