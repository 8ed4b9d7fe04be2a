"""The checkout is the application: its folders are the packages, and nothing else stands beside them."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from scripts.infra import requirements

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("scripts", "WORKFLOW", "hooks", "agents", "config", "state")
TOP_LEVEL = {*PACKAGES, "docs", "tests", "pyproject.toml", "README.md", "LICENSE", ".ci", ".github", ".gitignore"}
# Both conditions: `python -m` sets __package__, and a spawned process runs the main file again as __mp_main__.
PREAMBLE = """\
if __name__ == "__main__" and not __package__:
    try:
        import _checkout  # puts the checkout first on sys.path, in its virtual environment
    except ModuleNotFoundError:
        raise SystemExit(f"error: {__file__} needs its checkout: copy the whole checkout, then run it there") from None
""".rstrip()
# Answers a query with the standard library alone, on a machine that has nothing else.
BARE = CHECKOUT / "scripts" / "infra" / "session_state_manager.py"
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"] | PROJECT["dependency-groups"]
LOCKS = CHECKOUT / "config" / "locks"


def sources() -> list[Path]:
    names = (
        "backtest-optimize",
        "bench",
        "check",
        "crosscheck",
        "fetch-data",
        "generate-tearsheet",
        "prove-no-lookahead",
    )
    found = [CHECKOUT / "scripts" / name for name in names]
    for package in (*PACKAGES, "tests"):
        found += [p for p in sorted((CHECKOUT / package).rglob("*.py")) if not is_installed(p)]
    return found


def is_installed(path: Path) -> bool:
    """In one of the virtual environments that live in `state/`."""
    return any(part.startswith(".venv") for part in path.parts)


def run_by_path() -> list[Path]:
    """Python commands: without an extension in scripts/, or with a main part in a folder people run files from."""
    commands = [p for p in (CHECKOUT / "scripts").iterdir() if p.is_file() and not p.suffix and is_python(p)]
    folders = (
        *(CHECKOUT / "scripts").rglob("*.py"),
        *(CHECKOUT / "WORKFLOW").glob("*.py"),
        *(CHECKOUT / "hooks").glob("*.py"),
    )
    return sorted(commands + [p for p in folders if 'if __name__ == "__main__":' in p.read_text(encoding="utf-8")])


def is_python(path: Path) -> bool:
    return path.read_bytes().split(b"\n", 1)[0] == b"#!/usr/bin/env python3"


def shown(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_the_checkouts_own_and_no_installed_namesake(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(CHECKOUT)


def test_nothing_unexpected_stands_at_the_top_level() -> None:
    listed = subprocess.run(
        ["git", "-C", str(CHECKOUT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so nobody knows which files belong to it")
    assert {path.split("/")[0] for path in listed.stdout.splitlines()} <= TOP_LEVEL


def test_the_work_planes_modules_are_never_imported_bare() -> None:
    bare = {p.stem for p in (CHECKOUT / "WORKFLOW").iterdir() if p.is_dir() or p.suffix == ".py"} - {
        "_checkout",
        "_bare",
        "__init__",
    }
    wrong = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            wrong += [f"{shown(path)}:{node.lineno}: {n}" for n in names if n.split(".")[0] in bare]
    assert wrong == []


def test_every_folder_with_commands_has_the_same_checkout_module() -> None:
    texts = {p: p.read_text(encoding="utf-8") for p in CHECKOUT.glob("[!.]*/**/_checkout.py") if not is_installed(p)}
    assert {path.parent for path in run_by_path() if path != BARE} <= {path.parent for path in texts}
    assert len(set(texts.values())) == 1


@pytest.mark.parametrize("path", [path for path in run_by_path() if path != BARE], ids=shown)
def test_a_command_begins_with_the_preamble(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    body = ast.parse(text).body[1:]  # after the docstring
    first = next(n for n in body if not (isinstance(n, ast.ImportFrom) and n.module == "__future__"))
    lines = text.splitlines()[first.lineno - 1 : first.end_lineno]
    assert "\n".join(lines) == PREAMBLE


def test_what_an_old_python_reads_first_is_in_its_grammar() -> None:
    files = [*run_by_path(), *CHECKOUT.glob("scripts/infra/environment.py"), *CHECKOUT.glob("*/_checkout.py")]
    files += [
        CHECKOUT / "scripts" / "infra" / "continuity.py",
        CHECKOUT / "state" / "records" / "standing.py",
    ]  # read by BARE
    files += [
        CHECKOUT / "config" / "errors.py",
        *(CHECKOUT / "state" / "host" / f"{name}.py" for name in ("command", "ending", "process")),
        *(CHECKOUT / package / "__init__.py" for package in ("config", "scripts")),
    ]
    for path in files:
        ast.parse(path.read_bytes(), filename=shown(path), feature_version=(3, 8))


@pytest.mark.parametrize("path", run_by_path(), ids=shown)
def test_a_command_answers_help_from_a_foreign_folder_and_a_foreign_python(path: Path, tmp_path: Path) -> None:
    outside = getattr(sys, "_base_executable", sys.executable)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"VENV_PATH": sys.prefix}
    done = subprocess.run(
        [outside, path, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage" in done.stdout
    assert "example" in done.stdout
    assert list(tmp_path.iterdir()) == []


# --- docs/architecture.md says what the linter enforces --------------------------------------------------------------


@pytest.mark.parametrize("contract", PROJECT["tool"]["importlinter"]["contracts"], ids=lambda c: str(c["name"]))
def test_the_architecture_page_shows_each_contract(contract: dict[str, object]) -> None:
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(str(contract['name']))}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    assert section is not None, "no section of that name"
    block = re.search(r"```text\n(.*?)```", section[1], re.S)
    assert block is not None
    lines = block[1].splitlines()
    if contract["type"] in ("layers", "independence"):
        assert lines == contract.get("layers", contract.get("modules"))
    else:
        assert lines == [
            " ".join(contract["source_modules"]),
            f"never import {' '.join(contract['forbidden_modules'])}",
        ]


# --- one name, one class --------------------------------------------------------------------------------------------

# What several classes may be called, and why.
SHARED_NAMES = {
    "Memory": "each agent has its own, and the runtime finds it by the agent",
    "Counts": "both names stand in files: kept steps of a validation (WORKFLOW/steps/exact.py), states of agents",
    "Look": "parts of the memories of two agents; their names stand in what is said of a damaged memory",
    "Reading": "a part of an agent's memory, as above, and how a file's dates are read",
}


def public_classes(package: str) -> Iterator[tuple[str, Path]]:
    """Name and file of each class at the top of a module that another module may import."""
    for path in sorted((CHECKOUT / package).rglob("*.py")):
        if is_installed(path):
            continue
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, path


def test_no_two_public_classes_have_one_name() -> None:
    files: dict[str, list[str]] = {}
    for package in PACKAGES:
        for name, path in public_classes(package):
            files.setdefault(name, []).append(shown(path))
    assert "PipelineRun" in files
    shared = {name: places for name, places in files.items() if len(places) > 1}
    assert {name: places for name, places in shared.items() if name not in SHARED_NAMES} == {}
    assert [name for name in SHARED_NAMES if name not in shared] == []


# --- no circles -----------------------------------------------------------------------------------------------------


def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name; a package stands for its `__init__`."""
    found = {}
    for path in (p for package in PACKAGES for p in (CHECKOUT / package).rglob("*.py") if not is_installed(p)):
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_modules(text: bytes, known: Collection[str]) -> set[str]:
    """Which of the `known` modules a source imports, be it inside of a function or for types only."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else node.module for name in names}
    return found & set(known)


def circles(graph: Mapping[str, Collection[str]]) -> list[list[str]]:
    """The groups of modules that reach each other: the strongly connected components of two or more (Kosaraju)."""
    ended: list[str] = []
    seen: set[str] = set()
    for start in graph:
        _walk(graph, start, seen, ended)
    back: dict[str, list[str]] = {name: [] for name in graph}
    for name, others in graph.items():
        for other in others:
            back[other].append(name)
    found: list[list[str]] = []
    seen = set()
    for start in reversed(ended):
        group: list[str] = []
        _walk(back, start, seen, group)
        found += [sorted(group)] if len(group) > 1 else []
    return found


def _walk(graph: Mapping[str, Collection[str]], start: str, seen: set[str], ended: list[str]) -> None:
    """Depth first from `start`; a module is put into `ended` after all that it leads to."""
    if start in seen:
        return
    seen.add(start)
    for other in sorted(graph[start]):
        _walk(graph, other, seen, ended)
    ended.append(start)


def test_a_circle_is_found_and_a_diamond_is_none() -> None:
    diamond = {"top": ["left", "right"], "left": ["bottom"], "right": ["bottom"], "bottom": []}
    assert circles(diamond) == []
    assert circles({**diamond, "bottom": ["left"]}) == [["bottom", "left"]]
    assert circles({**diamond, "bottom": ["top"]}) == [["bottom", "left", "right", "top"]]


def test_an_import_inside_a_function_or_for_types_counts() -> None:
    text = b"import a\nif TYPE_CHECKING:\n    from b import c\ndef f():\n    from b import d, Name\n"
    assert imported_modules(text, {"a", "b", "b.d", "e"}) == {"a", "b", "b.d"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    graph = {name: imported_modules(path.read_bytes(), known) - {name} for name, path in known.items()}
    assert sum(map(len, graph.values())) > len(graph)  # it sees imports at all
    assert circles(graph) == []


# --- locks ----------------------------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    """Every requirement line of a lock, markers and all → its version."""
    lines = (LOCKS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return {
        line.removesuffix(" \\"): line.split("==")[1].split()[0] for line in lines if not line.startswith((" ", "#"))
    }


@pytest.mark.parametrize("name", ["core", "cuda", "rdb", "dashboard", "dev", "crosscheck", "fetch"])
def test_a_lock_pins_and_hashes_everything_and_names_no_place(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=sha256:[0-9a-f]{64}( \\)?$)", text, re.M)
    for requirement in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[a-z0-9.-]+==\S+( ; .+)? \\\n    --hash=sha256:", requirement), requirement[:80]


@pytest.mark.parametrize("name", ["cuda", "rdb", "dashboard", "dev"])
def test_the_other_locks_hold_the_whole_core(name: str) -> None:
    assert pins("core").items() <= pins(name).items()


@pytest.mark.parametrize("name", ["core", "cuda", "rdb", "dashboard", "dev", "crosscheck", "fetch"])
def test_a_lock_holds_what_the_project_asks_for(name: str) -> None:
    asked = {"core": PROJECT["project"]["dependencies"], **EXTRAS}[name]
    locked = {requirements.normalised(re.split("==", line)[0]): version for line, version in pins(name).items()}
    for requirement in asked:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[\w+\])?(==|>=)([\w.*]+)", requirement)
        assert match is not None, requirement
        version = locked[requirements.normalised(match[1])]
        if match[2] == "==" and "python_full_version" not in requirement:
            assert version.startswith(match[3].removesuffix("*"))


def test_every_dependency_has_its_reason_on_the_page() -> None:
    page = (CHECKOUT / "docs" / "reference" / "dependencies.md").read_text(encoding="utf-8")
    groups = [PROJECT["project"]["dependencies"], *EXTRAS.values()]
    missing = {n for group in groups for r in group if f"| `{(n := re.split(r'[^A-Za-z0-9_-]', r)[0])}` |" not in page}
    assert missing == set()


def test_the_repository_names_no_registry() -> None:
    hosts = re.compile(rb"(?:py" rb"pi\.org|python" rb"hosted\.org|index-" rb"url)")
    texts = [
        *sources(),
        *CHECKOUT.glob("docs/**/*.md"),
        *LOCKS.iterdir(),
        CHECKOUT / "pyproject.toml",
        *CHECKOUT.glob(".ci/*"),
    ]
    assert [shown(path) for path in texts if hosts.search(path.read_bytes())] == []


# --- what the page says of who imports what -------------------------------------------------------------------------

DEPENDENCIES = (CHECKOUT / "docs" / "reference" / "dependencies.md").read_text(encoding="utf-8")
IMPORTED_AS = {"pyyaml": "yaml", "nvidia-ml-py": "pynvml", "grpcio": "grpc", "optuna-dashboard": "optuna_dashboard"}
# numba_cuda is asked for by its finder, as `numba.cuda`; the others are loaded by those who need them.
LOADED_BY_OTHERS = {"numba-cuda", "cuda-toolkit", "protobuf", "psycopg"}


def imports() -> dict[str, set[str]]:
    """Package of others, as it is imported → the product's files that import it."""
    found: dict[str, set[str]] = {}
    ours = {*PACKAGES, "_checkout", "_bare", *sys.stdlib_module_names}
    for path in sources():
        if path.relative_to(CHECKOUT).parts[0] == "tests":
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for name in names:
                if (top := name.split(".")[0]) not in ours:
                    found.setdefault(top, set()).add(shown(path))
    return found


