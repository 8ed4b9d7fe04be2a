"""Numbers and times as people write them: read where the whole column agrees, asked for where it may be either."""

from pathlib import Path

import pytest

from config.errors import Refused
from tests.report.tearsheet.lists import HOUR, NOON, found, trades
from WORKFLOW.report.tearsheet.sources.ledger import Hints


def pnl(tmp_path: Path, values: list[str], decimal: str | None = None) -> list[float]:
    rows = [f"2024-03-{at:02}T12:00:00Z;{value}" for at, value in enumerate(values, 1)]
    text = "\n".join(["exit_time;pnl", *rows])
    made: list[float] = trades(found(tmp_path, text, capital=1e9, hints=Hints(decimal=decimal))).pnl.tolist()
    return made


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["$389.00", "($1,663.50)", "$0.25"], [389.0, -1663.5, 0.25]),
        (["-$200.00", "$ 100.00", "-$ 5.5"], [-200.0, 100.0, -5.5]),
        (["200,00 €", "-1.234,56 €", "1.234.567,8 €"], [200.0, -1234.56, 1234567.8]),
        (["−16.63", "5", "–2.5"], [-16.63, 5.0, -2.5]),
        (["1 234.50", "-1\u00a0234.50", "1'234.50"], [1234.5, -1234.5, 1234.5]),
        (["1,234,567", "12", "-5"], [1234567.0, 12.0, -5.0]),
        (["1.234.567", "1.234", "-5"], [1234567.0, 1234.0, -5.0]),
        (["1,5", "1.234", "0,25"], [1.5, 1234.0, 0.25]),
        (["12.5 USDT", "-3 USDT"], [12.5, -3.0]),
        (["1,234.5", "12.25-"], [1234.5, -12.25]),
        (["1.5e-05", "$2"], [1.5e-05, 2.0]),
        (["+5", "(5)"], [5.0, -5.0]),
        (["1.234", "2.5"], [1.234, 2.5]),
        (["1.234", "2.345"], [1.234, 2.345]),
    ],
)
def test_amounts_are_read_as_they_are_meant(tmp_path: Path, values: list[str], numbers: list[float]) -> None:
    assert pnl(tmp_path, values) == pytest.approx(numbers)


def test_a_comma_that_may_be_either_is_asked_for_and_both_ways_out_work(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"pnl is '1,234' in row 1 of .* thousands or decimals") as refusal:
        pnl(tmp_path, ["1,234", "-5,678"])
    assert "--decimal point" in refusal.value.way_out
    assert "--decimal comma" in refusal.value.way_out
    assert pnl(tmp_path, ["1,234", "-5,678"], "point") == [1234.0, -5678.0]
    assert pnl(tmp_path, ["1,234", "-5,678"], "comma") == [1.234, -5.678]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["1,5", "1.5"], "has a decimal comma"),
        (["5 USD", "5 EUR"], "several currencies"),
        (["1,23,4.5"], "pnl is '1,23,4.5' in row 1"),
        (["(5", "$1"], r"pnl is '\(5' in row 1"),
        (["five"], "pnl is 'five' in row 1"),
        (["$"], "pnl is"),
        (["1.2%", "1.3"], "have a % and some have none"),
    ],
)
def test_amounts_that_contradict_each_other_are_refused(tmp_path: Path, values: list[str], words: str) -> None:
    with pytest.raises(Refused, match=words) as refusal:
        pnl(tmp_path, values)
    assert refusal.value.way_out


def test_percent_signs_say_percent_whatever_the_column_is_called(tmp_path: Path) -> None:
    for name in ("return_pct", "profit"):
        made = trades(found(tmp_path, f"exit_time,{name}\n2024-03-01,2%\n2024-03-02,-1.0%\n", capital=1_000.0))
        assert made.net == pytest.approx([0.02, -0.01])
        assert made.pnl == pytest.approx([20.0, -10.2])


# times ----------------------------------------------------------------------------------------------------------------


