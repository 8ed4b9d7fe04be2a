"""How often each kind of action was done, and how often the next cycle found what was expected of it."""

from collections.abc import Iterable, Mapping
from typing import Any

_VERIFIED: dict[Any, str] = {True: "held", False: "unmet"}
_COUNTS = ("done", "failed", "held", "unmet", "unknown")


def after(before: Any, outcomes: Iterable[Mapping[str, Any]], verified: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The tally `before` (kind → counts, last expectation) with one more cycle in it; unreadable ones begin anew.

    `verified` speaks of the actions of the cycle before, `outcomes` of those of this one.
    """
    tally = {kind: dict(row) for kind, row in before.items()} if _is_tally(before) else {}
    for one in verified:
        row = tally.setdefault(one["kind"], _row())
        row[_VERIFIED.get(one.get("holds"), "unknown")] += 1
        row["holds"] = one.get("holds")
    for one in outcomes:
        row = tally.setdefault(one["kind"], _row())
        row["failed" if str(one["outcome"]).startswith("failed: ") else "done"] += 1
        row |= {"expected": one["expected"], "holds": None}
    return tally


def _row() -> dict[str, Any]:
    return dict.fromkeys(_COUNTS, 0) | {"expected": "", "holds": None}


def _is_tally(tree: Any) -> bool:
    return isinstance(tree, Mapping) and all(
        isinstance(row, Mapping) and all(isinstance(row.get(name), int) for name in _COUNTS) for row in tree.values()
    )
