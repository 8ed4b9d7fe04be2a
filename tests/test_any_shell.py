"""Guards over all sources, so that the product works under any shell, locale or job runner."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_layout import CHECKOUT, is_python, shown, sources

# They are started by us alone, in an environment we made, and see to their signals themselves.
BEGINS_ELSEWHERE = {
    "agents/machine/wrapper.py": "handles each signal, and imports next to nothing",
    "WORKFLOW/crosscheck/with_backtesting.py": "stands alone in another environment; its parent began",
}
_MODE = re.compile(r"[rwax+t]+")


def product() -> list[Path]:
    return [path for path in sources() if "tests" not in path.relative_to(CHECKOUT).parts[:1]]


def calls(path: Path) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def words(call: ast.Call) -> set[str | None]:
    return {keyword.arg for keyword in call.keywords}


def opens_text(call: ast.Call) -> bool:
    """Whether it reads or writes text: by `read_text`, `write_text`, `open(path)` or `path.open("w")`."""
    if name_of(call) in ("read_text", "write_text"):
        return True
    if name_of(call) not in ("open", "fdopen", "NamedTemporaryFile"):
        return False
    at = 0 if isinstance(call.func, ast.Attribute) and name_of(call) == "open" else 1
    mode = call.args[at] if len(call.args) > at else None
    if mode is None:
        return isinstance(call.func, ast.Name) and bool(call.args)
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and bool(_MODE.fullmatch(mode.value))


def test_every_text_file_is_utf8_whatever_the_locale() -> None:
    wrong = [
        f"{shown(p)}:{c.lineno}" for p in product() for c in calls(p) if opens_text(c) and "encoding" not in words(c)
    ]
    assert wrong == [], "say encoding="


def test_what_a_program_says_is_read_as_utf8_and_never_fails() -> None:
    wrong = []
    for path in product():
        for call in calls(path):
            said = words(call)
            if said & {"text", "universal_newlines"} or (name_of(call) in ("run", "Popen") and "encoding" in said) > (
                "errors" in said
            ):
                wrong.append(f"{shown(path)}:{call.lineno}")
    assert wrong == [], 'say encoding="utf-8", errors="replace" instead of text=True'


@pytest.mark.parametrize(
    "text",
    ["open('x')", "open('x', 'w')", "path.open('a')", "path.read_text()", "os.fdopen(3, 'w')", "open('x', mode)"],
)
def test_the_guard_knows_a_text_file(text: str) -> None:
    [call] = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    assert opens_text(call) == (text != "open('x', mode)")


def test_whatever_is_started_begins_with_the_same_deed() -> None:
    """Ctrl-C is heard, and text is UTF-8: by the preamble of a file that people run, else by `process.begin`."""
    wrong = []
    for path in product():
        text = path.read_text(encoding="utf-8")
        is_started = '__name__ == "__main__"' in text or path.name == "__main__.py"
        if is_started and not ("import _checkout" in text or "process.begin()" in text):
            wrong.append(shown(path))
    assert set(wrong) == set(BEGINS_ELSEWHERE)


def test_every_program_that_python_runs_for_us_begins_so_too() -> None:
    scripts = [p for p in (CHECKOUT / "scripts").iterdir() if p.is_file() and not p.suffix and is_python(p)]
    assert [shown(p) for p in scripts if "import _checkout" not in p.read_text(encoding="utf-8")] == []
    for script in (CHECKOUT / "scripts").glob("*.sh"):
        for line in script.read_text(encoding="utf-8").splitlines():
            if '"$python"' in line and " -c " in line:
                assert "process.begin()" in line or "all_well" in line, f"{script.name}: {line}"


# --- lines that are printed to be typed -------------------------------------------------------------------------------

# What stands before a path in a command, or a path before what stands after it.
_BEFORE = re.compile(
    r"(?:^|[\s;:&(])(?:(?:(?:chmod|chown(?: -R)?) \S*|rm(?: -\w+)?|mv|cd|source|python3?|bash"
    r"|hooks/promotion\.py|-r|-c|-C|--(?:data-path|userdir|to|output|trades|state-file)) "
    r"|(?:export )?[A-Z_]+_?(?:ROOT|PATH|TMPDIR)=)$"
)
_AFTER = re.compile(r"^ (?:-m pip|install --)")
_HARMLESS = {"os.getuid()", "_user(os.geteuid())"}  # a number, a user's name
_NOT_PRINTED = {"state/host/identity.py"}  # reads environments of processes


def unquoted(node: ast.JoinedStr) -> Iterator[ast.expr]:
    """Values of this text that stand where a shell would read a path, and are not quoted for it."""
    for before, value, after in zip([None, *node.values[:-1]], node.values, [*node.values[1:], None], strict=True):
        if not isinstance(value, ast.FormattedValue):
            continue
        text = str(before.value) if isinstance(before, ast.Constant) else ""
        rest = str(after.value) if isinstance(after, ast.Constant) else ""
        is_quoted = re.search(r"quote|join|typed", ast.unparse(value.value)) is not None
        if (_BEFORE.search(text) or _AFTER.match(rest)) and not is_quoted and ast.unparse(value.value) not in _HARMLESS:
            yield value.value


def test_paths_in_lines_to_be_typed_are_quoted() -> None:
    wrong = []
    for path in product():
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.JoinedStr) and shown(path) not in _NOT_PRINTED:
                wrong += [f"{shown(path)}:{node.lineno}: {ast.unparse(one)}" for one in unquoted(node)]
    assert wrong == [], "shlex.quote it"


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ("f'chmod 700 {folder}'", True),
        ("f'type: rm -r {venv} && x'", True),
        ("f'STATE_ROOT={root}'", True),
        ("f'{python} -m pip install x'", True),
        ("f'run --data-path {where} --symbol {s}'", True),
        ("f'chmod 700 {shlex.quote(str(folder))}'", False),
        ("f'the folder {folder} is open'", False),
    ],
)
def test_the_guard_knows_a_line_to_be_typed(text: str, finds: bool) -> None:
    [node] = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.JoinedStr)]
    assert bool(list(unquoted(node))) == finds
