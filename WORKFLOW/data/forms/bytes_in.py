"""Tell what a file is by its first bytes: unpack compressed files within limits, and refuse files that hold no bars.

A name may lie (a `.csv` that is gzip, a web page saved as `.csv`), but the first bytes do not. A file that unpacks to
far more than bars could take is a decompression bomb, and is refused before it fills the memory.
"""

import bz2
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from config.errors import Refused, Transient
from WORKFLOW.data.forms.meter import Meter
from WORKFLOW.data.forms.shown import shown

Pieces = Callable[[bytes], Iterator[bytes]]

MOST_BYTES = 4 << 30  # for one list of trades, plain or unpacked; the settings limit bars (`Meter`)
# Bars pack to a fifth or a tenth, even a market that never moves to a fiftieth, and a bomb to a thousandth or less.
MOST_RATIO = 200
_SMALL = 64 << 20  # any file may unpack to this size
_PIECE = 16 << 20  # bytes that are unpacked between two checks of the limits
_DEPTH = 3  # levels of packing; a .csv.gz inside a .zip has two
AGAIN = "download or export it again"
BARS = "bars"

# First bytes → what such a file is, and what to do about it.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "git lfs pull fetches the file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save it as CSV UTF-8 in the spreadsheet program"),
    (b"\x89HDF", "an HDF5 file", "save it as Parquet: pandas.read_hdf(FILE).to_parquet(...)"),
    (b"SQLite format 3", "an SQLite database", "export its table as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and name the folder"),
    (b"Rar!", "a RAR archive", "unpack it and name the folder"),
    (b"%PDF", "a PDF document", "export the bars as CSV"),
    (b"\x89PNG", "a picture", "export the bars as CSV"),
    (b"\x93NUMPY", "a NumPy file", "save it as CSV with a header line, or as Parquet"),
    (b"Obj\x01", "an Avro file", "save it as Parquet or CSV"),
    (b"ORC", "an ORC file", "save it as Parquet or CSV"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05](\x95|c|\})")
_WEB_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype|html|\?xml|head|body)", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(rb"<(?:title|h1|message)[^>]*>(.{1,80}?)</", re.IGNORECASE | re.DOTALL)


