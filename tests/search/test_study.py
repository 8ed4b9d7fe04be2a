"""The shared study: the same trials for any number of processes and after any death."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from config.errors import Refused
from config.settings import load
from state.files.layout import CHECKOUT
from tests.metric_sets import metric_set
from WORKFLOW.search import study as study_module
from WORKFLOW.search.storage import JournalStore, StudyStore, open_storage
from WORKFLOW.search.study import Hopeless, SharedStudy, StudyPlan, Trial, TrialResult

TRIALS, BATCH = 22, 8

# One process of a study. argv: folder, fail point or "-", number of passes through it before it stops.
WORKER = """
import json
import sys
from pathlib import Path
from tests.search.test_study import objective as value_of, open_study
from WORKFLOW.search.study import SharedStudy

folder, point, passes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
changes = json.loads(sys.argv[4])
store = None
if url := changes.pop("url", None):
    from WORKFLOW.search.database import DatabaseStore
    store = DatabaseStore(url, folder / "server", "test")
study = open_study(folder, store=store, **changes)

def stop_here(*_):
    global passes
    passes -= 1
    if passes == 0:
        print(point, flush=True)
        sys.stdin.read()

def objective(parameters, is_hopeless):
    if point == "evaluating":
        stop_here()
    with (folder / "evaluated").open("a") as log:
        log.write(repr(sorted(parameters.items())) + "\\n")
    return value_of(parameters, is_hopeless)

def wrap(owner, name, after):
    real = getattr(owner, name)
    def wrapped(*args, **kwargs):
        if not after:
            stop_here()
        out = real(*args, **kwargs)
        if after:
            stop_here()
        return out
    setattr(owner, name, wrapped)

if point == "asking":
    wrap(study, "_ask", after=False)
elif point == "asked":
    wrap(study, "_ask", after=True)
elif point == "evaluated":
    wrap(study, "_tell", after=False)
elif point == "told":
    wrap(study, "_tell", after=True)
