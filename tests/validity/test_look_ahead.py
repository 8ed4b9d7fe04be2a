"""The prover finds what was planted, says how far it looked, and raises no false alarm."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import Refused
from config.settings import load
from tests.engines.builders import T0, bars_of
from tests.properties.worlds import quiet_walk, random_costs, random_market, random_rules
from tests.validity import planted
from tests.validity.planted import Planted
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines import bar_loop, reference
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.planes import Planes, pack, unpack
from WORKFLOW.engines.rules import EXECUTION, Rules
from WORKFLOW.search.space import draw, family_of
from WORKFLOW.signals.family import Family
from WORKFLOW.validation import check_all
from WORKFLOW.validity import past
from WORKFLOW.validity.certificate import Certificate
from WORKFLOW.validity.futures import FUTURES
from WORKFLOW.validity.look_ahead import ENGINES, Engine, Strategies, by_reference, prove

SEED = np.random.SeedSequence(7)
RULES = Rules(stop_loss=0.01, take_profit=0.02, trailing_stop=0.01, fee_rate=0.0005, slippage=0.0001)
REFERENCE = {"reference": Engine(by_reference, bars=400)}


def market_of(bars: int = 3_000, seed: int = 1, late: int = 3, tick: float | None = 0.01) -> Market:
    return Market.of(bars_of(quiet_walk(np.random.default_rng(seed), bars), tick, start_ms=T0 + late * BAR_MS))


def tried(family: Family, rules: Rules = RULES, cuts: int = 40, **more: object) -> Certificate:
    strategies = Strategies(family, {"one": np.array([1])}, [rules])
    return prove(market_of(), strategies, cuts, SEED, **more)


# the futures --------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), bars=st.integers(2, 200), where=st.floats(0, 1))
def test_a_future_keeps_the_past_and_changes_the_rest_into_possible_bars(seed: int, bars: int, where: float) -> None:
    random = np.random.default_rng(seed)
    market, cut = random_market(random, bars), min(int(where * bars), bars - 2)
    for kind, future in FUTURES.items():
        world = future(market, cut, random)
        for name, column in vars(market).items():
            if np.ndim(column) and len(column):
                assert getattr(world, name)[: cut + 1].tobytes() == column[: cut + 1].tobytes(), (kind, name)
        assert (world.high >= np.maximum(world.open, world.close)).all()
        assert (world.low <= np.minimum(world.open, world.close)).all()
        assert (world.low > 0).all()
        assert np.isfinite(world.high).all()
        if market.has_tick:
            assert (world.close % 1 == 0).all()
        assert len(world) == (cut + 1 if kind == "truncated" else bars)
        if kind.startswith("same open"):
            assert world.open[cut + 1] == market.open[cut + 1]


# planted in the family ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "what", "least", "most"),
    [
        (planted.one_bar_early, "side", 5, 5),
        (planted.unshifted, "side", 5, 55),
        (planted.unfinished, "side", 5, 5),
        (planted.next_open, "side", 5, 5),
        (planted.normalised, "side", 10_000, 15_000),
    ],
)
def test_a_side_that_knows_more_is_found(side: object, what: str, least: int, most: int) -> None:
    certificate = tried(Planted(side))
    found = certificate.first_difference
    assert not certificate.proven
    assert found is not None
    assert (found.what, found.engine, found.combo) == (what, None, 0)
    assert found.bar <= found.cut
    assert least <= found.minutes_ahead <= most, found


def test_an_armed_plane_that_knows_the_median_of_all_bars_is_found() -> None:
    found = tried(Planted(planted.honest, armed=planted.calm)).first_difference
    assert found is not None
    assert found.what == "armed"


def test_a_warm_up_that_depends_on_the_number_of_bars_is_found() -> None:
    found = tried(Planted(planted.honest, first=lambda market: len(market) // 10)).first_difference
    assert found is not None
    assert (found.what, found.future) == ("first_side", "truncated")


def test_one_leaking_combo_among_honest_ones_is_named() -> None:
    market = market_of()

    def planes(world: Market) -> Planes:
        side = np.array([planted.honest(world), planted.honest(world), planted.unshifted(world)])
        return Planes(pack(side), pack(np.ones((1, len(world)), dtype=np.bool_)), np.zeros(3, dtype=np.int64))

    known = planes(market)
    cuts = range(500, 900)
    found = [
        past.signals(known, planes(FUTURES["risen"](market, cut, np.random.default_rng(cut))), cut) for cut in cuts
    ]
    assert {one.combo for one in found if one} == {2}


# planted in the engine ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "account",
    [
        planted.SeesTheHighFirst,
        planted.FillsAtTheOpenOfTheEvent,
        planted.SkipsLosers,
        planted.LeavesAtTheBest,
        planted.EntersInTheMiddle,
        planted.ClosesWhereTheBarsEnd,
    ],
)
def test_an_account_that_knows_more_is_found(account: type, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tried(Planted(planted.honest), engines=REFERENCE).proven
    monkeypatch.setattr(reference, "_Account", account)
    found = tried(Planted(planted.honest), engines=REFERENCE).first_difference
    assert found is not None
    assert found.engine == "reference"
    assert found.minutes_ahead >= 5


def test_the_trailing_stop_that_uses_its_bars_own_high_is_found_by_the_price_of_a_resting_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything happens inside one bar: no later bar could show it."""
    monkeypatch.setattr(reference, "_Account", planted.SeesTheHighFirst)
    found = tried(Planted(planted.honest), Rules(trailing_stop=0.01), engines=REFERENCE).first_difference
    assert found is not None
    assert (found.what, found.bar) == ("order", found.cut + 1)
    assert found.future.startswith("same open")


