"""Find prices that leave their level from one bar to the next: splits, new units, rows of another market."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, Floats
from WORKFLOW.data.raw import RawTable, row_name, utc
from WORKFLOW.data.report import Reason, count, first_few

# A gap is the difference between a close and the next open. In 853 days, the widest gap of SOL is 0.9 %, of BTC 0.5 %.
SPLIT_GAP = 0.33  # as a log; the smallest split that is looked for is 3 for 2, a fall by a third
SPLITS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0)
TENS = tuple(10.0**power for power in range(1, 10))
NEAR = 0.03  # as a log; how far the market itself may have moved during the change
UNIT_GAP = float(np.log(5.0))  # no market opens at five times its last price
# Rows of another market leave the level and come back; both gaps are at least this wide and cancel each other.
SPLICE_GAP = 0.1
SPLICE_RANGES = 16.0  # multiples of the median high-to-low of the rows around, because wild markets have wild gaps
CANCELS = 0.25  # fraction of the gap that may remain


@dataclass(frozen=True)
class Gap:
    """A gap between the rows `before` and `after` (from 0): the price opens at e**`log` times its last close."""

    before: int
    after: int
    log: float

    @property
    def factor(self) -> float:
        """New prices divided by old prices; a named ratio, such as that of a split, if one is near."""
        named = _named_ratio(self.log)
        size = named if named is not None else float(np.exp(abs(self.log)))
        return size if self.log > 0 else 1 / size


def broken_levels(kept: RawTable, numbers: NDArray[np.int64], lone: NDArray[np.int64]) -> list[Reason]:
    """Find changes of level that no market makes by itself.

    `lone`: rows with lone prices, which another check names.
    """
    gaps = _gaps(kept, lone)
    splices, single = _paired(kept, gaps)
    changes = [gap for gap in single if abs(gap.log) >= UNIT_GAP or _is_split(gap)]
    return [*_spliced(kept, numbers, splices), *_rescaled(kept, changes)]


# helpers --------------------------------------------------------------------------------------------------------------


def _gaps(kept: RawTable, lone: NDArray[np.int64]) -> list[Gap]:
    solid = np.delete(np.arange(len(kept)), lone)
    if len(solid) < 2:
        return []
    before, after = solid[:-1], solid[1:]
    logs = np.log(kept.open[after] / kept.close[before])
    return [Gap(int(before[k]), int(after[k]), float(logs[k])) for k in np.flatnonzero(np.abs(logs) >= SPLICE_GAP)]


def _paired(kept: RawTable, gaps: list[Gap]) -> tuple[list[tuple[Gap, Gap]], list[Gap]]:
    """Return pairs of neighbouring gaps that cancel each other, and the list of all other gaps."""
    pairs: list[tuple[Gap, Gap]] = []
    single: list[Gap] = []
    for gap in gaps:
        last = single[-1] if single else None
        if last is not None and _cancel(last, gap) and _is_sudden(kept, last) and _is_sudden(kept, gap):
            pairs.append((single.pop(), gap))
        else:
            single.append(gap)
    return pairs, single


def _cancel(one: Gap, other: Gap) -> bool:
    return one.log * other.log < 0 and abs(one.log + other.log) <= CANCELS * abs(one.log)


def _is_sudden(kept: RawTable, gap: Gap) -> bool:
    """Return whether a gap leaves no time in which a market could have moved, and is far wider than the bars around."""
    if kept.time_ms[gap.after] - kept.time_ms[gap.before] > (gap.after - gap.before) * BAR_MS:
        return False
    around = slice(max(0, gap.before - 12), gap.after + 12)
    usual = float(np.median(np.log(kept.high[around] / kept.low[around])))
    return abs(gap.log) >= SPLICE_RANGES * usual


def _is_split(gap: Gap) -> bool:
    return abs(gap.log) >= SPLIT_GAP and _named_ratio(gap.log) is not None


def _named_ratio(log: float) -> float | None:
    ratios: Floats = np.array(sorted({*SPLITS, *TENS}))
    away = np.abs(np.log(ratios) - abs(log))
    return float(ratios[np.argmin(away)]) if away.min() <= NEAR else None


def _spliced(kept: RawTable, numbers: NDArray[np.int64], pairs: list[tuple[Gap, Gap]]) -> list[Reason]:
    if not pairs:
        return []
    listed = [
        f"{row_name(int(numbers[a.after]), int(kept.time_ms[a.after]))} to "
        f"{row_name(int(numbers[b.before]), int(kept.time_ms[b.before]))} at {a.factor:.4g} times the prices around it"
        for a, b in pairs
    ]
    text = f"rows of another market or in another unit in {count(len(pairs), 'place')}: {first_few(listed)}"
    return [
        Reason(
            text, "replace them with the right rows, or delete them (they become a hole, and short holes are filled)"
        )
    ]


def _rescaled(kept: RawTable, gaps: list[Gap]) -> list[Reason]:
    if not gaps:
        return []
    listed = [
        f"from {utc(int(kept.time_ms[gap.after]))} on prices are {_times(gap.factor)} those before, "
        f"{kept.close[gap.before]:g} and then {kept.open[gap.after]:g}{_likely(gap)}"
        for gap in gaps
    ]
    text = f"prices change their level from one bar to the next: {first_few(listed)}"
    ways = [
        f"multiply all prices before {utc(int(kept.time_ms[gap.after]))} by {gap.factor:.10g}, "
        "and divide their volumes by it"
        for gap in gaps
    ]
    return [Reason(text, f"{first_few(ways)}; or use only the bars on one side of the change")]


def _times(factor: float) -> str:
    return f"{factor:.4g} times" if factor >= 1 else f"1/{1 / factor:.4g} of"


def _likely(gap: Gap) -> str:
    """Say what usually causes such a factor, as an addition to a message."""
    ratio = _named_ratio(gap.log)
    if ratio is None:
        return ""
    if ratio >= 100 and ratio in TENS:
        return " (a redenomination, or another unit)"
    new, old = (3, 2) if ratio == 1.5 else (int(ratio), 1)
    split = f"a split of {new} for {old}" if gap.log < 0 else f"a reverse split, {old} for {new}"
    return f" ({split}, or a misplaced decimal point)" if ratio == 10 else f" ({split})"
