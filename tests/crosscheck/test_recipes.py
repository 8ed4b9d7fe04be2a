"""Each recipe on one tape, its trades worked out by hand: the tool and our engine both have to find them."""

from pathlib import Path

import pytest

from config.errors import Refused
from tests.engines.builders import play, rows_of, tape
from WORKFLOW.crosscheck import recipes
from WORKFLOW.crosscheck.agreement import Fills, compare, fills_of
from WORKFLOW.crosscheck.question import ToolQuestion, ask
from WORKFLOW.engines.market import Window
from WORKFLOW.engines.rules import Rules

# Bars 1 to 4: the best price rises, and a gap up that must not move the trail in its own bar. From 6 on: a take-profit
# gapped over, a stop on whose bar the signal turns, a stop off the tick, a take-profit inside the bar, a reversal.
TAPE = """
    open high low close side
     100  100 100  100    S
     100  100 100  100    L
     100  120 100  118    L
     130  130 110  125    L
     125  126 117  120    L
     100  100 100  100    S
     100  100 100  100    L
     100  105  95  100    L
     120  130 115  118    L
     118  118 100  100    S
     100  104  96  100    S
     100  115 100  112    L
     112  112 112  112    L
     112  112  90   95    S
      80   82  80   80    S
      80   80  60   72    L
     100  100 100  100    S
      95   95  95   95    S
      95   95  95   95    S
"""
MARKET, SIGNAL = tape(TAPE, tick=1.0)
FIRST, LATER = Window(0, 5), Window(6, 19)
BOTH = {"stop_loss": 0.1, "take_profit": 0.1}

CASES = {
    "next_open": (
        LATER,
        Rules(**BOTH),
        """
        side entry  at exit    to    pnl
        long     7 100    8 120.0   20.0
        short   10 100   11 110.0  -10.0
        long    12 112   13 100.8  -11.2
        short   14  80   15  72.0    8.0
        long    16 100   17  95.0   -5.0
        """,
    ),
    # Stops live from the bar after the fill; the events of bars 11 and 16 fall on the bar of an exit and are lost.
    "same_close": (
        LATER,
        Rules(**BOTH),
        """
        side entry  at exit    to    pnl
        long     6 100    8 120.0   20.0
        short    9 100   11 110.0  -10.0
        short   13  95   14  80.0   15.0
        long    15  72   16 100.0   28.0
        """,
    ),
    # The last two open beyond the take-profit that stands 10 % from the signal's close.
    "backtesting_py": (
        LATER,
        Rules(**BOTH),
        """
        side entry  at exit    to    pnl
        long     7 100    8 120.0   20.0
        short   10 100   11 110.0  -10.0
        long    12 112   13 100.8  -11.2
        short   14  80   14  80.0    0.0
        long    16 100   16 100.0    0.0
        """,
    ),
    # Slippage 1 % but on take-profits, which fill at their limit; the stop of 100.8 lies on tick 101.
    "as_traded": (
        LATER,
        Rules(**BOTH, slippage=0.01),
        """
        side entry     at exit     to    pnl
        long     7 101.00    8 110.00   9.00
        short   10  99.00   11 111.10 -12.10
        long    12 113.12   13  99.99 -13.13
        short   14  79.20   15  72.00   7.20
        long    16 101.00   17  94.05  -6.95
        """,
    ),
    # The trail of bar 3 is 10 % under 120 and not under its own open of 130; then 10 % under 130, fee 1 % a side.
    "as_traded, trailing": (
        FIRST,
        Rules(stop_loss=0.2, trailing_stop=0.1, fee_rate=0.01),
        """
        side entry  at exit    to   pnl
        long     2 100    4 117.0 14.83
        """,
    ),
    "as_traded, time": (
        FIRST,
        Rules(max_bars=2),
        """
        side entry  at exit    to   pnl
        long     2 100    4 125.0  25.0
        """,
    ),
    "as_traded, short only": (
        LATER,
        Rules(**BOTH, direction="short_only"),
        """
        side entry  at exit    to   pnl
        short   10 100   11 110.0 -10.0
        short   14  80   15  72.0   8.0
        """,
    ),
}
RECIPES = {recipe.name: recipe for recipe in recipes.RECIPES}
ASKED = {name: RECIPES[name.partition(",")[0]] for name in CASES}
VECTORBT = [name for name, recipe in ASKED.items() if recipe.tool == "vectorbt"]


def question(name: str) -> ToolQuestion:
    window, rules, _ = CASES[name]
    return ToolQuestion.of(ASKED[name].name, rules, ASKED[name].switches is None, SIGNAL, window)


@pytest.fixture(scope="module")
def vectorbt_fills() -> dict[str, Fills]:
    answer = ask("vectorbt", MARKET, [question(name) for name in VECTORBT])
    return dict(zip(VECTORBT, answer.fills, strict=True))


def seen(fills: Fills) -> list[tuple[float, ...]]:
    return [tuple(round(float(value), 9) for value in fill.item()) for fill in fills]


def expected(name: str) -> list[tuple[float, ...]]:
    return [
        (1 if r["side"] == "long" else -1, *(float(r[k]) for k in ("entry", "exit")), *prices(r))
        for r in rows_of(CASES[name][2])
    ]


def prices(row: dict[str, str]) -> tuple[float, ...]:
    return float(row["at"]), float(row["to"]), float(row["pnl"])


@pytest.mark.parametrize("name", VECTORBT)
def test_vectorbt_finds_the_trades_of_the_table(name: str, vectorbt_fills: dict[str, Fills]) -> None:
    assert seen(vectorbt_fills[name]) == expected(name)


def test_backtesting_py_finds_the_trades_of_the_table(backtesting_python: Path) -> None:
    answer = ask("backtesting", MARKET, [question("backtesting_py")], backtesting_python)
    assert seen(answer.fills[0]) == expected("backtesting_py")


@pytest.mark.parametrize("name", CASES)
def test_our_engine_finds_them_too(name: str) -> None:
    window, rules, _ = CASES[name]
    switches = ASKED[name].switches
    market = MARKET if switches is None else tape(TAPE, tick=None)[0]
    engine = "native" if switches is None else "reference"
    assert seen(fills_of(play(engine, market, SIGNAL, rules, window, switches), rules.fee_rate)) == expected(name)


def test_a_rule_too_many_is_seen(vectorbt_fills: dict[str, Fills]) -> None:
    """Our own engine fills the gapped take-profit of bar 8 at its limit; asked for `next_open` that is a difference."""
    window, rules, _ = CASES["next_open"]
    ours = fills_of(play("reference", MARKET, SIGNAL, rules, window), rules.fee_rate)
    found = compare(ours, vectorbt_fills["next_open"])
    assert not found.agree
    assert found.first_difference == (
        "trade 1: ours long bar 7 at 100 to bar 8 at 110, +10 a unit; "
        "theirs long bar 7 at 100 to bar 8 at 120, +20 a unit"
    )


def test_a_tool_that_fails_is_a_reason_and_no_agreement() -> None:
    """Asked in our own environment, where the AGPL has no place."""
    with pytest.raises(Refused, match="backtesting ended with 1: ModuleNotFoundError: No module named 'backtesting'"):
        ask("backtesting", MARKET, [question("backtesting_py")])
