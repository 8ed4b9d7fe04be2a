"""How long a run still takes: held against what recorded runs really took, and against small cases by hand."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agents.model.world import World
from agents.rules import remaining
from agents.rules.remaining import Band
from scripts.swarm import pace
from state.files.journal import Journal
from state.files.layout import Roots
from state.records import orders
from state.records.jobs import PHASES, fold
from state.records.timeline import Cost, Timeline
from tests.agents.worlds import ORDER, worker, world

TRACES = sorted((Path(__file__).parent / "traces").glob("*.json"))
SOL, BTC = ("SOL", "aggressive"), ("BTC", "aggressive")
# What a record needs to be replayed and says nothing of time.
REST: dict[str, Any] = {"epoch": 1, "worker_id": "w", "lane": "cpu0", "gates": [], "metrics": {}}


def moment(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


class Recorded:
    """A run that went on while somebody looked: its journals, and the counters of its workers at every look."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.tree = json.loads(path.read_text(encoding="utf-8"))
        self.roots = Roots.from_environment({"RESULTS_ROOT": str(folder)})
        known = {key: tuple(self.tree[key]) for key in ("symbols", "modes")}
        self.order = replace(ORDER, run_id="bt-2", rounds=self.tree["rounds"], **known)
        self.journals = [[REST | record for record in journal] for journal in self.tree["journals"]]
        for number, journal in enumerate(self.journals):
            Journal(self.roots.swarm_run("bt-2").round(number).jobs).append(*journal)
        orders.write(self.roots.swarm_run("bt-1").order, replace(self.order, run_id="bt-1"))
        for number, journal in enumerate(self.tree["before"]):
            Journal(self.roots.swarm_run("bt-1").round(number).jobs).append(*(REST | record for record in journal))

    def looks(self) -> Iterator[tuple[World, Timeline, float]]:
        """The world at each look, the round's journal as it was then, and how long the run really still took."""
        end_s = moment(self.tree["finished_at"])
        for look in self.tree["looks"]:
            rounds = [[record for record in journal if record["at"] <= look["at"]] for journal in self.journals]
            number = max(place for place, records in enumerate(rounds) if records)
            states = fold(rounds[number])
            at_work = [
                worker(states[name].job, done=done, total=total)
                for name, (done, total) in look["counters"].items()
                if name in states
            ]
            here = world(
                now=look["at"], order=self.order, round=number, jobs=tuple(states.values()), workers=tuple(at_work)
            )
            yield here, Timeline(rounds[number]), end_s - moment(look["at"])


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_the_band_holds_what_the_run_really_took(path: Path, tmp_path: Path) -> None:
    run = Recorded(path, tmp_path)
    looks = [(pace.left(run.roots, here, line), truth_s) for here, line, truth_s in run.looks()]
    said = [(band, truth_s) for band, truth_s in looks if band is not None]
    assert len(said) >= 0.4 * len(looks), "evidence is there from the first validation that has ended"
    held = [band.low_s <= truth_s <= band.high_s for band, truth_s in said]
    assert sum(held) >= 0.9 * len(held), [(round(b.low_s), round(b.high_s), round(t)) for b, t in said]
    assert all(0 <= band.low_s <= band.high_s for band, _ in said)
    first, truth_s = said[0]
    assert first.high_s <= 4.5 * first.low_s, "a band much wider would hold anything"
    assert first.high_s <= 3 * truth_s


def test_there_are_recorded_runs_of_several_kinds() -> None:
    trees = [json.loads(path.read_text(encoding="utf-8")) for path in TRACES]
    assert {1, 2} <= {tree["rounds"] for tree in trees}
    assert {1, 4, 6} <= {len(tree["symbols"]) * len(tree["modes"]) for tree in trees}
    assert any(tree["before"] for tree in trees), "one of them follows another run with the same settings"


# by hand --------------------------------------------------------------------------------------------------------------


def cost(phase: str, unit: tuple[str, str], machine_s: float, over: bool = True, bars: int | None = None) -> Cost:
    return Cost(phase, unit, machine_s, machine_s, over, over, bars)


def whole(unit: tuple[str, str], machine_s: float = 100.0, bars: int | None = None) -> list[Cost]:
    return [cost(phase, unit, machine_s, bars=bars) for phase in PHASES]


def evidence(*costs: Cost, **values: Any) -> remaining.PhaseCosts:
    return remaining.PhaseCosts({(one.unit, one.phase): one for one in costs}, **values)


