"""Results and bars as DataFrames: what stands in the files, to the bit, in declared dtypes, or a refusal that helps."""

import ast
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.errors import Refused
from scripts.swarm import results
from state.files import snapshot
from state.files.artifacts import BESTS
from state.files.layout import CHECKOUT, Roots
from state.files.publication import Publication
from tests.WORKFLOW.pipeline import SMALL, run
from WORKFLOW import frames
from WORKFLOW.data.bars import ROW, Bars
from WORKFLOW.data.generate import write_demo
from WORKFLOW.frames.result import EQUITY, TRADES, PublishedResult
from WORKFLOW.frames.tables import METRICS, SCREEN
from WORKFLOW.report import artifacts

SCHEMAS = CHECKOUT / "docs" / "reference" / "schemas"
NOTEBOOK = CHECKOUT / "docs" / "tutorials" / "explore_a_result.ipynb"
PAGE = CHECKOUT / "docs" / "reference" / "frames.md"
NAME = "SYNTHETIC/aggressive"
UTC = "datetime64[us, UTC]"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("data"), days=150, seed=11)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A RESULTS_ROOT with one finished run. Nobody may change it: `root` is a copy."""
    results = tmp_path_factory.mktemp("results")
    done = run(results, *SMALL, "--data-path", str(data))
    assert done.returncode == 0, done.stderr
    return results


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "root"))


@pytest.fixture
def tree(root: Path) -> Path:
    return root / "Backtests" / "optimizations" / NAME


@pytest.fixture
def result(finished: Path) -> PublishedResult:
    return frames.result(NAME, root=finished)


def record(result: PublishedResult, name: str) -> Any:
    return json.loads((result.published.folder / name).read_text())


def same(column: pd.Series, values: list[Any]) -> bool:
    """Every value, missing ones as None."""
    return [None if pd.isna(value) else value for value in column.tolist()] == values


# one result -----------------------------------------------------------------------------------------------------------


def test_importing_it_loads_no_engine(finished: Path) -> None:
    code = (
        "import sys\nfrom WORKFLOW import frames\nassert 'numba' not in sys.modules\n"
        f"found = frames.result({NAME!r}, root={str(finished)!r})\n"
        "tables = [found.trades, found.equity, found.trials, found.prescreen, found.metrics, found.validation]\n"
        f"frames.results({str(finished)!r})\nassert all(map(len, tables))\n"
        "frames.bars(found.manifest['data']['source'], 'SYNTHETIC')\n"
        "print([name for name in ('numba', 'optuna', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("best", BESTS)
def test_trades_are_those_of_the_file_to_the_bit(finished: Path, best: str) -> None:
    trades = frames.result(NAME, best, root=finished).trades
    text = (finished / "Backtests" / "optimizations" / NAME / best / "trades.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(trades) == len(rows) > 9
    assert trades.index.tolist() == [pd.Timestamp(row["entry_time"]) for row in rows]
    assert trades["exit_time"].tolist() == [pd.Timestamp(row["exit_time"]) for row in rows]
    for name in ("entry_price", "exit_price", "pnl", "gross_pnl_pct", "net_pnl_pct", "mae_pct", "mfe_pct"):
        assert trades[name].tolist() == [float(row[name]) for row in rows], name
    assert trades["bars"].tolist() == [int(row["bars"]) for row in rows]
    for name in ("side", "reason_open", "reason_close"):
        assert trades[name].tolist() == [row[name] for row in rows]
    assert (trades.index.name, trades.index.dtype, trades["exit_time"].dtype) == ("entry_time", UTC, UTC)
    kinds = {str(dtype) for dtype in trades.dtypes}
    assert kinds == {"category", UTC, "float64", "Int64"}
    assert trades["reason_close"].cat.categories.tolist()[:3] == ["signal", "stop_loss", "trailing_stop"]


def test_equity_is_that_of_the_file_and_of_the_metrics(result: PublishedResult) -> None:
    rows = list(csv.DictReader((result.folder / "equity.csv").read_text().splitlines()))
    equity = result.equity
    assert equity.index.tolist() == [pd.Timestamp(row["time"]) for row in rows]
    assert equity["equity"].tolist() == [float(row["equity"]) for row in rows]
    assert equity["drawdown_pct"].tolist() == [float(row["drawdown_pct"]) for row in rows]
    assert equity["window"].tolist() == [row["window"] for row in rows]
    assert (equity.index.name, str(equity.index.dtype)) == ("time", UTC)
    assert {name: str(dtype) for name, dtype in equity.dtypes.items()} == {
        "equity": "float64",
        "drawdown_pct": "float64",
        "window": "category",
    }
    full = result.metrics.loc["full"]
    assert equity["drawdown_pct"].max() == full["max_drawdown_daily_pct"]
    assert (len(equity), len(result.trades)) == (full["days"], full["total_trades"])


@pytest.mark.parametrize("best", BESTS)
def test_daily_returns_make_the_ratios_of_the_run(finished: Path, best: str) -> None:
    result = frames.result(NAME, best, root=finished)
    returns, full = result.returns, result.metrics.loc["full"]
    assert returns.mean() / returns.std() * 365**0.5 == pytest.approx(full["sharpe_ratio"], rel=1e-12)
    assert (1 + returns).prod() - 1 == pytest.approx(full["total_return"], rel=1e-12)
    assert returns.index.equals(result.equity.index)
    assert (str(returns.dtype), returns.name, returns.attrs["synthetic"]) == ("float64", "return", True)


def test_a_ruined_account_returns_nothing_more(tree: Path) -> None:
    equity = (tree / "best_sharpe" / "equity.csv").read_bytes().splitlines(keepends=True)
    ruined = [re.sub(rb"Z,[0-9.]+,", b"Z,0.0,", line) if at > 100 else line for at, line in enumerate(equity)]
    returns = published(tree, **{"best_sharpe/equity.csv": b"".join(ruined)}).returns
    assert returns.iloc[100] == -1.0
    assert (returns.iloc[101:] == 0.0).all()


def test_trials_and_prescreen_are_those_of_the_files(result: PublishedResult) -> None:
    for frame, rows, of_metrics, index in (
        (result.trials, record(result, "all_trials.json")["trials"], METRICS, "number"),
        (result.prescreen, record(result, "phase0_top500.json")["results"], SCREEN, "rank"),
    ):
        assert frame.index.name == index
        assert frame.index.tolist() == [row[index] for row in rows]
        for name, dtype in of_metrics.items():
            assert same(frame[name], [(row["metrics"] or {}).get(name) for row in rows])
            assert str(frame[name].dtype) == dtype
        for name in rows[0]["parameters"]:
            assert frame[f"params_{name}"].tolist() == [row["parameters"][name] for row in rows]
    trials = result.trials
    rows = record(result, "all_trials.json")["trials"]
    for name in ("batch", "source", "feasible", "pruned", "value"):
        assert same(trials[name], [row[name] for row in rows])
    for fold in (1, 2, 3, 4):
        assert same(trials[f"fold_{fold}"], [row["folds"][fold - 1] for row in rows])
    dtypes = trials.dtypes.astype(str)
    assert dtypes[["batch", "source", "feasible", "value", "fold_1"]].tolist() == [
        "Int64",
        "category",
        "boolean",
        "float64",
        "float64",
    ]
    assert dtypes[["params_fast_period", "params_stop_loss", "params_direction"]].tolist() == [
        "Int64",
        "float64",
        "str",
    ]


def test_metrics_and_checks_are_those_of_the_files(result: PublishedResult) -> None:
    metrics, found = result.metrics, record(result, f"{result.best}/metrics.json")
    assert metrics.index.tolist() == ["in_sample", "out_of_sample", "full"]
    for window, row in metrics.iterrows():
        assert {name: None if pd.isna(value) else value for name, value in row.items()} == found[window]
    validation = record(result, f"{result.best}/validation.json")
    checks = result.validation
    assert checks.index.tolist() == [check["name"] for check in validation["checks"]]
    for name in ("passed", "value", "threshold", "needed", "if_failed"):
        assert same(checks[name], [check[name] for check in validation["checks"]])
    promotion = record(result, "run_manifest.json")["promotion"][result.best]
    assert same(result.promotion["passed"], [check["passed"] for check in promotion["checks"]])
    assert (result.verdict, result.synthetic) == (validation["verdict"], True)
    assert result.parameters == record(result, f"{result.best}/config.json")["parameters"]
    assert result.record("validation.json")["monte_carlo"] == validation["monte_carlo"]


def test_what_is_shown_is_labelled(result: PublishedResult) -> None:
    assert repr(result) == f"{NAME}/best_sharpe · SYNTHETIC DATA: {result.verdict}\n{result.folder}"
    tables = (result.trades, result.equity, result.trials, result.prescreen, result.metrics, result.validation)
    assert all(table.attrs == {"result": f"{NAME}/best_sharpe", "synthetic": True} for table in tables)


def test_the_columns_are_those_of_the_writers() -> None:
    assert tuple(TRADES) == artifacts.TRADE_COLUMNS
    assert tuple(EQUITY) == artifacts.EQUITY_COLUMNS
    metrics = json.loads((SCHEMAS / "metrics.schema.json").read_text())["$defs"]["metrics"]["properties"]
    kinds = {"integer": "Int64", "boolean": "boolean"}
    assert {name: kinds.get(str(said["type"]), "float64") for name, said in metrics.items()} == METRICS
    screen = json.loads((SCHEMAS / "phase0_top500.schema.json").read_text())["$defs"]["screen"]["properties"]
    assert list(screen) == list(SCREEN)


def test_a_result_is_found_by_folder_and_by_name(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE_ROOT", "LOGS_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESULTS_ROOT", str(finished))
    folder = finished / "Backtests" / "optimizations" / NAME
    assert frames.result(NAME).name == f"{NAME}/best_sharpe"
    assert frames.result(folder / "best_winrate").name == f"{NAME}/best_winrate"
    assert frames.result(f"{NAME}/best_winrate", "best_returns").best == "best_returns"
    assert frames.result(str(folder)).bests == BESTS
    assert frames.result(folder).with_best("lowest_drawdown").folder == folder / "lowest_drawdown"
    monkeypatch.chdir(folder)
    assert frames.result("best_winrate").name == f"{NAME}/best_winrate"


def test_what_is_no_result_is_refused_with_those_that_are(finished: Path, tmp_path: Path) -> None:
    for folder, way_out in (
        ("SOL/aggressive", f"name one of: {NAME}"),
        (finished, f"name one of: {finished / 'Backtests' / 'optimizations' / NAME}"),
        (finished / "Backtests" / "optimizations" / "SYNTHETIC", f"optimizations/{NAME}"),
        ("x" * 300, f"name one of: {NAME}"),
    ):
        with pytest.raises(Refused, match=r"has a run_manifest\.json") as refusal:
            frames.result(folder, root=finished)
        assert str(folder) in refusal.value.reason
        assert way_out in refusal.value.way_out
    with pytest.raises(Refused) as refusal:
        frames.result(tmp_path, root=tmp_path)
    assert "RESULTS_ROOT" in refusal.value.way_out
    (tmp_path / "phase0_top500.json").write_text("{}")
    with pytest.raises(Refused, match=r"holds a prescreen and no run_manifest\.json yet"):
        frames.result(tmp_path, root=tmp_path)
    with pytest.raises(Refused, match="has no 'best_luck'"):
        frames.result(NAME, "best_luck", root=finished)


# what was edited ------------------------------------------------------------------------------------------------------

READ: dict[str, Callable[[PublishedResult], Any]] = {
    "best_sharpe/trades.csv": lambda result: result.trades,
    "best_sharpe/equity.csv": lambda result: result.equity,
    "best_sharpe/metrics.json": lambda result: result.metrics,
    "best_sharpe/validation.json": lambda result: result.validation,
    "best_sharpe/config.json": lambda result: result.parameters,
    "all_trials.json": lambda result: result.trials,
    "phase0_top500.json": lambda result: result.prescreen,
}


@pytest.mark.parametrize("name", READ)
def test_an_edited_file_is_refused_or_read_as_it_is(tree: Path, name: str) -> None:
    path = tree / name
    before = READ[name](frames.result(tree))
    path.write_bytes(path.read_bytes() + b"\n")
    opened = frames.result(tree)
    with pytest.raises(Refused, match=r"is not the file that run_manifest\.json names") as refusal:
        READ[name](opened)
    assert str(path) in refusal.value.reason
    assert "verify=False" in refusal.value.way_out
    as_it_is = READ[name](frames.result(tree, verify=False))
    assert as_it_is == before if isinstance(before, dict) else as_it_is.equals(before)
    path.unlink()
    for verify in (True, False):
        with pytest.raises(Refused, match="No such file") as refusal:
            READ[name](frames.result(tree, verify=verify))
        assert str(path) in refusal.value.reason


def test_an_edited_manifest_is_refused(tree: Path) -> None:
    manifest = json.loads((tree / "run_manifest.json").read_text())
    snapshot.write_json(tree / "run_manifest.json", {**manifest, "verdict": "candidate: all checks passed"})
    with pytest.raises(Refused, match=r"run_manifest\.json is not what was published"):
        frames.result(tree)
    assert frames.result(tree, verify=False).manifest["verdict"] == "candidate: all checks passed"


def test_a_result_is_never_mixed_with_a_later_one(tree: Path) -> None:
    opened = frames.result(tree)
    assert len(opened.metrics) == 3
    files = {name: (tree / name).read_bytes() for name in opened.manifest["files"]}
    files["all_trials.json"] += b"\n"
    Publication(tree).publish(files, {key: value for key, value in opened.manifest.items() if key != "files"})
    with pytest.raises(Refused, match="a later run has replaced the result") as refusal:
        opened.trials  # noqa: B018
    assert "frames.result(" in refusal.value.way_out
    assert len(frames.result(tree).trials) == 24


def test_a_publication_that_was_killed_is_named(tree: Path) -> None:
    """All of the new result is ready, and one file of it is in place."""
    manifest = json.loads((tree / "run_manifest.json").read_text())
    trials = (tree / "all_trials.json").read_bytes()
    ready = tree.with_name(f".{tree.name}.publishing") / "ready"
    shutil.copytree(tree, ready)
    (ready / "all_trials.json").write_bytes(trials + b"\n")
    files = {name: (ready / name).read_bytes() for name in manifest["files"]}
    Publication(ready).publish(files, {key: value for key, value in manifest.items() if key != "files"})
    shutil.copy(ready / "all_trials.json", tree)
    with pytest.raises(Refused) as refusal:
        frames.result(tree).trials  # noqa: B018
    assert refusal.value.way_out == (
        "a run was killed while it published this result: run SYNTHETIC aggressive again, which puts it in place"
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("best_sharpe/trades.csv", b"\nlong,", b"\nflat,", "side is 'flat', none of long, short"),
        ("best_sharpe/trades.csv", b"side,", b"sides,", "its columns are sides, entry_time"),
        ("best_sharpe/trades.csv", b"T20:00:00Z", b"", "ValueError"),
        ("best_sharpe/trades.csv", b"short,", b"short,,", " has 14 values, not 13"),
        ("best_sharpe/equity.csv", b",10000.0,", b",,", "equity is missing in row 1"),
        ("best_sharpe/equity.csv", b",10000.0,", b",much,", "ValueError"),
        ("best_sharpe/metrics.json", b'"full"', b'"all"', "KeyError: 'full'"),
        ("best_sharpe/metrics.json", b'"ruined": false', b'"ruined": "no"', "TypeError"),
        ("all_trials.json", b'"phase0"', b'"a friend"', "source is 'a friend'"),
        ("all_trials.json", b'"trials": [', b'"trials": [7,', "TypeError"),
        ("all_trials.json", b"{", b"[", "does not hold what a run writes"),
        ("phase0_top500.json", b'"combo": ', b'"combo": 0.5', "does not hold what a run writes"),
    ],
)
def test_a_damaged_file_that_is_read_as_it_is_names_its_path(
    tree: Path, name: str, old: bytes, new: bytes, said: str
) -> None:
    path = tree / name
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))
    with pytest.raises(Refused) as refusal:
        READ[name](frames.result(tree, verify=False))
    assert str(path) in refusal.value.reason
    assert said in refusal.value.reason
    assert refusal.value.way_out


def published(tree: Path, **files: bytes) -> PublishedResult:
    """The tree again with other contents of some files, as a run would publish it; b"" leaves one out."""
    manifest = json.loads((tree / "run_manifest.json").read_text())
    contents = {name: (tree / name).read_bytes() for name in manifest["files"]} | files
    kept = {name: content for name, content in contents.items() if content}
    Publication(tree).publish(kept, {key: value for key, value in manifest.items() if key != "files"})
    return frames.result(tree)


def test_a_strategy_that_never_traded_has_empty_tables_of_the_same_dtypes(tree: Path) -> None:
    before = frames.result(tree).trades
    header = (tree / "best_sharpe" / "trades.csv").read_bytes().split(b"\n", 1)[0] + b"\n"
    trades = published(tree, **{"best_sharpe/trades.csv": header}).trades
    assert len(trades) == 0
    assert trades.dtypes.tolist() == before.dtypes.tolist()
    assert trades.index.dtype == before.index.dtype


def test_a_run_that_chose_nothing_still_shows_its_search(tree: Path) -> None:
    manifest = json.loads((tree / "run_manifest.json").read_text())
    none = json.dumps({**json.loads((tree / "all_trials.json").read_text()), "trials": []}).encode()
    gone = {name: b"" for name in manifest["files"] if name.split("/")[0] in BESTS}
    opened = published(tree, **gone, **{"all_trials.json": none})
    assert (opened.best, opened.bests, len(opened.trials), len(opened.prescreen)) == (None, (), 0, 57)
    assert repr(opened).startswith(f"{NAME} · SYNTHETIC DATA: not tradeable")
    for read in (lambda: opened.trades, lambda: opened.metrics, lambda: opened.record("config.json")):
        with pytest.raises(Refused, match="chose no strategy: not tradeable"):
            read()


# the leaderboard ------------------------------------------------------------------------------------------------------


def test_the_leaderboard_is_that_of_the_command(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("STATE_ROOT", "LOGS_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESULTS_ROOT", str(finished))
    assert results.main(["--all", "--top", "0", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    table = frames.results()
    assert table.index.tolist() == list(range(1, len(rows) + 1))
    for name in ("symbol", "mode", "standing", "verdict", "promotion", "synthetic", "run_id", "round", "found"):
        assert same(table[name], [row[name] for row in rows])
    assert table["artifacts"].tolist() == [row["artifacts"] for row in rows]
    assert table["strategies"].tolist() == [", ".join(row["strategies"]) for row in rows]
    for window in ("in_sample", "out_of_sample"):
        for name in METRICS:
            assert same(table[f"{window}_{name}"], [row[window][name] for row in rows])
    for name in rows[0]["parameters"]:
        assert table[f"params_{name}"].tolist() == [row["parameters"][name] for row in rows]
    assert table["standing"].cat.ordered
    assert (table["standing"] < "candidate").all()
    assert str(table["started"].dtype) == UTC
    assert table["started"].iloc[0].strftime("bt-%Y%m%d_%H%M%SZ") == rows[0]["run_id"]
    for name in table["name"]:
        assert frames.result(name).name == name


def test_a_strategy_whose_files_are_gone_is_still_there(root: Path, tree: Path) -> None:
    shutil.rmtree(tree)
    table = frames.results(root)
    assert len(table) > 1
    assert table["artifacts"].isna().all()
    (unit,) = Roots.from_environment({"RESULTS_ROOT": str(root)}).runs()
    unit.outcome.write_text(unit.outcome.read_text().replace('"days": 104', '"days": 104.5'))
    with pytest.raises(Refused, match="does not hold what a run writes") as refusal:
        frames.results(root)
    assert str(root) in refusal.value.reason


@pytest.mark.parametrize("verify", [True, False])
def test_an_edited_strategy_is_refused_in_the_table(root: Path, tree: Path, verify: bool) -> None:
    metrics = tree / "best_sharpe" / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"total_trades": 42', '"total_trades": 420'))
    if not verify:
        assert len(frames.results(root, verify=False)) > 1
        return
    with pytest.raises(Refused) as refusal:
        frames.results(root)
    assert f"{metrics} is not the file" in refusal.value.reason
    assert "verify=False" in refusal.value.way_out


def test_an_edited_record_of_a_run_is_refused_in_the_table(root: Path) -> None:
    (unit,) = Roots.from_environment({"RESULTS_ROOT": str(root)}).runs()
    text = unit.outcome.read_text()
    unit.outcome.write_text(text.replace('"promoted": false', '"promoted": true', 1))
    with pytest.raises(Refused, match="differ in standing"):
        frames.results(root)


def test_a_root_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=re.escape(f"there is no result under {tmp_path}")) as refusal:
        frames.results(tmp_path)
    assert "--parallel" in refusal.value.way_out


# bars -----------------------------------------------------------------------------------------------------------------


def test_bars_are_those_of_the_run(result: PublishedResult, data: Path) -> None:
    bars = frames.bars(data, "SYNTHETIC")
    rows = np.zeros(len(bars), dtype=ROW)
    rows["time_ms"] = bars.index.as_unit("ms").asi8
    for name in ("open", "high", "low", "close", "volume", "filled"):
        rows[name] = bars[name].to_numpy(dtype=ROW[name])
    assert Bars("SYNTHETIC", rows, 0.01, True, "").sha256 == result.manifest["data"]["sha256"]
    assert bars.attrs == {"symbol": "SYNTHETIC", "source": str(data), "synthetic": True, "tick": 0.01}
    assert [str(dtype) for dtype in bars.dtypes] == ["float64"] * 5 + ["boolean"]
    assert (bars.index.name, str(bars.index.dtype), int(bars["filled"].sum())) == ("time", UTC, 16)
    raw = frames.bars(data.parent, "SYNTHETIC", checked=False)
    pd.testing.assert_frame_equal(raw, bars[~bars["filled"]], check_freq=False)


def test_bars_that_a_run_would_refuse(tmp_path: Path, data: Path) -> None:
    few = write_demo(tmp_path, days=30, seed=1)
    with pytest.raises(Refused, match=r"30\.0 days of bars are fewer than 90") as refusal:
        frames.bars(few, "SYNTHETIC")
    assert str(few) in refusal.value.reason
    assert "checked=False" in refusal.value.way_out
    twice = tmp_path / "COPIES_5m.csv"
    rows = frames.bars(data, "SYNTHETIC").drop(columns="filled").iloc[-95 * 288 :]  # behind the halt
    pd.concat([rows, rows.iloc[-3:]]).to_csv(twice)
    with pytest.raises(Refused, match="rows that repeat an earlier row"):
        frames.bars(twice, "COPIES")
    pd.testing.assert_frame_equal(
        frames.bars(twice, "COPIES", repair=True).drop(columns="filled"), rows, check_freq=False
    )
    assert len(frames.bars(few, "SYNTHETIC", checked=False)) == 30 * 288 - 16
    for checked in (True, False):
        with pytest.raises(Refused, match="there is nothing at"):
            frames.bars(tmp_path / "none", "SOL", checked)


def test_real_bars_carry_their_own_moments(real_data: Path) -> None:
    bars = frames.bars(real_data, "SOL")
    assert (np.diff(bars.index.asi8) == 300_000_000).all()
    assert bars.index.tz is not None
    assert not bars.isna().any(axis=None)
    assert not bars.attrs["synthetic"]


# the page and the notebook --------------------------------------------------------------------------------------------


def test_the_page_explains_every_column(result: PublishedResult, finished: Path, data: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    tables = [getattr(result, name) for name in ("trades", "equity", "trials", "prescreen", "metrics", "validation")]
    tables += [frames.results(finished), frames.bars(data, "SYNTHETIC")]
    names = {name for table in tables for name in (table.index.name, *table.columns)}
    plain = {re.sub(r"^(params_|in_sample_|out_of_sample_|fold_).+", r"\1…", name) for name in names}
    assert [name for name in sorted(plain) if f"`{name}`" not in page] == []


def test_the_lines_of_the_page_run(finished: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the result and the bars of this test; the prescreen needs a GPU and is tried in tests/gpu/test_face.py."""
    for name in ("STATE_ROOT", "LOGS_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESULTS_ROOT", str(finished))
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S))
    code = code.replace('"SOL/aggressive"', repr(NAME)).replace('"~/data", "SOL"', f"{str(data)!r}, 'SYNTHETIC'")
    there = {line for line in code.splitlines() if "gpu_prescreen(" not in line}
    assert len(code.splitlines()) == len([line for line in code.splitlines() if line in there]) + 1
    namespace: dict[str, Any] = {}
    exec("\n".join(line for line in code.splitlines() if line in there), namespace)
    joined = pd.merge_asof(
        namespace["closes"], namespace["hours"], left_on="close_time", right_on="known_at", direction="backward"
    )
    seen = namespace["seen"].map(namespace["hours"]["close"].reset_index(drop=True))
    assert joined["close"].equals(seen.reset_index(drop=True))
    assert namespace["trend_at_bar"].isna().sum() == 11


def cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["metadata"]["language_info"]["name"]) == (4, "python")
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


def shown(cell: str, namespace: dict[str, Any]) -> Any:
    """What a notebook shows under a cell: the value of its last line."""
    *before, last = ast.parse(cell).body
    ends_with_a_value = isinstance(last, ast.Expr)
    exec(compile(ast.Module(before if ends_with_a_value else [*before, last], []), "cell", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace) if ends_with_a_value else None


def test_the_notebook_explores_a_result(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE_ROOT", "LOGS_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESULTS_ROOT", str(finished))
    monkeypatch.chdir(NOTEBOOK.parent)
    monkeypatch.setattr(sys, "path", list(sys.path))
    namespace: dict[str, Any] = {}
    setup, *exploring = cells()
    assert shown(setup, namespace) is None
    assert sys.path[0] == str(CHECKOUT)
    assert sum(len(cell.splitlines()) for cell in exploring) == 12
    table, best, metrics, failed, trades, months, trials, bars, hours = (shown(cell, namespace) for cell in exploring)
    assert list(table.columns)[:2] == ["name", "standing"]
    assert table["out_of_sample_sharpe_ratio"].is_monotonic_decreasing
    assert repr(best).startswith(f"{table['name'].iloc[0]} · SYNTHETIC DATA: not tradeable: ")
    assert metrics.loc["full", "total_trades"] == len(best.trades)
    assert "real_data" in failed.index
    assert trades["count"].sum() == len(best.trades)
    assert trades["sum"].sum() == pytest.approx(best.trades["net_pnl_pct"].sum())
    assert (1 + months).prod() - 1 == pytest.approx(metrics.loc["full", "total_return"])
    assert len(months) == 5
    assert trials["value"].is_monotonic_decreasing
    assert 1 <= len(trials) <= 5
    assert len(bars) == best.trades["bars"].iloc[0] + 1
    assert hours.isna().sum() == 11
    assert hours.iloc[11] == namespace["bars"]["close"].iloc[11]
