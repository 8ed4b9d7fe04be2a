"""Every fault that doctor looks for, made for real if that is harmless, and what doctor says about it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from config import settings
from scripts.infra import environment, requirements
from scripts.swarm.doctor import machine, records, software
from scripts.swarm.doctor.command import CHECKS, examine
from scripts.swarm.doctor.finding import Diagnosis, Examination, Patient, ok
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tree import tree_of
from state.host import identity
from state.host.clock import SystemClock, stamp
from tests.agents.worlds import LIMITS, limits_with

SCHEMA = json.loads((CHECKOUT / "docs" / "reference" / "schemas" / "doctor.schema.json").read_text(encoding="utf-8"))
SENTRY = "worker_sentry"


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "r"))
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    for name in ("STATE_ROOT", "LOGS_ROOT", settings.OVERLAY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    roots = Roots.from_environment()
    roots.state.mkdir(parents=True, mode=0o700)
    return Patient(CHECKOUT, roots, LIMITS)


def wrong(found: Iterator[Diagnosis]) -> list[Diagnosis]:
    """Without what is well, and without notes."""
    bad = [one for one in found if one.severity not in ("ok", "note")]
    assert all(one.cause and one.fix for one in bad), bad
    return bad


def only(found: Iterator[Diagnosis]) -> Diagnosis:
    (one,) = wrong(found)
    return one


# the command ----------------------------------------------------------------------------------------------------------


def typed(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    plain = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "VENV_PATH": sys.prefix,
        "RESULTS_ROOT": str(folder / "r"),
    }
    return subprocess.run(
        [getattr(sys, "_base_executable", sys.executable), str(CHECKOUT / "scripts" / "backtest-optimize"), *words],
        env={**plain, "TMUX_TMPDIR": str(folder), **more},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_where_nothing_was_ever_started_it_answers_in_its_schema_and_leaves_nothing(tmp_path: Path) -> None:
    done = typed(tmp_path, "doctor", "--json")
    answer = json.loads(done.stdout)
    jsonschema.validate(answer, SCHEMA)
    assert done.returncode == (0 if answer["healthy"] else 1)
    assert {row["check"] for row in answer["findings"]} >= {check.name for check in CHECKS} - {"python"}
    assert not (tmp_path / "r").exists()


def test_beside_a_missing_environment_it_says_so_and_makes_none(tmp_path: Path) -> None:
    done = typed(tmp_path, "doctor", VENV_PATH=str(tmp_path / "none"))
    assert done.returncode == 1
    assert f"there is no virtual environment at {tmp_path / 'none'}" in done.stdout
    assert "outside the environment" in done.stdout
    assert "disk: RESULTS_ROOT" in done.stdout, "the other checks were not done"
    assert not (tmp_path / "none").exists()


# the frame ------------------------------------------------------------------------------------------------------------


def test_a_look_that_never_comes_back_costs_its_deadline_and_no_more(patient: Patient) -> None:
    def hangs(_patient: Patient) -> Iterator[Diagnosis]:
        signal.pause()
        yield ok("never")

    began = time.monotonic()
    checks = (Examination("dead disk", hangs, 0.2), Examination("next", lambda _p: iter([ok("fine")])))
    found = {check.name: findings for check, findings in examine(checks, patient)}
    assert time.monotonic() - began < 5
    assert (found["dead disk"][0].severity, found["next"][0].severity) == ("unknown", "ok")
    assert "longer than 0.2 s" in found["dead disk"][0].cause


def test_a_look_that_fails_or_dies_is_a_finding_and_not_the_end(patient: Patient) -> None:
    def fails(_patient: Patient) -> Iterator[Diagnosis]:
        yield ok("half")
        raise OSError(5, "Input/output error")

    def dies(_patient: Patient) -> Iterator[Diagnosis]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield ok("never")

    for look, cause in ((fails, "Input/output error"), (dies, "ended without an answer")):
        ((_check, (found,)),) = examine((Examination("x", look),), patient)
        assert (found.severity, cause in found.cause) == ("unknown", True)


def test_the_defaults_can_be_read_without_a_yaml_library() -> None:
    assert settings.swarm_defaults() == settings.load({}).swarm


# software -------------------------------------------------------------------------------------------------------------


def test_a_package_that_cannot_be_imported_is_named_with_its_error(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "broken"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "optuna.py").write_text("raise OSError('libstdc++.so.6: not found')")
    monkeypatch.setenv("VENV_PATH", str(venv))
    found = wrong(software.venv(patient))
    assert found[0].finding == "optuna cannot be imported"
    assert "libstdc++.so.6" in found[0].cause
    assert "packages are not those of config/locks/core.txt" in found[1].finding, "the folder holds none of them"


def test_an_environment_whose_python_does_not_run(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to("/bin/false")
    monkeypatch.setenv("VENV_PATH", str(tmp_path / "venv"))
    assert only(software.venv(patient)).finding.endswith("bin/python does not run")


def test_every_direct_dependency_is_tried() -> None:
    pinned = requirements.applicable(environment.lock_file(CHECKOUT, "core"))
    assert {"numpy", "numba", "optuna", "yaml", "psutil"} <= set(software._direct(CHECKOUT))
    assert len(software._direct(CHECKOUT)) >= 10
    assert len(pinned) > 10


def test_without_tmux_on_the_path(patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert only(software.tmux(patient)).finding == "tmux is not installed"


@pytest.mark.parametrize(("said", "finding"), [("tmux 3.1c", "too old"), ("tmux master", "does not say its version")])
def test_a_tmux_of_another_age(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, finding: str
) -> None:
    (tmp_path / "tmux").write_text(f"#!/bin/sh\necho {said}\n")
    (tmp_path / "tmux").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert finding in only(software.tmux(patient)).finding


def test_a_socket_folder_that_others_may_enter(patient: Patient, tmp_path: Path) -> None:
    folder = tmp_path / f"tmux-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o755)
    found = only(software._socket_folder(folder))
    assert "open to others" in found.finding
    assert found.fix == f"chmod 700 {folder}"
    folder.chmod(0o700)
    assert wrong(software._socket_folder(folder)) == []


@pytest.mark.parametrize(("state", "finding"), [("T", "is stopped"), ("gone", "is gone")])
def test_a_tmux_server_that_is_stopped_or_gone(patient: Patient, state: str, finding: str) -> None:
    with sleeper() as process:
        one = identity.of(process.pid)
        assert one is not None
        record = {"label": "bt-x", "folder": os.environ["TMUX_TMPDIR"], "process": tree_of(one)}
        snapshot.write_json(patient.roots.swarm, record)
        if state == "T":
            stop(process)
        else:
            process.kill()
            process.wait()
        found = only(software._server(patient))
    assert found.finding == f"tmux -L bt-x {finding}"
    assert "ensure_swarm_watchdogs.sh" in found.fix


def test_no_server_after_a_stop_is_on_purpose_and_before_the_first_start_none_was_started(patient: Patient) -> None:
    def said() -> str:
        return next(one.finding for one in software._server(patient) if "server" in one.finding)

    assert said().startswith("no server was started for")
    snapshot.write_json(patient.roots.swarm, {"label": "bt-x", "folder": os.environ["TMUX_TMPDIR"]})
    snapshot.write_json(patient.roots.tombstone, {"at": "2026-01-01T00:00:00.000Z", "by": "me"})
    assert said() == "stopped on purpose, no server runs"


# locks ----------------------------------------------------------------------------------------------------------------

HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


class sleeper:  # noqa: N801
    """A process that waits for its end, holding a lock when it is given one."""

    def __init__(self, lock: Path | None = None) -> None:
        code = HOLD if lock is not None else "print('there', flush=True); input()"
        words = [sys.executable, "-c", code, *([] if lock is None else [str(lock)])]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stopped for certain when this returns."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def test_a_stopped_holder_of_a_lock_is_named_and_a_running_one_is_well(patient: Patient) -> None:
    lock = patient.roots.cycle_lock(SENTRY)
    lock.parent.mkdir(parents=True)
    with sleeper(lock) as process:
        assert wrong(records.locks(patient)) == []
        stop(process)
        found = only(records.locks(patient))
    assert found.finding == f"{SENTRY}.lock is held by a stopped process"
    assert f"kill -CONT {process.pid}" in found.fix
    assert [one.finding for one in records.locks(patient)] == ["none of 1 locks is held"]


# clocks ---------------------------------------------------------------------------------------------------------------


def state(patient: Patient, agent: str = SENTRY, **more: object) -> Path:
    """An agent's state file as of now."""
    clock = SystemClock()
    record = {"schema": 1, "boot_id": identity.boot_id(), "at": stamp(clock.now()), "at_s": clock.monotonic_s()}
    snapshot.write_json(patient.roots.agent_state(agent), {**record, **more})
    patient.roots.agent_state(agent).chmod(0o600)
    return patient.roots.agent_state(agent)


