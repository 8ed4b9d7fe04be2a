"""Draws from a parameter space: seeded, inside, on the grid, never invalid; and combos that survive as plain rows."""

from collections.abc import Mapping

import numpy as np
import pytest

from config.errors import Refused
from config.modes import Choice, Dimension, Mode, Range
from config.settings import load
from WORKFLOW.engines.rules import DIRECTIONS
from WORKFLOW.search.space import Combos, draw, family_of, on_grid
from WORKFLOW.signals.mtf_ema import MTF_EMA

SPACE: Mapping[str, Dimension] = {
    "fast_timeframe": Choice((15, 60)),
    "fast_period": Range(3, 9, 1),
    "slow_timeframe": Choice((15, 60)),
    "slow_period": Range(4, 10, 2),
    "direction": Choice(("both", "short_only")),
    "stop_loss": Range(0.005, 0.05, 0.0001),
    "take_profit": Range(0.01, 0.15, 0.0001),
    "trailing_stop": Choice((0.0, 0.02)),
    "max_bars": Choice((0, 2016)),
}


def mode(**changes: Dimension) -> Mode:
    return Mode(name="test", family="mtf_ema", space={**SPACE, **changes})


def same(a: Combos, b: Combos) -> bool:
    return a.columns.keys() == b.columns.keys() and all(
        (a.columns[name] == b.columns[name]).all() and a.columns[name].dtype == b.columns[name].dtype
        for name in a.columns
    )


def test_the_same_seed_draws_the_same() -> None:
    assert same(draw(mode(), 500, np.random.SeedSequence(7)), draw(mode(), 500, np.random.SeedSequence(7)))


def test_another_seed_draws_something_else() -> None:
    assert not same(draw(mode(), 500, np.random.SeedSequence(7)), draw(mode(), 500, np.random.SeedSequence(8)))


def test_a_draw_is_columns_not_rows() -> None:
    """Every column is one array; 50,000 combos come in one go."""
    combos = draw(mode(), 50_000, np.random.SeedSequence(1))
    assert len(combos) == 50_000
    assert {column.shape for column in combos.columns.values()} == {(50_000,)}
    assert list(combos.columns) == list(SPACE)


@pytest.mark.parametrize("name", ["conservative", "balanced", "aggressive"])
def test_draws_lie_in_the_space_and_on_its_grid_and_mean_something(name: str) -> None:
    chosen = load(environment={}).mode(name)
    combos = draw(chosen, 5_000, np.random.SeedSequence(3))
    assert MTF_EMA.valid(combos.columns).all()
    for parameter, dimension in chosen.space.items():
        values = combos.columns[parameter]
        if isinstance(dimension, Choice):
            allowed = [DIRECTIONS.index(v) if isinstance(v, str) else v for v in dimension.values]
            assert set(values.tolist()) == set(allowed), parameter
            continue
        # On the grid to the bit: the decimal number itself, not `low + i * step` with its float noise.
        grid = {round(dimension.low + i * dimension.step, 10) for i in range(dimension.size)}
        assert set(values.tolist()) <= grid, parameter
        assert values.dtype == (np.int64 if dimension.is_integer else np.float64), parameter


def test_both_ends_of_a_range_are_drawn_and_evenly() -> None:
    """Stops of 1, 2 and 3 %: a third each."""
    combos = draw(mode(stop_loss=Range(0.01, 0.03, 0.01)), 6_000, np.random.SeedSequence(5))
    values, counts = np.unique(combos.columns["stop_loss"], return_counts=True)
    assert values.tolist() == [0.01, 0.02, 0.03]
    assert (abs(counts - 2_000) < 200).all()


def test_invalid_draws_are_drawn_again() -> None:
    """Equal timeframes are not avoided: they come, with a faster fast period."""
    combos = draw(mode(), 2_000, np.random.SeedSequence(9))
    equal = combos.columns["fast_timeframe"] == combos.columns["slow_timeframe"]
    assert equal.any()
    assert (combos.columns["fast_period"] < combos.columns["slow_period"])[equal].all()
    assert (combos.columns["fast_timeframe"] <= combos.columns["slow_timeframe"]).all()


