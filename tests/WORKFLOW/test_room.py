"""Too little memory gives a message with the limit and a way out, for commands and for workers."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import Refused
from state.files.layout import CHECKOUT
from tests.WORKFLOW.pipeline import environment
from WORKFLOW import room

COMMAND = CHECKOUT / "scripts" / "backtest-optimize"


@pytest.mark.parametrize("megabytes", [400, 1_000])
@pytest.mark.parametrize("how", ["--single", "--parallel"])
def test_a_limit_that_is_too_low_is_said_before_anything_is_begun(how: str, megabytes: int, tmp_path: Path) -> None:
    limit = (megabytes * 1_000_000,) * 2
    done = subprocess.run(
        [sys.executable, str(COMMAND), how, "--demo", "--prescreen", "200"],
        env=environment(tmp_path / "r", VENV_PATH=sys.prefix),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert f"error: ulimit -v allows {megabytes:,} MB of memory, and a run takes at least 1,500\n" in done.stderr
    assert "→ ulimit -v unlimited" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("libarrow.so.2600: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_memory_that_runs_out_is_told_from_other_mishaps(error: Exception) -> None:
    refusal = room.ran_out(error)
    assert isinstance(refusal, Refused)
    assert refusal.reason.startswith("memory ran out")
    assert refusal.way_out
    for other in (OSError(28, "No space left on device"), ImportError("No module named x"), RuntimeError("x")):
        assert room.ran_out(other) is None
