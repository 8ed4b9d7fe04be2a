"""What changes no byte of the results, and what counts as a new search: whole runs beside the undisturbed one."""

import csv
import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np

from tests.WORKFLOW.pipeline import BESTS, SCHEMAS, SMALL, artifacts, csv_of, refused, run, tried


def test_the_holdout_changes_nothing_that_was_chosen(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    """Prescreen and search on bars whose last 30 % are other bars: the same combos, trials and bests."""
    import pyarrow.parquet as pq

    table = pq.read_table(data)
    frame = {name: table[name].to_numpy().copy() for name in table.column_names}
    cut = int(len(table) * 0.72)
    for column in ("open", "high", "low", "close"):
        frame[column][cut:] = np.round(frame[column][cut:] * 1.37, 2)
    import pyarrow as pa

    other = tmp_path / "SYNTHETIC_5m.parquet"
    pq.write_table(pa.table(frame).replace_schema_metadata(table.schema.metadata), other)
    done = run(tmp_path / "r", *SMALL, "--data-path", str(other))
    assert done.returncode == 0, done.stderr
    a, b = artifacts(undisturbed), artifacts(tmp_path / "r")
    assert a["phase0_top500.json"] == b["phase0_top500.json"]
    assert a["all_trials.json"] == b["all_trials.json"]
    assert a["best_sharpe/config.json"] == b["best_sharpe/config.json"]
    assert a["best_sharpe/metrics.json"] != b["best_sharpe/metrics.json"], "the holdout was not changed"


def test_not_even_the_tick_of_the_holdout_is_known_before(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    """One print of the last bar is finer than the tick of all bars before: nothing that was chosen changes."""

    def finer(rows: list) -> list:
        row = list(rows[-1])
        row[2] = round(row[2] + 0.001, 3)  # the high
        return [*rows[:-1], row]

    other = csv_of(tmp_path / "SYNTHETIC_5m.csv", data, finer)
    done = run(tmp_path / "r", *SMALL, "--data-path", str(other))
    assert done.returncode == 0, done.stderr
    assert "tick 0.001" in done.stderr, "the fault was not injected"
    a, b = artifacts(undisturbed), artifacts(tmp_path / "r")
    assert a["phase0_top500.json"] == b["phase0_top500.json"]
    assert a["all_trials.json"] == b["all_trials.json"]


def test_two_search_processes_give_the_same_bytes(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    done = run(tmp_path, *SMALL, "--data-path", str(data), "--processes", "2")
    assert done.returncode == 0, done.stderr
    assert artifacts(tmp_path) == artifacts(undisturbed)


def test_regimes_are_shown_on_demand_and_change_no_byte(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    done = run(tmp_path, *SMALL, "--data-path", str(data), "--by-regime")
    assert done.returncode == 0, done.stderr
    assert artifacts(tmp_path) == artifacts(undisturbed)
    validation = json.loads(artifacts(undisturbed)["best_sharpe/validation.json"])
    of_window = validation["by_regime"]["out_of_sample"]
    assert sum(regime["days"] for regime in of_window.values()) == round(validation["out_of_sample"]["days"])
    assert "by regime: best Sharpe" in done.stdout
    named = next(name for name, regime in of_window.items() if regime["days"])
    assert named.replace("_", ", ") in done.stdout


def test_vectorbt_repeats_every_finalist_and_changes_nothing_else(
    tmp_path: Path, data: Path, undisturbed: Path
) -> None:
    done = run(tmp_path, *SMALL, "--data-path", str(data), "--engine", "vectorbt")
    assert done.returncode == 0, done.stderr
    files, without = artifacts(tmp_path), artifacts(undisturbed)
    schema = json.loads((SCHEMAS / "validation.schema.json").read_text())
    for best in BESTS:
        record = json.loads(files.pop(f"{best}/validation.json"))
        jsonschema.validate(record, schema)
        check = record.pop("cross_check")
        assert record == json.loads(without.pop(f"{best}/validation.json"))
        trades = list(csv.DictReader(files[f"{best}/trades.csv"].decode().splitlines()))
        assert check["agree"] is True
        assert check["identical"] == check["trades_ours"] == check["trades_theirs"] == len(trades) > 0
        assert f"vectorbt 1.2.0 agrees: {len(trades)} of {len(trades)} trades identical" in done.stdout
    assert files.pop("run_manifest.json")["engine"] == without.pop("run_manifest.json")["engine"] == "native"
    assert files == without


def test_a_finished_run_is_run_again_and_not_resumed(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "r")
    done = run(tmp_path / "r", *SMALL, "--data-path", str(data), "--json")
    assert json.loads(done.stdout)["resumed"] == 0
    assert artifacts(tmp_path / "r") == artifacts(undisturbed)
    assert tried(tmp_path / "r") == tried(undisturbed), "the same search counted again"


def test_a_new_search_is_on_the_ledger(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed / "tries", tmp_path / "tries")
    before = tried(tmp_path)
    other = {"BACKTEST_OPTIMIZE__SEARCH__SAMPLER": "random", "BACKTEST_OPTIMIZE__COSTS__FEE_RATE": "0.001"}
    words = [*SMALL, "--data-path", str(data), "--prescreen", "320"]
    assert run(tmp_path, *words, environment=other).returncode == 0
    after = tried(tmp_path)
    assert after["prescreen"] == before["prescreen"] + 320
    assert after["search"] > before["search"]
    [manifest] = (tmp_path / "Backtests").rglob("run_manifest.json")
    promotion = json.loads(manifest.read_text(encoding="utf-8"))["promotion"]
    assert promotion["best_sharpe"]["tries_of_all_runs"] == after["prescreen"] + after["search"]


def test_seeds_of_other_folders_are_tried_first_and_their_tries_count(
    tmp_path: Path, data: Path, undisturbed: Path
) -> None:
    words = [*SMALL, "--data-path", str(data), "--phase0-seed-dirs", str(undisturbed), "--seed", "99"]
    done = run(tmp_path, *words, environment={"BACKTEST_OPTIMIZE__SEARCH__SEED_FRACTION": "0.8"})
    assert done.returncode == 0, done.stderr
    theirs, mine = artifacts(undisturbed), artifacts(tmp_path)
    there = json.loads(theirs["phase0_top500.json"])
    manifest = mine["run_manifest.json"]
    assert [row["tried"] for row in manifest["phase0_seeds"]] == [there["tried"]]
    assert manifest["tries"]["total"] == 300 + 300 + sum(
        one["source"] == "sampler" for one in json.loads(mine["all_trials.json"])["trials"]
    )
    whole = json.loads(next(tmp_path.rglob("run_manifest.json")).read_text(encoding="utf-8"))
    jsonschema.validate(whole, json.loads((SCHEMAS / "run_manifest.schema.json").read_text()))
    [log] = (tmp_path / "logs").glob("bt-*.log")
    line = next(line for line in log.read_text().splitlines() if "Loaded Phase0 seed:" in line)
    assert f" from {undisturbed}" in line
    trials = json.loads(mine["all_trials.json"])["trials"]
    best = max(there["results"], key=lambda row: row["metrics"]["sharpe_ratio"])["parameters"]
    assert best in [one["parameters"] for one in trials if one["source"] == "phase0"]
    refused(
        run(tmp_path / "r", *words[:-4], "--phase0-seed-dirs", str(data.parent)), "no phase0_top500.json of SYNTHETIC"
    )
