"""What a person types, and what comes of it when it is not what they meant."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.tearsheet import command
from state.files.artifacts import BESTS
from tests.report.tearsheet.lists import day, walk, write
from tests.report.tearsheet.test_from_trades import doc_of
from WORKFLOW.report.tearsheet import page


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return doc_of(walk(tmp_path_factory.mktemp("t") / "t.csv", 24 * 40))


@pytest.fixture
def results(tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages of two symbols in the folders of results; what is in them is a list of trades' document."""
    root = tmp_path / "results"
    for symbol, mode in (("SOL", "aggressive"), ("BTC", "aggressive")):
        for at, best in enumerate(BESTS):
            strategy = {**document["strategy"], "name": best, "symbol": symbol, "mode": mode, "family": "f"}
            folder = root / "Backtests" / "optimizations" / symbol / mode / best
            folder.mkdir(parents=True)
            one = {**document, "strategy": {**strategy, "parameters": {"period": min(at, 2)}}}
            (folder / "tearsheet.html").write_bytes(page.render(one))
    monkeypatch.setenv("RESULTS_ROOT", str(root))
    monkeypatch.delenv("BACKTEST_OPTIMIZE_CONFIG", raising=False)
    monkeypatch.setenv("BACKTEST_OPTIMIZE__MONTE_CARLO__PATHS", "20")
    monkeypatch.chdir(tmp_path)
    return root


def typed(capsys: pytest.CaptureFixture[str], *arguments: str, wants: str = "either") -> tuple[int, str, str]:
    code = command.main(list(arguments), "generate-tearsheet", wants)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("name", "stems"),
    [
        ("SOL/aggressive/best_sharpe", ["SOL-aggressive-best_sharpe"]),
        ("btc/BEST_RETURNS", ["BTC-aggressive-best_returns"]),
        ("best_winrate", ["BTC-aggressive-best_winrate", "SOL-aggressive-best_winrate"]),
        ("SOL", [f"SOL-aggressive-{best}" for best in BESTS]),
        ("results/Backtests/optimizations/SOL/aggressive", [f"SOL-aggressive-{best}" for best in BESTS]),
        ("results/Backtests/optimizations/SOL/aggressive/best_sharpe", ["SOL-aggressive-best_sharpe"]),
    ],
)
def test_finalists_are_found_by_whatever_names_them(
    results: Path, capsys: pytest.CaptureFixture[str], name: str, stems: list[str]
) -> None:
    code, out, _ = typed(capsys, name, "--formats", "json", "--json")
    assert code == 0
    answer = json.loads(out)
    files = [Path(file) for one in answer["strategies"] for file in one["files"]]
    assert [file.stem for file in files] == stems
    assert all(file.parent == results / "tearsheets" and file.is_file() for file in files)
    assert bool(answer["comparison"]) is (len(stems) > 1)


def test_a_file_belongs_to_the_name_that_is_no_finalist(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk(Path("t.csv"), 100)
    arguments = ("SOL/aggressive/best_sharpe", "mine", "--trades", "t.csv", "--formats", "json", "--output", "out")
    code, out, _ = typed(capsys, *arguments, "--json")
    assert code == 0
    answer = json.loads(out)
    assert [one["name"] for one in answer["strategies"]] == ["SOL aggressive best Sharpe", "mine"]
    assert answer["strategies"][1]["metrics"]["full"]["total_trades"] == 100
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "SOL-aggressive-best_sharpe.json",
        "comparison.json",
        "mine.json",
    ]


