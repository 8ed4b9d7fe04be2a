"""A metric set and its JSON: whatever is on file comes back as it was, and is written as it stood there."""

import math
from pathlib import Path
from typing import Any

import pytest

from state.files import codec
from state.records.metrics import NAMES, SCREEN, STATED, Metrics, ScreenMetrics, StatedMetrics
from tests.metric_sets import metric_set

# `metrics.json` of a run of the version in which a metric set still was a dict.
ON_FILE = (Path(__file__).parent / "metrics_on_file.json").read_bytes()
WINDOWS = ("in_sample", "out_of_sample", "full")


def on_file(window: str) -> dict[str, Any]:
    return codec.decode(ON_FILE)[window]


def test_a_file_of_the_version_before_is_read_and_written_to_the_byte() -> None:
    for kind in (Metrics, StatedMetrics):
        windows = {window: kind.of_json(on_file(window)).as_json() for window in WINDOWS}
        assert codec.encode(codec.decode(ON_FILE) | windows) == ON_FILE


def test_the_names_stand_in_the_order_of_the_files() -> None:
    assert list(NAMES) == list(on_file("full"))
    assert set(SCREEN) < set(NAMES)
    assert set(STATED) < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_set_that_lacks_a_metric_is_none_of_ours(name: str) -> None:
    record = on_file("full")
    del record[name]
    with pytest.raises(TypeError, match=name):
        Metrics.of_json(record)


def test_a_set_with_an_unknown_metric_is_none_of_ours() -> None:
    with pytest.raises(TypeError, match="omega_ratio"):
        Metrics.of_json(on_file("full") | {"omega_ratio": 1.2})


def test_what_another_version_states_is_kept_in_its_order() -> None:
    record = {"omega_ratio": 1.2, **on_file("full"), "later": {"deep": [1, None]}}
    del record["exposure"]
    found = StatedMetrics.of_json(record)
    assert codec.encode(found.as_json()) == codec.encode(record)
    assert (found.sharpe_ratio, found.days) == (record["sharpe_ratio"], record["days"])


def test_nobody_changes_what_was_stated_through_a_copy_for_a_file() -> None:
    found = StatedMetrics.of_json(on_file("full"))
    found.as_json()["days"] = 0
    assert found.as_json() == on_file("full")


@pytest.mark.parametrize("name", STATED)
def test_what_readers_decide_on_must_be_there_and_a_number_or_null(name: str) -> None:
    assert getattr(StatedMetrics.of_json(on_file("full") | {name: None}), name) is None
    with pytest.raises(TypeError, match=f"{name} is 'much'"):
        StatedMetrics.of_json(on_file("full") | {name: "much"})
    record = on_file("full")
    del record[name]
    with pytest.raises(KeyError, match=name):
        StatedMetrics.of_json(record)


@pytest.mark.parametrize("record", [[1, 2], None, 3.0, "text"])
def test_what_is_no_object_states_nothing(record: Any) -> None:
    with pytest.raises(TypeError):
        StatedMetrics.of_json(record)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_file_takes_a_number_that_is_none(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.encode(metric_set(sharpe_ratio=value).as_json())


def test_the_columns_of_a_screen_are_written_in_their_order() -> None:
    assert list(ScreenMetrics(1.0, 0.5, 0.1, None, 40).as_json().items()) == [
        ("sharpe_ratio", 1.0),
        ("total_return", 0.5),
        ("max_drawdown_daily_pct", 0.1),
        ("win_rate", None),
        ("total_trades", 40),
    ]


def test_a_metric_set_is_frozen() -> None:
    with pytest.raises(AttributeError):
        metric_set().days = 3  # type: ignore[misc]
