"""By which time records grow old: a count of time that no jump of the clock moves."""

_TWICE = 2.0
_DAY_S = 86_400.0


def passed_s(wall_s: float, monotonic_s: float, slept_s: float, is_same_boot: bool) -> float:
    """The most that may count as passed between two looks, seconds.

    `wall_s`, `monotonic_s`, `slept_s`: by how much each clock moved. Twice what the clocks that nobody sets say, so
    that what is behind catches up; they say nothing of the time between two boots, which is a day at most, then.
    """
    return max(0.0, _TWICE * (monotonic_s + slept_s)) if is_same_boot else min(max(0.0, wall_s), _DAY_S)


def counted_s(before: float | None, passed: float, oldest_s: float | None, wall_s: float) -> float | None:
    """The wall time by which records are old; None before anything was looked at.

    `before`: the same at the look before, `passed` seconds ago. It never passes the clock. Where the clock leaps ahead
    it follows slowly, so that nothing goes before half of the time has really passed that it is kept. `oldest_s`: when
    the oldest record changed; time before that makes nothing old, so it need not be counted.
    """
    known = [one for one in (None if before is None else before + passed, oldest_s) if one is not None]
    return min(wall_s, max(known)) if known else None
