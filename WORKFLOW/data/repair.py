"""The only three changes ever made to somebody's data, all of them said: the bar under way and copies dropped, short
holes filled."""

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, ROW
from WORKFLOW.data.raw import VALUES, RawTable


def under_way(raw: RawTable, written_ms: int | None) -> NDArray[np.bool_]:
    """True (bool[rows]) for the last bar, where it had begun and was not over when its file was written.

    The file's own time decides and not today's: the same file gives the same bars on any day. A file that is older than
    its last bar begins (as archives restore them) says nothing, so that no finished bar is ever dropped for it.
    """
    if written_ms is None or len(raw) == 0:
        return np.zeros(len(raw), dtype=bool)
    last = int(raw.time_ms.max())
    return np.asarray((raw.time_ms == last) & (last <= written_ms < last + BAR_MS), dtype=np.bool_)


def later_copies(raw: RawTable) -> NDArray[np.bool_]:
    """True (bool[rows]) where a row equals an earlier one in every value, NaN equal to NaN.

    The first of each stays where it is: in files pasted together from overlapping downloads that alone restores the
    order (seen: 16,336 copies from 24 overlaps; without them the file is sorted). Nothing is ever sorted here.
    """
    copies = np.zeros(len(raw), dtype=bool)
    if len(raw) < 2 or (np.diff(raw.time_ms) > 0).all():
        return copies  # the usual case costs one pass
    # As bits: then NaN equals NaN, and sorting needs no thought of it.
    columns = [raw.time_ms, *(getattr(raw, name).view(np.int64) for name in VALUES)]
    order = np.lexsort(columns[::-1])  # stable, so the earliest of equal rows comes first
    equal = np.ones(len(raw) - 1, dtype=bool)
    for column in columns:
        equal &= column[order[1:]] == column[order[:-1]]
    copies[order[1:][equal]] = True
    return copies


def on_full_grid(raw: RawTable) -> NDArray[np.void]:
    """`ROW`s on every grid moment from the first to the last; a missing bar is flat at the previous close, volume 0.

    Expects times strictly ascending on the 5-minute grid. A filled bar looks back only: it carries the last price that
    was known then.
    """
    at = (raw.time_ms - raw.time_ms[0]) // BAR_MS
    rows = np.zeros(int(at[-1]) + 1, dtype=ROW)
    rows["time_ms"] = raw.time_ms[0] + np.arange(len(rows), dtype=np.int64) * BAR_MS
    rows["filled"] = True
    rows["filled"][at] = False
    last_known = np.cumsum(~rows["filled"]) - 1
    for name in ("open", "high", "low", "close"):
        rows[name] = raw.close[last_known]
        rows[name][at] = getattr(raw, name)
    rows["volume"][at] = raw.volume
    return rows
