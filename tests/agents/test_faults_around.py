"""Faults of what is around the agents: disks, limits, clocks of loops, environments. Real ones, one cycle at a time."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agents.machine.observe import limits_of, observe
from agents.roles import session_state_manager as continuity
from scripts.swarm import health
from scripts.swarm.doctor import machine
from scripts.swarm.doctor.finding import Patient
from state.files import snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT, Roots
from state.host import identity
from tests.agents.yard import Yard, fill, yard

ENSURE = CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh"


@pytest.fixture
def here() -> Iterator[Yard]:
    with yard() as one:
        yield one


# 9: full and read-only disks ------------------------------------------------------------------------------------------


@contextmanager
def disk(size: str) -> Iterator[Path]:
    """A small disk of its own; needs the right to mount."""
    with tempfile.TemporaryDirectory(prefix="bt-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no right to mount a disk of one's own: {done.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full_yard() -> Iterator[tuple[Yard, Path]]:
    """A yard on a disk of two megabytes, with a job that waits, and a file that takes all that is free."""
    with disk("2m") as folder:
        here = Yard(Roots.from_environment({"RESULTS_ROOT": str(folder)}))
        fill(here.roots, records={"min_free_mb": 0})  # nobody warns: the disk itself must say no
        here.enqueued("report")
        try:
            here.cycle("session_state_manager")
            yield here, folder / "filler"
        finally:
            here.close()


def fill_up(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            while True:
                try:
                    if file.write(b"x" * size) < size:
                        break
                except OSError:
                    break


def test_on_a_full_disk_nothing_is_launched_and_two_cycles_after_it_has_room_work_goes_on() -> None:
    with full_yard() as (here, filler):
        states = {path: path.read_bytes() for path in here.roots.state.glob("*_state.json")}
        fill_up(filler)
        for name in ("worker_sentry", "session_state_manager"):
            with pytest.raises(OSError, match="No space left"):
                here.cycle(name, after_s=15.0)
        assert here.events("started") == []
        assert {path: path.read_bytes() for path in states} == states
        assert Journal(here.roots.swarm_run("bt-1").round(0).jobs).read().bad_lines == ()
        filler.unlink()
        did = [*here.cycle(after_s=15.0), *here.cycle(after_s=15.0)]
        assert [action for action in did if action.startswith("launch")] == ["launch_worker r0.SOL.aggressive.report.0"]
        here.ended()


def test_a_disk_that_fills_while_a_launch_is_under_way_costs_that_launch_only() -> None:
    """Room for the decision and none for the launch record."""
    with full_yard() as (here, filler):
        code = FILLS_IN_MID_ACT.format(filler=str(filler))
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=CHECKOUT,
            env=here.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "No space left" in done.stdout + done.stderr
        assert identity.of_swarm(here.roots.state) == []
        filler.unlink()
        did = [action for _ in range(3) for action in here.cycle(after_s=15.0)]
        assert did.count("launch_worker r0.SOL.aggressive.report.0") == 1
        here.ended()


FILLS_IN_MID_ACT = """
from pathlib import Path
from agents.machine import launcher
from agents.runtime import cycle
from state.files.layout import Roots
from tests.agents.test_faults_around import fill_up
real = launcher.spawn
def spawn(*arguments):
    fill_up(Path({filler!r}))
    return real(*arguments)
launcher.spawn = spawn
print(cycle.run_cycle("worker_sentry", Roots.from_environment()))
"""


def test_with_too_little_room_nothing_new_is_started_and_the_reason_is_said(here: Yard) -> None:
    fill(here.roots, records={"min_free_mb": 10_000_000})
    here.enqueued("report")
    done = here.cycled()
    assert done.actions == ()
    assert "the disk is full" in done.reason


def test_a_disk_without_inodes_is_said_at_once_and_nothing_is_started_on_it() -> None:
    """Gigabytes free, and no file can be made: agents can record nothing, so nobody waits for them to say it."""
    with disk("200m,nr_inodes=120") as folder:
        here = Yard(Roots.from_environment({"RESULTS_ROOT": str(folder)}))
        fill(here.roots, records={"min_free_files": 10})
        here.enqueued("report")
        assert incidents(here).get("disk_full") is None
        number = 0
        with contextlib.suppress(OSError):
            while True:
                (folder / f"small{number}").touch()
                number += 1
        assert incidents(here)["disk_full"] == "0 more files can be made (inodes), at least 10 are wanted"
        patient = Patient(CHECKOUT, here.roots, limits_of(here.roots))
        assert "hardly a file can be made under RESULTS_ROOT" in {one.finding for one in machine.disk(patient)}
        for other in range(6):
            (folder / f"small{other}").unlink()
        done = here.cycled()
        assert (done.actions, "more files can be made" in done.reason) == ((), True)
        here.close()


def incidents(here: Yard) -> dict[str, str]:
    limits = limits_of(here.roots)
    world = replace(observe(here.roots, limits, {"hooks"}), agents=())  # in a yard none of them lives
    return {one.incident_id: one.what for one in continuity.incidents(world, limits)}


def test_on_a_read_only_state_root_agents_observe_only_and_nobody_dies() -> None:
    with disk("2m") as folder:
        here = Yard(Roots.from_environment({"RESULTS_ROOT": str(folder)}))
        fill(here.roots)
        _, child, _ = here.worker(here.enqueued("search"))
        try:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
            for name in ("worker_sentry", "operation_hang_guard", "session_state_manager"):
                command = [sys.executable, "-m", "agents", name]
                options = {"cwd": CHECKOUT, "env": here.environment, "capture_output": True, "text": True}
                done = subprocess.run(command, check=False, **options)
                assert (done.returncode, "Read-only file system" in done.stderr) == (1, True), done.stderr
                seen = subprocess.run([*command, "--dry-run"], check=False, **options)
                assert seen.returncode == 0, seen.stderr
            assert health.judge(here.roots)[0] != health.HEALTHY
            assert child.poll() is None
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
            here.close()


# the loop: remedies that hang, limits ---------------------------------------------------------------------------------

LOOP = """
import os, resource, signal, sys
from agents.machine.acts import Acts
from agents.machine.observe import resolved
from agents.runtime import loop
from config.settings import with_values
from state.files.layout import Roots
roots = Roots.from_environment()
def within(seconds):
    return with_values(resolved(roots), swarm={{"agents": {{"cycle_deadline_s": seconds}}}}).swarm
