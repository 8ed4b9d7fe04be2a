"""What scripts/bench faults concludes from records: who died without being meant, what is good, what it prints."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.lab.faults import artifacts, command, surroundings, table
from scripts.lab.faults.campaign import CampaignOutcome, FaultRow
from scripts.lab.faults.injuries import FAULTS, TURNS, Dice
from scripts.lab.faults.pairs import drawn
from scripts.lab.faults.private import Swarm
from scripts.lab.faults.witness import Witness, replaced, say
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import Roots
from state.host.clock import SystemClock
from state.records import orders
from state.records.jobs import BY_OPERATOR, Job, JobJournal
from tests.agents.worlds import LIMITS, ORDER

ROW = FaultRow(75.0, "worker killed", "w1", 0.4, "worker_sentry cycle 9: 0 workers run", 3.2, "the swarm", ())
GOOD = CampaignOutcome((ROW,), (), (), 1, 120.0, ())


def started(job: str, worker: str) -> dict[str, Any]:
    return {"event": "started", "job_id": job, "worker_id": worker}


def test_who_died_or_was_launched_again_is_told_from_the_journal_alone() -> None:
    died = {"event": "died", "job_id": "a", "error_message": "killed by signal 9"}
    done = {"event": "completed", "job_id": "b"}
    records = (started("a", "a1"), died, "garbage", started("a", "a2"), started("b", "b1"), done, started("a", "a3"))
    assert list(replaced(records)) == [("a1", "killed by signal 9"), ("a2", "its job was launched again")]


def test_a_worker_that_came_and_went_while_all_of_it_was_stopped_is_no_false_kill(tmp_path: Path) -> None:
    """Launched after `stop` was typed and ended by it; the next blow follows before the stop is over."""
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    orders.write(roots.swarm_run("bt-1").order, ORDER)
    snapshot.write_json(roots.current_run, {"run_id": "bt-1"})
    jobs = JobJournal(Journal(roots.swarm_run("bt-1").round(0).jobs), SystemClock())
    jobs.enqueue([first := Job(0, "SOL", "aggressive", "merge"), then := Job(0, "BTC", "aggressive", "merge")])
    witness = Witness(Swarm(roots, {}, LIMITS))
    witness.expect_everybody()
    jobs.started(first.job_id, 1, "w1", "cpu0")
    jobs.died(first.job_id, BY_OPERATOR, 0, 0, 0.0)
    assert witness.strays() == []
    witness.expect_everybody(is_over=True)
    jobs.started(then.job_id, 1, "w2", "cpu0")
    jobs.died(then.job_id, "killed by signal 9", 1, 0, 0.0)
    assert witness.strays() == ["w2: killed by signal 9"]


def test_a_record_is_one_line() -> None:
    decision = {"actions": [{"kind": "record_death", "target": "a"}]}
    cycle = {"agent": "worker_sentry", "cycle": 3, "reason": "0 workers run", "decision": decision}
    assert say("x.jsonl", cycle) == "worker_sentry cycle 3: 0 workers run; record_death a"
    assert say("session_events.jsonl", {"event": "incident_opened", "id": "bad_lines"}) == (
        "session_events: incident_opened bad_lines"
    )
    assert say("x", 7) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"rows": ()},
        {"rows": (replace(ROW, healed_s=None),)},
        {"false_kills": ("w2: killed by signal 9",)},
        {"incomplete": ("SOL has no manifest",)},
        {"different": ("SOL/aggressive/trades.csv differs",)},
    ],
)
def test_only_a_campaign_without_any_blemish_is_good(change: dict[str, Any]) -> None:
    assert GOOD.is_good
    bad = replace(GOOD, **change)
    assert not bad.is_good
    assert not bad.as_json()["good"]
    for texts in (bad.false_kills, bad.incomplete, bad.different):
        assert all(text in table.summary(bad) for text in texts)


def test_the_table_is_plain_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table.show(replace(GOOD, rows=(ROW, replace(ROW, detected_s=None, healed_s=None, seen_as=""))))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "at"
    assert all(word in lines[1] for word in ("1:15", "worker killed", "0.4 s", "3.2 s", "worker_sentry cycle 9"))
    assert "NOT HEALED" in lines[2]
    assert lines[3].startswith(
        "1 of 2 faults healed, half of them within 3.2 s, the slowest in 3.2 s; 0 false kills; 1 rounds in 2.0 minutes"
    )


def test_a_tree_is_whole_when_every_sum_is_right_and_nothing_else_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    manifest = {"files": {"a.json": hashlib.sha256(b"{}").hexdigest()}}
    assert artifacts.wrong_in(tmp_path) == [f"{tmp_path} has no whole run_manifest.json"]
    (tmp_path / "run_manifest.json").write_text(json.dumps(manifest))
    assert artifacts.wrong_in(tmp_path) == []
    (tmp_path / "b.json").touch()
    assert artifacts.wrong_in(tmp_path) == [f"{tmp_path / 'b.json'} is in no manifest"]
    (tmp_path / "b.json").unlink()
    (tmp_path / "a.json").write_bytes(b"{ }")
    assert artifacts.wrong_in(tmp_path) == [f"{tmp_path / 'a.json'} is not what its manifest says"]
    (tmp_path / "a.json").unlink()
    assert artifacts.wrong_in(tmp_path) == [f"{tmp_path / 'a.json'} is missing"]


def test_agents_are_hit_each_in_turn_and_the_same_for_the_same_seed() -> None:
    agents = ["a", "b", "c", "d"]
    first, again = Dice(7, agents), Dice(7, agents)
    hit = [first.next_agent() for _ in range(4)]
    assert sorted(hit) == agents
    assert hit == [again.next_agent() for _ in range(4)]


def test_every_fault_has_its_turn() -> None:
    assert set(TURNS) == set(FAULTS)


@pytest.mark.parametrize("words", [["--minutes", "0"], ["--every", "x"], ["--cadence-scale", "-1"]])
def test_numbers_that_are_none_are_usage(words: list[str]) -> None:
    assert command.main(words) == 2


# two at a time --------------------------------------------------------------------------------------------------------


def test_every_pair_comes_once_before_any_comes_again() -> None:
    every = drawn(3, None)
    kinds = {frozenset(pair) for pair in every}
    count = len(surroundings.FAULTS)
    assert len(every) == len(kinds) == count * (count + 1) // 2 - 3  # a full disk cannot be filled once more
    assert drawn(3, len(every) + 5)[: len(every)] == every
    assert drawn(4, None) != every
    assert {pair[0] < pair[1] for pair in every if pair[0] != pair[1]} == {True, False}  # either may come first


def test_pairs_of_some_faults_only() -> None:
    assert sorted(map(sorted, drawn(1, None, ("stop", "agent-killed")))) == [
        ["agent-killed", "agent-killed"],
        ["agent-killed", "stop"],
    ]


@pytest.mark.parametrize("words", [["--pairs", "-1"], ["--pairs", "many"], ["--pairs", "3", "--only", "flood"]])
def test_pairs_that_make_no_sense_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words) in (1, 2)
    assert words[-1] in capsys.readouterr().err


def test_what_a_stop_left_behind_spoils_a_campaign() -> None:
    for bad in (
        replace(GOOD, left_behind=("process 7",)),
        replace(GOOD, broken=("stop+ensure: after stop there was 7",)),
    ):
        assert not bad.is_good
        assert (bad.left_behind or bad.broken)[0] in table.summary(bad)


def test_a_percentile_is_said_where_there_are_enough_faults() -> None:
    rows = tuple(replace(ROW, healed_s=float(number)) for number in range(1, 201))
    assert "half of them within 100.5 s, 99 % within 199.0 s, the slowest in 200.0 s" in table.summary(
        replace(GOOD, rows=rows)
    )
