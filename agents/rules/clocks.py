"""Compare the clocks of two looks: did the machine boot or sleep, was the watchdog away, was the clock set?"""

from datetime import datetime
from typing import Any

from agents.model.world import World
from config.record import dataclass

_JUMP_S = 5.0  # seconds by which wall time must move against the other clocks; NTP's small steps stay below


@dataclass(frozen=True)
class Clocks:
    """The readings of the clocks at one look, in seconds."""

    monotonic_s: float
    wall_s: float
    suspended_s: float | None


def of(world: World) -> Clocks:
    """Return the readings of this look. `suspended_s` is None when the time in suspend is unknown."""
    suspended_s = None if world.sample is None else world.sample.suspended_s
    return Clocks(world.now_s, datetime.fromisoformat(world.now).timestamp(), suspended_s)


def events(world: World, boot_id: str, then: Clocks | None, patience_s: float) -> tuple[bool, list[dict[str, Any]]]:
    """Return whether the ages that this cycle sees mean little, and the events that say why.

    `boot_id` and `then` are those of the last look; without them, nothing is compared. When more than `patience_s`
    passed between the looks, the watchdog itself was away.
    """
    if not boot_id or then is None:
        return False, []
    if boot_id != world.boot_id:
        return True, [{"event": "booted", "boot_id": world.boot_id}]
    now = of(world)
    slept_s = (now.suspended_s or 0.0) - (then.suspended_s or 0.0) if then.suspended_s is not None else 0.0
    passed_s = now.monotonic_s - then.monotonic_s
    # Wall time moves with monotonic time and suspend; what is left was set by somebody.
    jump_s = (now.wall_s - then.wall_s) - passed_s - slept_s
    found: list[dict[str, Any]] = []
    if slept_s > _JUMP_S:
        found.append({"event": "suspended", "for_s": round(slept_s, 1)})
    if passed_s > patience_s:
        found.append({"event": "watchdog_was_away", "for_s": round(passed_s, 1)})
    if abs(jump_s) > _JUMP_S:
        found.append({"event": "clock_jumped", "by_s": round(jump_s, 1)})
    return bool(found), found