study.work(objective, lambda done: None, lambda: True)
"""


def objective(parameters: dict, is_hopeless: Hopeless) -> TrialResult:
    value = -abs(parameters["fast_period"] - 20) - 10 * parameters["stop_loss"]
    return TrialResult(value, float(parameters["slow_period"] - 150), metric_set(sharpe_ratio=value))


def open_study(folder: Path, trials: int = TRIALS, store: StudyStore | None = None, **changes: Any) -> SharedStudy:
    mode = load({}).modes["aggressive"]
    seeds = tuple(
        {
            "fast_timeframe": 15,
            "fast_period": 3 + i,
            "slow_timeframe": 60,
            "slow_period": 10 + 2 * i,
            "direction": "both",
            "stop_loss": 0.0237,
            "take_profit": 0.05,
            "trailing_stop": 0.02,
            "max_bars": 0,
        }
        for i in range(5)
    )
    plan = StudyPlan(mode, trials, BATCH, 7, seeds, **changes)
    return SharedStudy(store or JournalStore(folder / "study.jsonl"), folder / "claims", plan)


def run(folder: Path) -> list[Trial]:
    study = open_study(folder)
    study.work(objective, lambda done: None, lambda: True)
    return study.finished()


def as_optuna_sees_it(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="search 0", storage=open_storage(folder / "study.jsonl"))


def start(folder: Path, point: str = "-", passes: int = 0, **changes: Any) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), point, str(passes), json.dumps(changes)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return run(tmp_path_factory.mktemp("undisturbed"))


def test_the_seeds_come_first_and_the_budget_is_kept(undisturbed: list[Trial]) -> None:
    assert len(undisturbed) == TRIALS
    assert [trial.source for trial in undisturbed[:6]] == ["phase0"] * 5 + ["sampler"]
    assert [trial.parameters["fast_period"] for trial in undisturbed[:5]] == [3, 4, 5, 6, 7]
    assert [trial.number for trial in undisturbed] == list(range(TRIALS))
    assert Counter(trial.batch for trial in undisturbed) == {0: 8, 1: 8, 2: 6}


def test_a_trial_knows_whether_it_kept_the_constraint(undisturbed: list[Trial]) -> None:
    for trial in undisturbed:
        assert trial.feasible == (trial.parameters["slow_period"] <= 150)


def test_the_sampler_hears_of_the_constraint(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    study.work(objective, lambda done: None, lambda: True)
    feasible = [trial for trial in study.finished() if trial.feasible]
    # Optuna's own idea of the best trial leaves the infeasible ones out only when it finds the constraint values.
    assert as_optuna_sees_it(tmp_path).best_trial.value == max(trial.result.value for trial in feasible)
    assert len(feasible) < TRIALS


@pytest.mark.parametrize("processes", [2, 4])
def test_the_trials_do_not_depend_on_the_number_of_processes(
    tmp_path: Path, undisturbed: list[Trial], processes: int
) -> None:
    workers = [start(tmp_path) for _ in range(processes)]
    for worker in workers:
        worker.communicate()
        assert worker.returncode == 0
    assert open_study(tmp_path).finished() == undisturbed
    evaluated = Counter((tmp_path / "evaluated").read_text().splitlines())
    assert sum(evaluated.values()) == TRIALS, "a trial was evaluated twice"


@pytest.mark.parametrize(
    ("point", "passes"),
    [
        ("asking", 3),
        ("asking", 12),
        ("asked", 1),
        ("asked", 9),
        ("evaluating", 1),
        ("evaluating", 11),
        ("evaluated", 5),
        ("evaluated", 16),
        ("told", 3),
        ("told", 8),
        ("told", 12),
    ],
)
def test_a_kill_at_any_moment_changes_nothing(
    tmp_path: Path, undisturbed: list[Trial], point: str, passes: int
) -> None:
    with start(tmp_path, point, passes) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == f"{point}\n"
        os.kill(worker.pid, signal.SIGKILL)
        assert worker.wait() == -signal.SIGKILL
    assert run(tmp_path) == undisturbed


def test_another_process_goes_on_at_once_when_one_dies_evaluating(tmp_path: Path, undisturbed: list[Trial]) -> None:
    with start(tmp_path, "evaluating", 1) as stuck:
        assert stuck.stdout is not None
        assert stuck.stdout.readline() == "evaluating\n"
        other = start(tmp_path)
        # The other one evaluates the rest of the batch and then waits for the claim of the stuck one, nothing else.
        os.kill(stuck.pid, signal.SIGKILL)
        other.communicate()
        assert other.returncode == 0
    assert open_study(tmp_path).finished() == undisturbed


@pytest.mark.parametrize("looks", range(1, 4))
@pytest.mark.parametrize("batch", [0, 2])
def test_a_result_that_arrives_between_two_looks_changes_nothing(
    tmp_path: Path, undisturbed: list[Trial], monkeypatch: pytest.MonkeyPatch, batch: int, looks: int
) -> None:
    """The last result of a batch comes from elsewhere, just before this process's nth look at the trials."""
    here, elsewhere = open_study(tmp_path), open_study(tmp_path)
    all_but_one = min((batch + 1) * BATCH, TRIALS) - 1
    here.work(objective, lambda done: None, lambda: here.standing().done < all_but_one)
    elsewhere._look()
    [last] = elsewhere._pending()
    look, left = here._look, [looks]

    def look_late() -> None:
        left[0] -= 1
        if left[0] == 0:
            elsewhere._try(last, objective)
        look()

    with monkeypatch.context() as patch:
        patch.setattr(here, "_look", look_late)
        here.work(objective, lambda done: None, lambda: left[0] > 0)
    assert left[0] <= 0, "the result never came"
    assert run(tmp_path) == undisturbed


def test_what_others_left_unfinished_is_failed(tmp_path: Path, undisturbed: list[Trial]) -> None:
    open_study(tmp_path)
    optunas = as_optuna_sees_it(tmp_path)
    for _ in range(3):
        optunas.ask()
    optunas.enqueue_trial({"fast_period": 9})
    assert run(tmp_path) == undisturbed
    states = Counter(trial.state for trial in as_optuna_sees_it(tmp_path).trials)
    assert states == {optuna.trial.TrialState.COMPLETE: TRIALS, optuna.trial.TrialState.FAIL: 4}


@pytest.mark.parametrize(
    ("old", "new"), [('"violation"', '"violence"'), ('"fast_period"', '"past_period"'), ('"result":{', '"outcome":{')]
)
def test_a_trial_that_was_edited_is_named_with_its_file(tmp_path: Path, old: str, new: str) -> None:
    study = open_study(tmp_path)
    study.work(objective, lambda done: None, lambda: study.standing().done < 3)
    path = tmp_path / "study.jsonl"
    *lines, last = path.read_text().splitlines(keepends=True)
    assert old in last
    path.write_text("".join([*lines, last.replace(old, new)]))
    with pytest.raises(Refused, match="trial 2, which is not whole") as refusal:
        open_study(tmp_path)
    assert str(path) in refusal.value.reason
    assert "it sets it aside and searches again" in refusal.value.way_out


def test_a_trial_that_is_on_file_twice_counts_once(tmp_path: Path, undisturbed: list[Trial]) -> None:
    study = open_study(tmp_path)
    study.work(objective, lambda done: None, lambda: study.standing().done < 11)
    optunas = as_optuna_sees_it(tmp_path)
    optunas.add_trial(optunas.trials[10])  # its process did not hear that it was written, and wrote it again
    assert run(tmp_path) == undisturbed


