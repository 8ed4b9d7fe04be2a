"""Every rule of the specification's "Execution" on a tape small enough to check by hand.

Capital is 10,000; unless a case says otherwise the tick is 1 and there are neither fees nor slippage, so a position at
100 has 100 units. `u` is units, `E` equity. The compiled engine plays every tape too, the switches excepted.
"""

import pytest

from tests.engines.builders import golden
from WORKFLOW.engines.reference import Switches

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


# stop-loss ----------------------------------------------------------------------------------------------------------


@ENGINES
def test_stop_loss_of_a_long_lies_below_the_open_before_slippage(engine: str) -> None:
    """Slippage 25 %: bought at 125, 80 u. Stop 10 % below the OPEN of bar 2: 90, filled at 90·0.75 = 67.5: E = 5,400.

    Seen at worst: 90 (the level), 90/125 − 1 = −0.28; at best 100, below the fill, so 0. The low of bar 2 missed by 1.
    """
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100  91   95    L    7600
          95   96  80   95    L    5400
          95  200  95  200    L    5400
        """,
        """
        side entry  at exit   at   pnl opened closed
        long     2 125    3 67.5 -4600 signal stop_loss
        """,
        stop_loss=0.1,
        slippage=0.25,
    )
    trade = ledger.trades[0]
    assert trade["gross_pnl_pct"] == pytest.approx(67.5 / 125 - 1)
    assert trade["net_pnl_pct"] == pytest.approx(-0.46)
    assert trade["mae_pct"] == pytest.approx(-0.28)
    assert trade["mfe_pct"] == 0.0


@ENGINES
def test_stop_loss_of_a_short_lies_above(engine: str) -> None:
    """Slippage 20 %: sold at 80, 125 u. Stop 110, bought back at 132: 10,000 + 125·(80 − 132) = 3,500.

    Bar 2: 10,000 + 125·(80 − 104) = 7,000. Worst seen 110: −(110/80 − 1) = −0.375.
    Best seen 76 on bar 2 (5 % of 80); the 60 of the last bar may have come after the stop.
    """
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  109  76  104    S    7000
         104  112  60  101    S    3500
        """,
        """
        side  entry at exit  at   pnl opened closed
        short     2 80    3 132 -6500 signal stop_loss
        """,
        stop_loss=0.1,
        slippage=0.2,
    )
    trade = ledger.trades[0]
    assert trade["mae_pct"] == pytest.approx(-0.375)
    assert trade["mfe_pct"] == pytest.approx(0.05)


