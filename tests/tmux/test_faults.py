"""Faults that need a real tmux: cron's environment, a root that moves, everybody's second look, a short campaign."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.registry import at_work
from scripts.lab.faults.hostile.answers import as_they_were, photograph
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.host import identity
from tests.tmux.swarm import LONG, MIDDLE, SESSIONS, SETTINGS, Swarm, kill

ENSURE = CHECKOUT / "scripts" / "ensure_swarm_watchdogs.sh"
BENCH = CHECKOUT / "scripts" / "bench"
# Ten prescreen jobs, or sixteen, so that workers come and go for as long as a campaign strikes them.
SIXTEEN = ("--prescreen", "400000", "--trials", "24", "--paths", "50")
JOBS = {"BACKTEST_OPTIMIZE__SWARM__JOBS__SHARD_COMBOS": "25600"}


def test_ensure_needs_no_terminal_no_environment_and_no_folder_to_stand_in(swarm: Swarm, tmp_path: Path) -> None:
    """As cron calls it, from a folder that was deleted."""
    kept = {k: v for k, v in swarm.environment.items() if k in ("RESULTS_ROOT", "TMUX_TMPDIR", "VENV_PATH", *SETTINGS)}
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["bash", "-c", f"cd {gone} && rmdir {gone} && exec {ENSURE}"]
    cron = kept | {"PATH": "/usr/bin:/bin"}
    options = {"env": cron, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, start_new_session=True, **options)
    assert done.returncode == 0, done.stderr
    assert swarm.sessions() == sorted(SESSIONS)
    swarm.wait("the first cycles", lambda: all(swarm.cycle(name) for name in ("worker_sentry", "auto_scheduler")))


def test_a_state_root_that_moves_under_a_running_swarm_takes_its_swarm_along(swarm: Swarm) -> None:
    """The old place is nobody's: loops there end by themselves, what is left ends with the `stop` in the new one."""
    assert swarm.type("start").returncode == 0
    swarm.wait("the first cycles", lambda: swarm.cycle("worker_sentry"))
    old, loop = swarm.server(), swarm.loop("worker_sentry")
    moved = Roots.from_environment({"RESULTS_ROOT": str(swarm.roots.results.with_name("moved"))})
    known = snapshot.read_json(swarm.roots.root_record)
    swarm.roots.results.rename(moved.results)
    try:
        done = swarm.type("start", RESULTS_ROOT=str(moved.results))
        assert done.returncode == 0, done.stderr
        assert "another socket is used" in done.stderr
        assert snapshot.read_json(moved.root_record) == known
        assert snapshot.read_json(moved.swarm)["process"]["pid"] != old.pid
        swarm.wait("the end of the old loop", lambda: identity.life_of(loop) == "dead")
    finally:
        assert swarm.type("stop", RESULTS_ROOT=str(moved.results)).returncode == 0
    assert identity.of_swarm(moved.state) == []
    assert [identity.life_of(one) for one in (old, loop)] == ["dead", "dead"]


def test_on_a_settled_swarm_no_agent_would_act_a_second_time(swarm: Swarm) -> None:
    """All of them, tmux and all: what is as it should be is left alone."""
    assert swarm.type("start").returncode == 0
    names = [row.name for row in at_work(swarm.limits)]
    swarm.wait("two cycles of everybody", lambda: all(swarm.cycle(name) >= 2 for name in names))
    for name in names:
        command = [sys.executable, "-m", "agents", name, "--dry-run", "--json"]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=swarm.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["actions"] == [], name


def test_when_every_agent_is_killed_health_says_dead_and_ensure_brings_them_back(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG, "--no-keeper")
    before = {beat["worker_id"] for beat in swarm.working("prescreen", 2)}
    names = [row.name for row in at_work(swarm.limits)]
    for name in names:
        kill(swarm.loop(name))
    assert swarm.type("health").returncode == 2
    done = swarm.ensure()
    assert done.returncode == 0, done.stderr
    cycle = swarm.cycle("worker_sentry")
    swarm.wait("two cycles of the new sentry", lambda: swarm.cycle("worker_sentry") >= cycle + 2)
    started = [e["worker_id"] for e in swarm.journal() if e["event"] == "started"]
    assert before <= set(started)
    assert not [e for e in swarm.journal() if e["event"] == "died"], "a worker died with the agents"


