"""The one way to tmux: plain calls to look, libtmux's objects to act, both within our deadline.

The witness is libtmux as it comes, on the same server: its fixture `server` knows nothing of `TmuxServer`.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import libtmux
import pytest
from libtmux.exc import LibTmuxException

from agents import registry
from agents.machine import observe, sessions
from agents.machine.sessions import NoAnswer, Tmux
from agents.machine.tmux_server import Answer
from config import settings
from config.errors import Refused
from scripts.swarm import outside
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tree import tree_of
from state.host import root
from state.host.clock import SystemClock
from state.host.environment import of_member
from state.records.server import Server
from tests.agents.worlds import limits_with

LIMITS = limits_with(agents={"tmux_timeout_s": 5.0})
SOON_S = 0.5  # a deadline that is meant to pass


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Roots and sockets of our own, with a short name: a socket's path may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as name:
        for variable in ("STATE_ROOT", "LOGS_ROOT", "TMUX", "TMUX_PANE"):
            monkeypatch.delenv(variable, raising=False)
        # The witness separates fields by a character that tmux replaces by "_" in a locale without UTF-8.
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
        monkeypatch.setenv("RESULTS_ROOT", f"{name}/r")
        monkeypatch.setenv("TMUX_TMPDIR", name)
        monkeypatch.setenv("PATH", os.environ["PATH"])  # what `program` puts before it is gone after the test
        yield Path(name)


@pytest.fixture
def roots(folder: Path) -> Roots:
    found = Roots.from_environment()
    found.state.mkdir(parents=True)
    root.settle(found.state)
    return found


@pytest.fixture
def tmux(roots: Roots, folder: Path, server: libtmux.Server) -> Iterator[Tmux]:
    """Our way to the server of libtmux's fixture. All that bears its label is ended, a server without a socket, too."""
    label = server.socket_name
    assert label is not None
    yield Tmux(roots, Server(label, str(folder)), LIMITS.agents.tmux_timeout_s)
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if label in command.read_bytes().decode(errors="replace").split("\0"):
                os.kill(int(command.parent.name), signal.SIGKILL)


def begin(tmux: Tmux, *names: str, command: Sequence[str] = ("cat",)) -> None:
    for name in names:
        tmux.start(name, command, of_member(tmux.roots))


def names(tmux: Tmux) -> list[str]:
    return [view.name for view in tmux.sessions() if view.alive]


def wait_for_no_server(tmux: Tmux) -> None:
    """A server exits by itself a moment after its last session, or when it could begin none."""
    deadline = time.monotonic() + 60.0
    while tmux.call("display-message", "-p", "#{pid}")[0] == 0:
        assert time.monotonic() < deadline, "the server does not exit"


def words_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")[:-1]


# what is done ---------------------------------------------------------------------------------------------------------


def test_what_is_started_is_seen_by_us_and_by_libtmux(tmux: Tmux, server: libtmux.Server) -> None:
    assert (tmux.sessions(), list(tmux.acting().sessions), tmux.acting().is_alive()) == ((), [], False)
    begin(tmux, "bt-one", "bt-two")
    acting = tmux.acting()
    assert names(tmux) == ["bt-one", "bt-two"]
    assert [(one.session_id, one.session_name) for one in acting.sessions] == [
        (one.session_id, one.session_name) for one in server.sessions
    ]
    seen = [(one.pane_id, one.window_id, one.session_name, one.pane_pid, one.pane_dead) for one in acting.panes]
    assert seen == [(one.pane_id, one.window_id, one.session_name, one.pane_pid, one.pane_dead) for one in server.panes]
    begin(tmux, "bt-one")  # somebody else was faster
    assert acting.is_alive()
    assert names(tmux) == ["bt-one", "bt-two"]


def test_only_the_session_of_exactly_that_name_is_ended(tmux: Tmux, server: libtmux.Server) -> None:
    begin(tmux, "bt-worker-10", "bt-worker-100", "bt-worker-2")
    tmux.end("bt-worker-1")  # as a target of tmux it also means bt-worker-10
    assert len(server.sessions) == 3
    tmux.end("bt-worker-10")
    assert [one.session_name for one in server.sessions] == ["bt-worker-100", "bt-worker-2"]


