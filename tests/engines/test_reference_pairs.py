"""Pairs of rules on one bar: the specification's "Execution" on tapes checked by hand.

Every pair that can meet, and the file (test_reference_*) that holds its golden; `pairs` is this one. Rows and columns:
`event` a market order at the open (entry, exit, reversal), `time` max_bars, `fund` funding, `gap S` and `gap L` a stop
(or trail) and a limit gapped at the open, `gap R` ruin there, `stop`, `trail`, `limit`, `ruin` inside the bar, `fill` a
bar made by pre-flight, `last` the window's last bar, `close` an event on this bar's close. `–`: cannot meet.

          time      fund   gap S     gap L  gap R  stop      trail     limit  ruin   fill   last    close
event     same_bar  pairs  pairs     pairs  money  same_bar  pairs     pairs  money  kept   kept    orders
time                pairs  same_bar  pairs  pairs  pairs     pairs     pairs  pairs  pairs  pairs   pairs
fund                       money     pairs  money  pairs     pairs     pairs  pairs  pairs  pairs   money
gap S                                –      pairs  exits     exits     exits  pairs  pairs  exits   pairs
gap L                                       –      exits     exits     exits  pairs  (a)    exits   pairs
gap R                                              money     (b)       (b)    money  pairs  money   (c)
stop                                                         exits     exits  money  (a)    exits   same_bar
trail                                                                  pairs  pairs  (a)    exits   pairs
limit                                                                         pairs  (a)    exits   pairs
ruin                                                                                 (a)    money   money
fill                                                                                        pairs   kept
last                                                                                                orders

(a) A filled bar is flat at the close before it, where these levels were touched already, if at all. (b) After a gap no
level inside the bar is looked at: as `gap S` with them. (c) After ruin no event trades: as `ruin` with it.
An unarmed event, and one against long_only or short_only, is an exit alone: orders, and here with what it can meet.

Capital is 10,000, the tick 1; there are neither fees nor slippage, so a position at 100 has 100 units.
"""

from typing import Any

import pytest

from tests.engines.builders import golden

ENGINES = pytest.mark.parametrize("engine", ["reference", "native"])

HEADER = "side entry at exit at pnl opened closed\n"
FLAT = "open high low close side\n100 100 100 100 {was}\n100 100 100 100 {now}\n"
LONG = FLAT.format(was="S", now="L")
SHORT = FLAT.format(was="L", now="S")
BOTH_EXITS = {"stop_loss": 0.1, "take_profit": 0.1, "trailing_stop": 0.1}

# market orders at the open, and levels ------------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize(("open_", "pnl"), [(80, -2000), (130, 3000)], ids=["beyond the stop", "beyond the limit"])
def test_an_event_comes_before_a_gap(engine: str, open_: int, pnl: int) -> None:
    """The long leaves at the open itself (not at its limit of 110), once, and the short opens there."""
    ledger = golden(
        engine,
        f"{LONG}100 100 100 100 S\n{open_} {open_} {open_} {open_} S",
        f"{HEADER}long 2 100 3 {open_} {pnl} signal signal",
        **BOTH_EXITS,
    )
    assert ledger.entries == 2
    assert ledger.equity[-1] == 10_000 + pnl


@ENGINES
def test_a_time_stop_comes_before_a_gapped_limit(engine: str) -> None:
    golden(
        engine,
        f"{LONG}100 100 100 100 L\n130 130 130 130 L",
        f"{HEADER}long 2 100 3 130 3000 signal max_bars",
        take_profit=0.1,
        max_bars=1,
    )


@ENGINES
def test_a_time_stop_at_a_ruinous_open_is_ruin_too(engine: str) -> None:
    """100 u short are worth 20,000 − 30,000: nothing is left, and the long event of bar 4 opens nothing."""
    ledger = golden(
        engine,
        f"{SHORT}100 100 100 100 S\n300 300 300 300 S\n300 300 300 300 L\n300 300 300 300 L",
        f"{HEADER}short 2 100 3 300 -10000 signal max_bars",
        max_bars=1,
    )
    assert ledger.ruined
    assert ledger.equity[-1] == 0


