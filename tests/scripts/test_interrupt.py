"""Ctrl-C works although the parent ignores SIGINT: `nohup … &`, cron, job runners, scripts without job control."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from state.files.layout import CHECKOUT
from tests.WORKFLOW.pipeline import PIPELINE, environment

IGNORED = ("bash", "-c", 'trap "" INT; exec "$@"', "bash")  # as a script starts what it puts in the background
COMMAND = CHECKOUT / "scripts" / "backtest-optimize"
LONG = ("--demo", "--prescreen", "2000000")  # minutes: it is interrupted long before


@pytest.mark.parametrize(
    "words",
    [(str(COMMAND), "--single", *LONG), (str(PIPELINE), *LONG), (str(COMMAND), "attach")],
    ids=["--single", "optimize_strategy.py", "attach"],
)
def test_ctrl_c_ends_a_command_whose_parent_ignores_it(words: tuple[str, ...], tmp_path: Path) -> None:
    with subprocess.Popen(
        [*IGNORED, sys.executable, *words],
        env=environment(tmp_path, VENV_PATH=sys.prefix),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert "Traceback" not in said


def test_what_nohup_keeps_alive_outlives_its_terminal(tmp_path: Path) -> None:
    with subprocess.Popen(
        ["nohup", sys.executable, str(COMMAND), "attach"],
        env=environment(tmp_path, VENV_PATH=sys.prefix),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            process.send_signal(signal.SIGHUP)
            assert process.stdout.readline(), "the end of its terminal ended it"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
