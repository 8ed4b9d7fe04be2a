"""The start-up with real processes and real virtual environments, in a small checkout with one package of our own.

No network: pip is told to look into one folder only, where each test's wheel lies.
"""

import base64
import fcntl
import hashlib
import io
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.infra import environment, install, requirements

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PARTS = (
    *(f"{package}/__init__.py" for package in ("config", "state", "scripts", "scripts/infra")),
    *(
        "config/errors.py",
        "config/plain.py",
        "state/files/codec.py",
        "state/files/private.py",
        "state/host/process.py",
        "state/files/snapshot.py",
    ),
    "scripts/_checkout.py",
    *(f"scripts/infra/{module}.py" for module in ("environment", "install", "requirements")),
)
# The interpreter behind the one that runs the tests: what a user types as python3.
PYTHON = getattr(sys, "_base_executable", sys.executable)

HELLO = '''\
"""A command."""

if __name__ == "__main__" and not __package__:
    import _checkout  # puts the checkout first on sys.path, in its virtual environment

import json
import os
import sys

import tiny

here = os.path.dirname(os.path.realpath(__file__))
print(json.dumps({"prefix": sys.prefix, "path": sys.path[0], "bare": here in sys.path, "arguments": sys.argv[1:],
                  "tiny": tiny.VERSION, "leaks": [v for v in os.environ if v.startswith("BACKTEST_OPTIMIZE")],
                  "dev_mode": sys.flags.dev_mode}))
'''


