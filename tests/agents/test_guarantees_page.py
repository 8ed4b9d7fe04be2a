"""docs/reference/guarantees.md names tests: each of them exists, and none that proves a guarantee is left out."""

import ast
import re

from state.files.layout import CHECKOUT

PAGE = (CHECKOUT / "docs" / "reference" / "guarantees.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def names_in(path: str) -> set[str]:
    tree = ast.parse((CHECKOUT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_test_that_the_page_names_exists() -> None:
    assert len(NAMED) > 40
    assert [f"{path}::{name}" for path, name in NAMED if name not in names_in(path)] == []


def test_every_line_of_the_tables_names_a_test() -> None:
    tables = PAGE.partition("## Measured")[0]
    rows = [
        line
        for line in tables.splitlines()
        if line.startswith("| ") and not line.startswith(("| # ", "| fault ", "| attack "))
    ]
    assert [row for row in rows if "`tests/" not in row] == []


def test_the_page_names_every_test_of_the_guarantees() -> None:
    for path in ("tests/agents/test_guarantees.py", "tests/agents/test_faults_around.py"):
        assert names_in(path) - {name for other, name in NAMED if other == path} == set()
