"""One reader of result trees: it lists what was published, and refuses by name what is not what was published."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from config.errors import Refused
from state.files.artifacts import BESTS, MANIFEST
from state.records import results
from state.records.results import PublishedTree


def publish(folder: Path, **files: str) -> Path:
    """A tree of these files, named with `__` for `/` and without `.json`."""
    sums = {}
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        sums[str(path.relative_to(folder))] = hashlib.sha256(text.encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps({"files": sums}))
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> PublishedTree:
    folder = publish(tmp_path / "SOL" / "aggressive", best_winrate__validation="{}", best_sharpe__validation='{"a": 1}')
    return results.read(folder)


def test_trees_are_listed_by_name_and_neither_half_ones_nor_strangers(tmp_path: Path) -> None:
    for unit in ("SOL/balanced", "BTC/aggressive", "SOL/.balanced.publishing", ".SOL/balanced"):
        publish(tmp_path / unit)
    (tmp_path / "SOL" / "prescreened").mkdir()
    (tmp_path / "SOL" / "prescreened" / "phase0_top500.json").write_text("{}")
    (tmp_path / "ETH" / "torn").mkdir(parents=True)
    (tmp_path / "ETH" / "torn" / MANIFEST).write_text("{")
    whole = ["BTC/aggressive", "SOL/balanced"]
    assert [tree.name for tree in results.trees(tmp_path)] == whole
    assert [str(path.relative_to(tmp_path)) for path in results.published(tmp_path)] == [whole[0], "ETH/torn", whole[1]]
    assert list(results.trees(tmp_path / "nowhere")) == results.published(tmp_path / "nowhere") == []


def test_what_was_published_without_its_manifest_is_a_result_too(tmp_path: Path) -> None:
    (tmp_path / "SOL" / "aggressive" / BESTS[2]).mkdir(parents=True)
    assert results.published(tmp_path) == [tmp_path / "SOL" / "aggressive"]
    assert results.folders(tmp_path) == []


def test_the_bests_come_in_the_order_of_the_measures(tree: PublishedTree, tmp_path: Path) -> None:
    assert tree.bests == ["best_sharpe", "best_winrate"]
    files = results.of_bests(tmp_path, "validation.json")
    assert files == [tree.folder / best / "validation.json" for best in tree.bests]


def test_a_file_is_read_if_it_is_the_one_that_the_manifest_names(tree: PublishedTree) -> None:
    assert tree.record("best_sharpe/validation.json") == {"a": 1}
    assert tree.holds("best_sharpe/validation.json")


@pytest.mark.parametrize("how", ["edited", "gone", "pipe", "unnamed"])
def test_any_other_file_is_refused_by_its_name(tree: PublishedTree, how: str) -> None:
    name = "best_sharpe/validation.json"
    path = tree.folder / name
    if how == "edited":
        path.write_text('{"a": 2}')
    elif how == "unnamed":
        name = "best_sharpe/notes.json"
        path = tree.folder / name
        path.write_text("{}")
    else:
        path.unlink()
    if how == "pipe":
        os.mkfifo(path)
    with pytest.raises(Refused) as refused:
        tree.record(name)
    assert refused.value.reason.startswith(f"{path} is not the file that {MANIFEST} names")
    assert tree.seen_record(name) == {"edited": {"a": 2}}.get(how, {})


def test_a_file_that_holds_no_object_is_refused_by_its_name(tmp_path: Path) -> None:
    tree = results.read(publish(tmp_path, best_sharpe__metrics="[1]"))
    with pytest.raises(Refused, match=r"best_sharpe/metrics\.json holds no record"):
        tree.record("best_sharpe/metrics.json")
    assert tree.seen_record("best_sharpe/metrics.json") == {}


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, None])
def test_a_manifest_that_is_none_is_refused_by_its_name_and_passed_over_in_a_list(
    tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(Refused, match=f"{tmp_path / MANIFEST} is missing or not JSON"):
        results.read(tmp_path)
    assert results.seen(tmp_path) is None


@pytest.mark.parametrize("files", [None, [], "all"])
def test_a_manifest_without_sums_names_no_file(tmp_path: Path, files: object) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"files": files}))
    assert results.read(tmp_path).sums == {}
    assert results.read(tmp_path).bests == []
