"""Stops, limits, ticks and gaps: the specification's "Execution" on tapes checked by hand.

Capital is 10,000; unless a case says otherwise the tick is 1 and there are neither fees nor slippage, so a position at
100 has 100 units. `u` is units, `E` equity. The compiled engine plays every tape too.
"""

import pytest

from tests.engines.builders import golden

ENGINES = pytest.mark.parametrize("engine", ["reference", "native"])

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
