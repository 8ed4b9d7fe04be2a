"""Entries, reversals and directions: the specification's "Execution" on tapes checked by hand.

Capital is 10,000; unless a case says otherwise the tick is 1 and there are neither fees nor slippage, so a position at
100 has 100 units. `u` is units, `E` equity. The compiled engine plays every tape too.
"""

import pytest

from tests.engines.builders import golden

ENGINES = pytest.mark.parametrize("engine", ["reference", "native"])

# entries and reversals ----------------------------------------------------------------------------------------------


@ENGINES
def test_an_event_fills_at_the_next_open(engine: str) -> None:
    """The event is on the close of bar 1 (110); the fill is the open of bar 2: 10,000 / 125 = 80 u.

    Bar 2: 80·130 = 10,400; bar 3: 80·150 = 12,000; bar 4: 80·160 = 12,800; out at the open of bar 5: 80·100 = 8,000.
    """
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  120  90  110    L   10000
         125  135 120  130    L   10400
         140  150 130  150    L   12000
         150  165 150  160    S   12800
         100  100  90   90    S    8000
        """,
        """
        side entry  at exit  at   pnl opened closed
        long     2 125    5 100 -2000 signal signal
        """,
        direction="long_only",
    )
    assert ledger.entries == 1
    assert ledger.held_bars == 3
    assert ledger.notional == pytest.approx(10_000 + 8_000)
    trade = ledger.trades[0]
    assert trade["gross_pnl_pct"] == pytest.approx(-0.2)  # 100/125 - 1
    assert trade["net_pnl_pct"] == pytest.approx(-0.2)


@ENGINES
def test_a_reversal_pays_two_fees_at_one_open(engine: str) -> None:
    """Fee 25 % a side.

    Bar 2, long at 100: u = 10,000/(100·1.25) = 80, fee 2,000, so E is 8,000 at 100.
    Bar 3, out at 200: 16,000 − 4,000 = 12,000; short at 200: u = 12,000/250 = 48, fee 2,400;
    E = 12,000 − 2,400 + 48·(200 − price): 12,000 at 150, 14,400 at 100.
    Bar 5, out at 100: 14,400 − 0.25·4,800 = 13,200; long at 100: u = 13,200/125 = 105.6, E = 10,560 at 100.
    Notional: 8,000 + 16,000 + 9,600 + 4,800 + 10,560 = 48,960.
    """
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    S    8000
         200  200 150  150    S   12000
         150  150 100  100    L   14400
         100  100 100  100    L   10560
        """,
        """
        side  entry  at exit  at  pnl opened   closed
        long      2 100    3 200 2000 signal   signal
        short     3 200    5 100 1200 reversal signal
        """,
        fee_rate=0.25,
    )
    assert ledger.entries == 3
    assert ledger.notional == pytest.approx(48_960)
    assert ledger.trades["gross_pnl_pct"] == pytest.approx([1.0, 0.5])  # 200/100 − 1; −(100/200 − 1)
    assert ledger.trades["net_pnl_pct"] == pytest.approx([0.2, 0.1])  # 2,000/10,000; 1,200/12,000


@ENGINES
def test_slippage_is_adverse_on_both_market_orders(engine: str) -> None:
    """Slippage 25 %: bought at 125 (80 u), sold at 200·0.75 = 150; short from 150 (12,000: 80 u), bought back at 125.

    Bar 3: 12,000 + 80·(150 − 200) = 8,000. Bar 4: 14,000/125 = 112 u, marked at 100.
    """
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  150 100  150    S   12000
         200  200 200  200    L    8000
         100  100 100  100    L   11200
        """,
        """
        side  entry  at exit  at  pnl opened   closed
        long      2 125    3 150 2000 signal   signal
        short     3 150    4 125 2000 reversal signal
        """,
        slippage=0.25,
    )


@ENGINES
def test_an_event_on_the_last_bar_does_nothing(engine: str) -> None:
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    S   10000
         100  100 100  100    L   10000
        """,
    )
    assert (ledger.entries, ledger.held_bars, ledger.notional) == (0, 0, 0.0)


