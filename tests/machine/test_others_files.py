"""What others put into our roots stays: nothing is removed, cut short or closed but what a record says we made."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents.actions.records import RetireRecords
from agents.machine import records
from agents.machine.acts import Acts
from agents.model.world import Expired
from agents.runtime import cycle
from config import settings
from scripts.swarm import stop
from scripts.swarm.doctor.finding import Patient
from scripts.swarm.doctor.records import strangers
from state.files import made, ours, snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tighten import prepare
from tests.machine.test_records import DAY_S, LIMITS, RealClock, answered, of_worker, old, old_log, swarm_run
from tests.state.test_records import Clock

RUN = "bt-20260101_000000Z"
WORKER = "r0.SOL.aggressive.merge.0.e1.0a1b2c"
IN_LOGS = (
    "nginx.log",
    "trader/orders.log.gz",
    "my.logistic_model.pkl",
    "keeper.log",
    "agents/watchdog.log",
    "agents/watchdog.log.1",
    f"{RUN}.log",
    f"{RUN}/r0.SOL.aggressive.merge.0.log",
    f"{RUN}/notes.log",
    ".watchdog.log.0123abcd.tmp",
)
IN_STATE = (
    "draft.tmp",
    ".draft.0123abcd.tmp",
    "session_state_bt-thesis.docx",
    "session_state_bt-thesis.jsonl",
    f"session_state_{RUN}.jsonl",
    f"session_state_{RUN}.jsonl.bak",
    "heartbeats/notes.json",
    f"heartbeats/{WORKER}.json",
    "exits/diary.json",
    "exits/a.tmp",
    "requests/done/shopping.json",
    "requests/done/list.txt",
    "loops/mine.tmp",
    "workers/notes.txt",
    "runs/read me.txt",
    f"runs/{RUN}/notes.md",
    f"runs/{RUN}/.ipynb_checkpoints/order.json",
    f"runs/{RUN}/round-0000/SOL/aggressive/my copy of study.jsonl",
    f"runs/{RUN}/round-0000/SOL/aggressive/staged/draft.txt",
)


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})


def lay(folder: Path, names: tuple[str, ...], days: float = 999) -> Callable[[], bool]:
    """Foreign files, old and open to others; the answer tells whether all of them are as they were."""
    before = {}
    for name in names:
        path = old(folder / name, days, f"precious {name}")
        path.chmod(0o644)
        before[path] = (path.stat().st_ino, path.stat().st_mode, path.read_bytes())
    return lambda: {p: (p.stat().st_ino, p.stat().st_mode, p.read_bytes()) for p in before if p.exists()} == before


def retire_all(roots: Roots, now_s: float | None = None) -> int:
    """As the watchdog would at that moment, whoever says so; how many were named."""
    named = list(records.expired(roots, LIMITS, None, time.time() if now_s is None else now_s))
    Acts(roots, LIMITS, Clock(), "", 0).do(RetireRecords(tuple(named)))
    return len(named)


# retention ------------------------------------------------------------------------------------------------------------


def test_what_others_put_into_the_roots_is_never_removed(roots: Roots) -> None:
    """LOGS_ROOT is `~/logs`, say, and the same swarm has old files of its own there."""
    in_logs, in_state = lay(roots.logs, IN_LOGS), lay(roots.state, IN_STATE)
    for number in range(1, 5):
        swarm_run(roots, f"bt-2026010{number}_000000Z")
    mine = [
        old_log(roots, roots.log("bt-20250101_000000Z"), 99),
        old_log(roots, roots.worker_log(RUN, "r0.SOL.aggressive.search.0"), 99),
        answered(roots.requests / "refused" / "20260101T000000-0123abcd.json", 99),
        of_worker(roots.exit("r0.BTC.aggressive.merge.0.e1.0a1b2c"), 99),
    ]
    assert retire_all(roots) == len(mine) + 2, "of the runs, the two newest stay"
    assert in_logs()
    assert in_state()
    assert not any(path.exists() for path in mine)
    assert not roots.swarm_run(RUN).order.exists(), "what is ours of the run is gone"
    assert retire_all(roots) == 0
    for one in (*(("log", name) for name in IN_LOGS), *(("state", name) for name in IN_STATE), ("run", RUN)):
        assert not records.retire(roots, Expired(*one, "somebody says so"))
    assert in_logs()
    assert in_state()


def test_what_others_put_into_the_roots_is_named_by_the_doctor(roots: Roots) -> None:
    roots.state.mkdir()
    [well] = strangers(Patient(CHECKOUT, roots, LIMITS))
    assert well.severity == "ok"
    lay(roots.logs, IN_LOGS)
    lay(roots.state, tuple(name for name in IN_STATE if name != f"session_state_{RUN}.jsonl" and WORKER not in name))
    old_log(roots, roots.agent_log("curator"), 0)
    swarm_run(roots, RUN)
    state, logs = strangers(Patient(CHECKOUT, roots, LIMITS))
    assert f"{len(IN_STATE) - 2} files in STATE_ROOT" in state.finding
    assert f"{len(IN_LOGS)} files in LOGS_ROOT" in logs.finding
    assert "never removed" in logs.cause


def test_another_swarm_with_the_same_logs_root_keeps_its_logs(tmp_path: Path) -> None:
    """Both began in the same second, so their runs have one id."""
    logs = {"LOGS_ROOT": str(tmp_path / "logs")}
    one, other = (Roots.from_environment({"RESULTS_ROOT": str(tmp_path / name), **logs}) for name in ("one", "other"))
    theirs = old_log(one, one.worker_log(RUN, "r0.SOL.aggressive.merge.0"), 99)
    shared = old_log(one, one.agent_log("watchdog"), 0, "x" * 1_100_000)
    with made.log(other, other.agent_log("watchdog")) as log:  # it writes the same log and did not make it
        log.write(b"more\n")
    mine = old_log(other, other.worker_log(RUN, "r0.BTC.aggressive.merge.0"), 99)
    assert retire_all(other) == 1
    assert (theirs.exists(), mine.exists()) == (True, False)
    assert records.look(other, LIMITS, None, thorough=False).long_logs == ()
    assert not records.rotate(other, "agents/watchdog.log", 100)
    assert shared.stat().st_size > 1_100_000
    assert records.look(one, LIMITS, None, thorough=False).long_logs == ("agents/watchdog.log",)


def test_a_copy_of_a_state_root_owns_no_log(roots: Roots, tmp_path: Path) -> None:
    log = old_log(roots, roots.log(RUN), 99)
    shutil.copytree(roots.state, tmp_path / "copy")
    copied = replace(roots, state=tmp_path / "copy")
    assert retire_all(copied) == 0
    assert log.exists()
    assert retire_all(roots) == 1


def test_a_log_that_somebody_replaced_is_theirs(roots: Roots) -> None:
    log = old_log(roots, roots.log(RUN), 99)
    other = old(log.with_name("mine.txt"), 99, "precious")
    other.rename(log)
    assert retire_all(roots) == 0
    assert log.read_text() == "precious"


@pytest.mark.parametrize("path", ["../state/settings.json", "/etc/passwd", "..", "agents/../../precious"])
def test_a_record_that_names_files_elsewhere_makes_none_of_them_ours(roots: Roots, path: str) -> None:
    old(roots.settings, 99)
    old(roots.results / "precious", 99)
    made.note(roots, roots.logs / "x.log", (roots.logs / path).stat().st_ino if (roots.logs / path).exists() else 1)
    roots.made.write_text(roots.made.read_text().replace("x.log", path))
    assert made.ours(roots) == {}
    assert retire_all(roots) == 0


def test_a_log_whose_folder_became_a_link_is_left_alone(roots: Roots, tmp_path: Path) -> None:
    log = old_log(roots, roots.worker_log(RUN, "r0.SOL.aggressive.merge.0"), 99, "x" * 1_100_000)
    log.parent.rename(elsewhere := tmp_path / "elsewhere")
    log.parent.symlink_to(elsewhere)
    assert retire_all(roots) == 0
    assert not records.rotate(roots, f"{RUN}/r0.SOL.aggressive.merge.0.log", 100)
    assert log.stat().st_size == 1_100_000


def test_the_record_of_what_we_made_stays_short_and_forgets_nothing_that_is_there(roots: Roots) -> None:
    log = old_log(roots, roots.log(RUN), 0)
    made._journal(roots).append(*({"path": f"{n}.log", "inode": n, "root": 1} for n in range(6_000)))
    assert roots.made.stat().st_size > made._LONG_BYTES
    made.compact(roots)
    assert roots.made.stat().st_size < 200
    assert set(made.ours(roots)) == {log.name}


# rotation -------------------------------------------------------------------------------------------------------------


def test_only_our_own_logs_are_cut_and_no_file_of_others_is_replaced(roots: Roots) -> None:
    log = old_log(roots, roots.agent_log("watchdog"), 0, "x\n" * 1_000_000)
    as_it_was = lay(roots.logs, ("agents/watchdog.log.1", ".watchdog.log.1.tmp", "agents/curator.log"), 0)
    long = old(roots.logs / "agents" / "quant_analyst.log", 0, "x" * 2_000_000)
    assert records.look(roots, LIMITS, None, thorough=False).long_logs == ("agents/watchdog.log",)
    assert not records.rotate(roots, "agents/quant_analyst.log", 1_000)
    assert not records.rotate(roots, "agents/curator.log", 10)
    assert records.rotate(roots, "agents/watchdog.log", 1_000)
    assert (log.stat().st_size, log.with_name("watchdog.log.2").stat().st_size) == (0, 498)
    assert long.stat().st_size == 2_000_000
    assert as_it_was()
    old(log, 0, "y\n" * 1_000)
    assert records.rotate(roots, "agents/watchdog.log", 1_000), "what is ours under the second name is replaced"
    assert log.with_name("watchdog.log.2").read_text().startswith("y")
    assert not list(roots.logs.rglob("*.3"))


def test_a_log_with_a_second_name_is_not_cut(roots: Roots, tmp_path: Path) -> None:
    """Somebody keeps it under a name of his own; cut in place, it would be cut there, too."""
    log = old_log(roots, roots.agent_log("watchdog"), 0, "x\n" * 1_000)
    os.link(log, kept := tmp_path / "evidence.log")
    assert not records.rotate(roots, "agents/watchdog.log", 100)
    assert kept.stat().st_size == 2_000


# closing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
def test_what_others_put_into_the_roots_is_not_closed(roots: Roots, deep: bool) -> None:
    in_logs = lay(roots.logs, IN_LOGS)
    names = tuple(name for name in IN_STATE if name != f"session_state_{RUN}.jsonl" and WORKER not in name)
    in_state = lay(roots.state, names)
    folders = {path: path.stat().st_mode for path in (roots.logs, roots.logs / "trader", roots.logs / "agents")}
    folders |= {path: path.stat().st_mode for path in (roots.state, roots.workers, roots.state / "runs")}
    mine = [old(roots.launch(WORKER), 0), old(roots.swarm_run(RUN).order, 0), old(roots.settings, 0)]
    for path in mine:
        path.chmod(0o644)
    prepare(roots, deep=deep)
    assert in_logs()
    assert in_state()
    assert {path: path.stat().st_mode for path in folders} == folders
    assert [path.stat().st_mode & 0o777 for path in mine[-1:]] == [0o600]
    assert not deep or [path.stat().st_mode & 0o777 for path in mine] == [0o600] * 3


def test_what_an_earlier_version_left_open_is_closed_where_nothing_else_lies(roots: Roots) -> None:
    swarm_run(roots, RUN)
    old(roots.launch(WORKER), 0)
    old_log(roots, roots.worker_log(RUN, "r0.SOL.aggressive.merge.0"), 0)
    for root in (roots.state, roots.logs):
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    prepare(roots, deep=True)
    left = [path for root in (roots.state, roots.logs) for path in (root, *root.rglob("*")) if path.stat().st_mode & 63]
    assert left == []


def test_a_file_with_a_second_name_elsewhere_is_not_closed(roots: Roots, tmp_path: Path) -> None:
    theirs = old(tmp_path / "theirs.json", 0)
    theirs.chmod(0o644)
    roots.state.mkdir()
    os.link(theirs, roots.settings)
    prepare(roots, deep=True)
    assert theirs.stat().st_mode & 0o777 == 0o644


# stop -----------------------------------------------------------------------------------------------------------------


def test_a_stop_removes_what_killed_writers_left_and_no_draft_of_others(roots: Roots) -> None:
    swarm_run(roots, RUN, finished=False)
    snapshot.write_json(roots.current_run, {"run_id": RUN})
    folder = roots.swarm_run(RUN).round(0).path
    mine = [old(roots.state / ".settings.json.0123abcd.tmp", 0), old(folder / ".begun.json.0123abcd.tmp", 0)]
    as_it_was = lay(roots.state, (".draft.0123abcd.tmp", "cycles/.x.docx.0123abcd.tmp", f"runs/{RUN}/.a.0123abcd.tmp"))
    (folder / ".begun.json.89abcdef.tmp").mkdir()
    stop._remove_debris(roots)
    assert as_it_was()
    assert not any(path.exists() for path in mine)
    assert (folder / ".begun.json.89abcdef.tmp").is_dir()


# the clock ------------------------------------------------------------------------------------------------------------

TEN_YEARS_S = 10 * 365 * DAY_S


def swarm(roots: Roots) -> tuple[RealClock, Path, Callable[[float], None]]:
    """A watchdog that has counted for a while, a log of today, and how days pass; keep_log_days is 10."""
    own = settings.load({})
    own = settings.with_values(own, swarm={"records": {"keep_log_days": 10.0}})
    snapshot.write_json(roots.settings, settings.tree_of(own))
    clock = RealClock()
    log = old_log(roots, roots.log(RUN), 0)

    def passes(days: float) -> None:
        for _ in range(round(days * 4)):
            clock.seconds += DAY_S / 4
            cycle.run_cycle("watchdog", roots, clock=clock)

    cycle.run_cycle("watchdog", roots, clock=clock)
    return clock, log, passes


def test_a_log_goes_when_its_days_have_passed(roots: Roots) -> None:
    _clock, log, passes = swarm(roots)
    passes(9.5)
    assert log.exists()
    passes(1)
    assert not log.exists()


def test_a_clock_that_leaps_ten_years_ahead_and_back_costs_nothing(roots: Roots) -> None:
    clock, log, passes = swarm(roots)
    clock.ahead_s = TEN_YEARS_S
    passes(4)
    assert log.exists()
    clock.ahead_s = 0
    passes(4)
    assert log.exists(), "what was counted on while the clock was wrong counts no more"
    passes(3)
    assert not log.exists()


def test_a_clock_that_stays_ten_years_ahead_leaves_a_log_half_of_its_days(roots: Roots) -> None:
    clock, log, passes = swarm(roots)
    clock.ahead_s = TEN_YEARS_S
    passes(4.5)
    assert log.exists()
    passes(2)
    assert not log.exists()


def test_a_clock_that_leaps_while_the_watchdog_has_lost_its_memory_costs_nothing(roots: Roots) -> None:
    clock, log, passes = swarm(roots)
    passes(1)
    roots.agent_state("watchdog").unlink()
    clock.ahead_s = TEN_YEARS_S
    passes(4)
    assert log.exists()


def test_a_clock_that_is_wrong_after_a_boot_counts_a_day(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log, passes = swarm(roots)
    monkeypatch.setattr("state.host.identity.boot_id", lambda: "another")
    clock.ahead_s = TEN_YEARS_S
    passes(3)
    assert log.exists()
    clock.ahead_s = 0
    passes(5)
    assert log.exists()


def test_the_names_of_a_whole_run_are_all_known(roots: Roots) -> None:
    swarm_run(roots, RUN, rounds=2)
    assert list(ours.strangers(roots.state)) == []
