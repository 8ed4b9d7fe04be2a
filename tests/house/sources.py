"""The product's own Python files as syntax trees, read once for all guards."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from state.files.layout import CHECKOUT

PACKAGES = ("scripts", "WORKFLOW", "hooks", "agents", "config", "state")


@cache
def trees(package: str) -> dict[str, ast.Module]:
    """File, relative to the checkout → its syntax tree; commands without an extension are files of `scripts`, too."""
    return {shown(path): ast.parse(path.read_bytes()) for path in files(package) if is_python(path)}


def shown(path: Path) -> str:
    """A path as messages name it."""
    return str(path.relative_to(CHECKOUT))


def files(package: str) -> Iterator[Path]:
    """Every file of a package; environments, caches and the results of runs lie in `state`, too, and are none."""
    for path in sorted((CHECKOUT / package).iterdir()):
        if path.is_file():
            yield path
        elif not path.name.startswith((".", "__")) and path.relative_to(CHECKOUT) != Path("state/run"):
            yield from (one for one in sorted(path.rglob("*")) if one.is_file() and "__pycache__" not in one.parts)


def is_python(path: Path) -> bool:
    """A module, or a command without an extension."""
    return path.suffix == ".py" or (not path.suffix and path.read_bytes().startswith(b"#!/usr/bin/env python3"))