def test_a_wall_clock_that_was_set_is_seen_by_both_times_of_a_record(patient: Patient) -> None:
    state(patient)
    assert wrong(machine.clock(patient)) == []
    state(patient, at_s=SystemClock().monotonic_s() - 3600)
    found = only(machine.clock(patient))
    assert found.finding == "the wall clock was set"
    assert "-3,600 s" in found.cause
    state(patient, at_s=SystemClock().monotonic_s() - 3600, boot_id="another boot")
    assert wrong(machine.clock(patient)) == []


def test_files_from_the_future(patient: Patient) -> None:
    path = state(patient)
    os.utime(path, (time.time() + 900, time.time() + 900))
    assert only(machine.clock(patient)).finding == "1 state files are from the future"


# disk and limits ------------------------------------------------------------------------------------------------------


def test_a_disk_with_less_than_is_wanted_and_a_forecast(patient: Patient) -> None:
    greedy = replace(patient, limits=limits_with(records={"min_free_mb": 10_000_000}))
    assert {one.finding for one in wrong(machine.disk(greedy))} == {
        "the disk under RESULTS_ROOT is full",
        "the disk under STATE_ROOT is full",
    }
    state(patient, "watchdog", report={"disk_full_in_days": 0.5, "disk_bytes_per_day": 4e9})
    found = only(machine.disk(patient))
    assert (found.severity, found.finding) == ("error", "the disk is full in 0.5 days")
    assert "4.0 GB a day" in found.cause
    state(patient, "watchdog", report={"disk_full_in_days": None})
    assert wrong(machine.disk(patient)) == []


