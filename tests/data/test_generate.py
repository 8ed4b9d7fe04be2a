from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from config.settings import load
from WORKFLOW.data import generate
from WORKFLOW.data.bars import BARS_PER_DAY
from WORKFLOW.data.check import preflight
from WORKFLOW.data.find import find
from WORKFLOW.data.generate import DEMO_FILE, END_MS, HALT_FLAT_BARS, HALT_MISSING_BARS, demo_rows, write_demo
from WORKFLOW.data.load import read
from WORKFLOW.data.report import Report


@pytest.fixture(scope="module")
def rows() -> NDArray[np.void]:
    return demo_rows(200, seed=11)


def test_one_seed_one_market() -> None:
    assert demo_rows(5, 1).tobytes() == demo_rows(5, 1).tobytes()
    assert demo_rows(5, 1).tobytes() != demo_rows(5, 2).tobytes()


def test_the_file_passes_pre_flight_labelled_synthetic(tmp_path: Path) -> None:
    path = write_demo(tmp_path, days=120)
    assert path.name == DEMO_FILE
    bars, report = preflight(read(find(tmp_path, "SYNTHETIC"), "SYNTHETIC"), load({}).data)
    assert (bars.synthetic, bars.tick, len(bars)) == (True, 0.01, 120 * BARS_PER_DAY)
    assert [span.bars for span in report.filled] == [HALT_MISSING_BARS]
    assert HALT_FLAT_BARS in [span.bars for span in report.halts]
    assert not [note for note in report.notes if "jump" in note]
    assert isinstance(report, Report)
    assert int(bars.rows["time_ms"][-1]) + 300_000 == END_MS


def test_synthetic_travels_in_the_file_not_only_in_the_symbol(tmp_path: Path) -> None:
    assert read(write_demo(tmp_path, days=2), "SOL").synthetic


def test_it_is_written_once_and_the_bytes_depend_on_the_seed_alone(tmp_path: Path) -> None:
    path = write_demo(tmp_path / "a", days=3)
    first = path.stat()
    assert write_demo(tmp_path / "a", days=3).stat().st_ino == first.st_ino
    assert write_demo(tmp_path / "b", days=3).read_bytes() == path.read_bytes()
    assert write_demo(tmp_path / "a", days=3, seed=8).stat().st_ino != first.st_ino


def test_a_new_generator_or_a_broken_file_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_demo(tmp_path, days=3)
    good = path.read_bytes()
    path.write_bytes(good[:1000])
    assert write_demo(tmp_path, days=3).read_bytes() == good
    monkeypatch.setattr(generate, "GENERATOR_VERSION", "next")
    assert write_demo(tmp_path, days=3).read_bytes() != good
    assert [entry.name for entry in tmp_path.iterdir()] == [DEMO_FILE]


def test_it_holds_what_real_bars_hold(rows: NDArray[np.void]) -> None:
    flat = rows["high"] == rows["low"]
    gap = rows["open"][1:] != rows["close"][:-1]
    change = np.diff(np.log(rows["close"]))
    assert flat.sum() > 100
    assert (rows["volume"] == 0).sum() > HALT_FLAT_BARS
    assert 0.1 < gap.mean() < 0.4
    assert (np.diff(rows["close"]) == 0).mean() > 0.01
    assert (np.diff(rows["open"]) == 0).mean() > 0.01
    assert np.corrcoef(np.abs(change), rows["volume"][1:])[0, 1] > 0.3
    assert np.sum(np.abs(np.log(rows["close"] / rows["open"])) > 0.05) >= 2  # the planted jumps


def test_tails_are_fat_beyond_what_changing_volatility_gives(rows: NDArray[np.void]) -> None:
    """Against the volatility of the day around, a normal draw passes six deviations in 2 bars of 10,000, this in 17."""
    square = np.log(rows["close"] / rows["open"]) ** 2
    around = np.convolve(np.minimum(square, np.quantile(square, 0.99)), np.ones(BARS_PER_DAY) / BARS_PER_DAY, "same")
    assert np.mean(square > 36 * around) > 8e-4


def test_volatility_comes_in_regimes_and_follows_the_day(rows: NDArray[np.void]) -> None:
    change = np.abs(np.diff(np.log(rows["close"])))
    lately, now = (change[a : len(change) - BARS_PER_DAY + a].copy() for a in (0, 12))
    assert np.corrcoef(np.minimum(lately, 0.01), np.minimum(now, 0.01))[0, 1] > 0.1
    hour = rows["time_ms"][1:] // 3_600_000 % 24
    assert np.median(change[(hour >= 13) & (hour < 17)]) > 1.3 * np.median(change[(hour >= 1) & (hour < 5)])


def test_short_runs_have_no_halt() -> None:
    assert len(demo_rows(1)) == BARS_PER_DAY
