"""Turn Arrow's arrays into NumPy's. Arrow's own conversion imports pandas, which takes half a second."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def as_numpy(column: Any) -> NDArray[Any]:
    """Return a copy of an array or chunked array of numbers without nulls."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [np.from_dlpack(chunk) for chunk in chunks if len(chunk)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=column.type.to_pandas_dtype())


def flags(column: Any) -> NDArray[np.bool_]:
    """Return a copy of an array of booleans; a missing value becomes False."""
    return as_numpy(pc.fill_null(column, False).cast(pa.uint8())).astype(np.bool_)


def is_text(column: Any) -> bool:
    """Return whether the array holds text."""
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))