def test_a_command_reaches_the_pane_word_for_word_without_a_shell(tmux: Tmux, server: libtmux.Server) -> None:
    command = [sys.executable, "-c", "input()", "a;", "#(touch pwned)", "$HOME `id` \"'", "ü b"]
    begin(tmux, "bt-words", command=command)
    pane = server.panes[0]
    assert pane.pane_pid is not None
    assert words_of(int(pane.pane_pid)) == command
    assert pane.display_message("#{pane_current_path}", get_text=True) == [str(CHECKOUT)]


def test_a_claimed_server_says_whose_it_is_and_is_on_file(tmux: Tmux, server: libtmux.Server) -> None:
    begin(tmux, "bt-one")
    claimed = tmux.claim(["bt-one"], {}, {}, {})
    assert server.getenv("STATE_ROOT") == str(tmux.roots.state)
    assert claimed.served() == (str(tmux.roots.state), True)
    assert {view.state_root for view in tmux.sessions()} == {str(tmux.roots.state)}
    options = server.cmd("show-options", "-g").stdout
    assert {"status-left-length 40", 'status-right "%H:%M"'} <= set(options)
    pid = claimed.server.process.pid if claimed.server.process else 0
    assert [str(pid)] == server.cmd("display-message", "-p", "#{pid}").stdout
    assert sessions.recorded(tmux.roots) == claimed.server


def test_what_tmux_refuses_is_said_and_what_is_gone_is_neither_ended_nor_claimed(tmux: Tmux) -> None:
    with pytest.raises(Refused, match="tmux cannot start : invalid session"):
        begin(tmux, "")
    tmux.end("bt-one")  # whether the server of the refused session still exits, or has exited
    wait_for_no_server(tmux)
    tmux.end("bt-one")
    assert tmux.claim([], {}, {}, {}).server.process is None
    assert not tmux.acting().run_outside("true")


def test_a_call_that_fails_without_a_word_has_failed_for_libtmux_too(tmux: Tmux, folder: Path) -> None:
    """libtmux goes by stderr alone, so a tmux that was killed would have done what it was asked."""
    assert Answer(["kill-server"], 0, "").stderr == []
    program(folder, "kill -9 $$")
    with pytest.raises(LibTmuxException, match="exit code -9"):
        tmux.acting().kill()
    with pytest.raises(NoAnswer):
        tmux.sessions()


# who gives no answer --------------------------------------------------------------------------------------------------


def test_a_stopped_server_hangs_nobody_and_who_looks_or_ends_a_session_loses_nothing(
    tmux: Tmux, server: libtmux.Server
) -> None:
    begin(tmux, "bt-one", "bt-two")
    tmux.claim(["bt-one", "bt-two"], {}, {}, {})
    hasty = Tmux(tmux.roots, tmux.server, SOON_S)
    acting = hasty.acting()
    with stopped(server):
        silent(
            hasty.sessions,
            hasty.served,
            acting.is_alive,
            lambda: acting.panes,
            lambda: acting.sessions,
            lambda: acting.has_session("bt-one"),
            lambda: hasty.end("bt-one"),  # it asks for the session's id first, so its end is never asked for
        )
        assert observe.sessions_of(tmux.roots, limits_with(agents={"tmux_timeout_s": SOON_S})) is None, (
            "unknown, and not none"
        )
        assert not sessions.is_ours(hasty)
    assert [one.session_name for one in server.sessions] == ["bt-one", "bt-two"]


def test_a_stopped_server_hangs_nobody_who_changes_something(tmux: Tmux, server: libtmux.Server) -> None:
    """A stopped tmux carries out the request once it continues, although the caller has given up."""
    begin(tmux, "bt-one")
    hasty = Tmux(tmux.roots, tmux.server, SOON_S)
    acting = hasty.acting()
    with stopped(server):
        silent(
            lambda: begin(hasty, "bt-two"),
            lambda: hasty.claim(["bt-one"], {}, {}, {}),
            lambda: acting.run_outside("true"),
            hasty.end_server,
            acting.kill,
        )
        assert sessions.recorded(tmux.roots) is None


def silent(*calls: Callable[[], object]) -> None:
    for call in calls:
        with pytest.raises(NoAnswer, match=f"no answer within {SOON_S:g} s"):
            call()


