"""A hook is asked with a record and a deadline; whatever it does, there is an answer and nothing is left of it."""

import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hooks import notify
from hooks.executable import HookAnswer, ask
from hooks.folder import POINTS, faults, hooks_at
from hooks.gate import NotPassed, pass_all, verdicts_of
from state.files.layout import CHECKOUT, Roots
from state.host import identity

LONG_S = 600.0  # no test waits for it


def hook(path: Path, text: str, mode: int = 0o700) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roots:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "r"))
    monkeypatch.delenv("STATE_ROOT", raising=False)
    monkeypatch.delenv("BACKTEST_OPTIMIZE_GATES", raising=False)
    return Roots.from_environment()


def test_it_is_given_the_record_and_its_first_line_is_the_reason(tmp_path: Path) -> None:
    path = hook(tmp_path / "h", f'cat > {tmp_path}/seen; echo; echo "too risky"; echo more; exit 3')
    assert ask(path, {"point": "after_preflight", "mode": "ä"}) == HookAnswer(False, "too risky")
    assert json.loads((tmp_path / "seen").read_text()) == {"point": "after_preflight", "mode": "ä"}
    assert ask(hook(tmp_path / "quiet", "exit 0"), {}) == HookAnswer(True, "exit code 0")


def test_one_that_gives_no_answer_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """A child that left its group and its session is found by the mark in its environment."""
    text = f"setsid sh -c 'echo $$ > {tmp_path}/far; exec sleep 300' & sleep 300 & echo $! > {tmp_path}/near; sleep 300"
    began = time.monotonic()
    said = ask(hook(tmp_path / "h", text), {}, deadline_s=3.0)
    assert time.monotonic() - began < LONG_S
    assert (said.passed, said.fault) == (False, "gave no answer within 3 s")
    for name in ("near", "far"):
        assert identity.of(int((tmp_path / name).read_text())) is None, f"{name} outlived its hook"


def test_what_it_leaves_running_is_ended_and_is_not_waited_for(tmp_path: Path) -> None:
    said = ask(hook(tmp_path / "h", f"sleep 300 & echo $! > {tmp_path}/child; echo fine"), {}, LONG_S)
    assert said == HookAnswer(True, "fine")
    assert identity.of(int((tmp_path / "child").read_text())) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody adopts a hook's orphans")
@pytest.mark.parametrize("after", ["echo fine", "sleep 300"])
def test_one_that_left_its_group_and_its_environment_is_ended_too(tmp_path: Path, after: str) -> None:
    """A daemon as daemons are made: two forks, a session of its own, and not a word of our environment."""
    text = f"(env -i setsid sh -c 'echo $$ > {tmp_path}/far; exec sleep 300' > /dev/null 2>&1 &)\n"
    text += f"while [ ! -s {tmp_path}/far ]; do :; done\n{after}"
    said = ask(hook(tmp_path / "h", text), {}, deadline_s=3.0)
    assert said.passed == (after == "echo fine")
    assert said.reason == ("fine" if said.passed else "gave no answer within 3 s")
    assert identity.of(int((tmp_path / "far").read_text())) is None, "it outlived its hook"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody adopts a hook's orphans")
def test_who_asks_is_killed_and_the_hook_ends_with_all_that_it_started(tmp_path: Path) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    path = hook(tmp_path / "h", f"env -i setsid sh -c 'echo $$ > {told}; exec sleep 300' & echo $$ > {told}; sleep 300")
    code = "import sys; from pathlib import Path; from hooks.executable import ask; ask(Path(sys.argv[1]), {})"
    asking = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=CHECKOUT)
    with asking as asker, os.fdopen(os.open(told, os.O_RDWR), "rb", buffering=0) as pids:
        alive = [os.pidfd_open(int(pids.readline())) for _ in range(2)]
        asker.kill()
        for one in alive:
            assert select.select([one], [], [], 60.0)[0], "it outlived who asked"
            os.close(one)


def test_a_flood_of_output_is_bounded_and_blocks_nobody(tmp_path: Path) -> None:
    said = ask(hook(tmp_path / "h", "head -c 30000000 /dev/zero | tr '\\0' x; exit 1"), {}, LONG_S)
    assert (said.passed, said.fault, len(said.reason)) == (False, "", 300)


def test_a_record_larger_than_a_pipe_reaches_one_that_never_reads(tmp_path: Path) -> None:
    assert ask(hook(tmp_path / "h", "exit 0"), {"much": "x" * 3_000_000}, LONG_S).passed


@pytest.mark.parametrize(
    ("text", "mode", "fault", "fix"),
    [
        ("exit 0", 0o600, "cannot be executed", "chmod u+x"),
        ("exit 0", 0o722, "can be written by others", "chmod go-w"),
        ("exit 0", 0o720, "can be written by its group", "chmod go-w"),
        ("kill -SEGV $$", 0o700, "was ended by SIGSEGV", "by hand"),
        ("no-such-command-at-all", 0o700, "cannot be run", "by hand"),
    ],
)
def test_a_broken_one_has_not_passed_and_says_what_to_type(
    tmp_path: Path, text: str, mode: int, fault: str, fix: str
) -> None:
    said = ask(hook(tmp_path / "h", text, mode), {})
    assert not said.passed
    assert fault in said.fault
    assert fix in said.fix


def test_one_in_a_folder_that_others_can_write_is_refused_and_sticky_is_fine(tmp_path: Path) -> None:
    path = hook(tmp_path / "open" / "point" / "h", "exit 0")
    path.parent.parent.chmod(0o777)
    assert f"chmod o-w {path.parent.parent}" in ask(path, {}).fix
    path.parent.parent.chmod(0o1777)
    assert ask(path, {}).passed
    path.parent.chmod(0o1777)  # but whoever may add files there may add hooks
    assert f"chmod go-w {path.parent}" in ask(path, {}).fix


