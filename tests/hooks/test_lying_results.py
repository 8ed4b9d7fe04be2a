"""A forger may write every file, with hashes that fit: nothing is promoted before it is counted again."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hooks.promotion import REQUIRED
from scripts.swarm import checksums
from state.files.layout import CHECKOUT
from tests.hooks import results
from WORKFLOW.recount import command
from WORKFLOW.recount.files import WINDOW_NAMES

BEST = "best_sharpe"


def typed(*words: str) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, str(CHECKOUT / "hooks" / "promotion.py"), *words)
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, cwd="/")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return results.publish(tmp_path / "SOL" / "aggressive")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Return a result that loses out-of-sample."""
    return results.publish(tmp_path / "SOL" / "aggressive", out=-0.004)


def wrong_in(folder: Path) -> list[str]:
    """What a recount says of the tree, in this process."""
    return [text for one in command.of_tree(folder).values() for text in one["wrong"]]


def test_a_result_that_is_what_it_says_is_promoted(good: Path) -> None:
    done = typed(str(good))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{BEST}: PROMOTED: all {len(REQUIRED)} checks passed" in done.stdout
    assert "not replayed: there is nothing at /nowhere/SOL.csv; say where its bars lie: hooks/promotion.py" in (
        done.stdout
    )
    assert checksums.check(good.parent.parent)["wrong"] == 0


def test_passed_everywhere_promotes_nothing_that_lost(bad: Path) -> None:
    """All hashes and words fit, but the strategy loses out-of-sample."""

    def lie(record: Any) -> None:
        for check in record["checks"]:
            check["passed"] = True

    assert json.loads((bad / BEST / "metrics.json").read_text())["out_of_sample"]["sharpe_ratio"] < -1.5
    assert typed(str(bad)).stdout.startswith(f"{BEST}: not promoted: failed: out_of_sample_sharpe")
    results.edit(bad / BEST / "validation.json", lie)
    results.edit(bad / "run_manifest.json", lambda m: lie(m["promotion"][BEST]))
    results.reseal(bad)
    done = typed(str(bad))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{bad / BEST} contradicts itself: check out_of_sample_sharpe: passed is said to be True, it is False" in (
        done.stderr
    )
    found = checksums.check(bad.parent.parent)
    assert found["wrong"] >= 1
    assert any("check out_of_sample_sharpe" in text for text in found["trees"][0]["wrong"])


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("field", ["passed", "value", "threshold"])
def test_each_field_of_each_check_is_counted_again(good: Path, name: str, field: str) -> None:
    def lie(record: Any) -> None:
        for check in record["checks"]:
            if check["name"] == name:
                value = check[field]
                check[field] = not value if isinstance(value, bool) else 0.123456 if value is None else value + 0.01

    results.edit(good / BEST / "validation.json", lie)
    results.edit(good / "run_manifest.json", lambda m: lie(m["promotion"][BEST]))
    results.reseal(good)
    if (name, field) in [
        ("ledger_whole", "value"),
        ("vectorbt_agrees", "value"),
    ]:  # no figure tells it: judged by value
        assert not command.of_tree(good)[BEST]["checks"][-1 if name == "vectorbt_agrees" else -4]["passed"]
    elif field == "threshold" and name in ("ledger_whole", "vectorbt_agrees"):
        assert command.of_tree(good)[BEST]["checks"][0]["passed"]  # it has none, and nothing is made of it
    else:
        assert any(name in text for text in wrong_in(good)), name


FIGURES = (
    *("total_return", "annualized_return", "sharpe_ratio", "sortino_ratio", "calmar_ratio", "max_drawdown_daily_pct"),
    *("cvar_95", "win_rate", "profit_factor", "avg_bars_held", "total_trades", "days"),
)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("where", [*WINDOW_NAMES, "full"])
def test_each_figure_is_counted_again_although_all_files_tell_the_same_lie(good: Path, where: str, name: str) -> None:
    def lie(values: Any) -> None:
        values[name] += 1 if isinstance(values[name], int) else 1e-12 * max(1.0, abs(values[name]))

    results.edit(good / BEST / "metrics.json", lambda m: lie(m[where]))
    if where != "full":
        results.edit(good / BEST / "validation.json", lambda v: lie(v[where]["metrics"]))
    results.judge_again(good)
    assert any(f"{where}: {name} is said to be" in text for text in wrong_in(good))


