from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from state.files.layout import Roots
from state.records import runs


@dataclass
class StoppedClock:
    moment: datetime = field(default_factory=lambda: datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC))

    def now(self) -> datetime:
        return self.moment

    def monotonic_s(self) -> float:
        return 0.0


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(tmp_path, tmp_path / "state", tmp_path / "logs")


def begin(roots: Roots, key: str = "k", fresh: bool = False) -> runs.Run:
    return runs.begin(roots, key, "SOL", "aggressive", StoppedClock(), fresh)[0]


def test_an_unfinished_run_goes_on_and_is_counted(roots: Roots) -> None:
    first = begin(roots)
    assert (first.run_id, first.resumed) == ("bt-20260131_235959Z", 0)
    assert begin(roots).run_id == first.run_id
    assert begin(roots).resumed == 2


def test_two_runs_of_one_second_get_two_ids(roots: Roots) -> None:
    assert begin(roots, "a").run_id == "bt-20260131_235959Z"
    assert begin(roots, "b").run_id == "bt-20260201_000000Z"
    assert begin(roots, "a", fresh=True).run_id == "bt-20260201_000001Z"


def test_a_finished_run_is_not_resumed_and_keeps_its_study(roots: Roots) -> None:
    run, folder = runs.begin(roots, "k", "SOL", "aggressive", StoppedClock())
    for path in (folder.bars, folder.prescreen, folder.study):
        path.write_bytes(b"x")
    folder.claims.mkdir()
    (folder.claims / "0.lock").touch()
    runs.finish(folder, run)
    assert {path.name for path in folder.path.iterdir()} == {"run.json", "study.jsonl"}
    assert begin(roots).resumed == 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 99}', '{"schema": 1, "strange": true}'])
def test_a_record_that_cannot_be_read_is_no_run(roots: Roots, content: str) -> None:
    folder = roots.run("bt-20250101_000000Z")
    folder.path.mkdir(parents=True)
    folder.record.write_text(content)
    assert runs.read(folder) is None
    assert begin(roots).resumed == 0


def test_the_key_is_the_same_for_the_same_work_only() -> None:
    assert runs.key_of({"a": 1, "b": [1.5]}) == runs.key_of({"a": 1, "b": [1.5]})
    assert runs.key_of({"a": 1}) != runs.key_of({"a": 2})


def test_runs_of_one_second_never_share_a_folder(roots: Roots) -> None:
    """Forty threads begin at the same stopped moment: forty folders."""
    with ThreadPoolExecutor(40) as pool:
        ids = list(pool.map(lambda n: begin(roots, f"key {n}", fresh=True).run_id, range(40)))
    assert len(set(ids)) == 40


def test_a_note_beside_claims_and_steps_stays_when_the_run_is_finished(roots: Roots) -> None:
    run, folder = runs.begin(roots, "k", "SOL", "aggressive", StoppedClock())
    notes = [folder.claims / "my notes.md", folder.validation / "my notes.md"]
    for one in (*notes, folder.claims / "0.lock", folder.validation / "plan.json"):
        one.parent.mkdir(exist_ok=True)
        one.write_text("precious")
    runs.finish(folder, run)
    assert [*folder.claims.iterdir(), *folder.validation.iterdir()] == notes
