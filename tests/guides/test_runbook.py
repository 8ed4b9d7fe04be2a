"""The runbook: every sentence that it looks up is one the code prints, and every command in it is typed."""

import ast
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agents.registry import AGENTS
from config import settings
from state.files.layout import CHECKOUT, Roots

PAGE = (CHECKOUT / "docs" / "guides" / "SWARM_OPTIMIZATION_RUNBOOK.md").read_text(encoding="utf-8")
PRODUCT = ("agents", "config", "hooks", "scripts", "state", "WORKFLOW")
LOOKED_UP = ("you see", "it says", "the answer says")
# Of these only the help is asked for: they would start a swarm or change what the machine does after a reboot.
LASTING = ("--parallel", "start", "scripts/install_keeper.sh")
VALUES = {"JOB": "r0.SOL.aggressive.search.0", "FOLDER": "no-such-folder", "FILE": "no-such-file", "NAME": "watchdog"}


def rows() -> list[tuple[str, ...]]:
    """Return every row of the tables whose first column holds sentences to look up."""
    found: list[tuple[str, ...]] = []
    head = ""
    for line in PAGE.splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|")) if line.startswith("|") else ()
        if not cells:
            head = ""
        elif not head:
            head = cells[0]
        elif head in LOOKED_UP and not set(line) <= set("|-"):
            found.append(cells)
    return found


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def commands() -> list[str]:
    """Each once: those in code blocks, and code spans that begin like one."""
    lines = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
    outside = re.sub(r"```.*?```", "", PAGE, flags=re.S)
    lines += [span for span in spans(outside) if re.match(r"(bash |python3? )?(scripts/|hooks/|-m )", span)]
    return sorted({re.sub(r"\s+#.*", "", line) for line in lines})


def printed() -> list[str]:
    """Every text in the product's sources, a hole where a value is put in."""
    found = []
    for package in PRODUCT:
        for path in sorted((CHECKOUT / package).rglob("*")):
            is_source = path.suffix == ".py" or path.name == "backtest-optimize"
            if is_source and not any(part.startswith(".") for part in path.relative_to(CHECKOUT).parts):
                found += texts(path)
    return found


def texts(path: Path) -> list[str]:
    tree = ast.parse(path.read_bytes())
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
            found.append("".join(str(part) for part in parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            found.append(node.value)
    return found


def test_every_sentence_to_look_up_is_one_that_the_code_prints() -> None:
    known = printed()
    sentences = [sentence for first, *_ in rows() for sentence in spans(first)]
    assert len(sentences) > 45
    for sentence in sentences:
        pieces = [piece.strip() for piece in re.split(r"…|\bN\b|\(SIG[A-Z]+\)", sentence)]
        pieces = [piece for piece in pieces if len(piece) > 2]
        assert pieces, sentence
        for piece in pieces:
            assert any(piece in text for text in known), f"nobody prints {piece!r} of {sentence!r}"


def test_every_setting_and_file_that_it_names_exists() -> None:
    swarm = settings.tree_of(settings.load({}))["swarm"]
    named = {name for span in spans(PAGE) for name in re.findall(r"^swarm\.(\w+)", span)}
    assert named
    assert named <= swarm.keys()
    files = (CHECKOUT / "state" / "README.md").read_text(encoding="utf-8")
    section = PAGE.partition("| file under STATE_ROOT | holds |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `([^`]+)` \|", section, re.M)
    assert len(listed) == 8
    states = {Roots.from_environment({}).agent_state(row.name).name for row in AGENTS}
    assert [name for name in listed if name not in states and f"`STATE_ROOT/{name}`" not in files] == []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing was ever run in it."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "t").mkdir(mode=0o700)
    return folder


def is_lasting(command: str) -> bool:
    return command.removeprefix("scripts/backtest-optimize ").split()[0] in LASTING and "--status" not in command


def typed(command: str, root: Path) -> subprocess.CompletedProcess[str]:
    for word, value in VALUES.items():
        command = re.sub(rf"\b{word}\b", value, command)
    command = command.replace("~/backtest-optimize", ".")
    command = f"{command} --help" if is_lasting(command) else command
    ours = {"HOME": str(root), "RESULTS_ROOT": str(root / "r"), "TMUX_TMPDIR": str(root / "t"), "VENV_PATH": sys.prefix}
    return subprocess.run(
        ["bash", "-c", f"exec {command}"],
        cwd=CHECKOUT,
        env=ours | {"PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}", "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_command_of_the_runbook_exists_and_answers_where_nothing_was_ever_run(root: Path) -> None:
    first = "scripts/backtest-optimize stop"  # after it nothing comes back by itself: ensure is harmless
    every = commands()
    assert first in every
    assert len(every) > 15
    answers = [(first, typed(first, root))]
    with ThreadPoolExecutor(4) as pool:
        answers += zip(every, pool.map(lambda command: typed(command, root), every), strict=True)
    for command, done in answers:
        said = done.stdout + done.stderr
        assert "Traceback" not in said, f"{command}\n{said}"
        assert done.returncode in (0, 1), f"{command}\n{said}"  # 2 is wrong usage: no such command or flag
        if "error: " in said:
            assert "→" in said, f"{command}\n{said}"
        if is_lasting(command):
            assert "usage" in said
            assert all(word in said for word in command.split() if word.startswith("--")), f"{command}\n{said}"
    assert not list((root / "t").rglob("bt*")), "a swarm was started"


def test_what_health_says_of_the_empty_root_is_a_row(root: Path) -> None:
    typed(f"env RESULTS_ROOT={root / 'r'} scripts/backtest-optimize stop", root)
    for results, expected, code in (("never", "never started", 2), ("r", "stopped on purpose", 0)):
        done = typed(f"env RESULTS_ROOT={root / results} scripts/backtest-optimize health", root)
        assert (done.returncode, expected in done.stdout) == (code, True)
        assert any(expected in spans(first) for first, *_ in rows())
