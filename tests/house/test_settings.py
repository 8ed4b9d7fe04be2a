"""Every setting of `config/workflow_defaults.yaml` is read by code: one that is never read promises too much.

And a new one costs no more than its value, its field, its limits and its reader: nobody else lists a section.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from config.settings import Costs, Settings
from tests.house.sources import PACKAGES, files, is_python, shown, trees

# Sections of settings, and groups within sections: name → its record.
Records = dict[str, type[Any]]
KINDS = (ast.arg, ast.AnnAssign, ast.Assign, ast.Attribute)


def records() -> Records:
    """Name of each section or group → its record; `modes` are no record but spaces of the user's own."""
    found: Records = {}
    todo = [(name, kind) for name, kind in hints(Settings).items() if name != "modes"]
    while todo:
        name, kind = todo.pop()
        found[name] = kind
        todo += [(key, hint) for key, hint in hints(kind).items() if is_dataclass(hint)]
    return found


def hints(kind: type[Any]) -> dict[str, Any]:
    known = get_type_hints(kind)
    return {one.name: known[one.name] for one in fields(kind)}


def holders(every: Records, nodes: list[ast.AST]) -> dict[str, set[str]]:
    """Variable, parameter or attribute → the records that it holds somewhere in the product.

    A name holds a record when it is called like the section, is annotated with the record's type, or is assigned from
    such a name.
    """
    by_type = {kind.__name__: name for name, kind in every.items()}
    held: dict[str, set[str]] = defaultdict(set)
    for name in every:
        held[name].add(name)
    for target, value in _annotated(nodes):
        held[target] |= {by_type[word] for word in _words(value) & set(by_type)}
    for _ in range(2):  # a name may be assigned from one that is found later
        for target, value in _assigned(nodes):
            held[target] |= held.get(_last(value), set())
    return held


def _annotated(nodes: list[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    for node in nodes:
        if isinstance(node, ast.arg) and node.annotation is not None:
            yield node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign):
            yield _last(node.target), node.annotation


def _assigned(nodes: list[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                pairs = zip(target.elts, node.value.elts, strict=False) if several else [(target, node.value)]
                yield from ((_last(one), value) for one, value in pairs if _last(one))


def _words(annotation: ast.expr) -> set[str]:
    """Names in an annotation, also where it is written as a text."""
    text = ast.unparse(annotation)
    return set("".join(c if c.isidentifier() or c.isdigit() else " " for c in text).split())


def _last(node: ast.expr) -> str:
    """`case.settings.verdict` and `verdict` are both called verdict, and so is what `verdict()` gives."""
    if isinstance(node, ast.Call):
        return _last(node.func)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def unread(every: Records, nodes: list[ast.AST]) -> list[str]:
    """Settings of which no module reads the value, as `section.key`.

    Names stand in for types here. Where another record has a field of the same name, under a variable of the same name,
    a setting may count as read that is not; of 104 settings this could happen to ten (measured against mypy).
    """
    held = holders(every, nodes)
    read = {
        (record, node.attr)
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        for record in held.get(_last(node.value), ())
    }
    return sorted(
        f"{name}.{key}"
        for name, kind in every.items()
        for key, hint in hints(kind).items()
        if not is_dataclass(hint) and (name, key) not in read
    )


def product() -> list[ast.AST]:
    """All that may read a setting; config itself only checks them."""
    modules = [tree for package in PACKAGES if package != "config" for tree in trees(package).values()]
    return [node for module in modules for node in ast.walk(module) if isinstance(node, KINDS)]


def test_every_setting_is_read_by_somebody() -> None:
    missing = unread(records(), product())
    assert missing == [], "nobody reads these: use them, or take them out of config/workflow_defaults.yaml"


def test_a_setting_that_nobody_reads_is_found() -> None:
    """The guard itself: without the readers of one setting, that one is named."""
    text = "def look(limits: SwarmSettings) -> float:\n    return limits.use.window_s + limits.lanes.count\n"
    missing = unread(records(), list(ast.walk(ast.parse(text))))
    assert "use.window_s" not in missing
    assert "lanes.count" not in missing
    assert {"lanes.nice", "hang.after_s", "search.trials", "verdict.max_luck"} <= set(missing)


# Where a text makes the record of a section from values of its own, one by one.
BY_HAND = re.compile(rf"\b(?:{'|'.join(kind.__name__ for kind in records().values())})\((?!\*\*).*")


def test_nobody_lists_the_values_of_a_section() -> None:
    """Each such list would have to be changed for every new setting of the section."""
    sources = [path for package in (*PACKAGES, "tests") for path in files(package) if is_python(path)]
    lists = {shown(path): found for path in sources if (found := BY_HAND.findall(path.read_text(encoding="utf-8")))}
    assert lists == {}, "write `replace(load({}).section, …)` with the values that matter"


@pytest.mark.parametrize(("values", "is_list"), [("0.1, 1.0, 100", True), ("count=2", True), ("**tree", False)])
def test_a_list_of_values_is_found(values: str, is_list: bool) -> None:
    assert bool(BY_HAND.search(f"one = settings.{Costs.__name__}({values})")) is is_list
