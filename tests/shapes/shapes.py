"""Values of every wrong shape, and a tree with each of its values replaced by each of them in turn."""

from collections.abc import Iterator
from typing import Any

# One value of each kind that JSON can hold in the place of another.
SHAPES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    10**30,
    10**400,
    1.5,
    1e308,
    "",
    "x",
    "/",
    "..",
    "\udcff",
    "2026-99-99T00:00:00Z",
    [],
    ["x"],
    [None],
    [[]],
    [{}],
    {},
    {"x": "x"},
    {"x": None},
)
GONE = object()  # the key, or the item, is not there at all
Way = tuple[str | int, ...]


def ways(tree: Any, before: Way = ()) -> Iterator[Way]:
    """Every place in a tree, itself first."""
    yield before
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from ways(value, (*before, key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree[:2]):  # what comes behind has the shape of these
            yield from ways(value, (*before, number))


def replaced(tree: Any, way: Way, value: Any) -> Any:
    """Return a copy of `tree` with another value at one place."""
    if not way:
        return value
    first, *rest = way
    if isinstance(tree, dict):
        if not rest and value is GONE:
            return {key: one for key, one in tree.items() if key != first}
        return {key: replaced(one, tuple(rest), value) if key == first else one for key, one in tree.items()}
    if not rest and value is GONE:
        return [one for number, one in enumerate(tree) if number != first]
    return [replaced(one, tuple(rest), value) if number == first else one for number, one in enumerate(tree)]


def damages(tree: Any) -> Iterator[tuple[Way, Any]]:
    """Every place with every shape, and every place without anything."""
    for way in ways(tree):
        for shape in SHAPES:
            yield way, shape
        if way:
            yield way, GONE