def exits(tmp_path: Path, values: list[str], hints: Hints | None = None) -> list[int]:
    text = "\n".join(["exit_time;pnl", *(f"{value};1" for value in values)])
    made: list[int] = trades(found(tmp_path, text, capital=1e4, hints=hints)).exit_ms.tolist()
    return made


LATER = NOON + 12 * 24 * HOUR  # 2024-03-13


@pytest.mark.parametrize(
    "values",
    [
        ["2024.03.01 12:00:00", "2024.03.13 12:00:00"],
        ["2024/03/01 12:00", "2024/03/13 12:00"],
        ["01.03.2024 12:00", "13.03.2024 12:00"],
        ["1/3/2024 12:00:00", "13/3/2024 12:00:00"],
        ["03/01/2024 12:00 PM", "03/13/2024 12:00 PM"],
        ["3/1/24 12:00", "3/13/24 12:00"],
        ["01-03-2024 12:00", "13-03-2024 12:00"],
        ["Mar 1, 2024, 12:00", "Mar 13, 2024, 12:00"],
        ["01 Mar 2024 12:00", "13 March 2024 12:00"],
        ["2024-03-01 12:00:00 UTC", "2024-03-13 12:00:00 UTC"],
        ["2024.03.01 14:00:00+02:00", "2024.03.13 14:00:00+02:00"],
        ["45352.5", "45364.5"],
        ["1709294400", "1710331200"],
    ],
)
def test_a_moment_is_the_same_in_every_country(tmp_path: Path, values: list[str]) -> None:
    assert exits(tmp_path, values) == [NOON, LATER]


def test_days_alone_are_midnights(tmp_path: Path) -> None:
    assert exits(tmp_path, ["20240301", "20240313"]) == [NOON - 12 * HOUR, LATER - 12 * HOUR]


def test_a_day_that_may_be_a_month_is_asked_for_and_both_ways_out_work(tmp_path: Path) -> None:
    values = ["01/03/2024 12:00", "02/03/2024 12:00"]
    with pytest.raises(Refused, match="whether the day or the month comes first") as refusal:
        exits(tmp_path, values)
    day, month = (part.split("'")[1] for part in refusal.value.way_out.split("--date-format ")[1:])
    assert exits(tmp_path, values, Hints(date_format=day)) == [NOON, NOON + 24 * HOUR]
    assert exits(tmp_path, values, Hints(date_format=month))[0] == 1_704_283_200_000 - 48 * HOUR + 48 * HOUR


def test_the_entries_say_for_the_exits_which_comes_first(tmp_path: Path) -> None:
    text = "entry_time,exit_time,pnl\n28/02/2024 12:00,01/03/2024 12:00,1\n"
    assert trades(found(tmp_path, text, capital=1e4)).exit_ms.tolist() == [NOON]


def test_a_time_zone_is_that_of_the_day(tmp_path: Path) -> None:
    """Berlin: UTC+1 in winter, UTC+2 from 2024-03-31 on."""
    values = ["2024-03-01 13:00", "2024-04-01 14:00"]
    assert exits(tmp_path, values, Hints(timezone="Europe/Berlin")) == [NOON, NOON + 31 * 24 * HOUR]
    with pytest.raises(Refused, match="not a time zone"):
        exits(tmp_path, values, Hints(timezone="Europe/Nowhere"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["13/01/2024", "01/13/2024"], "dates with the day first and dates with the month first"),
        (["31.02.2024"], "exit_time is '31.02.2024' in row 1"),
        (["2024-03-01 25:00"], "exit_time is '2024-03-01 25:00' in row 1"),
        (["2024.03.01 12:00", "2024.03.01 12:00Z"], "has a time zone in row 2"),
    ],
)
def test_times_that_are_none_are_refused(tmp_path: Path, values: list[str], words: str) -> None:
    with pytest.raises(Refused, match=words) as refusal:
        exits(tmp_path, values)
    assert refusal.value.way_out
