"""The start-up with real processes and real virtual environments: all is well, or there is work to do."""

import fcntl
import json
import os
import shutil
import signal
import subprocess

import pytest

from scripts.infra import environment, install
from tests.scripts.places import HELLO, PYTHON, Place, answer


def test_startup_hooks_of_packages_do_not_stay(made: Place) -> None:
    assert "hooked" not in made.start().stderr
    assert not list(made.venv.rglob(install.STARTUP_HOOKS[0]))


# --- all is well ----------------------------------------------------------------------------------------------------


def test_the_first_start_makes_it_and_says_so(made: Place) -> None:
    said = (made.root / "said").read_text(encoding="utf-8")
    assert said.startswith(f"first start: making the virtual environment {made.venv} (once)\n")
    assert "installed 1 packages in" in said
    assert json.loads(made.stamp.read_bytes())["locks"].keys() == {"core"}
    assert {p.name for p in made.root.iterdir()} == {"check out", "wheels", "elsewhere", "venv", "venv.lock", "said"}


def test_the_second_start_says_nothing_and_runs_inside(ready: Place) -> None:
    done = ready.start("-X", "dev", str(ready.hello), "a b", "--c")
    assert done.stderr == ""
    assert answer(done) == {
        "prefix": str(ready.venv),
        "path": str(ready.checkout),
        "bare": False,
        "arguments": ["a b", "--c"],
        "tiny": "1.0",
        "leaks": [],
        "dev_mode": True,
    }


def test_a_link_to_the_command_works(ready: Place) -> None:
    link = ready.foreign_folder / "bt"
    link.symlink_to(ready.hello)
    assert answer(ready.start(str(link)))["path"] == str(ready.checkout)


SPAWN = """
import multiprocessing
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=print, args=["from the child"])
    child.start()
    child.join()
"""


def test_a_process_that_a_command_spawns_finds_its_way(ready: Place) -> None:
    ready.hello.write_text(HELLO.partition("import json")[0] + SPAWN, encoding="utf-8")
    done = ready.start()
    assert (done.stdout, done.stderr) == ("from the child\n", "")


def test_its_activate_script_names_it_too(ready: Place) -> None:
    assert answer(ready.start(VENV_PATH=str(ready.venv / "bin" / "activate")))["prefix"] == str(ready.venv)


def test_inside_only_the_path_is_put_right(ready: Place) -> None:
    ready.provide("2.0")  # not looked at: whoever is inside has chosen to be
    found = answer(ready.start(python=str(ready.venv / "bin" / "python")))
    assert (found["tiny"], found["path"], found["bare"]) == ("1.0", str(ready.checkout), False)


def test_by_default_it_lies_in_state_of_the_checkout(ready: Place) -> None:
    shutil.move(ready.venv, ready.checkout / "state" / ".venv")
    assert answer(ready.start(VENV_PATH=""))["prefix"] == str(ready.checkout / "state" / ".venv")


# --- work to do -----------------------------------------------------------------------------------------------------


def test_a_changed_lock_brings_it_up_to_date(ready: Place) -> None:
    ready.provide("2.0")
    done = ready.start()
    assert done.stderr.startswith(f"bringing {ready.venv} up to date: core\n")
    assert answer(done)["tiny"] == "2.0"
    assert ready.start().stderr == ""


def test_a_start_that_was_killed_is_finished_by_the_next(place: Place) -> None:
    first = subprocess.Popen(
        [PYTHON, place.hello],
        cwd=place.foreign_folder,
        env=place.environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with first:
        assert first.stderr is not None
        assert first.stderr.readline().startswith("first start")
        os.killpg(first.pid, signal.SIGKILL)
    done = place.start()
    assert answer(done)["tiny"] == "1.0"
    assert "making the virtual environment" in done.stderr


@pytest.mark.parametrize("content", [None, '{"locks": {"co'], ids=["none", "torn"])
def test_a_stamp_that_says_nothing_is_not_trusted(ready: Place, content: str | None) -> None:
    ready.stamp.unlink()
    if content is not None:
        ready.stamp.write_text(content, encoding="utf-8")
    (ready.venv / "lib" / "debris").mkdir()
    # Nothing to install from: enough to see that it is made anew, at a tenth of the price.
    done = ready.start(PIP_FIND_LINKS=str(ready.foreign_folder))
    assert done.stderr.startswith(f"an earlier start was cut short: making the virtual environment {ready.venv}")
    assert not (ready.venv / "lib" / "debris").exists()


def test_when_its_python_is_gone_it_is_made_anew(ready: Place) -> None:
    python = ready.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    done = ready.start()
    assert done.stderr.startswith(f"the Python that {ready.venv} was made with is gone: making")
    assert answer(done)["tiny"] == "1.0"


def test_a_second_start_waits_for_the_first_and_uses_what_it_made(place: Place, made: Place) -> None:
    with (place.root / "venv.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [PYTHON, place.hello],
            cwd=place.foreign_folder,
            env=place.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr is not None
        assert second.stderr.readline() == f"another start is preparing {place.venv}; waiting for it\n"
        shutil.copytree(made.venv, place.venv, symlinks=True)
    said, complained = second.communicate()
    assert (second.returncode, complained) == (0, "")
    assert json.loads(said)["prefix"] == str(place.venv)


BESIDE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from config.errors import Refused
from scripts.infra import environment
try:
    print(environment.beside(Path(sys.argv[1]), "other"))
except Refused as refused:
    print(refused.reason)
"""


def test_what_may_not_live_beside_the_product_gets_an_environment_of_its_own(place: Place) -> None:
    core = (place.checkout / "config" / "locks" / "core.txt").read_text(encoding="utf-8")
    place.lock("other", "tiny==1.0", core.rpartition("sha256:")[2].strip())
    place.lock("core", "no-such-package==1.0", "0" * 64)
    ask = ("-c", BESIDE, str(place.checkout))
    alone = place.start(*ask, PIP_FIND_LINKS=str(place.foreign_folder))
    assert alone.stdout.startswith("the packages could not be installed: no package fits"), alone.stderr
    done = place.start(*ask)
    python = place.checkout / "state" / ".venv-other" / "bin" / "python"
    assert done.stdout == f"{python}\n", done.stderr
    assert json.loads((python.parent.parent / environment.STAMP).read_bytes())["locks"].keys() == {"other"}
    assert place.start(*ask).stderr == ""
    assert not place.venv.exists()
