"""Read JSON as a table: rows, objects, columns, one object per line, or an exchange's answer with rows inside."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from config.errors import Refused
from WORKFLOW.data.forms.bytes_in import AGAIN
from WORKFLOW.data.forms.shown import listing, shown
from WORKFLOW.data.forms.table import Table

ROW = "open_time, open, high, low, close, volume"
_DEPTH = 6  # levels that are searched; an answer of Yahoo has its columns five levels down
_LEAST = 5  # columns that bars need: a time and four prices
# The keys under which exchanges say why their answer holds no bars.
_COMPLAINTS = ("retMsg", "msg", "message", "error", "errors", "Error", "error_message", "Note", "Information", "reason")


def read(label: str, data: bytes) -> Table:
    """Return the rows of a JSON document.

    Raises:
        Refused: the JSON is not valid, or nothing in it is a table.
    """
    document = _document(label, data)
    found = next(_tables(document, _DEPTH), None)
    if found is None:
        raise Refused(f"{label} is not a JSON array of rows{_complaint(document)}", f"give it as [[{ROW}], …]")
    where, rows = found
    at = f"rows are taken from {where!r}" if where else ""
    made = _columns_of(label, rows) if isinstance(rows, dict) else _rows_of(label, rows)
    return made.noted(at) if at else made


def _document(label: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # endless nested brackets raise a RecursionError
        lines = data.split(b"\n")
        if len(lines) > 1 and lines[0].strip().startswith(b"{") and lines[0].strip().endswith(b"}"):
            return _lines(label, lines)
        raise Refused(f"{label} is not valid JSON: {error}", AGAIN) from error


def _lines(label: str, lines: Sequence[bytes]) -> list[Any]:
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise Refused(f"line {number:,} of {label} is not valid JSON: {error}", AGAIN) from error
    return found


def _tables(value: Any, depth: int, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what could be a table, outermost first: a list of rows or objects, or an object of lists of one length."""
    if isinstance(value, list):
        if not value or _is_rows(value) or _is_objects(value):
            if value or not where:
                yield where, value
        elif depth:
            yield from _inside(enumerate(islice(value, 3)), depth, where)
    elif isinstance(value, dict):
        yield from _inside_object(value, depth, where)


def _inside_object(value: dict[str, Any], depth: int, where: str) -> Iterator[tuple[str, Any]]:
    if _is_split(value):
        yield where, _of_split(value)
    elif columns := _columns(value):
        yield where, columns
    elif depth:
        yield from _inside(value.items(), depth, where)


def _inside(items: Any, depth: int, where: str) -> Iterator[tuple[str, Any]]:
    found = (_tables(one, depth - 1, f"{where}.{shown(key)}" if where else shown(key)) for key, one in items)
    yield from chain.from_iterable(found)


def _is_rows(value: list[Any]) -> bool:
    if not all(isinstance(one, list) for one in value):
        return False
    return sum(isinstance(one, list | dict) for one in value[0]) <= len(value[0]) // 2


def _is_objects(value: list[Any]) -> bool:
    return all(isinstance(one, dict) for one in value) and len(value[0]) >= _LEAST and _columns(value[0]) is None


def _is_split(value: dict[str, Any]) -> bool:
    """Return whether an object is what `to_json(orient="split")` of pandas writes."""
    keys = {"columns", "data"}
    return keys <= value.keys() and all(isinstance(value[key], list) for key in keys) and _is_names(value["columns"])


def _is_names(values: list[Any]) -> bool:
    return len(values) >= _LEAST - 1 and all(isinstance(one, str) for one in values)


def _of_split(value: dict[str, Any]) -> dict[str, Any]:
    rows, names = value["data"], value["columns"]
    made: dict[str, Any] = {}
    if isinstance(value.get("index"), list) and len(value["index"]) == len(rows):
        made["__index_level_0__"] = value["index"]
    return {**made, **{name: [row[at] for row in rows] for at, name in enumerate(names)}}


