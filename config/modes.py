"""Modes of a search: a name, a signal family, and the values that each parameter may take."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.errors import Refused

_MODE_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class Range:
    """An evenly stepped range that includes both ends. Its values are integers when all three numbers are."""

    low: float
    high: float
    step: float

    @property
    def is_integer(self) -> bool:
        """Whether the drawn values are whole numbers."""
        return all(isinstance(x, int) for x in (self.low, self.high, self.step))

    @property
    def size(self) -> int:
        """How many values the range holds."""
        return round((self.high - self.low) / self.step) + 1


@dataclass(frozen=True)
class Choice:
    """A short list of values, each drawn with the same probability."""

    values: tuple[int | float | str, ...]


Dimension = Range | Choice
Space = Mapping[str, Dimension]


@dataclass(frozen=True)
class Mode:
    """A named parameter space and risk profile."""

    name: str
    family: str
    space: Space


def mode_of(name: str, body: Any) -> Mode:
    """Return the mode as a file of settings writes it; a name or a space that cannot be one is refused."""
    if not _MODE_NAME.fullmatch(name):
        raise Refused(f"{name!r} cannot name a mode", "up to 40 letters, digits, - and _: it becomes a folder")
    if not isinstance(body, Mapping) or set(body) != {"family", "space"} or not isinstance(body["space"], Mapping):
        raise Refused(
            f"mode {name!r} must hold exactly family and space",
            "write it as the modes in config/workflow_defaults.yaml: family, and space with a range for each parameter",
        )
    space = {str(key): _dimension(f"modes.{name}.space.{key}", value) for key, value in body["space"].items()}
    return Mode(name=name, family=str(body["family"]), space=space)


def _dimension(where: str, value: Any) -> Dimension:
    if isinstance(value, list) and value and all(isinstance(x, str) or _is_finite(x) for x in value):
        return Choice(tuple(value))
    if isinstance(value, Mapping) and set(value) == {"low", "high", "step"}:
        low, high, step = value["low"], value["high"], value["step"]
        if all(_is_finite(x) for x in (low, high, step)) and step > 0 and low <= high and _is_even(low, high, step):
            return Range(low, high, step)
    raise Refused(
        f"{where} is {value!r}",
        "it takes a list of values, or {low, high, step} with low <= high, step > 0 and whole steps from low to high",
    )


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_even(low: float, high: float, step: float) -> bool:
    steps = (high - low) / step
    return abs(steps - round(steps)) < 1e-6  # in binary, 0.045 / 0.0001 is not exactly 450
