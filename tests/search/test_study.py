"""The shared study: the same trials for any number of processes and after any death."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest

from config.settings import load
from state.layout import CHECKOUT
from WORKFLOW.search import study as study_module
from WORKFLOW.search.study import Plan, Result, SharedStudy, Trial

TRIALS, BATCH = 22, 8

# One process of a study. argv: folder, fail point or "-", number of passes through it before it stops.
WORKER = """
import sys
from pathlib import Path
from tests.search.test_study import objective as value_of, open_study
from WORKFLOW.search.study import SharedStudy

folder, point, passes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
study = open_study(folder)

def stop_here(*_):
    global passes
    passes -= 1
    if passes == 0:
        print(point, flush=True)
        sys.stdin.read()

def objective(parameters):
    if point == "evaluating":
        stop_here()
    with (folder / "evaluated").open("a") as log:
        log.write(repr(sorted(parameters.items())) + "\\n")
    return value_of(parameters)

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

if point == "enqueued":
    wrap(study._study, "enqueue_trial", after=True)
elif point == "asking":
    wrap(study, "_ask", after=True)
elif point == "asked, not committed":
    wrap(study._study, "set_user_attr", after=False)
elif point == "committed":
    wrap(study._study, "set_user_attr", after=True)
elif point == "telling":
    wrap(study._study, "tell", after=True)
elif point == "constraint set, not told":
    wrap(study._study, "tell", after=False)
study.work(objective, lambda done: None, lambda: True)
"""


def objective(parameters: dict) -> Result:
    value = -abs(parameters["fast_period"] - 20) - 10 * parameters["stop_loss"]
    return Result(value, float(parameters["slow_period"] - 150), {"sharpe_ratio": value})


def open_study(folder: Path, trials: int = TRIALS) -> SharedStudy:
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
    return SharedStudy(folder / "study.jsonl", folder / "claims", Plan(mode, trials, BATCH, 7, seeds))


def run(folder: Path) -> list[Trial]:
    study = open_study(folder)
    study.work(objective, lambda done: None, lambda: True)
    return study.finished()


def start(folder: Path, point: str = "-", passes: int = 0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), point, str(passes)],
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
    assert study._study.best_trial.value == max(trial.result.value for trial in feasible)
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
        ("enqueued", 3),
        ("asking", 3),
        ("asking", 12),
        ("asked, not committed", 1),
        ("asked, not committed", 2),
        ("committed", 1),
        ("evaluating", 1),
        ("evaluating", 11),
        ("constraint set, not told", 5),
        ("telling", 3),
        ("telling", 12),
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


@pytest.mark.parametrize("reads", range(1, 9))
@pytest.mark.parametrize("batch", [0, 2])
def test_a_result_that_arrives_between_two_reads_changes_nothing(
    tmp_path: Path, undisturbed: list[Trial], monkeypatch: pytest.MonkeyPatch, batch: int, reads: int
) -> None:
    """The last result of a batch comes from elsewhere, just before this process's nth look at the trials."""
    here, elsewhere = open_study(tmp_path), open_study(tmp_path)
    all_but_one = min((batch + 1) * BATCH, TRIALS) - 1
    here.work(objective, lambda done: None, lambda: here.standing().done < all_but_one)
    [last] = elsewhere._pending()
    look, left, loops = here._trials, [reads], iter(range(20))

    def look_late() -> list:
        left[0] -= 1
        if left[0] == 0:
            elsewhere._evaluate(last, objective)
        return look()

    with elsewhere._claim(last, wait=False), monkeypatch.context() as patch:
        patch.setattr(here, "_trials", look_late)
        patch.setattr(here, "_evaluate_one", lambda pending, evaluate: None)  # it would wait for the claim
        here.work(objective, lambda done: None, lambda: next(loops, None) is not None)
    assert left[0] <= 0, "the result never came"
    if next(loops, None) is not None:  # it ended by itself, so there was nothing left to do
        assert here.finished() == undisturbed
    assert run(tmp_path) == undisturbed


@pytest.mark.parametrize("read", ["standing", "finished"])
def test_a_batch_that_is_opened_between_two_reads_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    here, elsewhere = open_study(tmp_path), open_study(tmp_path)
    here.work(objective, lambda done: None, lambda: here.standing().done < BATCH)
    look = here._trials

    def look_early() -> list:
        trials = list(look())
        elsewhere.work(objective, lambda done: None, lambda: elsewhere.standing().done < BATCH + 1)
        return trials

    with monkeypatch.context() as patch:
        patch.setattr(here, "_trials", look_early)
        getattr(here, read)()
    assert elsewhere.standing().done == BATCH + 1, "the batch was not opened"


def test_zombies_are_failed_before_anyone_asks(tmp_path: Path, undisturbed: list[Trial]) -> None:
    study = open_study(tmp_path)
    for _ in range(3):
        study._study.ask(study._space)  # what an opener leaves that was killed before it committed
    study._study.enqueue_trial({"fast_period": 9})
    assert run(tmp_path) == undisturbed
    states = Counter(trial.state for trial in open_study(tmp_path)._study.trials)
    assert states[optuna.trial.TrialState.RUNNING] == states[optuna.trial.TrialState.WAITING] == 0
    assert states[optuna.trial.TrialState.FAIL] >= 4


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
