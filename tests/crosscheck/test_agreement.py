import numpy as np
import pytest

from WORKFLOW.crosscheck.agreement import FILL, Agreement, Fills, compare, fills_of
from WORKFLOW.engines.ledger import TRADE, Ledger


def fills(*rows: tuple[float, ...]) -> Fills:
    return np.array(list(rows), dtype=FILL)


LONG = (1, 10, 20, 100.0, 110.0, 9.9)
SHORT = (-1, 20, 25, 110.0, 105.0, 4.9)


def test_equal_trades_agree() -> None:
    found = compare(fills(LONG, SHORT), fills(LONG, SHORT))
    assert found == Agreement(2, 2, 2, None)
    assert found.agree


def test_nothing_on_both_sides_is_agreement_and_on_one_side_is_not() -> None:
    assert compare(fills(), fills()).agree
    assert compare(fills(), fills(LONG)) == Agreement(
        0, 1, 0, "trade 1: ours none; theirs long bar 10 at 100 to bar 20 at 110, +9.9 a unit"
    )
    assert not compare(fills(LONG), fills()).agree


@pytest.mark.parametrize(
    ("column", "value"),
    [("side", -1), ("exit_bar", 21), ("entry_price", 100.001), ("exit_price", 110.001), ("pnl_per_unit", 9.901)],
)
def test_every_value_counts(column: str, value: float) -> None:
    theirs = fills(LONG, SHORT)
    theirs[column][0] = value
    found = compare(fills(LONG, SHORT), theirs)
    assert (found.identical, found.agree) == (1, False)
    assert found.first_difference is not None
    assert found.first_difference.startswith("trade 1: ours long bar 10 at 100")


def test_the_last_bits_of_a_price_do_not_count() -> None:
    theirs = fills(LONG)
    theirs["exit_price"] *= 1 + 1e-12
    assert compare(fills(LONG), theirs).agree


def test_one_trade_too_many_shifts_no_other() -> None:
    extra = (1, 5, 7, 99.0, 98.0, -1.0)
    found = compare(fills(LONG, SHORT), fills(extra, LONG, SHORT))
    assert (found.identical, found.agree) == (2, False)


def test_two_runs_together() -> None:
    both = Agreement(2, 2, 2, None) + Agreement(3, 2, 1, "trade 1: …")
    assert both == Agreement(5, 4, 3, "trade 1: …")


def test_a_unit_of_our_all_equity_trade() -> None:
    """10,000 at price 100 and fee 1 % buy 10,000/101 = 99.0099 units; sold at 110: 10,782.18 after the fee."""
    trades = np.zeros(1, dtype=TRADE)
    trades[0] = (1, 10, 20, 100.0, 110.0, 782.1782178, 0.1, 0.07821782178, 0, 0, 0, 0)
    ledger = Ledger(trades, np.zeros(1), 1, 1, 0.0, 0, ruined=False)
    found = fills_of(ledger, fee_rate=0.01)
    # 110 − 100 − 1 % of 210
    assert found["pnl_per_unit"][0] == pytest.approx(7.9, rel=1e-6)
