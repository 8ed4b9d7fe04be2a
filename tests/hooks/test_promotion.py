"""Fail-closed: a check that is missing, unknown or not passed is a no; typed as people type it."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hooks.promotion import REQUIRED, judge
from state.layout import CHECKOUT


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


def written(folder: Path, checks: Any, promotion: Any, **more: Any) -> None:
    """A folder of results as a run leaves it: the manifest names the sums of all files."""
    sums = {}
    for best, some in checks.items():
        (folder / best).mkdir(exist_ok=True)
        data = json.dumps({"checks": some}).encode()
        (folder / best / "validation.json").write_bytes(data)
        (folder / best / "metrics.json").write_bytes(b"{}")
        sums |= {f"{best}/validation.json": sha256(data).hexdigest(), f"{best}/metrics.json": sha256(b"{}").hexdigest()}
    manifest = {"verdict": "candidate: …", "promotion": promotion, "files": sums, **more}
    (folder / "run_manifest.json").write_text(json.dumps(manifest))


HISTORY = ("ledger_whole", "deflated_sharpe_of_all_tries", "holdout_after_all_looks", "vectorbt_agrees")
OWN = [one for one in GOOD[1:] if one["name"] not in HISTORY]
CHECKS = {"best_sharpe": [check("real_data"), *OWN], "best_returns": [check("real_data", passed=False), *OWN]}
OF_ALL_RUNS = {best: {"checks": [check(name) for name in HISTORY]} for best in CHECKS}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    written(tmp_path, CHECKS, OF_ALL_RUNS)
    return tmp_path


def test_the_command_shows_every_check(results: Path) -> None:
    done = typed(str(results))
    assert done.returncode == 0, done.stderr
    assert "best_sharpe: PROMOTED: all 22 checks passed" in done.stdout
    assert "best_returns: not promoted: failed: real_data" in done.stdout
    assert done.stdout.count("  ok  ") == 43
    answer = json.loads(typed(str(results), "--json").stdout)
    assert [answer[best]["passed"] for best in ("best_sharpe", "best_returns")] == [True, False]


def test_a_gate_that_was_loosened_says_so(results: Path) -> None:
    assert "settings of your own" not in typed(str(results)).stdout
    config = {"verdict": {"max_luck": 0.5, "max_placebo": 0.05}, "costs": {"fee_rate": 0.0}}
    written(results, CHECKS, OF_ALL_RUNS, config=config)
    said = typed(str(results)).stdout
    assert "judged by settings of your own: costs.fee_rate 0.0 (shipped: 0." in said
    assert "verdict.max_luck 0.5 (shipped: 0.05)" in said
    assert "max_placebo" not in said


def test_a_reader_who_has_seen_enough_is_no_error(results: Path) -> None:
    command = [sys.executable, str(CHECKOUT / "hooks" / "promotion.py"), str(results)]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_counts_of_all_runs_nothing_is_promoted(results: Path) -> None:
    written(results, CHECKS, None)
    done = typed(str(results))
    assert done.returncode == 1
    assert "best_sharpe: not promoted: unknown: ledger_whole, deflated_sharpe_of_all_tries" in done.stdout


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
def test_damaged_checks_are_refused_in_a_sentence(tmp_path: Path, checks: Any, promotion: Any) -> None:
    written(tmp_path, {"best_sharpe": checks}, promotion)
    done = typed(str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}: the checks of best_sharpe are damaged")


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
