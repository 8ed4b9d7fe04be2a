"""`dashboard`: optuna-dashboard over HTTP, on a copy that neither sees nor disturbs what the search does next."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.errors import Refused
from config.settings import load
from scripts.swarm import dashboard
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.run_folders import RunFolder
from state.records import runs
from state.records.runs import Run
from tests.search.test_study import objective
from WORKFLOW.search.copies import copied
from WORKFLOW.search.job import SearchFolder, SearchJob
from WORKFLOW.search.study import StudyPlan

TRIALS = 6


def search(folder: RunFolder, trials: int = TRIALS, storage: str = "journal") -> SearchFolder:
    """A search of so many trials on file, as search processes leave it."""
    settings = load()
    plan = StudyPlan(settings.mode("aggressive"), trials, 3, 7, ())
    one = SearchFolder(folder)
    one.write(SearchJob(settings.costs, 30, "native", plan, storage=storage))
    study = one.study()
    study.work(objective, lambda now: None, lambda: True)
    study.close()
    return one


def single(roots: Roots, run_id: str, mode: str = "aggressive") -> RunFolder:
    folder = roots.run(run_id)
    runs.write(folder, Run(run_id, "key", "SOL", mode, "2026-01-01T00:00:00.000Z"))
    return folder


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})


def values(storage: Any) -> list[float]:
    [study] = storage.get_all_studies()
    return [trial.value for trial in storage.get_all_trials(study._study_id)]


@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_the_copy_holds_every_trial_and_what_is_done_to_it_stays_there(
    roots: Roots, tmp_path: Path, storage: str
) -> None:
    if storage == "sqlite":
        pytest.importorskip("grpc", reason="the extra rdb is not installed")
    folder = single(roots, "bt-1")
    live = search(folder, storage=storage)
    (tmp_path / "copy").mkdir()
    before = {path.name: path.read_bytes() for path in folder.path.glob("study.*")}
    copy = copied(live.folder, tmp_path / "copy")
    found = values(copy)
    assert len(found) == TRIALS
    copy.set_study_user_attr(copy.get_all_studies()[0]._study_id, "note", "mine")
    copy.create_new_trial(copy.get_all_studies()[0]._study_id)
    assert {path.name: path.read_bytes() for path in folder.path.glob("study.*")} == before
    study = live.study()
    try:
        assert [trial.result.value for trial in study.finished()] == found
    finally:
        study.close()


def test_a_line_that_is_being_written_is_left_out(roots: Roots, tmp_path: Path) -> None:
    live = search(single(roots, "bt-1"))
    with live.folder.study.open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    (tmp_path / "copy").mkdir()
    assert len(values(copied(live.folder, tmp_path / "copy"))) == TRIALS


def test_the_search_that_was_meant_is_found_by_run_or_by_symbol_and_mode(roots: Roots) -> None:
    ones = [single(roots, "bt-1"), single(roots, "bt-2", "balanced")]
    swarm = roots.swarm_run("bt-3")
    ones += [swarm.round(number).unit(symbol, "aggressive") for number in (0, 1) for symbol in ("BTC", "SOL")]
    for one in ones:
        snapshot.write_json(one.search, {})
    assert dashboard.chosen(roots, "SOL/balanced") == ones[1]
    assert dashboard.chosen(roots, "bt-1") == ones[0]
    assert dashboard.chosen(roots, "BTC/aggressive") == ones[4]
    assert dashboard.chosen(roots, None) == dashboard.chosen(roots, "SOL/aggressive") == ones[5]
    with pytest.raises(Refused, match="bt-3 has several searches: BTC/aggressive, SOL/aggressive"):
        dashboard.chosen(roots, "bt-3")
    with pytest.raises(Refused, match="there is no search XRP/aggressive") as refused:
        dashboard.chosen(roots, "XRP/aggressive")
    assert refused.value.way_out == "searches on file: SOL/aggressive, SOL/balanced, BTC/aggressive"


@contextmanager
def serving(results: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [
        sys.executable,
        str(CHECKOUT / "scripts" / "backtest-optimize"),
        "dashboard",
        "--port",
        "0",
        "--json",
        *words,
    ]
    where = {"RESULTS_ROOT": str(results), "VENV_PATH": sys.prefix, "TMPDIR": str(results / "tmp")}
    (results / "tmp").mkdir()
    with subprocess.Popen(
        command, env=os.environ | where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, _first_object(process)
        finally:
            process.kill()


def _first_object(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line == "}\n":
            break
    answer: dict[str, Any] = json.loads(said)
    return answer


def asked(url: str, host: str | None = None) -> Any:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_the_page_is_served_to_this_machine_and_the_copy_goes_with_it(roots: Roots, tmp_path: Path) -> None:
    search(single(roots, "bt-1"))
    with serving(tmp_path, "SOL/aggressive") as (process, said):
        assert said["trials"] == TRIALS
        [study] = asked(f"{said['url']}api/studies")["study_summaries"]
        detail = asked(f"{said['url']}api/studies/{study['study_id']}?after=0")
        assert [trial["state"] for trial in detail["trials"]] == ["Complete"] * TRIALS
        assert detail["objective_names"] == ["sharpe_ratio"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(f"{said['url']}api/studies", host="rebound.example:80")
        assert refused.value.code == 403
        refused.value.close()
        process.send_signal(signal.SIGINT)
        _, last = process.communicate(timeout=30)
    assert (process.returncode, last) == (0, "\nended, and the copy is gone\n")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8080", None, "200 OK"),
        ("localhost:8080", "http://localhost:8080", "200 OK"),
        ("rebound.example:8080", "http://rebound.example:8080", "403 Forbidden"),
        ("127.0.0.1:8080", "http://evil.example", "403 Forbidden"),
        ("127.0.0.1:8080", "null", "403 Forbidden"),
        ("127.0.0.1:8080", "http://127.0.0.1:9090", "403 Forbidden"),
        ("", None, "403 Forbidden"),
    ],
)
def test_pages_of_others_are_not_answered(host: str, origin: str | None, status: str) -> None:
    """A name that was given our address, and a form of another page that is sent here."""

    def app(_: dict[str, Any], respond: Any) -> list[bytes]:
        respond("200 OK", [])
        return [b"trials"]

    said: list[str] = []
    request = {"HTTP_HOST": host} | ({} if origin is None else {"HTTP_ORIGIN": origin})
    answer = b"".join(dashboard.only_here(app)(request, lambda words, _: said.append(words)))
    assert said == [status]
    assert (answer == b"trials") is (status == "200 OK")


def test_ctrl_c_in_the_moment_of_the_announcement_ends_it_as_later_ones_do(
    roots: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class ReadAndStopped(io.StringIO):
        def flush(self) -> None:
            raise KeyboardInterrupt

    search(single(roots, "bt-1"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(sys, "stdout", ReadAndStopped())
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert dashboard.main(["--port", "0"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capfd.readouterr().err == "\nended, and the copy is gone\n"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_port_that_is_taken_is_said_and_whoever_ends_it_leaves_nothing(roots: Roots, tmp_path: Path) -> None:
    search(single(roots, "bt-1"))
    with serving(tmp_path) as (process, said):
        port = said["url"].rstrip("/").rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, str(CHECKOUT / "scripts" / "backtest-optimize"), "dashboard", "--port", port],
            env=os.environ | {"RESULTS_ROOT": str(tmp_path), "VENV_PATH": sys.prefix},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        process.terminate()
        assert process.wait(timeout=30) == 0
    assert list((tmp_path / "tmp").iterdir()) == []
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 cannot be used" in done.stderr
