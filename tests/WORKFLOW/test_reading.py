"""What is said of a file's dates and clocks reaches whoever reads it: one process, a swarm's workers, the record."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from config import settings
from config.errors import Misused, Refused
from config.reading import Reading
from scripts.swarm import parallel
from state.files.codec import decode, encode
from state.files.layout import CHECKOUT, Roots
from state.files.tree import record_of, tree_of
from state.records.orders import SwarmOrder
from tests.data import forms
from tests.WORKFLOW.pipeline import SMALL, artifacts, run
from WORKFLOW import validation
from WORKFLOW.command_line import order_from, reading_words
from WORKFLOW.command_line import parser as single
from WORKFLOW.data.generate import demo_rows
from WORKFLOW.pipeline.lane.given import LaneContext

ZONE = "Europe/Berlin"


def archives(folder: Path, rows: forms.Rows) -> Path:
    """A file each half, zipped, dates day first on the clocks of Berlin: the demo's days lie around a spring."""
    folder.mkdir()
    half = len(rows) // 2
    for name, part in (("2", rows[half:]), ("1", rows[:half])):
        data = forms.csv(forms.frame(part, forms.stamped(part, "%d/%m/%Y %H:%M", ZONE), "Date"), sep=";")
        (folder / f"SYNTHETIC_5m_part{name}.zip").write_bytes(forms.zipped(x=data))
    return folder


def wish(folder: Path, *words: str) -> parallel.RunWish:
    asked = parallel.parser().parse_args(["--symbols", "SYNTHETIC", "--data-path", str(folder), *words])
    asked.reading = Reading(asked.date_format, asked.timezone)
    return parallel._wish(asked, Roots.from_environment({"RESULTS_ROOT": str(folder / "results")}))


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    return archives(tmp_path / "data", demo_rows(3))


def test_the_swarms_record_carries_it_to_every_worker(bars: Path, tmp_path: Path) -> None:
    asked = wish(bars, "--timezone", ZONE, "--date-format", "dmy")
    order = parallel._new(Roots.from_environment({"RESULTS_ROOT": str(tmp_path / "r")}), asked, "key")
    on_file = record_of(SwarmOrder, decode(encode(tree_of(order))))
    assert (on_file.timezone, on_file.date_format) == (ZONE, "dmy")
    job = SimpleNamespace(symbol="SYNTHETIC", mode="aggressive", round=0)
    launch: Any = SimpleNamespace(job=job, gpu="", cores=1, ooms=0)
    worker = LaneContext(launch, Roots.from_environment({"RESULTS_ROOT": str(tmp_path / "r")}), on_file, None)  # type: ignore[arg-type]
    assert worker.order.reading == Reading("dmy", ZONE)


def test_another_zone_is_another_run_and_none_the_one_it_was(bars: Path) -> None:
    keys = {parallel._key(wish(bars, *words)) for words in ((), ("--timezone", ZONE), ("--timezone", "UTC"))}
    assert len(keys) == 3


def test_an_order_of_before_has_nothing_said(bars: Path) -> None:
    tree = tree_of(
        SwarmOrder("r", "k", ("SOL",), ("a",), 1, None, "auto", False, "", settings.tree_of(settings.load({})))
    )
    for name in ("timezone", "date_format"):
        tree.pop(name)
    assert record_of(SwarmOrder, tree).timezone is None


@pytest.mark.parametrize("flag", ["--timezone=Nowhere/City", "--date-format=%Q"])
def test_nonsense_is_wrong_usage_everywhere(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert validation.main(["--check-all", "--data-path", "x", "--symbol", "SOL", flag]) == 2
    asked = single("p").parse_args(["--symbol", "SOL", "--data-path", "x", flag])
    with pytest.raises(Refused, match=flag.partition("=")[2]):
        order_from(asked)
    with pytest.raises(Misused, match=flag.partition("=")[2]):
        parallel.main(["--symbols", "SOL", "--data-path", "x", flag])
    assert flag.partition("=")[2] in capsys.readouterr().err


def test_the_words_say_the_same_to_another_command() -> None:
    said = Reading("%d/%m/%Y %H:%M", "UTC-5")
    asked = single("p").parse_args(["--symbol", "SOL", "--data-path", "x", *reading_words(said)])
    assert order_from(asked).reading == said


@pytest.mark.parametrize(
    "command",
    [
        "WORKFLOW/optimize_strategy.py",
        "WORKFLOW/validation.py",
        "scripts/bench prescreen",
        "scripts/bench gpu",
        "scripts/bench validity",
        "scripts/bench faults",
        "scripts/crosscheck",
        "scripts/prove-no-lookahead",
    ],
)
def test_every_command_that_names_data_takes_it(command: str) -> None:
    program, *words = command.split()
    text = subprocess.run(
        [sys.executable, CHECKOUT / program, *words, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "--timezone" in text
    assert "--date-format" in text
    assert "%" not in text.partition("--date-format")[2][:20]


def test_a_run_on_archives_of_another_clock_is_the_run_on_the_plain_bars(tmp_path: Path) -> None:
    rows = demo_rows(96)
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "SYNTHETIC_5m.csv").write_bytes(forms.plain(rows))
    local = archives(tmp_path / "local", rows)
    for results, words in (("a", (str(plain),)), ("b", (str(local), "--timezone", ZONE))):
        done = run(tmp_path / results, *SMALL, "--data-path", *words)
        assert done.returncode == 0, done.stderr
    ours, theirs = artifacts(tmp_path / "b"), artifacts(tmp_path / "a")
    manifest, other = ours.pop("run_manifest.json"), theirs.pop("run_manifest.json")
    assert ours == theirs
    assert manifest["data"]["sha256"] == other["data"]["sha256"]
    assert manifest["data"]["timezone"] == ZONE
    assert "timezone" not in other["data"]
    assert manifest["data"]["source"] == str(local)
    assert any(note.startswith("joined from 2 files: ") for note in manifest["data"]["notes"])
    again = validation.check_all(
        settings.load({}), Path(manifest["data"]["source"]), "SYNTHETIC", reading=Reading(None, ZONE)
    )
    assert again.bars is not None
    assert again.bars.sha256 == manifest["data"]["sha256"], "what the record says reads the same bars"
    assert np.array_equal(again.bars.rows["time_ms"][:5], rows["time_ms"][:5])


def test_the_checks_ask_for_a_zone_and_pass_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = archives(tmp_path / "data", demo_rows(200))
    words = ["--check-all", "--data-path", str(folder), "--symbol", "SYNTHETIC"]
    assert validation.main(words) == 1
    said = capsys.readouterr().out
    assert "as clocks do in Europe/Berlin" in said
    assert validation.main([*words, "--timezone", ZONE, "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["data"]["notes"]
    assert any(f"times without a zone are read as {ZONE}" in note for note in notes)
