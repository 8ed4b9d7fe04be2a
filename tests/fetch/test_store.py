"""The file of one market: what may stand in it, what else is taken over, and whose it is."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.feather
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import Refused
from scripts.fetch.store import NOTHING, CandleSpan, HeldCandles, Store, candles_of, merged
from tests.fetch.binance import STEPS, T0

STEP = STEPS["5m"]
ROWS = [[T0 + at * STEP, 1.0, 2.0, 0.5, 1.5, 3.0] for at in range(4)]


def store_in(folder: Path, exchange: str = "binance", market: str = "SOL/USDT") -> Store:
    return Store.of(folder, exchange, market, "5m")


@pytest.mark.parametrize(
    ("market", "name"),
    [
        ("SOL/USDT", "SOL_USDT-5m.feather"),
        ("SOL/USDT:USDT", "futures/SOL_USDT_USDT-5m-futures.feather"),
        ("1000SHIB/USD.X", "1000SHIB_USD_X-5m.feather"),
    ],
)
def test_files_are_called_as_freqtrade_calls_them(tmp_path: Path, market: str, name: str) -> None:
    assert store_in(tmp_path, market=market).path == tmp_path / name


def test_pandas_reads_it_as_freqtrade_does(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.write(NOTHING.adding([candles_of(ROWS)], CandleSpan(T0, T0 + 4 * STEP)))
    frame = pd.read_feather(store.path)
    assert list(frame.columns) == ["date", "open", "high", "low", "close", "volume"]
    assert str(frame["date"].dtype) == "datetime64[ms, UTC]"
    assert frame["close"].tolist() == [1.5] * 4
    held = store.held()
    assert (held.candles.tolist(), held.asked) == (candles_of(ROWS).tolist(), (CandleSpan(T0, T0 + 4 * STEP),))
    assert [path.name for path in tmp_path.iterdir()] == ["SOL_USDT-5m.feather"]


def test_a_file_of_freqtrades_is_gone_on_with(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["date", "open", "high", "low", "close", "volume"])
    frame["date"] = pd.to_datetime(frame["date"], unit="ms", utc=True)
    store = store_in(tmp_path)
    frame.to_feather(store.path, compression_level=9, compression="lz4")
    held = store.held()
    assert held.asked == (CandleSpan(T0, T0 + 4 * STEP),)
    assert held.missing(CandleSpan(T0 - STEP, T0 + 6 * STEP)) == [
        CandleSpan(T0 - STEP, T0),
        CandleSpan(T0 + 4 * STEP, T0 + 6 * STEP),
    ]


def test_bars_of_two_exchanges_are_never_mixed(tmp_path: Path) -> None:
    store_in(tmp_path).write(NOTHING.adding([candles_of(ROWS)], CandleSpan(T0, T0 + 4 * STEP)))
    with pytest.raises(Refused, match=r"holds SOL/USDT of binance, not SOL/USDT of kraken"):
        store_in(tmp_path, "kraken").held()


@pytest.mark.parametrize("rows", [ROWS[::-1], [*ROWS, ROWS[-1]], [[T0 + 1, *ROWS[0][1:]]]])
def test_a_file_that_is_not_in_order_is_left_alone(tmp_path: Path, rows: list[list[float]]) -> None:
    store = store_in(tmp_path)
    candles = np.concatenate([candles_of([row]) for row in rows])
    store.write(HeldCandles(candles, ()))
    with pytest.raises(Refused, match="does not hold 5m candles in order of time"):
        store.held()


def test_a_broken_file_is_refused_and_not_overwritten(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.path.write_bytes(b"half a download")
    with pytest.raises(Refused, match="not a valid Feather file") as refusal:
        store.held()
    assert "move that file away" in refusal.value.way_out  # to download it again is what was just tried


@pytest.mark.parametrize("label", [b"{", b"[]", b'{"exchange": "binance", "market": "SOL/USDT", "asked": [[1]]}'])
def test_a_label_that_is_no_label_of_this_version_is_refused(tmp_path: Path, label: bytes) -> None:
    store = store_in(tmp_path)
    store.write(NOTHING.adding([candles_of(ROWS)], CandleSpan(T0, T0 + 4 * STEP)))
    table = pyarrow.feather.read_table(str(store.path), memory_map=False)
    pyarrow.feather.write_feather(
        table.replace_schema_metadata({b"backtest-optimize": label}), str(store.path), compression="lz4"
    )
    with pytest.raises(Refused, match="was written by another version, or its label is damaged"):
        store.held()


def test_what_is_on_file_stays_when_the_exchange_sends_it_again_otherwise() -> None:
    held = NOTHING.adding([candles_of(ROWS[:2])], CandleSpan(T0, T0 + 2 * STEP))
    other = [[row[0], 9.0, 9.0, 9.0, 9.0, 9.0] for row in ROWS]
    both = held.adding([candles_of(other)], CandleSpan(T0, T0 + 4 * STEP))
    assert both.candles["close"].tolist() == [1.5, 1.5, 9.0, 9.0]


SPANS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 10)).map(lambda s: CandleSpan(s[0], s[0] + s[1])), max_size=6
)


def moments(spans: Iterable[CandleSpan]) -> set[int]:
    return {at for span in spans for at in range(span.first_ms, span.end_ms)}


@given(SPANS, SPANS)
def test_what_is_missing_is_what_nobody_asked_about(asked: list[CandleSpan], wanted: list[CandleSpan]) -> None:
    held = HeldCandles(NOTHING.candles, merged(asked))
    assert moments(held.asked) == moments(asked)
    for span in wanted:
        gaps = held.missing(span)
        assert moments(gaps) == moments([span]) - moments(asked)
        assert gaps == sorted(gaps, key=lambda gap: gap.first_ms)
