"""The import contracts bind every package, every room and every agent, also those that are added tomorrow."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import pytest

from state.files.layout import CHECKOUT
from tests.house.sources import PACKAGES, trees

PROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
LINTER = PROJECT["tool"]["importlinter"]
CONTRACTS: dict[str, dict[str, Any]] = {contract["name"]: contract for contract in LINTER["contracts"]}
# Rooms whose modules decide on what they are given. `signal`: names of signals, no deeds.
PURE = ("agents/roles/", "agents/actions/", "agents/rules/", "agents/model/")
HARMLESS = {"collections", "dataclasses", "datetime", "enum", "functools", "itertools", "math", "re", "signal"}
HARMLESS |= {"statistics", "typing"}
# Calls that look at the world or at a clock, whatever module they come from.
LOOKS = {"open", "input", "print", "exec", "eval", "__import__", "now", "utcnow", "today", "read_text", "read_bytes"}
LOOKS |= {"write_text", "write_bytes"}


def packages() -> set[str]:
    """Top-level folders that hold Python, tests apart."""
    return {path.parent.name for path in CHECKOUT.glob("*/__init__.py")}


def test_every_package_is_bound_by_the_layers_checked_for_types_and_known_to_the_guards() -> None:
    (layers,) = (c["layers"] for c in CONTRACTS.values() if c["type"] == "layers" and "containers" not in c)
    bound = {name.strip() for line in layers for name in line.split("|")}
    for where in (bound, set(LINTER["root_packages"]), set(PROJECT["tool"]["mypy"]["files"]), set(PACKAGES)):
        assert where == packages()


def test_every_contract_about_rooms_is_exhaustive() -> None:
    """A room without a layer would be bound by nothing."""
    open_ones = [n for n, c in CONTRACTS.items() if "containers" in c and c.get("exhaustive") is not True]
    assert open_ones == [], "say exhaustive = true"


def test_what_is_forbidden_to_agents_is_forbidden_to_every_pure_room() -> None:
    bound = {name for name, c in CONTRACTS.items() if "psutil" in c.get("forbidden_modules", ())}
    assert bound, "no contract keeps psutil from agents"
    for name in bound:
        assert {f"{source.replace('.', '/')}/" for source in CONTRACTS[name]["source_modules"]} == set(PURE)
    # A whole package covers the modules that are added to it; a list of agents would not.
    (siblings,) = (c for c in CONTRACTS.values() if c["type"] == "independence")
    assert siblings["modules"] == ["agents.roles.*"]


def test_exceptions_to_contracts_are_still_needed() -> None:
    """A stale exception would let imports pass that no one wants."""
    for name, contract in CONTRACTS.items():
        for exception in contract.get("ignore_imports", ()):
            importer, _, imported = exception.partition(" -> ")
            wanted = f"{importer.replace('.', '/')}.py"
            files = [t for path, t in trees(importer.partition(".")[0]).items() if fnmatch(path, wanted)]
            assert any(_imports(tree, imported) for tree in files), f"{name}: {exception}"


def _imports(tree: ast.Module, module: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name, _ in imported(tree))


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module that is imported anywhere in a file, and every name taken from one, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def impure(tree: ast.Module) -> list[str]:
    """What a pure module may not do: touch the machine, read a file, ask a clock, or load a package of others."""
    ours = {*PACKAGES, "__future__"}
    tops = {(name.partition(".")[0], line) for name, line in imported(tree)}
    found = [f"line {line}: it imports {top}" for top, line in sorted(tops) if top not in {*HARMLESS, *ours}]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            found += [f"line {node.lineno}: it calls {called}()"] if called in LOOKS else []
    return found


def test_agents_and_their_rules_are_pure() -> None:
    found = {path: wrong for path, tree in trees("agents").items() if path.startswith(PURE) and (wrong := impure(tree))}
    assert found == {}, "an agent decides on its World, its memory and its limits alone (docs/architecture.md)"


@pytest.mark.parametrize(
    "text",
    [
        "import psutil",
        "def decide():\n    import psutil",
        "from os import environ",
        "import subprocess as helper",
        "from pathlib import Path",
        "import numpy as np",
        "from datetime import datetime\nAT = datetime.now()",
        "def decide():\n    return open('/proc/stat')",
    ],
)
def test_an_agent_that_touches_the_world_is_found(text: str) -> None:
    assert impure(ast.parse(text))


def test_harmless_modules_are_of_the_standard_library() -> None:
    assert set(sys.stdlib_module_names) >= HARMLESS
