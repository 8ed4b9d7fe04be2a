"""Our frozen records behave as the standard library's frozen dataclasses do."""

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import pytest

from config import record
from state.files.layout import CHECKOUT


@record._dataclass(frozen=True)
class Ours:
    """One, as the control plane has them."""

    name: str
    size: int = 3
    tags: dict[str, int] = record.field(default_factory=dict)

    @property
    def double(self) -> int:
        return 2 * self.size


@dataclasses.dataclass(frozen=True)
class Theirs:
    """The same."""

    name: str
    size: int = 3
    tags: dict[str, int] = field(default_factory=dict)

    @property
    def double(self) -> int:
        return 2 * self.size


@record._dataclass(frozen=True)
class More(Ours):
    """One field more."""

    loud: bool = False


@record._dataclass(frozen=True)
class Whole:
    """With others in it."""

    first: Ours
    rest: tuple[Any, ...]
    nothing: None
    numbers: list[float]


def refused(deed: Callable[[], Any]) -> type[BaseException] | None:
    try:
        deed()
    except Exception as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (("a",), {}),
        (("a", 4), {"tags": {"x": 1}}),
        ((), {"size": 5, "name": "b"}),
        ((), {}),
        (("a",), {"name": "b"}),
        (("a", 1, {}, 9), {}),
        (("a",), {"colour": "red"}),
        ((), {"size": 1, "colour": "red"}),
    ],
)
def test_they_are_made_alike(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    assert refused(lambda: Ours(*values, **named)) == refused(lambda: Theirs(*values, **named))
    if refused(lambda: Theirs(*values, **named)) is None:
        ours, theirs = Ours(*values, **named), Theirs(*values, **named)
        assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
        assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
        assert ours.double == theirs.double
        assert [f.name for f in dataclasses.fields(Ours)] == [f.name for f in dataclasses.fields(Theirs)]


def test_they_are_equal_by_value_and_only_among_themselves() -> None:
    one = Ours("a", 1)
    assert (one == Ours("a", 1), one == Ours("a", 2), one == Theirs("a", 1)) == (True, False, False)
    assert one != Theirs("a", 1)
    point = record._dataclass(frozen=True)(type("Point", (), {"__annotations__": {"x": int}, "__doc__": "A point."}))
    assert len({point(1), point(1), point(2)}) == 2
    assert {refused(lambda: hash(Ours("a"))), refused(lambda: hash(Theirs("a")))} == {TypeError}  # a dict in it


def test_they_do_not_share_what_a_factory_made() -> None:
    assert Ours("a").tags is not Ours("a").tags


def test_nothing_changes_them_but_a_copy_may_differ() -> None:
    one = Ours("a")
    for deed in (
        lambda: setattr(one, "size", 9),
        lambda: setattr(one, "new", 9),
        lambda: delattr(one, "size"),
    ):
        assert refused(deed) is dataclasses.FrozenInstanceError
    assert dataclasses.replace(one, size=9) == Ours("a", 9)
    assert refused(lambda: dataclasses.replace(one, colour="red")) is TypeError
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one


def test_what_is_made_of_them_is_plain_and_as_the_library_makes_it() -> None:
    whole = Whole(Ours("a", 2, {"x": 1}), (Ours("b"), Theirs("c")), None, [1, 2.5])
    assert record.asdict(whole) == dataclasses.asdict(whole)
    assert record.asdict(Theirs("a")) == dataclasses.asdict(Theirs("a"))
    assert record.asdict(whole)["first"]["tags"] is not whole.first.tags
    assert record.replace(whole, rest=()) == dataclasses.replace(whole, rest=())
    assert record.replace(Theirs("a"), size=9) == Theirs("a", 9)
    assert [f.name for f in record.fields(Theirs)] == [f.name for f in record.fields(Ours)]
    assert [record.is_dataclass(one) for one in (Ours, Theirs, whole, dict[str, int], 1)] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_record_that_extends_another_has_its_fields_first() -> None:
    more = More("a", 1, {}, True)
    assert [f.name for f in dataclasses.fields(more)] == ["name", "size", "tags", "loud"]
    assert (more.loud, more.double, more == Ours("a", 1)) == (True, 2, False)


def test_nothing_a_cold_cycle_imports_loads_the_library() -> None:
    """inspect, which comes with it, would be 10 of the 60 ms (docs/adr/0015)."""
    modules = ("agents.registry", "agents.runtime.cycle", "agents.machine.observe", "agents.machine.acts")
    dear = ("dataclasses", "inspect", "hashlib", "yaml", "argparse")
    look = f"import {', '.join(modules)}, sys; print([name for name in {dear} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_they_cannot_do_is_refused_where_it_is_written() -> None:
    class Shared:
        """With a class variable."""

        known: ClassVar[int] = 1

    class Checked:
        """With a check."""

        size: int = 0

        def __post_init__(self) -> None:
            raise ValueError

    class Hidden:
        """With a field that is not compared."""

        size: int = field(default=0, compare=False)

    for kind in (Shared, Checked, Hidden):
        assert refused(lambda k=kind: record._dataclass(frozen=True)(k)) is AssertionError
    assert refused(lambda: record._dataclass(frozen=False)) is AssertionError
