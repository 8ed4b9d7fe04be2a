"""Funding and ruin: the specification's "Execution" on tapes checked by hand.

Capital is 10,000; unless a case says otherwise the tick is 1 and there are neither fees nor slippage, so a position at
100 has 100 units. `u` is units, `E` equity. The compiled engine plays every tape too.
"""

import pytest

from tests.engines.builders import golden

ENGINES = pytest.mark.parametrize("engine", ["reference", "native"])

# funding ------------------------------------------------------------------------------------------------------------


@ENGINES
def test_a_long_pays_funding_at_the_open_after_the_market_orders(engine: str) -> None:
    """100 u at 100. Bar 2 (entered at its open, so it pays): 100·100·0.01 = 100. Bar 3: 100·110·0.02 = 220.
    Bar 4 leaves at the open and pays nothing: 10,000 + 1,000 − 320 = 10,680. Bar 0 and 5: flat."""
    ledger = golden(
        engine,
        """
        open high low close side funding equity
         100  100 100  100    S    0.5    10000
         100  100 100  100    L    0      10000
         100  100 100  100    L    0.01    9900
         110  120 110  110    S    0.02   10680
         110  110 110  110    S    0.5    10680
         110  110 110  110    S    0.5    10680
        """,
        """
        side entry  at exit  at pnl opened closed
        long     2 100    4 110 680 signal signal
        """,
        direction="long_only",
    )
    assert ledger.trades[0]["gross_pnl_pct"] == pytest.approx(0.1)
    assert ledger.trades[0]["net_pnl_pct"] == pytest.approx(0.068)


@ENGINES
def test_a_short_receives_funding_and_a_negative_rate_turns_it_round(engine: str) -> None:
    """100 u short at 100. Bar 2: +100. Bar 3: 100·110·0.02 = +220. Bar 4: 100·100·(−0.03) = −300. E = 10,020 at 100."""
    golden(
        engine,
        """
        open high low close side funding equity
         100  100 100  100    L    0      10000
         100  100 100  100    S    0      10000
         100  100 100  100    S    0.01   10100
         110  110 110  110    S    0.02    9320
         100  100 100  100    S   -0.03   10020
         100  100 100  100    L    0      10020
         100  100 100  100    L    0.01   10020
        """,
        """
        side  entry  at exit  at pnl opened closed
        short     2 100    6 100  20 signal signal
        """,
        direction="short_only",
    )


@ENGINES
def test_funding_is_due_before_the_gap_test(engine: str) -> None:
    """Bar 3 opens below the stop: it is still held at that open, pays 100·80·0.1 = 800, then leaves at 80."""
    golden(
        engine,
        """
        open high low close side funding equity
         100  100 100  100    S    0      10000
         100  100 100  100    L    0      10000
         100  100 100  100    L    0      10000
          80   80  80   80    L    0.1     7200
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    3 80 -2800 signal stop_loss
        """,
        stop_loss=0.1,
    )


# ruin ---------------------------------------------------------------------------------------------------------------


@ENGINES
def test_a_short_is_ruined_inside_the_bar_and_nothing_follows(engine: str) -> None:
    """100 u short at 100 is worth 20,000 − 100·price: 0 at 200. The later events and the fall come too late.
    Slippage does not apply: there is nothing left to pay it with. Worst seen: −(200/100 − 1) = −1."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  150 100  150    S    5000
         150  250 140  140    L       0
         140  140  50   50    S       0
          50   50  50   50    L       0
        """,
        """
        side  entry  at exit  at    pnl opened closed
        short     2 100    3 200 -10000 signal ruin
        """,
    )
    assert ledger.ruined
    assert ledger.entries == 1
    assert ledger.trades[0]["net_pnl_pct"] == -1.0
    assert ledger.trades[0]["mae_pct"] == pytest.approx(-1.0)


