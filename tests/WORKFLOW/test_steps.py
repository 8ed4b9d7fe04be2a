"""Validation is kept step by step: killed anywhere, it goes on from there, does nothing twice and ends the same."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from state.files import checkpoint, codec, snapshot
from state.files.checkpoint import Checkpoint
from state.files.layout import Roots
from tests.WORKFLOW import pipeline
from tests.WORKFLOW.pipeline import SMALL, artifacts, kill_at, run
from WORKFLOW.command_line import order_from, parser
from WORKFLOW.pipeline import outcome, phases, selection
from WORKFLOW.pipeline.judge import Validated
from WORKFLOW.pipeline.run import PipelineRun, begin
from WORKFLOW.report.console import Screen
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.steps.keep import KeptSteps, PlannedStep

# With paths of cross-validation: four folds are days enough.
FOLDS = {"BACKTEST_OPTIMIZE__CROSS_VALIDATION__FOLDS": "4", "BACKTEST_OPTIMIZE__CROSS_VALIDATION__TEST_FOLDS": "2"}
# Inside each kind of step, in the order in which validation comes to them: module:function, and which entry of it.
WITHIN = (
    ("WORKFLOW.validity.search.whole:_chunk", 1),
    ("WORKFLOW.validity.search.overfit:_best", 1),
    ("WORKFLOW.validity.search.overfit:_below", 1),
    ("WORKFLOW.validity.search.placebo:_best", 2),
    ("WORKFLOW.validity.walk_forward:_screen", 1),
    ("WORKFLOW.validity.walk_forward:_stitched_of", 1),
    ("WORKFLOW.validity.cross_validation:_paths", 1),
    ("WORKFLOW.pipeline.judge:surroundings", 2),
    ("WORKFLOW.validity.finalist:_traded", 1),
    ("WORKFLOW.validity.look_ahead:_Trial.at", 12),
    ("WORKFLOW.validity.walk_forward:fixed", 1),
    ("WORKFLOW.validity.finalist:_monte_carlo", 2),
)
ENGINE = ("screen", "screen_with_returns", "ledger", "reference_ledger", "signal", "warm_up_bars", "best")


def kept_in(results: Path) -> dict[str, tuple[int, int]]:
    """Every kept step's file: a step that is done again is written again."""
    found = results.glob("state/runs/*/validation/*.step")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


