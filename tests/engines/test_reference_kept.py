"""Windows, open trades, excursions and counts: the specification's "Execution" on tapes checked by hand.

Capital is 10,000; unless a case says otherwise the tick is 1 and there are neither fees nor slippage, so a position at
100 has 100 units. `u` is units, `E` equity. The compiled engine plays every tape too.
"""

import pytest

from tests.engines.builders import golden

ENGINES = pytest.mark.parametrize("engine", ["reference", "native"])

# what is kept -------------------------------------------------------------------------------------------------------


@ENGINES
def test_the_trade_open_at_the_end_is_marked_and_is_no_trade(engine: str) -> None:
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  130 100  120    L   12000
        """,
    )
    assert (len(ledger.trades), ledger.entries, ledger.held_bars) == (0, 1, 1)
    assert ledger.notional == pytest.approx(10_000)


# Events on the closes of bars 1 (long), 3 (short) and 5 (long).
THREE_EVENTS = """
    open high low close side
     100  100 100  100    S
     100  100 100  100    L
     100  100 100  100    L
     100  100 100  100    S
     100  100  80   80    S
      80   80  50   50    L
      50   50  50   50    L
"""


@ENGINES
@pytest.mark.parametrize(
    ("window", "equity", "trades", "entries"),
    [
        # From bar 2: the event of bar 1, before it, is not taken. Short 100 u at 100 (bar 4), long at 50 (bar 6).
        ((2, 7), [10_000, 10_000, 12_000, 15_000, 15_000], "short 4 100 6 50 5000 signal signal", 2),
        # From bar 3: its own first bar's event is the window's first.
        ((3, 7), [10_000, 12_000, 15_000, 15_000], "short 4 100 6 50 5000 signal signal", 2),
        # From bar 4: starts flat although the side is short.
        ((4, 7), [10_000, 10_000, 10_000], "", 1),
        # To bar 5: the event of bar 5 lies after it, that of bar 3 is filled on its last bar.
        ((2, 5), [10_000, 10_000, 12_000], "", 1),
        # To bar 4: the event of bar 3 is on the last bar.
        ((2, 4), [10_000, 10_000], "", 0),
        ((3, 4), [10_000], "", 0),
    ],
)
def test_a_window_starts_flat_and_its_first_event_opens(
    engine: str, window: tuple[int, int], equity: list[float], trades: str, entries: int
) -> None:
    ledger = golden(
        engine, THREE_EVENTS, f"side entry at exit at pnl opened closed\n{trades}", window=window, direction="both"
    )
    assert ledger.equity == pytest.approx(equity)
    assert ledger.entries == entries


@ENGINES
def test_fills_on_filled_bars_are_counted(engine: str) -> None:
    """Filled bars 2 (an entry), 3 (nothing) and 4 (exit and entry): 3 fills of 4."""
    ledger = golden(
        engine,
        """
        open high low close side filled
         100  100 100  100    S    -
         100  100 100  100    L    x
         100  100 100  100    L    x
         100  100 100  100    S    x
         100  100 100  100    S    x
         100  111 100  100    S    -
        """,
        """
        side  entry  at exit  at   pnl opened   closed
        long      2 100    4 100     0 signal   signal
        short     4 100    5 110 -1000 reversal stop_loss
        """,
        stop_loss=0.1,
    )
    assert ledger.filled_bar_fills == 3


@ENGINES
def test_excursions_cover_every_bar_held_and_only_what_was_held(engine: str) -> None:
    """Long at 100. Bar 2: 80 to 110, bar 3: 90 to 150, left at the open of bar 4 (60): worst 60, best 150.
    The lows and highs of bar 1 and bar 4 belong to nobody."""
    ledger = golden(
        engine,
        """
        open high low close side
         100  100 100  100    S
         100  900  10  100    L
         100  110  80  100    L
         100  150  90  100    S
          60  800   5  100    S
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    4 60 -4000 signal signal
        """,
        direction="long_only",
    )
    assert ledger.trades[0]["mae_pct"] == pytest.approx(-0.4)
    assert ledger.trades[0]["mfe_pct"] == pytest.approx(0.5)


@ENGINES
def test_the_open_of_the_last_bar_was_seen_too(engine: str) -> None:
    """Long at 100, low so far 100; bar 3 opens at 95 and rises to the limit of 110: worst −0.05, not its low of 40."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
          95  150  40  120    L   11000
        """,
        """
        side entry  at exit  at  pnl opened closed
        long     2 100    3 110 1000 signal take_profit
        """,
        take_profit=0.1,
    )
    assert ledger.trades[0]["mae_pct"] == pytest.approx(-0.05)
    assert ledger.trades[0]["mfe_pct"] == pytest.approx(0.1)


@ENGINES
def test_more_trades_than_the_first_buffer_holds(engine: str) -> None:
    """The side turns on each of 1,400 bars: entries at bars 2 to 1,399, of which the last stays open."""
    lines = "\n".join(f"100 100 100 100 {'LS'[bar % 2]}" for bar in range(1400))
    trades = "\n".join(
        f"{'short' if entry % 2 == 0 else 'long'} {entry} 100 {entry + 1} 100 0 "
        f"{'signal' if entry == 2 else 'reversal'} signal"
        for entry in range(2, 1399)
    )
    golden(engine, f"open high low close side\n{lines}", f"side entry at exit at pnl opened closed\n{trades}")
