"""Results are replaced as a whole: after a kill at any step the old or the new ones are whole; foreign files stay."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts.swarm import checksums
from state.files import publication, snapshot
from state.files.artifacts import MANIFEST, PHASE0
from state.files.layout import Roots
from state.files.publication import Publication
from WORKFLOW.report.tree import ResultTree, writing

OLD = {
    "all_trials.json": b"old\n",
    PHASE0: b"old\n",
    "best_sharpe/config.json": b"old\n",
    "best_sharpe/trades.csv": b"same\n",
    "best_returns/config.json": b"old\n",
    "best_returns/trades.csv": b"old\n",
}
NEW = {
    "all_trials.json": b"new\n",
    PHASE0: b"new\n",
    "pareto_front.json": b"new\n",
    "best_sharpe/config.json": b"new\n",
    "best_sharpe/trades.csv": b"same\n",
    "lowest_drawdown/config.json": b"new\n",
}
STEPS = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir")  # and every file that is opened to be written


@pytest.fixture(autouse=True)
def _no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses no data that was written, so the tests need not wait for the disk hundreds of times."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots.from_environment({"RESULTS_ROOT": str(tmp_path)})


@pytest.fixture
def tree(roots: Roots) -> ResultTree:
    return ResultTree(roots.artifacts("SOL", "aggressive"))


def lay_foreign(folder: Path) -> Callable[[], bool]:
    """What people and their editors leave in a result tree; the answer tells whether all of it is as it was."""
    (folder / "best_sharpe" / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / "best_returns" / "deep" / "er").mkdir(parents=True)
    files = [
        folder / "notes.txt",
        folder / "best_sharpe" / "why I like it.md",
        folder / "best_sharpe" / ".ipynb_checkpoints" / "look-checkpoint.ipynb",
        folder / "best_returns" / "deep" / "er" / "config.json",
        folder / "best_returns" / ".config.json.tmp",
        folder / "best_sharpe" / ".draft.0123abcd.tmp",
        folder.with_name(".aggressive.publishing") / "mine.txt",
        folder.with_name(".aggressive.publishing") / "0123abcd.new" / "mine.txt",
    ]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(path))
    (folder / "best_sharpe" / "link").symlink_to(folder / "notes.txt")
    return lambda: (folder / "best_sharpe" / "link").is_symlink() and all(p.read_text() == str(p) for p in files)


def is_whole(folder: Path, files: Mapping[str, bytes], run: int) -> bool:
    """Whether all of a result is there, its manifest and sums included, and none of its bests has more of ours."""
    there = all((folder / name).is_file() and (folder / name).read_bytes() == data for name, data in files.items())
    record = snapshot.read_json(folder / MANIFEST)
    return there and isinstance(record, dict) and record["run"] == run and set(record["files"]) == set(files)


def ready(tree: ResultTree) -> Path:
    return tree.folder.with_name(f".{tree.folder.name}.publishing") / "ready"


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that kills itself before its nth change of a file; False when it came to an end."""
    pid = os.fork()
    if pid == 0:
        left = [step]

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in STEPS or writes:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sys.addaudithook(count)
            work()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), "it failed"
    return code != 0


def steps_of(work: Callable[[], object], before: Callable[[], object]) -> Iterator[int]:
    """Once for each step at which the work can be killed."""
    step = 1
    before()
    while killed_at(step, work):
        yield step
        step += 1
        before()
    assert step > 30, "nobody was killed: the hook sees nothing"


