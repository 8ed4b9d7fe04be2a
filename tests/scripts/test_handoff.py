"""The handoff and the audit by their commands, on records of a run that needs no swarm to be there."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agents.runtime import cycle
from config import settings
from scripts.swarm import checksums, evidence
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.host.clock import SystemClock
from state.records import orders
from state.records.jobs import Job, JobJournal
from tests.agents.worlds import ORDER

COMMAND = CHECKOUT / "scripts" / "backtest-optimize"


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A run that was stopped before its first job began, and one result tree."""
    one = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    tree = settings.tree_of(settings.load({}))
    snapshot.write_json(one.settings, tree)
    orders.write(one.swarm_run("bt-1").order, replace(ORDER, symbols=("SOL",), settings=tree))
    snapshot.write_json(one.current_run, {"run_id": "bt-1"})
    jobs(one).enqueue([Job(0, "SOL", "aggressive", "preflight")])
    for name in ("auto_scheduler", "session_state_manager"):
        cycle.run_cycle(name, one)
    snapshot.write_json(one.tombstone, {"at": "2026-01-01T00:00:00.000Z", "by": "me"})
    artifacts = one.artifacts("SOL", "aggressive")
    snapshot.write_bytes(artifacts / "all_trials.json", b"{}\n")
    sums = {"all_trials.json": hashlib.sha256(b"{}\n").hexdigest()}
    snapshot.write_json(artifacts / "run_manifest.json", {"files": sums})
    return one


def jobs(roots: Roots) -> JobJournal:
    return JobJournal(Journal(roots.swarm_run("bt-1").round(0).jobs), SystemClock())


def typed(roots: Roots, *words: str, command: Path = COMMAND) -> subprocess.CompletedProcess[str]:
    ours = ("STATE_ROOT", "LOGS_ROOT", "BACKTEST_OPTIMIZE_CONFIG")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"RESULTS_ROOT": str(roots.results), "VENV_PATH": sys.prefix}
    return subprocess.run(
        [str(command), *words], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_a_handoff_runs_its_evidence_and_tells_the_knowledge_base(roots: Roots) -> None:
    done = typed(roots, "handoff", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], answer["run_id"]) == (0, True, "bt-1"), done.stdout
    ran = [one["what"] for one in answer["evidence"]]
    assert ran[:4] == ["health", "continuity", "process audit", "checksums of all artifacts"]
    assert ran[4:] == ["replay of auto_scheduler", "replay of session_state_manager"]
    text = Path(answer["file"]).read_text()
    for one in answer["evidence"]:
        assert f"$ {one['command']}" in text
        assert one["duration_s"] > 0
    assert "stopped by the operator" in text
    assert "NOT VERIFIED" not in text
    held = roots.knowledge("").findings.read_text()
    assert Path(answer["file"]).name in held
    assert answer["knowledge_base"] == "1 added, 0 were there"


def test_failing_evidence_is_shown_as_failing_and_a_second_handoff_has_a_name_of_its_own(roots: Roots) -> None:
    (roots.artifacts("SOL", "aggressive") / "all_trials.json").write_text("changed")
    jobs(roots).ended("r0.SOL.aggressive.preflight.0", "cancelled", "cancelled by me")
    files = []
    for _ in range(2):
        done = typed(roots, "handoff")
        assert done.returncode == 1
        assert "FAILED checksums of all artifacts" in done.stdout
        files.append(Path(done.stdout.splitlines()[-1]))
    assert len(set(files)) == 2
    text = files[0].read_text()
    assert "### checksums of all artifacts: FAILED" in text
    assert "all_trials.json is not what the manifest says" in text
    assert "**1 FAILED**" in text
    assert "r0.SOL.aggressive.preflight.0 cancelled: cancelled by me" in text


def test_what_evidence_leaves_out_of_an_answer_is_said() -> None:
    said = "\n".join(["{", *(f'  "key {n}": 1,' for n in range(40)), "x" * 400])
    tail = evidence._tail(said)
    assert tail[0] == "… 10 earlier lines"
    assert tail[1:3] == ('  "key 9": 1,', '  "key 10": 1,')
    assert (len(tail), tail[-1][-2:], len(tail[-1])) == (33, "x…", 300)
    assert evidence._tail("a\nb\n") == ("a", "b")


def test_before_the_first_result_no_checksum_fails(roots: Roots) -> None:
    (roots.artifacts("SOL", "aggressive") / "run_manifest.json").unlink()
    asked = [what for what, _ in evidence.commands(roots, has_outcome=False)]
    assert asked[:4] == ["health", "continuity", "process audit", "replay of auto_scheduler"]
    lost = [what for what, _ in evidence.commands(roots, has_outcome=True)]
    assert lost[3] == "checksums of all artifacts"  # a result was there: that it is gone must show


def test_what_failed_is_named_and_stands_in_the_evidence(roots: Roots) -> None:
    jobs(roots).ended("r0.SOL.aggressive.preflight.0", "failed", "20 days are fewer than 90")
    done = typed(roots, "handoff")
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("FAILED process audit")]
    assert line.endswith("FAILED  units_succeed: r0.SOL.aggressive.preflight.0 failed")
    text = Path(done.stdout.splitlines()[-1]).read_text()
    assert "FAILED  units_succeed: r0.SOL.aggressive.preflight.0 failed" in text


def test_two_handoffs_of_one_minute_never_share_a_file(roots: Roots) -> None:
    from scripts.swarm.handoff import _claim

    folder, moment = roots.knowledge(""), SystemClock().now()
    first, second = _claim(folder, moment, "one"), _claim(folder, moment, "two")
    assert (first.read_text(), second.read_text()) == ("one", "two")
    assert second.stem == f"{first.stem}_2"
    assert sorted(folder.path.iterdir()) == sorted([first, second])


def test_a_run_that_is_not_there_is_refused(roots: Roots) -> None:
    done = typed(roots, "handoff", "--run", "bt-9")
    assert (done.returncode, "there is no run bt-9" in done.stderr, "bt-1" in done.stderr) == (1, True, True)
    assert not roots.knowledge("").path.exists()


def test_checksums_find_what_is_missing_and_what_is_strange(roots: Roots) -> None:
    folder = roots.results / "Backtests" / "optimizations"
    assert checksums.check(folder)["wrong"] == 0
    (roots.artifacts("SOL", "aggressive") / "all_trials.json").unlink()
    assert checksums.check(folder)["trees"][0]["wrong"] == ["all_trials.json: No such file or directory"]
    snapshot.write_json(roots.artifacts("SOL", "aggressive") / "run_manifest.json", {"files": {}})
    assert checksums.check(folder)["wrong"] == 1


def test_the_audit_names_what_fails_its_evidence_and_the_way_out(roots: Roots) -> None:
    jobs(roots).ended("r0.SOL.aggressive.preflight.0", "failed", "20 days are fewer than 90")
    before = {path: path.read_bytes() for path in roots.results.rglob("*") if path.is_file()}
    done = typed(roots, "--json", command=CHECKOUT / "scripts" / "process_auditor.py")
    report = json.loads(done.stdout)
    assert (done.returncode, report["failing"]) == (1, ["units_succeed"])
    (row,) = [one for one in report["checks"] if one["holds"] is False]
    assert row["evidence"] == "r0.SOL.aggressive.preflight.0 failed"
    assert "fix the cause" in row["way_out"]
    assert {path: path.read_bytes() for path in roots.results.rglob("*") if path.is_file()} == before