short, long = within(1.0), within(60.0)
real = Acts.do
{fault}
loop.one_cycle("auto_scheduler", roots, short)
{mended}
loop.one_cycle("auto_scheduler", roots, long)
"""


def looped(here: Yard, fault: str, mended: str) -> str:
    """Two cycles of a loop, the first under a fault; what the loop said."""
    code = LOOP.format(fault=fault, mended=mended)
    options = {"cwd": CHECKOUT, "env": here.environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=120, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("halt", ["signal.pause()", "os.kill(os.getpid(), signal.SIGSTOP)"])
def test_a_cycle_that_hangs_is_ended_and_the_next_one_does_the_work(here: Yard, halt: str) -> None:
    """In the middle of a remedy, by itself or stopped from outside: its loop ends it before anybody takes over."""
    said = looped(here, f"Acts.do = lambda *_: {halt}", "Acts.do = real")
    assert "took longer than 1 s and was ended" in said
    assert "enqueue_jobs round 1: done" in said
    assert sorted(here.jobs.states()) == ["r0.BTC.aggressive.preflight.0", "r0.SOL.aggressive.preflight.0"]


def test_a_loop_without_a_free_descriptor_misses_a_cycle_and_lives(here: Yard) -> None:
    fault = """
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
"""
    said = looped(here, fault, "resource.setrlimit(resource.RLIMIT_NOFILE, before)")
    assert "no cycle: Too many open files" in said
    assert "enqueue_jobs round 1: done" in said


def test_a_loop_without_a_free_process_misses_a_cycle_and_lives(here: Yard) -> None:
    """Root has no limit on processes, so the loop becomes somebody else for that cycle."""
    fault = """
if os.getuid() == 0:
    os.setresuid(65534, 65534, 0)
before = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (0, before[1]))
"""
    mended = "resource.setrlimit(resource.RLIMIT_NPROC, before); os.getresuid()[2] == 0 and os.setresuid(0, 0, 0)"
    said = looped(here, fault, mended)
    assert "no cycle: Resource temporarily unavailable" in said
    assert "enqueue_jobs round 1: done" in said


def test_sixty_four_descriptors_are_enough_for_a_cycle_that_sees_many_workers(here: Yard) -> None:
    """Nothing is kept open from worker to worker."""
    job = here.enqueued("search")
    launch, _, pulse = here.worker(job)
    for number in range(100):
        record = snapshot.read_json(here.roots.launch(launch.worker_id))
        snapshot.write_json(here.roots.launch(f"w{number}"), {**record, "worker_id": f"w{number}"})
        snapshot.write_json(here.roots.heartbeat(f"w{number}"), snapshot.read_json(pulse.path))
    command = f"ulimit -n 64; exec {sys.executable} -m agents worker_sentry --dry-run"
    options = {"cwd": CHECKOUT, "env": here.environment, "capture_output": True, "text": True}
    done = subprocess.run(["bash", "-c", command], check=False, **options)
    assert done.returncode == 0, done.stderr


# environments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["missing", "without packages", "without packages, made by us"])
def test_without_a_whole_environment_nothing_is_launched_and_the_fix_is_in_the_message(
    here: Yard, tmp_path: Path, damage: str
) -> None:
    venv = tmp_path / "venv"
    if damage != "missing":
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").symlink_to(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
    if damage.endswith("made by us"):
        (venv / "made-by-backtest-optimize").touch()
    environment = {"PATH": "/usr/bin:/bin", "RESULTS_ROOT": str(here.roots.results), "VENV_PATH": str(venv)}
    done = subprocess.run([str(ENSURE)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    fix = {
        "missing": "make it with: ",
        "without packages": f"{venv}/bin/pip install --require-hashes -r ",
        "without packages, made by us": f"rm -r {venv} && ",
    }[damage]
    assert str(venv) in done.stderr
    assert fix in done.stderr
    assert identity.of_swarm(here.roots.state) == []


def test_a_worker_whose_python_is_gone_is_no_storm(here: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment vanishes while the swarm runs: what cannot be started is tried again after a while."""
    job = here.enqueued("report")
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    for _ in range(60):
        here.cycle(after_s=1.0)
    assert 1 <= len(here.events("started")) <= 8  # one every ten seconds
    assert not here.state(job).is_over
    monkeypatch.undo()
    assert any("launch_worker" in action for _ in range(4) for action in here.cycle(after_s=300.0))
    here.ended()


def test_the_folder_people_stand_in_may_be_gone(here: Yard, tmp_path: Path) -> None:
    """A shell in a deleted folder, as after a cleanup, can still ask, stop and ensure."""
    gone = tmp_path / "gone"
    gone.mkdir()
    snapshot.write_json(here.roots.tombstone, {})
    command = f"cd {gone} && rmdir {gone} && {ENSURE} && {sys.executable} {CHECKOUT}/scripts/backtest-optimize health"
    done = subprocess.run(["bash", "-c", command], env=here.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped on purpose\n"), done.stderr