def test_parameters_stand_in_the_order_of_the_space_however_the_storage_gives_them(
    tmp_path: Path, undisturbed: list[Trial]
) -> None:
    run(tmp_path / "whole")
    study = optuna.create_study(
        study_name="search 0", storage=open_storage(tmp_path / "study.jsonl"), direction="maximize"
    )
    for trial in as_optuna_sees_it(tmp_path / "whole").trials:
        trial.params = dict(reversed(trial.params.items()))
        study.add_trial(trial)
    found = open_study(tmp_path).finished()
    assert found == undisturbed
    assert [list(one.parameters) for one in found] == [list(one.parameters) for one in undisturbed]


def test_an_invalid_draw_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(tmp_path)
    family, seen = study._family, []

    class Picky:
        def valid(self, columns):
            seen.append(columns)
            return family.valid(columns) & (columns["fast_period"] % 2 == 0)

    monkeypatch.setattr(study, "_family", Picky())
    study.work(objective, lambda done: None, lambda: True)
    drawn = [trial for trial in study.finished() if trial.source == "sampler"]
    assert len(drawn) == TRIALS - 5
    assert all(trial.parameters["fast_period"] % 2 == 0 for trial in drawn)
    assert len(seen) > len(drawn)


def test_a_stopped_study_goes_on(tmp_path: Path, undisturbed: list[Trial]) -> None:
    study, left = open_study(tmp_path), [11]

    def may_go_on() -> bool:
        left[0] -= 1
        return left[0] >= 0

    study.work(objective, lambda done: None, may_go_on)
    assert open_study(tmp_path).standing().done == 11
    assert run(tmp_path) == undisturbed


def test_the_constraint_key_is_optunas_own() -> None:
    study = optuna.create_study()
    trial = study.ask()
    trial.set_constraint(study_module._CONSTRAINT, -1.0)
    key = f"{study_module._CONSTRAINTS_KEY}:{study_module._CONSTRAINT}"
    assert study.trials[0].system_attrs[key] == -1.0


def test_a_fresh_study_begins_from_the_best(tmp_path: Path) -> None:
    study = open_study(tmp_path, trials=30, study_trials=17)  # two batches of 8, two more, and what is left
    study.work(objective, lambda done: None, lambda: True)
    done = study.finished()
    assert [trial.number for trial in done] == list(range(30))
    names = {
        one.study_name: one.n_trials for one in optuna.get_all_study_summaries(open_storage(tmp_path / "study.jsonl"))
    }
    assert names == {"search 0": 16, "search 1": 14}
    told = [trial.values[0] for trial in study._best(16)]
    feasible = sorted((trial.result.value for trial in done[:16] if trial.feasible), reverse=True)
    assert told == feasible


def test_fresh_studies_do_not_depend_on_the_number_of_processes_either(tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    folders = [alone, *([shared] * 3)]
    for folder in set(folders):
        folder.mkdir()
    workers = [start(folder, study_trials=8) for folder in folders]
    for worker in workers:
        worker.communicate()
        assert worker.returncode == 0
    one, other = (open_study(folder, study_trials=8).finished() for folder in (alone, shared))
    assert one == other
    assert len(one) == TRIALS


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "random"])
def test_every_sampler_repeats_itself_in_any_order_of_work(tmp_path: Path, sampler: str) -> None:
    forwards, backwards = (open_study(tmp_path / name, sampler=sampler, trials=70) for name in ("f", "b"))
    forwards.work(objective, lambda done: None, lambda: True)
    pending = backwards._pending
    backwards._pending = lambda: pending()[::-1]
    backwards.work(objective, lambda done: None, lambda: True)
    assert forwards.finished() == backwards.finished()
    assert len({str(trial.parameters) for trial in forwards.finished()}) > 60


def test_tpe_finds_better_than_chance(tmp_path: Path) -> None:
    best = {}
    for sampler in ("tpe", "random"):
        study = open_study(tmp_path / sampler, sampler=sampler, trials=120)
        study.work(objective, lambda done: None, lambda: True)
        late = sorted(trial.result.value for trial in study.finished()[60:])
        best[sampler] = late[len(late) // 2]
    assert best["tpe"] > best["random"] + 3


def test_a_process_that_is_stopped_in_mid_trial_holds_up_nobody(
    tmp_path: Path, undisturbed: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "_PATIENCE_S", 0.3)
    with start(tmp_path, "evaluating", 3) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "evaluating\n"
        other.send_signal(signal.SIGSTOP)
        assert run(tmp_path) == undisturbed
        other.send_signal(signal.SIGCONT)
        other.communicate("\n", timeout=60)  # it files its copy of the trial, or finds nothing left to do
    assert run(tmp_path) == undisturbed
