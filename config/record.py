"""`dataclass(frozen=True)` as the standard library has it, without compiling six methods for every class.

That compiling is 0.6 ms a class, and a cold cycle needs more than a hundred of them; the library itself, which loads
`inspect`, is 10 ms more: together more than the whole budget. Forked cycles, which are most, would not notice
(docs/adr/0015). Here all classes share methods that were written once, and the library is loaded by whoever asks it
about one: its own `fields`, `replace` and `asdict`, and type checkers, see an ordinary frozen dataclass. ClassVar,
`__post_init__` and options of fields other than defaults are refused: the library knows them.
"""

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_MISSING: Any = object()
_FIELDS = "__record_fields__"


class Field:
    """One field of a record: its default, or what makes one."""

    __slots__ = ("default", "default_factory", "name", "type")

    def __init__(self, default: Any = _MISSING, default_factory: Any = _MISSING) -> None:
        self.name, self.type = "", None
        self.default, self.default_factory = default, default_factory


class _ForTheLibrary:
    """`__dataclass_fields__` of a record, made when somebody looks."""

    def __get__(self, _: Any, kind: type[Any]) -> dict[str, Any]:
        import dataclasses

        rows: list[tuple[str, Any, Any]] = []
        for one in getattr(kind, _FIELDS).values():
            options = {key: getattr(one, key) for key in ("default", "default_factory")}
            given = {key: value for key, value in options.items() if value is not _MISSING}
            rows.append((one.name, one.type, dataclasses.field(**given)))
        made: Any = dataclasses.make_dataclass(kind.__name__, rows, init=False, repr=False, eq=False)
        return made.__dataclass_fields__  # type: ignore[no-any-return]


def _init(self: Any, *values: Any, **named: Any) -> None:
    known = self.__record_fields__
    given = dict(zip(known, values, strict=False))
    if len(values) > len(known) or not given.keys().isdisjoint(named) or not named.keys() <= known.keys():
        raise TypeError(f"{type(self).__name__} takes {', '.join(known)}, each once; not {values!r} and {named!r}")
    given |= named
    own = self.__dict__
    for name, field in known.items():
        if name in given:
            own[name] = given[name]
        elif field.default is not _MISSING:
            own[name] = field.default
        elif field.default_factory is not _MISSING:
            own[name] = field.default_factory()
        else:
            raise TypeError(f"{type(self).__name__} needs {name}")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__record_fields__)


def _eq(self: Any, other: Any) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    pairs = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__record_fields__)
    return f"{type(self).__qualname__}({pairs})"


def _refuse(self: Any, name: str, *_: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be changed: records are frozen")


_METHODS = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__dataclass_fields__": _ForTheLibrary(),
}


def _dataclass(*, frozen: bool) -> "Callable[[type[T]], type[T]]":
    assert frozen, "records are frozen; use dataclasses.dataclass for what changes"

    def made(kind: type[T]) -> type[T]:
        known: dict[str, Field] = {}
        for base in kind.__mro__[:0:-1]:
            known |= base.__dict__.get(_FIELDS, {})
        for name, annotation in kind.__annotations__.items():
            known[name] = _field_of(kind, name, annotation)
        assert not hasattr(kind, "__post_init__"), f"{kind.__name__}: use dataclasses.dataclass for __post_init__"
        setattr(kind, _FIELDS, known)
        for name, method in _METHODS.items():
            setattr(kind, name, method)
        kind.__match_args__ = tuple(known)  # type: ignore[attr-defined,misc]
        return kind

    return made


def _field_of(kind: type[Any], name: str, annotation: Any) -> Field:
    default = kind.__dict__.get(name, _MISSING)
    found = default if isinstance(default, Field) else Field(default)
    plain = not any(word in str(annotation) for word in ("ClassVar", "InitVar", "KW_ONLY"))
    plain = plain and not type(default).__module__.startswith("dataclasses")
    assert plain, f"{kind.__name__}.{name}: use dataclasses.dataclass for this"
    assert not isinstance(default, list | dict | set), f"{kind.__name__}.{name}: use default_factory"
    found.name, found.type = name, annotation
    if isinstance(default, Field):
        if found.default is _MISSING:
            delattr(kind, name)
        else:
            setattr(kind, name, found.default)
    return found


def _replace(record: Any, **changes: Any) -> Any:
    if not hasattr(record, _FIELDS):
        import dataclasses

        return dataclasses.replace(record, **changes)
    return type(record)(**{name: getattr(record, name) for name in record.__record_fields__} | changes)


def _fields(record: Any) -> tuple[Any, ...]:
    if not hasattr(record, _FIELDS):
        import dataclasses

        return dataclasses.fields(record)
    return tuple(getattr(record, _FIELDS).values())


def _is_dataclass(value: Any) -> bool:
    return hasattr(value, _FIELDS) or hasattr(value, "__dataclass_fields__")


def _asdict(record: Any) -> dict[str, Any]:
    return {one.name: _plain(getattr(record, one.name)) for one in _fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | None):
        return value
    if _is_dataclass(value) and not isinstance(value, type):
        return _asdict(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_plain, value))
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    import copy

    return copy.deepcopy(value)


if TYPE_CHECKING:
    from dataclasses import asdict as asdict  # noqa: PLC0414
    from dataclasses import dataclass as dataclass  # noqa: PLC0414
    from dataclasses import field as field  # noqa: PLC0414
    from dataclasses import fields as fields  # noqa: PLC0414
    from dataclasses import is_dataclass as is_dataclass  # noqa: PLC0414
    from dataclasses import replace as replace  # noqa: PLC0414
else:
    asdict, dataclass, field, fields = _asdict, _dataclass, Field, _fields
    is_dataclass, replace = _is_dataclass, _replace
