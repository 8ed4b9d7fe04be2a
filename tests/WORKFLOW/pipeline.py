"""Whole-process runs of the pipeline on small generated bars, for the tests beside this file."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from state.files.layout import CHECKOUT

PIPELINE = CHECKOUT / "WORKFLOW" / "optimize_strategy.py"
SMALL = ["--prescreen", "300", "--trials", "24", "--paths", "50", "--symbol", "SYNTHETIC"]
SETTINGS = {
    "BACKTEST_OPTIMIZE__PRESCREEN__BATCH_COMBOS": "64",
    "BACKTEST_OPTIMIZE__WALK_FORWARD__COMBOS": "40",
    "BACKTEST_OPTIMIZE__SEARCH__BATCH_TRIALS": "8",
    "BACKTEST_OPTIMIZE__VALIDITY__PLACEBO_MARKETS": "2",
    "BACKTEST_OPTIMIZE__VALIDITY__BLOCKS": "8",
    # Folds of a day give no paths, which saves the 3 s that skfolio takes to load. The swarm's runs have paths.
    "BACKTEST_OPTIMIZE__CROSS_VALIDATION__FOLDS": "100",
    "BACKTEST_OPTIMIZE__CROSS_VALIDATION__TEST_FOLDS": "99",
    "BACKTEST_OPTIMIZE__SEARCH__PROCESSES": "1",
}

# The pipeline with one function that reports and then waits when it is entered for the nth time.
STOP_AT = """
import sys
from importlib import import_module
where, passes = sys.argv[1], int(sys.argv[2])
module, _, path = where.partition(":")
*owners, name = path.split(".")
owner = import_module(module)
for step in owners:
    owner = getattr(owner, step)
real = getattr(owner, name)

def stopping(*args, **kwargs):
    global passes
    passes -= 1
    if passes == 0:
        print("here", flush=True)
        sys.stdin.read()
    return real(*args, **kwargs)

setattr(owner, name, stopping)
from WORKFLOW.optimize_strategy import main
sys.exit(main(sys.argv[3:]))
"""


def environment(results: Path, **more: str) -> dict[str, str]:
    ours = ("RESULTS_ROOT", "STATE_ROOT", "LOGS_ROOT", "BACKTEST_OPTIMIZE_CONFIG", "BACKTEST_OPTIMIZE_DATA")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | SETTINGS | {"RESULTS_ROOT": str(results)} | more


def run(results: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    more = options.pop("environment", {})
    return subprocess.run(
        [sys.executable, str(PIPELINE), *arguments],
        env=environment(results, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def kill_at(results: Path, where: str, passes: int, *arguments: str, **more: str) -> None:
    """Start a run, let it come to the nth entry of `module:function`, and kill -9 it there."""
    with subprocess.Popen(
        [sys.executable, "-c", STOP_AT, where, str(passes), *arguments],
        cwd=CHECKOUT,
        env=environment(results, **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n", f"the run never came to {where}"
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def artifacts(results: Path, mode: str = "aggressive", symbol: str = "SYNTHETIC") -> dict[str, Any]:
    """Return the bytes of every file in the result tree; of the manifest, only what equal runs have in common."""
    folder = results / "Backtests" / "optimizations" / symbol / mode
    files: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
    if "run_manifest.json" in files:
        manifest = json.loads(files["run_manifest.json"])
        manifest.pop("execution")
        manifest.pop("promotion")  # depends on all runs before
        files["run_manifest.json"] = manifest
    return files
