"""Errors made on purpose, and what they advise done to the letter: it must not end in the same or in another error."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from config.errors import Refused
from config.settings import LIMITS, load
from state.files.layout import CHECKOUT
from tests.ways_out import parsers
from WORKFLOW import command_line

# settings -------------------------------------------------------------------------------------------------------------


def variable(section: str, key: str) -> str:
    return f"BACKTEST_OPTIMIZE__{section.upper().replace('.', '__')}__{key.upper()}"


def numbers() -> list[tuple[str, str]]:
    """Settings that are one number, of those with limits."""
    settings = load({})
    return [at for at in LIMITS if isinstance(attrgetter(".".join(at))(settings), int | float)]


@pytest.mark.parametrize(("section", "key"), numbers(), ids=".".join)
def test_a_setting_outside_its_limits_is_told_limits_that_can_be_typed(section: str, key: str) -> None:
    """As they stand there: a thousands separator would make a text of the number."""
    beyond = 2 * float(LIMITS[section, key][1]) + 1
    typed = str(int(beyond)) if isinstance(attrgetter(f"{section}.{key}")(load({})), int) else repr(beyond)
    with pytest.raises(Refused) as refusal:
        load({variable(section, key): typed})
    low, high = re.fullmatch(r"it takes (\S+) to (\S+)", refusal.value.way_out).groups()  # type: ignore[union-attr]
    for limit in (low, high):
        try:
            load({variable(section, key): limit})
        except Refused as again:
            assert f"{section}.{key} is" not in again.reason, again


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("search", "sampler", "nonsense"),
        ("search", "objectives", "[nonsense]"),
        ("search", "objectives", "[total_return, sharpe_ratio]"),
        ("search", "storage", "nonsense"),
        ("run", "modes", "[nonsense]"),
    ],
)
def test_a_name_that_is_none_is_told_names_that_are(section: str, key: str, value: str) -> None:
    with pytest.raises(Refused) as refusal:
        load({variable(section, key): value})
    kind, _, names = refusal.value.way_out.partition(": ")
    if kind in ("one of", "some of"):
        for name in names.split(", "):
            listed = value.startswith("[")
            concrete = name.replace("USER@HOST/DATABASE", "me@db/bt")
            text = f"[{concrete}]" if listed else concrete
            try:
                load({variable(section, key): text})
            except Refused as again:
                assert "first" in again.way_out, again  # that one goes with others only, as the next message says
    else:
        assert "sharpe_ratio first" in refusal.value.way_out
        load({variable(section, key): "[sharpe_ratio, total_return]"})


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (
            {"prune": "true", "objectives": "[sharpe_ratio, total_return]"},
            [{"prune": "false"}, {"objectives": "[sharpe_ratio]"}],
        ),
        ({"prune": "true", "folds": "1", "objectives": "[sharpe_ratio]"}, [{"prune": "false"}, {"folds": "2"}]),
    ],
)
def test_settings_that_do_not_go_together_say_what_to_set(first: dict[str, str], then: list[dict[str, str]]) -> None:
    typed = {variable("search", key): value for key, value in first.items()}
    with pytest.raises(Refused) as refusal:
        load(typed)
    for change in then:
        for key, value in change.items():
            assert f"search.{key}" in refusal.value.way_out
            assert value.strip("[]") in refusal.value.way_out
        load(typed | {variable("search", key): value for key, value in change.items()})


# --single -------------------------------------------------------------------------------------------------------------


def order(*words: str) -> object:
    return command_line.order_from(parsers_of_single().parse_args(list(words)))


def parsers_of_single() -> Any:
    return parsers.of("--single")


@pytest.mark.parametrize(
    ("words", "ways"),
    [
        ([], [["--data-path", "bars", "--symbol", "SOL"], ["--demo"]]),
        (["--data-path", "bars"], [["--data-path", "bars", "--symbol", "SOL"]]),
        (["--demo", "--data-path", "bars"], [["--demo"], ["--data-path", "bars", "--symbol", "SOL"]]),
        (["--demo", "--symbol", "SOL"], [["--demo"], ["--symbol", "SOL", "--data-path", "bars"]]),
        (["--demo", "--gpu", "-1", "--engine", "gpu"], [["--demo", "--gpu", "-1"], ["--demo", "--engine", "gpu"]]),
        (["--demo", "--mode", "nonsense"], [["--demo", "--mode", "aggressive"]]),
    ],
)
def test_what_single_advises_makes_an_order(
    words: list[str], ways: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each flag that a way adds or keeps must be named by the advice or have been typed before."""
    monkeypatch.delenv("BACKTEST_OPTIMIZE_DATA", raising=False)
    with pytest.raises(Refused) as refusal:
        order(*words)
    for way in ways:
        for flag in (word for word in way if word.startswith("--") and word not in words):
            assert flag in refusal.value.way_out, (words, way, refusal.value.way_out)
        order(*way)


