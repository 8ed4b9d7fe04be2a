"""Real deaths: kill -9 at any point, a full disk and damaged checkpoints cost nothing but time."""

import json
import shutil
from pathlib import Path

import pytest

from tests.WORKFLOW.pipeline import SMALL, artifacts, kill_at, refused, run, tried

PRESCREENED = "WORKFLOW.report.tree:ResultTree.write_phase0"
SEARCH = "WORKFLOW.search.bayes:search"


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        ("WORKFLOW.pipeline.phases:prescreen", 1),
        ("WORKFLOW.search.prescreen:_merge", 3),
        (PRESCREENED, 1),
        (SEARCH, 1),
        ("WORKFLOW.search.job:SearchJob.evaluate", 5),
        ("WORKFLOW.search.job:SearchJob.evaluate", 20),
        ("WORKFLOW.pipeline.selection:finalists", 1),
        ("WORKFLOW.validity.finalist:judge", 2),
        ("state.files.snapshot:sync_folder", 9),
        ("pathlib:Path.replace", 4),
        ("pathlib:Path.replace", 8),
    ],
)
def test_kill_9_and_the_same_command_again_give_the_same_bytes(
    tmp_path: Path, data: Path, undisturbed: Path, where: str, passes: int
) -> None:
    command = [*SMALL, "--data-path", str(data)]
    kill_at(tmp_path, where, passes, *command)
    if where == PRESCREENED:
        assert tried(tmp_path) == {"prescreen": 300}, (
            "a run may be killed and left there: what was seen of it was tried"
        )
    ends_like(undisturbed, tmp_path, command, kills=1)


def ends_like(undisturbed: Path, results: Path, command: list[str], kills: int) -> None:
    """The same command again ends what was killed, with the bytes and the tries of a run that never was."""
    done = run(results, *command, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == kills
    assert artifacts(results) == artifacts(undisturbed)
    assert tried(results) == tried(undisturbed)
    assert not list(results.rglob("*.tmp")), "debris"


@pytest.fixture(scope="module")
def at_publish(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """What a run leaves that was killed when all was computed and nothing published."""
    results = tmp_path_factory.mktemp("killed")
    kill_at(results, "WORKFLOW.report.tree:ResultTree.publish", 1, *SMALL, "--data-path", str(data))
    return results


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        (None, 0),
        ("state.files.publication:Publication._put_in_place", 1),
        ("state.files.publication:Publication._put", 5),
        ("state.records.runs:finish", 1),
    ],
)
def test_kill_9_while_it_publishes(
    tmp_path: Path, data: Path, at_publish: Path, undisturbed: Path, where: str | None, passes: int
) -> None:
    shutil.copytree(at_publish, tmp_path / "r")
    command = [*SMALL, "--data-path", str(data)]
    if where is not None:
        kill_at(tmp_path / "r", where, passes, *command)
    ends_like(undisturbed, tmp_path / "r", command, kills=1 if where is None else 2)


@pytest.fixture(scope="module")
def at_search(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """What a run leaves that was killed as its search began."""
    results = tmp_path_factory.mktemp("killed")
    kill_at(results, SEARCH, 1, *SMALL, "--data-path", str(data))
    return results


@pytest.mark.parametrize("content", ["{}", "[]", "null", "5", '{"tried": "many"}', ""])
def test_a_checkpoint_of_another_shape_is_made_anew(tmp_path: Path, data: Path, at_search: Path, content: str) -> None:
    """As it was, to the byte, by the time the search begins; how it goes on from there is tried above."""
    shutil.copytree(at_search, tmp_path / "r")
    [checkpoint] = tmp_path.glob("r/state/runs/*/prescreen.json")
    before = checkpoint.read_bytes()
    checkpoint.write_text(content)
    kill_at(tmp_path / "r", SEARCH, 1, *SMALL, "--data-path", str(data))
    assert checkpoint.read_bytes() == before
    assert artifacts(tmp_path / "r") == artifacts(at_search)


def test_old_results_stay_until_new_ones_are_whole(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "r")
    before = artifacts(undisturbed)
    kill_at(tmp_path / "r", "WORKFLOW.pipeline.phases:validate", 1, *SMALL, "--data-path", str(data), "--seed", "8")
    after = artifacts(tmp_path / "r")
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed == {"phase0_top500.json"}


def test_a_full_disk_loses_nothing(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    command = [*SMALL, "--data-path", str(data)]
    done = run(tmp_path, *command, file_bytes=60_000)  # a full disk that needs no mount
    refused(done, f"cannot write {tmp_path}", "File too large", "continues where it stopped")
    assert not list(tmp_path.rglob("*.tmp")), "debris"
    ends_like(undisturbed, tmp_path, command, kills=1)
