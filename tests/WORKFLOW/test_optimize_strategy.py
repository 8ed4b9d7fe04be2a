"""The main job as a person starts it: whole processes, real files, real deaths."""

import csv
import fcntl
import hashlib
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from scripts.swarm import results
from scripts.tearsheet import command
from state.files import made, ours
from state.files.artifacts import BESTS
from state.files.layout import CHECKOUT, Roots
from tests.WORKFLOW.pipeline import SMALL, artifacts, environment, kill_at, run
from WORKFLOW.data.generate import write_demo
from WORKFLOW.report.tearsheet.parts import record_of

SCHEMAS = CHECKOUT / "docs" / "reference" / "schemas"
TRADE_COLUMNS = (
    "side",
    "entry_time",
    "exit_time",
    "entry_price",
    "exit_price",
    "pnl",
    "gross_pnl_pct",
    "net_pnl_pct",
    "mae_pct",
    "mfe_pct",
    "bars",
    "reason_open",
    "reason_close",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("data"), days=150, seed=11)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    results = tmp_path_factory.mktemp("undisturbed")
    done = run(results, *SMALL, "--data-path", str(data))
    assert done.returncode == 0, done.stderr
    return results


def test_auto_says_which_engine_it_took_and_why(undisturbed: Path) -> None:
    [log] = (undisturbed / "logs").rglob("*.log")
    assert re.search(r"engine (native|gpu) \(.+\) · \d+ threads", log.read_text(encoding="utf-8"))


def test_every_file_of_a_run_is_known_as_ours(undisturbed: Path) -> None:
    """What is not known would never be removed, and doctor would name it as somebody else's."""
    roots = Roots.from_environment({"RESULTS_ROOT": str(undisturbed)})
    assert list(ours.strangers(roots.state)) == []
    logs = {str(path.relative_to(roots.logs)) for path in roots.logs.rglob("*") if path.is_file()}
    assert logs == set(made.ours(roots)) != set()


def test_every_artifact_is_there_and_fits_its_schema(undisturbed: Path) -> None:
    files = artifacts(undisturbed)
    assert set(files) == {"phase0_top500.json", "all_trials.json", "search.json", "run_manifest.json"} | {
        f"{best}/{name}"
        for best in BESTS
        for name in (
            "config.json",
            "metrics.json",
            "validation.json",
            "plateau.json",
            "plateau.svg",
            "trades.csv",
            "equity.csv",
            "windows.json",
            "tearsheet.html",
        )
    }
    folder = undisturbed / "Backtests" / "optimizations" / "SYNTHETIC" / "aggressive"
    for path in folder.rglob("*.json"):
        schema = json.loads((SCHEMAS / f"{path.stem}.schema.json").read_text())
        jsonschema.validate(json.loads(path.read_text()), schema)


