"""Turn frozen records into plain JSON and back, field by field, so that a recorded world can be decided on again.

This is the only place that looks into values from disk, which anybody may have written: they are read into their types,
or named as not fitting. `record_of` takes a record completely or not at all. `fitting` is for records to which newer
versions may add: it keeps the fields that fit, and says what is wrong with the others. `fitted` makes the record from
the fields that fit.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from config.record import asdict, fields, is_dataclass

T = TypeVar("T")


def tree_of(record: Any) -> dict[str, Any]:
    """Return a record as plain JSON values."""
    return asdict(record)


def record_of(kind: type[T], tree: Any) -> T:
    """Return the record of `kind` in `tree`. Unknown keys, of a newer writer, are left out; missing ones get defaults.

    Raises:
        ValueError: `tree` is not such a record.
    """
    try:
        return _read(kind, tree)  # type: ignore[no-any-return]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error


def read_records(kind: type[T], trees: Any) -> tuple[T, ...]:
    """Return those of `trees` that are records of `kind`; others are skipped."""
    found = []
    for tree in trees:
        try:
            found.append(record_of(kind, tree))
        except ValueError:
            continue
    return tuple(found)


def fitting(kind: Any, tree: Any, where: str = "") -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields of `tree` whose values have the type that `kind` gives them, and what is wrong with the others.

    Fields that `kind` does not name are kept, because a newer writer may have added them, and no code here reads them.
    `where` names what the fields belong to, for the messages.
    """
    if not isinstance(tree, Mapping):
        return {}, (_no_object(tree, where),)
    known, wrong = _sorted_out(kind, tree, where)
    return {name: value for name, value in tree.items() if name in known or name not in _readers(kind)}, wrong


def fitted(kind: type[T], tree: Any, where: str = "") -> tuple[T, tuple[str, ...]]:
    """Return the record of `kind` with those fields of `tree` that fit, and what is wrong with the others.

    Fields that do not fit, and fields that `tree` lacks, get their default, so `kind` needs a default for every field.
    """
    if not isinstance(tree, Mapping):
        return kind(), (_no_object(tree, where),)
    known, wrong = _sorted_out(kind, tree, where)
    return kind(**known), wrong


def _sorted_out(kind: Any, tree: Mapping[str, Any], where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the values of the fields that fit, and what is wrong with the others."""
    known, wrong = dict[str, Any](), list[str]()
    for name, read in _readers(kind).items():
        if name in tree:
            try:
                known[name] = read(tree[name])
            except (TypeError, KeyError, AttributeError, ValueError) as error:
                wrong.append(f"{where}{'.' if where else ''}{name}: {error}")
    return known, tuple(wrong)


def _no_object(tree: Any, where: str) -> str:
    return f"{where or 'the record'} is {_shown(tree)} and no object"


def _shown(value: Any) -> str:
    """Return the beginning of a value for a message; the value may be as long as a file."""
    try:
        said = repr(value)
    except (ValueError, RecursionError):  # a number with more digits than Python prints
        said = type(value).__name__
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"


_SHOWN = 60  # characters of a value that does not fit
# our own numbers stay below; larger ones from a damaged file would overflow in arithmetic
_MOST_INT, _MOST_FLOAT = 2**63, 1e150


def _read(hint: Any, tree: Any) -> Any:
    return _reader(hint)(tree)


# returns the value of a tree; TypeError, ValueError and the like mean that the tree holds no such value
Reader = Callable[[Any], Any]


@cache
def _readers(kind: Any) -> dict[str, Reader]:
    """Return the reader of each field of a record."""
    hints: dict[str, Any] = {one.name: one.type for one in fields(kind)}
    if any(map(_is_to_be_looked_up, hints.values())):
        hints = get_type_hints(kind)  # it takes half of the time of this function, so it is called only when needed
    return {one.name: _reader(hints[one.name]) for one in fields(kind)}


def _is_to_be_looked_up(hint: Any) -> bool:
    """Whether a type, or a type inside it, is given by its name."""
    inner = () if get_origin(hint) is Literal else get_args(hint)
    return isinstance(hint, str) or any(map(_is_to_be_looked_up, inner))


@cache
def _reader(hint: Any) -> Reader:
    """Return the reader for a type. It is made once for each type, because cycles read thousands of values."""
    if is_dataclass(hint) and isinstance(hint, type):
        return partial(_record, hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _object if arguments[1] is Any else partial(_objects, _reader(arguments[1]))
    special = {UnionType: _of_union, Union: _of_union, tuple: _of_tuple, Literal: _of_literal}.get(origin)
    return _PLAIN.get(hint, _as_it_is) if special is None else special(arguments)


def _of_union(arguments: tuple[Any, ...]) -> Reader:
    """Return the reader for the type beside None: our records have no other unions."""
    one = _reader(next(a for a in arguments if a is not NoneType))
    return partial(_optional, one) if NoneType in arguments else one


def _of_tuple(arguments: tuple[Any, ...]) -> Reader:
    if arguments[-1] is Ellipsis:
        return partial(_many, _reader(arguments[0]))
    return partial(_each, tuple(map(_reader, arguments)))


def _of_literal(arguments: tuple[Any, ...]) -> Reader:
    return partial(_one_of, arguments)


def _record(kind: Any, tree: Any) -> Any:
    if not isinstance(tree, Mapping):
        raise TypeError(f"{_shown(tree)} is no {kind.__name__}")
    return kind(**{name: read(tree[name]) for name, read in _readers(kind).items() if name in tree})


def _optional(read: Reader, tree: Any) -> Any:
    return None if tree is None else read(tree)


def _many(read: Reader, tree: Any) -> tuple[Any, ...]:
    if not isinstance(tree, list | tuple):
        raise TypeError(f"{_shown(tree)} is no list")
    return tuple(map(read, tree))


def _each(readers: tuple[Reader, ...], tree: Any) -> tuple[Any, ...]:
    if not isinstance(tree, list | tuple):
        raise TypeError(f"{_shown(tree)} is no list")
    return tuple(read(item) for read, item in zip(readers, tree, strict=True))


def _one_of(words: tuple[Any, ...], tree: Any) -> Any:
    if tree not in words:
        raise ValueError(f"{_shown(tree)} is none of {words}")
    return tree


def _object(tree: Any) -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        raise TypeError(f"{_shown(tree)} is no object")
    return {str(key): item for key, item in tree.items()}


def _objects(read: Reader, tree: Any) -> dict[str, Any]:
    return {key: read(item) for key, item in _object(tree).items()}


def _int(tree: Any) -> Any:
    # Not isinstance: bool is a subclass of int, and `true` in a file is no number.
    if type(tree) is not int:
        raise TypeError(f"{_shown(tree)} is no int")
    if not -_MOST_INT < tree < _MOST_INT:
        raise ValueError(f"{_shown(tree)} is too large")
    return tree


def _float(tree: Any) -> Any:
    if type(tree) is not int and not isinstance(tree, float):  # numpy's numbers are floats, too
        raise TypeError(f"{_shown(tree)} is no float")
    if not -_MOST_FLOAT < tree < _MOST_FLOAT:
        raise ValueError(f"{_shown(tree)} is too large")
    return tree


def _str(tree: Any) -> Any:
    if not isinstance(tree, str):
        raise TypeError(f"{_shown(tree)} is no str")
    return tree


def _bool(tree: Any) -> Any:
    if not isinstance(tree, bool):
        raise TypeError(f"{_shown(tree)} is no bool")
    return tree


def _as_it_is(tree: Any) -> Any:
    return tree


_PLAIN: dict[Any, Reader] = {int: _int, float: _float, str: _str, bool: _bool}
