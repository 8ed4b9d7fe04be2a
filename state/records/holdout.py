"""What is left of a holdout: written by the job that looks at it, read by who decides whether another round follows.

A holdout is *used up* when no strategy can be promoted by one more look at it, unless it did better there than
everything the run has found did on the days it was chosen for. docs/reference/validity.md derives the rule.
"""

from collections.abc import Mapping
from typing import Any

from config.record import dataclass
from state.files.tree import fitting


@dataclass(frozen=True)
class Holdout:
    """One symbol and mode after a round. Sharpe ratios are annual; None where nothing can be told.

    `needed_sharpe` is what the next look would have to show over `days` days, and `best_sharpe` what the finalist of
    this run has in-sample that would look best there if it went on like that; `best_shape` is its daily Sharpe ratio
    with the skewness and kurtosis of its days. `free_from` is the date up to which bars must reach to leave a holdout
    that nobody has looked at.
    """

    used_up: bool
    looks: int
    days: int
    needed_sharpe: float | None
    best_sharpe: float | None
    best_shape: dict[str, float]
    free_from: str
    way_out: str


@dataclass(frozen=True)
class _OnFile:
    """A holdout as somebody wrote it down, perhaps an older version: each field may be missing."""

    used_up: bool
    looks: int
    days: int
    needed_sharpe: float | None
    best_sharpe: float | None
    best_shape: dict[str, float]
    free_from: str
    way_out: str


def sound(tree: Any) -> dict[str, Any]:
    """What fits of a holdout that was read."""
    return fitting(_OnFile, tree)[0]


def words(tree: Mapping[str, Any]) -> str:
    """Why a holdout is used up, in one sentence; nothing for one that is not."""
    if tree.get("used_up") is not True:
        return ""
    needed, best = tree.get("needed_sharpe"), tree.get("best_sharpe")
    least = "more than any Sharpe ratio" if needed is None else f"a Sharpe ratio of {needed:.2f}"
    looks = tree.get("looks") or 0
    many = f"{looks:,} look{'' if looks == 1 else 's'}"
    found = "" if best is None else f", and the best found has {best:.2f} on the days it was chosen for"
    return (
        f"the holdout is used up: after {many} a further strategy needs {least} in its {tree.get('days')} days{found}"
    )


def way_out(tree: Mapping[str, Any]) -> str:
    """What helps, in one sentence; nothing for a holdout that is not used up."""
    return str(tree.get("way_out") or "") if tree.get("used_up") is True else ""
