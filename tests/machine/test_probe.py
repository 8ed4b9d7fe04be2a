"""What the watchdog samples, on this machine and on folders made for it."""

import os
import time
from pathlib import Path

import pytest

from agents.machine import gpus, probe
from agents.machine.observe import limits_of
from agents.model.world import AgentView
from agents.roles import watchdog
from config import settings
from scripts.swarm import sessions
from state.files import snapshot
from state.files.layout import Roots
from state.host.identity import Tree
from tests.agents.worlds import LIMITS, agent, world

NOBODY = 65_534


def test_a_sample_of_this_machine_is_plausible(tmp_path: Path) -> None:
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    roots.state.mkdir()
    one = probe.sample(roots, LIMITS, 1_000.0)
    assert 1 <= one.cores <= (os.cpu_count() or 1)
    assert one.cpu_used_s is not None
    assert one.memory_total_bytes is not None
    assert one.memory_used_bytes is not None
    assert 0 < one.memory_used_bytes < one.memory_total_bytes
    assert one.nofile_limit is None or one.nofile_limit >= 64
    assert one.suspended_s is not None
    assert one.suspended_s >= 0
    assert one.state_problem == ""


def test_the_environments_marks_change_with_lock_and_interpreter(tmp_path: Path) -> None:
    lock = tmp_path / "config" / "locks" / "core.txt"
    assert probe.environment(tmp_path)["lock"] == "gone"
    lock.parent.mkdir(parents=True)
    lock.write_text("one")
    first = probe.environment(tmp_path)
    assert first == probe.environment(tmp_path)
    lock.write_text("two")
    second = probe.environment(tmp_path)
    assert {key for key in first if first[key] != second[key]} == {"lock"}


def test_a_state_root_that_others_may_write_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert probe.state_problem(tmp_path) == ""
    tmp_path.chmod(0o772)
    assert f"{tmp_path} can be written by others (mode 0772)" in probe.state_problem(tmp_path)
    assert "chmod go-w" in probe.state_problem(tmp_path)
    assert "No such file" in probe.state_problem(tmp_path / "gone")


def test_a_state_root_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o500)
    if os.getuid() != 0:
        assert "is read-only" in probe.state_problem(folder)
        return
    pid = os.fork()  # root may write everywhere: ask as somebody else
    if pid == 0:
        os.chown(folder, NOBODY, NOBODY)
        for path in (tmp_path, *list(tmp_path.parents)[:-1]):
            path.chmod(path.stat().st_mode | 0o111)
        os.setuid(NOBODY)
        os._exit(0 if "is read-only" in probe.state_problem(folder) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_driver_that_hangs_makes_no_cycle_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the driver does, a look at the GPUs is some files and at most one process that is started."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\nexec sleep 600\n")
    fake.chmod(0o755)
    monkeypatch.setenv(gpus.DEVICES, str(tmp_path / "dev"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path / "r")})
    from agents.machine import processes

    spent = time.process_time()
    try:
        seen = [gpus.look(roots, LIMITS, 1_000.0 + 15 * n).reason for n in range(4)]
    finally:
        processes.kill_tree(Tree.of(roots.state, str(snapshot.read_json(roots.gpu_question)["nonce"])), None)
    assert seen == ["the driver has not been asked yet", *["no answer within 5 s"] * 3]
    assert time.process_time() - spent < 1.0


def late(name: str, **values: object) -> AgentView:
    return agent(name, f"bt-{name}", **{"age_s": 500.0, **values})


@pytest.mark.parametrize("life", ["dead", "stopped", "unknown"])
def test_only_living_loops_tell_of_a_starved_host(life: str) -> None:
    starved = world(agents=(late("a"), late("b")))
    assert watchdog.decide(starved, watchdog.Memory(), LIMITS).report.host_starved
    faulty = world(agents=(late("a", loop_life=life), late("b", loop_life=life)))
    assert not watchdog.decide(faulty, watchdog.Memory(), LIMITS).report.host_starved
    alone = world(agents=(late("a"), late("b", loop_life=life)))
    assert not watchdog.decide(alone, watchdog.Memory(), LIMITS).report.host_starved


@pytest.mark.parametrize(
    "garbage", ["{", "[1]", '{"swarm": 3}', '{"modes": {}, "run": 3}', '{"swarm": {"lanes": "many"}}', "\x00" * 40]
)
def test_damaged_settings_are_said_kept_aside_and_stop_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], garbage: str
) -> None:
    for name in ("STATE_ROOT", "LOGS_ROOT", "BACKTEST_OPTIMIZE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    now = settings.load({})
    assert probe.settings_problem(roots) == ""
    sessions.begin(roots, now)
    assert probe.settings_problem(roots) == ""
    roots.settings.write_text(garbage)
    assert limits_of(roots) == now.swarm
    assert probe.settings_problem(roots).startswith("settings.json holds no settings")
    sessions.begin(roots, now)
    aside = roots.settings.with_name("settings.damaged-1.json")
    assert aside.read_text() == garbage
    assert "it is settings.damaged-1.json now" in capsys.readouterr().err
    assert limits_of(roots) == now.swarm
    assert probe.settings_problem(roots).endswith("the damaged file is settings.damaged-1.json")
    sessions.begin(roots, now)
    assert not aside.with_name("settings.damaged-2.json").exists()
    aside.unlink()
    assert probe.settings_problem(roots) == ""


def test_settings_of_another_version_are_not_damaged(tmp_path: Path) -> None:
    roots = Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})
    tree = settings.tree_of(settings.load({}))
    tree["swarm"]["agents"].pop("keeper_s")
    tree["swarm"]["of_tomorrow"] = tree["swarm"]["hang"]["of_tomorrow"] = 1
    snapshot.write_json(roots.settings, tree)
    assert probe.settings_problem(roots) == ""
