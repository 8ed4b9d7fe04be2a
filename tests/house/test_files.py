"""Every path that `state/files/layout.py` can name has its row in the catalog: who writes it and who reads it."""

import inspect
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

from agents.registry import AGENTS, RESCUE
from state.files.catalog import CATALOG
from state.files.knowledge import KnowledgeFolder
from state.files.layout import Roots
from state.files.run_folders import RoundFolder, RunFolder, SwarmRunFolder
from tests.shapes.root import filled

ROOTS = Roots(Path("RESULTS_ROOT"), Path("STATE_ROOT"), Path("LOGS_ROOT"))
MOMENT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
# What a method of the layout is asked about, as the catalog writes it.
WORDS: dict[str, Any] = {
    "symbol": "<SYMBOL>",
    "mode": "<MODE>",
    "run_id": "<RUN_ID>",
    "agent": "<AGENT>",
    "worker_id": "<WORKER>",
    "job_id": "<JOB>",
    "number": 1,
    "moment": MOMENT,
    "folder": "",
}
# A folder of one unit holds the files of a run, so a file of `RunFolder` has its row in either place.
RUN = RunFolder(Path("STATE_ROOT/runs/<RUN_ID>"))
UNIT = RunFolder(Path("STATE_ROOT/runs/<RUN_ID>/round-<N>/<SYMBOL>/<MODE>"))
FOLDERS: tuple[Any, ...] = (
    ROOTS,
    RUN,
    SwarmRunFolder(RUN.path),
    RoundFolder(Path("STATE_ROOT/runs/<RUN_ID>/round-<N>")),
    KnowledgeFolder(Path("RESULTS_ROOT/docs/reference")),
)
ROWS = {owned.path.replace("done|refused/", "done/").rstrip("/") for owned in CATALOG}


def named(folder: Any) -> Iterator[tuple[str, Path]]:
    """Every property and method of a folder that names one path, called with the catalog's own placeholders."""
    for name, member in inspect.getmembers(type(folder)):
        if name.startswith("_") or isinstance(inspect.getattr_static(type(folder), name), classmethod):
            continue
        made = member.fget if isinstance(member, property) else member
        if not inspect.isfunction(made) or get_type_hints(made).get("return") is not Path:
            continue
        asked = [WORDS[word] for word in list(inspect.signature(made).parameters)[1:]]
        yield name, made(folder, *asked)


def written(path: Path) -> str:
    """A path as the catalog writes it: moments and numbers are placeholders there."""
    text = str(path).replace(f"{MOMENT:%Y-%m-%d_%H%MZ}", "<MINUTE>")
    return re.sub(r"(?<=-)\d+", "<N>", text)


def has_row(path: str) -> bool:
    """A row of its own, or rows of what lies in it."""
    return path in ROWS or any(row.startswith(f"{path}/") for row in ROWS)


def test_every_path_of_the_layout_has_a_row_in_the_catalog() -> None:
    missing = []
    for folder in FOLDERS:
        for name, path in named(folder):
            places = [path, UNIT.path / path.relative_to(RUN.path)] if folder is RUN else [path]
            if not any(has_row(written(place)) for place in places):
                missing.append(f"{type(folder).__name__}.{name}: {written(path)}")
    assert missing == [], "add a row to state/files/catalog.py, then run: scripts/check --fix"


def test_the_guard_sees_the_paths_that_there_are() -> None:
    """A guard that found nothing to look at would pass for ever."""
    seen = {name for folder in FOLDERS for name, _ in named(folder)}
    assert {"artifacts", "lock", "tries", "swarm", "agent_state", "shard", "order", "lease", "handoff"} <= seen
    assert len(seen) > 60


def test_every_agents_state_file_has_a_row() -> None:
    """Most have the row of all agents; a file of another name needs one that names its writer."""
    for row in (*AGENTS, RESCUE):
        path = ROOTS.agent_state(row.name)
        if path.name == f"{row.name}_state.json" and row is not RESCUE:
            assert "STATE_ROOT/<AGENT>_state.json" in ROWS
        else:
            writers = [owned.writer for owned in CATALOG if owned.path == str(path)]
            assert len(writers) == 1, f"no row in state/files/catalog.py for {path}"
            assert row.name in writers[0]


def pattern(path: str) -> re.Pattern[str]:
    """Which files a row means: a placeholder is one name, and a row of a folder means all that lies in it."""
    text = re.sub(r"<\w+>", "[^/]+", re.escape(path)).replace("done\\|refused", "(done|refused)")
    return re.compile(text + (".*" if path.endswith("/") else ""))


def test_every_file_that_a_swarm_at_work_leaves_has_a_row() -> None:
    """Also what no path of the layout names: locks beside journals, what is set aside."""
    rows = [pattern(owned.path) for owned in CATALOG if "/" in owned.path]
    beside = [pattern(f"/{owned.path}") for owned in CATALOG if "/" not in owned.path]  # names beside any record
    with filled() as place:
        files = [path for path in place.roots.results.rglob("*") if path.is_file()]
        names = {path: spellings(path, place.roots) for path in files}
    assert len(files) > 50
    unknown = [
        every[0]
        for path, every in sorted(names.items())
        if not any(row.fullmatch(name) for row in rows for name in every)
        and not any(row.fullmatch(f"/{path.name}") for row in beside)
    ]
    assert unknown == [], "add a row to state/files/catalog.py, then run: scripts/check --fix"


def spellings(path: Path, roots: Roots) -> list[str]:
    """A file as rows call it; STATE_ROOT and LOGS_ROOT lie below RESULTS_ROOT by default."""
    places = ((roots.state, "STATE_ROOT"), (roots.logs, "LOGS_ROOT"), (roots.results, "RESULTS_ROOT"))
    return [f"{word}/{path.relative_to(root)}" for root, word in places if path.is_relative_to(root)]


def test_no_file_has_two_rows() -> None:
    paths = [owned.path for owned in CATALOG]
    assert [path for path in sorted(set(paths)) if paths.count(path) > 1] == []
