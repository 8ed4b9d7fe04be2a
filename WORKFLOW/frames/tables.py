"""Records and CSV files as DataFrames in which every column has the dtype that its values mean."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from config.errors import Refused
from config.record import fields
from state.records import metrics
from state.records.metrics import Metrics

Record = Mapping[str, Any]

UTC = "datetime64[us, UTC]"  # the unit that pandas itself gives to moments, so that frames join without a cast
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"

FLOAT, WHOLE, YES_NO, TEXT = "float64", "Int64", "boolean", "str"
_DTYPES: Mapping[Any, str] = {int: WHOLE, bool: YES_NO}
METRICS: Mapping[str, str] = {one.name: _DTYPES.get(one.type, FLOAT) for one in fields(Metrics)}
SCREEN = {name: METRICS[name] for name in metrics.SCREEN}


def of_records(rows: Sequence[Record], dtypes: Mapping[str, Any], prefix: str = "") -> pd.DataFrame:
    """A row a record. A column that `dtypes` does not know is of a later version: floats. None and what is absent is
    missing.

    Raises:
        TypeError, ValueError: a value that its column cannot hold.
    """
    names = list(dict.fromkeys((*dtypes, *(name for row in rows for name in row))))
    columns = {name: _column(name, [row.get(name) for row in rows], dtypes.get(name, FLOAT)) for name in names}
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))
    return frame.add_prefix(prefix) if prefix else frame


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
    header, *rows = (row for row in csv.reader(io.StringIO(data.decode())) if row)
    if header != list(dtypes):
        raise ValueError(f"its columns are {', '.join(header)}, not {', '.join(dtypes)}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} values, not {len(header)}")
    texts = list(zip(*rows, strict=True)) if rows else [() for _ in header]
    columns = {
        name: _column(name, _parsed(column, dtypes[name]), dtypes[name])
        for name, column in zip(header, texts, strict=True)
    }
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))
    if frame.isna().any(axis=None):
        name = frame.columns[frame.isna().any()][0]
        raise ValueError(f"{name} is missing in row {int(frame[name].isna().argmax()) + 1}")
    return frame


def _parsed(texts: Sequence[str], dtype: Any) -> list[Any]:
    """Values of a column of text; an empty one is missing. Python reads a float as it was written, to the bit."""
    parse = {FLOAT: float, WHOLE: int}.get(dtype if isinstance(dtype, str) else "", str)
    return [parse(text) if text else None for text in texts]


def _column(name: str, values: Sequence[Any], dtype: Any) -> pd.Series:
    if isinstance(dtype, pd.CategoricalDtype):
        unknown = [value for value in values if value is not None and value not in dtype.categories]
        if unknown:
            raise ValueError(f"{name} is {unknown[0]!r}, none of {', '.join(dtype.categories)}")
    if dtype == UTC:
        return pd.to_datetime(pd.Series(values, dtype=TEXT), format=_MOMENT, utc=True).astype(UTC)
    return pd.Series(values, dtype=dtype)


def _dtype_of(values: Iterable[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return YES_NO
    if kinds == {int}:
        return WHOLE
    return FLOAT if kinds <= {int, float} else TEXT