# Long from bar 2 at 100, short from bar 4 at 200, long from bar 6 at 100.
UP_AND_DOWN = """
    open high low close side
     100  100 100  100    S
     100  100 100  100    L
     100  100 100  100    L
     100  200 100  200    S
     200  200 200  200    S
     200  200 100  100    L
     100  125 100  125    L
"""


@ENGINES
def test_direction_both_reverses_on_each_event(engine: str) -> None:
    """100 u up by 100: 20,000; 100 u short down by 100: 30,000; 300 u up by 25: 37,500."""
    ledger = golden(
        engine,
        UP_AND_DOWN,
        """
        side  entry  at exit  at   pnl opened   closed
        long      2 100    4 200 10000 signal   signal
        short     4 200    6 100 10000 reversal signal
        """,
        direction="both",
    )
    assert ledger.equity == pytest.approx([10_000, 10_000, 10_000, 20_000, 20_000, 30_000, 37_500])


@ENGINES
def test_long_only_leaves_on_the_opposite_event_and_stays_out(engine: str) -> None:
    """100 u up by 100: 20,000; out; 200 u up by 25: 25,000."""
    ledger = golden(
        engine,
        UP_AND_DOWN,
        """
        side  entry  at exit  at   pnl opened   closed
        long      2 100    4 200 10000 signal   signal
        """,
        direction="long_only",
    )
    assert ledger.equity == pytest.approx([10_000, 10_000, 10_000, 20_000, 20_000, 20_000, 25_000])
    assert ledger.entries == 2


@ENGINES
def test_short_only_leaves_on_the_opposite_event_and_stays_out(engine: str) -> None:
    """10,000/200 = 50 u short, down by 100: 15,000; out at 100."""
    ledger = golden(
        engine,
        UP_AND_DOWN,
        """
        side  entry  at exit  at  pnl opened closed
        short     4 200    6 100 5000 signal signal
        """,
        direction="short_only",
    )
    assert ledger.equity == pytest.approx([10_000, 10_000, 10_000, 10_000, 10_000, 15_000, 15_000])


@ENGINES
def test_an_unarmed_event_only_exits(engine: str) -> None:
    """The event of bar 3 is not armed: out at the open of bar 4, no reversal; bar 5's, armed, opens from flat."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
         100  200 100  200    s   20000
         200  200 200  200    S   20000
         200  200 100  100    L   20000
         100  125 100  125    s   25000
         100  100 100  100    L   20000
        """,
        """
        side entry  at exit  at   pnl opened closed
        long     2 100    4 200 10000 signal signal
        long     6 100    7 100     0 signal signal
        """,
    )
    assert ledger.entries == 2


@ENGINES
def test_an_unarmed_event_from_flat_does_nothing(engine: str) -> None:
    """Arming later, without a change of side, is no event either."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    l   10000
         100  100 100  100    L   10000
         100  150 100  150    L   10000
        """,
    )
    assert ledger.entries == 0


@ENGINES
def test_the_first_side_is_no_event(engine: str) -> None:
    """There is no side before bar 2; its long is a first side. The first event is bar 4's: short 100 u at 100."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    .   10000
         100  100 100  100    .   10000
         100  100 100  100    L   10000
         100  120 100  120    L   10000
         120  120 100  100    S   10000
         100  100  90   90    S   11000
        """,
    )
    assert ledger.entries == 1


@ENGINES
def test_a_side_that_turns_right_after_the_first_is_an_event(engine: str) -> None:
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    .   10000
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  100  90   90    S   11000
        """,
    )


@ENGINES
def test_no_side_at_all(engine: str) -> None:
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    .   10000
         100  100 100  100    .   10000
        """,
    )
    assert ledger.entries == 0