def campaign(folder: Path, *words: str, size: Sequence[str] = MIDDLE, for_s: float = 900) -> tuple[dict[str, Any], str]:
    """The outcome of a campaign that is good, on generated bars and for one round, and what it said meanwhile."""
    environment = {k: v for k, v in os.environ.items() if k != "BACKTEST_OPTIMIZE_DATA"} | SETTINGS | JOBS
    bench = subprocess.Popen(
        [sys.executable, str(BENCH), "--faults", *words, "--cadence-scale", "0.05", "--rounds", "1", *size, "--json"],
        env=environment | {"VENV_PATH": sys.prefix, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        answer, said = bench.communicate(timeout=for_s)
    except BaseException:
        bench.send_signal(signal.SIGINT)  # so that a campaign that is cut short ends its swarm, too
        bench.communicate(timeout=120)
        raise
    assert bench.returncode == 0, answer + said
    outcome = json.loads(answer)
    assert outcome["good"]
    assert outcome["broken"] == outcome["left_behind"] == outcome["false_kills"] == outcome["incomplete"] == []
    return outcome, said


def test_a_short_campaign_heals_everything_and_kills_nobody_by_mistake(tmp_path: Path) -> None:
    """As many of these as fit into 18 seconds, and then the rest of the round."""
    faults = "worker-killed,server-killed,journal-torn,worker-stopped,socket-deleted,agent-killed"
    outcome, said = campaign(tmp_path, "--minutes", "0.3", "--every", "1", "--only", faults, for_s=400)
    assert {row["fault"] for row in outcome["rows"]} >= {"worker killed"}
    assert all(row["healed_s"] is not None for row in outcome["rows"])
    killed = [row for row in outcome["rows"] if row["fault"] == "worker killed"]
    assert all(row["detected_s"] is not None and row["detected_s"] <= row["healed_s"] for row in killed)
    assert identity.of_swarm(Path(said.splitlines()[0].split()[-1]) / "state") == []


def test_two_faults_at_once_heal_and_a_stop_between_them_is_a_stop(tmp_path: Path) -> None:
    """Every pair of three faults, one of them `stop`, and `start` after it; then nothing is left behind."""
    faults = "guard-killed,journal-nul,stop"
    words = ("--pairs", "0", "--seed", "2", "--minutes", "5", "--every", "0.5")
    outcome, said = campaign(tmp_path, *words, "--only", faults)
    assert len(outcome["rows"]) >= 3, said
    assert any("stop" in row["fault"] for row in outcome["rows"])


def test_attacks_harm_nothing_and_a_copied_or_twice_spelled_root_is_none_of_ours(tmp_path: Path) -> None:
    """As many of these as fit into 36 seconds: files, records and neighbours."""
    attacks = "wrong-shape,others-files,record-lost,two-spellings,pipe-for-state,forged-launch,keeper-stopped"
    outcome, said = campaign(
        tmp_path, "--hostile", "--minutes", "0.6", "--every", "0.5", "--only", attacks, size=SIXTEEN
    )
    assert {row["fault"] for row in outcome["rows"]} >= {"wrong shape", "others' files"}, said
    assert all(row["harm"] == [] for row in outcome["rows"])


def test_what_an_attack_harms_is_said(tmp_path: Path) -> None:
    """A campaign could not fail that does not see a file removed, written to, replaced or closed."""
    files = {name: tmp_path / name for name in ("kept", "removed", "written to", "replaced", "closed")}
    for path in files.values():
        path.write_text("precious")
        path.chmod(0o644)
    harm = as_they_were({path: photograph(path) for path in files.values()})
    assert harm() == []
    files["removed"].unlink()
    files["written to"].write_text("theirs")
    snapshot.write_bytes(files["replaced"], b"precious")
    files["closed"].chmod(0o600)
    said = [text.removeprefix(f"{tmp_path}/") for text in harm()]
    assert said == ["removed was removed", "written to was written to", "replaced was replaced", said[-1]]
    assert said[-1].startswith("closed was closed (0o100644")


def test_ctrl_c_ends_a_campaign_and_leaves_nothing(tmp_path: Path) -> None:
    words = ["--faults", "--only", "worker-killed", "--cadence-scale", "0.05", *LONG]
    environment = {k: v for k, v in os.environ.items() if k != "BACKTEST_OPTIMIZE_DATA"} | SETTINGS
    with subprocess.Popen(
        [sys.executable, str(BENCH), *words],
        env=environment | {"VENV_PATH": sys.prefix},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as bench:
        assert bench.stderr is not None
        root = Path(bench.stderr.readline().split()[-1])
        assert "waiting for the first worker" in bench.stderr.readline()
        os.killpg(bench.pid, signal.SIGINT)
        said = bench.stderr.read()
    assert bench.returncode == 130, said
    assert "its swarm is stopped" in said
    assert not root.exists()
    assert identity.of_swarm(root / "state") == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [(["--only", "nonsense"], "there is no fault 'nonsense'"), (["--keep", "/" + "x" * 80], "is too long a name")],
)
def test_a_campaign_that_cannot_be_is_refused(words: list[str], reason: str) -> None:
    command = [sys.executable, str(BENCH), "--faults", *words]
    environment = {**os.environ, "VENV_PATH": sys.prefix}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, reason in done.stderr) == (1, True), done.stderr
