"""Bars as a DataFrame, read as a run reads them."""

import os
from pathlib import Path

import pandas as pd

from config.errors import Refused
from config.reading import Reading
from config.settings import load as settings_of_operator
from WORKFLOW.data.bars import Bars
from WORKFLOW.data.load import load
from WORKFLOW.data.raw import VALUES, RawTable
from WORKFLOW.data.report import UnfitBars
from WORKFLOW.frames.tables import UTC, YES_NO


def bars(
    path: str | os.PathLike[str],
    symbol: str,
    checked: bool = True,
    date_format: str | None = None,
    timezone: str | None = None,
    repair: bool = False,
    allow_wicks: bool = False,
) -> pd.DataFrame:
    """Return the 5-minute bars of a symbol, from every form of file that `--data-path` takes.

    Args:
        path: a file, or a folder in which the symbol's file is found by its name, as for `--data-path`.
        symbol: the symbol, as for `--symbol`.
        checked: pass the bars through the pre-flight of a run: they are put on the full grid, short holes are filled,
        and everything doubtful is refused. False returns the rows as they stand in the file, in its order, with holes;
        missing numbers are NaN.
        date_format: as `--date-format`, if the file leaves it open.
        timezone: as `--timezone`, if the file leaves it open.
        repair: as `--repair`, if `checked`.
        allow_wicks: as `--allow-wicks`, if `checked`.

    Index: `time`, the OPEN of each bar, UTC. `open`, `high`, `low` and `close` are in quote currency, and `volume` is
    in base currency, all float64. `filled` (boolean) marks bars that pre-flight made to close a hole: flat at the close
    before, and without volume. `attrs` holds symbol, source, synthetic and the tick size.

    Look-ahead: **only the open of a bar is known at its index**; high, low and close are known 5 minutes later.

    Raises:
        Refused: there is no such file, or a run would refuse the bars; the message gives all reasons.
    """
    where, reading = Path(path).expanduser(), Reading(date_format, timezone)
    made = _checked(where, symbol, reading, repair, allow_wicks) if checked else load(where, symbol, reading)
    columns = made.rows if isinstance(made, Bars) else {name: getattr(made, name) for name in ("time_ms", *VALUES)}
    index = pd.DatetimeIndex(pd.to_datetime(columns["time_ms"], unit="ms", utc=True).astype(UTC), name="time")
    frame = pd.DataFrame({name: columns[name].astype("float64") for name in VALUES}, index=index)
    frame["filled"] = pd.array(made.rows["filled"] if isinstance(made, Bars) else [False] * len(made), dtype=YES_NO)
    frame.attrs = _labels(made)
    return frame


def _checked(path: Path, symbol: str, reading: Reading, repair: bool, allow_wicks: bool) -> Bars:
    from WORKFLOW.validation import check_all

    outcome = check_all(settings_of_operator(), path, symbol, repair, allow_wicks, reading)
    if outcome.bars is not None and outcome.passed:
        return outcome.bars
    raw = "look at the rows as they are with checked=False"
    if outcome.report is not None and outcome.report.reasons:
        refusal: Refused = UnfitBars(outcome.report)
        raise Refused(refusal.reason, f"{refusal.way_out}; {raw}")
    first = outcome.reasons[0]
    raise Refused(first.text, first.way_out)


def _labels(made: Bars | RawTable) -> dict[str, object]:
    tick = {"tick": made.tick} if isinstance(made, Bars) else {}
    return {"symbol": made.symbol, "source": made.source, "synthetic": made.synthetic, **tick}
