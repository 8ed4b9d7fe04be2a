"""A block of ours in a foreign document: every byte outside of it stays, whatever happened to its markers."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from state.files import marked

START, END = marked.lines_of("N")


def without_ours(document: bytes) -> bytes:
    """The document without block and markers, newlines aside."""
    place = marked._whole(document, START, END)
    rest = document if place is None else document[: place[0]] + document[place[1] :]
    for word in (b"start", b"end"):
        rest = rest.replace(b"<!-- a stray " + word + b" marker of N stood here -->", b"")
    return rest.replace(START, b"").replace(END, b"").replace(b"\n", b"")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", START + b"\nnew\n" + END + b"\n"),
        (b"mine", b"mine\n\n" + START + b"\nnew\n" + END + b"\n"),
        (b"a\r\n" + START + b"\nold\n" + END + b"\r\nb", b"a\r\n" + START + b"\nnew\n" + END + b"\r\nb"),
    ],
)
def test_in_place_where_there_is_one_else_at_the_end(before: bytes, after: bytes) -> None:
    assert marked.with_block(before, "N", "new") == after
    assert marked.block_in(after, "N") == "new"


@pytest.mark.parametrize(
    "broken",
    [
        b"a\n" + START + b"\nmine, END is gone",
        b"a\n" + END + b"\nSTART is gone",
        END + b"\nthe wrong way round\n" + START,
        START + b"\nmine\n" + START + b"\nold\n" + END + b"\nmine too",
        START + b"\nold\n" + END + b"\nbetween\n" + START + b"\nolder\n" + END + b"\n",
        b"\xff\xfe not UTF-8\n" + START + b"\n",
    ],
)
def test_damaged_and_doubled_markers_cost_no_text(broken: bytes) -> None:
    place = marked._whole(broken, START, END)
    mine = without_ours(broken)
    after = marked.with_block(broken, "N", "new")
    assert marked.block_in(after, "N") == "new"
    assert without_ours(after) == mine
    assert marked.with_block(after, "N", "new") == after
    assert (place is None) == (marked.block_in(broken, "N") is None and START + b"\nold" not in broken)


_PIECES = st.lists(st.sampled_from([START, END, b"\n", b"text", b"\r\n", b"\x00", b"<!-- N:"]), max_size=12)


@example([], "\ud800")  # of a file name that is no UTF-8
@given(_PIECES, st.text(st.characters(exclude_characters="<>"), max_size=20))
def test_whatever_the_document_one_whole_block_remains_and_it_settles(pieces: list[bytes], text: str) -> None:
    before = b"".join(pieces)
    after = marked.with_block(before, "N", text)
    assert (after.count(START), after.count(END)) == (1, 1)
    assert without_ours(after) == without_ours(before)
    assert marked.with_block(after, "N", text) == after
