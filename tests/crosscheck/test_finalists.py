"""What a finalist's record says when vectorbt differs or cannot be asked; a whole run that agrees is in
tests/WORKFLOW/test_equal_runs.py."""

from dataclasses import replace

import pytest

from config.settings import load
from WORKFLOW.crosscheck.finalists import in_vectorbt
from WORKFLOW.data.bars import Bars
from WORKFLOW.data.generate import demo_rows
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Market, Window
from WORKFLOW.engines.rules import Tie
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Parameters
from WORKFLOW.signals.mtf_ema import MTF_EMA

TIGHT: Parameters = {
    "fast_timeframe": 15,
    "fast_period": 3,
    "slow_timeframe": 60,
    "slow_period": 10,
    "stop_loss": 0.001,
    "take_profit": 0.001,
    "trailing_stop": 0.0,
    "max_bars": 0,
    "direction": "both",
}


class Optimist(Evaluator):
    """An engine with one rule wrong: of a bar that spans both, the take-profit counts."""

    def ledger(self, parameters: Parameters, window: Window, tie: Tie = "tp_first") -> Ledger:
        return super().ledger(parameters, window, tie)


def market() -> Market:
    rows = demo_rows(days=80)[-50 * 288 :]  # after the halt: no hole
    return Market.of(Bars("SYNTHETIC", rows, 0.01, synthetic=True, source="a test"))


@pytest.mark.slow
def test_an_engine_with_a_wrong_rule_is_told_so_and_ruin_is_not_compared() -> None:
    ruinous = {**TIGHT, "stop_loss": 0.0, "take_profit": 0.0, "direction": "short_only"}
    wrong = Optimist(market(), MTF_EMA, load({}).costs)
    found = in_vectorbt(wrong, {7: TIGHT})[7]
    assert (found["agree"], found["version"]) == (False, "1.2.0")
    assert found["identical"] < found["trades_ours"]
    assert found["line"].startswith(f"vectorbt 1.2.0 DIFFERS: {found['identical']} of {found['trades_ours']} trades")
    assert found["line"].endswith(found["first_difference"])
    # A fee of 100 % a side takes everything with the first exit.
    ruined = in_vectorbt(replace(wrong, costs=replace(wrong.costs, fee_rate=1.0, slippage_bps=0.0)), {8: ruinous})[8]
    assert (ruined["agree"], ruined["trades_theirs"]) == (None, None)
    assert ruined["line"] == "vectorbt not comparable: the strategy was ruined, and a fixed quantity knows no ruin"