@pytest.mark.parametrize("links", [True, False])
def test_killed_at_any_step_the_old_or_the_new_results_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """A second kill in the repair costs nothing either; on disks without hard links the files are copied."""
    if not links:
        monkeypatch.setattr(os, "link", _refused)
    every, seen = tmp_path / "every", {"old": 0, "half": 0, "new": 0}
    trees: list[ResultTree] = []
    as_it_was: list[Callable[[], bool]] = []

    def begin() -> None:
        trees.append(tree := ResultTree(every / str(len(trees)) / "aggressive"))
        tree.publish(OLD, {"run": 1})
        as_it_was.append(lay_foreign(tree.folder))

    for step in steps_of(lambda: trees[-1].publish(NEW, {"run": 2}), begin):
        tree = trees[-1]
        is_decided = (ready(tree) / MANIFEST).exists()
        if is_decided and not is_whole(tree.folder, NEW, 2):
            assert is_whole(ready(tree), NEW, 2), step
            (alone := tmp_path / "alone" / str(step)).mkdir(parents=True)
            (alone / "SOL").symlink_to(tree.folder.parent)
            [found] = checksums.check(alone)["trees"]
            assert found["wrong"][0].startswith("published by half, or right now: "), step
            seen["half"] += 1
            killed_at(1 + step % 7, tree.finish)
        else:
            assert is_whole(tree.folder, NEW, 2) or is_whole(tree.folder, OLD, 1), step
            seen["new" if is_whole(tree.folder, NEW, 2) else "old"] += 1
        tree.finish()
        assert is_whole(tree.folder, NEW, 2) if is_decided else True, step
        assert is_whole(tree.folder, NEW, 2) or is_whole(tree.folder, OLD, 1), step
        assert as_it_was[-1](), f"{step}: what is not ours was touched"
    found = checksums.check(every)  # all at once, since each call starts a process
    assert (len(found["trees"]), found["wrong"]) == (len(trees), 0), found
    for step, (tree, is_as_it_was) in enumerate(zip(trees, as_it_was, strict=True), start=1):
        tree.publish(NEW, {"run": 3})
        assert is_whole(tree.folder, NEW, 3), step
        assert is_as_it_was(), step
        assert not [path for path in tree.folder.parent.rglob("*.tmp") if path.name not in FOREIGN], f"{step}: debris"
        assert not (tree.folder / "best_returns" / "config.json").exists()
    assert min(seen.values()) > 0, seen


FOREIGN = (".config.json.tmp", ".draft.0123abcd.tmp")


def _refused(*_: object, **__: object) -> None:
    raise OSError(1, "Operation not permitted")


def test_an_editors_folder_and_a_note_in_a_best_stay_and_the_next_results_are_whole(tree: ResultTree) -> None:
    tree.publish(OLD, {"run": 1})
    as_it_was = lay_foreign(tree.folder)
    assert tree.publish(NEW, {"run": 2}) == ()
    assert is_whole(tree.folder, NEW, 2)
    assert as_it_was()
    [found] = checksums.check(tree.folder.parent.parent)["trees"]
    assert found["wrong"] == []
    others = {"best_returns", "best_sharpe/.draft.0123abcd.tmp", "best_sharpe/.ipynb_checkpoints", "best_sharpe/link"}
    assert set(found["others"]) == {*others, "best_sharpe/why I like it.md", "notes.txt"}


@pytest.mark.parametrize("name", ["best_sharpe/config.json", "best_sharpe", "all_trials.json", MANIFEST, PHASE0])
@pytest.mark.parametrize("what", ["folder", "link", "file"])
def test_what_is_in_the_way_steps_aside_whole(tree: ResultTree, tmp_path: Path, name: str, what: str) -> None:
    if (what, name) in (("file", MANIFEST), ("file", PHASE0), ("folder", "best_sharpe")):
        pytest.skip("it is not in the way: it is replaced, or used")
    theirs, target = tmp_path / "theirs", tree.folder / name
    theirs.mkdir()
    (theirs / "config.json").write_text("precious")
    target.parent.mkdir(parents=True)
    if what == "link":
        target.symlink_to(theirs)
    elif what == "folder":
        theirs.rename(target)
    else:
        target.write_text("precious")
    said = [*tree.write_phase0(PHASE0, {"run": 2}), *tree.publish(NEW, {"run": 2})]
    aside = target.with_name(f"{target.name}.not-ours-1")
    assert said == [f"{target} was not ours and in the way: it is {aside.name} now"]
    assert (aside.read_text() if what == "file" else (aside / "config.json").read_text()) == "precious"
    assert is_whole(tree.folder, NEW, 2)


