"""What is left of a holdout. The job that looks at it writes this; whether another round follows depends on it.

A holdout is *used up* when one more look can promote a strategy only if it does better there than the best strategy of
the run did on the days on which it was chosen. docs/reference/validity.md derives the rule.
"""

from collections.abc import Mapping
from typing import Any

from config.record import dataclass
from state.files.tree import fitting


@dataclass(frozen=True)
class Holdout:
    """The holdout of one unit (symbol and mode) after a round. Sharpe ratios are annual; None means unknown.

    `needed_sharpe` is the ratio that the next look would have to show over `days` days. `best_sharpe` is the in-sample
    ratio of the run's finalist that would look best in the holdout if it went on like that; `best_shape` holds that
    finalist's daily Sharpe ratio with the skewness and kurtosis of its days. `free_from` is the date up to which bars
    must reach to leave a holdout without any look.
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
    """The types of a holdout on file. Each field may be missing, when an older version wrote it."""

    used_up: bool
    looks: int
    days: int
    needed_sharpe: float | None
    best_sharpe: float | None
    best_shape: dict[str, float]
    free_from: str
    way_out: str


def sound(tree: Any) -> dict[str, Any]:
    """Return the fields of a recorded holdout that have the right type."""
    return fitting(_OnFile, tree)[0]


def words(tree: Mapping[str, Any]) -> str:
    """Return one sentence on why a holdout is used up; "" when it is not."""
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
    """Return one sentence on what helps; "" for a holdout that is not used up."""
    return str(tree.get("way_out") or "") if tree.get("used_up") is True else ""