def test_a_folder_in_which_nothing_can_be_written(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(machine._folder("STATE_ROOT", Path("/proc/self"), limits_with(records={"min_free_mb": 0})))
    assert any("cannot be written" in one.finding and one.severity == "error" for one in found)


def test_more_lanes_than_memory(patient: Patient) -> None:
    many = replace(patient, limits=limits_with(lanes={"count": 1000, "memory_mb": 100_000}))
    assert "the lanes need more memory than there is" in only(machine.memory(many)).cause


def test_too_few_descriptors(patient: Patient) -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "from pathlib import Path; from config import settings; from state.files.layout import Roots\n"
        "from scripts.swarm.doctor.finding import Patient; from scripts.swarm.doctor import machine\n"
        "p = Patient(Path(), Roots.from_environment(), settings.load({}).swarm)\n"
        "print([one.finding for one in machine.processes_and_files(p)])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "a process may open 64 files" in done.stdout


def test_a_driver_that_hangs_fails_or_lacks_its_packages(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driver").touch()
    monkeypatch.setattr(environment, "NVIDIA_DRIVER", (str(tmp_path / "driver"),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    quick = replace(patient, limits=limits_with(agents={"gpu_timeout_s": 0.3}))
    fake = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for script, finding in (
        ("exec tail -f /dev/null", "the driver gives no answer"),
        ("echo NVML: Driver/library version mismatch; exit 18", "the driver fails"),
    ):
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        assert only(machine.gpu(quick)).finding == finding
    fake.write_text("#!/bin/sh\necho NVIDIA X, 550.1, 80000 MiB\n")
    monkeypatch.setenv("VENV_PATH", str(tmp_path / "no-venv"))
    assert (
        only(machine.gpu(replace(patient, limits=limits_with(agents={"gpu_timeout_s": 10})))).finding
        == "the GPU cannot be used"
    )


# records --------------------------------------------------------------------------------------------------------------


def test_state_that_others_can_write_damaged_or_newer(patient: Patient) -> None:
    state(patient)
    assert wrong(records.state_files(patient)) == []
    patient.roots.state.chmod(0o777)
    assert "others can write into" in only(records.state_files(patient)).finding
    patient.roots.state.chmod(0o700)
    state(patient).chmod(0o666)
    assert only(records.state_files(patient)).finding == "others can write state files"
    state(patient, schema=99)
    assert "written by a newer version" in only(records.state_files(patient)).finding
    state(patient).write_text("{torn")
    assert "is not JSON" in only(records.state_files(patient)).finding


def test_a_keeper_whose_process_is_dead(patient: Patient) -> None:
    (note,) = records.keeper(patient)
    assert (note.severity, note.finding) == ("note", "no keeper is installed")
    with sleeper() as process:
        one = identity.of(process.pid)
        assert one is not None
        snapshot.write_json(patient.roots.state / "keeper.json", {"method": "process", "identity": tree_of(one)})
        assert wrong(records.keeper(patient)) == []
    assert only(records.keeper(patient)).finding == "the keeper (process) is dead"


def test_a_settings_file_that_others_can_write(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("swarm:\n  nice: 7\n")
    own.chmod(0o666)
    monkeypatch.setenv(settings.OVERLAY_VARIABLE, str(own))
    found = [one for one in wrong(records.surroundings(patient)) if str(own) in one.cause]
    assert [one.finding for one in found] == ["others can change what the swarm runs"]
    own.chmod(0o600)
    assert not any(str(own) in one.cause for one in wrong(records.surroundings(patient)))


def test_settings_changed_since_the_start_are_good_to_know(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot.write_json(patient.roots.settings, settings.tree_of(settings.load({})))
    monkeypatch.setenv("BACKTEST_OPTIMIZE__SWARM__LANES__NICE", "7")
    notes = [one for one in records.surroundings(patient) if one.severity == "note"]
    assert [one.cause for one in notes] == ["set differently when the swarm was started: swarm.lanes.nice"]


def test_a_setting_under_its_old_name_is_good_to_know(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    without_groups = json.loads((CHECKOUT / "tests/config/swarm_without_groups.json").read_text(encoding="utf-8"))
    snapshot.write_json(patient.roots.settings, {"swarm": {**without_groups, "nice": 7}})
    monkeypatch.setenv("BACKTEST_OPTIMIZE__SWARM__NICE", "7")
    notes = [one for one in records.surroundings(patient) if one.severity == "note"]
    assert [one.cause.partition(" now;")[0] for one in notes] == [
        "BACKTEST_OPTIMIZE__SWARM__NICE is called BACKTEST_OPTIMIZE__SWARM__LANES__NICE"
    ]


def test_a_loop_that_serves_another_state_root(patient: Patient, tmp_path: Path) -> None:
    words = [sys.executable, "-c", "print('there', flush=True); input()"]
    environ = {**os.environ, "STATE_ROOT": str(tmp_path / "elsewhere")}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        snapshot.write_json(patient.roots.loop(SENTRY), {"identity": tree_of(identity.of(process.pid))})
        found = [one for one in wrong(records.surroundings(patient)) if "another state root" in one.finding]
        process.kill()
    assert len(found) == 1
    assert str(tmp_path / "elsewhere") in found[0].fix