def test_a_file_of_the_old_results_that_somebody_edited_is_not_removed(tree: ResultTree) -> None:
    tree.publish(OLD, {"run": 1})
    (tree.folder / "best_returns" / "config.json").write_text("mine now")
    tree.publish(NEW, {"run": 2})
    assert (tree.folder / "best_returns" / "config.json").read_text() == "mine now"
    assert not (tree.folder / "best_returns" / "trades.csv").exists()


@pytest.mark.parametrize("name", ["../precious", "../../precious", "a/b/precious", "/precious", MANIFEST])
def test_a_manifest_that_names_files_elsewhere_costs_nobody_a_file(tree: ResultTree, tmp_path: Path, name: str) -> None:
    tree.publish(OLD, {"run": 1})
    record = snapshot.read_json(tree.folder / MANIFEST)
    precious = tree.folder / (name if not name.startswith("/") else str(tmp_path / "precious"))
    precious.parent.mkdir(parents=True, exist_ok=True)
    before = precious.read_bytes() if precious.exists() else b"precious"
    precious.write_bytes(before)
    word = str(precious) if name.startswith("/") else name
    snapshot.write_json(tree.folder / MANIFEST, {**record, "files": {word: publication.digest_of(before)}})
    tree.publish(NEW, {"run": 2})
    assert name == MANIFEST or precious.read_bytes() == before


def test_a_folder_that_takes_no_file_is_refused_before_anything_is_decided(
    tree: ResultTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.publish(OLD, {"run": 1})
    closed = tree.folder / "best_sharpe"
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != closed)  # tests may run as root, who may all
    with pytest.raises(PermissionError, match="best_sharpe"):
        tree.publish(NEW, {"run": 2})
    assert is_whole(tree.folder, OLD, 1)
    assert Publication(tree.folder).half() is None


def test_whoever_writes_next_finishes_what_was_published_by_half(roots: Roots, tree: ResultTree) -> None:
    tree.publish(OLD, {"run": 1})
    step = 1
    while Publication(tree.folder).half() is None:
        assert killed_at(step, lambda: tree.publish(NEW, {"run": 2}))
        step += 1
    with writing(roots, "SOL", "aggressive"):
        assert is_whole(tree.folder, NEW, 2)
    assert Publication(tree.folder).half() is None


def test_new_results_that_lost_a_file_before_they_were_in_place_are_not_put_in_place(tree: ResultTree) -> None:
    tree.publish(OLD, {"run": 1})
    step = 1
    while Publication(tree.folder).half() is None:
        assert killed_at(step, lambda: tree.publish(NEW, {"run": 2}))
        step += 1
    (ready(tree) / "all_trials.json").write_text("damaged")
    tree.finish()
    assert is_whole(tree.folder, OLD, 1)
    [found] = checksums.check(tree.folder.parent.parent)["trees"]
    assert found["wrong"][0].endswith("and files of it are lost; run SOL aggressive again")
    tree.publish(NEW, {"run": 3})
    assert is_whole(tree.folder, NEW, 3)
    assert checksums.check(tree.folder.parent.parent)["wrong"] == 0


def test_results_without_a_manifest_are_wrong_and_not_absent(tree: ResultTree) -> None:
    """So an earlier version left them when it was killed."""
    tree.publish(OLD, {"run": 1})
    (tree.folder / MANIFEST).unlink()
    [found] = checksums.check(tree.folder.parent.parent)["trees"]
    assert found["wrong"] == [f"{MANIFEST} names no files, since there is none: run this symbol and mode again"]
