"""Percentiles of a distribution, as every record of validation holds them."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from WORKFLOW.data.bars import Floats
from WORKFLOW.steps import exact

BANDS = (5, 25, 50, 75, 95)


@exact.record
@dataclass(frozen=True)
class Bands:
    """The percentiles; None where nothing is known."""

    p5: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p95: float | None = None

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Of the finite ones of `values` (n,), all None without any."""
        finite = values[np.isfinite(values)]
        return cls(*map(float, np.percentile(finite, BANDS))) if len(finite) else cls()
