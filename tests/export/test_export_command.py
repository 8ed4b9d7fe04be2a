"""`export` as people type it: finds the finalist, refuses what is not whole, writes files that are."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.feather
import pytest

from config.errors import Refused
from config.settings import load
from scripts.swarm.export import freqtrade
from scripts.swarm.export.command import main
from scripts.swarm.export.finalist import find
from state.files.layout import CHECKOUT, Roots
from tests.export.strategies import PARAMETERS, finalist
from WORKFLOW.data.generate import write_demo
from WORKFLOW.report.tree import ResultTree
from WORKFLOW.validation import check_all

SCHEMA = json.loads((CHECKOUT / "docs" / "reference" / "schemas" / "export.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roots:
    for name in ("STATE_ROOT", "LOGS_ROOT", "BACKTEST_OPTIMIZE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "r"))
    return Roots.from_environment()


def published(roots: Roots, mode: str = "aggressive", verdict: str = "not tradeable: a test", **data: Any) -> Path:
    """A result tree by its own writer, as far as an export reads it."""
    one = finalist(PARAMETERS[0])
    files = {"config.json": one.config, "metrics.json": {**one.metrics, "verdict": verdict}}
    tree = ResultTree(roots.artifacts("SOL", mode))
    bytes_of = {f"best_sharpe/{name}": json.dumps(record).encode() for name, record in files.items()}
    tree.publish(bytes_of, {**one.manifest, "data": {**one.manifest["data"], **data}})
    return tree.folder


def test_it_writes_a_strategy_and_a_configuration_and_says_the_verdict(
    roots: Roots, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published(roots)
    assert main(["--format", "freqtrade", "SOL/aggressive", "--to", str(tmp_path / "u"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    jsonschema.validate(said, SCHEMA)
    assert said["candidate"] is False
    names = ["strategies/SolAggressiveBestSharpe.py", "config-SolAggressiveBestSharpe.json"]
    assert said["files"] == [str(tmp_path / "u" / name) for name in names]
    compile(Path(said["files"][0]).read_text(encoding="utf-8"), "strategy", "exec")
    assert main(["--format", "freqtrade", "--to", str(tmp_path / "u")]) == 0  # the only tree there is
    shown = capsys.readouterr()
    assert shown.err == "warning: SOL/aggressive/best_sharpe is not tradeable: a test\n"
    assert "next     freqtrade backtesting --userdir" in shown.out


def test_nothing_is_written_where_one_stands(
    roots: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published(roots)
    here = tmp_path / "where I stand"
    here.mkdir()
    monkeypatch.chdir(here)
    assert main(["--format", "freqtrade", "SOL/aggressive"]) == 0
    assert list(here.iterdir()) == []
    folder = roots.results / "freqtrade" / "user_data"
    assert str(folder / "strategies" / "SolAggressiveBestSharpe.py") in capsys.readouterr().out
    assert (folder / "strategies" / "SolAggressiveBestSharpe.py").is_file()


def test_the_line_that_follows_can_be_typed(roots: Roots, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published(roots)
    assert main(["--format", "freqtrade", "SOL/aggressive", "--to", str(tmp_path / "my $user"), "--json"]) == 0
    following = shlex.split(json.loads(capsys.readouterr().out)["next"])
    config = tmp_path / "my $user" / "config-SolAggressiveBestSharpe.json"
    assert following[:2] == ["freqtrade", "backtesting"]
    assert following[3:6] == [str(tmp_path / "my $user"), "-c", str(config)]
    assert config.is_file()


def test_a_candidate_is_no_warning(roots: Roots, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published(roots, verdict="candidate: all checks passed")
    assert main(["--format", "freqtrade", "--to", str(tmp_path / "u")]) == 0
    assert capsys.readouterr().err == ""


def test_the_bars_of_the_run_go_with_it(roots: Roots, tmp_path: Path) -> None:
    source = write_demo(tmp_path / "d", days=100, seed=3)
    published(roots, source=str(source))
    with pytest.raises(Refused, match="holds other bars than the run bt-1 had"):
        main(["--format", "freqtrade", "--data", "--to", str(tmp_path / "u")])
    bars = check_all(load(), source, "SOL").bars
    assert bars is not None
    published(roots, source=str(source), sha256=bars.sha256)
    assert main(["--format", "freqtrade", "--data", "--to", str(tmp_path / "u")]) == 0
    folder = tmp_path / "u" / "data" / "binance" / "futures"
    lengths = {path.name: pyarrow.feather.read_table(str(path)).num_rows for path in folder.iterdir()}
    assert lengths == {
        "SOL_USDT_USDT-5m-futures.feather": 28_800,
        "SOL_USDT_USDT-15m-futures.feather": 9_600,
        "SOL_USDT_USDT-1h-futures.feather": 2_400,
        "SOL_USDT_USDT-1h-mark.feather": 2_400,
        "SOL_USDT_USDT-1h-funding_rate.feather": 2_400,
    }


HOSTILE = '"""\nimport os\n"""'


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("files",), ["x"], "is not a manifest"),
        (("execution",), None, "is not a manifest"),
        (("execution", "round"), "1", "is not a manifest"),
        (("execution", "run_id"), HOSTILE, "which no run of ours has written"),
        (("code", "source_hash"), "\\", "which no run of ours has written"),
        (("data", "sha256"), HOSTILE, "which no run of ours has written"),
    ],
)
def test_a_manifest_that_was_edited_neither_breaks_it_nor_gets_into_the_python_it_writes(
    roots: Roots, tmp_path: Path, where: tuple[str, ...], value: Any, said: str
) -> None:
    path = published(roots) / "run_manifest.json"
    manifest = json.loads(path.read_text())
    *above, last = where
    record = manifest[above[0]] if above else manifest
    record[last] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(Refused, match=said):
        main(["--format", "freqtrade", "--to", str(tmp_path / "u")])
    assert not (tmp_path / "u").exists()


@pytest.mark.parametrize("value", ["0; import os", float("nan"), None])
def test_only_numbers_get_into_its_code(value: Any) -> None:
    with pytest.raises(Refused, match=r"max_bars = .* is not a number"):
        freqtrade.export(finalist({**PARAMETERS[0], "max_bars": value}), None, "binance")


def test_a_file_that_is_gone_is_refused_with_a_way_out(roots: Roots, tmp_path: Path) -> None:
    (published(roots) / "best_sharpe" / "metrics.json").unlink()
    with pytest.raises(Refused, match=r"metrics\.json is not the file that run_manifest\.json names: No such file"):
        main(["--format", "freqtrade", "--to", str(tmp_path / "u")])


def test_what_was_changed_since_is_not_exported(roots: Roots) -> None:
    folder = published(roots)
    config = json.loads((folder / "best_sharpe" / "config.json").read_text())
    config["parameters"]["stop_loss"] = 0.5
    (folder / "best_sharpe" / "config.json").write_text(json.dumps(config))
    with pytest.raises(Refused, match=r"config\.json is not the file that run_manifest\.json names"):
        find(roots, "SOL/aggressive")


def test_names_that_are_wrong_are_answered_with_those_that_are_right(roots: Roots) -> None:
    with pytest.raises(Refused, match="there is no result under"):
        find(roots, None)
    published(roots)
    published(roots, "balanced")
    for wish, reason, way_out in (
        (None, "there are several results", "type one of SOL/aggressive, SOL/balanced"),
        ("BTC/aggressive", "there is no result BTC/aggressive", "results on file: SOL/aggressive, SOL/balanced"),
        ("SOL", "there is no result SOL/best_sharpe", "results on file: SOL/aggressive, SOL/balanced"),
        ("SOL/balanced/worst", "SOL/balanced has no strategy 'worst'", "it has best_sharpe"),
    ):
        with pytest.raises(Refused, match=reason) as refused:
            find(roots, wish)
        assert refused.value.way_out == way_out
    assert find(roots, "SOL/balanced/best_sharpe").name == "SOL/balanced/best_sharpe"


def test_through_the_one_command_a_refusal_is_1_and_json(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, CHECKOUT / "scripts" / "backtest-optimize", "export", "--format", "freqtrade", "--json"],
        env=os.environ | {"RESULTS_ROOT": str(tmp_path), "VENV_PATH": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "there is no result under" in json.loads(done.stdout)["error"]
