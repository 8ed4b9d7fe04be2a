"""Every way out that the product's code gives, found in its syntax: which file and line says what."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from state.files.layout import CHECKOUT

PACKAGES = ("scripts", "WORKFLOW", "hooks", "agents", "config", "state")
# What is raised or recorded with a way out, and at which place that stands.
SAYERS = {"Refused": 1, "Misused": 1, "GpuLost": 1, "Transient": 1, "Recomputable": 1, "Reason": 1, "Incident": 2}
_DOCTOR = "scripts.swarm.doctor."  # whose findings say last how they are mended, where there is something to mend
_TO_MEND = ("ERROR", "WARNING")
HOLE = "…"  # where a text has a value in it


@dataclass(frozen=True)
class WayOut:
    """What one call says; `texts` are its possible wordings, () where it hands on what another has said."""

    module: str
    line: int
    texts: tuple[str, ...]
    is_missing: bool

    def __str__(self) -> str:
        """The place, for the name of a test."""
        return f"{self.module}:{self.line}"


@cache
def every() -> tuple[WayOut, ...]:
    """Return all ways out, in order of file and line."""
    found = []
    for path in sources():
        module = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
        tree = ast.parse(path.read_bytes())
        known = _assigned(tree)
        found += [_way_out(module, call, known) for call in _calls(module, tree)]
    return tuple(found)


def sources() -> Iterator[Path]:
    """The product's modules, without what is installed beside them."""
    for package in PACKAGES:
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            if not any(part.startswith(".venv") for part in path.parts):
                yield path


def _calls(module: str, tree: ast.Module) -> list[ast.Call]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _place(module, node) is not None]
    return sorted(calls, key=lambda call: call.lineno)


def _place(module: str, call: ast.Call) -> int | None:
    """Where the way out stands among a call's arguments; None where it says none."""
    name = _name(call.func)
    if name == "Finding" and module.startswith(_DOCTOR) and call.args and _name(call.args[0]) in _TO_MEND:
        return 3
    return SAYERS.get(name)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Name → what is ever assigned to it in the module."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def _way_out(module: str, call: ast.Call, known: dict[str, list[ast.expr]]) -> WayOut:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "way_out"]
    place = _place(module, call) or 0
    if not given and len(call.args) <= place:
        starred = any(isinstance(one, ast.Starred) for one in call.args)
        return WayOut(module, call.lineno, (), is_missing=not starred)
    texts = tuple(dict.fromkeys(_texts(given[0] if given else call.args[place], module, known)))
    return WayOut(module, call.lineno, tuple(text for text in texts if text), is_missing="" in texts)


def _texts(  # noqa: PLR0911 one for each form of an expression
    node: ast.expr, module: str, known: dict[str, list[ast.expr]], depth: int = 0
) -> list[str]:
    """The wordings that an expression can have; what cannot be known here is a hole, or nothing at all."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body, module, known, depth), *_texts(node.orelse, module, known, depth)]
    if isinstance(node, ast.BoolOp):
        return [text for one in node.values for text in _texts(one, module, known, depth)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = (_texts(one, module, known, depth) or [HOLE] for one in (node.left, node.right))
        return [f"{one}{other}" for one in left for other in right]
    if isinstance(node, ast.JoinedStr):
        made = [""]
        for part in node.values:
            inside = part.value if isinstance(part, ast.FormattedValue) else part
            words = [text for text in _texts(inside, module, known, depth) if text] or [HOLE]
            made = [f"{start}{word}" for start in made for word in words[:4]]
        return made
    if isinstance(node, ast.Name) and depth < 3:
        if node.id in known:
            return [text for one in known[node.id] for text in _texts(one, module, known, depth + 1)]
        value = getattr(importlib.import_module(module), node.id, None)
        return [value] if isinstance(value, str) else []
    return []


# what a text tells people to type -------------------------------------------------------------------------------------

# A command of the checkout, and what directly follows it: its own command and its flags.
COMMAND = re.compile(r"\b((?:scripts|hooks|WORKFLOW)/[\w/.-]*\w)((?: +(?:--?[\w-]+|[\w/.-]+))*)")
FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]*[a-z0-9])(?:[ =]([\w./'%-]+))?")
SETTING = re.compile(r"\bBACKTEST_OPTIMIZE__([A-Z_]+?)__([A-Z_]+?)(?==|\b)")


def without_foreign(text: str) -> str:
    """A text without the command lines of other programs, whose flags are theirs."""
    return re.sub(r"\b(pip|install|tmux|apt|apt-get|brew|dnf|crontab|nvidia-smi|chmod|rm|gzip) [^;:,)]*", " ", text)
