import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.settings import load, with_values
from state.files.layout import CHECKOUT
from WORKFLOW import mtf_resampler
from WORKFLOW.data.bars import BARS_PER_DAY
from WORKFLOW.data.generate import demo_rows, write_demo
from WORKFLOW.mtf_resampler import Resampled
from WORKFLOW.validation import check_all, check_installation, main


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_demo(folder, days=95)
    rows = demo_rows(95)
    lines = [",".join(map(str, row.item()[:6])) for row in np.concatenate([rows, rows[-5:]])]
    (folder / "COPIES.csv").write_text("timestamp,open,high,low,close,volume\n" + "\n".join(lines))
    write_demo(folder / "short", days=10).rename(folder / "SHORT.parquet")
    (folder / "TORN.parquet").write_bytes((folder / "SHORT.parquet").read_bytes()[:500])
    return folder


def test_the_installation_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check-all"]) == 0
    said = capsys.readouterr().out
    for name in ("minimum trades", "minimum days", "timeframes resampled", "no look-ahead", "passed"):
        assert name in said


def test_good_bars_pass_with_their_report(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check-all", "--data-path", str(data), "--symbol", "SYNTHETIC"]) == 0
    said = capsys.readouterr().out
    assert "SYNTHETIC: 27,360 bars of 5 minutes, 95.0 days" in said
    assert "filled: 1 hole, 16 bars" in said


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        ("SHORT", "10.0 days of bars are fewer than 90"),
        ("TORN", "not a valid Parquet file"),
        ("COPIES", "rows that repeat an earlier row in every value: 5"),
        ("ABSENT", "starts with 'ABSENT'"),
        ("../x", "cannot name a results folder"),
    ],
)
def test_bad_bars_end_in_1_with_a_reason(
    data: Path, capsys: pytest.CaptureFixture[str], symbol: str, said: str
) -> None:
    command = ["--check-all", "--data-path", str(data), "--symbol", symbol]
    assert main(command) == 1
    text = capsys.readouterr()
    assert said in text.out
    assert "  → " in text.out
    assert "refused for 1 reason" in text.out
    assert text.out.count(said) == 1
    assert main([*command, "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert said in value["reasons"][0]["reason"]
    assert value["passed"] is False


def test_repair_is_asked_for(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check-all", "--data-path", str(data / "COPIES.csv"), "--symbol", "X", "--repair", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["data"]["copies_dropped"] == 5
    assert value["data"]["bars"] == 95 * BARS_PER_DAY


@pytest.mark.parametrize(
    "argv", [[], ["--check-all", "--symbol", "SOL"], ["--check-all", "--data-path", "x"], ["--check-all", "--nonsense"]]
)
def test_wrong_usage_ends_in_2(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BACKTEST_OPTIMIZE_DATA", raising=False)  # it would name the bars
    assert main(argv) == 2
    assert "usage:" in capsys.readouterr().err


def test_settings_that_cannot_be_read_end_in_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BACKTEST_OPTIMIZE__DATA__MIN_DAYS", "many")
    assert main(["--check-all"]) == 1
    assert "data.min_days is 'many'" in capsys.readouterr().out


def test_thresholds_below_the_floor_are_refused() -> None:
    settings = with_values(load({}), prescreen={"min_trades": 29}, data={"min_days": 89})
    outcome = check_all(settings)
    assert not outcome.passed
    assert [reason.text for reason in outcome.reasons] == [
        "minimum trades: prescreen.min_trades is 29, at least 30 is needed",
        "minimum days: data.min_days is 89, at least 90 is needed",
    ]


def test_reasons_of_installation_and_data_come_together(data: Path) -> None:
    outcome = check_all(with_values(load({}), prescreen={"min_trades": 29}), data, "SHORT")
    assert [reason.text for reason in outcome.reasons] == [
        "minimum trades: prescreen.min_trades is 29, at least 30 is needed",
        "10.0 days of bars are fewer than 90",
    ]


def test_the_pipeline_gets_bars_and_report(data: Path) -> None:
    outcome = check_all(load({}), data, "SYNTHETIC")
    assert outcome.passed
    assert outcome.bars is not None
    assert outcome.report is not None
    assert (len(outcome.bars), outcome.bars.synthetic) == (outcome.report.bars, True)


def failing(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> list[str]:
    monkeypatch.setattr(mtf_resampler, name, broken)
    return [check.name for check in check_installation(load({})) if not check.passed]


def test_a_resampler_that_passes_bars_through_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake found in deployed copies: timeframe parameters that nothing ever used."""

    def lazy(open_: Any, high: Any, low: Any, close: Any, timeframe_minutes: int, **_: Any) -> Resampled:
        return Resampled(timeframe_minutes, open_, high, low, close, np.arange(len(close)))

    assert failing(monkeypatch, "resample_ohlc", lazy) == ["timeframes resampled"]


def test_a_bucket_that_is_seen_before_it_closes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = mtf_resampler.align_to_base_tf

    def early(closes_at: Any, n_base: int) -> Any:
        return honest(np.maximum(closes_at - 2, np.arange(len(closes_at))), n_base)

    assert failing(monkeypatch, "align_to_base_tf", early) == ["timeframes resampled", "no look-ahead"]


@pytest.mark.parametrize("flag", ["--help", "--check-all"])
def test_it_runs_by_path_from_anywhere(tmp_path: Path, flag: str) -> None:
    script = CHECKOUT / "WORKFLOW" / "validation.py"
    done = subprocess.run(
        [sys.executable, str(script), flag], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "example:" in done.stdout if flag == "--help" else "passed" in done.stdout


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from WORKFLOW.validation import main; main(['--help']);"
        "sys.exit(sorted({'numpy', 'pyarrow', 'numba', 'yaml', 'rich'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
