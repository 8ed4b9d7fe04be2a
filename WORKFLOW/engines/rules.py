"""The rules that turn an event into trades: the execution parameters of one combo and the costs of the run."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from config.settings import Costs
from WORKFLOW.data.bars import Floats

Direction = Literal["both", "long_only", "short_only"]
DIRECTIONS: tuple[Direction, ...] = ("both", "long_only", "short_only")
Tie = Literal["sl_first", "tp_first"]

# An account below this fraction of its capital counts as ruined and is 0 from there on. The limit lies far below what
# any exchange lets anybody trade, and far above the size at which floats lose their digits and two engines would
# disagree on the rest.
DUST = 1e-12

# Columns of the execution table; each combo has one row.
STOP, LIMIT, TRAIL, MAX_BARS, DIRECTION = range(5)

# The execution parameters of every parameter space; all its other parameters belong to the signal family.
EXECUTION = ("direction", "stop_loss", "take_profit", "trailing_stop", "max_bars")


@dataclass(frozen=True)
class Rules:
    """Execution parameters and costs of one combo. A fraction of 0 switches its level off.

    `stop_loss` and `take_profit` are fractions of the anchor price, `trailing_stop` of the best price so far.
    `max_bars`: exit at the open of bar entry + max_bars. `fee_rate`: fraction of the notional per fill. `slippage`:
    adverse fraction on market, stop and trailing fills. `tie`: the level that counts as hit first when one bar touches
    stop and limit. The default, the stop, is pessimistic; running both values bounds the truth.
    """

    direction: Direction = "both"
    stop_loss: float = 0.0
    take_profit: float = 0.0
    trailing_stop: float = 0.0
    max_bars: int = 0
    fee_rate: float = 0.0
    slippage: float = 0.0
    capital: float = 10_000.0
    tie: Tie = "sl_first"

    @classmethod
    def of(cls, costs: Costs, execution: dict[str, float | int | str]) -> Self:
        """Return the rules of one combo (its `EXECUTION` values) under the costs of a run."""
        direction = execution.get("direction", "both")
        assert direction in DIRECTIONS, direction
        return cls(
            direction=direction,
            stop_loss=float(execution.get("stop_loss", 0.0)),
            take_profit=float(execution.get("take_profit", 0.0)),
            trailing_stop=float(execution.get("trailing_stop", 0.0)),
            max_bars=int(execution.get("max_bars", 0)),
            fee_rate=costs.fee_rate,
            slippage=costs.slippage_bps / 10_000,
            capital=costs.capital,
        )


@dataclass(frozen=True)
class Executions:
    """The execution parameters of k combos as a float64 (k, 5) table; see `Rules` for units."""

    table: Floats

    @classmethod
    def of(
        cls,
        stop_loss: Floats,
        take_profit: Floats,
        trailing_stop: Floats,
        max_bars: Floats,
        direction: NDArray[np.int64],
    ) -> "Executions":
        """Build the table from columns of shape (k,); `direction` indexes `DIRECTIONS`."""
        return cls(np.column_stack([stop_loss, take_profit, trailing_stop, max_bars, direction]).astype(np.float64))

    @classmethod
    def one(cls, rules: Rules) -> "Executions":
        """Return the table of one row that `rules` describes."""
        row = [rules.stop_loss, rules.take_profit, rules.trailing_stop, rules.max_bars, direction_code(rules.direction)]
        return cls(np.array([row], dtype=np.float64))


def direction_code(direction: Direction) -> int:
    """Return the index of `direction` in `DIRECTIONS`."""
    return DIRECTIONS.index(direction)
