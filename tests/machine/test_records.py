"""Logs and records stay bounded over weeks, and what somebody needs stays: real files, writers that go on."""

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.actions.jobs import RestartUnits
from agents.actions.records import (
    CompactJobs,
    RetireRecords,
    RotateLogs,
    WriteEvents,
    WriteIncidents,
    WriteLine,
)
from agents.machine import records
from agents.machine.acts import Acts
from agents.machine.observe import observe
from agents.model.world import Expired
from agents.registry import AGENTS
from agents.runtime import cycle, verify
from config import settings
from state.files import made, snapshot
from state.files.journal import Journal
from state.files.layout import Roots
from state.files.tree import tree_of
from state.records import orders, runs
from state.records.agent_states import Deed
from state.records.jobs import Job, JobJournal
from state.records.runs import Run
from state.records.workers import Launch
from tests.agents.worlds import ORDER, limits_with
from tests.state.test_records import Clock

DAY_S = 86_400
LIMITS = limits_with(records={"keep_runs": 2, "keep_rounds": 2, "keep_log_days": 10.0, "log_mb": 1, "journal_mb": 1})
UNITS = (("SOL", "aggressive"), ("BTC", "aggressive"))


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})


def swarm_run(roots: Roots, run_id: str, finished: bool = True, rounds: int = 1) -> orders.SwarmOrder:
    folder, order = roots.swarm_run(run_id), replace(ORDER, run_id=run_id)
    orders.write(folder.order, order)
    for number in range(rounds):
        snapshot.write_json(folder.round(number).begun, {"at": ""})
        for unit in UNITS:
            snapshot.write_json(folder.round(number).unit(*unit).outcome, {"round": number})
    if finished:
        snapshot.write_json(folder.finished, {})
    return order


def single_run(roots: Roots, run_id: str, done: bool) -> None:
    runs.write(roots.run(run_id), Run(run_id, "k", "SOL", "aggressive", "", done))