def test_a_link_is_judged_by_what_it_points_to(tmp_path: Path) -> None:
    link = tmp_path / "mine" / "h"
    link.parent.mkdir()
    link.symlink_to(hook(tmp_path / "theirs" / "h", "exit 0", 0o777))
    assert f"chmod go-w {tmp_path / 'theirs' / 'h'}" in ask(link, {}).fix


def test_somebody_elses_file_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = hook(tmp_path / "h", "exit 0", 0o755)
    os.chown(path, 4321, 4321)
    assert "belongs to 4321" in ask(path, {}).fault


def test_secrets_reach_neither_a_hook_nor_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "abc-very-secret")
    said = ask(hook(tmp_path / "h", "echo key is ${MY_API_KEY-unset} but abc-very-secret; exit 1"), {})
    assert said.reason == "key is unset but [redacted]"


def test_what_a_terminal_would_obey_is_taken_out(tmp_path: Path) -> None:
    assert ask(hook(tmp_path / "h", "printf '\\033]2;evil\\007text\\n'; exit 1"), {}).reason == "]2;eviltext"


# folders --------------------------------------------------------------------------------------------------------------


def test_hooks_lie_under_the_results_and_where_the_variable_says(
    roots: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = hook(roots.hooks / "after_preflight" / "b", "exit 0")
    monkeypatch.setenv("BACKTEST_OPTIMIZE_GATES", str(tmp_path / "more"))
    named = hook(tmp_path / "more" / "after_preflight" / "z", "exit 0")
    (roots.hooks / "after_preflight" / ".hidden").touch()
    assert hooks_at("after_preflight", roots) == [named, ours]
    monkeypatch.setenv("BACKTEST_OPTIMIZE_GATES", str(roots.hooks))
    assert hooks_at("after_preflight", roots) == [ours], "one folder named twice is asked once"


def test_what_nobody_would_ask_is_a_fault_before_any_job_meets_it(roots: Roots) -> None:
    hook(roots.hooks / "after_prescren" / "typo", "exit 0")
    left = hook(roots.hooks / "after_preflight" / "gate~", "exit 0", 0o600)
    hook(roots.hooks / "after_preflight" / "gate", "exit 0")
    found = {one.path: one for one in faults(roots)}
    assert set(found) == {str(left), str(roots.hooks / "after_prescren")}
    assert "before_search" in found[str(roots.hooks / "after_prescren")].fix


def test_a_gate_that_fails_stops_with_all_verdicts_of_its_point(roots: Roots) -> None:
    hook(roots.hooks / "after_preflight" / "1-yes", "echo fine")
    broken = hook(roots.hooks / "after_preflight" / "2-broken", "kill -9 $$")
    with pytest.raises(NotPassed) as stopped:
        pass_all("after_preflight", {"symbol": "S", "mode": "m"})
    assert str(broken) in stopped.value.reason
    records = verdicts_of(stopped.value)
    assert [(one["gate"], one["passed"], bool(one["fix"])) for one in records] == [
        ("1-yes", True, False),
        ("2-broken", False, True),
    ]


# notifications --------------------------------------------------------------------------------------------------------


def test_a_notification_gets_every_event_and_its_failure_is_kept_until_it_is_changed(roots: Roots) -> None:
    seen = roots.results / "seen"
    good = hook(roots.hooks / "on_incident" / "good", f"cat >> {seen}")
    bad = hook(roots.hooks / "on_incident" / "bad", "kill -9 $$")
    notify.tell([{"event": "incident_opened", "id": "x"}, {"event": "incident_closed", "id": "x"}], roots)
    assert re.findall(r'"event": "(\w+)"', seen.read_text()) == ["incident_opened", "incident_closed"]
    assert [(one.path, one.fault) for one in notify.failed(roots)] == [(str(bad), "was ended by SIGKILL")]
    hook(bad, "exit 1")
    assert list(notify.failed(roots)) == [], "it was changed: the next event tells whether it works"
    notify.tell([{"event": "incident_opened", "id": "y"}], roots)
    assert list(notify.failed(roots)) == [], "an exit code is no fault in a notification"
    assert good.exists()


# the example of the page ----------------------------------------------------------------------------------------------


def test_the_example_of_the_page_does_what_the_page_says(roots: Roots) -> None:
    page = (CHECKOUT / "hooks" / "pipeline-hooks.md").read_text(encoding="utf-8")
    name = re.search(r"RESULTS_ROOT/hooks/(\w+)/([\w.-]+)`", page)
    text = re.search(r"```python\n(.*?)```", page, re.S)
    assert name is not None
    assert text is not None
    assert name[1] in POINTS
    path = roots.hooks / name[1] / name[2]
    path.parent.mkdir(parents=True)
    path.write_text(text[1])
    path.chmod(0o700)
    deep = {"best_sharpe": {"out_of_sample": {"max_drawdown_daily_pct": 0.5}}}
    shallow = {"best_sharpe": {"out_of_sample": {"max_drawdown_daily_pct": 0.1}}}
    facts = {"symbol": "SOL", "mode": "aggressive"}
    with pytest.raises(NotPassed, match="best_sharpe falls by 50 % in the holdout"):
        pass_all("after_validation", {**facts, "bests": deep})
    assert pass_all("after_validation", {**facts, "bests": shallow})[0]["passed"]


def test_every_point_is_on_the_page() -> None:
    page = (CHECKOUT / "hooks" / "pipeline-hooks.md").read_text(encoding="utf-8")
    assert [point for point in POINTS if f"`{point}`" not in page] == []
