"""`python -m WORKFLOW.recount.command FOLDER …` prints one JSON object about result trees: folder → best → findings.

For each best it holds `checks`, judged again from its figures; `wrong`, the claims that its figures contradict; and
`unknown`, the claims that they cannot confirm.
"""

import json
import sys
from pathlib import Path
from typing import Any

from config.errors import Refused
from state.host import process
from state.records.results import PublishedTree
from WORKFLOW.recount import checks
from WORKFLOW.recount.files import read, tree_of

_NO_WINDOWS = "it was published without windows.json, so the figures of its windows cannot be counted again"
_DAMAGED = (AttributeError, LookupError, OverflowError, TypeError, ValueError, ZeroDivisionError)


def of_tree(folder: Path) -> dict[str, Any]:
    """Compute the figures and checks of every best of a tree again.

    Raises:
        Refused: a file is not the one that the manifest names.
    """
    tree = tree_of(folder)
    return {best: of_best(tree, best) for best in tree.bests}


def of_best(tree: PublishedTree, best: str) -> dict[str, Any]:
    """Compute the figures and checks of one best again; damaged files are a finding and no error."""
    try:
        one = read(tree, best)
        found = checks.checks(one)
        wrong = list(checks.contradictions(one, found))
    except _DAMAGED as error:
        damage = f"its files lack what a run writes ({type(error).__name__}: {error})"
        return {"checks": [], "wrong": [damage], "unknown": []}
    return {"checks": found, "wrong": wrong, "unknown": [_NO_WINDOWS] if one.windows is None else []}


def main(argv: list[str]) -> int:
    """Print the findings about each folder in `argv`."""
    print(json.dumps({folder: _answer(Path(folder)) for folder in argv}))
    return 0


def _answer(folder: Path) -> dict[str, Any]:
    try:
        return of_tree(folder)
    except Refused as refusal:
        return {"refused": [refusal.reason, refusal.way_out]}


if __name__ == "__main__":
    process.begin()
    sys.exit(main(sys.argv[1:]))
