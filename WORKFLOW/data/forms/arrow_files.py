"""Read Parquet and Feather files as tables; the size that they declare is checked before memory is allocated."""

import ast
import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from config.errors import Refused
from WORKFLOW.data.forms.bytes_in import AGAIN
from WORKFLOW.data.forms.meter import Meter
from WORKFLOW.data.forms.table import Table

PARQUET, FEATHER = b"PAR1", (b"ARROW1", b"FEA1")
BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)  # a flipped bit in a column's name raises the last of them
_RECORD_BATCH = 3  # the number of this kind of message in Arrow's format


def read_parquet(label: str, data: bytes, meter: Meter) -> Table:
    """Read every column of a Parquet file.

    Raises:
        Refused: the file is torn, or declares more rows and columns than `meter` allows. The rows are counted and not
            the bytes, because a file declares the bytes of its packed form, and a constant column packs to almost none.
    """
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        meter.rows(label, file.metadata.num_rows, file.metadata.num_columns)
        return _table(file.read())
    except BROKEN as error:
        raise Refused(f"{label} is not a valid Parquet file: {_first_line(error)}", AGAIN) from error


def read_feather(label: str, data: bytes, meter: Meter) -> Table:
    """Read every column of a Feather (Arrow IPC) file; the errors are those of `read_parquet`."""
    try:
        meter.rows(label, *declared(data))
        table = pyarrow.feather.read_table(pa.BufferReader(data))
        table.validate(full=True)
        return _table(table)
    except BROKEN as error:
        raise Refused(f"{label} is not a valid Feather file: {_first_line(error)}", AGAIN) from error


def declared(data: bytes) -> tuple[int, int]:
    """Return the rows and columns that a Feather file declares; (0, 0) for its first version, which packs nothing."""
    if not data.startswith(b"ARROW1"):
        return 0, 0
    return sum(_declared_rows(data)), len(pa.ipc.open_file(pa.BufferReader(data)).schema)


def _declared_rows(data: bytes) -> Iterator[int]:
    """Yield the rows of each record batch of an Arrow file, from its head alone, because reading would unpack it."""
    messages = pa.ipc.MessageReader.open_stream(pa.BufferReader(data).read_buffer()[8:])
    for message in _until_the_end(messages):
        if message.type == "record batch":
            yield _length_of(message.metadata.to_pybytes())


def _until_the_end(messages: Any) -> Iterator[Any]:
    while True:
        try:
            yield messages.read_next_message()
        except StopIteration:
            return


def _length_of(head: bytes) -> int:
    """Return `length` of the RecordBatch in a flatbuffer Message, in which tables of offsets locate the fields."""
    try:
        message = _at(head, "<I", 0)
        kind, batch = _field(head, message, 1), _field(head, message, 2)
        if not kind or not batch or head[kind] != _RECORD_BATCH:
            return 0
        length = _field(head, batch + _at(head, "<I", batch), 0)
        return _at(head, "<q", length) if length else 0
    except (struct.error, IndexError):
        return 0  # the head is torn, and the reader will refuse the file


def _field(head: bytes, table: int, number: int) -> int:
    """Return where a field of a table lies, or 0 if the table does not have it."""
    offsets = table - _at(head, "<i", table)
    if 4 + 2 * number >= _at(head, "<H", offsets):
        return 0
    offset = _at(head, "<H", offsets + 4 + 2 * number)
    return table + offset if offset else 0


def _at(head: bytes, kind: str, place: int) -> int:
    return int(struct.unpack_from(kind, head, place)[0])


def _table(table: pa.Table) -> Table:
    synthetic = (table.schema.metadata or {}).get(b"synthetic") == b"true"
    names = tuple(table.column_names)
    return Table(names, len(names), table.column, synthetic=synthetic, levels=_levels(names))


def _levels(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the levels of columns that pandas wrote as `('Close', 'SOL-USD')`."""
    found = [_tuple(name) for name in names]
    depth = max((len(one) for one in found), default=1)
    if depth < 2 or sum(len(one) == depth for one in found) < 4:
        return ()
    padded = [one + ("",) * (depth - len(one)) for one in found]
    return tuple(tuple(one[level] for one in padded) for level in range(depth))


def _tuple(name: str) -> tuple[str, ...]:
    if name.startswith("("):
        try:
            value = ast.literal_eval(name)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return (name,)
        if isinstance(value, tuple):
            return tuple(str(part) for part in value)
    return (name,)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
