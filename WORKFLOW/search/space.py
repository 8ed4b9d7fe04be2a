"""Parameter combos as columns: drawn in blocks, sorted so that neighbours share their signal, and read by row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import Refused
from config.modes import Choice, Dimension, Mode, Range
from WORKFLOW.engines.rules import DIRECTIONS, EXECUTION, Executions
from WORKFLOW.signals import FAMILIES
from WORKFLOW.signals.family import Family

# Stepped floats are decimals. Ten digits are finer than any step and coarser than float noise.
DIGITS = 10
_LARGEST_KEY = 2**62

_EXECUTION_LIMITS: dict[str, tuple[float, float]] = {
    "stop_loss": (0.0, 0.99),
    "take_profit": (0.0, 100.0),
    "trailing_stop": (0.0, 0.99),
    "max_bars": (0, 10_000_000),
}

Parameters = dict[str, int | float | str]
Numbers = NDArray[np.int64]

# Combos that are drawn, sorted and in memory at a time: 20 MB, and enough that several combos share each signal.
BLOCK = 262_144


@dataclass(frozen=True)
class Combos:
    """k parameter combos; each column has shape (k,). `direction` is stored as its index in `DIRECTIONS`."""

    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        """Number of combos."""
        return len(next(iter(self.columns.values())))

    def __getitem__(self, rows: slice | Numbers) -> "Combos":
        """Return some of the combos."""
        return Combos({name: column[rows] for name, column in self.columns.items()})

    def distinct(self, names: Sequence[str]) -> tuple[dict[str, NDArray[Any]], Numbers]:
        """Return the distinct values of the whole-number columns `names`, sorted, and each combo's place (k,)."""
        _, first, which = np.unique(self.keys(names), return_index=True, return_inverse=True)
        return {name: self.columns[name][first] for name in names}, which

    def keys(self, names: Sequence[str]) -> Numbers:
        """Return one whole number per combo, (k,), sorted like the columns `names`, of which the first leads."""
        keys, size = np.zeros(len(self), dtype=np.int64), 1
        for column in (self.columns[name] for name in names if len(self)):
            span = int(column.max()) - int(column.min()) + 1
            # The product of the spans must fit into 63 bits; if it does not, ranks replace the keys so far.
            if size * span > _LARGEST_KEY:
                keys = np.unique(keys, return_inverse=True)[1]
                size = len(self)
            keys, size = keys * span + (column - column.min()), size * span
        return keys

    def row(self, i: int) -> Parameters:
        """Return one combo as plain values."""
        values: Parameters = {name: column[i].item() for name, column in self.columns.items()}
        values["direction"] = DIRECTIONS[int(values["direction"])]
        return values

    @classmethod
    def of(cls, rows: list[Parameters]) -> "Combos":
        """Build combos from plain values; the inverse of `row`."""
        names = rows[0].keys()
        return cls({name: np.array([coded(row[name]) for row in rows]) for name in names})

    def executions(self) -> Executions:
        """Return the execution parameters in the form that engines take."""
        c = self.columns
        return Executions.of(c["stop_loss"], c["take_profit"], c["trailing_stop"], c["max_bars"], c["direction"])


