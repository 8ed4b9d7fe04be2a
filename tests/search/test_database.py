"""A study in a database gives the same trials as the journal, through any death of whoever serves it."""

import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.errors import Refused
from tests.search.test_study import TRIALS, objective, open_study, run, start
from WORKFLOW.search.study import SharedStudy, Trial

MISSING = [name for name in ("grpc", "google.protobuf") if importlib.util.find_spec(name.split(".")[0]) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"the extra rdb is not installed: {', '.join(MISSING)}")


def in_database(folder: Path, url: str) -> SharedStudy:
    from WORKFLOW.search.database import DatabaseStore

    return open_study(folder, store=DatabaseStore(url, folder / "server", "test"))


def finished(folder: Path, url: str) -> list[Trial]:
    study = in_database(folder, url)
    try:
        study.work(objective, lambda now: None, lambda: True)
        return study.finished()
    finally:
        study.close()


@pytest.fixture(scope="module")
def in_journal(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return run(tmp_path_factory.mktemp("journal"))


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """A cluster of its own on a private socket."""
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("no PostgreSQL server on this machine: initdb, postgres")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    user = None
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        user = next((one.pw_name for one in pwd.getpwall() if one.pw_name in {"postgres", "nobody"}), None)
        if user is None:
            pytest.skip("this is root, and there is no user postgres or nobody to run a server as")
    yield from _cluster(user)


def _cluster(user: str | None) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "user": user, "cwd": "/"}
        data = folder / "data"
        subprocess.run(["initdb", "-D", data, "-U", "me", "--auth=trust", "--no-sync"], check=True, **quiet)
        options = f"-c listen_addresses= -k {folder} -c fsync=off"
        subprocess.run(["pg_ctl", "-D", data, "-o", options, "-w", "-l", folder / "log", "start"], check=True, **quiet)
        try:
            yield f"postgresql://me@/postgres?host={folder}"
        finally:
            subprocess.run(["pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, **quiet)


def test_sqlite_gives_the_same_trials(tmp_path: Path, in_journal: list[Trial]) -> None:
    assert finished(tmp_path, f"sqlite:///{tmp_path}/study.sqlite3") == in_journal


def test_postgresql_gives_the_same_trials(tmp_path: Path, in_journal: list[Trial], postgresql: str) -> None:
    assert finished(tmp_path, postgresql) == in_journal


def test_two_processes_share_it_through_the_one_that_serves(tmp_path: Path, in_journal: list[Trial]) -> None:
    url = f"sqlite:///{tmp_path}/study.sqlite3"
    workers = [start(tmp_path, url=url) for _ in range(2)]
    for worker in workers:
        worker.communicate()
        assert worker.returncode == 0
    evaluated = (tmp_path / "evaluated").read_text().splitlines()
    assert finished(tmp_path, url) == in_journal
    assert len(evaluated) == TRIALS


def test_when_the_server_is_killed_another_process_serves(tmp_path: Path, in_journal: list[Trial]) -> None:
    url = f"sqlite:///{tmp_path}/study.sqlite3"
    with start(tmp_path, "evaluating", 3, url=url) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "evaluating\n"  # it serves, and stands in the middle of a trial
        study = in_database(tmp_path, url)
        assert study._store._lock is None, "this process should be a client"
        seen = study.standing().done
        assert seen == 2
        socket = Path(json.loads((tmp_path / "server" / "server.json").read_text())["port"])
        assert socket.is_socket()
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        study.work(objective, lambda now: None, lambda: True)
        assert study._store._lock is not None
        assert study.finished() == in_journal
        assert not socket.parent.exists(), "what the dead server left"
        study.close()


def test_a_server_that_was_killed_before_it_listened_leaves_nothing(tmp_path: Path, in_journal: list[Trial]) -> None:
    """Its folder is made, nobody listens in it yet; a folder that holds something else stays."""
    folders = [tmp_path / "study-empty", tmp_path / "study-other"]
    for folder in folders:
        folder.mkdir()
    (folders[1] / "s").write_text("no socket")
    for folder in folders:
        server = tmp_path / f"of {folder.name}"
        (server / "server").mkdir(parents=True)
        (server / "server" / "server.json").write_text(json.dumps({"port": str(folder / "s")}))
        assert finished(server, f"sqlite:///{server}/study.sqlite3") == in_journal
    assert [folder.exists() for folder in folders] == [False, True]


def test_a_database_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be opened"):
        in_database(tmp_path, f"sqlite:///{tmp_path}/no/such/folder/study.sqlite3")


def test_a_server_that_nobody_runs_is_refused_and_no_password_is_said(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(Refused, match="cannot be opened") as refusal:
        in_database(tmp_path, f"postgresql://me:hunter2@/postgres?host={tmp_path}")
    assert "start the database" in refusal.value.way_out
    assert "hunter2" not in f"{refusal.value.reason} {refusal.value.way_out}"
