"""Between the phases of a swarm's job somebody edits what one left for the next: it is found, made again, and said."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config import settings
from hooks import gate
from state.files import sealed, snapshot
from state.files.journal import Journal
from state.files.layout import Roots
from state.files.run_folders import RunFolder
from state.files.tree import tree_of
from state.host import identity
from state.host.clock import SystemClock
from state.records import orders
from state.records.jobs import Job, JobJournal
from state.records.orders import SwarmOrder
from state.records.workers import Launch
from tests.WORKFLOW import pipeline
from tests.WORKFLOW.pipeline import artifacts
from WORKFLOW.data.generate import write_demo
from WORKFLOW.pipeline.lane import worker
from WORKFLOW.report.tree import writing

RUN, UNIT = "bt-20260101_000000Z", ("SYNTHETIC", "aggressive")
PHASES: tuple[Any, ...] = ("preflight", "prescreen", "merge", "search", "validate", "report")


@dataclass
class Lane:
    """One unit of a run, its phases done by the product's own worker in this process."""

    results: Path
    epoch: int = 0

    @property
    def roots(self) -> Roots:
        """Of this copy."""
        return Roots(self.results, self.results / "state", self.results / "logs")

    @property
    def unit(self) -> RunFolder:
        """The working files."""
        return self.roots.swarm_run(RUN).round(0).unit(*UNIT)

    def do(self, phase: Any) -> dict[str, Any]:
        """The phase's result record."""
        self.epoch += 1
        job, folder = Job(0, *UNIT, phase), self.roots.swarm_run(RUN).round(0)
        jobs = JobJournal(Journal(folder.jobs), SystemClock())
        jobs.enqueue([job])
        worker_id = f"{job.job_id}.e{self.epoch}"
        launch = Launch(worker_id, RUN, job, self.epoch, "nonce-of-a-test", "cpu0", 2, "", 0.0, identity.boot_id())
        snapshot.write_json(self.roots.launch(worker_id), tree_of(launch))
        jobs.started(job.job_id, self.epoch, worker_id, "cpu0")
        worker.main([str(self.roots.launch(worker_id))])
        record: Any = snapshot.read_json(folder.result(job.job_id))
        if record["status"] == "completed":
            jobs.completed(job.job_id, record["metrics"], record["gates"])
        return dict(record)

    def go_on(self, first: str) -> None:
        """All phases from `first` on."""
        for phase in PHASES[PHASES.index(first) :]:
            record = self.do(phase)
            assert record["status"] == "completed", record


@pytest.fixture(autouse=True)
def nobody_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "beat", gate._no_beat)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("data"), days=150, seed=11)