def read_bytes(path: Path, what: str = BARS, meter: Meter | None = None) -> bytes:
    """Return the content of a regular file that is not empty. A pipe or a device is refused at once, without waiting.

    `what` names the expected content in messages, here and below. `meter` limits how much may be read.

    Raises:
        Refused: the file is not regular, is empty, or is larger than bars could be.
        Transient: the file cannot be read.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as file:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode):
                raise Refused(f"{shown(path)} is not a regular file", f"name a file that holds {what}, or its folder")
            if meter is not None:
                meter.look(shown(path), found.st_size)
            elif found.st_size > MOST_BYTES:
                raise Refused(
                    f"{shown(path)} has {found.st_size:,} bytes", f"a file of {what} has at most {MOST_BYTES:,} bytes"
                )
            data = file.read()
    except OSError as error:
        raise Transient(f"cannot read {shown(path)}: {error.strerror}", "check the path and its permissions") from error
    if not data:
        raise Refused(f"{shown(path)} is empty (0 bytes)", AGAIN)
    return data


def unpacked(label: str, data: bytes, what: str = BARS, meter: Meter | None = None) -> bytes:
    """Return the content of a gzip, xz, zstd, lz4 or bzip2 file; the bytes of any other file are returned as they are.

    Raises:
        Refused: the file is torn, or unpacks to more than bars could take.
    """
    for _ in range(_DEPTH):
        found = next(((name, read) for first, name, read in _PACKED if data.startswith(first)), None)
        if found is None:
            break
        data = _unpacked(label, data, what, meter, *found)
    return data


def refuse_others(label: str, data: bytes) -> None:
    """Refuse a file whose first bytes show that it holds no bars, and say what it is and what to do."""
    for first, what, way_out in _OTHERS:
        if data.startswith(first):
            raise Refused(f"{label} is {what}", way_out)
    if _PICKLE.match(data):
        what = "a Python pickle, which could run any program and is never loaded"
        raise Refused(f"{label} is {what}", "save it as Parquet: pandas.read_pickle(FILE).to_parquet(...)")
    if data[257:262] == b"ustar":
        raise Refused(f"{label} is a tar archive", "unpack it and name the folder")
    if _WEB_PAGE.match(data[:2_000]):
        title = _TITLE.search(data[:20_000])
        says = f" that says {shown(title[1].decode('utf-8', 'replace').strip())!r}" if title else ""
        raise Refused(f"{label} is a web page{says}, not bars", AGAIN)


def limit(packed: int, holds: str = BARS) -> int:
    """Return how many bytes a compressed file of `packed` bytes may unpack to; for bars, a `Meter` limits more."""
    by_ratio = max(_SMALL, MOST_RATIO * packed)
    return by_ratio if holds == BARS else min(MOST_BYTES, by_ratio)


def refuse_bomb(label: str, packed: int, holds: str = BARS) -> Refused:
    """Return the refusal of a file that unpacks to more than its limit."""
    what = f"{label} has {packed:,} bytes and unpacks to more than {limit(packed, holds):,}"
    return Refused(
        f"{what}: {holds} never compress that well", "unpack it yourself, look at what it holds, and name that file"
    )


# containers -----------------------------------------------------------------------------------------------------------


def _unpacked(label: str, data: bytes, what: str, meter: Meter | None, name: str, pieces: Pieces) -> bytes:
    most, kept, size = limit(len(data), what), list[bytes](), 0
    try:
        for piece in pieces(data):
            kept.append(piece)
            size += len(piece)
            if size > most:
                raise refuse_bomb(label, len(data), what)
            if meter is not None:
                meter.look(label, size)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        reason = f"{label} is not a valid {name} file: {str(error).partition(chr(10))[0]}"
        raise Refused(reason, f"{AGAIN} ({_TEST[name]} FILE tests it)") from error
    if not size:
        raise Refused(f"{label} is a {name} file with nothing in it", AGAIN)
    return kept[0] if len(kept) == 1 else b"".join(kept)


def _members(make: Callable[[], Any], data: bytes) -> Iterator[bytes]:
    """Yield the content of one or more packed members, in pieces that fit into any memory."""
    while data:
        one = make()
        while not one.eof:
            piece = one.decompress(data, _PIECE)
            data = getattr(one, "unconsumed_tail", b"")  # only zlib returns its unread input; the others keep it
            if not piece and not data and not one.eof:
                raise EOFError("the file is cut off")
            yield piece
        data = one.unused_data.lstrip(b"\0")  # zeros between members are padding, as for gzip


def _gzip(data: bytes) -> Iterator[bytes]:
    return _members(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16), data)


def _xz(data: bytes) -> Iterator[bytes]:
    return _members(lambda: lzma.LZMADecompressor(memlimit=_SMALL * 4), data)


def _bzip2(data: bytes) -> Iterator[bytes]:
    return _members(bz2.BZ2Decompressor, data)


def _by_arrow(codec: str) -> Pieces:
    def pieces(data: bytes) -> Iterator[bytes]:
        with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
            while piece := bytes(stream.read(_PIECE)):
                yield piece

    return pieces


_TEST = {"gzip": "gzip -t", "xz": "xz -t", "zstd": "zstd -t", "lz4": "lz4 -t", "bzip2": "bzip2 -t"}
_PACKED: tuple[tuple[bytes, str, Pieces], ...] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"\xfd7zXZ\x00", "xz", _xz),
    (b"\x28\xb5\x2f\xfd", "zstd", _by_arrow("zstd")),
    (b"\x04\x22\x4d\x18", "lz4", _by_arrow("lz4")),
    (b"BZh", "bzip2", _bzip2),
)