# commands where nothing is on file ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which nothing has ever run."""
    root = tmp_path_factory.mktemp("w")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "BACKTEST_OPTIMIZE"))}
    roots = {name: str(root / name[0].lower()) for name in ("RESULTS_ROOT", "STATE_ROOT", "LOGS_ROOT")}
    return kept | roots | {"TMUX_TMPDIR": str(root), "VENV_PATH": sys.prefix}


def typed(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CHECKOUT / "scripts" / "backtest-optimize"), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["results"],
        ["results", "nope"],
        ["results", "--all"],
        ["handoff"],
        ["handoff", "--run", "nope"],
        ["dashboard"],
        ["dashboard", "SOL/aggressive"],
        ["cancel", "nope"],
        ["explain", "--job", "nope"],
        ["explain", "--worker", "nope"],
        ["export", "--format", "freqtrade"],
        ["export", "--format", "freqtrade", "SOL/aggressive"],
        ["attach", "nope"],
    ],
    ids=" ".join,
)
def test_where_nothing_is_on_file_the_way_out_is_a_command_that_works(
    words: list[str], nothing: dict[str, str]
) -> None:
    refused = typed(words, nothing)
    assert refused.returncode == 1, refused
    way_out = refused.stderr.splitlines()[-1]
    assert way_out.startswith("  → "), refused.stderr
    commands = re.findall(
        r"scripts/backtest-optimize((?: +(?:--)?[a-z][\w-]*)+?)(?= (?:starts|makes|says|shows|lists)\b)", way_out
    )
    assert commands, way_out
    for one in commands:
        _works(shlex.split(one), nothing)


def _works(words: list[str], environment: dict[str, str]) -> None:
    """Real commands are typed; those that begin a run are read by the code that would begin it."""
    if words[0] == "--parallel":
        parsers.of("--parallel").parse_args(words[1:])
    elif words[0] == "--single":
        order(*words[1:])
    else:
        done = typed(words, environment)
        assert done.returncode == 0, done.stderr


# bars -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    from WORKFLOW.data.generate import demo_rows

    return [[str(value) for value in row.item()[:6]] for row in demo_rows(95)]


HEADER = ["timestamp", "open", "high", "low", "close", "volume"]
Rows = list[list[str]]
# What is wrong with the bars: whatever today's message is, the flags and settings that it spells out are typed.
FAULTS: dict[str, Callable[[Rows], tuple[list[str] | None, Rows]]] = {
    "copies": lambda rows: (HEADER, [*rows, *rows[-5:]]),
    "a hole": lambda rows: (HEADER, [*rows[:9000], *rows[9400:]]),
    "a hole of a month": lambda rows: (HEADER, [*rows[:9000], *rows[17640:]]),
    "newest first": lambda rows: (HEADER, rows[::-1]),
    "no header": lambda rows: (None, rows),
    "named otherwise": lambda rows: (["when", *HEADER[1:]], rows),
    "too few days": lambda rows: (HEADER, rows[:2000]),
    "a word for a price": lambda rows: (HEADER, [[*rows[0][:2], "five", *rows[0][3:]], *rows[1:]]),
    "high below low": lambda rows: (
        HEADER,
        [[rows[0][0], rows[0][1], rows[0][3], rows[0][2], *rows[0][4:]], *rows[1:]],
    ),
    "every second bar": lambda rows: (HEADER, rows[::2]),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda name: name.replace(" ", "_"))
def test_what_is_advised_for_bars_does_not_end_in_the_same_or_another_error(
    fault: str, bars: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Advice that is no flag, setting or name of a column needs other bars: nothing to follow here."""
    from WORKFLOW import validation

    header, rows = FAULTS[fault](bars)
    path = tmp_path / "SOL.csv"
    path.write_text("\n".join(",".join(row) for row in [*([header] if header else []), *rows]) + "\n")
    words = ["--check-all", "--data-path", str(path), "--symbol", "SOL", "--json"]
    if validation.main(words) == 0:
        return  # read as it is
    first = json.loads(capsys.readouterr().out)["reasons"]
    for reason in first:
        for name, value in re.findall(r"\b(BACKTEST_OPTIMIZE__\w+)=(\S+)", reason["way_out"]):
            monkeypatch.setenv(name, value)
        words += [
            word
            for word in re.findall(r"(?<![\w-])--[a-z-]+", reason["way_out"])
            if word in ("--repair", "--allow-wicks")
        ]
        names = re.search(r"rename the columns to ([\w, ]+?)(?: \(|$)", reason["way_out"])
        if names:
            path.write_text("\n".join(",".join(row) for row in [names[1].split(", "), *rows]) + "\n")
        if not names and not re.search(r"BACKTEST_OPTIMIZE__|--repair|--allow-wicks", reason["way_out"]):
            return
    code = validation.main(words)
    again = json.loads(capsys.readouterr().out)
    assert code == 0, (first, again["reasons"])