@ENGINES
def test_a_stop_lives_from_the_entry_bar_on(engine: str) -> None:
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100  89  100    L    9000
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    2 90 -1000 signal stop_loss
        """,
        stop_loss=0.1,
    )


@ENGINES
@pytest.mark.parametrize("low", [91, 90])
def test_a_touch_of_the_stop_is_enough_and_a_miss_by_a_tick_is_none(engine: str, low: int) -> None:
    ledger = golden(
        engine,
        f"""
        open high low close side
         100  100 100  100    S
         100  100 100  100    L
         100  100 {low} 100   L
        """,
        "side entry at exit at pnl opened closed\n" + "long 2 100 2 90 -1000 signal stop_loss" * (low == 90),
        stop_loss=0.1,
    )
    assert len(ledger.trades) == (low == 90)


# ticks --------------------------------------------------------------------------------------------------------------
# Level, fraction and side, the tick it lands on, and the extreme of bar 3 that touches it; one tick less does not.
# 100·(1 − 0.41) is 59.00000000000001 in float64, 100·(1 + 0.1) is 110.00000000000001, 1000·(1 + 0.007) is
# 1006.9999999999999, 100·(1 − 0.34) is 65.99999999999999: all of them lie exactly on a tick.
LEVELS = [
    ("long", "stop_loss", 100, 0.41, 59),
    ("long", "stop_loss", 100, 0.34, 66),
    ("long", "stop_loss", 100, 0.025, 98),  # 97.5: up, nearer the entry
    ("short", "stop_loss", 1000, 0.007, 1007),
    ("short", "stop_loss", 100, 0.1, 110),
    ("short", "stop_loss", 100, 0.025, 102),  # 102.5: down, nearer the entry
    ("long", "take_profit", 100, 0.1, 110),
    ("long", "take_profit", 1000, 0.007, 1007),
    ("long", "take_profit", 100, 0.025, 103),  # 102.5: up, further from the entry
    ("short", "take_profit", 100, 0.34, 66),
    ("short", "take_profit", 100, 0.41, 59),
    ("short", "take_profit", 100, 0.025, 97),  # 97.5: down, further from the entry
    ("long", "trailing_stop", 100, 0.025, 98),
    ("short", "trailing_stop", 100, 0.025, 102),
]


@ENGINES
@pytest.mark.parametrize("scale", [1, 100], ids=["tick 1", "tick 0.01"])
@pytest.mark.parametrize(("side", "name", "entry", "fraction", "level"), LEVELS)
def test_levels_lie_on_ticks(
    engine: str, scale: int, side: str, name: str, entry: int, fraction: float, level: int
) -> None:
    was, now = ("S", "L") if side == "long" else ("L", "S")
    step = 1 if level > entry else -1
    for reached in (level - step, level):  # one tick short of the level, and on it
        price = f"{entry / scale}"
        extreme = f"{max(entry, reached) / scale} {min(entry, reached) / scale}"
        pnl = 10_000 * (level - entry) / entry * (1 if side == "long" else -1)
        trade = f"{side} 2 {entry / scale} 3 {level / scale} {pnl} signal {name}"
        golden(
            engine,
            f"""
            open high low close side
            {price} {price} {price} {price} {was}
            {price} {price} {price} {price} {now}
            {price} {price} {price} {price} {now}
            {price} {extreme} {price} {now}
            """,
            "side entry at exit at pnl opened closed\n" + (trade if reached == level else ""),
            tick=1 / scale,
            **{name: fraction},
        )


@ENGINES
def test_a_stop_of_less_than_a_tick_is_the_entry_itself(engine: str) -> None:
    """2 % below 10 is 9.8; the tick nearer the entry is 10: out at the very open. Slippage 25 %: 800 u, 12.5 → 7.5."""
    golden(
        engine,
        """
        open high low close side equity
          10   10  10   10    S   10000
          10   10  10   10    L   10000
          10   12  10   12    L    6000
        """,
        """
        side entry   at exit  at   pnl opened closed
        long     2 12.5    2 7.5 -4000 signal stop_loss
        """,
        stop_loss=0.02,
        slippage=0.25,
    )


@ENGINES
def test_without_a_tick_size_levels_are_the_plain_product(engine: str) -> None:
    """97.5 is no whole number and stays: touched exactly, left there; 102.5 likewise."""
    table = """
        open  high  low close side
         100   100  100   100    S
         100   100  100   100    L
         100 102.25 97.75 100    L
         100 {high} {low} 100    L
    """
    header = "side entry at exit at pnl opened closed\n"
    both = {"stop_loss": 0.025, "take_profit": 0.0625}
    golden(
        engine,
        table.format(high=106, low=97.5),
        header + "long 2 100 3 97.5 -250 signal stop_loss",
        tick=None,
        **both,
    )
    golden(
        engine,
        table.format(high=106.25, low=98),
        header + "long 2 100 3 106.25 625 signal take_profit",
        tick=None,
        **both,
    )


# take-profit --------------------------------------------------------------------------------------------------------


@ENGINES
def test_take_profit_fills_at_its_limit_without_slippage(engine: str) -> None:
    """Slippage 25 %: long 80 u at 125; limit 50 % above the open of bar 2: 150: 80·150 = 12,000. Fee: see the next."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  149  90  100    L    8000
         100  160 100  155    L   12000
         155  155  50   50    L   12000
        """,
        """
        side entry  at exit  at  pnl opened closed
        long     2 125    3 150 2000 signal take_profit
        """,
        take_profit=0.5,
        slippage=0.25,
    )


@ENGINES
def test_take_profit_of_a_short_pays_its_fee(engine: str) -> None:
    """Fee 25 %: u = 10,000/125 = 80, fee 2,000. Limit 50: 8,000 + 80·50 − 0.25·80·50 = 11,000."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  100 100  100    S    8000
         100  100  40   60    S   11000
        """,
        """
        side  entry  at exit at  pnl opened closed
        short     2 100    3 50 1000 signal take_profit
        """,
        take_profit=0.5,
        fee_rate=0.25,
    )


# gaps ---------------------------------------------------------------------------------------------------------------


@ENGINES
def test_a_gapped_stop_of_a_long_fills_at_the_open_with_slippage(engine: str) -> None:
    """80 u at 125, stop 90; bar 3 opens at 80: 80·0.75 = 60: E = 4,800. Worst seen 80: 80/125 − 1 = −0.36."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L    8000
          80  100  10  100    L    4800
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 125    3 60 -5200 signal stop_loss
        """,
        stop_loss=0.1,
        slippage=0.25,
    )
    assert ledger.trades[0]["mae_pct"] == pytest.approx(-0.36)


@ENGINES
def test_a_gapped_stop_of_a_short_fills_at_the_open_with_slippage(engine: str) -> None:
    """125 u at 80, stop 110; bar 3 opens at 120: 120·1.2 = 144: 10,000 + 125·(80 − 144) = 2,000."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  100 100  100    S    7500
         120  120 100  100    S    2000
        """,
        """
        side  entry at exit  at   pnl opened closed
        short     2 80    3 144 -8000 signal stop_loss
        """,
        stop_loss=0.1,
        slippage=0.2,
    )


@ENGINES
def test_a_gapped_take_profit_fills_at_its_limit(engine: str) -> None:
    """Bar 3 opens at 130, beyond the limit of 110: no gift is taken. The best it has seen is the open: 0.3."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  109 100  100    L   10000
         130  140 130  140    L   11000
        """,
        """
        side entry  at exit  at  pnl opened closed
        long     2 100    3 110 1000 signal take_profit
        """,
        take_profit=0.1,
    )
    assert ledger.trades[0]["mfe_pct"] == pytest.approx(0.3)


@ENGINES
def test_a_gap_decides_before_anything_inside_the_bar(engine: str) -> None:
    """Opens above the limit, then falls through the stop: the limit was first. And the other way round for tp_first."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
         130  130  50   50    L   11000
        """,
        """
        side entry  at exit  at  pnl opened closed
        long     2 100    3 110 1000 signal take_profit
        """,
        stop_loss=0.1,
        take_profit=0.1,
    )
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
          85  130  85  130    L    8500
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    3 85 -1500 signal stop_loss
        """,
        stop_loss=0.1,
        take_profit=0.1,
        tie="tp_first",
    )


