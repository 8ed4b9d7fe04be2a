import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.errors import Refused
from state.files.layout import CHECKOUT
from WORKFLOW.mtf_resampler import Resampled, align_to_base_tf, align_to_base_tf_gpu, refuse_swapped, resample_ohlc

Columns = tuple[NDArray[np.float64], ...]
TIMEFRAMES = (5, 15, 30, 45, 60, 120, 240, 360, 1440)
T0 = 1_672_531_200_000  # 2023-01-01 00:00 UTC


def walk(bars: int, seed: int) -> Columns:
    """Open, high, low, close of a walk in cents in which every open repeats the last close."""
    draw = np.random.default_rng(seed)
    close = 100 + np.cumsum(draw.integers(-5, 6, bars)) / 100
    open_ = np.concatenate([[100.0], close[:-1]])[:bars]
    up, down = draw.integers(0, 4, (2, bars)) / 100
    return open_, np.maximum(open_, close) + up, np.minimum(open_, close) - down, close


def plain_loop(columns: Columns, minutes: int, first_open_ms: int) -> list[tuple[int, float, float, float, float]]:
    """(closing bar, open, high, low, close) of every finished bucket, by the clock alone."""
    found, bucket = [], []
    for bar, ohlc in enumerate(zip(*columns, strict=True)):
        minute = first_open_ms // 60_000 + 5 * bar
        if minute % minutes == 0:
            bucket = [ohlc]
        elif bucket:
            bucket.append(ohlc)
        if bucket and (minute + 5) % minutes == 0:
            found.append((bar, bucket[0][0], max(b[1] for b in bucket), min(b[2] for b in bucket), ohlc[3]))
    return found


def buckets(made: Resampled) -> list[tuple[int, float, float, float, float]]:
    columns = (made.closes_at, made.open, made.high, made.low, made.close)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_an_hour_by_hand() -> None:
    """Bars open at 00:55, 01:00 … 02:05: one hour is whole, one began before bar 0, one is unfinished."""
    bars = 15
    close = np.arange(1.0, bars + 1)
    made = resample_ohlc(close, close + 0.5, close - 0.5, close, 60, 5, first_open_ms=T0 + 55 * 60_000)
    assert buckets(made) == [(12, 2.0, 13.5, 1.5, 13.0)]
    assert align_to_base_tf(made.closes_at, bars).tolist() == [-1] * 12 + [0] * 3


@given(
    bars=st.integers(0, 700),
    minutes=st.sampled_from(TIMEFRAMES),
    late=st.integers(0, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_resample_and_align_equal_a_plain_loop(bars: int, minutes: int, late: int, seed: int) -> None:
    columns, start = walk(bars, seed), T0 + late * 300_000
    made = resample_ohlc(*columns, minutes, first_open_ms=start)
    expected = plain_loop(columns, minutes, start)
    assert buckets(made) == expected
    closing = [bucket[0] for bucket in expected]
    seen = align_to_base_tf(made.closes_at, bars)
    assert seen.tolist() == [sum(at <= bar for at in closing) - 1 for bar in range(bars)]
    assert seen.dtype == np.int32


@given(
    bars=st.integers(1, 500),
    minutes=st.sampled_from(TIMEFRAMES),
    late=st.integers(0, 300),
    data=st.data(),
)
def test_later_bars_never_change_what_was_visible(bars: int, minutes: int, late: int, data: st.DataObject) -> None:
    now, start = data.draw(st.integers(1, bars)), T0 + late * 300_000
    columns = walk(bars, 1)
    changed = tuple(np.concatenate([a[:now], 3 * b[now:]]) for a, b in zip(columns, walk(bars, 2), strict=True))
    cut = tuple(column[:now] for column in columns)
    views = []
    for version in (columns, changed, cut):
        made = resample_ohlc(*version, minutes, first_open_ms=start)
        seen = align_to_base_tf(made.closes_at, len(version[0]))[:now]
        views.append([None if at < 0 else buckets(made)[at] for at in seen])
    assert views[0] == views[1] == views[2]


def test_the_name_that_deployed_scripts_import_gives_the_same() -> None:
    closes_at = np.array([2, 5, 8])
    assert (align_to_base_tf_gpu(closes_at, 10) == align_to_base_tf(closes_at, 10)).all()


def test_real_resampling_has_fewer_values_than_bars() -> None:
    assert [len(resample_ohlc(*walk(288, 4), minutes)) for minutes in (15, 60, 360)] == [96, 24, 4]


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2), (3, 2, 1, 0), (1, 2, 0, 3)])
def test_swapped_columns_are_refused(order: tuple[int, ...]) -> None:
    columns = walk(300, 5)
    with pytest.raises(Refused, match="seem swapped"):
        resample_ohlc(*(columns[at] for at in order), 60)


