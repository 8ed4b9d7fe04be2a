"""JSON as everyone here writes it: the same value gives the same bytes, and what is not JSON is refused.

NaN and infinities are refused (an undefined number is `null`); floats round-trip exactly; keys keep their order.
"""

import json
from typing import Any


def encode(value: Any) -> bytes:
    """A whole document, indented for people, ending in a newline.

    Raises:
        ValueError: NaN or an infinity. TypeError: a value that JSON does not know.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def encode_line(value: Any) -> bytes:
    """One record on one line (newlines inside strings are escaped by JSON), ending in a newline."""
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n").encode()


def decode(data: bytes) -> Any:
    """The value in `data`.

    Raises:
        ValueError: not JSON, not UTF-8, nested too deep, or NaN and infinities (Python's json would let them pass).
    """
    try:
        return _DECODER.decode(data.decode())
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)  # json.loads would make one for every line of a journal
