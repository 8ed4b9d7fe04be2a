"""A kept step is there whole and ours, or not at all; `count` says how many of a plan are."""

import os
from pathlib import Path

import pytest

from state.files import checkpoint
from state.files.checkpoint import Checkpoint, Count

STEPS = ("daily returns 0", "look-ahead of trial 3, cuts from 8", "x")


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoint:
    one = Checkpoint(tmp_path / "validation", "a key")
    one.plan(STEPS)
    for step in STEPS[:2]:
        one.put(step, {"a": 1}, step.encode() + b"\n\x00 and bytes")
    return one


def test_what_was_put_is_there_for_the_same_key_and_inputs_alone(kept: Checkpoint) -> None:
    assert kept.get(STEPS[1], {"a": 1}) == STEPS[1].encode() + b"\n\x00 and bytes"
    assert kept.get(STEPS[1], {"a": 2}) is None
    assert kept.get(STEPS[2], {"a": 1}) is None
    assert Checkpoint(kept.folder, "another").get(STEPS[1], {"a": 1}) is None


def test_a_file_under_another_name_is_not_that_step(kept: Checkpoint) -> None:
    kept.path(STEPS[0]).rename(kept.path(STEPS[2]))
    assert kept.get(STEPS[2], {"a": 1}) is None


def test_count_is_of_whole_files_of_the_plan(kept: Checkpoint) -> None:
    assert checkpoint.count(kept.folder) == Count(2, 3)
    kept.put("not planned", None, b"")
    assert checkpoint.count(kept.folder) == Count(2, 3)
    path = kept.path(STEPS[0])
    path.write_bytes(path.read_bytes()[:-1])
    assert checkpoint.count(kept.folder) == Count(1, 3)
    Checkpoint(kept.folder, "another").put(STEPS[1], {"a": 1}, b"")
    assert checkpoint.count(kept.folder) == Count(0, 3)


@pytest.mark.parametrize("plan", [None, b"", b"[]", b"{}", b'{"schema": 1}', b'{"schema": 9, "steps": []}'])
def test_without_a_plan_nothing_is_counted(kept: Checkpoint, plan: bytes | None) -> None:
    path = kept.folder / "plan.json"
    path.unlink() if plan is None else path.write_bytes(plan)
    assert checkpoint.count(kept.folder) is None
    assert checkpoint.count(kept.folder / "nowhere") is None


def test_nobody_else_may_read_or_have_written_it(kept: Checkpoint) -> None:
    assert {path.stat().st_mode & 0o777 for path in kept.folder.iterdir()} == {0o600}
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    kept.path(STEPS[0]).chmod(0o620)
    assert kept.get(STEPS[0], {"a": 1}) is None


def test_a_pipe_or_a_link_in_its_place_is_nothing_and_blocks_nobody(kept: Checkpoint) -> None:
    os.mkfifo(kept.path(STEPS[2]))
    assert kept.get(STEPS[2], None) is None
    other = kept.path(STEPS[0]).rename(kept.folder / "other")
    kept.path(STEPS[0]).symlink_to(other)
    assert kept.get(STEPS[0], {"a": 1}) is None
    assert checkpoint.count(kept.folder) == Count(1, 3)


def test_a_write_that_fails_leaves_the_old_file_and_no_debris(kept: Checkpoint) -> None:
    kept.path(STEPS[2]).mkdir()
    with pytest.raises(OSError, match=r"x\.step"):
        kept.put(STEPS[2], None, b"")
    assert not list(kept.folder.glob(".*.tmp"))


def test_they_take_no_more_than_the_limit(kept: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 1_000)
    with pytest.raises(OSError, match="more than"):
        kept.put(STEPS[2], None, b"x" * 900)
    assert kept.get(STEPS[2], None) is None


def test_a_plan_drops_what_is_of_another_key_and_keeps_what_is_its_own(kept: Checkpoint) -> None:
    kept.put("beside the plan", None, b"mine")
    kept.plan(STEPS)
    assert kept.get("beside the plan", None) == b"mine"
    Checkpoint(kept.folder, "another").plan(["y"])
    assert [path.name for path in kept.folder.iterdir()] == ["plan.json"]
