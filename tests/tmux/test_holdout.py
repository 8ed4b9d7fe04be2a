"""A run without end ends by itself when its holdout is used up, says so everywhere, and new bars are a new holdout."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from state.files import snapshot
from tests.tmux.swarm import SMALL, Swarm
from WORKFLOW.data.bars import DAY_MS
from WORKFLOW.data.generate import write_demo

_DAYS = 150


def write_bars(folder: Path, days: int) -> Path:
    """Bars of a walk, as a person has them: a plain CSV, which says nothing of being generated."""
    table = parquet.read_table(write_demo(folder / "made", days=400, seed=11))
    rows = table.slice(0, days * 288)
    path = folder / "bars" / "WALK_5m.csv"
    path.parent.mkdir(exist_ok=True)
    csv.write_csv(pa.table({name: rows[name] for name in rows.column_names}), path)
    return path


def test_rounds_stop_when_the_holdout_is_used_up_and_go_on_with_new_bars(swarm: Swarm, tmp_path: Path) -> None:
    swarm.environment["BACKTEST_OPTIMIZE__VERDICT__MAX_HOLDOUT_LUCK"] = "0.001"  # one round or two use it up
    bars = write_bars(tmp_path, _DAYS)
    words = ("--parallel", "--symbols", "WALK", "--data-path", str(bars.parent), *SMALL)
    done = swarm.type(*words, "--wait")  # no --rounds: nothing but the holdout ends it
    assert done.returncode == 0, done.stderr
    why = swarm.finished()["why"]
    assert "another round could promote nothing after round" in why
    assert "WALK aggressive: the holdout is used up: after" in why

    unit = swarm.status()["units"][0]
    left = unit["holdout"]
    assert (unit["phase"], left["used_up"]) == ("complete", True)
    assert left["needed_sharpe"] > left["best_sharpe"]
    page = swarm.type("status").stdout
    assert f"bars up to {left['free_from']} leave a new holdout: bring WALK_5m.csv up to date" in " ".join(page.split())
    told = swarm.type("results").stdout
    assert "; the holdout is used up" in told, "the verdict line does not say it"
    assert f"after {left['looks']} looks a further strategy needs a Sharpe ratio of" in " ".join(told.split())

    again = swarm.type(*words, "--wait")  # the same bars: what is computed again is no new look
    assert again.returncode == 0, again.stderr
    assert swarm.status()["units"][0]["holdout"]["looks"] == left["looks"]
    assert swarm.status()["round"] == 0

    reach = int(np.datetime64(left["free_from"], "ms").astype(np.int64))
    first = int(csv.read_csv(bars)["timestamp"][0].as_py()) // DAY_MS
    write_bars(tmp_path, reach // DAY_MS - first)  # what was said to help
    new = swarm.type(*words, "--rounds", "1", "--wait", "--json")
    assert new.returncode == 0, new.stderr
    current = str(snapshot.read_json(swarm.roots.current_run)["run_id"])
    folder = swarm.roots.swarm_run(current).round(0).unit("WALK", "aggressive")
    fresh = snapshot.read_json(folder.outcome)["holdout"]
    assert 0 < fresh["looks"] <= 4, "the old looks count against days that nobody has seen"
