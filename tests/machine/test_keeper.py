"""The keeper as a process of this machine: a real one, and what is said and done when it is stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.machine import keeper
from agents.machine.keeper import MARK, Keeper
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import tree_of
from state.host import identity


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})


@pytest.fixture
def process(roots: Roots) -> Iterator[subprocess.Popen[bytes]]:
    """On file as the keeper; whatever is started in its place ends at once."""
    reads, writes = os.pipe()  # it ends when this test's end of the pipe does
    told = {"STATE_ROOT": str(roots.state), MARK: str(roots.state)}  # as every keeper is told
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], env=told, stdin=reads) as child:
        os.close(reads)
        one = identity.of(child.pid)
        assert one is not None
        record = Keeper("process", {}, "/bin/true", 60.0, "2026-01-01T00:00:00Z", identity=one)
        snapshot.write_json(roots.keeper, tree_of(record))
        yield child
        child.kill()
        os.close(writes)


def test_a_keeper_that_is_stopped_looks_after_nothing_and_is_continued(
    roots: Roots, process: subprocess.Popen[bytes]
) -> None:
    view = keeper.look(roots, ask=False)
    assert view is not None
    assert view.alive is True
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    view = keeper.look(roots, ask=False)
    assert view is not None
    assert view.alive is False
    keeper.start(roots)
    view = keeper.look(roots, ask=False)
    assert view is not None
    assert view.alive is True


def test_a_stopped_stranger_on_its_record_is_left_alone(roots: Roots, process: subprocess.Popen[bytes]) -> None:
    """The record names the keeper of another root, as after a copy of a state root."""
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as stranger:
        stranger.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, stranger.pid, os.WSTOPPED | os.WNOWAIT)
        one = identity.of(stranger.pid)
        record = Keeper("process", {}, "/bin/true", 60.0, "2026-01-01T00:00:00Z", identity=one)
        snapshot.write_json(roots.keeper, tree_of(record))
        keeper.start(roots)
        assert one is not None
        assert identity.life_of(one) == "stopped"
        stranger.kill()
