"""Numba as this project uses it: compiled once, cached on disk, without the GIL, and typed for the checker."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile `function` on first call; keep the machine code between processes; let threads run it in parallel.

    No fast-math: the same numbers as the reference engine, to the bit, are worth more than the last few percent.
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
