"""The record of a look-ahead proof: what was tried, and the first result that a changed future changed."""

from dataclasses import asdict, dataclass
from typing import Any

from WORKFLOW.steps import exact


@exact.record
@dataclass(frozen=True)
class Difference:
    """The earliest result that a changed future changed.

    `minutes_ahead` is how far that result looked ahead, at least.
    """

    what: str  # side, armed or first_side of the family; equity, trade, entry or order of the engine
    engine: str | None
    combo: int
    bar: int
    time: str  # the open of that bar, UTC
    cut: int
    future: str
    minutes_ahead: int

    def __str__(self) -> str:
        """Write the difference as a part of the verdict line."""
        whose = f" of the {self.engine} engine" if self.engine else ""
        return f"looks {self.minutes_ahead:,} minutes ahead: {self.what}{whose} at {self.time}"


@exact.record
@dataclass
class Counts:
    """How much was compared.

    `futures` counts changed markets over all cuts; trades and marks count over all engines.
    """

    cuts: int = 0
    futures: int = 0
    bits_compared: int = 0
    trades_compared: int = 0
    marks_compared: int = 0


@dataclass(frozen=True)
class Certificate:
    """The result of a look-ahead proof and the inputs that it tried."""

    first_difference: Difference | None
    seed: list[int]
    bars: int
    combos: int
    kinds: list[str]
    engines: list[str]
    counts: Counts
    tick_known_from: str | None

    @property
    def proven(self) -> bool:
        """Whether no changed future changed a result."""
        return self.first_difference is None

    def as_json(self) -> dict[str, Any]:
        """Return the record for `validation.json` and `--json`."""
        record = asdict(self)
        return {"proven": self.proven, **record.pop("counts"), **record}
