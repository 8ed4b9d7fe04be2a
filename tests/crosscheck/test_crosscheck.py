"""The command on real bars: at least 500 trades of every recipe, all identical, and wrong recipes caught."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.infra import crosschecks
from state.files.layout import CHECKOUT
from WORKFLOW.crosscheck.agreement import Agreement
from WORKFLOW.crosscheck.recipes import RECIPES
from WORKFLOW.engines.reference import Switches

DAYS = "200"


def run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, CHECKOUT / "scripts" / "crosscheck", *words],
        cwd=tmp_path,
        env=os.environ | {"VENV_PATH": sys.prefix, "RESULTS_ROOT": str(tmp_path / "r")},
        capture_output=True,
        text=True,
        check=False,
    )


def agreed(done: subprocess.CompletedProcess[str], recipes: set[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stdout + done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    assert {check["recipe"] for check in record["checks"] if check["must_agree"]} == recipes
    for name in recipes:
        total = record["totals"][name]
        assert total["identical"] == total["trades_ours"] == total["trades_theirs"] >= crosschecks.LEAST_TRADES
    return record


@pytest.mark.slow
def test_vectorbt_agrees_on_real_bars_and_the_popular_recipe_does_not(real_data: Path, tmp_path: Path) -> None:
    words = ("--data-path", str(real_data), "--symbol", "SOL", "--days", DAYS, "--engine", "vectorbt", "--json")
    record = agreed(run(tmp_path, *words), {"next_open", "same_close", "as_traded"})
    assert record["markets"][0]["synthetic"] is False
    popular = record["totals"]["shifted_signals"]
    assert popular["identical"] < popular["trades_ours"]


@pytest.mark.slow
@pytest.mark.usefixtures("backtesting_python")
def test_backtesting_py_agrees_on_real_bars(real_data: Path, tmp_path: Path) -> None:
    words = ("--data-path", str(real_data), "--symbol", "SOL", "--days", DAYS, "--engine", "backtesting", "--json")
    agreed(run(tmp_path, *words), {"backtesting_py"})


@pytest.mark.slow
def test_wrong_recipes_are_reported_and_end_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The popular recipe held to what it promises, and the right one against an engine with another anchor."""
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    known = {recipe.name: recipe for recipe in RECIPES}
    popular = replace(known["shifted_signals"], must_agree=True)
    other_engine = replace(known["next_open"], switches=Switches(anchor="signal_close", tp_gap="open"))
    assert crosschecks.main(["--demo", "--days", DAYS, "--json"], [popular, other_engine]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["agree"] is False
    assert [reason.partition(":")[0] for reason in record["reasons"]] == [
        "vectorbt shifted_signals",
        "vectorbt next_open",
    ]
    assert all(check["first_difference"].startswith("trade ") for check in record["checks"])


def test_too_few_trades_are_no_proof() -> None:
    right = next(recipe for recipe in RECIPES if recipe.name == "next_open")

    def reasons(*trades: int) -> list[str]:
        rows = [crosschecks.CrosscheckRow(right, "1.2.0", f"S{n}", (Agreement(n, n, n, None),)) for n in trades]
        return crosschecks._reasons(rows)

    assert reasons(300, 200) == []
    assert reasons(300, 199) == ["vectorbt next_open: 499 trades are too few to tell, --days more"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 1, "no bars to work on"),
        (("--demo", "--symbol", "SOL"), 1, "--demo generates its own bars"),
        (("--engine", "nautilus"), 2, "invalid choice"),
        (("--data-path", "/nowhere", "--symbol", "SOL"), 1, "/nowhere"),
    ],
)
def test_what_cannot_be_run_is_a_sentence(
    words: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crosschecks.main(words) == code
    assert said in capsys.readouterr().err


def test_without_a_network_it_says_so_and_what_works_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkout without the environment, on a machine where pip finds nothing."""
    lock = tmp_path / "config" / "locks" / "crosscheck.txt"
    lock.parent.mkdir(parents=True)
    lock.write_bytes((CHECKOUT / "config" / "locks" / "crosscheck.txt").read_bytes())
    monkeypatch.setattr(crosschecks, "CHECKOUT", tmp_path)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "RESULTS_ROOT": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert crosschecks.main(["--demo", "--engine", "backtesting"]) == 1
    said = capsys.readouterr().err
    assert "backtesting.py needs an environment of its own, which cannot be made" in said
    assert "without backtesting.py: --engine vectorbt" in said


def test_the_page_explains_every_recipe() -> None:
    page = (CHECKOUT / "docs" / "reference" / "engine_differences.md").read_text(encoding="utf-8")
    assert [recipe.name for recipe in RECIPES if f"- **`{recipe.name}`**" not in page] == []
