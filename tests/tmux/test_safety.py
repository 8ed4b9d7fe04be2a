"""A real swarm with secrets in the operator's shell, an open umask, and names that a shell would obey."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agents.machine import sessions
from agents.machine.sessions import Server
from config.errors import Refused
from state.files import private, snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tree import record_of
from state.host import identity
from state.host.identity import Identity
from tests.tmux.swarm import LONG, MIDDLE, SESSIONS, SMALL, Swarm
from tests.tmux.swarm import swarm as a_swarm

SECRETS = {
    "EXCHANGE_API_KEY": "k-4f1c9be07d22",
    "MY_PASSWORD": "correct horse battery",
    "GITHUB_TOKEN": "ghp_0123456789abcdefghijABCDEFGHIJ",
    "AWS_CREDENTIALS": "AKIAABCDEFGHIJKLMNOP",
    "PRIVATE_NOTE": "nobody asked for this variable",
}
EVIL = "r $(touch pwned) `touch pwned` '\"#{pid} #(touch pwned)%H;"


def open_to_others(root: Path) -> list[str]:
    """Files and folders below `root`, links aside, that others may enter, read or change."""
    found = []
    for path in (root, *root.rglob("*")):
        with suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and mode & private.CLOSED:
                found.append(str(path))
    return found


def environment_of(one: Identity) -> bytes:
    return (Path("/proc") / str(one.pid) / "environ").read_bytes()


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def test_no_secret_of_the_shell_is_anywhere_in_the_swarm(swarm: Swarm, data: Path) -> None:
    swarm.environment |= SECRETS
    hook = swarm.roots.hooks / "after_preflight" / "leak"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/sh\necho token=" + SECRETS["GITHUB_TOKEN"] + "; env\n")
    hook.chmod(0o700)
    swarm.launch(data, *MIDDLE)
    worker = record_of(Identity, swarm.working("prescreen", 1)[0]["identity"])
    loops = [swarm.loop(path.stem) for path in swarm.roots.loop("x").parent.glob("*.json")]
    assert len(loops) >= 6
    texts = {f"environ of {one.pid}": environment_of(one) for one in (swarm.server(), worker, *loops)}
    texts["tmux"] = swarm.tmux("show-environment", "-g").encode()
    for session in SESSIONS:
        texts[f"tmux {session}"] = swarm.tmux("show-environment", "-t", f"={session}").encode()
        texts[f"pane {session}"] = swarm.tmux("capture-pane", "-p", "-t", f"={session}:").encode()
    assert swarm.finished()["failed"] == {}
    for root in (swarm.roots.state, swarm.roots.logs, swarm.roots.results / "Backtests"):
        for path in root.rglob("*"):
            with suppress(FileNotFoundError):  # the swarm lives, and replaces its files
                if path.is_file():  # and not a pipe
                    texts[str(path)] = path.read_bytes()
    found = [(name, where) for where, text in texts.items() for name, v in SECRETS.items() if v.encode() in text]
    assert found == []
    assert any(b"[redacted]" in text for text in texts.values()), "the hook's output was never recorded"


def test_what_an_earlier_version_left_open_is_closed_at_start(swarm: Swarm) -> None:
    old = swarm.roots.cycles("watchdog")
    old.parent.mkdir(parents=True)
    old.write_text("")
    for path, mode in ((old, 0o644), (old.parent, 0o755), (swarm.roots.state, 0o755)):
        path.chmod(mode)
    assert swarm.type("start").returncode == 0
    assert open_to_others(swarm.roots.state) == []
    record = snapshot.read_json(swarm.roots.swarm)
    assert isinstance(record, dict)
    assert open_to_others(Server(record["label"], record["folder"]).socket) == []


def test_a_root_that_a_shell_or_tmux_would_obey_is_only_a_name_and_its_results_alone_are_as_the_umask_says(
    data: Path, open_umask: None
) -> None:
    with a_swarm() as plain:
        one = Swarm(plain.roots.results.parent / EVIL, Path(plain.environment["TMUX_TMPDIR"]))
        try:
            one.launch(data, *SMALL)
            assert one.finished()["failed"] == {}
            assert one.sessions() == sorted(SESSIONS)
            for loop in ("watchdog", "worker_sentry"):
                assert f"STATE_ROOT={one.roots.state}".encode() in environment_of(one.loop(loop)).split(b"\0")
            state_and_logs_are_the_users_alone_and_results_as_his_umask_says(one.roots)
            assert one.ensure().stderr == ""
            one.stop()
            assert identity.of_swarm(one.roots.state) == []
        finally:
            one.end_everything()
        places = (CHECKOUT, Path.cwd(), Path("/"), Path.home(), one.roots.results, one.roots.results.parent)
        assert [place for place in places if (place / "pwned").exists()] == []


def state_and_logs_are_the_users_alone_and_results_as_his_umask_says(roots: Roots) -> None:
    assert list(roots.logs.rglob("*.log")), "no worker has a log"
    assert open_to_others(roots.state) == []
    assert open_to_others(roots.logs) == []
    shared = [p for p in (roots.results, *(roots.results / "Backtests").rglob("*")) if p.suffix != ".lock"]
    assert len(shared) > 10
    assert {(p.is_dir(), oct(p.stat().st_mode & 0o777)) for p in shared} == {(True, "0o777"), (False, "0o666")}


def test_a_control_character_in_a_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="control characters"):
        Roots.from_environment({"RESULTS_ROOT": f"{tmp_path}/a\nb"})


def test_a_start_says_what_could_be_written_by_others(swarm: Swarm, tmp_path: Path) -> None:
    """A folder of sockets that others can enter, and a settings file that they can write."""
    folder = Server("bt", swarm.environment["TMUX_TMPDIR"]).socket.parent
    folder.mkdir(mode=0o700)
    folder.chmod(0o750)
    done = swarm.type("start")
    assert (done.returncode, f"chmod 700 {folder}" in done.stderr) == (1, True), done.stderr
    folder.chmod(0o700)
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("run:\n  seed: 3\n")
    overlay.chmod(0o666)
    done = swarm.type("start", BACKTEST_OPTIMIZE_CONFIG=str(overlay))
    assert (done.returncode, f"chmod go-w {overlay}" in done.stderr) == (1, True), done.stderr
    assert not swarm.roots.swarm.exists()


def test_a_checkout_or_environment_that_others_can_write_is_not_started(swarm: Swarm, tmp_path: Path) -> None:
    """The real check, on a copy of what it looks at."""
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=60)
    (place / "bin").chmod(0o777)
    asked = "import sys; from agents.machine import launcher; sys.prefix = sys.argv[1]; launcher.check_installation()"
    done = subprocess.run(
        [sys.executable, "-c", asked, str(place)], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False
    )
    assert f"chmod go-w {place / 'bin'}" in done.stderr, done.stderr
    (place / "bin").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", asked, str(place)], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_tmux_is_given_words_as_they_are(swarm: Swarm) -> None:
    assert swarm.type("start").returncode == 0
    client = sessions.Tmux.of(swarm.roots, 5.0)
    for value in ("a;", ";", "#(touch pwned)", "$HOME `id` \"'", "\\;"):
        code, said = client.call("set-environment", "-g", "BT_TEST", value)
        assert (code, said) == (0, "")
        assert client.call("show-environment", "-g", "BT_TEST") == (0, f"BT_TEST={value}")
    assert snapshot.read_json(swarm.roots.swarm)["label"] == client.server.label


def test_a_stop_removes_what_killed_writers_left_and_nothing_of_others(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG)
    swarm.working("prescreen", 1)
    run_id = swarm.status()["run_id"]
    folder = swarm.roots.swarm_run(run_id).round(0).unit("SYNTHETIC", "aggressive").path
    debris = [folder / ".prescreen-2.json.84e8cde0.tmp", swarm.roots.state / ".settings.json.0123abcd.tmp"]
    others = [folder / ".notes.tmp", swarm.roots.state / "draft.tmp", swarm.roots.state / ".draft.json.tmp"]
    for path in (*debris, *others):
        path.touch()
    assert swarm.type("stop").returncode == 0
    assert [path.exists() for path in debris] == [False, False]
    assert all(path.exists() for path in others)
