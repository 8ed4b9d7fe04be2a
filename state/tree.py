"""Frozen records as plain JSON and back, field by field, so that what was recorded can be decided on again."""

from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from config.record import asdict, fields, is_dataclass

T = TypeVar("T")


def tree_of(record: Any) -> dict[str, Any]:
    """A record as plain JSON values."""
    return asdict(record)


def record_of(kind: type[T], tree: Any) -> T:
    """The record of `kind` in `tree`; unknown keys are left out (a newer writer), missing ones take their default.

    Raises:
        ValueError: not such a record.
    """
    try:
        return _value(kind, tree)  # type: ignore[no-any-return]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error


def read_records(kind: type[T], trees: Any) -> tuple[T, ...]:
    """Those of `trees` that are records of `kind`."""
    found = []
    for tree in trees:
        try:
            found.append(record_of(kind, tree))
        except ValueError:
            continue
    return tuple(found)


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(hint: Any, tree: Any) -> Any:  # noqa: PLR0911
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(tree, Mapping):
            raise TypeError(f"{tree!r} is no {hint.__name__}")
        hints = _hints(hint)
        return hint(**{f.name: _value(hints[f.name], tree[f.name]) for f in fields(hint) if f.name in tree})
    if origin in (UnionType, Union):
        if tree is None and NoneType in arguments:
            return None
        return _value(next(a for a in arguments if a is not NoneType), tree)
    if origin is tuple:
        if not isinstance(tree, list | tuple):
            raise TypeError(f"{tree!r} is no list")
        hints_of = arguments[:1] * len(tree) if arguments[-1] is Ellipsis else arguments
        return tuple(_value(one, item) for one, item in zip(hints_of, tree, strict=True))
    if origin is Literal:
        if tree not in arguments:
            raise ValueError(f"{tree!r} is none of {arguments}")
        return tree
    if origin is not None and issubclass(origin, Mapping):
        return {str(key): _value(arguments[1], item) for key, item in tree.items()}
    if hint is float and isinstance(tree, int) and not isinstance(tree, bool):
        return tree
    if hint in (int, float, str, bool) and (not isinstance(tree, hint) or (hint is int and isinstance(tree, bool))):
        raise TypeError(f"{tree!r} is no {hint.__name__}")
    return tree