@ENGINES
@pytest.mark.parametrize(
    ("side", "rules", "closed"),
    [
        ("L", {"max_bars": 1}, "max_bars"),
        ("s", {}, "signal"),
        ("s", {"max_bars": 1}, "signal"),
        ("S", {"direction": "long_only"}, "signal"),
        ("S", {"direction": "long_only", "max_bars": 1}, "signal"),
        ("s", {"direction": "long_only"}, "signal"),
    ],
    ids=["time", "unarmed", "unarmed and time", "long_only", "long_only and time", "unarmed and long_only"],
)
def test_what_left_at_the_open_does_not_see_the_rest_of_the_bar(
    engine: str, side: str, rules: dict[str, Any], closed: str
) -> None:
    """Bar 3 touches stop, trail and limit after its open, at which the position left: one exit, and no new position.
    With an event on the same open the exit is the event's."""
    ledger = golden(
        engine,
        f"{LONG}100 100 100 100 {side}\n100 200 50 100 {side}",
        f"{HEADER}long 2 100 3 100 0 signal {closed}",
        **BOTH_EXITS,
        **rules,
    )
    assert ledger.entries == 1


@ENGINES
def test_what_left_at_the_open_is_not_ruined_by_the_rest_of_the_bar(engine: str) -> None:
    ledger = golden(
        engine,
        f"{SHORT}100 100 100 100 S\n100 300 50 100 S",
        f"{HEADER}short 2 100 3 100 0 signal max_bars",
        max_bars=1,
    )
    assert not ledger.ruined


@ENGINES
def test_an_event_on_the_close_of_the_bar_of_a_time_stop_opens_from_flat(engine: str) -> None:
    golden(
        engine,
        f"{LONG}100 100 100 100 L\n110 110 110 110 S\n110 110 110 110 S\n100 100 100 100 S",
        f"{HEADER}long 2 100 3 110 1000 signal max_bars\nshort 4 110 5 100 1000 signal max_bars",
        max_bars=1,
    )


@ENGINES
def test_a_limit_lives_from_the_entry_bar_on(engine: str) -> None:
    golden(
        engine,
        f"{LONG}100 110 91 100 L",
        f"{HEADER}long 2 100 2 110 1000 signal take_profit",
        **BOTH_EXITS,
    )


@ENGINES
@pytest.mark.parametrize(
    ("bar", "closed", "level", "pnl", "rules"),
    [
        ("110 110 99 105", "take_profit", 99, 1100, {"take_profit": 0.1}),
        ("110 121 105 105", "trailing_stop", 121, -1100, {"trailing_stop": 0.1}),
        ("110 220 105 105", "ruin", 220, -11000, {}),
    ],
)
def test_a_reversal_may_end_on_its_own_bar(
    engine: str, bar: str, closed: str, level: int, pnl: int, rules: dict[str, float]
) -> None:
    """The long leaves at 110, the open of bar 3, which is its limit, too; the short of 11,000/110 = 100 u opens there.
    Its levels are measured from 110, its trail as well: the high of bar 2 (109) was not its."""
    golden(
        engine,
        f"{LONG}100 109 100 105 S\n{bar} S",
        f"{HEADER}long 2 100 3 110 1000 signal signal\nshort 3 110 3 {level} {pnl} reversal {closed}",
        **rules,
    )


# funding ------------------------------------------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize(
    ("bar", "closed", "level", "pnl", "rules"),
    [
        ("130 130 130 130", "take_profit", 110, -300, {"take_profit": 0.1}),  # gapped: 1,000 − 100·130·0.1
        ("100 100  90 100", "stop_loss", 90, -2000, {"stop_loss": 0.1}),  # −1,000 − 100·100·0.1
        ("100 110 100 110", "take_profit", 110, 0, {"take_profit": 0.1}),
        ("100 100  95 100", "trailing_stop", 96, -1400, {"trailing_stop": 0.2}),  # the trail of bar 2: 120·0.8
    ],
)
def test_a_position_that_ends_inside_the_bar_has_paid_its_funding(
    engine: str, bar: str, closed: str, level: int, pnl: int, rules: dict[str, float]
) -> None:
    top = 120 if closed == "trailing_stop" else 100
    golden(
        engine,
        f"""
        open high low close side funding
         100  100 100  100    S    0
         100  100 100  100    L    0
         100 {top} 100 100    L    0
         {bar}                L    0.1
        """,
        f"{HEADER}long 2 100 3 {level} {pnl} signal {closed}",
        **rules,
    )


@ENGINES
@pytest.mark.parametrize(
    ("side", "rules", "closed"),
    [("L", {"max_bars": 1}, "max_bars"), ("s", {}, "signal"), ("S", {"direction": "long_only"}, "signal")],
    ids=["time", "unarmed", "long_only"],
)
def test_a_position_that_left_at_the_open_pays_no_funding(
    engine: str, side: str, rules: dict[str, Any], closed: str
) -> None:
    golden(
        engine,
        f"""
        open high low close side funding equity
         100  100 100  100    S    0     10000
         100  100 100  100    L    0     10000
         100  100 100  100 {side}  0     10000
         100  100 100  100 {side}  0.5   10000
        """,
        f"{HEADER}long 2 100 3 100 0 signal {closed}",
        **rules,
    )


