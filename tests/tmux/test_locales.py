"""A swarm in the locales of job runners and images: tmux speaks otherwise there, and nobody may notice."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.machine import observe
from agents.machine.sessions import NoAnswer, Tmux
from state.files import snapshot
from state.host import identity
from tests.tmux.swarm import SESSIONS, SMALL, Swarm, kill
from tests.WORKFLOW.pipeline import artifacts


@pytest.fixture(params=["C", "POSIX"])
def foreign(request: pytest.FixtureRequest) -> Iterator[Swarm]:
    """A root with a letter beyond ASCII, and a shell whose locale knows none."""
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as folder:
        (Path(folder) / "t").mkdir(mode=0o700)
        one = Swarm(Path(folder) / "ü", Path(folder) / "t")
        one.environment = {k: v for k, v in one.environment.items() if k != "PYTHONUTF8"} | {"LC_ALL": request.param}
        one.environment.pop("LANG", None)
        try:
            yield one
        finally:
            one.end_everything()


def cycles_again(swarm: Swarm, agent: str) -> bool:
    before = swarm.cycle(agent)
    swarm.wait(f"two cycles of {agent}", lambda: swarm.cycle(agent) >= before + 2)
    return True


def test_a_swarm_begins_heals_and_ends_in_a_locale_without_utf8(
    foreign: Swarm, data: Path, alone: Callable[..., dict[str, Any]]
) -> None:
    foreign.launch(data, *SMALL)
    for agent in ("watchdog", "operation_hang_guard", "session_state_manager", "worker_sentry"):
        assert cycles_again(foreign, agent)
    assert foreign.sessions() == sorted(SESSIONS)
    guard, old = foreign.loop("operation_hang_guard"), foreign.server()
    kill(guard)
    foreign.wait("another guard", lambda: foreign.loop("operation_hang_guard") != guard)
    kill(old)
    done = foreign.ensure()
    assert done.returncode == 0, done.stderr
    foreign.wait("another server", lambda: foreign.server() != old)  # the keeper may have been faster, and be at it
    foreign.wait("all sessions", lambda: foreign.sessions() == sorted(SESSIONS))
    assert cycles_again(foreign, "operation_hang_guard")
    foreign.wait("an ensure with nothing to do", lambda: foreign.ensure().stderr == "")
    foreign.wait("health", lambda: foreign.type("health").returncode == 0)
    assert foreign.finished()["failed"] == {}
    assert "━" in foreign.type("attach", "--once", "bt-worker-progress").stdout
    foreign.stop()
    assert identity.of_swarm(foreign.roots.state) == []
    assert artifacts(foreign.roots.results) == alone(*SMALL)


def test_the_server_that_answers_is_known_as_ours_in_every_locale(
    foreign: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert foreign.type("start").returncode == 0
    before = foreign.server()
    done = foreign.type("start")
    assert (done.returncode, "another socket" in done.stdout + done.stderr) == (0, False)
    assert foreign.server() == before
    monkeypatch.setenv("LC_ALL", foreign.environment["LC_ALL"])
    views = observe.sessions_of(foreign.roots, foreign.limits)
    assert views is not None
    assert {view.name for view in views if view.alive} == set(SESSIONS)
    assert {view.state_root for view in views} == {str(foreign.roots.state)}


def test_what_nobody_understands_is_unknown_and_not_a_traceback(
    foreign: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert foreign.type("start").returncode == 0
    fake = tmp_path / "tmux"
    fake.write_text("#!/bin/sh\necho a_line_of_another_version\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{foreign.environment['PATH']}")
    assert observe.sessions_of(foreign.roots, foreign.limits) is None
    with pytest.raises(NoAnswer, match="'a_line_of_another_version' where a session was expected"):
        Tmux.of(foreign.roots, 2.0).sessions()
    assert snapshot.read_json(foreign.roots.swarm)["process"] is not None
