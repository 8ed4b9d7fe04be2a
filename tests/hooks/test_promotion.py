"""Fail-closed: a check that is missing, unknown or not passed is a no; typed as people type it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hooks.promotion import REQUIRED, judge
from scripts.swarm import checksums
from state.files.layout import CHECKOUT
from tests.hooks import results as made


def check(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "passed": True, "value": 1.0, "threshold": 0.5, "needed": ">= 0.5", "if_failed": ""} | changes


GOOD = [check(name) for name in REQUIRED]


def test_all_passed_is_promoted() -> None:
    verdict = judge(GOOD)
    assert (verdict.passed, verdict.reason) == (True, f"all {len(GOOD)} checks passed")


@pytest.mark.parametrize("name", REQUIRED)
def test_each_check_alone_is_enough(name: str) -> None:
    others = [one for one in GOOD if one["name"] != name]
    assert judge([*others, check(name, passed=False)]).reason == f"failed: {name}"
    assert judge([*others, check(name, value=None)]).reason == f"unknown: {name}"
    assert judge(others).reason == f"unknown: {name}"


def test_what_was_not_asked_as_others_failed_is_no_failure_of_its_own_and_no_pass() -> None:
    unasked = {**check("vectorbt_agrees", passed=False, value=None), "if_failed": "not asked: another check failed"}
    rest = [one for one in GOOD if one["name"] != "vectorbt_agrees"]
    assert judge([*rest, unasked]).reason == "unknown: vectorbt_agrees"
    others = [one for one in rest if one["name"] != "luck"]
    assert judge([*others, check("luck", passed=False), unasked]).reason == "failed: luck"


@pytest.mark.parametrize("passed", [None, 1, "yes", "true"])
def test_only_true_is_passed(passed: Any) -> None:
    assert not judge([*GOOD[1:], check(REQUIRED[0], passed=passed)]).passed


def test_a_check_of_tomorrow_must_pass_too() -> None:
    assert judge([*GOOD, check("something_new", passed=False)]).reason == "failed: something_new"
    assert not judge([]).passed


def typed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECKOUT / "hooks" / "promotion.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")


HISTORY = ("ledger_whole", "deflated_sharpe_of_all_tries", "holdout_after_all_looks", "vectorbt_agrees")
OWN = [one for one in GOOD[1:] if one["name"] not in HISTORY]


def said(tree: Path, checks: Any, of_all_runs: Any) -> None:
    """The tree with other checks in its files, and sums that fit."""
    made.edit(tree / "best_sharpe" / "validation.json", lambda v: v | {"checks": checks})
    made.edit(tree / "run_manifest.json", lambda m: m | {"promotion": of_all_runs})
    made.reseal(tree)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return made.publish(tmp_path / "SOL" / "aggressive")


def test_the_command_shows_every_check(results: Path) -> None:
    done = typed(str(results))
    assert done.returncode == 0, f"tests/hooks/results.py passes every check\n{done.stdout}{done.stderr}"
    assert f"best_sharpe: PROMOTED: all {len(REQUIRED)} checks passed" in done.stdout
    assert done.stdout.count("  ok  ") == len(REQUIRED)
    answer = json.loads(typed(str(results), "--json").stdout)
    assert answer["best_sharpe"]["passed"] is True
    assert {one["name"] for one in answer["best_sharpe"]["checks"]} == set(REQUIRED)


def test_a_gate_that_was_loosened_says_so(results: Path) -> None:
    assert "settings of your own" not in typed(str(results)).stdout

    def loosened(manifest: Any) -> None:
        manifest["config"]["verdict"]["max_luck"] = 0.5
        manifest["config"]["costs"]["fee_rate"] = 0.0

    made.edit(results / "run_manifest.json", loosened)
    made.edit(results / "best_sharpe" / "config.json", lambda c: c["costs"].update(fee_rate=0.0))
    made.judge_again(results)
    shown = typed(str(results)).stdout
    assert "judged by settings of your own: costs.fee_rate 0.0 (shipped: 0." in shown
    assert "verdict.max_luck 0.5 (shipped: 0.05)" in shown
    assert "max_placebo" not in shown


def test_a_reader_who_has_seen_enough_is_no_error(results: Path) -> None:
    command = [sys.executable, str(CHECKOUT / "hooks" / "promotion.py"), str(results)]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_counts_of_all_runs_nothing_is_promoted(results: Path) -> None:
    made.edit(results / "run_manifest.json", lambda m: m | {"promotion": None})
    made.reseal(results)
    done = typed(str(results))
    assert (done.returncode, done.stdout) == (1, "")
    assert "best_sharpe contradicts itself: its files lack what a run writes" in done.stderr


@pytest.mark.parametrize(
    ("checks", "promotion"),
    [
        ("no list", None),
        ([None], None),
        ([{"name": 5, "passed": True, "value": 1}], None),
        ([{"name": "luck", "passed": True, "value": "1"}], None),
        ([{"name": "luck", "passed": True, "value": 10**400}], None),
        (OWN, {"best_sharpe": {"checks": "none"}}),
        (OWN, {"best_sharpe": {"checks": [["luck"]]}}),
    ],
)
def test_damaged_checks_are_refused_in_a_sentence(results: Path, checks: Any, promotion: Any) -> None:
    said(results, checks, promotion)
    done = typed(str(results))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {results}: the checks of best_sharpe are damaged")


@pytest.mark.parametrize("data", [b"", b'{"checks": []}', b"[" * 100_000])
def test_a_file_that_is_not_the_manifests_is_refused(results: Path, data: bytes) -> None:
    (results / "best_sharpe" / "validation.json").write_bytes(data)
    done = typed(str(results))
    assert done.returncode == 1
    assert "validation.json is not the file that run_manifest.json names" in done.stderr
    (results / "run_manifest.json").write_bytes(data)
    assert "Traceback" not in typed(str(results)).stderr


@pytest.mark.parametrize("data", [b"", b'{"out_of_sample": {"sharpe_ratio": 9.0}}', None])
def test_a_strategy_is_judged_with_all_its_files_or_not_at_all(results: Path, data: bytes | None) -> None:
    metrics = results / "best_sharpe" / "metrics.json"
    metrics.unlink() if data is None else metrics.write_bytes(data)
    done = typed(str(results))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {metrics} is not the file that run_manifest.json names")


@pytest.mark.parametrize("name", ["metrics.json", "trades.csv", "equity.csv", "config.json", "validation.json"])
@pytest.mark.parametrize("how", ["edited", "pipe"])
def test_whichever_file_of_a_strategy_is_edited_it_is_refused_and_checksums_say_so(
    tmp_path: Path, name: str, how: str
) -> None:
    """The certificate of look-ahead stands in validation.json."""
    tree = made.publish(tmp_path / "SOL" / "aggressive")
    path = tree / "best_sharpe" / name
    if how == "pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        path.write_bytes(path.read_bytes() + b" ")
    done = typed(str(tree))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {path} is not the file that run_manifest.json names")
    [found] = checksums.check(tmp_path)["trees"]
    assert len(found["wrong"]) == 1
    assert found["wrong"][0].startswith(f"best_sharpe/{name}")


@pytest.mark.parametrize("name", ["x" * 5_000, "loop"])
def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    done = typed(str(tmp_path / name))
    assert (done.returncode, done.stderr[:7]) == (1, "error: ")


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    done = typed(str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/run_manifest.json is missing or not JSON")
    (tmp_path / "run_manifest.json").write_text('{"verdict": "not tradeable: none of 5 tries"}')
    assert "holds no strategy to judge: not tradeable: none of 5 tries" in typed(str(tmp_path)).stderr
    assert typed().returncode == 2
