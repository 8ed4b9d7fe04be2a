"""What a look-ahead proof leaves behind: what was tried, and the first thing that a changed future changed."""

from dataclasses import asdict, dataclass
from typing import Any

from WORKFLOW.steps import exact


@exact.record
@dataclass(frozen=True)
class Difference:
    """The earliest thing that a changed future changed. `minutes_ahead`: at least so far it looked."""

    what: str  # side, armed, first_side of the family; equity, trade, entry, order of the engine
    engine: str | None
    combo: int
    bar: int
    time: str  # that bar's open, UTC
    cut: int
    future: str
    minutes_ahead: int

    def __str__(self) -> str:
        """For the verdict line."""
        whose = f" of the {self.engine} engine" if self.engine else ""
        return f"looks {self.minutes_ahead:,} minutes ahead: {self.what}{whose} at {self.time}"


@exact.record
@dataclass
class Counts:
    """What was compared. `futures`: changed markets over all cuts; trades and marks over all engines, too."""

    cuts: int = 0
    futures: int = 0
    bits_compared: int = 0
    trades_compared: int = 0
    marks_compared: int = 0


@dataclass(frozen=True)
class Certificate:
    """What was tried, and what came out."""

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
        """Nothing differed."""
        return self.first_difference is None

    def as_json(self) -> dict[str, Any]:
        """For `validation.json` and `--json`."""
        record = asdict(self)
        return {"proven": self.proven, **record.pop("counts"), **record}