def old(path: Path, days: float, text: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    moment = path.stat().st_mtime - days * DAY_S
    os.utime(path, (moment, moment))
    return path


def old_log(roots: Roots, path: Path, days: float, text: str = "x\n") -> Path:
    """One that we made."""
    made.log(roots, path).close()
    return old(path, days, text)


def answered(path: Path, days: float) -> Path:
    return old(path, days, json.dumps({"request_id": path.stem, "answered_at": "x", "reason": "x"}))


def of_worker(path: Path, days: float) -> Path:
    return old(path, days, json.dumps({"worker_id": path.stem}))


def lines_of(roots: Roots, run_id: str, days: float) -> Path:
    return old(roots.session_log(run_id), days, json.dumps({"run_id": run_id}) + "\n")


def listed(roots: Roots, order: orders.SwarmOrder | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in records.expired(roots, LIMITS, order, time.time()):
        found.setdefault(one.kind, []).append(one.path)
    return found


class RealClock(Clock):
    """Goes on from the moment that files are dated with; `ahead_s` is by how much somebody set it wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_s, self._began = 0.0, datetime.now(UTC) - timedelta(seconds=self.seconds)

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.seconds + self.ahead_s)


def launch(roots: Roots, worker_id: str, unit: tuple[str, str] = UNITS[0], run_id: str = "bt-5") -> Launch:
    job = Job(0, *unit, "prescreen")
    one = Launch(worker_id, run_id, job, 1, "n", "cpu0", 1, "", 0.0, "another-boot")
    snapshot.write_json(roots.launch(worker_id), tree_of(one))
    return one


# retention ------------------------------------------------------------------------------------------------------------


def test_complete_runs_beyond_those_kept_go_and_no_other(roots: Roots) -> None:
    swarm_run(roots, "bt-1")
    single_run(roots, "bt-2", done=True)
    swarm_run(roots, "bt-3", finished=False)
    single_run(roots, "bt-4", done=False)
    (roots.state / "runs" / "bt-4b").mkdir()  # nobody knows what it is
    swarm_run(roots, "bt-5")
    swarm_run(roots, "bt-6")
    assert listed(roots, None) == {"run": ["bt-1", "bt-2"]}


def test_the_newest_run_and_the_current_one_stay_whatever_is_kept(roots: Roots) -> None:
    for number in range(1, 5):
        swarm_run(roots, f"bt-{number}")
    snapshot.write_json(roots.current_run, {"run_id": "bt-1"})
    order = orders.current(roots)
    assert listed(roots, order)["run"] == ["bt-2"]
    for run_id in ("bt-1", "bt-4"):
        assert not records.retire(roots, Expired("run", run_id, "somebody says so"))
    assert roots.swarm_run("bt-1").order.exists()


def test_a_run_that_came_back_to_life_since_it_was_listed_stays(roots: Roots) -> None:
    for number in range(1, 5):
        swarm_run(roots, f"bt-{number}")
    roots.swarm_run("bt-1").finished.unlink()
    assert not records.retire(roots, Expired("run", "bt-1", ""))
    assert records.retire(roots, Expired("run", "bt-2", ""))
    assert sorted(p.name for p in (roots.state / "runs").iterdir()) == ["bt-1", "bt-3", "bt-4"]


def test_rounds_beyond_those_kept_go_but_for_a_units_last_outcome(roots: Roots) -> None:
    order = swarm_run(roots, "bt-5", finished=False, rounds=6)
    for number in range(2, 6):  # BTC failed in the third round: what it came to stands in the second
        roots.swarm_run("bt-5").round(number).unit(*UNITS[1]).outcome.unlink()
    assert listed(roots, order) == {"round": ["bt-5/round-0000", "bt-5/round-0002", "bt-5/round-0003"]}
    for kept in ("bt-5/round-0004", "bt-5/round-0005", "bt-5/round-0009", "bt-5"):
        assert not records.retire(roots, Expired("round", kept, ""))
    assert records.retire(roots, Expired("round", "bt-5/round-0000", ""))
    assert [one.number for one in roots.swarm_run("bt-5").rounds()] == [1, 2, 3, 4, 5]


def test_old_logs_answers_and_orphans_go_and_what_is_in_use_stays(roots: Roots) -> None:
    swarm_run(roots, "bt-5", finished=False)
    launch(roots, "r0.SOL.aggressive.prescreen.0.e1.abc")
    gone = {
        "log": [
            old_log(roots, roots.worker_log("bt-4", "r0.SOL.aggressive.merge.0"), 11),
            old_log(roots, roots.log("bt-0"), 11),
        ],
        "state": [
            answered(roots.requests / "done" / "a.json", 11),
            answered(roots.requests / "refused" / "b.json", 11),
            lines_of(roots, "bt-2", 11),
            of_worker(roots.heartbeat("gone"), 0.1),
            of_worker(roots.exit("gone"), 0.1),
            old(roots.state / ".current_run.json.0123abcd.tmp", 2),
        ],
    }
    kept = [
        old_log(roots, roots.worker_log("bt-4", "r0.SOL.aggressive.prescreen.0"), 11),  # its worker is on file
        old_log(roots, roots.worker_log("bt-4", "r1.SOL.aggressive.merge.0"), 9),
        answered(roots.requests / "open.json", 99),
        lines_of(roots, "bt-5", 99),
        of_worker(roots.heartbeat("r0.SOL.aggressive.prescreen.0.e1.abc"), 99),
        of_worker(roots.exit("just-now"), 0),
        old(roots.tombstone, 99),
        old(roots.artifacts("SOL", "aggressive") / "all_trials.json", 999),
    ]
    found = listed(roots, None)
    assert {kind: sorted(paths) for kind, paths in found.items()} == {
        "log": sorted(str(p.relative_to(roots.logs)) for p in gone["log"]),
        "state": sorted(str(p.relative_to(roots.state)) for p in gone["state"]),
    }
    acts = Acts(roots, LIMITS, Clock(), "bt-5", 0)
    named = tuple(records.expired(roots, LIMITS, None, time.time()))
    assert acts.do(RetireRecords(named)) == "8 of 8 removed"
    assert listed(roots, None) == {}
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("state", "../Backtests/optimizations/SOL/aggressive/all_trials.json"),
        ("run", "../../Backtests"),
        ("run", "."),
        ("log", "../state/settings.json"),
        ("state", "settings.json"),
        ("state", "runs/bt-5/order.json"),
        ("state", "heartbeats/../settings.json"),
        ("run", "linked"),
    ],
)
def test_a_path_that_leads_elsewhere_is_left_alone(roots: Roots, kind: str, path: str) -> None:
    swarm_run(roots, "bt-5")
    result = old(roots.artifacts("SOL", "aggressive") / "all_trials.json", 0)
    old(roots.settings, 99)
    (roots.state / "heartbeats").mkdir()
    roots.logs.mkdir()
    (roots.state / "runs" / "linked").symlink_to(roots.artifacts("SOL", "aggressive"))
    assert not records.retire(roots, Expired(kind, path, ""))
    assert result.exists()
    assert roots.settings.exists()
    assert roots.swarm_run("bt-5").order.exists()


def test_it_is_looked_for_now_and_then_only_and_bounded(roots: Roots) -> None:
    snapshot.write_json(roots.settings, settings.tree_of(settings.load({})))
    for number in range(80):
        answered(roots.requests / "done" / f"{number}.json", 99)
    clock = RealClock()
    first = observe(roots, LIMITS, ("records",), clock).records
    assert first is not None
    assert first.expired == (), "nobody has counted yet"
    cycle.run_cycle("watchdog", roots, clock=clock)
    clock.seconds += 16 * DAY_S  # counted twice, since the count is behind the clock
    now = observe(roots, LIMITS, ("records",), clock).records
    assert now is not None
    assert now.expired == ()
    cycle.run_cycle("watchdog", roots, clock=clock)
    clock.seconds += records.LOOK_EVERY_S
    cycle.run_cycle("watchdog", roots, clock=clock)
    assert len(list((roots.requests / "done").iterdir())) == 30, "what is recorded of one cycle stays short"
    clock.seconds += 15
    second = observe(roots, LIMITS, ("records",), clock).records
    assert second is not None
    assert second.expired is None
    clock.seconds += records.LOOK_EVERY_S
    cycle.run_cycle("watchdog", roots, clock=clock)
    assert list((roots.requests / "done").iterdir()) == []
    assert observe(roots, LIMITS, (), clock).records is None


# rotation -------------------------------------------------------------------------------------------------------------

FLOOD = """
import sys
log = open(sys.argv[1], "ab", buffering=0)
for n in range(60_000):
    log.write(b"line %08d %s\\n" % (n, b"x" * 80))
print("!", flush=True)
sys.stdin.read()
log.write(b"the end\\n")
"""


def test_a_flood_is_cut_while_its_writer_goes_on(roots: Roots) -> None:
    made.log(roots, log := roots.worker_log("bt-5", "j")).close()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", FLOOD, str(log)], **pipes) as writer:
        assert writer.stdout is not None
        times = largest = 0
        while not select.select([writer.stdout], [], [], 0)[0]:
            if log.exists():
                largest = max(largest, log.stat().st_size)
                times += records.rotate(roots, "bt-5/j.log", 300_000)
        assert writer.communicate(b"")[0] == b"!\n"
        assert writer.returncode == 0
    assert times >= 3
    aside = log.with_name("j.log.1")
    assert aside.stat().st_size < 150_000 + largest
    lines = aside.read_bytes().splitlines()
    numbers = [int(line[5:13]) for line in lines[:-1]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "whole lines in order, none missing inside"
    assert log.read_bytes().endswith(b"the end\n"), "its writer appends at the new end"
    assert b"\0" not in log.read_bytes(), "a hole: somebody writes at the old offset"


def test_a_log_that_is_short_is_left_alone_and_only_written_ones_are_looked_at(roots: Roots) -> None:
    launch(roots, "r0.SOL.aggressive.prescreen.0.e1.abc")
    mine = old_log(roots, roots.worker_log("bt-5", "r0.SOL.aggressive.prescreen.0"), 0, "x" * 1_100_000)
    agents = old_log(roots, roots.agent_log("watchdog"), 0, "x" * 1_100_000)
    old_log(roots, roots.worker_log("bt-5", "r0.SOL.aggressive.merge.0"), 0, "x" * 1_100_000)
    short = old_log(roots, roots.agent_log("curator"), 0, "x" * 900_000)
    look = records.look(roots, LIMITS, None, thorough=False)
    assert look.long_logs == tuple(sorted(str(p.relative_to(roots.logs)) for p in (mine, agents)))
    action = RotateLogs(look.long_logs)
    assert Acts(roots, LIMITS, Clock(), "", 0).do(action) == "2 logs rotated"
    assert (mine.stat().st_size, short.stat().st_size) == (0, 900_000)
    after = observe(roots, LIMITS, ("records",), Clock())
    assert verify.holds(Deed("rotate_logs", "", "", ""), (RotateLogs,), after) is True


# journals -------------------------------------------------------------------------------------------------------------


def test_a_job_journal_that_grew_is_compacted_by_the_watchdog(roots: Roots) -> None:
    snapshot.write_json(roots.settings, settings.tree_of(settings.load({})))
    swarm_run(roots, "bt-5", finished=False)
    snapshot.write_json(roots.current_run, {"run_id": "bt-5"})
    journal = Journal(roots.swarm_run("bt-5").round(0).jobs, durable=False)
    jobs = JobJournal(journal, Clock())
    jobs.enqueue([job := Job(0, "SOL", "aggressive", "prescreen")])
    jobs.died(job.job_id, "x", 0, 1, 0.0)
    line = journal.path.read_bytes().splitlines(keepends=True)[-1]
    with journal.path.open("ab") as file:
        file.write(line * 6_000)
    assert journal.path.stat().st_size > 1_000_000
    states = jobs.states()
    done = cycle.run_cycle("watchdog", roots)
    assert "compact_jobs" in [action["kind"] for action in done.actions]
    assert journal.path.stat().st_size < 100_000
    assert jobs.states() == states
    world = observe(roots, LIMITS, ("records",))
    assert verify.holds(Deed("compact_jobs", "", "", ""), (CompactJobs,), world) is True
    assert cycle.run_cycle("watchdog", roots).actions == (), "the second time there is nothing to do"


def test_events_and_cycle_journals_stay_within_their_bounds(roots: Roots) -> None:
    acts = Acts(roots, LIMITS, Clock(), "bt-5", 0)
    events = ({"event": "x", "text": "y" * 50_000},) * 5
    for _ in range(14):
        acts.do(WriteEvents(events))
        acts.do(WriteIncidents(events))
        acts.do(WriteLine("bt-5", {"events": events}))
    for path in (roots.events, roots.session_events, roots.session_log("bt-5")):
        assert path.stat().st_size < 1_500_000
        assert path.with_name(f"{path.name}.1").stat().st_size < 1_500_000
    assert 2 * len(AGENTS) * cycle._JOURNAL_BYTES < 50_000_000


# restart --------------------------------------------------------------------------------------------------------------


def test_a_unit_begins_again_with_new_code_and_the_other_stays(roots: Roots) -> None:
    snapshot.write_json(roots.settings, settings.tree_of(settings.load({})))
    swarm_run(roots, "bt-5", finished=False)
    snapshot.write_json(roots.current_run, {"run_id": "bt-5"})
    folder = roots.swarm_run("bt-5").round(0)
    acts = Acts(roots, LIMITS, Clock(), "bt-5", 0)
    jobs = JobJournal(Journal(folder.jobs), Clock())
    ours = [Job(0, *UNITS[0], phase) for phase in ("preflight", "prescreen")]
    theirs = Job(0, *UNITS[1], "preflight")
    jobs.enqueue([*ours, theirs])
    for job in (*ours, theirs):
        jobs.completed(job.job_id, {"n": 1}, [])
        snapshot.write_json(folder.result(job.job_id), {"epoch": 1})
    snapshot.write_json(folder.lease(ours[1].job_id), {"epoch": 4, "holder": "w"})
    action = RestartUnits((UNITS[0],), "new", left=())
    note = folder.unit(*UNITS[0]).path / "staged" / "my notes.md"
    note.parent.mkdir()
    note.write_text("precious")
    launch(roots, "w")
    with pytest.raises(RuntimeError, match="are still there"):
        acts.do(action)
    assert folder.unit(*UNITS[0]).outcome.exists()
    with pytest.raises(RuntimeError, match="are still there"):
        acts.do(replace(action, left=("another",)))
    roots.launch("w").unlink()
    before = observe(roots, LIMITS, {"code"})
    assert verify.holds(Deed("restart_units", "new", "", ""), (RestartUnits,), before) is None, (
        "nobody wrote down the code"
    )
    for left in ((), ("w",)):  # cut short and decided on again, when somebody had survived KILL
        if left:
            launch(roots, "w")
        assert acts.do(replace(action, left=left)) == "1 units begin again"
        assert [str(one) for one in folder.unit(*UNITS[0]).path.rglob("*") if one.is_file()] == [str(note)]
        world = observe(roots, LIMITS, {"code"})
        assert [(s.job.job_id, s.status) for s in world.jobs] == [
            (ours[0].job_id, "pending"),
            (theirs.job_id, "completed"),
        ]
        assert (world.round_code, world.code != "") == ("new", True)
        assert verify.holds(Deed("restart_units", "new", "", ""), (RestartUnits,), world) is True
        assert verify.holds(Deed("restart_units", "newer", "", ""), (RestartUnits,), world) is False
        assert not folder.unit(*UNITS[0]).outcome.exists()
    assert not folder.result(ours[0].job_id).exists()
    assert folder.result(theirs.job_id).exists()
    assert folder.unit(*UNITS[1]).outcome.exists()
    assert folder.lease(ours[1].job_id).exists(), "epochs go on where they were"


def test_a_round_remembers_the_code_it_began_with(roots: Roots) -> None:
    snapshot.write_json(roots.settings, settings.tree_of(settings.load({})))
    orders.write(roots.swarm_run("bt-1").order, replace(ORDER, settings=settings.tree_of(settings.load({}))))
    snapshot.write_json(roots.current_run, {"run_id": "bt-1"})
    cycle.run_cycle("auto_scheduler", roots)
    world = observe(roots, LIMITS, {"code"})
    assert len(world.code) == 16
    assert world.round_code == world.code
