"""scripts/bench as it is typed: every engine exact, a wrong one found out, bad input answered."""

import argparse
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from config.settings import load
from scripts.lab import command, gpu, measure, space, table
from state.files.layout import CHECKOUT
from WORKFLOW.engines import cpu

SMALL = ["--demo", "--days", "90", "--repeat", "2", "--no-cold", "--threads", "2"]


@pytest.fixture(autouse=True)
def results(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo bars are generated once."""
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path_factory.getbasetemp() / "bench"))


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    typed = [sys.executable, str(CHECKOUT / "scripts" / "bench"), *arguments]
    return subprocess.run(typed, capture_output=True, text=True, check=False, timeout=300)


def test_rows_for_programs_and_a_new_process() -> None:
    done = bench("--demo", "--days", "90", "--combos", "400", "--repeat", "1", "--json", "--mode", "benchmark")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["engine"], row["start"], row["exact"]) for row in rows] == [
        ("native", "warm", True),
        ("bar-loop", "warm", True),
        ("vectorbt", "warm", False),  # its popular recipe
        ("native", "compiling", None),
        ("native", "cold", None),
    ]
    for row in rows:
        assert {"engine", "cores", "bars", "combos", "seconds", "bar_combos_per_s", "exact", "phase_seconds"} <= set(
            row
        )
        assert row["bars"] == 90 * 288
        assert row["symbol"] == "SYNTHETIC"
        assert row["bar_combos_per_s"] == pytest.approx(row["bars"] * row["combos"] / row["seconds"])
        assert sum(row["phase_seconds"].values()) == pytest.approx(row["seconds"], rel=0.2)
    assert [row["combos"] for row in rows[:3]] == [400, 400, 16]
    assert rows[3]["seconds"] > rows[4]["seconds"]


def test_a_table_for_people_over_combos_days_and_modes(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--demo", "--days", "90,120", "--combos", "100,200", "--repeat", "1", "--no-cold", "--engine", "native"]
    assert command.main([*asked, "--mode", "aggressive,breakout"]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [line.split() for line in lines if line.startswith("native    ") or line.startswith("native  ")]
    found = [(line[2], int(line[3]), int(line[4]), line[-1]) for line in cells]
    assert found == [(m, d, n, "yes") for d in (90, 120) for n in (100, 200) for m in ("aggressive", "breakout")]


def test_an_engine_that_is_not_exact_is_found_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = cpu.screen

    def almost(*arguments: Any) -> np.ndarray:
        out = right(*arguments)
        out[..., 0] *= 1.0 + 1e-8
        return out

    monkeypatch.setattr(cpu, "screen", almost)
    assert command.main([*SMALL, "--combos", "50", "--engine", "native,bar-loop", "--mode", "benchmark", "--json"]) == 1
    exact = {row["engine"]: row["exact"] for row in json.loads(capsys.readouterr().out)}
    assert exact == {"native": False, "bar-loop": True}


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (["--combos", "0"], 2, "'0' is not a whole number from 1 to 10,000,000"),
        (["--combos", "10000001"], 2, "'10000001' is not a whole number"),
        (["--engine", "magic"], 2, "unknown engine 'magic'; known: all, native, gpu, bar-loop, reference, vectorbt"),
        (["--days", "5000"], 1, "SYNTHETIC has 730.0 days, not 5000"),
        (["--mode", "reckless"], 1, "unknown mode 'reckless'"),
        (["--data-path", "/nowhere", "--symbol", "SOL"], 1, "/nowhere"),
    ],
)
def test_bad_input_is_named(typed: list[str], code: int, said: str) -> None:
    demo = [] if "--data-path" in typed else ["--demo"]
    done = bench(*demo, "--no-cold", "--repeat", "1", *typed)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("typed", "name", "rest"),
    [
        ([], "prescreen", []),
        (["--demo", "--combos", "5"], "prescreen", ["--demo", "--combos", "5"]),
        (["prescreen", "--demo"], "prescreen", ["--demo"]),
        (["search", "--trials", "5"], "search", ["--trials", "5"]),
        (["--trials", "5", "--search"], "search", ["--trials", "5"]),
        (["--control-plane", "--work"], "control-plane", ["--work"]),
        (["--validity", "--help"], "validity", ["--help"]),
        (["--faults", "--pairs", "3"], "faults", ["--pairs", "3"]),
        (["gpu"], "gpu", []),
        (["--gpu-model", "--json"], "prescreen", ["--gpu-model", "--json"]),
        (["sreach"], "sreach", []),
    ],
)
def test_a_bench_is_named_first_or_by_the_flag_that_it_was(typed: list[str], name: str, rest: list[str]) -> None:
    assert command.named(typed) == (name, rest)


def test_the_help_lists_every_bench_and_each_has_its_own_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    listed = capsys.readouterr().out
    for name, (_, line) in command.BENCHES.items():
        assert f"  {name:<14} {line}\n" in listed
        assert command.main([name, "--help"]) == 0
        own = capsys.readouterr().out
        assert own.startswith(f"usage: scripts/bench {name} ")
        assert f"examples:\n  scripts/bench {name}" in own
        assert "exit codes: 0 " in own


def test_an_unknown_bench_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["sreach"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown bench 'sreach'; known: prescreen, search, ")


@pytest.mark.parametrize("typed", [["gpu"], ["--gpu-model", "--engine", "gpu", "--json", "--no-cold"]])
def test_the_model_of_a_gpu_is_asked_for_by_name_or_by_its_old_flag(
    typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def note(words: argparse.Namespace) -> int:
        asked.append((words.days[0], words.combos[0], words.symbol, words.demo, words.seed))
        return 0

    monkeypatch.setattr(gpu, "run", note)
    assert command.main([*typed, "--demo", "--days", "90", "--combos", "700"]) == 0
    assert asked == [(90, 700, "SOL", True, 7)]


def test_the_frozen_space_is_the_one_of_the_targets() -> None:
    """250,000 combos of it, and the same with trailing stops."""
    frozen, trailing = (space.mode(name, load()) for name in ("benchmark", "benchmark-trailing"))
    sizes = {name: getattr(dimension, "size", None) for name, dimension in frozen.space.items()}
    assert (sizes["fast_period"], sizes["slow_period"], sizes["stop_loss"], sizes["take_profit"]) == (48, 96, 451, 1401)
    assert {name for name in frozen.space if frozen.space[name] != trailing.space[name]} == {"trailing_stop"}


def test_the_slowest_half_does_not_move_the_median() -> None:
    row = measure.PrescreenRow("native", "m", "warm", "S", 90.0, 2, 10, 10, None, 0.0, None, None, {})
    rows = [measure.replace(row, seconds=s) for s in (3.0, 1.0, 2.0)]
    assert (measure._median(rows, exact=True).seconds, "2.00" in table.text(rows)) == (2.0, True)


def test_the_documented_table_has_the_columns_of_the_command() -> None:
    page = (CHECKOUT / "docs" / "reference" / "benchmarks.md").read_text(encoding="utf-8")
    assert all(name in page for name in table._HEAD)
