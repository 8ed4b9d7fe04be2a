"""scripts/bench control-plane: a real private swarm is measured and nothing of it is left."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.registry import AGENTS
from scripts.lab import command, control_plane, costs, private_swarm
from scripts.lab.control_plane import MeasuredCost
from state.files.layout import CHECKOUT, Roots
from state.host import identity


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Roots]]:
    """Fewer repetitions, and the roots that were used."""
    for name, value in (("_COLD_RUNS", 1), ("_ENSURE_RUNS", 2), ("_QUESTIONS", 1), ("EVENTS", 1000)):
        monkeypatch.setattr(control_plane, name, value)
    used: list[Roots] = []
    real = costs.write_events

    def write_events(path: Path, number: int) -> None:
        used.append(Roots(path.parent.parent, path.parent, path.parent))
        real(path, number)
        lines = [p.read_text().count("\n") for p in (path, path.with_name(f"{path.name}.1"))]
        assert min(lines) >= number // 2

    monkeypatch.setattr(costs, "write_events", write_events)
    yield used


def test_every_cost_is_measured_and_nothing_is_left(small: list[Roots], capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(["--control-plane", "--minutes", "0.05", "--json"])
    said = capsys.readouterr()
    assert "error:" not in said.err, said.err
    findings = json.loads(said.out)["findings"]
    found = {one["what"]: one for one in findings}
    assert {f"cold cycle of {row.name}, idle" for row in AGENTS} <= set(found)
    limits = sorted(one["limit"] for one in findings if one["limit"] is not None)
    assert limits == [3.0, 60.0, 100.0, 300.0, 300.0]
    assert all(one["measured"] > 0 for one in findings if "whole swarm" not in one["what"])
    cold = [one["measured"] for one in findings if one["what"].startswith("cold cycle of")]
    assert found["cold cycle, all agents, idle"]["measured"] == pytest.approx(sum(cold) / len(cold))
    assert found["forked cycle, all agents, idle"]["measured"] < min(cold), "a fork is as dear as a new Python"
    assert code == int(any(one["verdict"] == "over" for one in findings))
    (roots,) = small
    assert identity.of_swarm(roots.state) == []
    assert not roots.results.parent.exists()


def test_time_of_a_process_and_of_its_ended_children_counts() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    program = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n{burn}\nprint(flush=True)\ninput()"
    )
    both = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **both) as process:
        process.stdout.readline()
        spent = private_swarm._cpu_s(process.pid)
        process.communicate(b"\n")
    assert 0.55 <= spent <= 2.0
    assert private_swarm._cpu_s(process.pid) is None


def test_a_limit_is_kept_or_not_or_there_is_none() -> None:
    found = [MeasuredCost("a", 3.0, "ms", 3.0), MeasuredCost("b", 3.1, "ms", 3.0), MeasuredCost("c", 9.0, "ms")]
    assert [one.verdict for one in found] == ["ok", "over", ""]
    lines = control_plane._table(found).splitlines()
    assert [line.split() for line in lines[-3:]] == [
        ["a", "3.0", "3", "ms", "ok"],
        ["b", "3.1", "3", "ms", "over"],
        ["c", "9.0", "ms"],
    ]


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan", "1e9"])
def test_minutes_are_checked(minutes: str) -> None:
    typed = [sys.executable, str(CHECKOUT / "scripts" / "bench"), "--control-plane", "--minutes", minutes]
    done = subprocess.run(typed, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, f"'{minutes}' is no number of minutes" in done.stderr) == (2, True), done.stderr
