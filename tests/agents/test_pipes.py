"""Whatever lies where a record should: no cycle of any agent, and no question, waits for it or takes its memory."""

import os
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.registry import AGENTS
from agents.runtime.cycle import run_cycle
from config import plain
from scripts.infra import continuity, quick_look
from scripts.keeper import watch
from scripts.swarm import health, status
from state.files import codec, snapshot
from state.files import journal as journals
from state.files.catalog import CATALOG
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from tests.agents.yard import Yard, yard

_RUN = {"<RUN_ID>": "bt-1", "<N>": "0000", "<SYMBOL>": "SOL", "<MODE>": "aggressive"}
_KEPT = ("order.json", "current_run.json", ".fifo")  # the run is known; wake-up calls are pipes


@pytest.fixture
def here() -> Iterator[Yard]:
    with yard() as one:
        yield one


def records(roots: Roots) -> list[Path]:
    """Every record of the catalog that has a name of its own."""
    found: dict[Path, None] = {}
    for owned in CATALOG:
        if "/" not in owned.path:
            continue  # a name beside any record, not one of its own
        root, _, name = owned.path.partition("/")
        for short, word in _RUN.items():
            name = name.replace(short, word)
        for agent in (row.name for row in AGENTS):
            path = {"STATE_ROOT": roots.state, "LOGS_ROOT": roots.logs}.get(root, roots.results) / name
            path = Path(str(path).replace("<AGENT>", agent))
            if not any(sign in str(path) for sign in "<|") and not owned.path.endswith(("/", *_KEPT)):
                found[path] = None
    return list(found)


def lay_pipes(roots: Roots) -> int:
    paths = records(roots)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    return len(paths)


@pytest.mark.timeout(240)
def test_pipes_in_the_place_of_all_records_hang_no_cycle_and_no_answer(here: Yard) -> None:
    here.enqueued()
    jobs = here.roots.swarm_run("bt-1").round(0).jobs
    for jobs_too in (False, True):
        before = jobs.read_bytes() if jobs.exists() else b""
        assert lay_pipes(here.roots) > 60
        if not jobs_too:
            jobs.unlink()
            jobs.write_bytes(before)
        assert health.judge(here.roots)[0] in (0, 1, 2)
        assert status.build(here.roots)["run_id"] == "bt-1"
        assert not quick_look.all_well(str(here.roots.state))
        with pytest.raises(OSError, match="no record"):
            continuity.read(str(here.roots.agent_state("session_state_manager")))
        watch._log(here.roots, "said")
        for row in AGENTS:
            try:
                run_cycle(row.name, here.roots, clock=here.clock)
            except OSError as error:  # a cycle that cannot write what it must fails, and says which file
                assert error.filename or "no plain file" in str(error)
    here.ended()


@pytest.mark.timeout(60)
def test_a_pipe_in_the_place_of_swarm_json_does_not_hold_up_a_shell(here: Yard) -> None:
    os.mkfifo(here.roots.swarm)
    look = "import sys; from scripts.infra.quick_look import all_well; sys.exit(not all_well(sys.argv[1]))"
    done = subprocess.run(
        [os.path.realpath("/proc/self/exe"), "-S", "-E", "-c", look, str(here.roots.state)], cwd=CHECKOUT, check=False
    )
    assert done.returncode == 1


def test_a_record_of_a_terabyte_is_none_and_takes_no_memory(tmp_path: Path) -> None:
    """A hole in a file costs nothing to make."""
    path = tmp_path / "r.json"
    path.touch()
    os.truncate(path, 1 << 40)
    tracemalloc.start()
    assert snapshot.read_json(path) is None
    assert continuity._json(str(path)) is None
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    with pytest.raises(plain.TooLong, match="where 10 are the most"):
        plain.read_bytes(path, 10)


def test_a_question_takes_no_memory_for_a_line_longer_than_any_record(tmp_path: Path) -> None:
    """`--query` took twice the line; the records around it, and a last one that is being written, count as ever."""
    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"a": 1})
    with journal.path.open("ab") as file:
        file.truncate(200 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"\n")
    journal.append({"a": 2})
    with journal.path.open("ab") as file:
        file.write(b'{"a": 3')
    tracemalloc.start()
    assert continuity._lines(str(journal.path)) == [{"a": 1}, {"a": 2}]
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("at_once", [journals._AT_ONCE, 0])
def test_a_line_longer_than_any_record_is_a_bad_one_and_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """150 MB on one line took `status` nine seconds to decode; of a file of so many it keeps the beginning."""
    monkeypatch.setattr(journals, "_AT_ONCE", at_once)
    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"a": 1})
    long = b'{"a":"' + b"x" * codec.LONGEST_LINE + b'"}'
    with journal.path.open("ab") as file:
        file.write(long + b"\n")
    journal.append({"a": 2})
    page = journal.read()
    assert page.records == ({"a": 1}, {"a": 2})
    assert [len(line) for line in page.bad_lines] == [len(long) if at_once else 10_000]
    with journal.path.open("ab") as file:
        file.write(b'{"a": 3')  # still being written
    assert journal.read() == page
    assert journal.read(page.next_offset).next_offset == page.next_offset
    journal.append({"a": 4})
    assert journal.read(page.next_offset).records == ({"a": 4},)
    assert continuity._lines(str(journal.path)) == [{"a": 1}, {"a": 2}, {"a": 4}]
