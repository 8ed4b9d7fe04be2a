"""Records and CSV files as DataFrames in which every column has the dtype that its values mean."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from config.errors import Refused

Record = Mapping[str, Any]

UTC = "datetime64[us, UTC]"  # the unit that pandas itself gives to moments, so that frames join without a cast
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"

FLOAT, WHOLE, YES_NO, TEXT = "float64", "Int64", "boolean", "str"
METRICS: Mapping[str, str] = {
    "total_return": FLOAT,
    "annualized_return": FLOAT,
    "sharpe_ratio": FLOAT,
    "sortino_ratio": FLOAT,
    "calmar_ratio": FLOAT,
    "max_drawdown": FLOAT,
    "max_drawdown_pct": FLOAT,
    "max_drawdown_daily_pct": FLOAT,
    "cvar_95": FLOAT,
    "win_rate": FLOAT,
    "profit_factor": FLOAT,
    "exposure": FLOAT,
    "turnover": FLOAT,
    "avg_bars_held": FLOAT,
    "total_trades": WHOLE,
    "filled_bar_fills": WHOLE,
    "ruined": YES_NO,
    "days": WHOLE,
}
_OF_A_SCREEN = ("sharpe_ratio", "total_return", "max_drawdown_daily_pct", "win_rate", "total_trades")
SCREEN = {name: METRICS[name] for name in _OF_A_SCREEN}


def of_records(rows: Sequence[Record], dtypes: Mapping[str, Any], prefix: str = "") -> pd.DataFrame:
    """A row a record. A column that `dtypes` does not know is of a later version: floats. None and what is absent is
    missing.

    Raises:
        TypeError, ValueError: a value that its column cannot hold.
    """
    names = list(dict.fromkeys((*dtypes, *(name for row in rows for name in row))))
    columns = {
        f"{prefix}{name}": pd.Series([row.get(name) for row in rows], dtype=dtypes.get(name, FLOAT)) for name in names
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def of_parameters(rows: Sequence[Record]) -> pd.DataFrame:
    """Parameters as `params_…`, as Optuna's own table has them; whole numbers where all are, missing where a family has
    none of that name."""
    names = dict.fromkeys(name for row in rows for name in row)
    return of_records(rows, {name: _dtype_of(row.get(name) for row in rows) for name in names}, "params_")


def side_by_side(*frames: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """Frames of the same rows as one, under `index`."""
    joined = pd.concat(frames, axis=1)
    joined.index = index
    return joined


def of_csv(path: Path, data: bytes, dtypes: Mapping[str, Any]) -> pd.DataFrame:
    """A CSV file of ours; floats are read to the bit, and nothing may be missing.

    Raises:
        Refused: another header, a value that its column cannot hold, a missing one.
    """
    try:
        return _of_csv(data, dtypes)
    except (TypeError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise not_ours(path, error) from error


def not_ours(path: Path, error: Exception) -> Refused:
    """A file that does not hold what a run writes."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Refused(
        f"{path} does not hold what a run writes ({said})", "restore the result's folder whole, or run again"
    )


def _of_csv(data: bytes, dtypes: Mapping[str, Any]) -> pd.DataFrame:
    as_text = {name: TEXT for name, dtype in dtypes.items() if dtype == UTC or isinstance(dtype, pd.CategoricalDtype)}
    frame = pd.read_csv(io.BytesIO(data), dtype={**dtypes, **as_text}, float_precision="round_trip", index_col=False)
    if list(frame.columns) != list(dtypes):
        raise ValueError(f"its columns are {', '.join(frame.columns)}, not {', '.join(dtypes)}")
    for name in as_text:
        dtype = dtypes[name]
        if dtype == UTC:
            frame[name] = pd.to_datetime(frame[name], format=_MOMENT, utc=True).astype(UTC)
        elif unknown := sorted(set(frame[name].dropna()) - set(dtype.categories)):
            raise ValueError(f"{name} is {unknown[0]!r}, none of {', '.join(dtype.categories)}")
        else:
            frame[name] = frame[name].astype(dtype)
    if frame.isna().any(axis=None):
        name = frame.columns[frame.isna().any()][0]
        raise ValueError(f"{name} is missing in row {int(frame[name].isna().argmax()) + 1}")
    return frame


def _dtype_of(values: Iterable[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return YES_NO
    if kinds == {int}:
        return WHOLE
    return FLOAT if kinds <= {int, float} else TEXT
