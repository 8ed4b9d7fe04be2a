"""What is kept of a step comes back to the bit, and reading it makes nothing but values."""

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from WORKFLOW.engines.ledger import TRADE, Ledger
from WORKFLOW.steps import exact
from WORKFLOW.validity.bands import Bands
from WORKFLOW.validity.plateau import Grid, Plateau, PlateauSummary

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(st.text(), st.lists(st.lists(inner))).map(lambda pair: Grid(pair[0], "y", pair[1]))
    ),
)


@given(values)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    assert repr(exact.decode(exact.encode(value))) == repr(value)


@given(st.sampled_from(["<f8", "<i8", "|i1", "|b1", "<u8"]), st.lists(st.integers(0, 3), max_size=3), st.binary())
def test_arrays_come_back_to_the_bit(dtype: str, shape: list[int], noise: bytes) -> None:
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    data = (noise * (size // max(len(noise), 1) + 1))[:size].ljust(size, b"\xff")
    array = np.frombuffer(data, dtype).reshape(shape)
    back = exact.decode(exact.encode({"a": array, "b": array.T}))
    assert (back["a"].dtype, back["a"].shape, back["a"].tobytes()) == (array.dtype, array.shape, data)
    assert back["b"].tobytes() == array.T.tobytes()
    assert back["a"].flags.writeable


def test_records_and_trades_come_back() -> None:
    trades = np.zeros(2, TRADE)
    trades["net_pnl_pct"] = (0.1, np.nan)
    ledger = Ledger(trades, np.array([1.0, -0.0]), 3, 4, 1e300, 0, ruined=False)
    back = exact.decode(exact.encode(ledger))
    assert (type(back), back.trades.dtype, back.trades.tobytes()) == (Ledger, TRADE, trades.tobytes())
    assert (back.equity.tobytes(), back.entries, back.ruined) == (ledger.equity.tobytes(), 3, False)
    plateau = Plateau(
        {"a": 1},
        None,
        PlateauSummary(5, 4, 0, Bands(), 0.1, None, 1),
        {"a": (1, 2.5, "x")},
        ("a",),
        (Grid("a", "b", [[None, 1.0]]),),
    )
    assert exact.decode(exact.encode(plateau)) == plateau
    assert exact.encode(np.float64(0.1)) != exact.encode(0.1)
    assert type(exact.decode(exact.encode(np.float64(0.1)))) is np.float64


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", np.array([object()]), TRADE, 1j])
def test_what_is_not_known_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        exact.encode([value])


def tampered(**head: Any) -> bytes:
    return json.dumps({"value": 1, "arrays": [], **head}).encode() + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}\n",
        b"[]\n",
        pickle.dumps(1),
        tampered(value={"record": ["Path", "/tmp"]}),
        tampered(value={"record": ["Grid", "x"]}),
        tampered(value={"call": "os.system"}),
        tampered(value={"array": 0}),
        tampered(value={"tuple": 3}),
        tampered(value={"a": 1, "b": 2}),
        tampered(arrays=[{"dtype": "|O", "shape": [1]}]) + b"12345678",
        tampered(arrays=[{"dtype": "<f8", "shape": [2]}]) + b"12345678",
        tampered(arrays=[{"dtype": "<f8", "shape": [-1]}]) + b"12345678",
        tampered(arrays=[{"dtype": "<f8", "shape": [10**12]}]),
        tampered() + b"more",
    ],
)
def test_what_encode_has_not_made_is_no_value(data: bytes) -> None:
    with pytest.raises(ValueError):
        exact.decode(data)
