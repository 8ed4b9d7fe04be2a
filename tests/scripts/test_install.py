"""The driver, the locks and the bar of an installation, mostly without a process; Ctrl-C while pip works."""

import io
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.infra import environment, install, requirements
from tests.scripts.places import CHECKOUT, PYTHON, Place


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
