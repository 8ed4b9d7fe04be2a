"""`scripts/fetch-data` as people type it, in front of an exchange on loopback."""

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scripts.fetch import command
from scripts.fetch.exchange import PROGRAM, RUN
from state.files.layout import CHECKOUT
from tests.fetch.binance import STEPS, T0, Binance, fine, held_until, serving
from WORKFLOW.data.load import read

SCHEMA = CHECKOUT / "docs" / "reference" / "schemas" / "fetch_data.schema.json"
SINCE = ("--since", "2024-01-01")


@pytest.fixture
def server(ccxt_python: Path) -> Iterator[Binance]:
    exchange = Binance(now_ms=T0 + 100 * 86_400_000 + 60_000)
    exchange.add("SOLUSDT", "5m", 100 * 288 + 1)
    with serving(exchange):
        yield exchange


def words(server: Binance, *more: str) -> list[str]:
    return [str(CHECKOUT / "scripts" / "fetch-data"), *more, "--ccxt", json.dumps(server.options())]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return kept | {"VENV_PATH": sys.prefix}


def typed(server: Binance, *more: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words(server, *more)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=before,
    )


def test_what_it_stores_is_what_the_product_accepts(server: Binance, tmp_path: Path) -> None:
    data = tmp_path / "new" / "my $data"
    done = typed(server, "--symbols", "SOL", *SINCE, "--data-path", str(data))
    assert done.returncode == 0, done.stderr
    assert "SOL/USDT 5m: 28,800 bars, 28,800 of them new, 2024-01-01 00:00 UTC to 2024-04-09 23:55 UTC" in done.stdout
    assert "SOL/USDT 5m: done, 28,800 of 28,800" in done.stderr
    _, _, following = done.stdout.rpartition("next     python ")
    checked = subprocess.run(
        [sys.executable, *shlex.split(following)],
        cwd=CHECKOUT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    assert "passed: nothing stands against a run" in checked.stdout
    assert read(data / "SOL_USDT-5m.feather", "SOL").close.tolist() == [
        float(row[4]) for row in server.bars["SOLUSDT", "5m"][:28_800]
    ]
    again = typed(server, "--symbols", "SOL", *SINCE, "--data-path", str(data), "--json")
    answer = json.loads(again.stdout)
    jsonschema.validate(answer, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert (answer["files"][0]["bars"], answer["files"][0]["new_bars"]) == (28_800, 0)


def test_ctrl_c_keeps_what_has_come_and_the_next_start_goes_on(server: Binance, tmp_path: Path) -> None:
    let_go, reached = threading.Event(), threading.Event()
    server.faults.extend([fine, fine, held_until(let_go, reached)])
    more = ("--symbols", "SOL", *SINCE, "--data-path", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, *words(server, *more)], env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert reached.wait(60)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            let_go.set()
            process.kill()
    assert process.returncode == 130
    assert "stopped; what was fetched is on file" in said
    assert "Traceback" not in said
    assert len(read(tmp_path / "SOL_USDT-5m.feather", "SOL")) == 2_000
    server.asked.clear()
    assert typed(server, *more).returncode == 0
    assert server.asked[0]["startTime"] == str(T0 + 2_000 * STEPS["5m"])
    assert len(read(tmp_path / "SOL_USDT-5m.feather", "SOL")) == 28_800


def test_a_full_disk_leaves_the_old_file_whole(server: Binance, tmp_path: Path) -> None:
    more = ("--symbols", "SOL", *SINCE, "--data-path", str(tmp_path))
    assert typed(server, *more, "--until", "2024-01-03").returncode == 0
    old = (tmp_path / "SOL_USDT-5m.feather").read_bytes()
    full = typed(server, *more, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)))
    assert full.returncode == 1
    assert "SOL_USDT-5m.feather: File too large" in full.stderr
    assert "free some space" in full.stderr
    assert (tmp_path / "SOL_USDT-5m.feather").read_bytes() == old
    assert not list(tmp_path.glob("*.tmp"))


def test_two_downloads_into_one_file_are_one_too_many(server: Binance, tmp_path: Path) -> None:
    from state.files import flock

    with flock.held(tmp_path / ".SOL_USDT-5m.feather.lock"):
        done = typed(server, "--symbols", "SOL", *SINCE, "--data-path", str(tmp_path), "--json")
    assert done.returncode == 1
    assert "another fetch-data writes" in json.loads(done.stdout)["error"]


def test_a_time_without_bars_is_said_and_is_no_success(server: Binance, tmp_path: Path) -> None:
    more = ("--since", "2023-12-01", "--until", "2023-12-02")
    done = typed(server, "--symbols", "SOL", *more, "--data-path", str(tmp_path))
    assert done.returncode == 1
    assert "binance has no bars in that time" in done.stdout
    assert not list(tmp_path.glob("*.feather"))


def test_ccxt_ends_in_silence_when_nobody_is_left_to_hear_it(ccxt_python: Path) -> None:
    """The process that asks was killed, and a traceback on the terminal would help nobody."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    asked = {"exchange": "nowhere", "options": {}, "symbols": ["SOL"], "quote": "USDT", "timeframes": ["5m"]}
    ended = subprocess.run(
        [str(ccxt_python), "-I", "-c", RUN, str(PROGRAM)],
        input=json.dumps(asked) + "\n",
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(write_end)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_data_path_that_is_a_file_is_said_to_be_one(server: Binance, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("", encoding="utf-8")
    done = typed(server, "--symbols", "SOL", *SINCE, "--data-path", str(tmp_path / "data"))
    assert done.returncode == 1
    assert f"error: {tmp_path / 'data'} is not a folder\n  → name a folder" in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--timeframes", "1h"), "'1h' is not used: all timeframes are made from 5m bars"),
        (("--since", "yesterday"), "'yesterday' is not a date such as 2023-01-01"),
        (("--symbols", ","), "names no symbol"),
        (("--ccxt", "[1]"), "is not a JSON object"),
        (("--ccxt", "{"), "is not JSON"),
        (("--frobnicate",), "unrecognized arguments"),
    ],
)
def test_what_no_exchange_could_make_right_is_usage(
    more: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--symbols", "SOL", "--data-path", str(tmp_path), *more]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert said in shown.err


def test_without_ccxt_and_without_a_network_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkout without the environment, on a machine where pip finds nothing."""
    lock = tmp_path / "config" / "locks" / "fetch.txt"
    lock.parent.mkdir(parents=True)
    lock.write_bytes((CHECKOUT / "config" / "locks" / "fetch.txt").read_bytes())
    monkeypatch.setattr(command, "CHECKOUT", tmp_path)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    asked: list[Any] = ["--symbols", "SOL", "--data-path", str(tmp_path / "data")]
    assert command.main(asked) == 1
    said = capsys.readouterr().err
    assert "ccxt needs an environment of its own, which cannot be made" in said
    assert "or bring bars of your own" in said
