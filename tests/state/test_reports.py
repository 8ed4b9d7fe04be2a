"""Reports of agents: each has its type, says nothing that is not known, and stands on file as it always has."""

import json
from pathlib import Path
from typing import Any

import pytest

from agents.registry import AGENTS
from config.record import fields
from state.files.tree import fitted
from state.records import agent_states
from state.records.report_parts import on_record
from state.records.reports import KINDS, AgentReport, ControllerReport, ManagerReport, Reports, WatchdogReport

# What each agent's state file held under "report" before reports were records, in each form that it had.
ON_FILE: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "reports_on_file.json").read_text(encoding="utf-8")
)


def test_every_type_of_report_is_that_of_one_agent_of_the_registry() -> None:
    """An agent may go without: what it says is then the reason alone."""
    known = [row.name for row in AGENTS if row.name in KINDS]
    assert list(KINDS) == known, "the fields of Reports in state/records/reports.py are agents, in the registry's order"
    assert len(set(KINDS.values())) == len(KINDS), "give each agent a record of its own"
    assert set(ON_FILE) <= set(KINDS)


@pytest.mark.parametrize("agent", KINDS)
def test_a_report_that_nobody_has_written_says_nothing(agent: str) -> None:
    blank = KINDS[agent]()
    said = {one.name: getattr(blank, one.name) for one in fields(blank)}
    assert [name for name, value in said.items() if value and value != type(value)()] == []
    assert fitted(KINDS[agent], {}) == (blank, ())


@pytest.mark.parametrize(("agent", "tree"), [(agent, tree) for agent, some in ON_FILE.items() for tree in some])
def test_a_report_of_before_is_read_whole_and_would_be_written_the_same(agent: str, tree: dict[str, Any]) -> None:
    read = agent_states.of_tree(agent, {"report": tree})
    assert read.wrong == ()
    kind = KINDS[agent] if tree else AgentReport
    report, _ = fitted(kind, tree)
    assert json.dumps(on_record(report)) == json.dumps(tree), "its fields, in their order"
    assert not tree or report == read.state.report


def test_a_state_file_of_before_is_read_whole_and_would_be_written_the_same() -> None:
    text = (Path(__file__).parent / "agent_state_on_file.json").read_text(encoding="utf-8")
    read = agent_states.of_tree("operation_hang_guard", json.loads(text))
    assert (read.wrong, read.is_there) == ((), True)
    assert len(read.state.actions_last_cycle) == len(read.state.verified_last_cycle) == 2
    assert json.dumps(on_record(read.state), indent=2) + "\n" == text


def test_a_field_that_does_not_fit_is_as_if_it_had_never_been_written() -> None:
    tree = {"lanes": 2, "fill_lanes": "many", "reason": None, "gpu_lanes": 1, "added_later": 7}
    read = agent_states.of_tree("util_controller", {"report": tree})
    assert read.state.report == ControllerReport(lanes=2, gpu_lanes=1)
    assert read.wrong == ("report.fill_lanes: 'many' is no int", "report.reason: None is no str")


@pytest.mark.parametrize("incident", [7, {"id": "x", "what": "y"}, {"id": 7, "what": "y", "remedy": "z"}])
def test_a_row_that_does_not_fit_takes_its_list_with_it_and_nothing_else(incident: Any) -> None:
    good = {"id": "disk_full", "what": "the disk is full", "remedy": "make room"}
    read = agent_states.of_tree("session_state_manager", {"report": {"stage": "idle", "incidents": [good, incident]}})
    assert read.state.report == ManagerReport(stage="idle")
    assert [one.partition(":")[0] for one in read.wrong] == ["report.incidents"]


@pytest.mark.parametrize("tree", ["x", 7, [], None])
def test_what_is_no_report_at_all_is_named_and_says_nothing(tree: Any) -> None:
    read = agent_states.of_tree("watchdog", {"report": tree})
    assert read.state.report == WatchdogReport()
    assert read.wrong == (f"report is {tree!r} and no object",)


def test_the_reports_name_the_runs_that_they_speak_of() -> None:
    reads = {
        "budget_guard": agent_states.of_tree("budget_guard", {"report": {"run_id": "bt-1"}}),
        "session_log": agent_states.of_tree("session_log", {"report": {"run_id": "bt-2"}}),
        "quant_analyst": agent_states.of_tree("quant_analyst", {"report": {"run_id": None}}),
    }
    assert agent_states.reports(reads).run_ids() == ("bt-2", "bt-1")
    assert Reports().run_ids() == ()


def test_an_agent_without_a_record_of_its_own_says_nothing() -> None:
    reads = {"newcomer": agent_states.of_tree("newcomer", {"report": {}})}
    assert agent_states.reports(reads) == Reports()