def test_open_and_close_swapped_are_refused() -> None:
    """High and low cannot tell: that an open follows the close before it can."""
    open_, high, low, close = walk(300, 5)
    with pytest.raises(Refused, match="open and close seem swapped"):
        resample_ohlc(close, high, low, open_, 60)


@pytest.mark.parametrize(
    ("bar", "name"),
    [
        ((5, 9, 6, 7), "low"),
        ((7, 9, 6, 5), "low"),
        ((9, 8, 4, 5), "high"),
        ((5, 8, 4, 9), "high"),
        ((5, 4, 6, 5), "high"),
    ],
)
def test_each_contradiction_inside_a_bar_is_found(bar: tuple[float, ...], name: str) -> None:
    with pytest.raises(Refused, match=f"{name} contradicts bar 1"):
        refuse_swapped(*([5.0, value] for value in bar))


@given(st.integers(0, 2**32 - 1))
def test_honest_bars_are_never_taken_for_swapped(seed: int) -> None:
    """Even where an open has nothing to do with the last close."""
    refuse_swapped(*walk(300, seed))
    draw = np.random.default_rng(seed)
    open_, close = draw.uniform(1, 2, (2, 300))
    refuse_swapped(open_, np.maximum(open_, close), np.minimum(open_, close), close)


@pytest.mark.parametrize("name", range(4))
def test_nan_is_refused(name: int) -> None:
    columns = [column.copy() for column in walk(20, 6)]
    columns[name][3] = np.nan
    with pytest.raises(Refused, match="nan at bar 3"):
        resample_ohlc(*columns, 15)


def test_unequal_lengths_and_tables_are_refused() -> None:
    open_, high, low, close = walk(20, 6)
    with pytest.raises(Refused, match="differ in length"):
        resample_ohlc(open_, high, low, close[:-1], 15)
    with pytest.raises(Refused, match="2 dimensions"):
        resample_ohlc(np.ones((2, 2)), high, low, close, 15)


@pytest.mark.parametrize("minutes", [0, -15, 7, 25, 50, 2880])
def test_timeframes_that_do_not_fit_are_refused(minutes: int) -> None:
    with pytest.raises(Refused, match="cannot be made from 5-minute bars"):
        resample_ohlc(*walk(20, 6), minutes)


def test_a_first_bar_beside_the_grid_is_refused() -> None:
    with pytest.raises(Refused, match="not on the 5-minute grid"):
        resample_ohlc(*walk(20, 6), 15, first_open_ms=T0 + 1)


@pytest.mark.parametrize("closes_at", [[3, 3], [5, 2], [-1, 4]])
def test_closing_bars_that_do_not_rise_are_refused(closes_at: list[int]) -> None:
    with pytest.raises(Refused, match="does not rise"):
        align_to_base_tf(closes_at, 10)


@pytest.mark.parametrize("name", ["mtf_resampler", "gpu_batch_engine"])
def test_a_file_that_was_copied_alone_says_in_one_line_what_else_to_copy(tmp_path: Path, name: str) -> None:
    shutil.copy(CHECKOUT / "WORKFLOW" / f"{name}.py", tmp_path)
    command = [sys.executable, "-c", f"import {name}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    said = f"ImportError: {tmp_path / name}.py was copied without its checkout: copy the whole checkout"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, said), done.stderr