@contextmanager
def stopped(server: libtmux.Server) -> Iterator[None]:
    pid = int(server.cmd("display-message", "-p", "#{pid}").stdout[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_libtmux_would_ask_past_our_deadline_is_an_error_and_never_nothing(tmux: Tmux) -> None:
    begin(tmux, "bt-one")
    acting = tmux.acting()
    session, pane = acting.sessions[0], acting.panes[0]
    asked: list[Callable[[], object]] = [
        lambda: acting.windows,
        lambda: acting.clients,
        lambda: acting.new_session("bt-two"),
        acting.raise_if_dead,
        session.refresh,
        pane.refresh,
        lambda: session.windows,
        lambda: session.active_pane,
    ]
    for question in asked:
        with pytest.raises(NotImplementedError, match="ask through cmd"):
            question()
    assert names(tmux) == ["bt-one"]


def test_a_line_that_nobody_understands_is_no_answer(tmux: Tmux, folder: Path) -> None:
    program(folder, "echo a_line of another version")
    with pytest.raises(NoAnswer, match="'a_line of another version' where a session was expected"):
        tmux.sessions()
    with pytest.raises(NoAnswer, match="where a session was expected"):
        _ = tmux.acting().panes


# where it is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terminal", ["", "dumb", "xterm-256color"])
@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "nowhere"])
def test_no_locale_and_no_terminal_changes_what_is_read(
    tmux: Tmux, monkeypatch: pytest.MonkeyPatch, locale: str, terminal: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    monkeypatch.setenv("TERM", terminal)
    odd = ["bt-ü", "two words", "n 1 %2"]
    begin(tmux, *odd)
    seen = tmux.acting()
    assert sorted(names(tmux)) == sorted(odd)
    assert sorted(str(one.session_name) for one in seen.sessions) == sorted(odd)
    assert {str(one.pane_dead) for one in seen.panes} == {"0"}
    for name in odd[1:]:
        tmux.end(name)
    assert names(tmux) == ["bt-ü"]


def test_a_variable_of_the_users_tmux_leads_nobody_to_another_server(
    tmux: Tmux, server: libtmux.Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmux, "bt-one")
    monkeypatch.setenv("TMUX", f"{folder}/tmux-{os.getuid()}/default,1,0")
    monkeypatch.setenv("TMUX_TMPDIR", "/nowhere")
    assert names(tmux) == [one.session_name for one in tmux.acting().sessions] == ["bt-one"]


# who imports it -------------------------------------------------------------------------------------------------------


def test_a_cycle_that_sees_all_sessions_and_only_decides_imports_no_libtmux(tmux: Tmux) -> None:
    expected = registry.sessions(LIMITS)
    begin(tmux, *expected)
    tmux.claim(expected, {}, dict.fromkeys(expected, SystemClock().monotonic_s()), {})
    snapshot.write_json(tmux.roots.settings, settings.tree_of(settings.load({})))
    command = [sys.executable, "-X", "importtime", "-m", "agents", "operation_hang_guard"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "all sessions are there" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "subprocess" in imported
    assert {name for name in imported if name.startswith("libtmux") or name == "agents.machine.tmux_server"} == set()


def test_stop_needs_no_libtmux_and_a_command_leaves_the_swarm_without_it(
    tmux: Tmux, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This is the case when the environment is broken, or older than the checkout."""
    begin(tmux, "bt-one")
    snapshot.write_json(tmux.roots.swarm, tree_of(tmux.server))
    assert outside._by_tmux(tmux.roots, ["touch", str(folder / "a#(b)")], {})
    for name in [name for name in sys.modules if name.partition(".")[0] == "libtmux"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "agents.machine.tmux_server")
    monkeypatch.setitem(sys.modules, "libtmux", None)
    assert not outside._by_tmux(tmux.roots, ["true"], {})
    assert names(tmux) == ["bt-one"]
    tmux.end_server()
    assert names(tmux) == []


def program(folder: Path, text: str) -> None:
    """Another program in the place of tmux."""
    path = folder / "bin" / "tmux"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    os.environ["PATH"] = f"{path.parent}:{os.environ['PATH']}"
