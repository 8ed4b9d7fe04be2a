"""The one way in which JSON is written and read here: the same value gives the same bytes, and only JSON is accepted.

NaN and infinities are refused (an undefined number is `null`), floats round-trip exactly, and keys keep their order. A
file name that is not UTF-8 holds lone surrogates in Python; they are written as JSON escapes and come back unchanged.
"""

import json
from typing import Any

LONGEST_LINE = 8 << 20  # bytes: the record of a cycle with thousands of jobs has two million


def encode(value: Any) -> bytes:
    """Return a whole document, indented for people, that ends in a newline.

    Raises:
        ValueError: NaN or an infinity.
            TypeError: a value that JSON does not know.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="backslashreplace")


def encode_line(value: Any, by_name: bool = False) -> bytes:
    """Return one record as one line that ends in a newline; JSON escapes newlines inside strings.

    `by_name` puts the keys in alphabetical order, so that equal objects give equal bytes. Errors are those of `encode`.
    """
    # No blanks between the parts: journals are read in every cycle, and shorter lines are read faster.
    line = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=by_name)
    return (line + "\n").encode(errors="backslashreplace")


def decode(data: bytes) -> Any:
    """Return the value in `data`.

    Raises:
        ValueError: `data` is not JSON or not UTF-8, is nested too deep, or holds NaN or an infinity. Python's json
            accepts these, and reads 1e999 as an infinity.
    """
    try:
        return _DECODER.decode(data.decode())
    except RecursionError:
        raise ValueError("nested too deep") from None


def decode_line(line: bytes) -> Any:
    """Return the record on one line of a journal; raises as `decode`, and for a line longer than any record."""
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
)  # made once: json.loads with these arguments would make a decoder for every line of a journal
