"""Pipes, sockets and links where records, logs and settings should lie: never waited for, never written through."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agents.machine import records
from config import plain
from config.settings import OVERLAY_VARIABLE
from scripts.swarm import checksums
from state.files import made, private, snapshot
from state.files.artifacts import MANIFEST
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.files.tighten import prepare
from WORKFLOW.report.tree import ResultTree

PRECIOUS = b"somebody else's, and no line of ours"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign"
    path.write_bytes(PRECIOUS)
    path.chmod(0o644)
    return path


def untouched(path: Path) -> bool:
    return path.read_bytes() == PRECIOUS and path.stat().st_mode & 0o777 == 0o644


def lay(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        path.mkdir()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder"])
def test_a_record_that_is_no_file_is_no_record_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.json"
    lay(path, kind)
    assert snapshot.read_json(path) is None
    with pytest.raises(plain.NotPlain if kind != "folder" else IsADirectoryError):
        plain.read_bytes(path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_journal_that_is_no_file_holds_nothing_and_takes_nothing(tmp_path: Path, kind: str) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    lay(journal.path, kind)
    assert journal.read().records == ()
    with pytest.raises(OSError, match=r"j\.jsonl"):
        journal.append({"a": 1})


def test_a_journal_is_not_written_through_a_link(tmp_path: Path, foreign: Path) -> None:
    """Its torn tail would be cut: all of a file without our line ends."""
    journal = Journal(tmp_path / "j.jsonl")
    journal.path.symlink_to(foreign)
    with pytest.raises(OSError, match="remove the link"):
        journal.append({"a": 1})
    assert untouched(foreign)
    journal.path.unlink()
    journal.append({"a": 1})
    assert journal.read().records == ({"a": 1},)


def test_a_record_replaces_a_link_and_not_what_it_points_to(tmp_path: Path, foreign: Path) -> None:
    path = tmp_path / "r.json"
    path.symlink_to(foreign)
    snapshot.write_json(path, {"a": 1})
    assert untouched(foreign)
    assert (path.is_symlink(), snapshot.read_json(path)) == (False, {"a": 1})


@pytest.mark.parametrize("target", ["file", "dangling"])
def test_a_log_replaces_a_link_and_not_what_it_points_to(tmp_path: Path, foreign: Path, target: str) -> None:
    path, gone = tmp_path / "logs" / "w.log", tmp_path / "not there"
    path.parent.mkdir()
    path.symlink_to(foreign if target == "file" else gone)
    with private.log(path) as log:
        log.write(b"said\n")
    assert (path.is_symlink(), path.read_bytes(), path.stat().st_mode & 0o777) == (False, b"said\n", 0o600)
    assert untouched(foreign)
    assert not gone.exists()


@pytest.mark.parametrize("place", ["w.log", "w.log.1"])
def test_a_log_that_is_cut_short_is_not_cut_through_a_link(tmp_path: Path, foreign: Path, place: str) -> None:
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path / "r")})
    with made.log(roots, log := roots.logs / "w.log") as file:
        file.write(b"line\n" * 1_000)
    if place == "w.log":
        log.unlink()
    (roots.logs / place).symlink_to(foreign)
    assert records.rotate(roots, "w.log", 10) is (place != "w.log")
    assert untouched(foreign)
    assert (roots.logs / place).is_symlink()


def test_closing_the_roots_follows_no_link(tmp_path: Path, foreign: Path) -> None:
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path / "r")})
    prepare(roots)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    roots.workers.mkdir(exist_ok=True)
    (roots.workers / "w.json").symlink_to(foreign)
    (roots.state / "runs").symlink_to(elsewhere)
    prepare(roots, deep=True)
    assert untouched(foreign)
    assert elsewhere.stat().st_mode & 0o777 == 0o755


def test_results_are_published_into_no_folder_that_a_link_leads_to(tmp_path: Path, foreign: Path) -> None:
    """What an earlier run left in a best's folder is removed there: in a stranger's it would be all he has."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "metrics.json").write_bytes(PRECIOUS)
    foreign.rename(theirs / "foreign")
    tree = ResultTree(tmp_path / "SOL" / "aggressive")
    tree.folder.mkdir(parents=True)
    (tree.folder / "best_sharpe").symlink_to(theirs)
    (tree.folder / "all_trials.json").symlink_to(theirs / "foreign")
    tree.publish({"best_sharpe/metrics.json": b"{}", "all_trials.json": b"[]"}, {})
    assert untouched(theirs / "foreign")
    assert (theirs / "metrics.json").read_bytes() == PRECIOUS
    assert (tree.folder / "best_sharpe" / "metrics.json").read_bytes() == b"{}"
    assert checksums.check(tmp_path)["wrong"] == 0


@pytest.mark.timeout(60)
def test_a_pipe_among_results_is_said_and_not_waited_for(tmp_path: Path) -> None:
    tree = tmp_path / "SOL" / "aggressive"
    lay(tree / "all_trials.json", "pipe")
    snapshot.write_json(tree / MANIFEST, {"files": {"all_trials.json": "0" * 64}})
    [found] = checksums.check(tmp_path)["trees"]
    assert found["wrong"] == ["all_trials.json: it is a pipe, a socket or a device, and no plain file"]


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_settings_that_are_no_file_are_refused_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.yaml"
    lay(path, kind)
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "scripts" / "backtest-optimize"), "--single", "--demo"],
        env=os.environ | {OVERLAY_VARIABLE: str(path), "RESULTS_ROOT": str(tmp_path / "r"), "VENV_PATH": sys.prefix},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot read settings {path}: ")
    assert "unset BACKTEST_OPTIMIZE_CONFIG" in done.stderr