@ENGINES
def test_of_a_reversal_the_new_position_has_the_funding(engine: str) -> None:
    """The long leaves unpaid, the short of 100 u at 100 receives 100·100·0.1."""
    golden(
        engine,
        """
        open high low close side funding equity
         100  100 100  100    S    0     10000
         100  100 100  100    L    0     10000
         100  100 100  100    S    0     10000
         100  100 100  100    S    0.1   11000
        """,
        f"{HEADER}long 2 100 3 100 0 signal signal",
    )


@ENGINES
def test_funding_moves_the_price_of_ruin_on_its_own_bar(engine: str) -> None:
    """The long pays 5,000 at the open of bar 3 and is worth nothing at 50, where that very bar goes."""
    golden(
        engine,
        """
        open high low close side funding equity
         100  100 100  100    S    0     10000
         100  100 100  100    L    0     10000
         100  100 100  100    L    0     10000
         100  100  49  100    L    0.5       0
        """,
        f"{HEADER}long 2 100 3 50 -10000 signal ruin",
    )


@ENGINES
@pytest.mark.parametrize("filled", ["-", "x"])
def test_funding_is_due_on_the_last_bar_and_on_a_filled_one(engine: str, filled: str) -> None:
    ledger = golden(
        engine,
        f"""
        open high low close side funding filled equity
         100  100 100  100    S    0       -    10000
         100  100 100  100    L    0       -    10000
         100  100 100  100    L    0       -    10000
         100  100 100  100    L    0.1  {filled} 9000
         100  100 100  100    L    0.1     -     8000
        """,
        window=(0, 4),
    )
    assert ledger.filled_bar_fills == 0  # nothing was traded there


# gaps, and what the bar does afterwards -----------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize(
    ("rules", "closed"), [({"stop_loss": 0.5}, "stop_loss"), ({"trailing_stop": 0.5}, "trailing_stop")]
)
def test_a_stop_gapped_beyond_ruin_is_a_stop_that_leaves_nothing(
    engine: str, rules: dict[str, float], closed: str
) -> None:
    """Stop 150, ruin 200, open 300; the limit of 90 that the bar touches later is not looked at."""
    ledger = golden(
        engine,
        f"{SHORT}100 100 100 100 S\n300 300 90 100 S",
        f"{HEADER}short 2 100 3 300 -10000 signal {closed}",
        take_profit=0.1,
        **rules,
    )
    assert ledger.ruined


@ENGINES
def test_a_gapped_limit_comes_before_ruin_inside_the_bar(engine: str) -> None:
    ledger = golden(
        engine,
        f"{SHORT}100 100 100 100 S\n80 300 80 100 S",
        f"{HEADER}short 2 100 3 90 1000 signal take_profit",
        take_profit=0.1,
    )
    assert not ledger.ruined


@ENGINES
def test_a_gapped_stop_comes_before_ruin_inside_the_bar(engine: str) -> None:
    ledger = golden(
        engine,
        f"{SHORT}100 100 100 100 S\n160 300 80 100 S",
        f"{HEADER}short 2 100 3 160 -6000 signal stop_loss",
        stop_loss=0.5,
    )
    assert not ledger.ruined


# levels inside the bar ----------------------------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize(
    ("tape", "tie", "trade"),
    [
        (f"{LONG}100 110 100 110 L\n110 120 99 105 L", "sl_first", "long 2 100 3 99 -100 signal trailing_stop"),
        (f"{LONG}100 110 100 110 L\n110 120 99 105 L", "tp_first", "long 2 100 3 120 2000 signal take_profit"),
        (f"{SHORT}100 100 90 90 S\n90 99 80 85 S", "sl_first", "short 2 100 3 99 100 signal trailing_stop"),
        (f"{SHORT}100 100 90 90 S\n90 99 80 85 S", "tp_first", "short 2 100 3 80 2000 signal take_profit"),
    ],
)
def test_a_bar_that_spans_the_inherited_trail_and_the_limit(engine: str, tape: str, tie: str, trade: str) -> None:
    """The trail stands where the bars before left it, 10 % from 110 (or from 90), whatever this bar's extreme is."""
    golden(engine, tape, HEADER + trade, trailing_stop=0.1, take_profit=0.2, tie=tie)


