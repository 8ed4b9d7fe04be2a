"""Read 1-minute bars beside the 5-minute bars, to learn what came first inside a bar, and for nothing else.

They help and are never required: 1-minute bars that cannot be used are left out with a note, and the 5-minute bars stay
as they are.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.errors import Refused
from config.reading import AS_IT_IS, Reading
from WORKFLOW.data.bars import BASE_MINUTES, Bars, Floats, Minutes
from WORKFLOW.data.find import find_all_minutes
from WORKFLOW.data.forms.shown import shown
from WORKFLOW.data.load import load_all
from WORKFLOW.data.raw import RawTable
from WORKFLOW.data.report import Report

MINUTE_MS = 60_000
# Of the bars that have all their minutes, at least this fraction must be made by them. Minutes of the same exchange
# make all but a few. Minutes of another market, or stamped a minute late, make some by chance, and would then mislead.
LEAST_FITTING = 0.9
_NOISE = 1e-9  # fraction of a price; far below one tick, and far above the rounding of a float64


def with_minutes(bars: Bars, report: Report, data_path: Path, reading: Reading = AS_IT_IS) -> tuple[Bars, Report]:
    """Return `bars` with the 1-minute bars that lie beside them in the folder `data_path`, and `report` with a note on
    them.

    Both are returned unchanged if there are none; if they cannot be used, the note says why.
    """
    try:
        paths = find_all_minutes(data_path, bars.symbol)
        if not paths:
            return bars, report
        minutes = fitted(load_all(paths, bars.symbol, data_path, reading), bars)
    except Refused as refusal:
        return bars, _noted(report, f"1-minute bars are not used: {refusal.reason}")
    fitting, covered = int(minutes.fits.sum()), int(minutes.covers.sum())
    if not _belong(minutes):
        makes = f"{shown(paths[0].name)} covers {covered:,} bars and reproduces {fitting:,} of them"
        why = f"{makes}; another market, or a shifted clock?"
        return bars, _noted(report, f"1-minute bars are not used: {why}")
    makes = f"{shown(paths[0].name)} reproduces {fitting:,} of {len(bars):,} bars"
    note = f"{makes}: within them it shows which exit came first"
    return replace(bars, minutes=minutes), _noted(report, f"1-minute bars: {note}")


def witnesses(bars: Bars, data_path: Path, reading: Reading = AS_IT_IS) -> Minutes | None:
    """Return the 1-minute bars for a question before `bars` are accepted; None if there are none that can be used."""
    try:
        paths = find_all_minutes(data_path, bars.symbol)
        minutes = fitted(load_all(paths, bars.symbol, data_path, reading), bars) if paths else None
    except Refused:  # `with_minutes` will say why
        return None
    return minutes if minutes is not None and _belong(minutes) else None


def fitted(raw: RawTable, bars: Bars) -> Minutes:
    """Assign each row of `raw` to its bar and minute; rows outside of the bars are left out."""
    slots = len(bars) * BASE_MINUTES
    rows = np.column_stack([raw.open, raw.high, raw.low, raw.close])
    since_ms = raw.time_ms - bars.rows["time_ms"][0]
    use = (since_ms % MINUTE_MS == 0) & (since_ms >= 0) & (since_ms < slots * MINUTE_MS) & _possible(rows)
    at = since_ms[use] // MINUTE_MS
    flat = np.full((slots, 4), np.nan)
    flat[at] = rows[use]
    flat[np.bincount(at, minlength=slots) > 1] = np.nan
    ohlc = flat.reshape(len(bars), BASE_MINUTES, 4)
    return Minutes(raw.source, ohlc, _fits(ohlc, bars))


def _belong(minutes: Minutes) -> bool:
    """Return whether the minutes make enough of the bars that they cover."""
    fitting = int(minutes.fits.sum())
    return fitting > 0 and fitting >= LEAST_FITTING * int(minutes.covers.sum())


def _possible(rows: Floats) -> NDArray[np.bool_]:
    o, h, l, c = rows.T  # every comparison with NaN is False
    return np.asarray((l > 0) & (l <= o) & (o <= h) & (l <= c) & (c <= h) & (h < np.inf), dtype=np.bool_)


def _fits(ohlc: Floats, bars: Bars) -> NDArray[np.bool_]:
    made = np.column_stack([ohlc[:, 0, 0], ohlc[:, :, 1].max(axis=1), ohlc[:, :, 2].min(axis=1), ohlc[:, -1, 3]])
    prices = np.column_stack([bars.column(name) for name in ("open", "high", "low", "close")])
    near = np.abs(made - prices) <= (bars.tick or 0.0) + _NOISE * prices  # a comparison with NaN is False
    return np.asarray(near.all(axis=1) & np.isfinite(ohlc).all(axis=(1, 2)), dtype=np.bool_)


def _noted(report: Report, note: str) -> Report:
    return replace(report, notes=(*report.notes, note))
