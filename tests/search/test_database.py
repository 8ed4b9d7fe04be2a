"""A study in a database gives the same trials as the journal, whenever the process that serves it dies."""

import fcntl
import gc
import importlib.util
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config.errors import Refused
from config.search import SQLITE
from config.settings import load
from state.files import snapshot
from state.files.layout import CHECKOUT
from state.files.run_folders import RunFolder
from tests.search.test_study import TRIALS, objective, open_study, run, start
from tests.WORKFLOW.pipeline import environment
from WORKFLOW.search import needs
from WORKFLOW.search.job import SearchFolder, SearchJob
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
        made = ["initdb", "-D", data, "-U", "me", "--auth=trust", "--no-sync", "--encoding=UTF8"]
        subprocess.run(made, check=True, **quiet)
        options = f"-c listen_addresses= -k {folder} -c fsync=off"
        subprocess.run(["pg_ctl", "-D", data, "-o", options, "-w", "-l", folder / "log", "start"], check=True, **quiet)
        try:
            yield f"postgresql://me@/postgres?host={folder}"
        finally:
            subprocess.run(["pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, **quiet)


def test_sqlite_gives_the_same_trials(tmp_path: Path, in_journal: list[Trial]) -> None:
    assert finished(tmp_path, f"sqlite:///{tmp_path}/study.sqlite3") == in_journal


def test_a_damaged_file_of_sqlite_is_set_aside_whole_and_the_search_done_again(
    tmp_path: Path, in_journal: list[Trial]
) -> None:
    """It is treated like an unreadable search journal: trials can be computed again, so the run does not end."""
    folder, settings, said = RunFolder(tmp_path), load({}), list[str]()
    study = open_study(tmp_path)
    plan = study._plan
    study.close()
    search = SearchFolder(folder)
    search.write(SearchJob(settings.costs, 5, "native", plan, storage=SQLITE))
    folder.study_database.write_bytes(b"no database" * 100)
    made = search.study(said.append)
    try:
        made.work(objective, lambda now: None, lambda: True)
        assert made.finished() == in_journal
    finally:
        made.close()
    assert said == [
        f"  the study {folder.study_database} is no database that SQLite can read: it is set aside as "
        "study.damaged-1.sqlite3, and the search is done again"
    ]
    assert (tmp_path / "study.damaged-1.sqlite3").read_bytes() == b"no database" * 100


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
    """Its folder exists, and no server listens in it yet. A folder that holds other files stays."""
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


def test_a_server_that_hangs_with_a_request_costs_its_deadline_and_then_another_process_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server of grpc accepts the request and never answers, as one whose process hangs."""
    import grpc

    from WORKFLOW.search import database

    monkeypatch.setattr(database, "_REQUEST_S", 0.5)
    asked, ended = threading.Event(), threading.Event()

    class Silent(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, _details: object) -> Any:
            def answer(_request: bytes, _context: object) -> bytes:
                asked.set()
                os.close(lock)  # whoever asks again finds the lock free
                ended.wait(60.0)
                return b""

            return grpc.unary_unary_rpc_method_handler(answer)

    folder = tmp_path / "server"
    folder.mkdir()
    lock = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as short:
        silent = grpc.server(ThreadPoolExecutor(1), handlers=(Silent(),))
        silent.add_insecure_port(f"unix:{short}/s")
        silent.start()
        snapshot.write_json(folder / "server.json", {"host": "unix", "port": f"{short}/s"})
        store = database.DatabaseStore(f"sqlite:///{tmp_path}/study.sqlite3", folder, "test")
        assert store.act(lambda storage: storage.get_all_studies()) == []
        assert asked.is_set()
        assert store._lock is not None
        store.close()
        ended.set()
        silent.stop(grace=None).wait()


def test_a_server_that_stopped_is_never_freed(tmp_path: Path) -> None:
    """Freeing it was seen to wait for ever, with the interpreter's lock, for a request that had come too late."""
    from WORKFLOW.search.database import DatabaseStore

    store = DatabaseStore(f"sqlite:///{tmp_path}/study.sqlite3", tmp_path / "server", "test")
    store.act(lambda storage: storage.get_all_studies())
    server = weakref.ref(store._server)
    store.close()
    gc.collect()
    assert server() is not None


def test_a_database_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be opened"):
        in_database(tmp_path, f"sqlite:///{tmp_path}/no/such/folder/study.sqlite3")


def test_a_server_that_nobody_runs_is_refused_and_no_password_is_said(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(Refused, match="cannot be opened") as refusal:
        in_database(tmp_path, f"postgresql://me:hunter2@/postgres?host={tmp_path}")
    assert "start the database" in refusal.value.way_out
    assert "hunter2" not in f"{refusal.value.reason} {refusal.value.way_out}"


# --- before anything is begun -----------------------------------------------------------------------------------------


@pytest.fixture
def without_grpc(tmp_path: Path) -> dict[str, str]:
    """What a shell is like whose environment holds no grpcio, and a study that is to lie in SQLite."""
    package = tmp_path / "broken" / "grpc"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('No module named grpc')", encoding="utf-8")
    more = {"PYTHONPATH": str(package.parent), "BACKTEST_OPTIMIZE__SEARCH__STORAGE": "sqlite", "VENV_PATH": sys.prefix}
    return environment(tmp_path / "r o o t", **more)


@pytest.mark.parametrize("command", ["--single", "--parallel"])
def test_a_package_that_is_missing_is_said_before_anything_is_begun(
    command: str, tmp_path: Path, without_grpc: dict[str, str]
) -> None:
    product = [sys.executable, str(CHECKOUT / "scripts" / "backtest-optimize")]
    options: dict[str, Any] = {"env": without_grpc, "cwd": "/", "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([*product, command, "--demo", "--prescreen", "100"], check=False, **options)
    if (tmp_path / "r o o t" / "state" / "swarm.json").exists():
        subprocess.run([*product, "stop"], check=False, **options)
    assert done.returncode == 1, done.stderr
    assert "error: search.storage sqlite needs grpcio\n" in done.stderr
    assert "prescreen" not in done.stdout + done.stderr
    assert not (tmp_path / "r o o t").exists(), "what is refused leaves nothing behind"
    pip = next(line for line in done.stderr.splitlines() if " -m pip install " in line)
    python, *_, lock = shlex.split(pip.replace("→", ""))
    assert (python, Path(lock).is_file()) == (sys.executable, True), "the way out works from any folder"
    assert "set search.storage to journal" in done.stderr


def test_a_server_that_does_not_answer_is_said_before_anything_is_begun(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(Refused, match="cannot be opened") as refusal:
        needs.check(f"postgresql://me@/postgres?host={tmp_path}")
    assert "search.storage to journal" in refusal.value.way_out


def test_a_server_that_answers_is_enough(postgresql: str) -> None:
    needs.check(postgresql)
    needs.check("sqlite")
    needs.check("journal")