# one bar spans both -------------------------------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize(
    ("tie", "exit_"), [("sl_first", "90 -1000 signal stop_loss"), ("tp_first", "120 2000 signal take_profit")]
)
def test_a_bar_that_spans_stop_and_limit_of_a_long(engine: str, tie: str, exit_: str) -> None:
    golden(
        engine,
        """
        open high low close side
         100  100 100  100    S
         100  100 100  100    L
         100  100 100  100    L
         100  120  90  100    L
        """,
        f"side entry at exit at pnl opened closed\nlong 2 100 3 {exit_}",
        stop_loss=0.1,
        take_profit=0.2,
        tie=tie,
    )


@ENGINES
@pytest.mark.parametrize(
    ("tie", "exit_"), [("sl_first", "110 -1000 signal stop_loss"), ("tp_first", "80 2000 signal take_profit")]
)
def test_a_bar_that_spans_stop_and_limit_of_a_short(engine: str, tie: str, exit_: str) -> None:
    golden(
        engine,
        """
        open high low close side
         100  100 100  100    L
         100  100 100  100    S
         100  100 100  100    S
         100  110  80  100    S
        """,
        f"side entry at exit at pnl opened closed\nshort 2 100 3 {exit_}",
        stop_loss=0.1,
        take_profit=0.2,
        tie=tie,
    )


