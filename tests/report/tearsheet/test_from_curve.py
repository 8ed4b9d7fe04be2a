"""Daily returns and equity curves: figures by hand, and no figure about trades that are unknown."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from config.errors import Refused
from scripts.tearsheet import command
from state.files.layout import CHECKOUT
from tests.report.tearsheet.test_from_trades import SETTINGS, SPLIT
from WORKFLOW.report.tearsheet import from_curve, page, picture, trades_file
from WORKFLOW.report.tearsheet.from_trades import Asked
from WORKFLOW.report.tearsheet.parts import record_of

SCHEMA = CHECKOUT / "docs" / "reference" / "schemas" / "tearsheet.schema.json"


def doc_of(path: Path, text: str, split_ms: int | None = None, tries: int | None = None, **more: Any) -> dict[str, Any]:
    path.write_text(text, encoding="utf-8")
    found = trades_file.read(path, more.pop("capital", None), **more)
    assert found.curve is not None
    return from_curve.of_curve(found.curve, Asked("mine", found.capital, split_ms, tries, found.notes), SETTINGS)


def returns(count: int, seed: int = 1) -> tuple[np.ndarray[Any, Any], str]:
    drawn = np.random.default_rng(seed).normal(0.002, 0.01, count)
    days = np.datetime64("2024-01-01") + np.arange(count)
    rows = [f"{day},{one!r}" for day, one in zip(days, drawn.tolist(), strict=True)]
    return drawn, "\n".join(["date,return", *rows])


def test_every_figure_of_returns_by_hand(tmp_path: Path) -> None:
    """Monday to Friday and the Monday after: the weekend did nothing."""
    days = ["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"]
    text = "\n".join(
        ["Date,Strategy", *(f"{day},{one}" for day, one in zip(days, (0.1, -0.05, 0.2, 0.0), strict=True))]
    )
    doc = doc_of(tmp_path / "r.csv", text)
    by_day = np.array([0.1, -0.05, 0.0, 0.0, 0.2, 0.0])
    full = doc["metrics"]["full"]
    assert full["days"] == 6
    assert full["total_return"] == pytest.approx(1.1 * 0.95 * 1.2 - 1)
    assert full["sharpe_ratio"] == pytest.approx(by_day.mean() / by_day.std(ddof=1) * 365**0.5)
    assert full["max_drawdown_pct"] == pytest.approx(0.05)
    assert full["max_drawdown"] == pytest.approx(10_000 * 1.1 * 0.05)
    assert doc["daily"]["equity"] == pytest.approx([11_000, 10_450, 10_450, 10_450, 12_540, 12_540])
    assert doc["period"] == {
        "from": "2024-01-04T00:00:00Z",
        "to": "2024-01-09T23:59:59Z",
        "days": 6,
        "out_of_sample_from": None,
    }


@pytest.mark.parametrize(
    "header", ["date,equity", "time,Balance", ",Equity", "<DATE>\t<EQUITY>", "date,equity,DrawdownPct"]
)
def test_an_equity_curve_begins_with_its_first_mark(tmp_path: Path, header: str) -> None:
    mark = "\t" if "\t" in header else ","
    more = ",0" if "Pct" in header else ""
    rows = [f"2024-01-0{at}{mark}{equity}{more}" for at, equity in ((1, 5_000), (2, 5_500), (4, 5_225))]
    doc = doc_of(tmp_path / "e.csv", "\n".join([header, *rows]))
    assert doc["capital"] == 5_000.0
    assert doc["daily"] == {"first_day": "2024-01-02", "equity": [5_500.0, 5_500.0, 5_225.0]}
    assert doc["metrics"]["full"]["total_return"] == pytest.approx(0.045)
    assert doc["metrics"]["full"]["max_drawdown_pct"] == pytest.approx(0.05)


def test_a_day_is_what_its_last_mark_says(tmp_path: Path) -> None:
    rows = ["2024-01-01 00:00,100", "2024-01-01 12:00,130", "2024-01-01 23:00,110", "2024-01-02 23:00,121"]
    doc = doc_of(tmp_path / "e.csv", "\n".join(["date,equity", *rows]))
    assert doc["daily"] == {"first_day": "2024-01-01", "equity": [110.0, 121.0]}


def test_results_of_days_are_added_to_the_capital(tmp_path: Path) -> None:
    doc = doc_of(tmp_path / "d.csv", "date,daily_pnl\n2024-01-01,100\n2024-01-02,-55\n", capital=1_000.0)
    assert doc["daily"]["equity"] == [1_100.0, 1_045.0]


def test_percent_is_told_by_signs_or_asked_for(tmp_path: Path) -> None:
    for text, unit in (
        ("date,return\n2024-01-01,10%\n2024-01-02,-5%\n", None),
        ("date,return\n2024-01-01,10\n2024-01-02,-5\n", "percent"),
    ):
        assert doc_of(tmp_path / "r.csv", text, unit=unit)["metrics"]["full"]["total_return"] == pytest.approx(0.045)
    with pytest.raises(Refused, match="half of all returns") as refusal:
        doc_of(tmp_path / "r.csv", "date,return\n2024-01-01,10\n2024-01-02,-5\n")
    assert "--unit percent" in refusal.value.way_out


def test_what_needs_trades_is_absent_with_a_sentence_and_not_zero(tmp_path: Path) -> None:
    _, text = returns(200)
    doc = doc_of(tmp_path / "r.csv", text)
    jsonschema.validate(doc, json.loads(SCHEMA.read_text(encoding="utf-8")))
    made = page.render(doc)
    assert record_of(made) == doc
    body = made.decode().partition('<script type="application/json"')[0].partition("<main>")[2]
    assert page.NO_TRADES in body
    for words in (
        "winning trades</th>",
        "profit factor</th>",
        "closed trades",
        "time in the market</th>",
        "By side and exit",
    ):
        assert words not in body
    for words in ("Results of trades", "Best and worst trades", "trades shuffled", "trades missed", 'id="histogram"'):
        assert words not in body
    assert picture.render(doc).startswith(b"\x89PNG")
    assert {key: doc["metrics"]["full"][key] for key in ("total_trades", "win_rate", "profit_factor", "exposure")} == {
        "total_trades": None,
        "win_rate": None,
        "profit_factor": None,
        "exposure": None,
    }


def test_a_curve_is_judged_by_what_it_says(tmp_path: Path) -> None:
    drawn, text = returns(400)
    line = doc_of(tmp_path / "r.csv", text)["verdict"]["line"]
    assert line.startswith("not judged: nobody said which days were not used to choose it (--split DATE)")
    doc = doc_of(tmp_path / "r.csv", text, split_ms=SPLIT, tries=1)
    inside, outside = (doc["metrics"][name] for name in ("in_sample", "out_of_sample"))
    assert (inside["days"], outside["days"]) == (31, 369)
    assert outside["sharpe_ratio"] == pytest.approx(drawn[31:].mean() / drawn[31:].std(ddof=1) * 365**0.5)
    assert set(doc["monte_carlo"]) == {"in_sample", "out_of_sample"}
    checks = {check["name"]: check for check in doc["verdict"]["checks"]}
    assert (checks["in_sample_trades"]["value"], checks["in_sample_trades"]["passed"]) == (None, False)
    assert doc["verdict"]["state"] in ("unjudged", "rejected")
    assert "trades" not in doc["verdict"]["line"].replace("how many trades it was made of", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("date,equity\n2024-01-01,100\n2024-01-02,0\n", "equity is 0 in row 2"),
        ("date,equity\n2024-01-01,100\n", "a curve with one value"),
        ("date,return\n2024-01-01,0.1\n2024-01-01,0.2\n", "in row 2 of .* and in one before it"),
        ("date,return\n2024-01-01,0.1\n2024-01-02,\n", "return is empty or not finite in row 2"),
        ("date,daily_pnl\n2024-01-01,-20000\n", "is gone on 2024-01-01"),
    ],
)
def test_curves_that_are_none_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as refusal:
        doc_of(tmp_path / "c.csv", text)
    assert refusal.value.way_out


def test_a_split_outside_the_curve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="leaves no day on one side"):
        doc_of(tmp_path / "r.csv", returns(20)[1], split_ms=SPLIT)


def test_the_terminal_says_that_no_trade_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    (tmp_path / "r.csv").write_text(returns(40)[1], encoding="utf-8")
    arguments = ["mine", "--trades", str(tmp_path / "r.csv"), "--formats", "json", "--paths", "20"]
    assert command.main(arguments, "generate-tearsheet", "either") == 0
    said = capsys.readouterr().out
    assert "no trade is known: figures that need trades are not shown" in said
    assert "wins" not in said
