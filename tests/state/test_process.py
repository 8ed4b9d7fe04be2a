"""What every process of ours does first, whatever its parent left it: ignored signals, another locale."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from state.files.layout import CHECKOUT
from state.host import process

# What a process says of itself and of a child of its own, before or after `begin`.
ASKS = """
import json, signal, subprocess, sys
from state.host import process
{begin}
says = ("import json, signal, sys; print(json.dumps([*(signal.getsignal(s) == signal.SIG_IGN for s in "
        "(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)), sorted(signal.pthread_sigmask(0, ())), "
        "sys.getfilesystemencoding().lower()]))")
exec(says)
sys.stdout.flush()
subprocess.run([sys.executable, "-c", says], check=True)
print("\\u2501 \\udcff")
"""
SHOWN = "━ ".encode() + b"\xff\n"


def ignoring(*numbers: signal.Signals) -> Callable[[], None]:
    """Ignore signals as `nohup`, cron and shells without job control do before they start a command."""

    def leave() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return leave


def said(before: Callable[[], Any] | None = None, begin: str = "process.begin()", **more: str) -> Any:
    """What this process, its child and its output are like; `before` is done in it before Python begins."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}

    def started() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup themselves
        if before is not None:
            before()

    done = subprocess.run(
        [sys.executable, "-c", ASKS.format(begin=begin)],
        cwd=CHECKOUT,
        env=kept | more,
        preexec_fn=started,
        stdout=subprocess.PIPE,
        check=True,
    )
    ours, child, shown = done.stdout.split(b"\n", 2)
    return json.loads(ours), json.loads(child), shown


FREE = [False, False, False, False, [], "utf-8"]  # nothing ignored, nothing blocked


def test_what_a_parent_ignored_is_heard_again_by_us_and_all_that_we_start() -> None:
    left = ignoring(signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
    assert said(left, begin="", PYTHONUTF8="1")[1][:2] == [True, True], "Python forgets it by itself now"
    assert said(left, PYTHONUTF8="1") == (FREE, FREE, SHOWN)


def test_what_a_parent_blocked_is_heard_again() -> None:
    numbers = {signal.SIGINT, signal.SIGTERM}
    assert said(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, numbers), PYTHONUTF8="1") == (FREE, FREE, SHOWN)


def test_what_nohup_ignores_stays_ignored() -> None:
    (ours, child, _) = said(ignoring(signal.SIGHUP), PYTHONUTF8="1")
    assert (ours, child) == ([False, False, True, False, [], "utf-8"],) * 2


@pytest.fixture(scope="session")
def latin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A locale whose letters are not UTF-8, made for this test."""
    folder = tmp_path_factory.mktemp("locales")
    if shutil.which("localedef") is None:
        pytest.skip("localedef is not installed, so there is no locale to make")
    path = folder / "en_US.ISO-8859-1"
    done = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(path)], capture_output=True, text=True, check=False
    )
    if not path.is_dir():
        pytest.skip(f"localedef cannot make a locale here: {done.stderr.strip()}")
    return {"LOCPATH": str(folder), "LC_ALL": path.name}


@pytest.mark.parametrize(
    "shell",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "no_SUCH.locale"},
        {"LC_ALL": "C.UTF-8"},
        {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"},
    ],
    ids=str,
)
def test_text_is_utf8_in_every_locale(shell: dict[str, str]) -> None:
    assert said(**shell) == (FREE, FREE, SHOWN)


def test_text_is_utf8_where_letters_are_latin_1(latin: dict[str, str]) -> None:
    assert said(**latin) == (FREE, FREE, SHOWN)


def test_an_encoding_that_was_asked_for_is_kept_and_never_fails() -> None:
    assert said(LC_ALL="C", PYTHONIOENCODING="ascii")[2] == b"\\u2501 \\udcff\n"


def test_a_name_of_two_bytes_is_the_same_file_in_every_locale(tmp_path: Path, latin: dict[str, str]) -> None:
    (tmp_path / "ü").mkdir()
    for shell in ({"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, latin):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
        typed = [sys.executable, str(CHECKOUT / "scripts" / "backtest-optimize"), "status"]
        own = {"RESULTS_ROOT": str(tmp_path / "ü"), "VENV_PATH": sys.prefix}
        done = subprocess.run(typed, env=kept | shell | own, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert "no run · idle" in done.stdout.decode("utf-8")


def test_words_that_we_look_for_are_asked_for_in_english() -> None:
    german = {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de", "PATH": "/bin"}
    assert process.in_english(german) == {"LC_ALL": "C", "LANGUAGE": "", "PATH": "/bin"}
