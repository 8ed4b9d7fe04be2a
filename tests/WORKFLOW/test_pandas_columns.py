"""Series and DataFrames in the place of arrays: equal to the bit, and a mistake that the index shows is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.errors import Refused
from state.files.layout import CHECKOUT
from tests.WORKFLOW.test_mtf_resampler import T0, TIMEFRAMES, Columns, walk
from WORKFLOW import gpu_batch_engine
from WORKFLOW.data.load import load
from WORKFLOW.gpu_batch_engine import MtfData, gpu_prescreen, precompute_mtf_data
from WORKFLOW.mtf_resampler import Resampled, align_to_base_tf, align_to_base_tf_gpu, resample_ohlc

NAMES = ("open", "high", "low", "close")
BASE_MS = 300_000


def bars(columns: Columns, start: int = T0, zone: str | None = "UTC") -> pd.DataFrame:
    """Return bars as a person has them: columns in any spelling, one extra column, the open of each bar as index."""
    opens = pd.to_datetime(start + BASE_MS * np.arange(len(columns[0])), unit="ms", utc=True)
    index = opens.tz_localize(None) if zone is None else opens.tz_convert(zone)
    return pd.DataFrame(
        dict(zip(("Open", "HIGH", "low", " close "), columns, strict=True)) | {"volume": 1}, index=index
    )


def series_of(columns: Columns, start: int) -> list[pd.Series]:
    frame = bars(columns, start)
    return [frame[name] for name in ("Open", "HIGH", "low", " close ")]


def bits(*arrays: Any) -> list[Any]:
    return [(array.dtype.str, np.ascontiguousarray(array).tobytes()) for array in map(np.asarray, arrays)]


def of_buckets(made: Resampled) -> list[Any]:
    return bits(made.open, made.high, made.low, made.close, made.closes_at)


def of_mtf(found: dict[int, MtfData]) -> dict[int, list[Any]]:
    return {minutes: [*of_buckets(data.buckets), *bits(data.visible)] for minutes, data in found.items()}


@given(
    bars_=st.integers(0, 500),
    minutes=st.sampled_from(TIMEFRAMES),
    late=st.integers(0, 300),
    seed=st.integers(0, 2**32 - 1),
    zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York", None]),
)
def test_series_and_frames_give_what_arrays_give(bars_: int, minutes: int, late: int, seed: int, zone: Any) -> None:
    columns, start = walk(bars_, seed), T0 + late * BASE_MS
    expected = resample_ohlc(*columns, minutes, first_open_ms=start if bars_ else 0)
    assert of_buckets(resample_ohlc(*series_of(columns, start), minutes)) == of_buckets(expected)
    frame = bars(columns, start, zone)
    made = resample_ohlc(frame, timeframe_minutes=minutes)
    prices = (made[name] for name in ("Open", "HIGH", "low", " close "))
    assert bits(*prices, made["closes_at"]) == of_buckets(expected)
    opens = start + BASE_MS * (expected.closes_at + 1) - 60_000 * minutes
    assert made.index.tolist() == pd.to_datetime(opens, unit="ms", utc=True).tz_convert("UTC").tolist() or zone is None
    assert (made["known_at"] - made.index == pd.Timedelta(minutes=minutes)).all()
    assert made.index.tz == frame.index.tz
    seen = align_to_base_tf_gpu(made, frame)
    assert bits(seen) == bits(align_to_base_tf(expected.closes_at, bars_))
    assert seen.index is frame.index
    assert bits(align_to_base_tf_gpu(made["closes_at"], bars_)) == bits(seen)


@given(bars_=st.integers(0, 400), late=st.integers(0, 300), seed=st.integers(0, 2**32 - 1))
def test_many_timeframes_of_series_and_frames(bars_: int, late: int, seed: int) -> None:
    columns, start = walk(bars_, seed), T0 + late * BASE_MS
    o, h, l, c = columns
    expected = of_mtf(precompute_mtf_data(c, o, h, l, TIMEFRAMES, 5, first_open_ms=start if bars_ else 0))
    of_o, of_h, of_l, of_c = series_of(columns, start)
    assert of_mtf(precompute_mtf_data(of_c, of_o, of_h, of_l, TIMEFRAMES)) == expected
    assert of_mtf(precompute_mtf_data(bars(columns, start), timeframes=TIMEFRAMES)) == expected


@pytest.mark.parametrize("dtype", ["float64", "Float64", "float64[pyarrow]", "object", "float32"])
def test_whatever_holds_the_numbers(dtype: str) -> None:
    columns = walk(300, 5)
    frame = bars(columns).astype(dtype)
    expected = resample_ohlc(*(column.astype(np.float32) if dtype == "float32" else column for column in columns), 60)
    assert of_buckets(resample_ohlc(*(frame[name] for name in frame.columns[:4]), 60)) == of_buckets(expected)


@pytest.mark.parametrize("symbol", ["SOLUSDT", "BTCUSDT"])
def test_real_bars(real_data: Path, symbol: str) -> None:
    raw = load(real_data, symbol).only(np.arange(len(load(real_data, symbol))) < 20_000)
    columns = raw.open, raw.high, raw.low, raw.close
    frame = bars(columns, int(raw.time_ms[0]))
    o, h, l, c = columns
    expected = of_mtf(precompute_mtf_data(c, o, h, l, TIMEFRAMES, 5, first_open_ms=int(raw.time_ms[0])))
    assert of_mtf(precompute_mtf_data(frame, timeframes=TIMEFRAMES)) == expected
    for minutes in TIMEFRAMES:
        made = resample_ohlc(frame, timeframe_minutes=minutes)
        assert bits(*(made[name] for name in frame.columns[:4]), made["closes_at"]) == expected[minutes][:5]
        assert bits(align_to_base_tf_gpu(made, frame)) == expected[minutes][5:]


@given(now=st.integers(1, 300), minutes=st.sampled_from(TIMEFRAMES), seed=st.integers(0, 2**32 - 1))
def test_what_a_row_sees_was_known(now: int, minutes: int, seed: int) -> None:
    """Bars cut off behind `now` change nothing a bar before sees, and `known_at` never lies after its close."""
    frame = bars(walk(300, seed), T0 + 7 * BASE_MS)
    whole, cut = (resample_ohlc(rows, timeframe_minutes=minutes) for rows in (frame, frame[:now]))
    seen = align_to_base_tf(whole, frame)
    assert seen[:now].tolist() == align_to_base_tf(cut, frame[:now]).tolist()
    known = seen[seen >= 0]
    closes = known.index + pd.Timedelta(minutes=5)
    assert (whole["known_at"].to_numpy()[known] <= closes.to_numpy()).all()
    if len(whole):
        base = pd.DataFrame({"closes": frame.index + pd.Timedelta(minutes=5)})
        joined = pd.merge_asof(base, whole.reset_index(drop=True), left_on="closes", right_on="known_at")
        expected = [None if at < 0 else whole[" close "].iloc[at] for at in seen]
        assert [None if np.isnan(close) else close for close in joined[" close "]] == expected


def test_rows_that_only_count() -> None:
    """Without times a DataFrame is four arrays, and a bucket gets the name of its first row."""
    columns = walk(100, 4)
    frame = pd.DataFrame(dict(zip(NAMES, columns, strict=True)))
    made = resample_ohlc(frame, timeframe_minutes=60, first_open_ms=T0 + 2 * BASE_MS)
    expected = resample_ohlc(*columns, 60, first_open_ms=T0 + 2 * BASE_MS)
    assert bits(*(made[name] for name in NAMES), made["closes_at"]) == of_buckets(expected)
    assert made.index.tolist() == list(range(10, 90, 12))[: len(expected)]
    assert list(made.columns) == [*NAMES, "closes_at"]


def test_a_prescreen_gets_the_same_bars() -> None:
    columns = walk(600, 3)
    o, h, l, c = columns
    expected = gpu_batch_engine._bars(c, o, h, l, T0)
    for made in (
        gpu_batch_engine._bars(bars(columns), None, None, None, 0),
        gpu_batch_engine._bars(*(bars(columns)[name] for name in (" close ", "Open", "HIGH", "low")), 0),
    ):
        assert (made.sha256, made.tick) == (expected.sha256, expected.tick)


# refused --------------------------------------------------------------------------------------------------------------

FRAME = bars(walk(300, 5), T0)


def renamed(**names: str) -> pd.DataFrame:
    return FRAME.rename(columns={"Open": "open", "HIGH": "high", " close ": "close"}).rename(columns=names)


@pytest.mark.parametrize(
    ("frame", "said", "way_out"),
    [
        (FRAME[::-1], "the index is not sorted: 2023-01-02 00:50:00", "sort_index()"),
        (FRAME.sample(frac=1.0, random_state=1), "the index is not sorted", "sort_index()"),
        (FRAME.drop(FRAME.index[7]), "the index has gaps: 2023-01-01 00:40:00", "frames.bars"),
        (FRAME.iloc[np.repeat(np.arange(300), 2)], "holds 2023-01-01 00:00:00+00:00 twice", "duplicated()"),
        (FRAME[::12], "the bars are 60 minutes apart, not 5", "base_minutes=60"),
        (FRAME.reset_index(drop=True).drop(7), "does not count evenly: row 8 follows 6", "reset_index(drop=True)"),
        (FRAME.reset_index(drop=True)[::-1], "does not count evenly: row 298 follows 299", "DatetimeIndex"),
        (FRAME.set_index(FRAME.index.astype(str)), "neither moments nor numbers: '2023-01-01", "to_datetime"),
        (FRAME.set_index(FRAME.index + pd.Timedelta(seconds=3)), "is not on the 5-minute grid", "OPENS, in UTC"),
        (FRAME.set_index(FRAME.index.where(FRAME.index != FRAME.index[3])), "no moment at bar 3", "drop that row"),
        (FRAME.set_index(FRAME.index + pd.DateOffset(years=1000)), "a moment that is none of a market", "correct"),
        (pd.concat({"SOL": FRAME}), "the index has 2 levels", "xs('SOL'"),
        (pd.concat({"SOL": FRAME}, axis=1), "the columns have 2 levels", "level=1"),
        (renamed(open="close", close="open"), "open and close seem swapped", "rename the columns"),
        (renamed(high="low", low="high"), "contradicts bar", "rename the columns"),
        (FRAME.drop(columns="low"), "has no column low; it has Open, HIGH,  close , volume", "rename(columns="),
        (FRAME.assign(high=1.0), "high names more than one column", "alone"),
        (FRAME.assign(low=np.nan), "low is nan at bar 0", "pre-flight"),
        (FRAME.assign(low=pd.array([None] * 300, dtype="Float64")), "low is nan at bar 0", "pre-flight"),
        (FRAME.assign(low="cheap"), "low holds no prices", "one number a bar"),
        (FRAME.assign(low=FRAME.index), "low holds no prices", "one number a bar"),
    ],
)
def test_a_frame_that_cannot_be_meant(frame: pd.DataFrame, said: str, way_out: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: resample_ohlc(frame, timeframe_minutes=60),
        lambda: precompute_mtf_data(frame, timeframes=[60]),
        lambda: gpu_prescreen(frame, mode="aggressive"),
    ]
    for call in calls:
        with pytest.raises(Refused) as refusal:
            call()
        assert said in refusal.value.reason
        assert way_out in refusal.value.way_out


def test_times_that_contradict_the_index() -> None:
    with pytest.raises(Refused, match="first_open_ms is 300000, and the index begins at") as refusal:
        resample_ohlc(FRAME, timeframe_minutes=60, first_open_ms=BASE_MS)
    assert "leave first_open_ms out" in refusal.value.way_out
    told = resample_ohlc(FRAME, timeframe_minutes=60, first_open_ms=T0)
    pd.testing.assert_frame_equal(told, resample_ohlc(FRAME, timeframe_minutes=60))


def test_series_of_different_bars() -> None:
    o, h, l, c = (FRAME[name] for name in FRAME.columns[:4])
    with pytest.raises(Refused, match="open and low are Series of different bars"):
        resample_ohlc(o, h, l.shift(freq="5min"), c, 60)
    with pytest.raises(Refused, match="the index is not sorted"):
        resample_ohlc(o[::-1], h[::-1], l[::-1], c[::-1], 60)
    with pytest.raises(Refused, match="differ in length"):
        resample_ohlc(o, h, l, c.to_numpy()[:-1], 60)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: resample_ohlc(FRAME), "timeframe_minutes is missing"),
        (lambda: resample_ohlc(FRAME, 60), "timeframe_minutes is missing"),
        (lambda: resample_ohlc(FRAME, 1, 2, 3, 60), "holds all four columns, but there is also high, low, close"),
        (lambda: resample_ohlc(FRAME["Open"], FRAME, FRAME, FRAME, 60), "high is a DataFrame"),
        (lambda: resample_ohlc(FRAME["Open"], timeframe_minutes=60), "there is no high, low, close"),
        (lambda: precompute_mtf_data(FRAME), "timeframes is None"),
        (lambda: precompute_mtf_data(FRAME, FRAME["low"], timeframes=[60]), "but there is also open"),
        (lambda: gpu_prescreen(FRAME), "mode is missing"),
        (lambda: align_to_base_tf(FRAME, FRAME), "the DataFrame has no column closes_at"),
    ],
)
def test_calls_that_leave_something_open(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(Refused) as refusal:
        call()
    assert said in refusal.value.reason
    assert refusal.value.way_out


@pytest.mark.parametrize("rows", [slice(1, None), slice(12, None), slice(None, None, 2), slice(None, None, -1)])
def test_buckets_of_other_bars_are_refused(rows: slice) -> None:
    """Rows cut off since: each bucket would be seen too early or too late."""
    buckets = resample_ohlc(FRAME, timeframe_minutes=60)
    for given_ in (buckets, buckets["closes_at"]):
        with pytest.raises(Refused, match="base bars"):
            align_to_base_tf_gpu(given_, FRAME[rows])
    earlier = bars(walk(301, 5), T0 - BASE_MS)
    with pytest.raises(Refused, match="were not made of these base bars"):
        align_to_base_tf_gpu(buckets["closes_at"], earlier)
    with pytest.raises(Refused, match="were not made of these base bars"):
        align_to_base_tf_gpu(buckets["closes_at"][:1], FRAME)  # nothing says how long one bucket is


def test_later_rows_cut_off_are_no_other_bars() -> None:
    buckets = resample_ohlc(FRAME, timeframe_minutes=60)
    assert align_to_base_tf(buckets, FRAME[:30]).tolist() == align_to_base_tf(buckets, FRAME)[:30].tolist()


def test_arrays_cost_no_pandas() -> None:
    code = (
        "import sys, numpy as np\n"
        "from WORKFLOW.mtf_resampler import resample_ohlc\n"
        "close = np.arange(1.0, 25.0)\n"
        "assert len(resample_ohlc(close, close, close, close, 60)) == 2\n"
        "assert 'pandas' not in sys.modules and 'numba' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_arrays_are_not_changed_and_not_shared() -> None:
    columns = walk(60, 1)
    before = [column.copy() for column in columns]
    frame = bars(columns)
    made = resample_ohlc(frame, timeframe_minutes=15)
    made.iloc[:, :4] = 0.0
    kept: list[NDArray[np.float64]] = [frame[name].to_numpy() for name in frame.columns[:4]]
    assert bits(*kept) == bits(*before)
