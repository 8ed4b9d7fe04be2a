"""Compare the trades of two engines: what counts as the same trade, and how a difference is described."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from WORKFLOW.engines.ledger import Ledger

# One closed trade of one unit: money scales with the size, and bars and prices do not depend on it.
FILL = np.dtype(
    [
        ("side", "i1"),  # 1 long, -1 short
        ("entry_bar", "<i8"),
        ("exit_bar", "<i8"),
        ("entry_price", "<f8"),  # quote currency, slippage included
        ("exit_price", "<f8"),
        ("pnl_per_unit", "<f8"),  # quote currency per unit, after both fees
    ]
)
Fills = NDArray[np.void]

# Two engines agree if bars and sides are equal, and numbers differ by at most TOLERANCE times max(1, |x|).
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Agreement:
    """How far two lists of trades agree. `identical` counts our trades that the other list has, too, in every value."""

    trades_ours: int
    trades_theirs: int
    identical: int
    first_difference: str | None

    @property
    def agree(self) -> bool:
        """Whether all trades agree, on both sides."""
        return self.identical == self.trades_ours == self.trades_theirs

    def __add__(self, other: "Agreement") -> "Agreement":
        """Add up two runs; the first difference is that of the earlier run."""
        return Agreement(
            self.trades_ours + other.trades_ours,
            self.trades_theirs + other.trades_theirs,
            self.identical + other.identical,
            self.first_difference or other.first_difference,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the form that records hold."""
        return {"agree": self.agree, **asdict(self)}


def fills_of(ledger: Ledger, fee_rate: float) -> Fills:
    """Return our closed trades for one unit each; equity E buys E / (price × (1 + fee_rate)) units (see `Rules`)."""
    fills = np.zeros(len(ledger.trades), dtype=FILL)
    for name in ("side", "entry_bar", "exit_bar", "entry_price", "exit_price"):
        fills[name] = ledger.trades[name]
    fills["pnl_per_unit"] = ledger.trades["net_pnl_pct"] * ledger.trades["entry_price"] * (1 + fee_rate)
    return fills


def compare(ours: Fills, theirs: Fills) -> Agreement:
    """Match trades by their entry bar, and compare every value of each pair; no two positions share an entry bar."""
    _, mine, yours = np.intersect1d(ours["entry_bar"], theirs["entry_bar"], return_indices=True)
    same = _same(ours[mine], theirs[yours])
    return Agreement(len(ours), len(theirs), int(same.sum()), _first_difference(ours, theirs))


def _same(a: Fills, b: Fills) -> NDArray[np.bool_]:
    same = (a["side"] == b["side"]) & (a["entry_bar"] == b["entry_bar"]) & (a["exit_bar"] == b["exit_bar"])
    for name in ("entry_price", "exit_price"):
        same &= np.abs(a[name] - b[name]) <= TOLERANCE * np.maximum(1, np.abs(b[name]))
    # A profit is a small difference of two prices, so its tolerance is that of the prices.
    near = TOLERANCE * np.maximum(1, np.abs(b["entry_price"]))
    return np.asarray(same & (np.abs(a["pnl_per_unit"] - b["pnl_per_unit"]) <= near), dtype=np.bool_)


def _first_difference(ours: Fills, theirs: Fills) -> str | None:
    both = min(len(ours), len(theirs))
    wrong = np.flatnonzero(~_same(ours[:both], theirs[:both]))
    at = int(wrong[0]) if len(wrong) else both
    if at == len(ours) == len(theirs):
        return None
    return f"trade {at + 1}: ours {_said(ours, at)}; theirs {_said(theirs, at)}"


def _said(fills: Fills, at: int) -> str:
    if at >= len(fills):
        return "none"
    one = fills[at]
    side = "long" if one["side"] == 1 else "short"
    way = f"bar {one['entry_bar']} at {one['entry_price']:.10g} to bar {one['exit_bar']} at {one['exit_price']:.10g}"
    return f"{side} {way}, {one['pnl_per_unit']:+.10g} a unit"