@pytest.mark.slow
def test_killed_within_each_step_it_does_nothing_twice_and_ends_with_the_same_bytes(tmp_path: Path, data: Path) -> None:
    command = [*SMALL, "--data-path", str(data)]
    before: dict[str, tuple[int, int]] = {}
    for where, passes in (
        *WITHIN,
        ("WORKFLOW.pipeline.judge:promotions", 1),
        ("WORKFLOW.pipeline.outcome:rendered", 1),
    ):
        kill_at(tmp_path / "killed", where, passes, *command, **FOLDS)
        now = kept_in(tmp_path / "killed")
        assert before.items() <= now.items(), f"{where}: what was done is done again"
        before = now
    [folder] = (tmp_path / "killed").glob("state/runs/*/validation")
    counted = checkpoint.count(folder)
    assert counted is not None
    assert counted.kept == counted.steps > 30
    done = run(tmp_path / "killed", *command, "--json", environment=FOLDS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == len(WITHIN) + 2
    assert f"validation goes on: {counted.steps} of {counted.steps} steps are kept" in done.stderr
    [log] = (tmp_path / "killed" / "logs").glob("bt-*.log")
    assert log.read_text().count(f"validation: {counted.steps} steps were kept, 0 done now") == 2
    assert not folder.exists(), "kept steps outlive the results"
    undisturbed = run(tmp_path / "undisturbed", *command, environment=FOLDS)
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert artifacts(tmp_path / "killed") == artifacts(tmp_path / "undisturbed")


# in this process ------------------------------------------------------------------------------------------------------


class Bench:
    """A run that was killed as it came to validation, and what its earlier phases found."""

    def __init__(self, job: PipelineRun) -> None:
        self.job = job
        self.found = phases.prescreen(job)
        self.trials = phases.search(job, self.found)
        self.plan: list[PlannedStep] = []
        self.heard: list[tuple[int, int, str]] = []
        job.screen.on_progress = lambda done, total, note: self.heard.append((done, total, note))

    def validate(self) -> Validated:
        """As a process that has just begun."""
        self.job.__dict__.pop("steps", None)
        self.heard.clear()
        chosen = selection.finalists(self.job, self.trials)
        self.plan = phases.plan_of_validation(self.job, chosen)
        return phases.validate(self.job, self.found, self.trials, chosen)

    def path(self, step: str) -> Path:
        """The step's file."""
        return self.job.steps.checkpoint.path(step)

    def bytes_of(self, validated: Validated) -> dict[str, bytes]:
        """The result tree, without what is of this process alone."""
        return outcome.rendered(self.job, self.found, self.trials, validated)[0]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Any:
    results = tmp_path_factory.mktemp("bench")
    words = [*SMALL, "--data-path", str(data)]
    with pytest.MonkeyPatch.context() as patch, ExitStack() as held:
        for name, value in pipeline.environment(results, **FOLDS).items():
            if name.startswith("BACKTEST_OPTIMIZE__"):
                patch.setenv(name, value)
        order, roots = order_from(parser("test").parse_args(words)), Roots(results, results / "state", results / "logs")
        screen = held.enter_context(Screen(quiet=True))
        bars, report = phases.preflight(order, roots, screen)
        yield Bench(held.enter_context(begin(order, roots, bars, report, screen)))


@pytest.fixture(scope="module")
def whole(bench: Bench) -> dict[str, bytes]:
    """What an undisturbed validation comes to; its steps stay kept."""
    return bench.bytes_of(bench.validate())


def test_what_is_all_kept_asks_no_engine_and_does_no_step(
    bench: Bench, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard against work outside of steps: whatever computes is forbidden once everything is kept."""

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed outside of a step")

    for name in ENGINE:
        monkeypatch.setattr(Evaluator, name, forbidden)
    for where in {where for where, _ in WITHIN}:
        module, _, path = where.partition(":")
        owner: Any = import_module(module)
        *classes, name = path.split(".")
        for one in classes:
            owner = getattr(owner, one)
        monkeypatch.setattr(owner, name, forbidden)
    validated = bench.validate()
    assert bench.job.steps.done_now == []
    assert {note for _, _, note in bench.heard} == {""}
    assert {(done, total) for done, total, _ in bench.heard} == {(len(bench.plan), len(bench.plan))}
    monkeypatch.undo()
    assert bench.bytes_of(validated) == whole


def test_each_step_alone_is_done_again_where_it_alone_is_missing(bench: Bench, whole: dict[str, bytes]) -> None:
    for step in bench.plan:
        bench.path(step.name).unlink()
        validated = bench.validate()
        assert bench.job.steps.done_now == [step.name]
        steps = len(bench.plan)
        assert bench.heard[0] == (steps - 1, steps, ""), "the bar does not begin where it was"
        assert bench.heard[-1] == (steps, steps, step.kind)
    assert bench.bytes_of(validated) == whole


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _edited(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def _of_other_bars(path: Path) -> None:
    Checkpoint(path.parent, "another key").put("walk-forward choices", None, path.read_bytes().partition(b"\n")[2])


def _of_another_layout(path: Path) -> None:
    snapshot.write_bytes(path, b"")


def _open_to_all(path: Path) -> None:
    path.chmod(0o666)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage", [_torn, _edited, _of_other_bars, _of_another_layout, _open_to_all, _link, _pipe], ids=lambda f: f.__name__
)
def test_a_damaged_or_foreign_file_is_done_again(
    bench: Bench, whole: dict[str, bytes], damage: Callable[[Path], None]
) -> None:
    bench.validate()
    name = "walk-forward choices"
    damage(bench.path(name))
    validated = bench.validate()
    assert bench.job.steps.done_now == [name]
    assert bench.bytes_of(validated) == whole
    bench.validate()
    assert bench.job.steps.done_now == []


def test_steps_that_cannot_be_written_cost_a_warning_and_nothing_else(
    bench: Bench, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, aside = bench.job.folder.validation, bench.job.folder.path / "aside"
    folder.rename(aside)
    folder.write_text("in the way")
    said: list[str] = []
    monkeypatch.setattr(bench.job.screen, "say", said.append)
    try:
        assert bench.bytes_of(bench.validate()) == whole
    finally:
        folder.unlink()
        aside.rename(folder)
    [line] = [line for line in said if "cannot be kept" in line]
    assert str(folder) in line


def test_a_limit_bounds_what_is_kept(
    bench: Bench, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench.job.folder.validation.rename(tmp_path / "aside")
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 50_000)
    assert bench.bytes_of(bench.validate()) == whole
    sizes = [path.stat().st_size for path in bench.job.folder.validation.glob("*.step")]
    assert 0 < sum(sizes) < 100_000
    monkeypatch.undo()
    bench.validate()
    assert 0 < len(bench.job.steps.done_now) < len(bench.plan)


@pytest.mark.parametrize("change", ["bars", "holdout", "setting", "seed", "engine", "symbol"])
def test_all_that_decides_a_step_is_in_its_key(bench: Bench, change: str) -> None:
    job, order, settings = bench.job, bench.job.order, bench.job.settings
    others = {
        "bars": {"bars": job.bars.before(job.split)},
        "holdout": {"bars": replace(job.bars, rows=job.bars.rows[:-288])},
        "setting": {"settings": replace(settings, monte_carlo=replace(settings.monte_carlo, paths=51))},
        "seed": {"settings": replace(settings, run=replace(settings.run, seed=8))},
        "engine": {"order": replace(order, engine="reference")},
        "symbol": {"order": replace(order, symbol="OTHER")},
    }[change]
    if "settings" in others:
        others = {"order": replace(order, settings=others["settings"])}
    assert replace(job, **others).steps.checkpoint.key != job.steps.checkpoint.key


def test_other_code_does_every_step_anew(
    bench: Bench, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("WORKFLOW.pipeline.run.SOURCE_HASH", "0" * 16)
    validated = bench.validate()
    assert bench.job.steps.done_now == [step.name for step in sorted(bench.plan, key=_order_in(bench))]
    assert bench.bytes_of(validated) == whole


def _order_in(bench: Bench) -> Callable[[PlannedStep], int]:
    done = {name: at for at, name in enumerate(bench.job.steps.done_now)}
    return lambda step: done[step.name]


# steps of any phase ---------------------------------------------------------------------------------------------------


def steps_in(folder: Path, said: list[str] | None = None) -> KeptSteps:
    return KeptSteps(Checkpoint(folder, "k"), [].append if said is None else said.append)


def test_a_step_that_is_not_planned_cannot_be_done(tmp_path: Path) -> None:
    steps = steps_in(tmp_path)
    with steps.under_way([PlannedStep("one")], lambda *_: None):
        with pytest.raises(AssertionError, match="'two' is not in the plan"):
            steps.do("two", lambda: 2)
        steps.do("one", lambda: 1)


def test_a_phase_that_leaves_a_step_out_does_not_end(tmp_path: Path) -> None:
    steps = steps_in(tmp_path)
    with (
        pytest.raises(AssertionError, match=r"planned and not done: \['two'\]"),
        steps.under_way([PlannedStep("one"), PlannedStep("two")], lambda *_: None),
    ):
        steps.do("one", lambda: 1)


def test_other_inputs_are_another_step(tmp_path: Path) -> None:
    for inputs, done in (({"a": 1}, ["one"]), ({"a": 1}, []), ({"a": 2}, ["one"])):
        steps = steps_in(tmp_path)
        with steps.under_way([PlannedStep("one", inputs)], lambda *_: None):
            steps.do("one", lambda: 1)
        assert steps.done_now == done


def test_of_several_only_those_that_are_missing_are_done(tmp_path: Path) -> None:
    names, asked = ["a 0", "a 1", "a 2", "b 0", "b 1", "c 0"], []
    for missing in (None, "a 1", "b 0", "c 0"):
        steps = steps_in(tmp_path)
        if missing is not None:
            steps.checkpoint.path(missing).unlink()
        with steps.under_way([PlannedStep(name) for name in names], lambda *_: None):
            assert steps.each(names[:3], float, 2) == [0.0, 1.0, 2.0]
            assert steps.together(names[3:5], lambda numbers, _: [(n, None) for n in numbers]) == [(0, None), (1, None)]
            assert steps.aside("more", [1], lambda: asked.append("more") or 7) == 7
            steps.rest("c")
        assert steps.done_now == (names if missing is None else [missing])
    assert asked == ["more"]


def test_what_another_plan_left_is_dropped(tmp_path: Path) -> None:
    other = KeptSteps(Checkpoint(tmp_path, "other"), [].append)
    with other.under_way([PlannedStep("old")], lambda *_: None):
        other.do("old", lambda: 1)
    (tmp_path / ".x.step.12345678.tmp").write_bytes(b"half")
    steps = steps_in(tmp_path)
    with steps.under_way([PlannedStep("new")], lambda *_: None):
        steps.do("new", lambda: 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.step", "plan.json"]
    assert codec.decode((tmp_path / "plan.json").read_bytes())["steps"] == ["new"]
