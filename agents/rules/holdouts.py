"""Which units (symbol and mode) further rounds leave out, because another look at their holdout can promote nothing."""

from typing import Any

from agents.model.world import World
from state.records import holdout
from state.records.orders import SwarmOrder

Records = dict[str, dict[str, Any]]


def known(world: World) -> Records:
    """Return for each unit its holdout as the last round left it; what this round reports replaces what was known.

    A unit that is not validated yet in this round keeps the holdout that the previous round left.
    """
    now = {
        " ".join(state.job.unit): holdout.sound(left)
        for state in world.jobs
        if state.job.phase == "validate" and (left := state.metrics.get("holdout")) is not None
    }
    return {**world.holdouts, **now}


def used_up(world: World) -> dict[str, str]:
    """Return for each unit whose holdout is used up the reason, in words."""
    said = {unit: holdout.words(record) for unit, record in known(world).items()}
    return {unit: why for unit, why in said.items() if why}


def left_out(world: World, order: SwarmOrder) -> dict[str, str]:
    """Return for each unit that further rounds leave out the reason.

    It is empty when the order asks for a number of rounds, because these are done in any case.
    """
    return used_up(world) if order.rounds == 0 and order.stop_when_holdout_spent else {}