class Place:
    """A small checkout, the folder of wheels that pip may look into, and the virtual environment it is to use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkout = root / "check out"  # a space, as in many a home
        self.wheels = root / "wheels"
        self.venv = root / "venv"
        self.foreign_folder = root / "elsewhere"
        self.wheels.mkdir()
        self.foreign_folder.mkdir()
        for part in PARTS:
            target = self.checkout / part
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / part, target)
        self.hello = self.checkout / "scripts" / "hello"
        self.hello.write_text(HELLO, encoding="utf-8")
        self.provide("1.0")

    def provide(self, version: str) -> None:
        """Build a wheel of the package `tiny` and lock it."""
        wheel = self.wheels / f"tiny-{version}-py3-none-any.whl"
        about = f"tiny-{version}.dist-info"
        files = {
            "tiny.py": f"VERSION = {version!r}\n",
            install.STARTUP_HOOKS[0]: "import sys; sys.stderr.write('hooked')\n",
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{name},sha256={self.record_hash(text)},{len(text)}\n" for name, text in files.items())
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
                archive.writestr(zipfile.ZipInfo(name), text)  # dated 1980: the same bytes in every place
        self.lock("core", f"tiny=={version}", hashlib.sha256(wheel.read_bytes()).hexdigest())

    @staticmethod
    def record_hash(text: str) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()

    def lock(self, name: str, requirement: str, digest: str) -> None:
        path = self.checkout / "config" / "locks" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{requirement} \\\n    --hash=sha256:{digest}\n", encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "BACKTEST_OPTIMIZE"))}
        ours = {"VENV_PATH": str(self.venv), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        temporary = self.root.with_name(f"{self.root.name}-tmp")  # where a pip that is killed leaves what it had
        temporary.mkdir(exist_ok=True)
        # No configuration file of this machine's, and no GPU: only what the test gives.
        own = {"PIP_CONFIG_FILE": os.devnull, "CUDA_VISIBLE_DEVICES": "-1", "TMPDIR": str(temporary)}
        return clean | ours | own | more

    def start(self, *arguments: str, python: str = PYTHON, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *(arguments or (str(self.hello),))],
            cwd=self.foreign_folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def stamp(self) -> Path:
        return self.venv / environment.STAMP


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose first start is over; what it said is kept beside it."""
    place = Place(tmp_path_factory.mktemp("made"))
    done = place.start()
    (place.root / "said").write_text(done.stderr, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def ready(place: Place, made: Place) -> Place:
    """A fresh place with a copy of the environment that was made."""
    shutil.copytree(made.venv, place.venv, symlinks=True)
    return place


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


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


# --- what goes wrong ------------------------------------------------------------------------------------------------


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


def bare(folder: Path) -> Path:
    """Somebody else's environment, with nothing in it."""
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    return next((folder / "lib").glob("python*/site-packages"))


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

PRETEND = """
import runpy, sys
{deed}
sys.argv = [{script!r}]
sys.path.insert(0, {folder!r})
runpy.run_path({script!r}, run_name="__main__")
"""


def pretend(place: Place, deed: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Start the command after `deed` has been done to the interpreter."""
    code = PRETEND.format(deed=deed, script=str(place.hello), folder=str(place.hello.parent))
    return place.start("-c", code, **more)


def test_an_old_python_without_a_newer_one_gets_a_sentence(place: Place) -> None:
    done = pretend(place, "sys.version_info = (3, 8, 18)", PATH=str(place.foreign_folder))
    assert done.returncode == 1
    assert (
        "error: this is Python 3.8.18, and PATH has no supported version; Python 3.11 to 3.14 is needed" in done.stderr
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
    assert "PATH has no supported version" in done.stderr


# --- the driver, the locks, the bar: no process needed --------------------------------------------------------------


def test_a_driver_counts_unless_its_gpus_are_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(environment, "NVIDIA_DRIVER", (str(tmp_path / "version"),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert not environment.has_nvidia_driver()
    assert list(environment.wanted_locks(CHECKOUT, ("dev",))) == ["core", "dev"]
    (tmp_path / "version").touch()
    assert environment.has_nvidia_driver()
    assert list(environment.wanted_locks(CHECKOUT)) == ["core", "cuda"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not environment.has_nvidia_driver()


def test_pips_own_opinion_of_each_marker_is_ours() -> None:
    markers = pytest.importorskip("pip._vendor.packaging.markers", reason="this environment came without pip")
    found = {
        line.split(" ; ")[1].removesuffix(" \\")
        for path in (CHECKOUT / "config" / "locks").iterdir()
        for line in path.read_text(encoding="utf-8").splitlines()
        if " ; " in line
    }
    assert len(found) >= 4
    assert {m: requirements.applies(m) for m in found} == {m: markers.Marker(m).evaluate() for m in found}


@pytest.mark.parametrize(
    ("marker", "truth"),
    [
        ("python_full_version < '3.0'", False),
        ("python_full_version >= '3.0' and sys_platform == 'nowhere'", False),
        ("(os_name == 'posix' and sys_platform == 'nowhere') or python_version > '3'", True),
        ("sys_platform != 'nowhere'", True),
        ("something_new == 'x'", True),
    ],
)
def test_markers(marker: str, truth: bool) -> None:
    assert requirements.applies(marker) is truth


def test_distributions_are_found_under_any_spelling(tmp_path: Path) -> None:
    for name in ("Mako-1.4.dist-info", "typing_extensions-4.0.dist-info", "a.b-1.0-py3.11.egg-info", "mako"):
        (tmp_path / name).mkdir()
    found = requirements.installed([tmp_path / "none", tmp_path])
    assert found == {"mako": "1.4", "typing-extensions": "4.0", "a-b": "1.0"}


PIP_SAYS = """\
Collecting numpy==2.4.6 (from -r core.txt (line 3))
  Downloading numpy-2.4.6-cp311-cp311-manylinux.whl (16.0 MB)
Requirement already satisfied: Mako==1.4 in /somewhere
Installing collected packages: typing-extensions, numpy
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_counts_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    progress = install.Progress(3, tmp_path, screen)
    for line in PIP_SAYS.splitlines():
        progress.see(line)
    (tmp_path / "typing_extensions-4.0.dist-info").mkdir()
    progress.see("")
    shown = [text.partition("]")[2].split("  ")[0:2] for text in screen.getvalue().split("\r")[1:]]
    assert shown == [
        [" collecting 1 of 3", "numpy"],
        [" collecting 1 of 3", "numpy"],
        [" collecting 2 of 3", "mako"],
        [" installing 0 of 2", "typing-extensions"],
        [" installing 1 of 2", "numpy"],
    ]


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    out = io.StringIO()
    progress = install.Progress(12, tmp_path, out)
    for n in range(12):
        progress.see(f"Collecting package-{n}==1")
    assert out.getvalue().splitlines() == [
        "  collecting 5 of 12 packages (package-4), 0 s",
        "  collecting 10 of 12 packages (package-9), 0 s",
    ]
    assert "\r" not in out.getvalue()


def test_a_real_start_on_a_terminal_draws_the_bar(ready: Place) -> None:
    ready.provide("3.0")
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [PYTHON, ready.hello], env=ready.environment(TERM="xterm"), stdout=subprocess.PIPE, stderr=theirs, check=False
    )
    os.close(theirs)
    drawn = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "[██████████░░░░░░░░░░] collecting 1 of 1  tiny" in drawn or "collecting 0 of 1  pip" in drawn
    assert "installed 1 packages in" in drawn


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Max retries exceeded\nERROR: No matching distribution found for x", "could not be downloaded"),
        ("ERROR: No matching distribution found for x", "no package fits"),
        ("PermissionError: [Errno 13] Permission denied: '/x'", "could not be written"),
        ("something new", "pip ended with 2"),
    ],
)
def test_pips_last_words_are_put_into_a_reason_and_a_way_out(tmp_path: Path, said: str, reason: str) -> None:
    log = tmp_path / "log"
    log.write_text(said, encoding="utf-8")
    failure = install.failure(log, 2, install.Untouched)
    assert reason in failure.reason
    assert str(log) in failure.reason
    assert failure.way_out


def test_ctrl_c_while_pip_collects_leaves_what_worked(ready: Place) -> None:
    stamp = ready.stamp.read_bytes()
    ready.provide("2.0")
    wheel = ready.wheels / "tiny-2.0-py3-none-any.whl"
    wheel.unlink()
    os.mkfifo(wheel)  # pip opens it and waits for a writer that never comes: a slow network
    start = subprocess.Popen(
        [PYTHON, ready.hello], env=ready.environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with start:
        assert start.stderr is not None
        assert start.stderr.readline().startswith("bringing")
        with wheel.open("wb"):  # returns when pip has opened the other end
            os.killpg(start.pid, signal.SIGINT)
            said = start.stderr.read()
    assert (start.returncode, said) == (130, "\ninterrupted; the next start goes on from here\n")
    assert ready.stamp.read_bytes() == stamp
