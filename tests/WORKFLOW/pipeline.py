"""Whole-process runs of the pipeline on small generated bars, for the tests beside this file."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from state.files import artifacts as result_files
from state.files.layout import CHECKOUT
from tests.WORKFLOW import warm

SCHEMAS = CHECKOUT / "docs" / "reference" / "schemas"
PIPELINE = CHECKOUT / "WORKFLOW" / "optimize_strategy.py"
BESTS = result_files.BESTS
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


def environment(results: Path, **more: str) -> dict[str, str]:
    ours = ("RESULTS_ROOT", "STATE_ROOT", "LOGS_ROOT", "BACKTEST_OPTIMIZE_CONFIG", "BACKTEST_OPTIMIZE_DATA")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | SETTINGS | {"RESULTS_ROOT": str(results)} | more


_environment = environment  # functions below take an argument of that name


def run(
    results: Path,
    *arguments: str,
    environment: Mapping[str, str] = MappingProxyType({}),
    file_bytes: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own, forked from a warm one. `file_bytes`: no file of it may become larger."""
    return warm.process().run(arguments, _environment(results, **environment), file_bytes=file_bytes)


def run_by_path(
    results: Path, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """A run as a person starts it: the interpreter, the path, and all that is loaded then."""
    return subprocess.run(
        [sys.executable, str(PIPELINE), *arguments],
        env=_environment(results, **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def kill_at(results: Path, where: str, passes: int, *arguments: str, **more: str) -> None:
    """Start a run, let it come to the nth entry of `module:function`, and kill -9 it there."""
    done = warm.process().run(arguments, environment(results, **more), kill_at=(where, passes))
    assert done.returncode == -signal.SIGKILL, f"the run never came to {where}: {done.stderr}"


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


def refused(done: Any, *words: str) -> None:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert "→" in done.stderr, "no way out named"


def csv_of(path: Path, data: Path, change: Any = None) -> Path:
    import pyarrow.parquet as pq

    table = pq.read_table(data).to_pydict()
    rows = list(zip(*table.values(), strict=True))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([list(table), *(change(rows) if change else rows)])
    return path


def tried(results: Path) -> dict[str, int]:
    [ledger] = (results / "tries").glob("*.jsonl")
    tries: dict[str, int] = {}
    for line in ledger.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        tries[entry["what"]] = tries.get(entry["what"], 0) + entry["tries"]
    return tries