# trailing stop ------------------------------------------------------------------------------------------------------


@ENGINES
def test_the_trail_follows_bars_before_the_current_one(engine: str) -> None:
    """Trail 10 %: on bar 3 it still stands at 90 (best so far 100) and the low of 95 is safe, whatever the high of 200
    does; on bar 4 it stands at 180."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100  91  100    L   10000
         100  200  95  200    L   20000
         200  250 180  250    L   18000
        """,
        """
        side entry  at exit  at  pnl opened closed
        long     2 100    4 180 8000 signal trailing_stop
        """,
        trailing_stop=0.1,
    )


@ENGINES
def test_the_trail_of_a_short_and_its_tick(engine: str) -> None:
    """Best low 51: 51·1.1 = 56.1, down to 56. Sold at 100, bought at 56: +4,400."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  105  51   55    S   14500
          55   55  55   55    S   14500
          55   56  52   52    S   14400
        """,
        """
        side  entry  at exit at  pnl opened closed
        short     2 100    4 56 4400 signal trailing_stop
        """,
        trailing_stop=0.1,
    )


@ENGINES
def test_the_trail_starts_at_the_anchor(engine: str) -> None:
    """On the entry bar itself the trail stands at 90, whatever came before."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  500 100  100    L   10000
         100  100  89  100    L    9000
        """,
        """
        side entry  at exit at   pnl opened closed
        long     2 100    2 90 -1000 signal trailing_stop
        """,
        trailing_stop=0.1,
    )


@ENGINES
def test_a_trail_never_retreats(engine: str) -> None:
    """Best 200 on bar 2, lower highs after it: the trail stays at 100 (50 %), and bar 4 touches it."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  200 100  150    L   15000
         150  160 101  150    L   15000
         150  150 100  150    L   10000
        """,
        """
        side entry  at exit  at pnl opened closed
        long     2 100    4 100   0 signal trailing_stop
        """,
        trailing_stop=0.5,
    )


@ENGINES
@pytest.mark.parametrize(
    ("stop_loss", "trailing_stop", "exit_"),
    [
        (0.05, 0.20, "95 -500 signal stop_loss"),  # 95 against 80
        (0.20, 0.05, "95 -500 signal trailing_stop"),  # 80 against 95
        (0.05, 0.05, "95 -500 signal stop_loss"),  # neither is tighter: it is the stop's
    ],
)
def test_the_tighter_of_stop_and_trail_decides(engine: str, stop_loss: float, trailing_stop: float, exit_: str) -> None:
    golden(
        engine,
        """
        open high low close side
         100  100 100  100    S
         100  100 100  100    L
         100  100  90  100    L
        """,
        f"side entry at exit at pnl opened closed\nlong 2 100 2 {exit_}",
        stop_loss=stop_loss,
        trailing_stop=trailing_stop,
    )


@ENGINES
def test_the_trail_takes_over_once_it_is_tighter(engine: str) -> None:
    """Short, stop 110, trail 20 %: 120 at first; after a low of 80 it is 96. Gapped at 98: −(98/100 − 1) = +200."""
    golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    L   10000
         100  100 100  100    S   10000
         100  109  80   90    S   11000
          98  100  98   98    S   10200
        """,
        """
        side  entry  at exit at pnl opened closed
        short     2 100    3 98 200 signal trailing_stop
        """,
        stop_loss=0.1,
        trailing_stop=0.2,
    )


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
        switches=Switches(open_first=False, tp_gap=tp_gap),  # type: ignore[arg-type]
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
        switches=Switches(drop_signal_on_stop_bar=drop, fill=fill),  # type: ignore[arg-type]
        stop_loss=0.1,
    )
    assert ledger.entries == 2 + (not drop)
