"""The start-up where something is wrong: packages, somebody else's environment, folders, Python itself."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from scripts.infra import environment
from tests.scripts.places import PYTHON, Place, answer, bare, pretend


def test_what_pip_cannot_find_ends_in_one_message_and_no_stamp(ready: Place) -> None:
    ready.stamp.unlink()
    ready.lock("core", "no-such-package==1.0", "0" * 64)
    done = ready.start()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: the packages could not be installed: no package fits this Python" in done.stderr
    assert "  | ERROR: No matching distribution found for no-such-package==1.0" in done.stderr
    assert f"log: {ready.venv / environment.LOG}" in done.stderr
    assert "  → check pip's configuration" in done.stderr
    assert not ready.stamp.exists()
    assert "no-such-package" in (ready.venv / environment.LOG).read_text(encoding="utf-8")


def test_an_update_that_cannot_begin_leaves_what_worked(ready: Place) -> None:
    stamp = ready.stamp.read_bytes()
    ready.lock("core", "no-such-package==1.0", "0" * 64)
    assert ready.start().returncode == 1
    assert ready.stamp.read_bytes() == stamp
    ready.provide("1.0")
    assert answer(ready.start())["tiny"] == "1.0"


def test_a_package_that_is_not_the_locked_one_is_not_installed(ready: Place) -> None:
    ready.provide("2.0")
    ready.lock("core", "tiny==2.0", "0" * 64)
    done = ready.start()
    assert done.returncode == 1
    assert "a package is not the one that was locked" in done.stderr


def test_nothing_is_installed_into_somebody_elses_environment(place: Place) -> None:
    site_packages = bare(place.venv)
    before = sorted(place.venv.rglob("*"))
    done = place.start()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{place.venv} was not made here, so nothing is installed into it, and it lacks: tiny\n" in done.stderr
    core = place.checkout / "config" / "locks" / "core.txt"
    assert f"{place.venv}/bin/pip install --require-hashes -r {shlex.quote(str(core))}\n" in done.stderr
    assert sorted(place.venv.rglob("*")) == before
    assert list(site_packages.iterdir()) == []


def test_somebody_elses_environment_with_all_packages_is_used_and_other_versions_are_named(place: Place) -> None:
    site_packages = bare(place.venv)
    (site_packages / "Tiny-0.9.dist-info").mkdir()
    (site_packages / "tiny.py").write_text("VERSION = '0.9'\n", encoding="utf-8")
    done = place.start()
    assert answer(done)["tiny"] == "0.9"
    assert done.stderr == f"warning: {place.venv} differs from config/locks/core.txt: tiny 0.9 for 1.0\n"


def test_a_folder_that_is_no_environment_is_refused(place: Place) -> None:
    place.venv.mkdir()
    (place.venv / "thesis.tex").touch()
    done = place.start()
    assert done.returncode == 1
    assert f"{place.venv} is not a virtual environment" in done.stderr
    assert "one that does not exist is made" in done.stderr
    assert [p.name for p in place.venv.iterdir()] == ["thesis.tex"]


def test_an_environment_that_cannot_be_entered_ends_in_a_sentence_and_not_in_a_loop(place: Place) -> None:
    (place.venv / "bin").mkdir(parents=True)
    (place.venv / "bin" / "python").symlink_to(PYTHON)
    done = place.start()
    assert done.returncode == 1
    assert f"{place.venv}/bin/python runs outside {place.venv}" in done.stderr


def test_a_path_through_a_file_is_named(place: Place) -> None:
    (place.root / "file").touch()
    done = place.start(VENV_PATH=str(place.root / "file" / "venv"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"cannot prepare the virtual environment: {place.root / 'file'}" in done.stderr


# --- Python itself --------------------------------------------------------------------------------------------------


def test_an_old_python_without_a_newer_one_gets_a_sentence(place: Place) -> None:
    done = pretend(place, "sys.version_info = (3, 8, 18)", PATH=str(place.foreign_folder))
    assert done.returncode == 1
    assert (
        "error: this is Python 3.8.18, and there is no supported one on PATH; needed is Python 3.11 to 3.14"
        in done.stderr
    )
    assert "apt install python3.12" in done.stderr
    assert not place.venv.exists()


def test_a_too_new_python_is_not_taken_either(place: Place) -> None:
    done = pretend(place, "sys.version_info = (3, 99, 0)", PATH=str(place.foreign_folder))
    assert done.returncode == 1
    assert "this is Python 3.99.0" in done.stderr


def test_an_old_python_goes_on_as_a_newer_one_from_path_past_an_empty_shim(place: Place) -> None:
    names = [f"python{major}.{minor}" for major, minor in environment.SUPPORTED]
    broken, working = place.foreign_folder / names[-1], place.foreign_folder / names[0]
    broken.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    # The newer one is a stand-in that tells how it was called: making an environment is another test's matter.
    working.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "went on: $1"\n', encoding="utf-8")
    broken.chmod(0o755)
    working.chmod(0o755)
    done = pretend(place, "sys.version_info = (3, 8, 18)", PATH=str(place.foreign_folder))
    assert (done.returncode, done.stdout) == (0, f"went on: {place.hello}\n")


def test_an_old_python_enters_an_environment_that_is_ready(ready: Place) -> None:
    done = pretend(ready, "sys.version_info = (3, 8, 18); del sys.orig_argv", PATH=str(ready.foreign_folder))
    assert answer(done)["prefix"] == str(ready.venv)


def test_a_python_without_ensurepip_names_the_package_to_install(place: Place) -> None:
    done = pretend(place, "sys.modules['ensurepip'] = None")
    version = "{}.{}".format(*sys.version_info[:2])
    assert done.returncode == 1
    assert "comes without venv or ensurepip" in done.stderr
    assert f"apt install python{version}-venv" in done.stderr


@pytest.fixture(params=["3.8", "3.9", "3.10"])
def old_python(request: pytest.FixtureRequest) -> Iterator[str]:
    found = shutil.which(f"python{request.param}")
    if not found or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"there is no Python {request.param} on PATH")
    yield found


def test_a_real_old_python_gets_the_sentence(place: Place, old_python: str) -> None:
    done = place.start(python=old_python, PATH=str(place.foreign_folder))
    assert done.returncode == 1
    assert "there is no supported one on PATH" in done.stderr