def said_imports() -> dict[str, list[str]]:
    """Package → files and folders that the page says import it, of tables that have such a column."""
    said: dict[str, list[str]] = {}
    for table in re.findall(r"^\| package \|.*\| imported in \|\n\|[-|]+\|\n((?:\|.*\n)+)", DEPENDENCIES, re.M):
        for row in table.splitlines():
            cells = [cell.strip() for cell in row.strip("|").split(" | ")]
            places = re.findall(r"`((?:agents|config|hooks|scripts|state|WORKFLOW)[^`]*)`", cells[-1])
            said[cells[0].strip("` ")] = places
    return said


def test_the_page_says_who_imports_what() -> None:
    real, wrong = imports(), []
    said = said_imports()
    assert {"numpy", "pandas", "nvidia-ml-py", "grpcio", "optuna-dashboard"} <= set(said)
    for package, places in said.items():
        if package in LOADED_BY_OTHERS:
            continue
        files = real.get(IMPORTED_AS.get(package, package), set())
        unsaid = [f for f in sorted(files) if not any(f == place or f.startswith(f"{place}/") for place in places)]
        idle = [p for p in places if not any(f == p or f.startswith(f"{p}/") for f in files)]
        wrong += [f"{package}: not said: {unsaid}, does not import it: {idle}"] if unsaid or idle or not files else []
    assert wrong == []


def test_whatever_is_imported_stands_on_the_page_and_in_a_lock() -> None:
    names = {module: package for package, module in IMPORTED_AS.items()}
    for module in imports():
        package = names.get(module, module)
        assert f"| `{package}` |" in DEPENDENCIES, f"{module} has no line in dependencies.md"
        locks = [text for path in LOCKS.iterdir() if f"\n{package}==" in (text := "\n" + path.read_text("utf-8"))]
        assert locks, f"no lock pins {package}"


def test_what_is_said_to_be_imported_nowhere_is_not() -> None:
    assert "scipy" not in imports()
    assert "We do not import it." in DEPENDENCIES
