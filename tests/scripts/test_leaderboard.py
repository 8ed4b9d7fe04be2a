"""`results --all`: every run counts, each strategy stands once, and what is no record of ours breaks nothing."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scripts.swarm import results
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots

SCHEMA = json.loads(
    (CHECKOUT / "docs" / "reference" / "schemas" / "leaderboard.schema.json").read_text(encoding="utf-8")
)


def metrics(sharpe: float | None, drawdown: float = 0.1) -> dict[str, Any]:
    shares = {"total_return": 0.2, "max_drawdown_pct": drawdown, "win_rate": 0.5}
    return {"sharpe_ratio": sharpe, **shares, "total_trades": 40, "days": 219}


def best(period: int, sharpe: float | None, standing: str = "not tradeable", drawdown: float = 0.1) -> dict[str, Any]:
    return {
        "parameters": {"fast_period": period},
        "in_sample": metrics(3.0),
        "out_of_sample": metrics(sharpe, drawdown),
        "verdict": "candidate: all checks passed" if standing != "not tradeable" else "not tradeable: luck",
        "candidate": standing != "not tradeable",
        "promoted": standing == "promoted",
        "promotion": "because",
    }


def outcome(run_id: str, bests: dict[str, Any], symbol: str = "SOL", number: int = 0, **more: Any) -> dict[str, Any]:
    labels = {"symbol": symbol, "mode": "aggressive", "synthetic": symbol == "SYNTHETIC"}
    return {**labels, "run_id": run_id, "round": number, "verdict": "x", "bests": bests, **more}


def publish(roots: Roots, record: dict[str, Any]) -> None:
    """The tree as the pipeline leaves it, as far as it is read here."""
    folder = roots.artifacts(record["symbol"], record["mode"])
    labels = {key: record[key] for key in ("symbol", "mode", "synthetic", "verdict")}
    for name, one in record["bests"].items():
        snapshot.write_json(folder / name / "config.json", {"parameters": one["parameters"]})
        snapshot.write_json(
            folder / name / "metrics.json", {key: one[key] for key in ("in_sample", "out_of_sample", "verdict")}
        )
        snapshot.write_json(folder / name / "validation.json", {"candidate": one["candidate"]})
    promotion = {n: {"promoted": one["promoted"], "reason": one["promotion"]} for n, one in record["bests"].items()}
    execution = {"run_id": record["run_id"], "round": record["round"]}
    snapshot.write_json(folder / "run_manifest.json", {**labels, "promotion": promotion, "execution": execution})


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roots:
    for name in ("STATE_ROOT", "LOGS_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    return Roots.from_environment()


@pytest.fixture
def rows(roots: Roots, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    def shown(*flags: str) -> list[dict[str, Any]]:
        code = results.main(["--all", *flags, "--json"])
        answer = json.loads(capsys.readouterr().out)
        jsonschema.validate(answer, SCHEMA)
        assert code == (0 if answer["rows"] else 1)
        found: list[dict[str, Any]] = answer["rows"]
        return found

    return shown


Rows = Callable[..., list[dict[str, Any]]]


def test_runs_of_one_process_and_of_the_swarm_and_forgotten_ones_stand_in_one_table(roots: Roots, rows: Rows) -> None:
    single = outcome("bt-1", {"best_sharpe": best(1, 1.0)})
    snapshot.write_json(roots.run("bt-1").outcome, single)
    swarm = roots.swarm_run("bt-2")
    for number in (0, 1):
        record = outcome("bt-2", {"best_sharpe": best(2 + number, 2.0 + number)}, "BTC", number)
        snapshot.write_json(swarm.round(number).unit("BTC", "aggressive").outcome, record)
    publish(roots, single)
    publish(roots, outcome("bt-0", {"best_sharpe": best(9, 9.0)}, "ETH"))  # its run's records are long gone
    found = rows()
    assert [(row["symbol"], row["parameters"]["fast_period"], row["round"]) for row in found] == [
        ("ETH", 9, 0),
        ("BTC", 3, 1),
        ("BTC", 2, 0),
        ("SOL", 1, 0),
    ]
    here = [row["artifacts"] for row in found]
    assert here == [
        str(roots.artifacts("ETH", "aggressive") / "best_sharpe"),
        None,
        None,
        str(roots.artifacts("SOL", "aggressive") / "best_sharpe"),
    ]


def test_a_strategy_stands_once_however_often_it_was_chosen(roots: Roots, rows: Rows) -> None:
    same = best(5, 1.0)
    for run_id in ("bt-1", "bt-2", "bt-3"):
        record = outcome(run_id, {"best_sharpe": same, "best_returns": copy.deepcopy(same)})
        snapshot.write_json(roots.run(run_id).outcome, record)
    (row,) = rows()
    assert (row["found"], row["run_id"], row["strategies"]) == (3, "bt-3", ["best_sharpe", "best_returns"])


def test_who_passed_stands_above_who_only_looks_better(roots: Roots, rows: Rows) -> None:
    bests = {
        "best_sharpe": best(1, 9.0),
        "best_returns": best(2, 1.0, "candidate"),
        "lowest_drawdown": best(3, 0.8, "promoted"),
        "best_winrate": best(4, None),
    }
    snapshot.write_json(roots.run("bt-1").outcome, outcome("bt-1", bests))
    assert [row["parameters"]["fast_period"] for row in rows()] == [3, 2, 1, 4]
    assert [row["standing"] for row in rows("--candidates")] == ["promoted", "candidate"]
    assert len(rows("--top", "2")) == 2
    assert len(rows("--top", "0")) == 4


def test_filters_and_orders(roots: Roots, rows: Rows) -> None:
    snapshot.write_json(
        roots.run("bt-1").outcome,
        outcome("bt-1", {"best_sharpe": best(1, 2.0, drawdown=0.3), "best_returns": best(2, 1.0, drawdown=0.2)}),
    )
    snapshot.write_json(
        roots.run("bt-2").outcome, outcome("bt-2", {"best_sharpe": best(3, 3.0, drawdown=0.1)}, "SYNTHETIC")
    )

    def periods(*flags: str) -> list[int]:
        return [row["parameters"]["fast_period"] for row in rows(*flags)]

    assert periods("--sort", "out_of_sample") == [3, 1, 2]
    assert periods("--sort", "drawdown") == [3, 2, 1]
    assert periods("--real") == [1, 2]
    assert periods("--symbol", "SYNTHETIC,XRP") == [3]
    assert periods("--mode", "balanced") == []


def test_records_that_are_torn_or_of_somebody_else_are_passed_over(roots: Roots, rows: Rows) -> None:
    snapshot.write_json(roots.run("bt-1").outcome, outcome("bt-1", {"best_sharpe": best(1, 1.0), "odd": {"a": 1}}))
    roots.run("bt-2").path.mkdir(parents=True)
    roots.run("bt-2").outcome.write_text('{"symbol": "SOL", "be')
    snapshot.write_json(roots.run("bt-3").outcome, ["a list"])
    snapshot.write_json(roots.run("bt-4").outcome, {"bests": "none"})
    snapshot.write_json(roots.artifacts("ETH", "balanced") / "run_manifest.json", {"symbol": "ETH"})
    assert [row["run_id"] for row in rows()] == ["bt-1"]


def test_the_table_fits_80_columns_and_says_what_luck_gives(
    roots: Roots, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long_name = "A_VERY_LONG_SYMBOL_NAME_OF_40_CHARACTERS"
    bests = {"lowest_drawdown": best(1, -1.25), "best_sharpe": best(2, 1.5, "candidate")}
    snapshot.write_json(roots.run("bt-20260101_120000Z").outcome, outcome("bt-20260101_120000Z", bests, long_name))
    assert results.main(["--all"]) == 0
    said = capsys.readouterr().out
    table = said.partition(f"{long_name}/")[0].splitlines()
    assert len(table) >= 5
    assert max(map(len, table)) <= 80
    assert "3.00 → -1.25" in said
    assert f"{long_name}/aggressive/best_sharpe · bt-20260101_120000Z round 1 (its files were replaced" in said
    assert "  not tradeable: luck" in said
    assert "Sharpe ratio of 2 strategies without skill is expected at 0.7 (219 days)" in said


def test_after_runs_of_one_process_alone_results_shows_them(roots: Roots, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot.write_json(roots.run("bt-1").outcome, outcome("bt-1", {"best_sharpe": best(1, 1.0)}))
    assert results.main([]) == 0
    assert "SOL/aggressive/best_sharpe" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["bt-1", "--all"], ["--top", "-1"], ["--sort", "beauty"]])
def test_words_that_contradict_each_other_are_usage(roots: Roots, words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        results.main(words)
    assert left.value.code == 2


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("promotion",), "x"),
        (("promotion", "best_sharpe"), []),
        (("execution",), "x"),
        (("execution", "round"), "z"),
        (("execution", "run_id"), None),
        (("symbol",), 5),
        (("mode",), None),
    ],
)
def test_a_manifest_that_was_edited_hides_no_other(
    roots: Roots, rows: Rows, where: tuple[str, ...], value: object
) -> None:
    for symbol in ("SOL", "ETH"):
        publish(roots, outcome("bt-1", {"best_sharpe": best(1, 1.0)}, symbol))
    path = roots.artifacts("SOL", "aggressive") / "run_manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    (manifest if len(where) == 1 else manifest[where[0]])[where[-1]] = value
    snapshot.write_json(path, manifest)
    assert [row["symbol"] for row in rows()] == ["ETH"]


@pytest.mark.parametrize("change", [{"verdict": None}, {"out_of_sample": {**metrics(1.0), "sharpe_ratio": "x"}}])
def test_a_figure_that_is_none_hides_no_other(roots: Roots, rows: Rows, change: dict[str, Any]) -> None:
    record = outcome("bt-1", {"best_sharpe": {**best(1, 1.0), **change}, "best_returns": best(2, 2.0)})
    snapshot.write_json(roots.run("bt-1").outcome, record)
    assert [row["strategies"] for row in rows()] == [["best_returns"]]
