"""A signal family: a module, its line in `signals/__init__.py`, a mode, a section of the page, tests of its own."""

import ast
import re
from pathlib import Path

import pytest

from agents.rules import pace
from config.settings import load
from state.files.layout import CHECKOUT
from tests.house.sources import trees
from WORKFLOW.signals import FAMILIES

PAGE = CHECKOUT / "docs" / "reference" / "signal_families.md"
ROOM = "WORKFLOW/signals/"
PROTOCOLS = f"{ROOM}family.py"


def modules() -> set[str]:
    """Modules with a class that can be bound to a market; `family.py` says what such a class is."""
    found = {path: tree for path, tree in trees("WORKFLOW").items() if path.startswith(ROOM) and path != PROTOCOLS}
    return {Path(path).stem for path, tree in found.items() if any(is_family(node) for node in tree.body)}


def is_family(node: ast.stmt) -> bool:
    methods = {one.name for one in getattr(node, "body", ()) if isinstance(one, ast.FunctionDef)}
    return isinstance(node, ast.ClassDef) and {"on", "valid"} <= methods


def test_every_module_of_signals_is_a_family_that_can_be_named() -> None:
    assert modules() - set(FAMILIES) == set(), "add each to FAMILIES in WORKFLOW/signals/__init__.py"
    assert set(FAMILIES) - modules() == set(), "call the module like the family"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_a_mode_that_searches_it(name: str) -> None:
    modes = [mode.name for mode in load({}).modes.values() if mode.family == name]
    assert modes, f"add a mode with `family: {name}` to config/workflow_defaults.yaml"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_tests_of_its_own(name: str) -> None:
    path = CHECKOUT / "tests" / "signals" / f"test_{name}.py"
    assert path.is_file(), f"compute the signal of {name} by hand in tests/signals/test_{name}.py"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_described_with_its_parameters_and_limits(name: str) -> None:
    sections = re.findall(rf"^## `{name}`.*?(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(sections) == 1, f"describe {name} in a section of docs/reference/signal_families.md"
    rows = re.findall(r"^\| (`.*?`) \| ([\d,]+) to ([\d,]+) \|", sections[0], re.M)
    described = {
        parameter: (int(low.replace(",", "")), int(high.replace(",", "")))
        for parameters, low, high in rows
        for parameter in re.findall(r"`(\w+)`", parameters)
    }
    assert described == FAMILIES[name].limits, f"its section in {PAGE.name} has a table of parameters and limits"


def test_every_section_of_the_page_is_a_family() -> None:
    assert set(re.findall(r"^## `(\w+)`", PAGE.read_text(encoding="utf-8"), re.M)) == set(FAMILIES)


def test_agents_know_which_families_ship_with_the_product() -> None:
    """The control plane cannot import the work plane, so `pace.py` names the families by itself."""
    assert set(pace._STATED_FAMILIES) == set(FAMILIES), "name each in _STATED_FAMILIES of agents/rules/pace.py"