def test_its_strategies_stand_in_the_table_of_all_runs(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(undisturbed))
    assert results.main(["--all", "--top", "0", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    jsonschema.validate(answer, json.loads((SCHEMAS / "leaderboard.schema.json").read_text(encoding="utf-8")))
    assert sorted(best for row in answer["rows"] for best in row["strategies"]) == sorted(BESTS)
    for row in answer["rows"]:
        config = json.loads((Path(row["artifacts"]) / "config.json").read_text(encoding="utf-8"))
        assert (config["parameters"], config["strategy"]) == (row["parameters"], row["strategies"][0])


def test_the_manifest_names_the_sum_of_every_other_file(undisturbed: Path) -> None:
    files = artifacts(undisturbed)
    manifest = files.pop("run_manifest.json")
    assert manifest["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert manifest["synthetic"] is True
    assert "synthetic data" in manifest["verdict"]


def test_trades_and_equity_and_metrics_tell_the_same_story(undisturbed: Path) -> None:
    files = artifacts(undisturbed)
    trades = list(csv.DictReader(files["best_sharpe/trades.csv"].decode().splitlines()))
    equity = list(csv.DictReader(files["best_sharpe/equity.csv"].decode().splitlines()))
    metrics = json.loads(files["best_sharpe/metrics.json"])["full"]
    assert tuple(trades[0]) == TRADE_COLUMNS
    assert len(trades) == metrics["total_trades"]
    assert sum(float(t["pnl"]) > 0 for t in trades) / len(trades) == pytest.approx(metrics["win_rate"])
    marks = np.array([float(row["equity"]) for row in equity])
    returns = np.diff(marks, prepend=10_000.0) / np.concatenate([[10_000.0], marks[:-1]])
    assert returns.mean() / returns.std(ddof=1) * 365**0.5 == pytest.approx(metrics["sharpe_ratio"], rel=1e-9)
    assert marks[-1] / 10_000 - 1 == pytest.approx(metrics["total_return"], rel=1e-9)
    assert {row["window"] for row in equity} == {"in_sample", "out_of_sample"}
    closed = np.prod([1 + float(t["net_pnl_pct"]) for t in trades])
    assert closed * 10_000 == pytest.approx(10_000 + sum(float(t["pnl"]) for t in trades), rel=1e-9)


def test_a_finalists_tearsheet_tells_the_same_story(undisturbed: Path) -> None:
    """Every figure is that of validation.json and metrics.json, and what is drawn adds up to it."""
    files = artifacts(undisturbed)
    schema = json.loads((SCHEMAS / "tearsheet.schema.json").read_text())
    for best in BESTS:
        record = record_of(files[f"{best}/tearsheet.html"])
        assert record is not None
        jsonschema.validate(record, schema)
        metrics = json.loads(files[f"{best}/metrics.json"])
        validation = json.loads(files[f"{best}/validation.json"])
        assert record["metrics"] == {name: metrics[name] for name in ("full", "in_sample", "out_of_sample")}
        assert record["verdict"]["line"] == validation["verdict"] == metrics["verdict"]
        assert [c["passed"] for c in record["verdict"]["checks"]] == [c["passed"] for c in validation["checks"]]
        for name in ("in_sample", "out_of_sample"):
            one = record["monte_carlo"][name]
            observed = one.pop("observed")
            assert one == validation["monte_carlo"][name]
            assert record["metrics"][name] == validation[name]["metrics"]
            if observed is not None:
                assert observed[-1] == pytest.approx(1 + metrics[name]["total_return"], rel=1e-6)
        full = metrics["full"]
        assert max(record["equity"]["drawdown"]) == pytest.approx(full["max_drawdown_pct"], rel=1e-6)
        assert record["equity"]["equity"][-1] == pytest.approx(10_000 * (1 + full["total_return"]), rel=1e-6)
        compounded = np.prod([1 + v for row in record["months"] for v in row["months"] if v is not None])
        assert compounded == pytest.approx(1 + full["total_return"], rel=1e-9)
        equity = list(csv.DictReader(files[f"{best}/equity.csv"].decode().splitlines()))
        assert record["daily"]["equity"] == pytest.approx([float(row["equity"]) for row in equity], rel=1e-6)
        trades = list(csv.DictReader(files[f"{best}/trades.csv"].decode().splitlines()))
        assert sum(record["trades"]["histogram"]["trades"]) == len(trades) == record["trades"]["all"]["trades"]
        assert record["trades"]["all"]["pnl"] == pytest.approx(sum(float(t["pnl"]) for t in trades))


def test_what_the_tearsheet_command_writes_of_a_finalist_is_the_page_in_its_folder(
    tmp_path: Path, undisturbed: Path
) -> None:
    done = subprocess.run(
        [sys.executable, CHECKOUT / "scripts" / "generate-tearsheet", "SYNTHETIC/aggressive", "--formats", "html,json"],
        cwd=tmp_path,
        env=environment(undisturbed) | {"VENV_PATH": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = artifacts(undisturbed)
    for best in BESTS:
        stem = undisturbed / "tearsheets" / f"SYNTHETIC-aggressive-{best}"
        assert stem.with_suffix(".html").read_bytes() == files[f"{best}/tearsheet.html"]
        assert json.loads(stem.with_suffix(".json").read_bytes()) == record_of(files[f"{best}/tearsheet.html"])
    shutil.rmtree(undisturbed / "tearsheets")


def test_every_command_of_the_guide_to_tearsheets_does_what_it_says(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = (CHECKOUT / "docs" / "guides" / "TEARSHEET_GENERATION.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", guide, re.S) for line in block.splitlines() if line]
    results = tmp_path / "r"
    tree = results / "Backtests" / "optimizations" / "SOL" / "aggressive"
    shutil.copytree(undisturbed / "Backtests" / "optimizations" / "SYNTHETIC" / "aggressive", tree)
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(tree / "best_sharpe" / "trades.csv", work / "trades.csv")
    derived = [",".join(line.split(",")[:5] + line.split(",")[7:8]) for line in csv_lines(work / "trades.csv")]
    (work / "percentages.csv").write_text("\n".join(derived))
    monkeypatch.chdir(work)
    for name, value in environment(results, BACKTEST_OPTIMIZE__MONTE_CARLO__PATHS="50").items():
        monkeypatch.setenv(name, value)
    wants = {"generate-tearsheet": "either", "strategy_tearsheet.py": "pnl", "generate_tearsheet.py": "pct"}
    assert {line.split()[0].rpartition("/")[2] for line in lines} == set(wants)
    for line in lines:
        program, *arguments = shlex.split(line)
        name = program.rpartition("/")[2]
        assert (CHECKOUT / program).is_file()
        assert command.main(arguments, name, wants[name]) == 0, (line, capsys.readouterr().err)
        assert ".html" in capsys.readouterr().out, line
    assert {path.suffix for path in work.glob("tearsheets/*")} == {".html", ".json", ".png"}
    assert (work / "tearsheets" / "comparison.html").is_file()


def csv_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


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


def test_another_seed_gives_other_combos(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    done = run(tmp_path, *SMALL, "--data-path", str(data), "--seed", "8")
    assert done.returncode == 0, done.stderr
    assert artifacts(tmp_path)["phase0_top500.json"] != artifacts(undisturbed)["phase0_top500.json"]


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        ("WORKFLOW.pipeline.phases:prescreen", 1),
        ("WORKFLOW.search.prescreen:_merge", 3),
        ("WORKFLOW.report.tree:ResultTree.write_phase0", 1),
        ("WORKFLOW.search.bayes:search", 1),
        ("WORKFLOW.search.job:SearchJob.evaluate", 5),
        ("WORKFLOW.search.job:SearchJob.evaluate", 20),
        ("WORKFLOW.pipeline.selection:finalists", 1),
        ("WORKFLOW.validity.finalist:judge", 2),
        ("WORKFLOW.report.tree:ResultTree.publish", 1),
        ("state.files.publication:Publication._put_in_place", 1),
        ("state.files.publication:Publication._put", 5),
        ("state.files.snapshot:sync_folder", 9),
        ("pathlib:Path.replace", 4),
        ("pathlib:Path.replace", 8),
        ("state.records.runs:finish", 1),
    ],
)
def test_kill_9_and_the_same_command_again_give_the_same_bytes(
    tmp_path: Path, data: Path, undisturbed: Path, where: str, passes: int
) -> None:
    command = [*SMALL, "--data-path", str(data)]
    kill_at(tmp_path, where, passes, *command)
    done = run(tmp_path, *command, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == 1
    assert artifacts(tmp_path) == artifacts(undisturbed)
    assert not list(tmp_path.rglob("*.tmp")), "debris"


@pytest.mark.parametrize("content", ["{}", "[]", "null", "5", '{"tried": "many"}', ""])
def test_a_checkpoint_of_another_shape_is_made_anew(
    tmp_path: Path, data: Path, undisturbed: Path, content: str
) -> None:
    command = [*SMALL, "--data-path", str(data)]
    kill_at(tmp_path, "WORKFLOW.search.bayes:search", 1, *command)
    [checkpoint] = tmp_path.glob("state/runs/*/prescreen.json")
    checkpoint.write_text(content)
    done = run(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert artifacts(tmp_path) == artifacts(undisturbed)


def test_a_finished_run_is_run_again_and_not_resumed(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "r")
    done = run(tmp_path / "r", *SMALL, "--data-path", str(data), "--json")
    assert json.loads(done.stdout)["resumed"] == 0
    assert artifacts(tmp_path / "r") == artifacts(undisturbed)


def test_old_results_stay_until_new_ones_are_whole(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "r")
    before = artifacts(undisturbed)
    kill_at(tmp_path / "r", "WORKFLOW.pipeline.phases:validate", 1, *SMALL, "--data-path", str(data), "--seed", "8")
    after = artifacts(tmp_path / "r")
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed == {"phase0_top500.json"}


def test_no_combo_with_enough_trades_is_a_result(tmp_path: Path, data: Path) -> None:
    impossible = {"BACKTEST_OPTIMIZE__PRESCREEN__MIN_TRADES": "90000"}
    done = run(tmp_path, *SMALL, "--data-path", str(data), "--json", environment=impossible)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["bests"] == {}
    assert outcome["verdict"].startswith("not tradeable: none of 3")
    files = artifacts(tmp_path)
    phase0 = json.loads(files["phase0_top500.json"])
    assert phase0["results"] == []
    assert phase0["reason"].startswith("none of 300 combos closed 90000 trades in-sample (the most: ")
    assert set(files) == {"phase0_top500.json", "all_trials.json", "run_manifest.json"}


def test_fewer_than_500_are_as_many_as_there_are(undisturbed: Path) -> None:
    phase0 = json.loads(artifacts(undisturbed)["phase0_top500.json"])
    sharpes = [row["metrics"]["sharpe_ratio"] for row in phase0["results"]]
    assert 0 < len(sharpes) == phase0["eligible"] <= 300
    assert sharpes == sorted(sharpes, reverse=True)
    assert min(row["metrics"]["total_trades"] for row in phase0["results"]) >= 30


def test_the_log_holds_the_lines_that_operators_look_for(undisturbed: Path) -> None:
    [log] = (undisturbed / "logs").glob("bt-*.log")
    text = log.read_text()
    assert "Batch 1/5" in text
    assert "Loaded Phase0 seed: SYNTHETIC/aggressive 4 of " in text


# refusals -------------------------------------------------------------------------------------------------------------


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


def test_bad_bars_are_refused_and_nothing_is_written(tmp_path: Path, data: Path) -> None:
    twice = csv_of(tmp_path / "twice.csv", data, lambda rows: [*rows[:500], *rows[400:]])
    done = run(tmp_path / "r", *SMALL, "--data-path", str(twice))
    refused(done, "100", "--repair")
    assert not (tmp_path / "r").exists()
    done = run(tmp_path / "r", *SMALL, "--data-path", str(twice), "--repair")
    assert done.returncode == 0, done.stderr
    assert "100 rows dropped" in done.stderr


def test_wicks_are_refused_unless_allowed_and_then_said_everywhere(tmp_path: Path, data: Path) -> None:
    def spoiled(rows: list[Any]) -> list[Any]:
        return [(*row[:2], row[2] * 2.5, *row[3:]) if at % 4_000 == 77 else row for at, row in enumerate(rows)]

    path = csv_of(tmp_path / "wicks.csv", data, spoiled)
    done = run(tmp_path / "r", *SMALL, "--data-path", str(path))
    refused(done, "11 prices that no neighbouring bar reaches", "--allow-wicks")
    assert not (tmp_path / "r").exists()
    done = run(tmp_path / "r", *SMALL, "--data-path", str(path), "--allow-wicks")
    assert done.returncode == 0, done.stderr
    assert "ALLOWED by --allow-wicks: 11 prices" in done.stderr
    folder = tmp_path / "r" / "Backtests" / "optimizations" / "SYNTHETIC" / "aggressive"
    manifest = json.loads((folder / "run_manifest.json").read_bytes())
    found = json.loads((folder / "best_sharpe" / "validation.json").read_bytes())
    assert manifest["data"]["wicks_allowed"] is True
    assert len(manifest["data"]["wicks"]) == found["wicks"]["allowed"] == 11
    assert "allowed: 11 prices that no neighbouring bar reaches" in manifest["verdict"]
    for name, record in (("run_manifest", manifest), ("validation", found)):
        jsonschema.validate(record, json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--symbol", "SOL"], ["no bars to work on", "--demo"]),
        (["--data-path", "somewhere"], ["--symbol is missing"]),
        (["--demo", "--symbol", "SOL"], ["--demo generates its own bars"]),
        (["--demo", "--mode", "reckless"], ["unknown mode 'reckless'", "conservative"]),
        (["--demo", "--trials", "0"], ["search.trials is 0", "1 to"]),
        (["--demo", "--seed", "-1"], ["run.seed is -1"]),
        (["--symbol", "SOL", "--data-path", "/does/not/exist"], ["/does/not/exist"]),
    ],
)
def test_an_order_that_cannot_be_filled(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    done = run(tmp_path / "r", *arguments)
    refused(done, *words)
    assert not (tmp_path / "r").exists()


def test_wrong_usage_exits_with_2(tmp_path: Path) -> None:
    assert run(tmp_path, "--nonsense").returncode == 2
    assert run(tmp_path, "--demo", "--engine", "warp").returncode == 2


def test_errors_are_json_when_json_was_asked_for(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", "--demo", "--mode", "reckless")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "error": "unknown mode 'reckless'",
        "way_out": "one of: conservative, balanced, aggressive, breakout",
    }


def test_a_full_disk_loses_nothing(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    command = [*SMALL, "--data-path", str(data)]

    def limited() -> None:  # a file-size limit is a full disk that needs no mount
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = run(tmp_path, *command, preexec_fn=limited)
    refused(done, f"cannot write {tmp_path}", "File too large", "continues where it stopped")
    assert not list(tmp_path.rglob("*.tmp")), "debris"
    done = run(tmp_path, *command, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == 1
    assert artifacts(tmp_path) == artifacts(undisturbed)


def test_a_folder_without_write_permission(tmp_path: Path, data: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    if os.access(closed, os.W_OK):  # root may write everywhere but into the kernel's own file system
        closed = Path("/sys/kernel")
    done = run(closed / "results", *SMALL, "--data-path", str(data))
    refused(done, f"cannot write {closed / 'results'}", "not permitted" if closed == Path("/sys/kernel") else "denied")


def test_two_at_once_on_one_symbol_and_mode(tmp_path: Path, data: Path) -> None:
    lock = tmp_path / "Backtests" / "optimizations" / "SYNTHETIC" / ".aggressive.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run(tmp_path, *SMALL, "--data-path", str(data))
    refused(done, "another run is writing SYNTHETIC aggressive")


def test_results_root_that_is_a_file(tmp_path: Path, data: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(run(tmp_path / "file", *SMALL, "--data-path", str(data)), "RESULTS_ROOT")


def test_a_new_search_is_on_the_ledger_and_a_repeated_one_once(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed / "tries", tmp_path / "tries")
    before = _tried(tmp_path)
    words = [*SMALL, "--data-path", str(data)]
    assert run(tmp_path, *words).returncode == 0
    assert _tried(tmp_path) == before, "the same search counted again"
    other = {"BACKTEST_OPTIMIZE__SEARCH__SAMPLER": "random", "BACKTEST_OPTIMIZE__COSTS__FEE_RATE": "0.001"}
    assert run(tmp_path, *words, "--prescreen", "320", environment=other).returncode == 0
    after = _tried(tmp_path)
    assert after["prescreen"] == before["prescreen"] + 320
    assert after["search"] > before["search"]
    [manifest] = (tmp_path / "Backtests").rglob("run_manifest.json")
    promotion = json.loads(manifest.read_text(encoding="utf-8"))["promotion"]
    assert promotion["best_sharpe"]["tries_of_all_runs"] == after["prescreen"] + after["search"]


def test_a_prescreen_is_on_the_ledger_before_its_best_are_shown(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    """A run may be killed and left there: what was seen of it was tried."""
    words = [*SMALL, "--data-path", str(data)]
    kill_at(tmp_path, "WORKFLOW.report.tree:ResultTree.write_phase0", 1, *words)
    assert _tried(tmp_path) == {"prescreen": 300}
    assert run(tmp_path, *words).returncode == 0
    assert _tried(tmp_path) == _tried(undisturbed)


def _tried(results: Path) -> dict[str, int]:
    [ledger] = (results / "tries").glob("*.jsonl")
    tries: dict[str, int] = {}
    for line in ledger.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        tries[entry["what"]] = tries.get(entry["what"], 0) + entry["tries"]
    return tries


# names that people bring from elsewhere -------------------------------------------------------------------------------


def test_the_folder_of_bars_can_stand_in_a_variable(tmp_path: Path, data: Path) -> None:
    environment = {"BACKTEST_OPTIMIZE_DATA": str(data)}
    done = run(tmp_path, "--symbol", "SYNTHETIC", "--mode", "reckless", environment=environment)
    refused(done, "unknown mode 'reckless'")  # past the question which bars
    done = run(tmp_path, "--mode", "aggressive", environment=environment)
    refused(done, "no bars to work on", "BACKTEST_OPTIMIZE_DATA")  # the variable alone does not say which symbol


def test_the_gpu_engine_answers_to_its_older_name(tmp_path: Path) -> None:
    done = run(tmp_path, "--demo", "--engine", "raw_kernel", "--gpu", "-1")
    assert done.returncode == 2
    assert "--engine gpu asks for one" in done.stderr


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
