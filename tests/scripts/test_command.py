"""The one command: what it knows, what it says of itself, and what the README says of it."""

import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from agents.registry import SESSIONS
from state.layout import CHECKOUT

COMMAND = CHECKOUT / "scripts" / "backtest-optimize"


def loaded() -> ModuleType:
    loader = SourceFileLoader("backtest_optimize_command", str(COMMAND))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


MODULE = loaded()
PUBLIC = [name for name in MODULE.COMMANDS if name != "cycle"]


def typed(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(COMMAND), *words],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "VENV_PATH": sys.prefix, "RESULTS_ROOT": str(cwd / "r")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", [*PUBLIC, "--parallel", "--single"])
def test_each_command_explains_itself_and_touches_nothing(name: str, tmp_path: Path) -> None:
    done = typed(name, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage" in done.stdout
    assert "example" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_every_command() -> None:
    assert all(re.search(rf"^  {name} ", MODULE.HELP, re.M) for name in PUBLIC)


def test_what_the_readme_types_exists() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8") + (
        CHECKOUT / "docs" / "guides" / "runbook.md"
    ).read_text(encoding="utf-8")
    words = set(re.findall(r"scripts/backtest-optimize (--?[a-z]+|[a-z]+)", text))
    assert words <= {*MODULE.COMMANDS, "--parallel", "--single", "--help"}
    scripts = set(re.findall(r"(?:scripts|WORKFLOW)/[a-z_/]+\.(?:sh|py)", text))
    assert all((CHECKOUT / script).is_file() for script in scripts)


def test_an_unknown_word_is_usage(tmp_path: Path) -> None:
    done = typed("frobnicate", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown command 'frobnicate'" in done.stderr


def test_without_a_swarm_every_question_has_an_answer(tmp_path: Path) -> None:
    health = typed("health", cwd=tmp_path)
    assert (health.returncode, health.stdout) == (
        2,
        "never started: scripts/backtest-optimize --parallel starts it\n",
    )
    assert "no run" in typed("status", cwd=tmp_path).stdout
    for words, reason in ((("results",), "there is no run yet"), (("cancel", "x"), "there is no job 'x'")):
        done = typed(*words, cwd=tmp_path)
        assert (done.returncode, reason in done.stderr) == (1, True), done.stderr


def test_attach_lists_the_sessions_there_are(tmp_path: Path) -> None:
    assert all(session in typed("attach", "--help", cwd=tmp_path).stdout for session in SESSIONS)
