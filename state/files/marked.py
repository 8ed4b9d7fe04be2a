"""A block between two marker lines in a document that otherwise belongs to people: every other byte stays.

An edit that was cut short may leave a marker without its partner, or a second block. Even then no text is dropped:
stray markers become comments that say so, and one whole block remains.
"""

import re


def lines_of(name: str) -> tuple[bytes, bytes]:
    """Return the two marker lines of the block called `name`."""
    return f"<!-- {name}:START -->".encode(), f"<!-- {name}:END -->".encode()


def block_in(document: bytes, name: str) -> str | None:
    """Return the text between the markers; None unless there is exactly one whole block."""
    start, end = lines_of(name)
    if document.count(start) != 1 or document.count(end) != 1 or document.index(start) > document.index(end):
        return None
    inside = document[document.index(start) + len(start) : document.index(end)]
    return inside.decode(errors="replace").strip("\n")


def with_block(document: bytes, name: str, text: str) -> bytes:
    """Return the document with `text` as its one block called `name`: in the old block's place, or at the end."""
    start, end = lines_of(name)
    block = start + b"\n" + text.strip("\n").encode(errors="backslashreplace") + b"\n" + end
    place = _whole(document, start, end)
    if place is None:
        return _ending_in_newline(_inert(document, name)) + block + b"\n"
    # Markers outside the one whole block are made harmless, so that the next write finds exactly one block.
    before, behind = document[: place[0]], document[place[1] :]
    return _inert(before, name) + block + _inert(behind, name)


def _whole(document: bytes, start: bytes, end: bytes) -> tuple[int, int] | None:
    """Return the range from the nearest start marker to the first end marker after it; None when there is no such pair.

    Text between two start markers was written by a person, so it is not part of the block.
    """
    for match in re.finditer(re.escape(end), document):
        at = document.rfind(start, 0, match.start())
        if at >= 0 and end not in document[at : match.start()]:
            return at, match.end()
    return None


def _inert(document: bytes, name: str) -> bytes:
    for marker, word in zip(lines_of(name), ("start", "end"), strict=True):
        document = document.replace(marker, f"<!-- a stray {word} marker of {name} stood here -->".encode())
    return document


def _ending_in_newline(document: bytes) -> bytes:
    if not document:
        return b""
    return document + (b"\n" if document.endswith(b"\n") else b"\n\n")
