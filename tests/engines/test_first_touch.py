"""When the reference engine asks about an ambiguous bar, what it passes on, and what the answer changes.

Capital is 10,000, the tick 1, neither fees nor slippage: a position at 100 has 100 units.
"""

import pytest

from tests.engines.builders import tape
from WORKFLOW.engines import reference
from WORKFLOW.engines.ledger import Closed, Ledger
from WORKFLOW.engines.market import Window
from WORKFLOW.engines.reference import BothTouched
from WORKFLOW.engines.rules import Rules, Tie


def asked(table: str, answer: Tie, **rules: float) -> tuple[list[BothTouched], Ledger]:
    market, signal = tape(table, 1.0)
    ties: list[BothTouched] = []

    def decide(tie: BothTouched) -> Tie:
        ties.append(tie)
        return answer

    return ties, reference.simulate(market, signal, Rules(**rules), Window(0, len(market)), first_touch=decide)


ENTRY = """
    open high low close side
     100  100 100  100    S
     100  100 100  100    L
"""
SHORT_ENTRY = """
    open high low close side
     100  100 100  100    L
     100  100 100  100    S
"""


@pytest.mark.parametrize(
    ("lines", "rules", "levels"),
    [
        (ENTRY + "100 120 90 100 L", {"stop_loss": 0.1, "take_profit": 0.2}, (2, 1, 90, 120)),
        (SHORT_ENTRY + "100 110 80 100 S", {"stop_loss": 0.1, "take_profit": 0.2}, (2, -1, 110, 80)),
        # The trail of the bars before (best 110: 99), not of this one, and tighter than the stop of 90.
        (
            ENTRY + "100 110 100 110 L\n110 130 99 100 L",
            {"stop_loss": 0.1, "take_profit": 0.2, "trailing_stop": 0.1},
            (3, 1, 99, 120),
        ),
        # A short at 100 is worth nothing at 200.
        (SHORT_ENTRY + "100 200 80 100 S", {"take_profit": 0.2}, (2, -1, 200, 80)),
        # A stop beyond ruin is not the nearer one.
        (SHORT_ENTRY + "100 200 80 100 S", {"take_profit": 0.2, "stop_loss": 1.5}, (2, -1, 200, 80)),
    ],
)
def test_an_ambiguous_bar_and_its_levels(
    lines: str, rules: dict[str, float], levels: tuple[int, int, float, float]
) -> None:
    ties, stopped = asked(lines, "sl_first", **rules)
    assert ties == [BothTouched(*levels)]
    again, taken = asked(lines, "tp_first", **rules)
    assert again == ties
    assert Closed(stopped.trades[0]["reason_close"]) in {Closed.STOP_LOSS, Closed.TRAILING_STOP, Closed.RUIN}
    assert Closed(taken.trades[0]["reason_close"]) == Closed.TAKE_PROFIT
    assert (stopped.trades[0]["exit_price"], taken.trades[0]["exit_price"]) == levels[2:]


@pytest.mark.parametrize(
    "bar",
    [
        "100 120  91 100",  # the limit alone
        "100 119  90 100",  # the stop alone
        " 90 120  90 100",  # the stop gapped
        "120 120  90 100",  # the limit gapped
        "100 119  91 100",  # neither
    ],
)
def test_nobody_is_asked_where_the_bar_itself_tells(bar: str) -> None:
    """The bar after the entry, so that its open can lie anywhere."""
    ties, _ = asked(f"{ENTRY}100 100 100 100 L\n{bar} L", "tp_first", stop_loss=0.1, take_profit=0.2)
    assert ties == []


def test_each_bar_is_asked_about_on_its_own() -> None:
    """Two ambiguous bars, decided differently: 10,000 → 12,000 → 10,800."""
    market, signal = tape(
        f"{ENTRY}100 120 90 100 S\n100 100 100 100 L\n100 120 90 100 L", 1.0
    )  # in at bars 2 (long), 3 (short), 4 (long)
    answers: list[Tie] = ["tp_first", "sl_first"]
    ledger = reference.simulate(
        market,
        signal,
        Rules(stop_loss=0.1, take_profit=0.2, direction="long_only"),
        Window(0, len(market)),
        first_touch=lambda tie: answers[tie.bar // 4],
    )
    assert ledger.trades["pnl"].tolist() == [2_000, -1_200]