@ENGINES
@pytest.mark.parametrize(
    ("tie", "exit_"), [("sl_first", "200 -10000 signal ruin"), ("tp_first", "80 2000 signal take_profit")]
)
def test_a_bar_that_spans_ruin_and_limit(engine: str, tie: str, exit_: str) -> None:
    golden(
        engine,
        f"{SHORT}100 100 100 100 S\n100 200 80 100 S",
        f"{HEADER}short 2 100 3 {exit_}",
        take_profit=0.2,
        tie=tie,
    )


@ENGINES
@pytest.mark.parametrize(
    ("trailing_stop", "exit_"), [(1.2, "200 -10000 signal ruin"), (0.5, "150 -5000 signal trailing_stop")]
)
def test_of_trail_and_ruin_the_nearer_one_ends_it(engine: str, trailing_stop: float, exit_: str) -> None:
    golden(
        engine,
        f"{SHORT}100 230 100 100 S",
        f"{HEADER}short 2 100 2 {exit_}",
        trailing_stop=trailing_stop,
    )


@ENGINES
@pytest.mark.parametrize(
    ("bar", "closed", "level", "rules"),
    [
        ("100 110 100 100", "take_profit", 110, {"take_profit": 0.1}),
        ("100 100 90 100", "trailing_stop", 90, {"trailing_stop": 0.1}),
        ("80 100 80 100", "stop_loss", 80, {"stop_loss": 0.1}),
        ("130 130 100 100", "take_profit", 110, {"take_profit": 0.1}),
    ],
    ids=["limit", "trail", "gapped stop", "gapped limit"],
)
def test_an_event_on_the_bar_of_an_exit_opens_from_flat_at_the_next_open(
    engine: str, bar: str, closed: str, level: int, rules: dict[str, float]
) -> None:
    """The equity after the exit buys 100 u at the next open, at that level: a short from flat, not a reversal."""
    flat = f"{level} {level} {level} {level}"
    golden(
        engine,
        f"{LONG}100 100 100 100 L\n{bar} S\n{flat} L\n{flat} L",
        f"""{HEADER}long 2 100 3 {level} {100 * (level - 100)} signal {closed}
        short 4 {level} 5 {level} 0 signal signal""",
        **rules,
    )


# filled bars, windows, directions -----------------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize(
    ("entry_bar", "funding", "rules", "trade"),
    [
        # The high of bar 2 moved the trail to 180, above its close: the flat bar after it opens beyond it.
        ("100 200 100 150", 0, {"trailing_stop": 0.1}, "long 2 100 3 150 5000 signal trailing_stop"),
        ("100 200 100 150", 0, {"max_bars": 1}, "long 2 100 3 150 5000 signal max_bars"),
        ("100 100 100 100", 1.5, {}, "long 2 100 3 100 -10000 signal ruin"),
    ],
    ids=["trail", "time", "ruin"],
)
def test_an_exit_on_a_filled_bar_is_counted(
    engine: str, entry_bar: str, funding: float, rules: dict[str, Any], trade: str
) -> None:
    close = entry_bar.rsplit(maxsplit=1)[-1]
    ledger = golden(
        engine,
        f"""
        open high low close side filled funding
         100  100 100  100    S    -      0
         100  100 100  100    L    -      0
         {entry_bar}          L    -      0
         {close} {close} {close} {close} L x {funding}
        """,
        HEADER + trade,
        **rules,
    )
    assert ledger.filled_bar_fills == 1


@ENGINES
@pytest.mark.parametrize(("stop", "closed"), [(5, True), (4, False)])
def test_a_time_stop_due_on_the_last_bar_and_one_due_after_it(engine: str, stop: int, closed: bool) -> None:
    """Due at bar 4. In the window that ends before it the position stays open and is marked."""
    ledger = golden(
        engine,
        f"{LONG}100 100 100 100 L\n100 110 100 110 L\n120 120 120 120 L",
        HEADER + "long 2 100 4 120 2000 signal max_bars" * closed,
        window=(0, stop),
        max_bars=2,
    )
    assert ledger.equity[-1] == (12_000 if closed else 11_000)


@ENGINES
def test_after_a_stop_long_only_waits_for_the_next_long_event(engine: str) -> None:
    """Out at 90; the short event of bar 4 finds nothing to close and opens nothing; bar 5's long one buys 100 u."""
    ledger = golden(
        engine,
        """
        open high low close side equity
         100  100 100  100    S   10000
         100  100 100  100    L   10000
         100  100 100  100    L   10000
         100  100  90   95    L    9000
          95   95  95   95    S    9000
          90   90  90   90    L    9000
          90   95  90   95    L    9500
        """,
        f"{HEADER}long 2 100 3 90 -1000 signal stop_loss",
        stop_loss=0.1,
        direction="long_only",
    )
    assert ledger.entries == 2
