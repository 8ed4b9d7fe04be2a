"""The speed of a prescreen, as its own worker reports it, by which a slow prescreen is told from a large one."""

from config.record import dataclass


@dataclass(frozen=True)
class Screening:
    """What a worker reports about its prescreen. Work is counted in bar-combos: bars times combos.

    `kind` stands for device, engine, signal family and space; speeds are compared only within one kind. `threads`
    compute together (1 on a GPU). Computing began at `began_at_s` (monotonic, of the heartbeat's boot), when earlier
    workers of the job had done `began_done` combos. The first batch was complete after `first_s` seconds, when
    `first_done` combos were done.
    """

    kind: str
    engine: str
    family: str
    bars: int
    threads: int
    began_at_s: float
    began_done: int = 0
    first_s: float | None = None
    first_done: int = 0


def speed(screening: Screening, done: int, seconds: float) -> float | None:
    """Return the bar-combos per second and thread for `done` combos after `seconds`; None without progress."""
    gained = done - screening.began_done
    if gained <= 0 or seconds <= 0:
        return None
    return gained * screening.bars / seconds / screening.threads
