"""A clock for the age of records, which a jump of the wall clock does not move."""

_TWICE = 2.0
_DAY_S = 86_400.0


def passed_s(wall_s: float, monotonic_s: float, slept_s: float, is_same_boot: bool) -> float:
    """Return the most seconds that may count as passed between two looks.

    `wall_s`, `monotonic_s` and `slept_s` say by how much each clock moved. Nobody can set the last two, so they count,
    and they count twice, so that a count that is behind the wall clock catches up. Between two boots they say nothing:
    then the wall clock counts, but for one day at most.
    """
    return max(0.0, _TWICE * (monotonic_s + slept_s)) if is_same_boot else min(max(0.0, wall_s), _DAY_S)


def counted_s(before: float | None, passed: float, oldest_s: float | None, wall_s: float) -> float | None:
    """Return the wall time by which the age of records is judged; None before anything was looked at.

    `before` is what the last look returned, `passed` seconds ago. The result is never later than the wall clock. When
    the wall clock jumps ahead, the result follows slowly, so that no record is removed before at least half of the time
    that it should be kept has really passed. `oldest_s` is when the oldest record last changed: time before that makes
    no record old, so it need not be counted.
    """
    known = [one for one in (None if before is None else before + passed, oldest_s) if one is not None]
    return min(wall_s, max(known)) if known else None
