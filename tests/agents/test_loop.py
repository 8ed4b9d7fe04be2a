"""A loop continues with new code only when all of it is there and can be loaded: its own checkout, real children."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agents.runtime import loop
from agents.runtime.loop import Sources
from state.files.layout import CHECKOUT
from state.host import code

PACKAGES = ("agents", "config", "hooks", "state", "WORKFLOW")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this one, so that its sources can be changed under a loop."""
    for name in PACKAGES:
        ignored = shutil.ignore_patterns(".venv*", "run", ".cache", "__pycache__")
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=ignored)
    monkeypatch.setattr(loop, "CHECKOUT", tmp_path)
    monkeypatch.setattr(code, "CHECKOUT", tmp_path)
    return tmp_path


def looks(sources: Sources, number: int = 3) -> list[bool]:
    return [sources.are_new() for _ in range(number)]


def test_nothing_new_is_no_reason(checkout: Path) -> None:
    sources = Sources("watchdog", code.control())
    (checkout / "agents" / "roles" / "watchdog.py").touch()  # a time that changed is no other code
    (checkout / "WORKFLOW" / "pipeline" / "phases.py").write_text("# the work plane is not what a loop runs\n")
    environment = checkout / "state" / ".venv" / "lib" / "anything.py"
    environment.parent.mkdir(parents=True)
    environment.write_text("# packages lie below a folder of sources")
    assert looks(sources) == [False] * 3


def test_new_code_is_gone_on_with_when_two_looks_find_the_same(checkout: Path) -> None:
    sources, file = Sources("watchdog", code.control()), checkout / "agents" / "roles" / "watchdog.py"
    file.write_text(file.read_text() + "\n# one\n")
    assert not sources.are_new()
    file.write_text(file.read_text() + "\n# two: the checkout is still being written\n")
    assert not sources.are_new()
    assert sources.are_new()
    assert sources.problem == ""


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("agents/roles/watchdog.py", "def decide(:\n", "SyntaxError"),
        ("state/records/jobs.py", "", "ImportError"),
        ("config/settings.py", "raise RuntimeError('half of it')\n", "half of it"),
    ],
)
def test_code_that_cannot_be_loaded_is_said_and_not_gone_on_with(
    checkout: Path, file: str, text: str, said: str
) -> None:
    sources, path = Sources("watchdog", code.control()), checkout / file
    before = path.read_text()
    path.write_text(text)
    assert looks(sources) == [False] * 3
    assert "goes on with the code it has" in sources.problem
    assert said in sources.problem
    path.write_text(before + "\n# put right\n")
    assert looks(sources, 2) == [False, True]
    path.write_text(before)
    assert not sources.are_new()
    assert sources.problem == "", "the checkout is as it was"


def test_a_file_that_comes_and_goes_is_no_answer(checkout: Path) -> None:
    sources = Sources("watchdog", code.control())
    (checkout / "agents" / "dangling.py").symlink_to(checkout / "nowhere.py")
    assert code.control() == ""
    assert looks(sources) == [False] * 3
    assert sources.problem == ""


def test_both_planes_say_the_same_of_the_work_plane() -> None:
    from WORKFLOW import SOURCE_HASH

    assert code.work() == SOURCE_HASH
    assert code.control() not in ("", SOURCE_HASH)


def test_a_loop_reaps_what_its_cycles_leave_behind() -> None:
    script = """
import os
from agents.runtime import loop
loop._adopt_orphans()
pid = os.fork()
if pid == 0:
    if os.fork():
        os._exit(0)
    os._exit(0)  # an orphan, inherited by whoever adopts
os.waitpid(pid, 0)
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # it has come to us, dead
loop._reap()
try:
    os.waitpid(-1, os.WNOHANG)
    print("somebody is left")
except ChildProcessError:
    print("nobody is left")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("nobody is left\n", "")
