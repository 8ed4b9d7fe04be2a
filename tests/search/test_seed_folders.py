"""Seeds from the prescreens of other machines: found, merged, counted, and refused where they know too much."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.errors import Refused
from config.settings import load
from state.files.artifacts import PHASE0
from WORKFLOW.search import seed_folders, space

MODE = load({}).mode("aggressive")
DRAWN = space.draw(MODE, 8, np.random.SeedSequence(5))
END = "2025-06-30T23:55:00Z"
END_MS = int(datetime(2025, 6, 30, 23, 55, tzinfo=UTC).timestamp() * 1000)


def write(folder: Path, *rows: tuple[dict[str, Any], float | None], **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    results = [{"parameters": parameters, "metrics": {"sharpe_ratio": sharpe}} for parameters, sharpe in rows]
    window = {"from": "2024-01-01T00:00:00Z", "to": END, "bars": 9, "days": 1.0}
    record = {"symbol": "SOL", "mode": "aggressive", "tried": 1_000, "window": window, "results": results, **changes}
    path = folder / PHASE0
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def test_result_roots_lane_roots_and_result_folders_are_all_searched(tmp_path: Path) -> None:
    tail = Path("Backtests") / "optimizations" / "SOL" / "aggressive"
    write(tmp_path / "root" / tail, (DRAWN.row(0), 1.0))
    write(tmp_path / "lanes" / "gpu0" / "SOL" / "aggressive", (DRAWN.row(1), 3.0))
    write(tmp_path / "lanes" / "gpu1" / tail, (DRAWN.row(2), 2.0), (DRAWN.row(1), 2.5))
    write(tmp_path / "plain", (DRAWN.row(3), 0.5), tried=7)
    write(tmp_path / "plain" / "BTC" / "aggressive", (DRAWN.row(4), 9.0), symbol="BTC")
    folders = [tmp_path / name for name in ("root", "lanes", "plain")]
    found = seed_folders.read(folders, "SOL", MODE)
    assert sum(one.tried for one in found) == 3_007
    best = seed_folders.merged(found)
    # Best score first, and parameters that two machines found count once, with the better score.
    assert [(seed.sharpe_ratio, seed.parameters) for seed in best] == [
        (score, DRAWN.row(row)) for score, row in ((3.0, 1), (2.0, 2), (1.0, 0), (0.5, 3))
    ]
    assert seed_folders.of_json(json.loads(json.dumps(seed_folders.as_json(found)))) == found


def test_one_file_under_two_names_is_counted_once(tmp_path: Path) -> None:
    write(tmp_path / "a", (DRAWN.row(0), 1.0))
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert len(seed_folders.read([tmp_path / "a", tmp_path / "b"], "SOL", MODE)) == 1


def test_rows_outside_of_the_space_are_left_out_and_counted(tmp_path: Path) -> None:
    row = DRAWN.row(0)
    wrong: list[dict[str, Any]] = [
        {**row, "stop_loss": row["stop_loss"] + 1e-3 / 3},  # type: ignore[operator]
        {**row, "max_bars": True},
        {**row, "direction": "sideways"},
        {name: value for name, value in row.items() if name != "max_bars"},
    ]
    write(tmp_path, *((one, 1.0) for one in wrong), (row, 2.0), (row, None))
    (found,) = seed_folders.read([tmp_path], "SOL", MODE)
    assert (len(found.seeds), found.left_out) == (1, 5)


def test_seeds_that_know_the_held_out_days_are_refused(tmp_path: Path) -> None:
    write(tmp_path, (DRAWN.row(0), 1.0))
    found = seed_folders.read([tmp_path], "SOL", MODE)
    seed_folders.must_be_past(found, END_MS + 1)
    with pytest.raises(Refused, match="until 2025-06-30 23:55 UTC") as refusal:
        seed_folders.must_be_past(found, END_MS)
    assert f"leave {tmp_path} out" in refusal.value.way_out


@pytest.mark.parametrize(
    "changes",
    [
        {"window": None},
        {"window": {"to": "2025-06-30T23:55:00"}},
        {"tried": -5},
        {"tried": 10**13},
        {"results": [{"parameters": {}}]},
        {"results": 5},
    ],
)
def test_what_is_no_prescreens_result_is_refused_with_its_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = write(tmp_path, (DRAWN.row(0), 1.0), **changes)
    with pytest.raises(Refused, match=f"{path} is not the phase0_top500.json of a prescreen"):
        seed_folders.read([tmp_path], "SOL", MODE)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="which is not a folder"):
        seed_folders.read([tmp_path / "gone"], "SOL", MODE)
