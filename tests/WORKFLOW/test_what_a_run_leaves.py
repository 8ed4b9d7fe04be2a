"""What an undisturbed run leaves: files, tables, a tearsheet and a log that tell one story."""

import csv
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from scripts.swarm import results
from scripts.tearsheet import command
from state.files import made, ours
from state.files.artifacts import BESTS
from state.files.layout import CHECKOUT, Roots
from tests.WORKFLOW.pipeline import SCHEMAS, artifacts, environment
from WORKFLOW.report.tearsheet.parts import record_of

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
    shutil.copytree(undisturbed, tmp_path / "r")
    done = subprocess.run(
        [sys.executable, CHECKOUT / "scripts" / "generate-tearsheet", "SYNTHETIC/aggressive", "--formats", "html,json"],
        cwd=tmp_path,
        env=environment(tmp_path / "r") | {"VENV_PATH": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = artifacts(undisturbed)
    for best in BESTS:
        stem = tmp_path / "r" / "tearsheets" / f"SYNTHETIC-aggressive-{best}"
        assert stem.with_suffix(".html").read_bytes() == files[f"{best}/tearsheet.html"]
        assert json.loads(stem.with_suffix(".json").read_bytes()) == record_of(files[f"{best}/tearsheet.html"])


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
