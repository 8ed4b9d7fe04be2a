"""Every try counts once, over all runs whose days overlap."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config.record import asdict, replace
from state.records.tries import (
    Entry,
    Span,
    TriesCount,
    TriesLedger,
    identity_of,
)

DAY = 86_400_000
IN, OUT = Span(0, 70 * DAY - 300_000), Span(70 * DAY, 100 * DAY)  # no bar is in both


def entry(identity: str, tries: int = 100, span: Span = IN, kind: str = "combos") -> Entry:
    return Entry(kind, identity, tries, span, "prescreen", "bt-1", "2026-01-01T00:00:00Z")  # type: ignore[arg-type]


@pytest.fixture
def ledger(tmp_path: Path) -> TriesLedger:
    return TriesLedger(tmp_path / "tries" / "SOL.jsonl")


def test_nothing_was_tried_before_the_first_run(ledger: TriesLedger) -> None:
    assert ledger.count(IN, OUT) == TriesCount(0, 0)
    assert ledger.bad_lines() == 0


def test_tries_and_looks_of_all_runs_add_up(ledger: TriesLedger) -> None:
    ledger.add(entry("a", 100), entry("b", 50))
    ledger.add(entry("look", 1, OUT, "look"))
    ledger.add(entry("another", 1, OUT, "look"))
    assert ledger.count(IN, OUT) == TriesCount(150, 2)


def test_the_same_combos_on_the_same_bars_are_no_new_try(ledger: TriesLedger) -> None:
    for run in ("bt-1", "bt-2"):
        ledger.add(replace(entry(identity_of(data="x", seed=7, n=100)), run_id=run))
    ledger.add(entry(identity_of(data="x", seed=8, n=100)))
    assert ledger.count(IN, OUT).tries == 200
    assert [one.run_id for one in ledger.entries()] == ["bt-1", "bt-1"]


def test_other_days_are_another_matter(ledger: TriesLedger) -> None:
    ledger.add(entry("a", 100, Span(0, 10 * DAY)), entry("b", 10, Span(69 * DAY, 80 * DAY)))
    assert ledger.count(Span(20 * DAY, 70 * DAY), OUT).tries == 10
    assert ledger.count(Span(200 * DAY, 300 * DAY), OUT).tries == 0


def test_a_damaged_line_is_counted_and_costs_nobody_his_count(ledger: TriesLedger) -> None:
    ledger.add(entry("a", 100))
    with ledger.path.open("ab") as file:
        file.write(b'{"kind":"combos"\n' + json.dumps({"kind": "combos"}).encode() + b"\n[1]\n")
    ledger.add(entry("b", 11))
    assert ledger.count(IN, OUT).tries == 111
    assert ledger.bad_lines() == 3


def test_days_that_were_searched_are_no_holdout_any_more(ledger: TriesLedger) -> None:
    ledger.add(entry("all of it", 20_000, Span(0, 95 * DAY)), entry("look", 1, OUT, "look"))
    assert ledger.count(IN, OUT) == TriesCount(20_000, 20_001)


GOOD: dict[str, Any] = json.loads(json.dumps(asdict(entry("a"))))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "look_"},
        {"kind": None},
        {"tries": -499},
        {"tries": 0},
        {"tries": "500"},
        {"tries": True},
        {"tries": 10**20},
        {"tries": None},
        {"span": None},
        {"span": {"first_ms": "0", "last_ms": "9"}},
        {"span": {"first_ms": 9, "last_ms": 0}},
        {"identity": ["a"]},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_entry_is_a_damaged_line_and_counts_nothing(ledger: TriesLedger, change: dict[str, Any]) -> None:
    ledger.add(entry("b", 50))
    with ledger.path.open("ab") as file:
        file.write(json.dumps({**GOOD, **change}).encode() + b"\n")
    assert ledger.count(IN, OUT) == TriesCount(50, 0)
    assert ledger.bad_lines() == 1


def test_a_line_nested_too_deep_is_a_damaged_one(ledger: TriesLedger) -> None:
    ledger.add(entry("b", 50))
    with ledger.path.open("ab") as file:
        file.write(b"[" * 100_000 + b"\n")
    assert (ledger.count(IN, OUT).tries, ledger.bad_lines()) == (50, 1)


def test_of_two_lines_with_one_identity_the_larger_counts(ledger: TriesLedger) -> None:
    ledger.add(entry("a", 1))
    with ledger.path.open("ab") as file:
        file.write(json.dumps({**GOOD, "tries": 100_000}).encode() + b"\n")
    assert ledger.count(IN, OUT).tries == 100_000


def test_a_whole_line_that_an_editor_left_without_its_end_is_kept_and_a_torn_one_is_cut(ledger: TriesLedger) -> None:
    ledger.add(entry("b", 50))
    with ledger.path.open("ab") as file:
        file.write(json.dumps(GOOD).encode())
    ledger.add(entry("c", 7))
    assert ledger.count(IN, OUT).tries == 157
    with ledger.path.open("ab") as file:
        file.write(json.dumps(GOOD).encode()[:40])
    ledger.add(entry("d", 1))
    assert (ledger.count(IN, OUT).tries, ledger.bad_lines()) == (158, 0)


def test_many_writers_at_once_lose_nothing(ledger: TriesLedger) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.add(entry(f"e{n}", 1), entry("shared", 5)), range(40)))
    assert ledger.count(IN, OUT).tries == 45


def test_the_ledger_is_the_users_alone(ledger: TriesLedger) -> None:
    ledger.add(entry("a"))
    assert ledger.path.stat().st_mode & 0o077 == 0