@pytest.fixture(scope="module")
def before_report(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run of which everything but the report is done; the steps of validation are kept."""
    lane = Lane(tmp_path_factory.mktemp("lane"))
    environment = {k: v for k, v in pipeline.environment(lane.results).items() if k.startswith("BACKTEST_OPTIMIZE__")}
    chosen = settings.load(environment)
    some = {"prescreen": {"combos": 300}, "search": {"trials": 24}, "monte_carlo": {"paths": 50}}
    tree = settings.tree_of(settings.with_values(chosen, **some))
    at = "2026-01-01T00:00:00.000Z"
    order = SwarmOrder(RUN, "k", UNIT[:1], UNIT[1:], 1, str(data), "native", False, at, tree)
    with pytest.MonkeyPatch.context() as patch:
        _point(patch, lane)
        orders.write(lane.roots.swarm_run(RUN).order, order)
        for phase in PHASES[:-1]:
            assert lane.do(phase)["status"] == "completed"
    return lane.results


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, before_report: Path) -> dict[str, Any]:
    lane = _copy(before_report, tmp_path_factory.mktemp("undisturbed"))
    with pytest.MonkeyPatch.context() as patch:
        _point(patch, lane)
        lane.go_on("report")
    return artifacts(lane.results)


@pytest.fixture
def lane(tmp_path: Path, before_report: Path, monkeypatch: pytest.MonkeyPatch) -> Lane:
    mine = _copy(before_report, tmp_path)
    _point(monkeypatch, mine)
    return mine


def _copy(results: Path, where: Path) -> Lane:
    shutil.copytree(results, where / "copy")
    return Lane(where / "copy", epoch=100)


def _point(patch: pytest.MonkeyPatch, lane: Lane) -> None:
    roots = {"RESULTS_ROOT": lane.results, "STATE_ROOT": lane.roots.state, "LOGS_ROOT": lane.roots.logs}
    for name, path in roots.items():
        patch.setenv(name, str(path))


def _json(path: Path, change: Callable[[Any], Any], seal: bool) -> None:
    record = json.loads(path.read_text())
    change(record)
    (sealed if seal else snapshot).write_json(path, record)


def _bars(folder: RunFolder, seal: bool) -> None:
    """Prices of the first month, twice as high."""
    rows = np.load(folder.bars).copy()
    for name in ("open", "high", "low", "close"):
        rows[name][:8_640] *= 2.0
    np.save(folder.bars, rows, allow_pickle=False)
    if seal:
        digest = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
        _json(folder.bar_labels, lambda r: r.update(sha256=digest), seal=True)


def _study(folder: RunFolder, change: Callable[[list[str]], list[str]]) -> None:
    folder.study.write_text("".join(change(folder.study.read_text().splitlines(keepends=True))))


def _flattered(lines: list[str]) -> list[str]:
    """Every finished trial with a Sharpe ratio of 9 in its metrics and its value."""
    return [re.sub(r'(\\?"sharpe_ratio\\?": ?)[-0-9.e]+', r"\g<1>9.0", line) for line in lines]


ATTACKS: dict[str, tuple[str, Callable[[RunFolder], Any], str]] = {
    "bars": ("search", lambda f: _bars(f, seal=False), "made again from the data"),
    "bars cut": ("search", lambda f: os.truncate(f.bars, 999), "made again from the data"),
    "bars gone": ("merge", lambda f: f.bars.unlink(), "made again from the data"),
    "bars by a liar": ("validate", lambda f: _bars(f, seal=True), "prescreen and search are done again"),
    "labels": ("search", lambda f: _json(f.bar_labels, lambda r: r.update(tick=5.0), seal=False), "made again"),
    "preflight": ("validate", lambda f: _json(f.preflight, lambda r: r.update(sha256="0"), seal=False), "made again"),
    "shard": ("merge", lambda f: _json(f.shard(0), lambda r: r.update(eligible=1), seal=False), "tried here"),
    "shard by a liar": ("merge", lambda f: _json(f.shard(0), lambda r: r.update(tried=7), seal=True), "tried here"),
    "prescreen": ("search", lambda f: _json(f.prescreen, lambda r: r.update(eligible=1), seal=False), "done again"),
    "fees": ("search", lambda f: _json(f.search, lambda r: r["costs"].update(fee_rate=0.0), False), "written again"),
    "plan": ("validate", lambda f: _json(f.search, lambda r: r["plan"].update(trials=8), False), "written again"),
    "job gone": ("validate", lambda f: f.search.unlink(), "written again"),
    "study torn": ("validate", lambda f: _study(f, lambda lines: [*lines[:5], "{]\n", *lines[6:]]), "set aside as"),
    "study short": ("validate", lambda f: _study(f, lambda lines: lines[:-6]), "the others are done here"),
    "study gone": ("validate", lambda f: f.study.unlink(), "0 of 24 trials: the others are done here"),
    "study of a liar": ("validate", lambda f: _study(f, _flattered), "do not come to: it is set aside"),
    "staged": ("report", lambda f: (f.staged / "search.json").write_text("{}"), "it is validated again"),
    "staged gone": ("report", lambda f: (f.staged / "best_sharpe" / "trades.csv").unlink(), "it is validated again"),
    "staged manifest": (
        "report",
        lambda f: _json(f.staged / "run_manifest.json", lambda r: r.update(verdict="candidate"), seal=False),
        "it is validated again",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ATTACKS)
def test_what_is_edited_between_two_phases_is_made_again_and_said(
    lane: Lane, undisturbed: dict[str, Any], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, attack, said = ATTACKS[what]
    attack(lane.unit)
    capsys.readouterr()
    lane.go_on(first)
    logs = "".join(
        path.read_text() for path in lane.roots.logs.rglob("*.log")
    )  # the wrapper sends the output there, too
    assert said in capsys.readouterr().out + logs
    assert artifacts(lane.results) == undisturbed


@pytest.mark.slow
def test_a_note_among_what_is_staged_stays_when_it_is_staged_anew(lane: Lane, undisturbed: dict[str, Any]) -> None:
    note = lane.unit.staged / "best_sharpe" / "my notes.md"
    note.write_text("precious")
    lane.go_on("validate")
    assert note.read_text() == "precious"
    assert artifacts(lane.results) == undisturbed


@pytest.mark.slow
def test_an_order_that_is_edited_between_two_phases_changes_nothing(
    lane: Lane, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its fees, in the middle of the search: the results are those of what was ordered."""
    path = lane.roots.swarm_run(RUN).order
    _json(path, lambda r: r["settings"]["costs"].update(fee_rate=0.0), seal=False)
    lane.unit.study.unlink()
    lane.go_on("search")
    assert "order.json is not what this symbol and mode began with" in capsys.readouterr().out
    assert artifacts(lane.results) == undisturbed


def test_what_passes_by_itself_waits_and_nothing_is_thrown_away(lane: Lane, undisturbed: dict[str, Any]) -> None:
    """A result that another run is writing, a folder of data that is not there, a file of data that is other: waits."""
    with writing(lane.roots, *UNIT):
        record = lane.do("report")
    assert record["status"] == "waiting"
    assert record["error_message"].startswith("another run is writing SYNTHETIC aggressive")
    order = orders.must(lane.roots.swarm_run(RUN).order)
    there = Path(str(order.data_path))
    away = there.with_name("away")
    there.rename(away)
    try:
        record = lane.do("validate")
        assert (record["status"], record["patience_s"]) == ("waiting", None)
        assert "there is nothing at" in record["error_message"]
        write_demo(there.parent, days=150, seed=12)
        record = lane.do("validate")
        assert (record["status"], record["patience_s"]) == ("waiting", 600.0)
        assert "have changed since this run checked them" in record["error_message"]
    finally:
        away.rename(there)
    lane.go_on("validate")
    assert artifacts(lane.results) == undisturbed
