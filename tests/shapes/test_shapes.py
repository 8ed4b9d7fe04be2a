"""Whatever a record holds, no reader stops: values that fit count, others are reported."""

import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from agents.registry import AGENTS
from scripts.swarm import health
from state.files import snapshot
from state.records import agent_states
from tests.agents import scenarios
from tests.agents.yard import Yard
from tests.shapes import fuzz
from tests.shapes.readers import READERS, Reader
from tests.shapes.root import filled
from tests.shapes.shapes import GONE, replaced

_PROBES = 60  # spread over all records; `python -m tests.shapes.fuzz` makes all of them

_JOBS = "runs/bt-1/round-0000/jobs.jsonl"
# Record, place in it, value: what stopped every agent and every command before records had types.
_KNOWN: tuple[tuple[str, tuple[str | int, ...], Any], ...] = (
    ("swarm_control_state.json", ("actions_last_cycle",), ["x"]),
    ("curator_state.json", ("actions_last_cycle",), [{"outcome": "failed: x"}]),
    ("worker_sentry_state.json", ("verified_last_cycle",), ["x"]),
    ("worker_sentry_state.json", ("verified_last_cycle",), [{"holds": False}]),
    ("auto_scheduler_state.json", ("actions_last_cycle",), {"x": "x"}),
    (
        "session_log_state.json",
        ("actions_last_cycle",),
        [{"kind": "fly", "target": "x", "expected": "", "outcome": ""}],
    ),
    ("util_controller_state.json", ("report", "fill_lanes"), ["x"]),
    ("util_controller_state.json", ("report", "fill_lanes"), "many"),
    ("orchestration_consensus_state.json", ("report", "signals"), ["x"]),
    ("session_state_manager_state.json", ("report", "incidents"), [7]),
    ("session_state_manager_state.json", ("report", "next_steps"), "x"),
    ("swarm_control_state.json", ("report", "findings"), [{}]),
    ("swarm_control_state.json", ("report", "gpus"), [[]]),
    ("swarm_control_state.json", ("report", "cpu_pct"), "much"),
    ("swarm_control_state.json", ("at_s",), 10**400),
    ("swarm_control_state.json", ("cycle",), "x"),
    ("loops/curator.json", ("identity",), "x"),
    ("loops/curator.json", ("identity", "pid"), 10**30),
    ("loops/curator.json", (), "x"),
    ("swarm.json", ("process",), "x"),
    ("stopped.json", (), ["x"]),
    ("runs/bt-1/order.json", ("settings", "prescreen", "batch_combos"), 0),
    ("runs/bt-1/order.json", ("started_at",), "yesterday"),
    ("runs/bt-1/order.json", ("symbols", 0), ".."),
    ("runs/bt-1/round-0000/begun.json", ("dropped",), ["x"]),
    ("runs/bt-1/round-0000/begun.json", ("holdouts", "SOL aggressive"), 7),
    ("runs/bt-1/finished.json", ("failed",), ["x"]),
)


@pytest.fixture(scope="module")
def place() -> Iterator[Yard]:
    with filled() as one:
        yield one


def _raises(read: Reader, place: Yard) -> bool:
    try:
        read(place.roots)
    except Exception:
        traceback.print_exc()
        return True
    return False


@pytest.mark.parametrize(("record", "way", "value"), _KNOWN, ids=lambda one: str(one)[:40])
def test_what_stopped_everybody_once_stops_nobody(
    place: Yard, record: str, way: tuple[str | int, ...], value: Any
) -> None:
    path = place.roots.state / record
    before = path.read_bytes() if path.exists() else None
    try:
        tree = snapshot.read_json(path)
        path.write_bytes(fuzz.codec.encode(replaced({} if tree is None else tree, way, value)))
        crashes = [name for name, read in READERS.items() if _raises(read, place)]
        assert crashes == []
    finally:
        path.unlink() if before is None else path.write_bytes(before)


@pytest.mark.parametrize("word", ["round", "symbol", "mode", "phase"])
def test_a_job_without_a_name_stops_nobody(place: Yard, word: str) -> None:
    probe = fuzz.Probe(place.roots.state / _JOBS, 0, ("job", word), GONE)
    assert list(fuzz.made(probe, place.roots)) == []


def test_no_wrong_shape_of_any_record_stops_any_reader(place: Yard) -> None:
    found = fuzz.probes(place.roots)
    assert len(found) > 45_000
    chosen = fuzz.spread(found, _PROBES)
    assert len({probe.path for probe in chosen}) > 15
    cheap = {name: read for name, read in READERS.items() if name != "monitors"}  # pages of what status says
    crashes = [crash for probe in chosen for crash in fuzz.made(probe, place.roots, cheap)]
    assert crashes == []


def test_what_agents_report_has_the_types_that_others_read_it_by() -> None:
    told: set[str] = set()
    for scenario in scenarios.every():
        if scenario.agent not in {row.name for row in AGENTS}:
            continue
        for _, decision, _ in scenario.decisions():
            tree = fuzz.codec.decode(fuzz.codec.encode({"report": scenarios.report_of(decision)}))
            assert agent_states.of_tree(scenario.agent, tree).wrong == (), scenario.path.name
            told.add(scenario.agent)
    assert len(told) > 8


def test_health_names_what_is_damaged(place: Yard) -> None:
    path = place.roots.agent_state("curator")
    before = path.read_bytes()
    try:
        path.write_bytes(fuzz.codec.encode(replaced(fuzz.codec.decode(before), ("actions_last_cycle",), ["x"])))
        _, word, reasons = health.judge(place.roots)
        assert word == "degraded"
        assert any("curator_state.json is damaged: actions_last_cycle: 'x' is no Deed" in one for one in reasons)
    finally:
        path.write_bytes(before)
