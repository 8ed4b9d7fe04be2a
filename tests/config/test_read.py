"""A setting that nothing reads would be a promise that nobody keeps."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

from config.settings import Settings
from config.swarm import SwarmSettings
from tests.test_layout import CHECKOUT, sources

GROUPS = get_type_hints(SwarmSettings)
SECTIONS = {name: hint for name, hint in get_type_hints(Settings).items() if name not in ("modes", "swarm")} | GROUPS
FIELDS = [(section, field) for section, record in SECTIONS.items() for field in get_type_hints(record)]
READERS = ("agents", "hooks", "state", "WORKFLOW", "scripts")


def names_of(annotation: ast.expr | None) -> set[str]:
    """The classes an annotation names."""
    return {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} if annotation else set()


def annotated(tree: ast.Module) -> dict[str, set[str]]:
    """Variable, parameter or field → the classes, or the fields, that this module says it may be."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            found.setdefault(node.arg, set()).update(names_of(node.annotation))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.setdefault(node.target.id, set()).update(names_of(node.annotation))
    for node in ast.walk(tree):  # walk = settings.walk_forward; self._limits = limits
        if isinstance(node, ast.Assign):
            targets = [one for target in node.targets for one in getattr(target, "elts", [target])]
            values = getattr(node.value, "elts", [node.value])
            for target, value in zip(targets, values, strict=False):
                found.setdefault(name_of(target), set()).update({name_of(value)} | found.get(name_of(value), set()))
    return found


def name_of(node: ast.expr) -> str:
    """The last part of a name such as `limits`, `self._limits` or `job.settings.verdict`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def read_in(path: Path) -> Iterator[tuple[str, str]]:
    """Every setting this file reads: `….section.field`, or a field of what is annotated as the section's record."""
    tree = ast.parse(path.read_bytes())
    types = annotated(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            holder = name_of(node.value)
            yield holder, node.attr
            yield from ((record, node.attr) for record in types.get(holder, ()))


@pytest.fixture(scope="module")
def read() -> set[tuple[str, str]]:
    paths = [path for path in sources() if path.relative_to(CHECKOUT).parts[0] in READERS]
    return {one for path in paths for one in read_in(path)}


@pytest.mark.parametrize(("section", "field"), FIELDS)
def test_some_code_reads_the_setting(section: str, field: str, read: set[tuple[str, str]]) -> None:
    assert {(section, field), (SECTIONS[section].__name__, field)} & read, f"nobody reads {section}.{field}"


def test_a_setting_that_nobody_reads_is_found(read: set[tuple[str, str]]) -> None:
    assert not {("hang", "combos"), ("HangSettings", "combos"), ("hang", "no_such")} & read
