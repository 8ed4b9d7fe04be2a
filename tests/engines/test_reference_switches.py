"""The switches of the cross-checks, reference only: the specification's "Execution" on tapes checked by hand.

Capital is 10,000; unless a case says otherwise the tick is 1 and there are neither fees nor slippage, so a position at
100 has 100 units. `u` is units, `E` equity.
"""

import pytest

from tests.engines.builders import golden
from WORKFLOW.engines.reference import Switches

# the switches of the cross-checks, reference only -------------------------------------------------------------------


def test_switch_fill_at_the_close() -> None:
    """Filled at the close that gave the signal: 80 u at 125 on bar 1, whose own range (50 to 400) it has not seen:
    no stop there, no trail from 400. Bar 2 moves the trail to 150·0.9 = 135; out at the close of bar 3, 200: 16,000.
    Bar 3's range was lived through: best 210."""
    ledger = golden(
        "reference",
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  400  50  125    L   10000
         125  150 120  150    L   12000
         150  210 140  200    S   16000
         200  900   1  200    S   16000
        """,
        """
        side entry  at exit  at  pnl opened closed
        long     1 125    3 200 6000 signal signal
        """,
        switches=Switches(fill="close"),
        direction="long_only",
        stop_loss=0.1,
        trailing_stop=0.1,
    )
    assert ledger.trades[0]["mae_pct"] == pytest.approx(120 / 125 - 1)
    assert ledger.trades[0]["mfe_pct"] == pytest.approx(210 / 125 - 1)
    assert ledger.held_bars == 2


def test_switch_fill_at_the_close_takes_an_event_of_the_last_bar() -> None:
    ledger = golden(
        "reference",
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
        """,
        switches=Switches(fill="close"),
    )
    assert ledger.entries == 1


def test_switch_anchor_at_the_signal_close() -> None:
    """The signal's close is 200, the fill 100: a stop 60 % below 200 stands at 80, not at 40."""
    golden(
        "reference",
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  200 100  200    L   10000
         100  100  70   70    L    8000
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    2 80 -2000 signal stop_loss
        """,
        switches=Switches(anchor="signal_close"),
        stop_loss=0.6,
    )


GAP_UP = """
    open high low close side
     100  100 100  100    S
     100  100 100  100    L
     100  100 100  100    L
     130  140  50   50    L
"""


@pytest.mark.parametrize(
    ("switches", "exit_"),
    [
        (Switches(), "110 1000 signal take_profit"),
        (Switches(tp_gap="open"), "130 3000 signal take_profit"),
        (Switches(open_first=False), "90 -1000 signal stop_loss"),
        (Switches(open_first=False, tp_gap="open"), "90 -1000 signal stop_loss"),
    ],
)
def test_switches_of_a_gapped_take_profit(switches: Switches, exit_: str) -> None:
    """Bar 3 opens beyond the limit of 110 and falls through the stop of 90."""
    golden(
        "reference",
        GAP_UP,
        f"side entry at exit at pnl opened closed\nlong 2 100 3 {exit_}",
        switches=switches,
        stop_loss=0.1,
        take_profit=0.1,
    )


@pytest.mark.parametrize(("tp_gap", "exit_"), [("limit", "110 1000"), ("open", "130 3000")])
def test_switch_tp_gap_without_the_gap_test(tp_gap: str, exit_: str) -> None:
    golden(
        "reference",
        GAP_UP,
        f"side entry at exit at pnl opened closed\nlong 2 100 3 {exit_} signal take_profit",
        switches=Switches(open_first=False, tp_gap=tp_gap),
        take_profit=0.1,
    )


def test_switch_open_first_off_still_fills_a_gapped_stop_at_the_open() -> None:
    golden(
        "reference",
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
          80  120  70  100    L    8000
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    3 80 -2000 signal stop_loss
        """,
        switches=Switches(open_first=False),
        stop_loss=0.1,
        take_profit=0.1,
    )


@pytest.mark.parametrize(
    ("drop", "fill", "expected"),
    [
        (False, "next_open", "short 4 60 6 50 1500 signal signal"),
        (True, "next_open", ""),
        (False, "close", "short 3 80 5 50 3375 signal signal"),
        (True, "close", ""),
    ],
)
def test_switch_drop_the_signal_on_the_bar_of_a_stop(drop: bool, fill: str, expected: str) -> None:
    """Stopped at 90 inside bar 3, whose close turns short. Next open: 9,000/60 = 150 u, 60 → 50: +1,500.
    Close: 9,000/80 = 112.5 u, 80 → 50: +3,375. Dropped: the long event of bar 5 opens from flat."""
    ledger = golden(
        "reference",
        """
        open high low close side
         100  100 100  100    S
         100  100 100  100    L
         100  100 100  100    L
         100  100  80   80    S
          60   60  50   50    S
          50   50  50   50    L
          50   50  50   50    L
        """,
        f"""
        side entry at exit at pnl opened closed
        long {1 if fill == "close" else 2} 100 3 90 -1000 signal stop_loss
        {expected}
        """,
        switches=Switches(drop_signal_on_stop_bar=drop, fill=fill),
        stop_loss=0.1,
    )
    assert ledger.entries == 2 + (not drop)
