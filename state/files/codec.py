"""JSON as everyone here writes it: the same value gives the same bytes, and what is not JSON is refused.

NaN and infinities are refused (an undefined number is `null`); floats round-trip exactly; keys keep their order. A file
name that is no UTF-8 reaches us with lone surrogates in it: they are written as JSON's own escapes and come back as
they were.
"""

import json
from typing import Any

LONGEST_LINE = 8 << 20  # bytes: a cycle's record with thousands of jobs in its world has two


def encode(value: Any) -> bytes:
    """A whole document, indented for people, ending in a newline.

    Raises:
        ValueError: NaN or an infinity. TypeError: a value that JSON does not know.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="backslashreplace")


def encode_line(value: Any, by_name: bool = False) -> bytes:
    """One record on one line (newlines inside strings are escaped by JSON), ending in a newline.

    `by_name`: keys in their alphabetical order, so that equal objects give equal bytes.
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=by_name)
    return (line + "\n").encode(errors="backslashreplace")


def decode(data: bytes) -> Any:
    """The value in `data`.

    Raises:
        ValueError: not JSON, not UTF-8, nested too deep, or NaN and infinities (Python's json would let them pass, and
            read 1e999 as one).
    """
    try:
        return _DECODER.decode(data.decode())
    except RecursionError:
        raise ValueError("nested too deep") from None


def decode_line(line: bytes) -> Any:
    """The record on one line of a journal; errors as for `decode`, and for a line that is longer than any record."""
    if len(line) > LONGEST_LINE:
        raise ValueError(f"a line of {len(line):,} bytes is no record")
    return decode(line)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in _INFINITE:
        raise ValueError(f"{digits} is no number that can be written down again")
    return value


_INFINITE = (float("inf"), float("-inf"))
_DECODER = json.JSONDecoder(
    parse_constant=_refuse, parse_float=_finite
)  # json.loads would make one for every line of a journal
