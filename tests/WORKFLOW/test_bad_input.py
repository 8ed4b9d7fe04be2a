"""Bad input as a person types it: exit code 1, one line that names the value and one that names the way out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from config.settings import load
from tests.WORKFLOW.pipeline import SMALL, run
from WORKFLOW.command_line import order_from, parser
from WORKFLOW.data.generate import demo_rows, write_demo
from WORKFLOW.engines.market import Window
from WORKFLOW.optimize_strategy import main
from WORKFLOW.validity.walk_forward import steps

SPACE = """
modes:
  odd:
    family: mtf_ema
    space:
      fast_timeframe: [60]
      fast_period: {{low: {fast}, high: {fast}, step: 1}}
      slow_timeframe: [{slow_timeframe}]
      slow_period: {{low: {slow}, high: {slow}, step: 1}}
      direction: [both]
      stop_loss: [0.01, 0.02]
      take_profit: [0.01, 0.02]
      trailing_stop: [0.0]
      max_bars: [0]
"""
Typed = Callable[..., tuple[int, str]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Exit code and standard error of the command, its results going to an empty folder."""
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))

    def run_it(*arguments: str) -> tuple[int, str]:
        code = main(list(arguments))
        return code, capsys.readouterr().err

    return run_it


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("data"), days=91)


def csv(folder: Path, rows: np.ndarray, nan: bool = False) -> Path:
    lines = [",".join(map(str, row.item()[:6])) for row in rows]
    if nan:
        lines[100] = lines[100].replace(",", ",nan,", 1).rsplit(",", 1)[0]
    path = folder / "SOL.csv"
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]))
    return path


@pytest.mark.parametrize(
    ("rows", "nan", "said"),
    [
        (0, False, "has a header but no rows"),
        (1, False, "0.0 days of bars are fewer than 90"),
        (91 * 288, True, "open is no finite number in 1 row: row 101 (2024-10-02 08:20 UTC): nan"),
    ],
)
def test_bars_that_are_none(tmp_path: Path, typed: Typed, rows: int, nan: bool, said: str) -> None:
    path = csv(tmp_path, demo_rows(91)[:rows], nan)
    code, text = typed("--symbol", "SOL", "--data-path", str(path))
    assert code == 1
    assert said in text
    assert "  → " in text
    assert "Traceback" not in text
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("number", ["0", "-5", "10000001"])
def test_a_prescreen_outside_its_limits(typed: Typed, bars: Path, number: str) -> None:
    code, text = typed("--symbol", "SYNTHETIC", "--data-path", str(bars), "--prescreen", number)
    assert code == 1
    assert text == f"error: prescreen.combos is {number}\n  → it takes 1 to 10000000\n"


def test_the_largest_prescreen_is_taken() -> None:
    words = ["--symbol", "SOL", "--data-path", "x", "--prescreen", "10000000"]
    assert order_from(parser("p").parse_args(words)).settings.prescreen.combos == 10_000_000


def test_a_prescreen_that_is_no_number(typed: Typed, bars: Path) -> None:
    code, text = typed("--symbol", "SYNTHETIC", "--data-path", str(bars), "--prescreen", "many")
    assert code == 2
    assert "argument --prescreen: invalid int value: 'many'" in text


def test_a_space_in_which_fast_is_never_faster_is_refused_before_anything_is_written(
    tmp_path: Path, typed: Typed, bars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.yaml").write_text(SPACE.format(fast=50, slow=20, slow_timeframe=60))
    monkeypatch.setenv("BACKTEST_OPTIMIZE_CONFIG", str(tmp_path / "odd.yaml"))
    code, text = typed("--symbol", "SYNTHETIC", "--data-path", str(bars), "--mode", "odd")
    assert code == 1
    assert "of the space of mode 'odd' hardly any combo is valid" in text
    assert "  → " in text
    assert not (tmp_path / "results").exists()


def test_more_walk_forward_windows_than_days_are_refused_before_the_search(
    tmp_path: Path, typed: Typed, bars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKTEST_OPTIMIZE__WALK_FORWARD__WINDOWS", "100")
    code, text = typed("--symbol", "SYNTHETIC", "--data-path", str(bars))
    assert code == 1
    assert "63 in-sample days are too few for 100 walk-forward windows after 3 of training" in text
    assert "lower walk_forward.windows + walk_forward.train_to_test from 103" in text
    assert not (tmp_path / "results").exists()
    settings = load({}).walk_forward
    day = 288
    assert len(steps(Window(0, (settings.windows + settings.train_to_test) * day), settings, "rolling")[0].test) == day


@pytest.mark.parametrize(("fast", "slow"), [(3, 200), (3, 9_000)], ids=["150 days", "years"])
def test_indicators_that_never_get_warm_are_the_reason_that_is_named(
    tmp_path: Path, bars: Path, fast: int, slow: int
) -> None:
    """3 × 200 buckets of six hours are 150 days; the in-sample part has 63."""
    (tmp_path / "odd.yaml").write_text(SPACE.format(fast=fast, slow=slow, slow_timeframe=360))
    settings = {"BACKTEST_OPTIMIZE_CONFIG": str(tmp_path / "odd.yaml")}
    done = run(tmp_path / "r", *SMALL, "--mode", "odd", "--data-path", str(bars), environment=settings)
    assert done.returncode == 0, done.stderr
    line = " ".join(done.stdout.split())
    assert "(the most: 0): no trial had a signal, the indicators take longer than 63 in-sample days to warm up" in line
    assert "take shorter periods or give more bars" in line
