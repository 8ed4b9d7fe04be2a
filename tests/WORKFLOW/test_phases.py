from state.records.metrics import ScreenMetrics
from WORKFLOW.pipeline.handover import seeds_of
from WORKFLOW.search.prescreen import Prescreened, Ranked


def ranked(combo: int, sharpe: float, total: float, drawdown: float, wins: float) -> Ranked:
    return Ranked(combo, {"direction": "both"}, ScreenMetrics(sharpe, total, drawdown, wins, total_trades=40))


def test_the_leaders_of_every_measure_come_first_and_once() -> None:
    best = [
        ranked(10, 3.0, 0.5, 0.20, 0.40),
        ranked(11, 2.9, 0.4, 0.30, 0.41),
        ranked(12, 2.8, 0.9, 0.25, 0.42),  # best return
        ranked(13, 2.7, 0.1, 0.05, 0.43),  # lowest drawdown
        ranked(14, 2.6, 0.2, 0.10, 0.80),  # best win rate
    ]
    assert [one.combo for one in seeds_of(Prescreened(100, 5, 40, best))] == [10, 12, 13, 14, 11]


def test_one_combo_may_lead_everywhere_and_none_is_no_seed() -> None:
    best = [ranked(1, 3.0, 0.9, 0.1, 0.9), ranked(2, 2.0, 0.1, 0.2, 0.5)]
    assert [one.combo for one in seeds_of(Prescreened(9, 2, 40, best))] == [1, 2]
    assert seeds_of(Prescreened(9, 0, 3, [])) == []
