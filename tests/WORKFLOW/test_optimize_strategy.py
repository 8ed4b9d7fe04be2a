"""The main job as a person starts it, with orders, bars and folders that are refused, and that end in no result."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.WORKFLOW.pipeline import SCHEMAS, SMALL, artifacts, csv_of, refused, run


def test_no_combo_with_enough_trades_is_a_result(tmp_path: Path, data: Path) -> None:
    impossible = {"BACKTEST_OPTIMIZE__PRESCREEN__MIN_TRADES": "90000"}
    done = run(tmp_path, *SMALL, "--data-path", str(data), "--json", environment=impossible)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["bests"] == {}
    assert outcome["verdict"].startswith("not tradeable: none of 3")
    files = artifacts(tmp_path)
    phase0 = json.loads(files["phase0_top500.json"])
    assert phase0["results"] == []
    assert phase0["reason"].startswith("none of 300 combos closed 90000 trades in-sample (the most: ")
    assert set(files) == {"phase0_top500.json", "all_trials.json", "run_manifest.json"}


def test_bad_bars_are_refused_and_nothing_is_written(tmp_path: Path, data: Path) -> None:
    twice = csv_of(tmp_path / "twice.csv", data, lambda rows: [*rows[:500], *rows[400:]])
    done = run(tmp_path / "r", *SMALL, "--data-path", str(twice))
    refused(done, "100", "--repair")
    assert not (tmp_path / "r").exists()
    done = run(tmp_path / "r", *SMALL, "--data-path", str(twice), "--repair")
    assert done.returncode == 0, done.stderr
    assert "100 rows dropped" in done.stderr


def test_wicks_are_refused_unless_allowed_and_then_said_everywhere(tmp_path: Path, data: Path) -> None:
    def spoiled(rows: list[Any]) -> list[Any]:
        return [(*row[:2], row[2] * 2.5, *row[3:]) if at % 3_400 == 77 else row for at, row in enumerate(rows)]

    path = csv_of(tmp_path / "wicks.csv", data, spoiled)
    done = run(tmp_path / "r", *SMALL, "--data-path", str(path))
    refused(done, "11 prices that no neighbouring bar reaches", "--allow-wicks")
    assert not (tmp_path / "r").exists()
    done = run(tmp_path / "r", *SMALL, "--data-path", str(path), "--allow-wicks")
    assert done.returncode == 0, done.stderr
    assert "ALLOWED by --allow-wicks: 11 prices" in done.stderr
    folder = tmp_path / "r" / "Backtests" / "optimizations" / "SYNTHETIC" / "aggressive"
    manifest = json.loads((folder / "run_manifest.json").read_bytes())
    found = json.loads((folder / "best_sharpe" / "validation.json").read_bytes())
    assert manifest["data"]["wicks_allowed"] is True
    assert len(manifest["data"]["wicks"]) == found["wicks"]["allowed"] == 11
    assert "allowed: 11 prices that no neighbouring bar reaches" in manifest["verdict"]
    for name, record in (("run_manifest", manifest), ("validation", found)):
        jsonschema.validate(record, json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--symbol", "SOL"], ["no bars to work on", "--demo"]),
        (["--data-path", "somewhere"], ["--symbol is missing"]),
        (["--demo", "--symbol", "SOL"], ["--demo generates its own bars"]),
        (["--demo", "--mode", "reckless"], ["unknown mode 'reckless'", "conservative"]),
        (["--demo", "--trials", "0"], ["search.trials is 0", "1 to"]),
        (["--demo", "--seed", "-1"], ["run.seed is -1"]),
        (["--symbol", "SOL", "--data-path", "/does/not/exist"], ["/does/not/exist"]),
    ],
)
def test_an_order_that_cannot_be_filled(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    done = run(tmp_path / "r", *arguments)
    refused(done, *words)
    assert not (tmp_path / "r").exists()


def test_wrong_usage_exits_with_2(tmp_path: Path) -> None:
    assert run(tmp_path, "--nonsense").returncode == 2
    assert run(tmp_path, "--demo", "--engine", "warp").returncode == 2


def test_errors_are_json_when_json_was_asked_for(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", "--demo", "--mode", "reckless")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "error": "unknown mode 'reckless'",
        "way_out": "one of: conservative, balanced, aggressive, breakout",
    }


def test_a_folder_without_write_permission(tmp_path: Path, data: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    if os.access(closed, os.W_OK):  # root may write everywhere but into the kernel's own file system
        closed = Path("/sys/kernel")
    done = run(closed / "results", *SMALL, "--data-path", str(data))
    refused(done, f"cannot write {closed / 'results'}", "not permitted" if closed == Path("/sys/kernel") else "denied")


def test_two_at_once_on_one_symbol_and_mode(tmp_path: Path, data: Path) -> None:
    lock = tmp_path / "Backtests" / "optimizations" / "SYNTHETIC" / ".aggressive.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run(tmp_path, *SMALL, "--data-path", str(data))
    refused(done, "another run is writing SYNTHETIC aggressive")


def test_results_root_that_is_a_file(tmp_path: Path, data: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(run(tmp_path / "file", *SMALL, "--data-path", str(data)), "RESULTS_ROOT")


def test_the_folder_of_bars_can_stand_in_a_variable(tmp_path: Path, data: Path) -> None:
    environment = {"BACKTEST_OPTIMIZE_DATA": str(data)}
    done = run(tmp_path, "--symbol", "SYNTHETIC", "--mode", "reckless", environment=environment)
    refused(done, "unknown mode 'reckless'")  # past the question which bars
    done = run(tmp_path, "--mode", "aggressive", environment=environment)
    refused(done, "no bars to work on", "BACKTEST_OPTIMIZE_DATA")  # the variable alone does not say which symbol


def test_the_gpu_engine_answers_to_its_older_name(tmp_path: Path) -> None:
    done = run(tmp_path, "--demo", "--engine", "raw_kernel", "--gpu", "-1")
    assert done.returncode == 2
    assert "--engine gpu asks for one" in done.stderr
