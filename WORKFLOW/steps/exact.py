"""Values as bytes and back, to the bit: floats, arrays and records come back exactly as they were, or not at all.

A line of JSON says what the value is made of, and the arrays follow as raw bytes. Only plain types, NumPy arrays
without objects and records that are registered here are known: reading makes no other object and runs nothing.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from config.record import fields
from state.files import codec

Arrays = list[NDArray[Any]]
Kind = TypeVar("Kind", bound=type[Any])

_PLAIN = (bool, int, str, type(None))
_KINDS: dict[str, type[Any]] = {}


def record(kind: Kind) -> Kind:
    """A decorator: values of this dataclass may be kept, if those of its fields may."""
    assert _KINDS.setdefault(kind.__name__, kind) is kind, f"two records are called {kind.__name__}"
    return kind


def encode(value: Any) -> bytes:
    """`value` as bytes.

    Raises:
        TypeError: the value holds something of an unknown type.
    """
    arrays: Arrays = []
    tree = _tree(value, arrays)
    shapes = [{"dtype": np.lib.format.dtype_to_descr(one.dtype), "shape": list(one.shape)} for one in arrays]
    return codec.encode_line({"value": tree, "arrays": shapes}) + b"".join(one.tobytes() for one in arrays)


def decode(data: bytes) -> Any:
    """The value in `data`; its arrays are its own and may be written to.

    Raises:
        ValueError: `data` does not come from `encode`, or holds a record that is no longer registered.
    """
    try:
        line, _, rest = data.partition(b"\n")
        head = codec.decode(line)
        return _value(head["value"], _arrays(head["arrays"], rest))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"not a kept value: {error!r}") from error


def _tree(value: Any, arrays: Arrays) -> Any:  # noqa: PLR0911 - one for each kind of value
    """Plain JSON; whatever JSON does not know is an object with one key that says what it is."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        return value if np.isfinite(value) else {"float": repr(value)}
    if kind is list:
        return [_tree(item, arrays) for item in value]
    if kind is tuple:
        return {"tuple": [_tree(item, arrays) for item in value]}
    if kind is dict:
        return {"dict": [[_tree(key, arrays), _tree(item, arrays)] for key, item in value.items()]}
    if _KINDS.get(kind.__name__) is kind:
        return {"record": [kind.__name__, *(_tree(getattr(value, one.name), arrays) for one in fields(kind))]}
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        arrays.append(np.asarray(value))
        return {"array" if isinstance(value, np.ndarray) else "scalar": len(arrays) - 1}
    raise TypeError(f"{kind.__name__} cannot be kept")


def _value(tree: Any, arrays: Arrays) -> Any:
    if isinstance(tree, list):
        return [_value(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    [(what, inside)] = tree.items()
    return _MADE[what](inside, arrays)


def _record(inside: Any, arrays: Arrays) -> Any:
    kind = _KINDS[inside[0]]
    names = [one.name for one in fields(kind)]
    return kind(**dict(zip(names, (_value(item, arrays) for item in inside[1:]), strict=True)))


_MADE = {
    "float": lambda inside, _: {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}[inside],
    "tuple": lambda inside, arrays: tuple(_value(item, arrays) for item in inside),
    "dict": lambda inside, arrays: {_value(key, arrays): _value(item, arrays) for key, item in inside},
    "array": lambda inside, arrays: arrays[inside],
    "scalar": lambda inside, arrays: arrays[inside][()],
    "record": _record,
}


def _arrays(shapes: list[dict[str, Any]], data: bytes) -> Arrays:
    out: Arrays = []
    at = 0
    for one in shapes:
        dtype = _dtype(one["dtype"])
        count = int(np.prod(one["shape"], dtype=np.int64))
        out.append(np.frombuffer(data, dtype, count, at).reshape(one["shape"]).copy() if count else _empty(one, dtype))
        at += count * dtype.itemsize
    if at != len(data):
        raise ValueError(f"{len(data):,} bytes of arrays where {at:,} were announced")
    return out


def _empty(one: dict[str, Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.empty(one["shape"], dtype)


def _dtype(descr: Any) -> np.dtype[Any]:
    known = [tuple(column) for column in descr] if isinstance(descr, list) else descr
    dtype = np.dtype(known)
    if dtype.hasobject:
        raise ValueError("arrays of objects are not kept")
    return dtype
