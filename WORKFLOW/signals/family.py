"""What a signal family must offer to the rest of the product."""

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
        """Compute the indicator rows that combos in `columns` share. Call it before `planes`; it is not thread-safe."""

    def planes(self, columns: Columns) -> Planes:
        """Return the planes of the combos in `columns`; thread-safe once the combos were prepared."""


class Family(Protocol):
    """A parameter space and the signal that it stands for."""

    @property
    def name(self) -> str:
        """The name that `family:` in the settings uses."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The columns that the family reads; a mode's space holds exactly these and the execution parameters."""

    @property
    def limits(self) -> Mapping[str, tuple[int, int]]:
        """The lowest and the highest whole number that each parameter can take."""

    @property
    def rule(self) -> str:
        """The condition of `valid` in words, for the message when hardly any combo of a space meets it."""

    def valid(self, columns: Columns) -> NDArray[np.bool_]:
        """Return which combos are valid, boolean (k,); invalid combos are drawn again."""

    def on(self, market: Market) -> BoundFamily:
        """Bind the family to the bars of `market`."""


class DeviceFamily(Protocol):
    """A family bound to one market on the current GPU."""

    def planes(self, columns: Columns) -> "DevicePlanes":
        """Return the planes of the combos in `columns`, in device memory: the same bits as `BoundFamily.planes`."""


@runtime_checkable
class HasDevice(Protocol):
    """A family with GPU kernels of its own. The planes of other families are made on the CPU and copied to the device.

    That is slower, and exactly as precise.
    """

    def on_device(self, market: Market) -> DeviceFamily:
        """Bind the family to the bars of `market` on the current GPU."""
