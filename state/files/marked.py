"""A block between two marker lines in a document that is otherwise somebody else's: every other byte stays.

A marker without its partner, a second block: whatever a cut-off edit left behind, no text is ever dropped. Stray
markers become comments that say so, and one whole block remains.
"""

import re


def lines_of(name: str) -> tuple[bytes, bytes]:
    """The marker lines of the block called `name`."""
    return f"<!-- {name}:START -->".encode(), f"<!-- {name}:END -->".encode()


def block_in(document: bytes, name: str) -> str | None:
    """What stands between the markers; None unless there is exactly one whole block."""
    start, end = lines_of(name)
    if document.count(start) != 1 or document.count(end) != 1 or document.index(start) > document.index(end):
        return None
    inside = document[document.index(start) + len(start) : document.index(end)]
    return inside.decode(errors="replace").strip("\n")


def with_block(document: bytes, name: str, text: str) -> bytes:
    """`document` with `text` as its one block called `name`: in place where there is one, else at the end."""
    start, end = lines_of(name)
    block = start + b"\n" + text.strip("\n").encode(errors="backslashreplace") + b"\n" + end
    place = _whole(document, start, end)
    if place is None:
        return _ending_in_newline(_inert(document, name)) + block + b"\n"
    before, behind = document[: place[0]], document[place[1] :]
    return _inert(before, name) + block + _inert(behind, name)


def _whole(document: bytes, start: bytes, end: bytes) -> tuple[int, int] | None:
    """The first end marker and the nearest start before it: what lies between two starts is somebody's text."""
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
