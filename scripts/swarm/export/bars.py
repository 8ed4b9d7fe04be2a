"""The very bars of a finalist as files of freqtrade's, so that its backtest sees what the search saw."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.feather

from config.errors import Refused
from config.reading import Reading
from config.settings import load
from scripts.swarm.export.finalist import ExportedFinalist
from scripts.swarm.export.freqtrade import Export, candle_minutes
from state.files import private, snapshot
from WORKFLOW.data.raw import VALUES
from WORKFLOW.mtf_resampler import MINUTE_MS, resample_ohlc
from WORKFLOW.validation import check_all

if TYPE_CHECKING:
    from WORKFLOW.data.bars import Bars

Columns = dict[str, np.ndarray]
HOUR = 60


def bars_of(finalist: ExportedFinalist, repair: bool = True) -> "Bars":
    """The bars that its run read, from where it read them.

    Raises:
        Refused: they are gone, unfit, or not the same any more.
    """
    data = finalist.manifest["data"]
    path = Path(data["source"])
    reading = Reading(data.get("date_format"), data.get("timezone"))
    outcome = check_all(load(), path, finalist.config["symbol"], repair, allow_wicks=True, reading=reading)
    if outcome.bars is None:
        raise Refused("; ".join(reason.text for reason in outcome.reasons), "leave out --data")
    if outcome.bars.sha256 != data["sha256"]:
        raise Refused(
            f"{path} holds other bars than the run {finalist.manifest['execution']['run_id']} had", "run it again"
        )
    return outcome.bars


def write(bars: "Bars", finalist: ExportedFinalist, made: Export, user_folder: Path) -> list[Path]:
    """5-minute candles and those of the strategy's timeframes; for a contract also a mark price and funding of zero."""
    folder = user_folder / "data" / made.exchange
    name = "".join("_" if letter in "/ .@$+:" else letter for letter in made.pair)
    values = finalist.config["parameters"]
    lengths = {5, *(candle_minutes(values[f"{side}_timeframe"]) for side in ("fast", "slow"))}
    files: dict[Path, Columns] = {}
    for minutes in sorted(lengths):
        ending = f"{_timeframe(minutes)}-futures" if made.is_contract else _timeframe(minutes)
        files[_place(folder, made) / f"{name}-{ending}.feather"] = candles(bars, minutes)
    if made.is_contract:
        hours = candles(bars, HOUR)
        files[_place(folder, made) / f"{name}-1h-mark.feather"] = hours
        nothing = {"date": hours["date"], "funding_rate": np.zeros(len(hours["date"]))}
        files[_place(folder, made) / f"{name}-1h-funding_rate.feather"] = nothing
    for path, columns in files.items():
        _write(path, columns)
    return list(files)


def candles(bars: "Bars", minutes: int) -> Columns:
    """Whole candles of so many minutes, `date` in epoch milliseconds of the open."""
    o, h, l, c, volume = (bars.column(name) for name in VALUES)
    first_ms = int(bars.rows["time_ms"][0])
    made = resample_ohlc(o, h, l, c, minutes, first_open_ms=first_ms)
    length = minutes // 5
    ends = made.closes_at + 1
    sums = np.append(0.0, np.cumsum(volume))
    opens = bars.rows["time_ms"][made.closes_at] + 5 * MINUTE_MS - minutes * MINUTE_MS
    prices = {"open": made.open, "high": made.high, "low": made.low, "close": made.close}
    return {"date": opens, **prices, "volume": sums[ends] - sums[ends - length]}


def _place(folder: Path, made: Export) -> Path:
    return folder / "futures" if made.is_contract else folder


def _timeframe(minutes: int) -> str:
    return f"{minutes // HOUR}h" if minutes % HOUR == 0 else f"{minutes}m"


def _write(path: Path, columns: Columns) -> None:
    stamps = pa.array(np.ascontiguousarray(columns["date"])).cast(pa.timestamp("ms", "UTC"))
    sink = pa.BufferOutputStream()
    pyarrow.feather.write_feather(pa.table({**columns, "date": stamps}), sink, compression="lz4")
    with private.shared():
        snapshot.write_bytes(path, sink.getvalue().to_pybytes())
