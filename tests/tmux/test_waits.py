"""What passes by itself does not end a symbol and mode of a real swarm: it waits, says so, and goes on."""

from typing import Any

from tests.tmux.swarm import SMALL, Swarm
from tests.WORKFLOW.pipeline import artifacts
from WORKFLOW.report.tree import writing


def test_a_result_that_another_run_is_writing_is_waited_for(swarm: Swarm, data: Any) -> None:
    swarm.environment |= {
        "BACKTEST_OPTIMIZE__SWARM__BLAME__BACKOFF_S": "0.5",
        "BACKTEST_OPTIMIZE__SWARM__BLAME__BACKOFF_MAX_S": "1",
    }
    with writing(swarm.roots, "SYNTHETIC", "aggressive"):
        swarm.launch(data, *SMALL)
        waits = swarm.wait("ten waits", lambda: (found := [e for e in swarm.journal() if e.get("waits")])[9:] and found)
        (unit,) = swarm.status()["units"]
        assert unit["phase"] != "failed"
    assert [one["waits"] for one in waits] == list(range(1, len(waits) + 1))
    assert {one["deaths"] for one in waits} == {0}
    said = "it waits: another run is writing SYNTHETIC aggressive"
    assert all(one["error_message"].startswith(said) for one in waits)
    assert swarm.finished()["failed"] == {}
    assert artifacts(swarm.roots.results)
    swarm.stop()
