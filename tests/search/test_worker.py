import os
import subprocess
import sys
from pathlib import Path

from state.files.layout import CHECKOUT


def test_a_worker_whose_parent_is_gone_before_it_looks_does_nothing(tmp_path: Path) -> None:
    """The process that it is told is its parent is not: it must end before it opens anything."""
    stranger = os.getppid()
    worker = [sys.executable, "-m", "WORKFLOW.search.worker", str(tmp_path / "no such run"), str(stranger)]
    done = subprocess.run(worker, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "no such run").exists()
