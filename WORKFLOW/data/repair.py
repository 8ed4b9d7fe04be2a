"""The only three changes that are ever made to a user's data; each of them is reported.

The bar that was still under way and copies are dropped, and short holes are filled.
"""

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, ROW
from WORKFLOW.data.raw import VALUES, RawTable


def under_way(raw: RawTable, written_ms: int | None) -> NDArray[np.bool_]:
    """Return a mask (bool[rows]) that is True for the last bar, if that bar was not over when its file was written.

    The file's own time decides and not today's, so the same file gives the same bars on any day. A file that is older
    than the begin of its last bar (as archives restore them) tells nothing, so no finished bar is dropped because of
    it.
    """
    if written_ms is None or len(raw) == 0:
        return np.zeros(len(raw), dtype=bool)
    last = int(raw.time_ms.max())
    return np.asarray((raw.time_ms == last) & (last <= written_ms < last + BAR_MS), dtype=np.bool_)


def later_copies(raw: RawTable) -> NDArray[np.bool_]:
    """Return a mask (bool[rows]) that is True where a row equals an earlier row in every value, with NaN equal to NaN.

    The first of equal rows stays where it is. In files joined from overlapping downloads, this alone restores the
    order: in one such file, 24 overlaps made 16,336 copies, and without them the file is sorted. Nothing is ever sorted
    here.
    """
    copies = np.zeros(len(raw), dtype=bool)
    if len(raw) < 2 or (np.diff(raw.time_ms) > 0).all():
        return copies  # the usual case needs only one pass
        # The columns are compared as bits, because then NaN equals NaN, and the sort needs no special case.
    columns = [raw.time_ms, *(getattr(raw, name).view(np.int64) for name in VALUES)]
    order = np.lexsort(columns[::-1])  # stable, so the earliest of equal rows comes first
    equal = np.ones(len(raw) - 1, dtype=bool)
    for column in columns:
        equal &= column[order[1:]] == column[order[:-1]]
    copies[order[1:][equal]] = True
    return copies


def on_full_grid(raw: RawTable) -> NDArray[np.void]:
    """Return `ROW`s on every grid moment from first to last.

    A missing bar is flat at the previous close, with volume 0. Times must be strictly ascending on the 5-minute grid.

    Look-ahead: a filled bar looks back only, and carries the last price that was known then.
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