@ENGINES
def test_fees_bring_ruin_nearer_and_are_not_paid_from_nothing(engine: str) -> None:
    """Fee 25 %: u = 80, worth 10,000 − 2,000 + 8,000 − 80·price: 0 at 200. Slippage 0. pnl is −10,000, not less."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  199 100  150    S    4000
         150  200 100  150    S       0
        """,
        """
        side  entry  at exit  at    pnl opened closed
        short     2 100    3 200 -10000 signal ruin
        """,
        fee_rate=0.25,
    )
    assert ledger.ruined


@ENGINES
def test_a_short_is_ruined_at_a_gap(engine: str) -> None:
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  100 100  100    S   10000
         300  300 100  100    S       0
        """,
        """
        side  entry  at exit  at    pnl opened closed
        short     2 100    3 300 -10000 signal ruin
        """,
    )
    assert ledger.ruined


@ENGINES
@pytest.mark.parametrize(("was", "now", "rate"), [("S", "L", "1.5"), ("L", "S", "-2")])
def test_funding_can_ruin(engine: str, was: str, now: str, rate: str) -> None:
    """Long: 10,000 − 100·100·1.5 < 0. Short: pays 100·100·2 of its 10,000. Both at the open of bar 3."""
    ledger = golden(
        engine,
        f"""
        open high low close side funding equity
         100  100 100  100   {was}  0     10000
         100  100 100  100   {now}  0     10000
         100  100 100  100   {now}  0     10000
         100  100 100  100   {now} {rate}     0
         100  100 100  100   {was}  0         0
         100  100 100  100   {was}  0         0
        """,
        f"""
        side entry  at exit  at    pnl opened closed
        {"long" if now == "L" else "short"} 2 100 3 100 -10000 signal ruin
        """,
    )
    assert ledger.ruined
    assert ledger.entries == 1


@ENGINES
def test_funding_moves_the_price_of_ruin(engine: str) -> None:
    """Long 100 u at 100 pays 5,000 at bar 3: worth 100·price − 5,000: 0 at 50, where bar 4 goes."""
    ledger = golden(
        engine,
        """
        open high low close side funding equity
         100  100 100  100    S    0     10000
         100  100 100  100    L    0     10000
         100  100 100  100    L    0     10000
         100  100 100  100    L    0.5    5000
         100  100  49  100    L    0         0
        """,
        """
        side entry  at exit at    pnl opened closed
        long     2 100    4 50 -10000 signal ruin
        """,
    )
    assert ledger.ruined


@ENGINES
def test_ruin_comes_before_a_stop_that_lies_beyond_it(engine: str) -> None:
    """A stop of 150 % stands at 250; equity is 0 at 200 already."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  260 100  260    S       0
        """,
        """
        side  entry  at exit  at    pnl opened closed
        short     2 100    2 200 -10000 signal ruin
        """,
        stop_loss=1.5,
    )


@ENGINES
def test_a_stop_comes_before_a_ruin_that_lies_beyond_it(engine: str) -> None:
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  260 100  260    S    5000
        """,
        """
        side  entry  at exit  at   pnl opened closed
        short     2 100    2 150 -5000 signal stop_loss
        """,
        stop_loss=0.5,
    )


@ENGINES
def test_a_stop_whose_costs_eat_the_rest_is_ruin_too(engine: str) -> None:
    """Fee 25 %: u = 80, worth 16,000 − 80·190 = 800 at the stop of 190; the exit fee is 3,800: nothing is left."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  195 100  100    L       0
         100  100 100  100    L       0
        """,
        """
        side  entry  at exit  at    pnl opened closed
        short     2 100    2 190 -10000 signal stop_loss
        """,
        stop_loss=0.9,
        fee_rate=0.25,
    )
    assert ledger.ruined


@ENGINES
def test_a_market_order_at_a_ruinous_open_does_not_reverse(engine: str) -> None:
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         300  400 300  400    L       0
        """,
        """
        side  entry  at exit  at    pnl opened closed
        short     2 100    3 300 -10000 signal signal
        """,
    )
    assert ledger.ruined
    assert ledger.entries == 1