LIES: dict[str, Callable[[Any], Any]] = {
    "search.json effective_trials": lambda r: r.update(effective_trials=2.0),
    "search.json placebo": lambda r: r["placebo"].update(p_value=0.01),
    "best_sharpe/config.json costs": lambda r: r["costs"].update(fee_rate=0.0),
    "best_sharpe/config.json parameters": lambda r: r["parameters"].update(fast_period=6),
    "best_sharpe/plateau.json summary": lambda r: r["summary"].update(share_of_half=1.0),
    "best_sharpe/plateau.json sharpe_ratio": lambda r: r.update(sharpe_ratio=9.0),
    "best_sharpe/validation.json chance": lambda r: r["chance"].update(tries=10),
    "best_sharpe/validation.json wicks": lambda r: r["wicks"]["out_of_sample"].update(sharpe_ratio=9.0),
    "best_sharpe/validation.json walk_forward": lambda r: r["walk_forward"]["process"]["rolling"].update(
        sharpe_ratio=3.0
    ),
    "best_sharpe/validation.json verdict": lambda r: r.update(verdict="candidate: buy"),
    "best_sharpe/validation.json synthetic": lambda r: r.update(synthetic=True),
    "best_sharpe/validation.json in_sample": lambda r: r["in_sample"].update(bars=1_000_000),
    "best_sharpe/windows.json equity": lambda r: r["out_of_sample"]["equity"].__setitem__(9, 12_000.0),
    "best_sharpe/windows.json pnl": lambda r: r["out_of_sample"]["trades"]["pnl"].__setitem__(9, 900.0),
    "best_sharpe/windows.json time": lambda r: r["in_sample"]["time"].__setitem__(9, "2023-01-09T00:00:00Z"),
    "run_manifest.json tries": lambda r: r["tries"].update(total=10),
    "run_manifest.json costs": lambda r: r["config"]["costs"].update(fee_rate=0.0),
    "run_manifest.json windows": lambda r: r["windows"]["in_sample"].update(bars=5),
    "run_manifest.json data": lambda r: r["data"].update(synthetic=True),
}


@pytest.mark.parametrize("what", LIES)
def test_what_one_file_says_alone_is_found(good: Path, what: str) -> None:
    results.edit(good / what.split(maxsplit=1)[0], LIES[what])
    results.judge_again(good)
    assert wrong_in(good), what


@pytest.mark.parametrize("name", ["equity.csv", "trades.csv"])
def test_equity_and_trades_are_each_others_witnesses(good: Path, name: str) -> None:
    path = good / BEST / name
    rows = path.read_text().splitlines()
    cells = rows[9].split(",")
    at = 1 if name == "equity.csv" else 2
    rows[9] = ",".join([*cells[:at], str(float(cells[at]) + 500.0), *cells[at + 1 :]])
    path.write_text("\n".join(rows) + "\n")
    results.reseal(good)
    assert any(text.startswith("full: ") for text in wrong_in(good))


@pytest.mark.parametrize("part", ["promotion", "tries", "config", "data", "verdict", "execution"])
def test_an_edited_manifest_is_found_by_its_own_sum(good: Path, part: str) -> None:
    results.edit(good / "run_manifest.json", lambda m: m | {part: {"x": 1, **({"sum": "0" * 64})}})
    done = typed(str(good))
    assert done.returncode == 1
    if part != "execution":
        assert done.stderr.startswith(f"error: {good / 'run_manifest.json'} is not what was published")
    found = checksums.check(good.parent.parent)["trees"][0]["wrong"]
    assert found, part


def test_a_manifest_whose_own_sum_is_taken_out_is_none_of_an_earlier_version(good: Path) -> None:
    results.edit(good / "run_manifest.json", lambda m: m["execution"].pop("sum") and m)
    done = typed(str(good))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {good / 'run_manifest.json'} is not what was published")


@pytest.mark.parametrize("name", ["metrics", "validation", "plateau", "windows", "config"])
@pytest.mark.parametrize("record", [{}, [], "x", None, {"in_sample": 5, "checks": [1]}])
def test_a_file_of_another_shape_is_a_sentence_and_no_traceback(good: Path, name: str, record: Any) -> None:
    results.write(good / BEST / f"{name}.json", record)
    results.reseal(good)
    answer = command.of_tree(good)[BEST]
    assert answer["wrong"]
    if record == {}:  # one process for each file is enough
        done = typed(str(good))
        assert (done.returncode, done.stderr[:7]) == (1, "error: ")
        assert "Traceback" not in done.stderr


def test_a_result_without_windows_is_not_promoted_and_told_how(good: Path) -> None:
    (good / BEST / "windows.json").unlink()
    results.reseal(good)
    done = typed(str(good))
    assert done.returncode == 1
    assert f"{BEST}: not promoted: unknown: it was published without windows.json" in done.stdout
    assert "search again, or name the bars with --data-path" in done.stdout
