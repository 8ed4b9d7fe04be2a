"""Files of trades that are refused: with the advice followed to the letter, a tearsheet is drawn."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.tearsheet import command as tearsheet
from tests.ways_out import texts
from tests.ways_out.cases import CASES, Case


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    monkeypatch.delenv("BACKTEST_OPTIMIZE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def drawn(
    capsys: pytest.CaptureFixture[str], text: str, words: tuple[str, ...] = (), name: str = "mine"
) -> tuple[int, str]:
    Path("t.csv").write_text(text, encoding="utf-8")
    arguments = [name, "--trades", "t.csv", "--formats", "json", "--paths", "5", *words]
    code = tearsheet.main(arguments, "generate-tearsheet", "either")
    return code, capsys.readouterr().err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_what_a_tearsheet_advises_draws_one(case: Case, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = drawn(capsys, case.text, case.words)
    assert code == 1, err
    way_out = err.splitlines()[-1].removeprefix("  → ")
    ways = [shlex.split(one) for one in re.findall(r"--[a-z-]+ (?:'[^']*'|[\w,%./-]+)", way_out)]
    ways = [[flag, case.values.get(value.rstrip(","), value.rstrip(","))] for flag, value in ways if flag != "--trades"]
    assert len(ways) >= case.flags
    for way in ways[: case.flags]:
        assert drawn(capsys, case.text, (*case.words, *way))[0] == 0, way
    for words, edit, *typed_too in case.edits:
        assert words in way_out
        assert drawn(capsys, edit(case.text), (*case.words, *typed_too))[0] == 0, words


def test_the_strategy_that_is_advised_is_drawn(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = next(case for case in CASES if case.name == "several strategies")
    _, err = drawn(capsys, case.text)
    name = err.splitlines()[-1].partition("such as ")[2].split()[0]
    assert drawn(capsys, case.text, name=name)[0] == 0


# What these say asks for another file, so there is nothing of it to type.
OTHER_FILE = re.compile(
    r"(export|download|save|unpack|give (a|an|at least|the|trades|freqtrade|what|\d|…)|check the path|write it|do not"
    r"|end every|name the first day|repair the time|leave that row out$|write times|write all of them one way|…"
    r"|scripts/|type one such as Europe/Berlin).*",  # argparse has refused it before
    re.S,
)


def test_every_way_out_of_trades_is_followed_here_or_asks_for_another_file(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal that is new and asks for something to be typed or written needs its case above."""
    produced = [drawn(capsys, case.text, case.words)[1].splitlines()[-1].removeprefix("  → ") for case in CASES]
    left = []
    for one in texts.every():
        if not one.module.startswith("WORKFLOW.report.tearsheet"):
            continue
        for text in one.texts:
            form = ".*".join(map(re.escape, text.split(texts.HOLE)))
            if not OTHER_FILE.fullmatch(text) and not any(re.fullmatch(form, way, re.S) for way in produced):
                left.append(f"{one}: {text}")
    assert not left, "\n".join(left)