def test_a_space_without_valid_combos_is_refused() -> None:
    hopeless = mode(fast_timeframe=Choice((120,)), slow_timeframe=Choice((60,)))
    with pytest.raises(Refused, match="hardly any combo"):
        draw(hopeless, 10, np.random.SeedSequence(1))


# rows ----------------------------------------------------------------------------------------------------------------


def test_combos_survive_being_plain_rows() -> None:
    combos = draw(mode(), 50, np.random.SeedSequence(2))
    rows = [combos.row(i) for i in range(50)]
    assert same(Combos.of(rows), combos)
    assert [Combos.of([row]).row(0) for row in rows] == rows


def test_a_row_is_plain_values_with_the_direction_by_name() -> None:
    row = draw(mode(direction=Choice(("short_only",))), 1, np.random.SeedSequence(2)).row(0)
    assert row["direction"] == "short_only"
    assert {name: type(value) for name, value in row.items()} == {
        "fast_timeframe": int,
        "fast_period": int,
        "slow_timeframe": int,
        "slow_period": int,
        "direction": str,
        "stop_loss": float,
        "take_profit": float,
        "trailing_stop": float,
        "max_bars": int,
    }


def test_slices_of_combos() -> None:
    combos = draw(mode(), 20, np.random.SeedSequence(2))
    assert [combos[5:9].row(i) for i in range(4)] == [combos.row(i) for i in range(5, 9)]
    assert combos[np.array([7, 3])].row(1) == combos.row(3)


def test_executions_are_the_rows_that_the_engine_reads() -> None:
    """Stop, limit, trail, max_bars, direction (its place in `DIRECTIONS`)."""
    row = {"direction": "short_only", "stop_loss": 0.01, "take_profit": 0.02, "trailing_stop": 0.03, "max_bars": 4}
    assert Combos.of([{"fast_period": 3, **row}]).executions().table.tolist() == [[0.01, 0.02, 0.03, 4.0, 2.0]]


def test_on_grid_removes_float_noise() -> None:
    assert on_grid(0.005 + 3 * 0.0001) == 0.0053
    assert (on_grid(7), on_grid("both")) == (7, "both")


# spaces that do not fit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Mode("m", "nonsense", SPACE), "unknown family 'nonsense'"),
        (Mode("m", "mtf_ema", {k: v for k, v in SPACE.items() if k != "stop_loss"}), "stop_loss"),
        (Mode("m", "mtf_ema", {**SPACE, "colour": Choice((1,))}), "colour"),
        (Mode("m", "mtf_ema", {**SPACE, "direction": Choice(("up",))}), "direction"),
        (Mode("m", "mtf_ema", {**SPACE, "direction": Range(0, 2, 1)}), "direction"),
    ],
)
def test_a_space_that_does_not_fit_its_family_is_refused(broken: Mode, said: str) -> None:
    with pytest.raises(Refused, match=said):
        family_of(broken)


@pytest.mark.parametrize(
    ("name", "dimension"),
    [
        ("fast_period", Choice((0,))),
        ("fast_period", Choice((-5, 3))),
        ("fast_period", Choice((3.5,))),
        ("fast_period", Choice(("a",))),
        ("fast_period", Range(3, 10**20, 1)),
        ("fast_period", Range(3.0, 9.0, 0.5)),
        ("fast_timeframe", Choice((2880,))),
        ("stop_loss", Choice((-0.5,))),
        ("stop_loss", Choice((2.0,))),
        ("stop_loss", Choice((0.01, "long_only"))),
        ("max_bars", Choice((-3,))),
        ("max_bars", Choice((1.5,))),
        ("direction", Choice(("sideways",))),
    ],
)
def test_values_that_mean_nothing_are_refused(name: str, dimension: Choice | Range) -> None:
    mode = load({}).modes["aggressive"]
    with pytest.raises(Refused, match=name):
        family_of(Mode(mode.name, mode.family, {**mode.space, name: dimension}))


def test_every_mode_of_the_defaults_fits_its_family() -> None:
    for mode in load({}).modes.values():
        assert family_of(mode).name == mode.family
