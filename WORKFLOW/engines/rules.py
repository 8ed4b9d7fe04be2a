"""How an event becomes trades: the execution parameters of one combo and the costs of the run."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from config.settings import Costs
from WORKFLOW.data.bars import Floats

Direction = Literal["both", "long_only", "short_only"]
DIRECTIONS: tuple[Direction, ...] = ("both", "long_only", "short_only")
Tie = Literal["sl_first", "tp_first"]

# An account below this fraction of its capital is ruined: it is 0 from there on. Far below what any exchange lets one
# trade, far above where floats lose their digits and two engines would no longer agree on what is left.
DUST = 1e-12

# Columns of the execution table, one row a combo.
STOP, LIMIT, TRAIL, MAX_BARS, DIRECTION = range(5)

# The execution part of every parameter space; whatever else a space holds belongs to the signal family.
EXECUTION = ("direction", "stop_loss", "take_profit", "trailing_stop", "max_bars")


@dataclass(frozen=True)
class Rules:
    """Fractions are of the anchor price (stop-loss, take-profit) or of the best price (trailing); 0 switches one off.

    `max_bars`: exit at the open of bar entry + max_bars. `fee_rate`: fraction of notional per fill. `slippage`:
    fraction, adverse, on market, stop and trailing fills. `tie`: what is hit first when one bar spans stop and limit;
    the pessimistic default is the stop, running both bounds the truth.
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
        """The rules of one combo (its `EXECUTION` values) under the costs of a run."""
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
        """From columns of shape (k,); `direction` indexes `DIRECTIONS`."""
        return cls(np.column_stack([stop_loss, take_profit, trailing_stop, max_bars, direction]).astype(np.float64))

    @classmethod
    def one(cls, rules: Rules) -> "Executions":
        """The single row that `rules` describes."""
        row = [rules.stop_loss, rules.take_profit, rules.trailing_stop, rules.max_bars, direction_code(rules.direction)]
        return cls(np.array([row], dtype=np.float64))


def direction_code(direction: Direction) -> int:
    """Its place in `DIRECTIONS`."""
    return DIRECTIONS.index(direction)
