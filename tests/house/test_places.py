"""Where a test lies. docs/CONTRIBUTING.md says it in words.

1. A folder below `tests/` is a *home*: it is called like a folder of the product and holds the tests of what lies there
   (`tests/agents` → `agents/`, `tests/data` → `WORKFLOW/data/`, `tests/report/tearsheet` →
   `WORKFLOW/report/tearsheet/`); where several folders have the name, the one nearest to the top is meant. Or it
   *crosses* the packages and stands in `CROSSING` with the reason.
2. A test file that is called like a module which it imports lies in a home of that module.
3. A test file in a home imports something that lies there, or types a command, or follows a page.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

from state.files.layout import CHECKOUT
from tests.house.sources import PACKAGES, is_python, shown, trees
from tests.house.test_contracts import imported

TESTS = CHECKOUT / "tests"
CROSSING = {
    "gpu": "a GPU takes engines, lanes, probes and commands at once",
    "guides": "they follow the guides of docs/",
    "house": "they look at the whole repository",
    "properties": "they hold of all engines and families at once",
    "shapes": "they give every reader every wrong shape",
    "tmux": "they start whole swarms on a private tmux server",
    "ways_out": "they follow the ways out that messages name",
}
# Called like a record that they import, and about something else.
NAMESAKES = {
    "tests/WORKFLOW/test_reading.py": "what is said of a file's dates on the way to whoever reads it",
    "tests/agents/test_healing.py": "how agents heal",
}


@cache
def folders() -> tuple[Path, ...]:
    """Every folder of the product with modules in it, those nearest to the top first."""
    files = [Path(name) for package in PACKAGES for name in trees(package)]
    return tuple(sorted({path.parent for path in files}, key=lambda path: (len(path.parts), str(path))))


def home(folder: Path) -> Path | None:
    """The folder of the product that a folder below `tests/` is the home of."""
    wanted = folder.relative_to(TESTS).parts
    return next((one for one in folders() if one.parts[-len(wanted) :] == wanted), None) if wanted else None


def every_test() -> list[Path]:
    return sorted(TESTS.rglob("test_*.py"))


def crosses(path: Path) -> bool:
    return path.relative_to(TESTS).parts[0] in CROSSING or path.parent == TESTS


def modules_of(path: Path) -> set[Path]:
    """What a test file imports of the product, as files and folders without an extension."""
    tree = ast.parse(path.read_bytes())
    names = {name for name, _ in imported(tree) if name.partition(".")[0] in PACKAGES}
    return {Path(*name.split(".")) for name in names}


@pytest.mark.parametrize("folder", sorted({path.parent for path in every_test()} - {TESTS}), ids=shown)
def test_a_folder_of_tests_is_a_home_or_is_said_to_cross(folder: Path) -> None:
    first = folder.relative_to(TESTS).parts[0]
    assert first in CROSSING or home(folder), (
        "name it like the folder of the product that it tests, or give the reason in tests/house/test_places.py"
    )


def test_whatever_crosses_is_there() -> None:
    assert [name for name in CROSSING if not any((TESTS / name).rglob("test_*.py"))] == []


def test_a_file_called_like_a_module_that_it_imports_lies_in_a_home_of_that_module() -> None:
    wrong = []
    for path in every_test():
        name = path.stem.removeprefix("test_")
        homes = {one.parent for one in modules_of(path) if one.name == name and is_module(one)}
        homes = set() if shown(path) in NAMESAKES else homes
        mine = None if crosses(path) else home(path.parent)
        if homes and not crosses(path) and not any(one == mine or mine in one.parents for one in homes):
            wrong.append(f"{shown(path)}: {', '.join(f'{one}/{name}.py' for one in sorted(homes))}")
    assert wrong == [], "move each beside the other tests of its module"


def is_module(path: Path) -> bool:
    file = CHECKOUT / path.with_suffix(".py")
    return file.is_file() and is_python(file)


def test_a_file_in_a_home_tests_what_lies_there() -> None:
    wrong = []
    for path in every_test():
        mine = None if crosses(path) else home(path.parent)
        if mine is None:
            continue
        names = modules_of(path) - {Path("state/files/layout"), Path("state/files/layout/CHECKOUT")}
        if names and not any(one == mine or mine in one.parents for one in names) and not types_a_command(path, mine):
            wrong.append(f"{shown(path)}: nothing from {mine}, but {', '.join(map(str, sorted(names)))}")
    assert wrong == [], "move each beside the other tests of what it imports"


def types_a_command(path: Path, mine: Path) -> bool:
    """Whether a path into the package is written out, as in `CHECKOUT / "scripts" / "bench"`."""
    texts = {str(n.value) for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.Constant)}
    return any(text == mine.parts[0] or text.startswith(f"{mine.parts[0]}/") for text in texts)


def test_exceptions_are_still_needed() -> None:
    assert [name for name in NAMESAKES if not (CHECKOUT / name).is_file()] == []