@dataclass(frozen=True, eq=False)
class Draw:
    """`n` combos of a mode, drawn again whenever they are looked at, a block at a time, so that memory stays bounded.

    A combo's number is its place in the draw. Its position is its place in the order of work, which is sorted by signal
    inside each block, so that one look at a signal serves all combos that trade it.
    """

    mode: Mode
    n: int
    seed: np.random.SeedSequence

    def __len__(self) -> int:
        """Number of combos."""
        return self.n

    def at(self, positions: range) -> Iterator[tuple[Numbers, Combos]]:
        """Yield the combos at `positions` with their numbers, one block after the other."""
        for block in range(positions.start // BLOCK, -(-positions.stop // BLOCK)):
            combos, order = _drawn(self, block)
            first = block * BLOCK
            numbers = order[max(positions.start - first, 0) : positions.stop - first]
            yield numbers + first, combos[numbers]

    def sample(self, n: int) -> Combos:
        """Return the combos numbered 0 to n - 1, at most one block; they are as random a sample as the draw itself.

        Positions would not be random, because the combos of one signal stand side by side.
        """
        combos, order = _drawn(self, 0)
        return combos[order[order < n]]

    def rows(self, numbers: Sequence[int]) -> list[Parameters]:
        """Return the parameters of some combos by their numbers, in the order asked for."""
        by_number = {number: _drawn(self, number // BLOCK)[0].row(number % BLOCK) for number in sorted(numbers)}
        return [by_number[number] for number in numbers]


@lru_cache(maxsize=1)
def _drawn(of: Draw, block: int) -> tuple[Combos, Numbers]:
    """Draw one block. Block 0 is what `draw` gives with the same seed; the others have seeds derived from it."""
    seed = of.seed
    if block:
        seed = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, block))
    combos = draw(of.mode, min(BLOCK, of.n - block * BLOCK), seed)
    return combos, np.argsort(combos.keys(family_of(of.mode).parameters), kind="stable")


def family_of(mode: Mode) -> Family:
    """Return the signal family of a mode, after checking that the mode's space fits the family.

    Raises:
        Refused: the family or a direction is unknown, or parameters are missing, unknown or outside the family's
            limits.
    """
    if mode.family not in FAMILIES:
        raise Refused(f"mode {mode.name!r} names the unknown family {mode.family!r}", f"one of: {', '.join(FAMILIES)}")
    family = FAMILIES[mode.family]
    wanted = {*family.parameters, *EXECUTION}
    if set(mode.space) != wanted:
        difference = ", ".join(sorted(wanted ^ set(mode.space)))
        raise Refused(
            f"the space of mode {mode.name!r} is missing or has too much: {difference}",
            f"give it exactly {', '.join(sorted(wanted))}",
        )
    for name, dimension in mode.space.items():
        if name != "direction":
            _check(f"modes.{mode.name}.space.{name}", dimension, *{**_EXECUTION_LIMITS, **family.limits}[name])
    direction = mode.space["direction"]
    if not isinstance(direction, Choice) or not set(direction.values) <= set(DIRECTIONS):
        raise Refused(f"modes.{mode.name}.space.direction is {direction}", f"a list of {', '.join(DIRECTIONS)}")
    return family


def _check(where: str, dimension: Dimension, low: float, high: float) -> None:
    """Refuse values that are not numbers from `low` to `high`; they must be whole if the limits are."""
    values = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    kind: Any = int if isinstance(low, int) else int | float
    whole = isinstance(dimension, Choice) or dimension.is_integer or not isinstance(low, int)
    if not whole or any(isinstance(v, bool) or not isinstance(v, kind) or not low <= v <= high for v in values):
        what = "whole numbers" if isinstance(low, int) else "numbers"
        raise Refused(f"{where} is {dimension}", f"it takes {what} from {low} to {high}")


def draw(mode: Mode, n: int, seed: np.random.SeedSequence) -> Combos:
    """Draw n combos, uniformly over the mode's valid combos; the same seed gives the same combos.

    Raises:
        Refused: hardly any combo of the space is valid.
    """
    family = family_of(mode)
    random = np.random.default_rng(seed)
    columns = {name: _draw(dimension, n, random) for name, dimension in mode.space.items()}
    for _ in range(100):
        invalid = np.flatnonzero(~family.valid(columns))
        if not len(invalid):
            return Combos(columns)
        for name, dimension in mode.space.items():
            columns[name][invalid] = _draw(dimension, len(invalid), random)
    reason = f"of the space of mode {mode.name!r} hardly any combo is valid: {family.name} needs {family.rule}"
    raise Refused(reason, f"change modes.{mode.name}.space in the settings")


def on_grid(value: int | float | str) -> int | float | str:
    """Round away the float noise of `low + i * step`."""
    return round(value, DIGITS) if isinstance(value, float) else value


def _draw(dimension: Dimension, n: int, random: np.random.Generator) -> NDArray[Any]:
    if isinstance(dimension, Range):
        steps = random.integers(0, dimension.size, n)
        values = dimension.low + dimension.step * steps
        return values.astype(np.int64) if dimension.is_integer else np.round(values, DIGITS)
    return np.array([coded(value) for value in dimension.values])[random.integers(0, len(dimension.values), n)]


def coded(value: int | float | str) -> int | float:
    """Return a value as columns hold it; a direction becomes its index."""
    return DIRECTIONS.index(value) if isinstance(value, str) else value
