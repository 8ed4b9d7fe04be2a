"""How commands end: in processes of their own, with real signals and real pipes."""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import Misused, Refused
from state.files.layout import CHECKOUT
from state.host import command, ending
from tests.test_any_shell import name_of, product
from tests.test_layout import shown

# A command whose one word says how it ends.
COMMAND = """
import os, signal, sys
from config.errors import Misused, Refused
from state.host import command, ending, process

def parser():
    made = command.parser("example", "Ends in some way.", "example refused", "0 done", "one object")
    made.add_argument("how", choices="well refused misused file stopped long verdict pipe left".split())
    return made

def deed(asked):
    if asked.how == "refused":
        raise Refused("it is \\x1b[31mred", "paint it")
    if asked.how == "misused":
        raise Misused("--a and --b", "leave one of them out")
    if asked.how == "file":
        open("/nowhere/at/all", encoding="utf-8")
    if asked.how == "stopped":
        os.kill(os.getpid(), signal.SIGINT)
    if asked.how == "long":
        print("x" * 1_000_000)
    if asked.how == "verdict":
        ending.tell("x" * 1_000_000)
        return 1
    if asked.how == "pipe":
        raise BrokenPipeError(32, "Broken pipe", "to a child")
    if asked.how == "left":
        raise SystemExit("words for Python to print")
    print("done")
    return 0

process.begin()
sys.exit(command.run(parser, deed, None, stopped=("stopped", "go on")))
"""


def typed(*words: str, reader: int | None = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        cwd=CHECKOUT,
        stdout=reader,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("well", 0, ""),
        ("refused", 1, "error: it is \\x1b[31mred\n  → paint it\n"),
        ("misused", 2, "error: --a and --b\n  → leave one of them out\n"),
        ("file", 1, "error: /nowhere/at/all: No such file or directory\n  → see that you may read and write it, "),
        ("pipe", 1, "error: to a child: Broken pipe\n  → "),
        ("stopped", 130, "stopped\n  → go on\n"),
        ("left", 1, "words for Python to print\n"),
    ],
)
def test_an_ending_has_a_code_and_words(how: str, code: int, said: str) -> None:
    done = typed(how)
    assert (done.returncode, done.stdout) == (code, "" if code else "done\n")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) <= 2, "a traceback"


@pytest.mark.parametrize("how", ["refused", "misused", "file", "stopped"])
def test_for_programs_it_is_an_object_with_the_same_words(how: str) -> None:
    done = typed(how, "--json")
    answer = json.loads(done.stdout)
    shown = str(Refused(answer["error"], answer["way_out"]))
    assert done.stderr.removeprefix("error: ") == f"{shown}\n"
    assert set(answer) == {"error", "way_out"}


@pytest.mark.parametrize("words", [(), ("sideways",), ("well", "--js")])
def test_wrong_words_are_usage_and_abbreviations_are_wrong(words: tuple[str, ...]) -> None:
    done = typed(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("\n  → example --help\n")


@pytest.mark.parametrize(("how", "code"), [("well", 0), ("long", 0), ("verdict", 1)])
def test_a_reader_who_has_left_is_no_traceback_and_changes_no_verdict(how: str, code: int) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = typed(how, reader=writes)
    finally:
        os.close(writes)
    assert (done.returncode, done.stderr) == (code, "")


def test_a_refusal_that_nobody_reads_is_still_one() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = typed("refused", "--json", reader=writes)
    finally:
        os.close(writes)
    assert done.returncode == 1


def test_what_ends_a_deed_by_mistake_stays_a_traceback() -> None:
    def broken() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ending.ended(broken)


def test_a_command_may_say_what_a_mishap_means_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> int:
        raise OSError(28, "No space left on device", "results")

    code = ending.ended(full, mishap=lambda error: Misused(f"{error.filename} is full", "make room"))
    assert (code, capsys.readouterr().err) == (2, "error: results is full\n  → make room\n")


def test_help_has_an_example_and_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def parser() -> command.Parser:
        return command.parser("p", "Does.", "p --json", "0 done", "an object")

    assert command.run(parser, lambda _: 0, ["--help"]) == 0
    assert "example:\n  p --json\n\nexit codes: 0 done" in capsys.readouterr().out


def test_it_needs_nothing_but_the_standard_library_and_no_argparse_to_end(tmp_path: Path) -> None:
    asks = (
        "import sys; sys.path.insert(0, sys.argv[1]); from state.host import ending; print('argparse' in sys.modules)"
    )
    python = [getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-c", asks, str(CHECKOUT)]
    done = subprocess.run(python, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")


# Who ends for other reasons than a command does, or is none.
BY_HAND = {
    "state/host/ending.py": "the one place",
    "state/host/command.py": "wrong usage, as argparse finds it",
    "scripts/infra/environment.py": "runs before the checkout can be imported",
    "scripts/infra/install.py": "takes back half an installation, then goes on ending",
    "scripts/swarm/follow.py": "a Ctrl-C leaves the swarm running, which is an answer",
    "scripts/swarm/dashboard.py": "a Ctrl-C is how a server ends well",
    "scripts/swarm/cancel.py": "says that the sentry refused, in its answer",
    "scripts/fetch/exchange.py": "a pipe to a process of ours",
    "scripts/fetch/with_ccxt.py": "the other end of it",
    "WORKFLOW/search/worker.py": "a process of a search, no command",
}


def test_no_command_ends_by_a_handler_of_its_own() -> None:
    by_hand = set()
    for path in product():
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)}
                if caught & {"KeyboardInterrupt", "BrokenPipeError", "SystemExit"}:
                    by_hand.add(shown(path))
            if isinstance(node, ast.Call) and name_of(node) == "print" and re.search(r"(error|refused): ", said(node)):
                by_hand.add(shown(path))
    assert by_hand == set(BY_HAND), "state.host.command.run ends a command"


def said(call: ast.Call) -> str:
    return ast.unparse(call)


def test_an_older_command_takes_the_beginning_of_a_flag_and_shows_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    def parser() -> command.Parser:
        made = command.Parser(prog="old", is_older=True)
        made.add_argument("--symbol", required=True)
        return made

    def deed(asked: argparse.Namespace) -> int:
        if asked.symbol == "none":
            raise Misused("no symbol", "name one")
        return 0

    assert command.run(parser, deed, ["--sym", "SOL"]) == 0
    assert command.run(parser, deed, []) == 2
    assert capsys.readouterr().err.startswith("usage: old [-h] --symbol SYMBOL\nerror: ")
    assert command.run(parser, deed, ["--symbol", "none"]) == 2
    assert capsys.readouterr().err == "usage: old [-h] --symbol SYMBOL\nerror: no symbol\n  → name one\n"
