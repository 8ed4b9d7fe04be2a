from pathlib import Path

import pytest

from config.errors import Refused
from state.files import layout
from state.files.layout import Roots


def test_by_default_everything_lies_under_state_run() -> None:
    roots = Roots.from_environment({})
    run = layout.CHECKOUT / "state" / "run"
    assert (roots.results, roots.state, roots.logs) == (run, run / "state", run / "logs")


def test_state_and_logs_follow_the_results_and_may_go_elsewhere(tmp_path: Path) -> None:
    results = {"RESULTS_ROOT": str(tmp_path)}
    assert Roots.from_environment(results).state == tmp_path / "state"
    assert Roots.from_environment(results | {"LOGS_ROOT": "/var/log/bt"}).logs == Path("/var/log/bt")


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "results"
    file.touch()
    with pytest.raises(Refused, match=f"RESULTS_ROOT is {file}, which is not a folder"):
        Roots.from_environment({"RESULTS_ROOT": str(file)})


def test_naming_paths_creates_nothing(tmp_path: Path) -> None:
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path / "new")})
    assert roots.runs() == []
    assert (
        roots.artifacts("SOL", "aggressive") == tmp_path / "new" / "Backtests" / "optimizations" / "SOL" / "aggressive"
    )
    assert list(tmp_path.iterdir()) == []


def test_runs_come_oldest_first(tmp_path: Path) -> None:
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    for run_id in ("20260102", "20260101"):
        roots.run(run_id).path.mkdir(parents=True)
    assert [run.path.name for run in roots.runs()] == ["20260101", "20260102"]