def test_a_name_of_a_finalist_with_a_file_for_each_name_is_a_name(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walk(Path("t.csv"), 50)
    code, out, _ = typed(capsys, "best_sharpe", "--trades", "t.csv", "--formats", "json", "--json")
    assert code == 0
    assert json.loads(out)["strategies"][0]["metrics"]["full"]["total_trades"] == 50


def test_more_than_eight_strategies_are_written_and_not_compared(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for at in range(9):
        write(Path(f"{at}.csv"), "exit_time,pnl", [f"{day(0)},{at}", f"{day(1)},1"])
    names = [f"s{at}" for at in range(9)]
    files = [part for at in range(9) for part in ("--trades", f"{at}.csv")]
    code, out, _ = typed(capsys, *names, *files, "--formats", "json", "--output", "out")
    assert code == 0
    assert "not compared: 9 strategies are more than the 8" in out
    assert len(list(Path("out").iterdir())) == 9


def test_only_the_tables_that_a_command_is_for_are_taken(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("pct.csv"), "exit_time,net_pnl_pct", [f"{day(0)},0.1"])
    write(Path("pnl.csv"), "exit_time,pnl", [f"{day(0)},5"])
    assert "has no pnl column" in typed(capsys, "a", "--trades", "pct.csv", wants="pnl")[2]
    assert "has neither a pnl nor a pct" not in typed(capsys, "a", "--trades", "pct.csv", wants="pct")[2]
    assert "has no pct column" in typed(capsys, "a", "--trades", "pnl.csv", wants="pct")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], ["no finalist is called 'nothing'", "SOL/aggressive/best_sharpe", "--trades FILE"]),
        (["a", "b", "--trades", "t.csv"], ["name no finalist: a, b", "a file of its own"]),
        (["a", "--trades", "t.csv", "--trades", "t.csv"], ["2 times --trades for 1 STRATEGY"]),
        (["SOL", "--seed", "0"], ["--seed describes trades of your own"]),
        (["SOL", "--date-format", "%Y"], ["--date-format describes trades of your own"]),
        (["a", "--trades", "t.csv", "--columns", "exit_time"], ["--columns names 1 columns and", "has 2"]),
        (["a", "a", "--trades", "t.csv", "--trades", "t.csv"], ["two of the files would be called a"]),
        (["comparison", "--trades", "t.csv"], ["two of the files would be called comparison"]),
        (["...", "--trades", "t.csv"], ["STRATEGY is '...', which gives no file name"]),
        (["a", "--trades", "t.csv", "--capital", "0.001"], ["a capital of 0.00 is gone", "--capital"]),
        (["a", "--trades", "t.csv", "--split", "1999-01-01"], ["leaves no trade on one side"]),
        (["a", "--trades", "t.csv", "--output", "t.csv"], ["cannot write t.csv", "--output"]),
        (["results"], ["results holds no tearsheet.html"]),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_way_out(
    results: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    write(Path("t.csv"), "exit_time,pnl", [f"{day(0)},-5", f"{day(1)},4"])
    code, out, err = typed(capsys, *arguments, "--formats", "json")
    assert (code, out) == (1, "")
    assert err.splitlines()[-2].startswith("error: ")
    assert err.splitlines()[-1].startswith("  → ")
    for word in words:
        assert word in err
    assert json.loads(typed(capsys, *arguments, "--formats", "json", "--json")[1])["error"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a", "--capital", "-1"],
        ["a", "--split", "March"],
        ["a", "--tries", "0"],
        ["a", "--formats", "pdf"],
        ["a", "--unit", "bps"],
        ["a", "--decimal", "dot"],
        ["a", "--timezone", "Nowhere/Land"],
        ["a", "--columns", "-,-"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = typed(capsys, *arguments)
    assert code == 2
    assert err.startswith("error: ")


def test_an_assumed_capital_stands_in_the_terminal_and_on_the_page(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("t.csv"), "exit_time,pnl", [f"{day(0)},-5", f"{day(1)},4"])
    code, out, _ = typed(capsys, "mine", "--trades", "t.csv", "--formats", "html", "--output", "out")
    assert code == 0
    said = "capital 10,000 is assumed, since none was given"
    assert said in out
    assert said in Path("out/mine.html").read_text(encoding="utf-8").partition('<script type="application/json"')[0]
    assert said not in typed(capsys, "mine", "--trades", "t.csv", "--formats", "html", "--capital", "50")[1]


def test_of_several_strategies_in_one_file_the_named_one_is_drawn(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trade = {"open_date": day(0, 0), "close_date": day(0), "profit_abs": 5.0, "profit_ratio": 0.05}
    inside = {name: {"trades": [trade], "starting_balance": 100} for name in ("One", "Two")}
    Path("r.json").write_text(json.dumps({"strategy": inside}))
    code, _, err = typed(capsys, "mine", "--trades", "r.json")
    assert (code, "2 strategies: One, Two" in err) == (1, True)
    typed_again = err.splitlines()[-1].partition("such as ")[2].split()
    assert typed(capsys, *typed_again, "--formats", "json")[0] == 0


def test_a_page_of_another_version_is_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = results / "Backtests" / "optimizations" / "SOL" / "aggressive" / "best_sharpe" / "tearsheet.html"
    target.write_text("<html>an older page</html>")
    code, _, err = typed(capsys, "SOL/aggressive/best_sharpe")
    assert code == 1
    assert "is not a tearsheet of this version" in err