def _columns(value: dict[str, Any]) -> dict[str, list[Any]] | None:
    """Return columns of one length, if the object holds them.

    The forms are `{"t": […], "o": […]}`, pandas' `{"open": {"0": 1.5}}`, and Yahoo's prices beside times.
    """
    lists = {key: one for key, one in value.items() if isinstance(one, list) and one and not isinstance(one[0], list)}
    if isinstance(value.get("timestamp"), list) and isinstance(value.get("indicators"), dict):
        quote = value["indicators"].get("quote")
        if isinstance(quote, list) and quote and isinstance(quote[0], dict):
            lists = {"timestamp": value["timestamp"], **quote[0]}
    if len(lists) >= _LEAST and not any(isinstance(one, dict) for some in lists.values() for one in some[:1]):
        return lists if len({len(one) for one in lists.values()}) == 1 else None
    named = {key: one for key, one in value.items() if isinstance(one, dict) and one}
    if len(named) < _LEAST - 1 or any(isinstance(one, dict | list) for some in named.values() for one in some.values()):
        return None
    first = list(next(iter(named.values())))
    if any(list(one) != first for one in named.values()):
        return None
    index = {} if first == [str(at) for at in range(len(first))] else {"__index_level_0__": list(first)}
    return {**index, **{key: list(one.values()) for key, one in named.items()}}


def _complaint(document: Any) -> str:
    """Return what an exchange says in place of bars, as the end of a message."""
    if not isinstance(document, dict):
        return ""
    said = next((document[key] for key in _COMPLAINTS if document.get(key)), None)
    if said is None:
        return f"; it holds {listing(document)}" if document else ""
    return f"; it says {shown(str(said)[:200])!r}"


# tables ---------------------------------------------------------------------------------------------------------------


def _rows_of(label: str, rows: list[Any]) -> Table:
    if rows and isinstance(rows[0], dict):
        names = list(dict.fromkeys(key for row in rows for key in row))
        return _columns_of(label, {name: [row.get(name) for row in rows] for name in names})
    if rows and all(isinstance(one, str) for one in rows[0]) and not any(_has_digit(one) for one in rows[0]):
        head, rows = rows[0], rows[1:]  # a header as the first row
        _check_widths(label, rows, len(head))
        return _columns_of(label, {name: [row[at] for row in rows] for at, name in enumerate(head)})
    width = len(rows[0]) if rows else _LEAST + 1
    _check_widths(label, rows, width)
    names = [*ROW.split(", "), *(f"column {at + 1}" for at in range(width))]
    return Table(None, width, lambda at: _array(label, names[at], [row[at] for row in rows]), how="JSON")


def _has_digit(text: str) -> bool:
    return any(letter.isdigit() for letter in text)


def _check_widths(label: str, rows: list[Any], width: int) -> None:
    uneven = next((at for at, row in enumerate(rows, 1) if len(row) != width), None)
    if uneven is not None or width < _LEAST:
        has = f"row {uneven or 1:,} of {label} has {len(rows[(uneven or 1) - 1])} values"
        raise Refused(has, f"give every row {ROW}, …")


def _columns_of(label: str, columns: dict[str, list[Any]]) -> Table:
    names = tuple(columns)
    return Table(names, len(names), lambda at: _array(label, names[at], columns[names[at]]))


def _array(label: str, name: str, values: list[Any]) -> pa.ChunkedArray:
    try:
        return pa.chunked_array([pa.array(values)])
    except (pa.ArrowException, OverflowError) as error:  # a whole number beyond 64 bits raises an OverflowError
        mixed = _as_text(values)
        if mixed is not None:
            return mixed
        raise Refused(
            f"{name} of {label} holds more than numbers: {str(error).partition(chr(10))[0]}", AGAIN
        ) from error


def _as_text(values: list[Any]) -> pa.ChunkedArray | None:
    """Return numbers mixed with texts of numbers as text, because some exchanges mix them; None for other values."""
    if any(isinstance(one, list | dict | bool) for one in values) or not any(isinstance(one, str) for one in values):
        return None
    return pa.chunked_array([pa.array([None if one is None else str(one) for one in values], pa.string())])
