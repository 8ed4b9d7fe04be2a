"""The journal with real processes: many writers, one killed in mid-record, a reader meanwhile, a full disk."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.files import layout
from state.files.journal import Journal


def child(code: str, *arguments: object, **more: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=layout.CHECKOUT, stdout=subprocess.PIPE, **more)


def test_records_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "j.jsonl")
    journal.append({"n": 1}, "two\nlines")
    journal.append(3.5)
    assert journal.read().records == ({"n": 1}, "two\nlines", 3.5)
    assert journal.read().bad_lines == ()


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    page = Journal(tmp_path / "none.jsonl").read()
    assert (page.records, page.bad_lines, page.next_offset) == ((), (), 0)
    assert list(tmp_path.iterdir()) == []


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append(1, 2)
    page = journal.read()
    assert journal.read(page.next_offset).records == ()
    journal.append(3)
    assert journal.read(page.next_offset).records == (3,)


def test_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append(1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append(float("nan"))
    assert journal.read().records == (1,)


WRITE = """
import sys
from pathlib import Path
from state.files.journal import Journal
journal = Journal(Path(sys.argv[1]), durable=False)
for n in range(int(sys.argv[3])):
    journal.append([int(sys.argv[2]), n, "x" * (n % 50 * 40)])
"""


def test_eight_writers_at_once_lose_and_tear_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    writers = [child(WRITE, journal.path, who, 100) for who in range(8)]
    assert [writer.communicate() and writer.returncode for writer in writers] == [0] * 8
    page = journal.read()
    assert page.bad_lines == ()
    for who in range(8):
        assert [n for w, n, _ in page.records if w == who] == list(range(100))


def test_a_reader_meanwhile_sees_whole_records_in_order_and_each_once(tmp_path: Path) -> None:
    journal, seen, offset = Journal(tmp_path / "j.jsonl"), [], 0
    with child(WRITE, journal.path, 0, 500) as writer:
        is_over = False
        while not is_over:
            is_over = writer.poll() is not None  # asked before the read, so that the last read sees everything
            page = journal.read(offset)
            assert page.bad_lines == ()
            seen += [n for _, n, _ in page.records]
            offset = page.next_offset
    assert seen == list(range(500))


TEAR = """
import os, signal, sys
from pathlib import Path
from state.files.journal import Journal
journal = Journal(Path(sys.argv[1]))
with journal.locked():
    descriptor = os.open(journal.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b'{"half": "a rec')
    os.write(1, b"!")
    signal.pause()
"""


def test_a_writer_killed_in_mid_record_costs_that_record_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append("before")
    with child(TEAR, journal.path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.read(1) == b"!"
        assert journal.read().records == ("before",)  # readers neither wait for the lock nor see the half
        os.kill(writer.pid, signal.SIGKILL)
    assert journal.path.read_bytes().endswith(b'{"half": "a rec')
    journal.append("after")  # the kernel has dropped the dead writer's lock
    page = journal.read()
    assert (page.records, page.bad_lines) == (("before", "after"), ())


KILLED = """
import os, signal, sys
from pathlib import Path
from random import Random
from state.files.journal import Journal
chance, torn = Random(60), 0
write = os.write
os.write = lambda descriptor, data: write(descriptor, data[:4096])  # as a disk does that takes what fits
for number in range(60):
    reads, writes = os.pipe()
    if (pid := os.fork()) == 0:
        journal = Journal(Path(sys.argv[1]), durable=False)
        for n in range(1_000):
            journal.append([number, n, "x" * 400_000])
            write(writes, b"!")
    os.close(writes)
    for _ in range(acknowledged := chance.randrange(1, 4)):
        assert os.read(reads, 1) == b"!"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while os.read(reads, 1):
        acknowledged += 1
    os.close(reads)
    page = Journal(Path(sys.argv[1])).read()
    mine = [record[1] for record in page.records if record[0] == number]
    assert page.bad_lines == ()
    assert mine in (list(range(acknowledged)), list(range(acknowledged + 1))), (mine, acknowledged)
    torn += not Path(sys.argv[1]).read_bytes().endswith(bytes([10]))
    if number % 10 == 9:  # keep the file small; whoever comes next starts anew
        os.truncate(sys.argv[1], 0)
print(torn)
"""


def test_sixty_writers_killed_in_mid_append_cost_at_most_what_nobody_was_told_is_there(tmp_path: Path) -> None:
    with child(KILLED, tmp_path / "j.jsonl") as writer:
        said, _ = writer.communicate()
    assert writer.returncode == 0
    assert int(said) > 0, "no kill fell into an append: the test shows nothing"


def test_a_tail_longer_than_one_look_back_is_cut_to_the_last_newline(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append("kept")
    with journal.path.open("ab") as file:
        file.write(b"x" * 200_000)
    journal.append("new")
    assert journal.path.read_bytes() == b'"kept"\n"new"\n'


def test_a_file_that_is_all_tail_is_emptied(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.path.write_bytes(b"{")
    journal.append(1)
    assert journal.path.read_bytes() == b"1\n"


@pytest.mark.parametrize("line", [b"{torn}", b"\xff\xfe", b"NaN", b""])
def test_a_bad_line_in_the_middle_is_reported_and_hides_nothing(tmp_path: Path, line: bytes) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.path.write_bytes(b"1\n" + line + b"\n2\n")
    journal.append(3)
    page = journal.read()
    assert (page.records, page.bad_lines) == ((1, 2, 3), (line,))


FULL_DISK = """
import resource, sys
from pathlib import Path
from state.files.journal import Journal
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    journal.append("fits", "y" * 200)
except OSError as error:
    print(error.strerror)
journal.append("small")
"""


def test_a_full_disk_leaves_whole_records_and_says_why(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append("x" * 60)
    with child(FULL_DISK, journal.path) as writer:
        said, _ = writer.communicate()
    assert said == b"File too large\n"  # the system's own word, and the writer goes on
    assert journal.read().records == ("x" * 60, "fits", "small")
    assert journal.path.read_bytes().endswith(b'"small"\n')


@given(st.binary(max_size=300), st.lists(st.text(max_size=20), max_size=5))
def test_whatever_is_in_the_file_an_append_can_be_read_back(
    tmp_path_factory: pytest.TempPathFactory, debris: bytes, records: list[str]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "j.jsonl", durable=False)
    journal.path.write_bytes(debris)
    before = journal.read()
    journal.append(*records)
    after = journal.read()
    assert after.records == (*before.records, *records)
    assert after.bad_lines == before.bad_lines
