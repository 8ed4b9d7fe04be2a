"""What a signal family is to everybody else."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import Planes

if TYPE_CHECKING:
    from WORKFLOW.engines.gpu.planes import DevicePlanes

# Parameter columns by name, each of shape (k,).
Columns = Mapping[str, NDArray[Any]]


class BoundFamily(Protocol):
    """A family bound to one market."""

    def prepare(self, columns: Columns) -> None:
        """Compute what the combos in `columns` share (indicator rows). Not thread-safe; call it before `planes`."""

    def planes(self, columns: Columns) -> Planes:
        """The planes of the combos in `columns`. Thread-safe once they were prepared."""


class Family(Protocol):
    """A parameter space and the signal it stands for."""

    @property
    def name(self) -> str:
        """As `family:` in the settings names it."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The columns it reads; a mode's space holds exactly these and the execution parameters."""

    @property
    def limits(self) -> Mapping[str, tuple[int, int]]:
        """Lowest and highest whole number that each parameter can take."""

    @property
    def rule(self) -> str:
        """What `valid` asks of a combo, in words, for the message when no combo of a space fulfils it."""

    def valid(self, columns: Columns) -> NDArray[np.bool_]:
        """Which combos mean anything, boolean (k,); the others are drawn again."""

    def on(self, market: Market) -> BoundFamily:
        """Bind the family to the bars of `market`."""


class DeviceFamily(Protocol):
    """A family bound to one market on the current GPU."""

    def planes(self, columns: Columns) -> "DevicePlanes":
        """The planes of the combos in `columns`, in device memory: the bits of `BoundFamily.planes`."""


@runtime_checkable
class HasDevice(Protocol):
    """A family with kernels of its own. Planes of others are made on the CPU and copied: slower, and as exact."""

    def on_device(self, market: Market) -> DeviceFamily:
        """Bind the family to the bars of `market` on the current GPU."""
