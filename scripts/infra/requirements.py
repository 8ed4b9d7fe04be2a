"""Read the lock files and the installed packages, with the standard library, in a millisecond or two.

`importlib.metadata` takes 30 ms for the same, and `packaging` may be among the missing packages.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\]+))?")
_INSTALLED = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)(?:-py[\d.]+)?\.(?:dist-info|egg-info)$")
_TOKEN = re.compile(r"\s*(?:(?P<word>[a-z_]+)|(?P<operator>[=!<>]=|[<>])|'(?P<text>[^']*)'|(?P<bracket>[()]))")


def normalised(name: str) -> str:
    """Return the normal form of a package name: `Foo_Bar.baz` and `foo-bar-baz` are the same package."""
    return re.sub(r"[-_.]+", "-", name).lower()


def applicable(lock_file: Path) -> dict[str, str]:
    """Return name → version of every pinned package that the running Python and platform need."""
    pins = (_PINNED.match(line) for line in lock_file.read_text(encoding="utf-8").splitlines())
    return {normalised(p["name"]): p["version"] for p in pins if p and (not p["marker"] or applies(p["marker"]))}


def installed(folders: Iterable[str | Path]) -> dict[str, str]:
    """Return name → version of the distributions in `folders`; of two with one name the first counts, as in imports."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(folder or "."))  # a Path for each of 500 names would cost more than all the rest
        except OSError:
            continue
        for match in filter(None, map(_INSTALLED.match, names)):
            found.setdefault(normalised(match["name"]), match["version"])
    return found


def applies(marker: str) -> bool:
    """Evaluate an environment marker of the kind that the locks use; an unknown name counts as true."""
    return _any([m for m in _TOKEN.finditer(marker.strip()) if m.group()])


def _any(tokens: list[re.Match[str]]) -> bool:
    result = _all(tokens)
    while tokens and tokens[0]["word"] == "or":
        tokens.pop(0)
        result = _all(tokens) or result
    return result


def _all(tokens: list[re.Match[str]]) -> bool:
    result = _comparison(tokens)
    while tokens and tokens[0]["word"] == "and":
        tokens.pop(0)
        result = _comparison(tokens) and result
    return result


def _comparison(tokens: list[re.Match[str]]) -> bool:
    if tokens[0]["bracket"] == "(":
        tokens.pop(0)
        result = _any(tokens)
        tokens.pop(0)
        return result
    variable, operator, text = tokens.pop(0)["word"], tokens.pop(0)["operator"], tokens.pop(0)["text"]
    return _compare(variable, operator, text)


def _compare(variable: str, operator: str, text: str) -> bool:
    import platform

    if variable.startswith("python_"):
        here, there = sys.version_info[:3], tuple(map(int, text.split(".")))
        return {"<": here < there, "<=": here <= there, ">": here > there, ">=": here >= there}.get(
            operator, (here[: len(there)] == there) == (operator == "==")
        )
    if variable == "sys_platform":
        value = sys.platform
    elif variable == "platform_machine":
        value = platform.machine()
    elif variable == "platform_python_implementation":
        value = platform.python_implementation()
    elif variable == "os_name":
        value = os.name
    else:
        return True
    return (value == text) == (operator == "==")
