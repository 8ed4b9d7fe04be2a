"""How fast a prescreen is, as its own worker reports it: what others need to tell a slow one from a large one."""

from config.record import dataclass


@dataclass(frozen=True)
class Screening:
    """Work is counted in bar-combos: bars times combos.

    `kind`: device, engine, signal family and space; speeds are compared only within one. `threads` compute together
    (1 on a GPU). Computing began at `began_at_s` (monotonic, within the boot of its heartbeat), with `began_done`
    combos done by earlier workers of the job; its first batch was complete after `first_s`, with `first_done` done.
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
    """Bar-combos a second and thread, of `done` combos in all after so many seconds; None before the first."""
    gained = done - screening.began_done
    if gained <= 0 or seconds <= 0:
        return None
    return gained * screening.bars / seconds / screening.threads
