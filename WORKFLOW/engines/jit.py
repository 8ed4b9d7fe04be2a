"""Numba as this project uses it: compiled once, cached on disk, without the GIL, and typed for the checker."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile `function` on first call; keep the machine code between processes; let threads run it in parallel.

    No fast-math: the same numbers as the reference engine, to the bit, are worth more than the last few percent.
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def leaf(function: F) -> F:
    """A kernel that allocates nothing, compiled without counting references to the arrays it is handed.

    The counts are atomic; around small functions in inner loops they took 22 % of a screen. Numba spells the option
    `_nrt`; a leaf that did allocate would fail to compile.
    """
    options: dict[str, Any] = {"_nrt": False}
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function))
