"""Time stops, and several rules that meet on one bar: the specification's "Execution" on tapes checked by hand.

Capital is 10,000; unless a case says otherwise the tick is 1 and there are neither fees nor slippage, so a position at
100 has 100 units. `u` is units, `E` equity. The compiled engine plays every tape too.
"""

import pytest

from tests.engines.builders import golden

ENGINES = pytest.mark.parametrize("engine", ["reference", "native"])

# max_bars, and several things on one bar ----------------------------------------------------------------------------


@ENGINES
def test_max_bars_exits_at_the_open_of_entry_plus_n(engine: str) -> None:
    """Slippage 25 %: 80 u at 125; two bars later at 200·0.75 = 150: 12,000. Then flat: the side is still long."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L    8000
         100  100 100  100    L    8000
         200  300 200  300    L   12000
         300  400 300  400    L   12000
        """,
        """
        side entry  at exit  at  pnl opened closed
        long     2 125    4 150 2000 signal max_bars
        """,
        max_bars=2,
        slippage=0.25,
    )
    assert ledger.entries == 1
    assert ledger.trades[0]["mfe_pct"] == pytest.approx(200 / 125 - 1)  # the open it left at, not that bar's high


@ENGINES
def test_max_bars_of_one_exits_at_the_very_next_open(engine: str) -> None:
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
         110  110 110  110    L   11000
        """,
        """
        side entry  at exit  at  pnl opened closed
        long     2 100    3 110 1000 signal max_bars
        """,
        max_bars=1,
    )


@ENGINES
def test_max_bars_and_an_event_on_the_same_open_are_a_reversal(engine: str) -> None:
    """One exit, one entry; the count starts again for the new position."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  100  90   90    S   11000
          90   90  90   90    S   11000
          80   80  80   80    S   12000
        """,
        """
        side  entry  at exit  at  pnl opened   closed
        long      2 100    4 100    0 signal   signal
        short     4 100    6  80 2000 reversal max_bars
        """,
        max_bars=2,
    )


@ENGINES
def test_a_market_order_at_the_open_comes_before_a_gapped_stop(engine: str) -> None:
    """Bar 4 opens through the stop and is the time-out: a market order, one fill."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
          50   50  50   50    L    5000
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    4 50 -5000 signal max_bars
        """,
        max_bars=2,
        stop_loss=0.1,
    )


@ENGINES
def test_an_event_on_the_very_bar_of_a_stop_trades_at_the_next_open(engine: str) -> None:
    """Out at 90 inside bar 3, whose close turns short: 9,000/60 = 150 u short at the open of bar 4, from flat."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
         100  100  80   80    S    9000
          60   60  50   50    S   10500
          50   50  50   50    L   10500
          40   40  40   40    L   12000
        """,
        """
        side  entry  at exit at   pnl opened closed
        long      2 100    3 90 -1000 signal stop_loss
        short     4  60    6 40  3000 signal signal
        """,
        stop_loss=0.1,
    )


@ENGINES
def test_after_a_stop_it_stays_flat_until_the_next_event(engine: str) -> None:
    """Long at every close of bars 3 to 5 is no event; bar 6's short is: 9,000/90 = 100 u."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
         100  100  80   80    L    9000
          80  150  80  150    L    9000
         150  200 150  200    L    9000
         200  200  90   90    S    9000
          90   90  80   80    S   10000
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    3 90 -1000 signal stop_loss
        """,
        stop_loss=0.1,
    )
    assert ledger.entries == 2


@ENGINES
def test_a_position_closed_by_an_event_may_be_stopped_again_on_that_bar(engine: str) -> None:
    """Bar 3: the long leaves at the open (110), the short opens there (u = 11,000/110 = 100) and is stopped at 121
    inside the bar: 11,000 − 100·11 = 9,900. Two exits on one bar."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  105 100  105    S   10500
         110  125 105  105    S    9900
        """,
        """
        side  entry  at exit  at   pnl opened   closed
        long      2 100    3 110  1000 signal   signal
        short     3 110    3 121 -1100 reversal stop_loss
        """,
        stop_loss=0.1,
    )
