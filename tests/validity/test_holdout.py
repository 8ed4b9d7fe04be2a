"""When another look at a holdout can promote nothing: with real entries in a real ledger."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from config.record import replace
from state.host.clock import SystemClock
from state.records import holdout as record
from state.records.tries import Entry, Span, TriesLedger
from WORKFLOW.data.bars import Floats
from WORKFLOW.validity import holdout
from WORKFLOW.validity.history import History
from WORKFLOW.validity.promote import holdout_luck
from WORKFLOW.validity.search.deflated import Shape, annual

DAY = 86_400_000
IN, OUT = Span(0, 511 * DAY - 300_000), Span(511 * DAY, 730 * DAY - 300_000)
CEILING, FRACTION, DAYS = 0.1, 0.3, 219


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(TriesLedger(tmp_path / "SOL.jsonl"), IN, OUT, "bt-1", SystemClock())


def returns(annual_sharpe: float, days: int = 511, seed: int = 3) -> Floats:
    """Daily returns whose Sharpe ratio is exactly this one."""
    drawn = np.random.default_rng(seed).normal(size=days)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return 0.01 * (drawn + annual_sharpe / np.sqrt(365))


def looked(history: History, times: int, since: int = 0) -> None:
    for number in range(since, since + times):
        history.looked("holdout", parameters={"n": number})


def after(history: History, *sharpes: float, before: record.Holdout | None = None) -> record.Holdout:
    left = holdout.after(history, [returns(one) for one in sharpes], DAYS, CEILING, FRACTION, before)
    assert left is not None
    return left


def test_looks_are_counted_until_nothing_in_reach_is_enough(history: History) -> None:
    looked(history, 4)
    first = after(history, 3.5, 2.0)
    assert (first.used_up, first.looks, first.days) == (False, 4, DAYS)
    looked(history, 40, since=4)
    then = after(history, 3.5, 2.0)
    assert (then.used_up, then.looks) == (True, 44)
    assert then.needed_sharpe is not None and first.needed_sharpe is not None
    assert first.needed_sharpe < 3.5 < then.needed_sharpe
    assert then.best_sharpe == pytest.approx(3.5)


def test_the_rule_is_the_gates_own_number(history: History) -> None:
    """Used up: even a strategy that goes on exactly as the best did in-sample fails `holdout_after_all_looks`."""
    looked(history, 10)
    for sharpe in (2.0, 2.8, 3.0, 3.4, 6.0):
        left = after(history, sharpe)
        luck = Shape.of(returns(sharpe)).luck(DAYS)  # type: ignore[union-attr]
        assert luck is not None
        assert left.used_up == (min(1.0, luck * (left.looks + 1)) > CEILING)
        assert left.needed_sharpe is not None
        assert left.used_up == (left.needed_sharpe > sharpe)


def test_the_needed_ratio_is_just_enough_for_the_gate(history: History) -> None:
    """With skewed days of fat tails, too: the gate's p-value of such a holdout is what the next look is allowed."""
    looked(history, 7)
    drawn = np.random.default_rng(5).standard_t(4, size=DAYS)
    drawn = drawn + 0.4 * drawn**2
    days = (drawn - drawn.mean()) / drawn.std(ddof=1)
    left = holdout.after(history, [days + 0.1], DAYS, CEILING, FRACTION)
    assert left is not None and left.needed_sharpe is not None
    luck = holdout_luck(days + left.needed_sharpe / np.sqrt(365))
    assert luck == pytest.approx(CEILING / 8, rel=1e-6)


def test_a_strategy_that_was_looked_at_never_becomes_promotable_by_more_looks(history: History) -> None:
    """The p-value stays and the number of looks only grows, so a failure after few looks stays one after many."""
    p_value, before = 0.02, 0.0
    for number in range(30):
        looked(history, 1, since=number)
        luck = min(1.0, p_value * history.count().looks)
        assert luck >= before
        before = luck


def test_what_an_earlier_round_found_counts_as_found(history: History) -> None:
    looked(history, 4)
    first = after(history, 4.0)
    then = after(history, 2.0, before=first)
    assert not then.used_up and then.best_sharpe == pytest.approx(4.0)
    assert after(history, 2.0).used_up


def test_who_chose_on_the_holdout_has_looked_with_every_try(history: History) -> None:
    looked(history, 4)
    assert not after(history, 4.0).used_up
    history.ledger.add(Entry("combos", "later", 250_000, Span(0, 600 * DAY), "prescreen", "bt-0", ""))
    assert after(history, 4.0).used_up


def test_enough_new_bars_are_a_new_holdout(history: History) -> None:
    looked(history, 50)
    left = after(history, 3.0)
    assert left.used_up
    reach = int(datetime.fromisoformat(f"{left.free_from}T00:00:00+00:00").timestamp() * 1000)
    split = int(reach * (1 - FRACTION)) // DAY * DAY  # as `job.split_of` cuts bars without holes
    fresh = replace(history, in_sample=Span(0, split - 300_000), holdout=Span(split, reach))
    assert fresh.count().looks == 0
    assert not holdout.after(fresh, [returns(3.0)], DAYS, CEILING, FRACTION).used_up  # type: ignore[union-attr]
    short = (reach - 2 * DAY) * (1 - FRACTION) // DAY * DAY
    assert replace(history, holdout=Span(int(short), reach - 2 * DAY)).count().looks > 0
    assert datetime.fromisoformat(left.free_from).replace(tzinfo=UTC).timestamp() > OUT.last_ms / 1000


def test_unknown_stops_nothing(history: History) -> None:
    looked(history, 50)
    assert holdout.after(history, [], DAYS, CEILING, FRACTION) is None
    assert holdout.after(history, [np.zeros(511)], DAYS, CEILING, FRACTION) is None


def test_no_luck_is_allowed_at_all(history: History) -> None:
    looked(history, 1)
    left = holdout.after(history, [returns(3.0)], DAYS, 0.0, FRACTION)
    assert left is not None and left.used_up and left.needed_sharpe is None
    assert "needs more than any Sharpe ratio" in record.words(record_tree(left))


def record_tree(left: record.Holdout) -> dict[str, object]:
    from config.record import asdict

    return asdict(left)


def test_words_say_what_is_needed_and_what_helps(history: History, tmp_path: Path) -> None:
    looked(history, 11)
    (tmp_path / "bars of mine").mkdir()
    bars = tmp_path / "bars of mine" / "SOL_USDT-5m.feather"
    bars.touch()
    left = holdout.told(after(history, 2.31), bars.parent, "SOL")
    said = record.words(record_tree(left))
    assert said.startswith("the holdout is used up: after 11 looks a further strategy needs a Sharpe ratio of ")
    assert said.endswith("in its 219 days, and the best found has 2.31 on the days it was chosen for")
    command = f"scripts/fetch-data --symbols SOL/USDT --data-path '{bars.parent}'"
    assert f"bars up to {left.free_from} leave a new holdout: {command}, " in record.way_out(record_tree(left))
    bars.rename(bars.with_name("SOL_5m.csv"))
    own = holdout.told(left, bars.parent, "SOL")
    assert "bring SOL_5m.csv up to date" in record.way_out(record_tree(own))
    assert record.words(record_tree(replace(left, used_up=False))) == ""
    assert annual(1.0) == pytest.approx(19.105, abs=1e-3)
