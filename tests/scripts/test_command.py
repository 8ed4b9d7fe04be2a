"""The command scripts/backtest-optimize: its subcommands, its help, and what the README says about it."""

import json
import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
from rich.console import Console
from rich.text import Text

from agents.registry import MONITORS, SESSIONS
from scripts.swarm.fit import Block, fitted
from state.files.layout import CHECKOUT
from WORKFLOW.report.console import Screen

SCHEMAS = CHECKOUT / "docs" / "reference" / "schemas"
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


@pytest.mark.parametrize("page", ["README.md", "docs/reference/commands.md"])
def test_what_the_pages_type_exists(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    words = set(re.findall(r"scripts/backtest-optimize (--?[a-z]+|[a-z]+)", text))
    assert words <= {*MODULE.COMMANDS, "--parallel", "--single", "--help"}
    scripts = set(re.findall(r"(?:scripts|WORKFLOW)/[a-z_/]+\.(?:sh|py)", text))
    assert all((CHECKOUT / script).is_file() for script in scripts)


def test_an_unknown_word_is_usage(tmp_path: Path) -> None:
    done = typed("frobnicate", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown command 'frobnicate'; known: ")
    assert "cycle" not in done.stderr  # it is for other programs


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


ANSWERED_WITHOUT = {"health": 2, "status": 0, "ensure": 1, "stop": 0, "doctor": 1, "checksums": 1, "results": 1}


@pytest.mark.parametrize(
    "words", [(*one, *more) for one in [(w,) for w in ANSWERED_WITHOUT] for more in ((), ("--json",))]
)
def test_without_an_environment_questions_are_answered_and_nothing_is_installed(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    """With a Python that has no package of ours at all, and nothing where the environment should be."""
    venv, site = tmp_path / "none", "import sys; sys.path = [p for p in sys.path if not p.endswith('-packages')]"
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(site)
    done = subprocess.run(
        [getattr(sys, "_base_executable", sys.executable), str(COMMAND), *words],
        env={"PATH": "/usr/bin:/bin", "VENV_PATH": str(venv), "RESULTS_ROOT": str(tmp_path / "r")}
        | {"PYTHONPATH": str(tmp_path / "bare")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == ANSWERED_WITHOUT[words[0]], said
    assert "Traceback" not in said
    assert not venv.exists()
    assert not venv.with_name("none.lock").exists()
    if words in {("health",), ("status",), ("ensure",), ("results",)}:
        assert f"there is no virtual environment at {venv}" in said
        assert f"{CHECKOUT / 'scripts' / 'check'} --help" in said
    if "--json" in words:
        assert json.loads(done.stdout)


EVIL = "\x1b[31mEVIL\x1b]0;owned\x07"


@pytest.mark.parametrize(
    "words",
    [
        ("scripts/backtest-optimize", "--single", "--symbol", "SOL", "--data-path", EVIL),
        ("scripts/backtest-optimize", "--parallel", "--symbols", "SOL", "--data-path", EVIL),
        ("scripts/backtest-optimize", "health", EVIL),
        ("scripts/backtest-optimize", "health"),
        ("scripts/backtest-optimize", "doctor"),
        ("scripts/backtest-optimize", "explain", "--job", EVIL),
        ("scripts/infra/session_state_manager.py", "--query", "--state-file", EVIL),
    ],
)
def test_what_a_terminal_would_obey_in_a_name_is_shown(words: tuple[str, ...], tmp_path: Path) -> None:
    base = getattr(sys, "_base_executable", sys.executable)
    venv = str(tmp_path / EVIL) if words[1:] in {("health",), ("doctor",)} else sys.prefix
    done = subprocess.run(
        [base, str(CHECKOUT / words[0]), *words[1:]],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "VENV_PATH": venv, "RESULTS_ROOT": str(tmp_path / "r")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert r"\x1b[31mEVIL\x1b]0;owned\x07" in said
    assert "\x1b" not in said
    assert "\x07" not in said


def test_a_page_and_a_line_of_progress_show_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    page = fitted([Block((Text(f"a worker said {EVIL}"),))], 80, 20)
    Console(file=sys.stdout).print(page)
    with Screen() as screen:
        screen.say(f"bars of {EVIL}")
    said = "".join(capsys.readouterr())
    assert said.count(r"\x1b[31mEVIL") == 2
    assert "\x1b" not in said


def test_a_folder_that_is_not_there_is_said_with_both_places_it_can_be_named_in(tmp_path: Path) -> None:
    done = typed("--parallel", "--symbols", "SOL", "--data-path", str(tmp_path / "none"), cwd=tmp_path)
    assert (done.returncode, f"error: there is nothing at {tmp_path / 'none'}\n" in done.stderr) == (1, True)
    assert "→ name a folder or a file that exists, in --data-path or BACKTEST_OPTIMIZE_DATA" in done.stderr


@pytest.mark.parametrize("name", [*PUBLIC, "--parallel"])
def test_wrong_usage_is_2_and_begins_with_error(name: str, tmp_path: Path) -> None:
    done = typed(name, "--frobnicate", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "→" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ("scripts/process_auditor.py",),
        ("scripts/infra/session_state_manager.py",),
        ("-m", "agents"),
        ("-m", "agents", "nobody"),
    ],
)
def test_the_commands_beside_it_say_wrong_usage_the_same_way(command: tuple[str, ...]) -> None:
    words = [sys.executable, *command, "--frobnicate"]
    environment = {"PATH": "/usr/bin:/bin", "VENV_PATH": sys.prefix}
    done = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "  → " in done.stderr


@pytest.mark.parametrize("name", [*PUBLIC, "--parallel", "--single"])
def test_every_command_takes_json(name: str, tmp_path: Path) -> None:
    assert "--json" in typed(name, "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--parallel", "--rounds", "-1"),
        ("--parallel", "--demo", "--data-path", "."),
        ("--parallel", "--wait", "--detach"),
        ("--parallel", "--engine", "warp"),
        ("--parallel", "--gpu", "-2"),
        ("--parallel", "--gpu", "-1", "--engine", "gpu"),
        ("--single", "--demo", "--data-path", "."),
        ("--single", "--demo", "--gpu", "-2"),
        ("--single", "--demo", "--gpu", "-1", "--engine", "gpu"),
        ("explain",),
        ("explain", "--job", "a", "--gpu", "0"),
        ("explain", "--gpu", "zero"),
        ("cancel",),
        ("attach", "bt-watchdog", "--once"),
    ],
)
def test_words_that_no_environment_could_make_right_are_usage(words: tuple[str, ...], tmp_path: Path) -> None:
    done = typed(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr[:7]) == (2, "error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [("results",), ("cancel", "x"), ("explain", "--job", "x"), ("explain", "--worker", "x"), ("attach", "bt-x")],
)
def test_a_refusal_is_1_in_words_and_as_json(words: tuple[str, ...], tmp_path: Path) -> None:
    done = typed(*words, "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert set(answer) == {"error", "way_out"}
    assert answer["way_out"]
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")


def test_without_a_swarm_the_questions_answer_in_their_schemas(tmp_path: Path) -> None:
    for words in (("status",), ("health",), ("explain", "--gpu", "0")):
        answer = json.loads(typed(*words, "--json", cwd=tmp_path).stdout)
        jsonschema.validate(answer, json.loads((SCHEMAS / f"{words[0]}.schema.json").read_text(encoding="utf-8")))


def test_stop_where_nothing_runs_proposes_what_makes_sense(tmp_path: Path) -> None:
    answer = json.loads(typed("stop", "--json", cwd=tmp_path).stdout)
    assert (answer["workers_ended"], answer["was_stopped"]) == (0, False)
    assert answer["next"] == "to start a run: scripts/backtest-optimize --parallel"


@pytest.mark.parametrize("session", [monitor.session for monitor in MONITORS])
def test_without_a_terminal_attach_prints_a_monitors_page_once(session: str, tmp_path: Path) -> None:
    done = typed("attach", session, "--once", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) >= 2


def test_attach_lists_the_sessions_there_are(tmp_path: Path) -> None:
    assert all(session in typed("attach", "--help", cwd=tmp_path).stdout for session in SESSIONS)