def test_the_native_engine_with_signals_of_one_bar_later_is_found() -> None:
    def shifted(market: Market, planes: Planes, combo: int, rules: Rules, window: Window) -> Ledger:
        side = np.roll(unpack(planes.side, len(market)), -1, axis=1)
        return bar_loop.simulate(market, replace(planes, side=pack(side)), combo, rules, window)

    found = tried(Planted(planted.honest), engines={"native": Engine(shifted)}).first_difference
    assert found is not None
    assert (found.engine, found.minutes_ahead) == ("native", 5)


# honest -------------------------------------------------------------------------------------------------------------


def test_an_honest_family_is_proven_and_the_certificate_says_what_was_done() -> None:
    certificate = tried(Planted(planted.honest), cuts=12)
    record = certificate.as_json()
    assert (record["proven"], record["first_difference"], record["seed"]) == (True, None, [7])
    assert (record["bars"], record["combos"], record["engines"]) == (3_000, 1, ["native", "reference"])
    assert 0 < record["cuts"] <= 12
    assert record["futures"] == record["cuts"] * len(FUTURES)
    assert min(record["bits_compared"], record["trades_compared"], record["marks_compared"]) > 1_000
    assert record["tick_known_from"] == "2024-01-01T00:15:00Z"


def test_the_same_seed_gives_the_same_certificate_and_another_another() -> None:
    family = Planted(planted.unshifted)
    assert tried(family) == tried(family)
    strategies = Strategies(family, {"one": np.array([1])}, [RULES])
    other = prove(market_of(), strategies, 40, np.random.SeedSequence(8))
    assert other.first_difference != tried(family).first_difference


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), bars=st.integers(2, 300))
def test_no_false_alarm_in_wild_markets(seed: int, bars: int) -> None:
    """Gaps, jumps, ruin, funding, ties, any rules: the engines are honest, and the prover says so."""
    random = np.random.default_rng(seed)
    market, rules = random_market(random, bars), random_rules(random, random_costs(random))
    strategies = Strategies(Planted(planted.by_the_clock), {"one": np.array([1])}, [rules])
    engines = {"native": ENGINES["native"], "reference": Engine(by_reference, bars=40)}
    certificate = prove(market, strategies, 12, np.random.SeedSequence(seed), engines)
    assert certificate.proven, certificate.first_difference


@pytest.mark.parametrize("mode", ["aggressive", "breakout"])
@pytest.mark.parametrize("symbol", ["SOL", "BTC"])
def test_the_families_are_honest_on_real_bars(real_data: Path, symbol: str, mode: str) -> None:
    chosen = load({})
    bars = check_all(chosen, real_data, symbol).bars
    assert bars is not None
    market = Market.of(bars.before(200 * 288))
    family, combos = family_of(chosen.mode(mode)), draw(chosen.mode(mode), 4, np.random.SeedSequence(3))
    rules = [Rules.of(chosen.costs, {name: combos.row(i)[name] for name in EXECUTION}) for i in range(4)]
    certificate = prove(market, Strategies(family, combos.columns, rules), 12, SEED)
    assert certificate.proven, certificate.first_difference
    assert certificate.counts.trades_compared > 100


@pytest.mark.parametrize("tick", [0.01, None])
def test_few_bars_are_enough_or_refused(tick: float | None) -> None:
    strategies = Strategies(Planted(planted.by_the_clock), {"one": np.array([1])}, [RULES])
    assert prove(market_of(2, tick=tick), strategies, 5, SEED).proven
    with pytest.raises(Refused, match="1 bars have no future"):
        prove(market_of(1), strategies, 5, SEED)


def test_planes_of_a_wrong_shape_are_refused() -> None:
    """One row for two combos: an engine would read beyond it."""
    strategies = Strategies(Planted(planted.honest), {"one": np.array([1])}, [RULES, RULES])
    with pytest.raises(Refused, match=r"'planted' gives .* \(1, 47\)"):
        prove(market_of(), strategies, 5, SEED)