def test_without_a_comparable_validation_nothing_is_said_however_far_its_counter_is() -> None:
    known = evidence(*whole(SOL)[:4], cost("validate", SOL, 60.0, over=False), done={(SOL, "validate"): 0.9})
    assert remaining.left([SOL], 0, known) is None
    assert remaining.left([SOL], 0, replace(known, before=tuple(whole(SOL)))) is not None


def test_what_is_spent_is_not_left_and_one_that_is_overdue_is_near_its_end_or_not() -> None:
    seen = tuple(whole(BTC))
    fresh = remaining.left([SOL], 0, evidence(*whole(SOL)[:4], before=seen))
    assert fresh == Band(120.0, 360.0)  # a validation and a report, each between 60 and 180
    later = evidence(*whole(SOL)[:4], cost("validate", SOL, 50.0, over=False), before=seen)
    assert remaining.left([SOL], 0, later) == Band(70.0, 310.0)
    overdue = evidence(*whole(SOL)[:4], cost("validate", SOL, 400.0, over=False), before=seen)
    assert remaining.left([SOL], 0, overdue) == Band(60.0, 180.0 + 0.35 * 400.0)


def test_a_search_that_is_under_way_is_judged_by_its_own_counter() -> None:
    seen = tuple(whole(BTC))
    known = evidence(*whole(SOL)[:3], cost("search", SOL, 30.0, over=False), before=seen, done={(SOL, "search"): 0.5})
    assert remaining.left([SOL], 0, known) == Band(0.6 * 30 + 120, 1.8 * 30 + 360)


def test_rounds_to_come_and_more_bars_take_their_share() -> None:
    seen = tuple(whole(BTC, bars=1_000))
    one = remaining.left([SOL], 0, evidence(before=seen))
    assert one == Band(360.0, 1080.0)
    assert remaining.left([SOL], 2, evidence(before=seen)) == Band(3 * 360.0, 3 * 1080.0)
    twice = remaining.left([SOL], 0, evidence(before=seen, bars={"SOL": 2_000}))
    assert twice == Band(720.0, 2160.0)


def test_only_phases_without_a_death_are_evidence_and_shared_seconds_are_shared() -> None:
    def at(second: int) -> str:
        return f"2026-01-01T00:00:{second:02}.000Z"

    def records(symbol: str, start: int, end: int, *deaths: int) -> list[dict[str, Any]]:
        job = {"round": 0, "symbol": symbol, "mode": "aggressive", "phase": "validate", "shard": 0}
        name = {"job_id": f"r0.{symbol}.aggressive.validate.0"}
        again = [row for s in deaths for row in ({"at": at(s), "event": "died"}, {"at": at(s), "event": "started"})]
        rows = [{"at": at(start), "event": "started"}, *again, {"at": at(end), "event": "completed", "metrics": {}}]
        return [{"at": at(start), "event": "enqueued", "job": job}, *(row | name for row in rows)]

    both = sorted([*records("SOL", 0, 40), *records("BTC", 10, 30, 20)], key=lambda row: row["at"])
    costs = Timeline(both).costs(at(50))
    assert costs[SOL, "validate"] == Cost("validate", SOL, 10 + 20 / 2 + 10, 40, True, True)
    assert costs[BTC, "validate"] == Cost("validate", BTC, 20 / 2, 20, True, False)
    open_ = Timeline([row for row in both if row["event"] != "completed"]).costs(at(50))
    assert (open_[SOL, "validate"].is_over, open_[SOL, "validate"].wall_s) == (False, 50)


@pytest.mark.parametrize(
    ("low_s", "high_s", "words"),
    [
        (0.0, 0.0, "at most 10 s"),
        (3.0, 14.0, "at most 20 s"),
        (34.0, 71.0, "about 30 to 80 s"),
        (31.0, 93.0, "about 30 to 100 s"),
        (245.0, 530.0, "about 4 to 9 min"),
        (100.0, 500.0, "at most 9 min"),
        (600.0, 600.0, "about 10 min"),
        (4_000.0, 9_000.0, "about 1 to 3 h"),
        (86_400.0, 200_000.0, "about 1 to 3 days"),
    ],
)
def test_words_promise_no_more_than_the_numbers(low_s: float, high_s: float, words: str) -> None:
    assert remaining.in_words(Band(low_s, high_s)) == words
