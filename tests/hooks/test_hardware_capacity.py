import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hooks import hardware_capacity_watchdog as hook
from state.files import snapshot
from state.files.layout import CHECKOUT

TARGETS = {"cpu_pct": 70.0, "gpu_pct": 70.0}
CALM: dict[str, Any] = {
    "cpu_pct": 91.0,
    "gpu_pct": None,
    "gpus": [],
    "gpu_plan": "cpu_only",
    "queue": 3,
    "targets": TARGETS,
}
GPU = {"gpus": [{"index": 0}], "gpu_plan": "cpu_and_gpu"}


@pytest.mark.parametrize(
    ("differs", "passed"),
    [
        ({}, [True, True, True]),
        ({"cpu_pct": 69.9}, [False, True, True]),
        ({"cpu_pct": 5.0, "queue": 0}, [True, True, True]),
        ({"cpu_pct": None}, [False, True, True]),
        ({"cpu_pct": None, "queue": 0}, [True, True, True]),
        ({"queue": None}, [False, True, True]),
        ({"gpus": None}, [True, False, True]),
        ({**GPU, "gpu_pct": 70.0}, [True, True, True]),
        ({**GPU, "gpu_pct": 12.0}, [True, False, True]),
        ({**GPU, "gpu_pct": None}, [True, False, True]),
        ({"gpus": [{"index": 0}], "gpu_pct": 80.0}, [True, True, False]),
        ({**GPU, "gpu_pct": 80.0, "gpu_fallbacks": ["r0.SOL.aggressive.prescreen.0"]}, [True, True, False]),
    ],
)
def test_targets_hold_while_jobs_wait_and_unknown_is_not_met(differs: dict[str, Any], passed: list[bool]) -> None:
    assert [one.passed for one in hook.judge(CALM | differs)] == passed


def test_the_command_reads_the_report_and_answers_with_an_exit_code(tmp_path: Path) -> None:
    def ask() -> tuple[int, str, str]:
        environment = os.environ | {"RESULTS_ROOT": str(tmp_path), "VENV_PATH": sys.prefix}
        environment.pop("STATE_ROOT", None)
        command = [str(CHECKOUT / "hooks" / "hardware_capacity_watchdog.py"), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    code, _, said = ask()
    assert (code, "start_swarm_watchdogs.sh" in said) == (1, True)
    report = tmp_path / "state" / "swarm_control_state.json"
    snapshot.write_json(report, {"report": CALM})
    code, said, _ = ask()
    assert (code, json.loads(said)["passed"]) == (0, True)
    snapshot.write_json(report, {"report": CALM | {"cpu_pct": 10.0}})
    code, said, _ = ask()
    assert (code, json.loads(said)["verdicts"][0]["reason"]) == (1, "CPU at 10 % of 70 % with 3 jobs waiting")
    snapshot.write_json(tmp_path / "state" / "stopped.json", {})
    assert ask()[0] == 0
