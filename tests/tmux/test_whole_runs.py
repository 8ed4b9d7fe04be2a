"""Runs of the swarm from the command to the last file, compared with the same work in one process."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from state.files import checkpoint, made, ours, snapshot
from state.files.journal import Journal
from state.files.layout import CHECKOUT
from tests.tmux.swarm import FOLDS_OF_A_DAY, LONG, MIDDLE, SESSIONS, SMALL, Swarm, kill
from tests.WORKFLOW.pipeline import artifacts

SCHEMAS = CHECKOUT / "docs" / "reference" / "schemas"


def single(swarm: Swarm, results: Path, data: Path, *arguments: str, mode: str = "aggressive") -> Path:
    words = ("--single", "--symbol", "SYNTHETIC", "--mode", mode, "--data-path", str(data), *arguments)
    done = swarm.type(*words, RESULTS_ROOT=str(results))
    assert done.returncode == 0, done.stderr
    return results


def test_two_modes_end_with_the_bytes_of_two_single_runs(swarm: Swarm, data: Path, tmp_path: Path) -> None:
    for name in FOLDS_OF_A_DAY:  # cross-validated as by default
        del swarm.environment[name]
    words = ("--symbols", "SYNTHETIC", "--modes", "aggressive,balanced", "--data-path", str(data), "--rounds", "1")
    done = swarm.type("--parallel", *words, *SMALL, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["complete"], answer["failed"], len(answer["outcomes"])) == (True, {}, 2)
    for mode in ("aggressive", "balanced"):
        alone = single(swarm, tmp_path / mode, data, *SMALL, mode=mode)
        assert artifacts(swarm.roots.results, mode) == artifacts(alone, mode)
    folder = swarm.roots.artifacts("SYNTHETIC", "aggressive")
    for path in folder.rglob("*.json"):
        jsonschema.validate(
            json.loads(path.read_text()), json.loads((SCHEMAS / f"{path.stem}.schema.json").read_text())
        )

    now = swarm.status()
    jsonschema.validate(now, json.loads((SCHEMAS / "status.schema.json").read_text()))
    assert (now["stage"], now["incidents"], now["workers"]) == ("complete", [], [])
    assert all(agent["fresh"] for agent in now["agents"])
    assert swarm.type("health").stdout == "healthy\n"
    # a log shows the handoff, one search worker a line of its own; the gate looked for it
    log = swarm.roots.worker_log(now["run_id"], "r0.SYNTHETIC.aggressive.search.0").read_text()
    assert "Loaded Phase0 seed: SYNTHETIC/aggressive" in log
    assert "Batch 1/" in swarm.roots.worker_log(now["run_id"], "r0.SYNTHETIC.aggressive.prescreen.0").read_text()


def test_seeds_of_other_folders_reach_the_search_and_their_tries_the_ledger(
    swarm: Swarm, data: Path, tmp_path: Path
) -> None:
    theirs = single(swarm, tmp_path / "theirs", data, *SMALL, "--seed", "7")
    seeds = ("--phase0-seed-dirs", str(theirs))
    bars = ("--symbols", "SYNTHETIC", "--data-path", str(data))
    done = swarm.type("--parallel", *bars, "--rounds", "1", *SMALL, "--wait", "--json", *seeds)
    assert done.returncode == 0, done.stderr
    assert "tmux  " in done.stderr
    alone = single(swarm, tmp_path / "alone", data, *SMALL, *seeds)
    assert artifacts(swarm.roots.results) == artifacts(alone)
    manifest = artifacts(alone)["run_manifest.json"]
    assert [one["path"] for one in manifest["phase0_seeds"]] == [
        str(path) for path in theirs.rglob("phase0_top500.json")
    ]
    log = swarm.roots.worker_log(json.loads(done.stdout)["run_id"], "r0.SYNTHETIC.aggressive.search.0").read_text()
    assert f" from {theirs}" in log


def test_killed_workers_and_agents_cost_time_and_nothing_else(
    swarm: Swarm, data: Path, alone: Callable[..., dict[str, Any]]
) -> None:
    swarm.launch(data, *MIDDLE)
    victims = swarm.working("prescreen", 2)
    cycle = swarm.cycle("worker_sentry")
    for beat in victims:
        kill(beat["identity"])
    kill(swarm.loop("auto_scheduler"))
    jobs = {beat["job_id"] for beat in victims}

    def relaunched() -> bool:
        again = {e["job_id"] for e in swarm.journal() if e["event"] == "started" and e["epoch"] == 2}
        return jobs <= again

    swarm.wait("both jobs to be launched again", relaunched)
    launched = [
        record["cycle"]
        for record in Journal(swarm.roots.cycles("worker_sentry")).read().records
        for action in record.get("decision", {}).get("actions", ())
        if action["kind"] == "launch_worker" and action["target"] in jobs and action["arguments"]["epoch"] == 2
    ]
    assert max(launched) - cycle <= 4  # 3 cycles, and the one under way when we looked
    assert swarm.finished()["failed"] == {}
    events = swarm.journal()
    assert {e["job_id"] for e in events if e["event"] == "died"} == jobs
    assert {e["deaths"] for e in events if e["event"] == "died"} == {0}, "a signal from outside counted"
    assert artifacts(swarm.roots.results) == alone(*MIDDLE)


def test_a_validation_that_is_stopped_goes_on_from_its_last_step(swarm: Swarm, data: Path, tmp_path: Path) -> None:
    swarm.environment["BACKTEST_OPTIMIZE__VALIDITY__PLACEBO_MARKETS"] = "90"  # seconds of validation: time to stop in
    swarm.launch(data, *SMALL)
    folder = swarm.roots.swarm_run(str(snapshot.read_json(swarm.roots.current_run)["run_id"])).round(0)
    validation = folder.unit("SYNTHETIC", "aggressive").validation

    def is_on_the_way() -> bool:
        found = checkpoint.count(validation)
        return found is not None and found.kept >= 5

    swarm.wait("five steps of validation", is_on_the_way)
    done = swarm.type("stop")
    assert done.returncode == 0, done.stderr
    kept = checkpoint.count(validation)
    assert kept is not None
    assert 5 <= kept.kept < kept.steps
    assert f"validation of SYNTHETIC aggressive: {kept.kept} of {kept.steps} steps are kept\n" in done.stdout
    again = json.loads(swarm.type("stop", "--json").stdout)["kept"]
    assert again == [{"symbol": "SYNTHETIC", "mode": "aggressive", "kept": kept.kept, "steps": kept.steps}]
    files = {path: path.stat().st_ino for path in validation.glob("*.step")}

    assert swarm.type("start").returncode == 0

    def goes_on() -> Any:
        return next((beat for beat in swarm.working("validate") if beat["epoch"] == 2), None)

    beat = swarm.wait("the next worker's first sign of progress", goes_on)
    assert (beat["total"], beat["done"] >= kept.kept) == (kept.steps, True), "the bar began anew"
    is_done_again = {path.name for path, inode in files.items() if path.exists() and path.stat().st_ino != inode}
    assert is_done_again == set()
    assert swarm.finished()["failed"] == {}
    assert not validation.exists()
    log = swarm.roots.worker_log(folder.path.parent.name, "r0.SYNTHETIC.aggressive.validate.0").read_text()
    assert f"validation goes on: {kept.kept} of {kept.steps} steps are kept" in log
    assert f"validation: {kept.kept} steps were kept, {kept.steps - kept.kept} done now" in log
    alone = single(swarm, tmp_path / "alone", data, *SMALL)
    assert artifacts(swarm.roots.results) == artifacts(alone)


def test_every_round_goes_on_from_the_one_before(swarm: Swarm, data: Path) -> None:
    words = ("--symbols", "SYNTHETIC", "--data-path", str(data), "--rounds", "3")
    done = swarm.type("--parallel", *words, *SMALL, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    folder = swarm.roots.artifacts("SYNTHETIC", "aggressive")
    manifest = json.loads((folder / "run_manifest.json").read_text())
    assert manifest["execution"]["round"] == 2
    assert manifest["seed"] == 9
    assert manifest["tries"]["total"] > 6_000, "the earlier rounds' tries are forgotten"
    trials = json.loads((folder / "all_trials.json").read_text())["trials"]
    carried = [trial for trial in trials if trial["source"] == "earlier_round"]
    assert 1 <= len(carried) <= 4
    run = swarm.roots.swarm_run(manifest["execution"]["run_id"])
    published = [snapshot.read_json(run.round(r).unit("SYNTHETIC", "aggressive").manifest) for r in range(3)]
    assert [one["execution"]["round"] for one in published] == [0, 1, 2]
    assert published[2] == manifest
    assert list(ours.strangers(swarm.roots.state)) == [], "files of ours that retention would take for somebody else's"
    logs = {str(path.relative_to(swarm.roots.logs)) for path in swarm.roots.logs.rglob("*") if path.is_file()}
    assert logs == set(made.ours(swarm.roots))
    assert [bool(list(run.round(r).unit("SYNTHETIC", "aggressive").path.glob("study*"))) for r in range(3)] == [
        *(False, True, True)  # what only an unfinished round needs goes two rounds later
    ]
    first = json.loads(run.round(0).unit("SYNTHETIC", "aggressive").outcome.read_text())
    second = json.loads(run.round(1).unit("SYNTHETIC", "aggressive").outcome.read_text())
    sharpe = [o["bests"]["best_sharpe"]["in_sample"]["sharpe_ratio"] for o in (first, second)]
    assert sharpe[1] >= sharpe[0]


def test_bars_that_are_refused_fail_their_unit_and_no_other(swarm: Swarm, data: Path, tmp_path: Path) -> None:
    (tmp_path / "SYNTHETIC_5m.parquet").write_bytes(data.read_bytes())
    lines = [f"{1_700_000_000_000 + i * 300_000},1,1,1,1,1" for i in range(500)]
    (tmp_path / "SHORT_5m.csv").write_text("\n".join(["open_time,open,high,low,close,volume", *lines]))
    words = ("--symbols", "SYNTHETIC,SHORT", "--data-path", str(tmp_path), "--rounds", "1")
    done = swarm.type("--parallel", *words, *SMALL, "--wait", "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert list(answer["failed"]) == ["SHORT aggressive"]
    assert "days of bars are fewer than 90" in answer["failed"]["SHORT aggressive"]
    assert [outcome["symbol"] for outcome in answer["outcomes"]] == ["SYNTHETIC"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--modes", "reckless"), "unknown mode 'reckless'"),
        (("--symbols", "SOL"), "no bars for SOL"),
        (("--data-path", "."), "--symbols is missing"),
        (("--data-path", ".", "--symbols", "../x"), "cannot name a results folder"),
        (("--prescreen", "0"), "prescreen.combos is 0"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_starts(swarm: Swarm, words: tuple[str, ...], reason: str) -> None:
    done = swarm.type("--parallel", *words)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "→" in done.stderr
    assert not swarm.roots.state.exists()


def test_another_order_is_refused_while_one_is_under_way_and_the_same_one_goes_on(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG)
    words = ("--parallel", "--symbols", "SYNTHETIC", "--data-path", str(data), "--rounds", "1")
    other = swarm.type(*words, *SMALL)
    assert other.returncode == 1
    assert "another run is under way" in other.stderr
    same = swarm.type(*words, *LONG)
    assert same.returncode == 0
    assert "going on with" in same.stderr


def test_without_tmux_one_line_says_how_to_get_it(swarm: Swarm, tmp_path: Path) -> None:
    done = swarm.type("--parallel", PATH=str(_only(tmp_path / "bin", "env", sys.executable)))
    assert done.returncode == 1
    assert "tmux is not installed" in done.stderr
    assert "--single" in done.stderr
    assert len(done.stderr.splitlines()) <= 3


def _only(folder: Path, *names: str) -> Path:
    """A PATH with these commands alone."""
    folder.mkdir()
    for name in names:
        link = folder / ("python3" if name == sys.executable else name)
        link.symlink_to(Path(getattr(sys, "_base_executable", name)) if link.name == "python3" else shutil.which(name))
    return folder


def test_every_session_is_there_and_the_monitors_show_something(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG)
    assert swarm.sessions() == sorted(SESSIONS)
    swarm.working("prescreen")
    now = swarm.status()
    jsonschema.validate(now, json.loads((SCHEMAS / "status.schema.json").read_text()))
    assert {worker["phase"] for worker in now["workers"]} == {"prescreen"}
    assert all(one["cancellable"] for one in now["operations"])
    assert {device["state"] for device in now["devices"] if device["kind"] == "cpu"} <= {"busy", "lent", "idle"}
    shown = (
        ("bt-worker-progress", "SYNTHETIC aggressive"),
        ("bt-worker-cpu-mon", "core "),
        ("bt-worker-gpu-mon", "GPUs"),
        ("bt-worker-log-index", "r0.SYNTHETIC.aggressive"),
    )
    for session, words in shown:
        swarm.wait(f"{words} in {session}", lambda s=session, w=words: w in _pane(swarm, s))
    for width, height in ((80, 24), (40, 12), (132, 43)):
        for session, _ in shown:
            swarm.tmux("resize-window", "-t", f"={session}:", "-x", str(width), "-y", str(height))
        for session, words in shown:
            fits = f"{session} at {width}×{height}"
            swarm.wait(
                fits, lambda s=session, w=words, c=width: w[:4] in _pane(swarm, s) and _is_drawn_for(c, swarm, s)
            )


def _pane(swarm: Swarm, session: str) -> str:
    return swarm.tmux("capture-pane", "-p", "-t", f"={session}:")


def _is_drawn_for(columns: int, swarm: Swarm, session: str) -> bool:
    """No line is cut by tmux: the page ends within the pane, and its title is whole or has an ellipsis."""
    lines = _pane(swarm, session).splitlines()
    title = lines[0]
    return max(map(len, lines)) <= columns and (len(title) < columns or title.endswith("…") or "…" in title)


def test_a_run_that_is_complete_does_not_go_on_after_stop_and_a_kill_is_explained(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, "--prescreen", "30000", "--trials", "8", "--paths", "20")
    victim = swarm.working("prescreen")[0]
    kill(victim["identity"])
    swarm.finished()
    story = json.loads(swarm.type("explain", "--worker", victim["worker_id"], "--json").stdout)
    jsonschema.validate(story, json.loads((SCHEMAS / "explain.schema.json").read_text()))
    assert "killed by signal 9 (SIGKILL)" in story["answer"]
    assert "and is completed" in story["answer"]
    assert any(one["who"] == "worker_sentry" and "launch" not in one["what"] for one in story["evidence"])

    answer = json.loads(swarm.type("stop", "--json").stdout)
    assert answer["next"].endswith("scripts/backtest-optimize results")
    now = swarm.status()
    assert [step["id"] for step in now["next_steps"]] == ["read_results"]
    shown = swarm.type("status").stdout
    assert "scripts/backtest-optimize results" in shown
    assert "scripts/backtest-optimize start" not in shown
