"""Every situation on file is decided as written there, and the same way twice; replays give the same bytes."""

import json
from dataclasses import asdict

import pytest

from agents import registry
from state.files import codec
from state.files.tree import fitted, record_of, tree_of
from state.records.report_parts import on_record
from state.records.reports import KINDS, AgentReport
from tests.agents import scenarios
from tests.agents.scenarios import Scenario

ALL = scenarios.every()
MANY = 8  # situations, for every agent that acts


@pytest.mark.parametrize("scenario", ALL, ids=[f"{one.agent}-{one.path.stem}" for one in ALL])
def test_it_decides_as_the_situation_asks(scenario: Scenario) -> None:
    for number, (_, decision, expected) in enumerate(scenario.decisions()):
        told = json.dumps(asdict(decision), indent=1, default=str)
        where = f"{scenario.tree['situation']} (step {number})\n{told}"
        assert scenarios.is_in(expected["actions"], scenarios.actions_of(decision)), where
        assert expected.get("reason", "") in decision.reason, where
        assert scenarios.is_in(expected.get("report", {}), scenarios.report_of(decision)), where


@pytest.mark.parametrize("scenario", ALL, ids=[f"{one.agent}-{one.path.stem}" for one in ALL])
def test_a_world_that_went_through_a_file_is_decided_the_same(scenario: Scenario) -> None:
    agent = registry.row(scenario.agent).load()
    memory = record_of(agent.memory, scenario.tree.get("memory", {}))
    for here, expected in scenario.steps():
        assert expected is not None
        first = agent.decide(here, memory, scenario.limits)
        recorded = codec.decode(codec.encode({"world": tree_of(here), "memory": tree_of(memory)}))
        again = agent.decide(
            record_of(type(here), recorded["world"]), record_of(agent.memory, recorded["memory"]), scenario.limits
        )
        assert codec.encode(asdict(first)) == codec.encode(asdict(again))
        memory = first.memory


@pytest.mark.parametrize("scenario", ALL, ids=[f"{one.agent}-{one.path.stem}" for one in ALL])
def test_what_is_reported_is_of_the_agents_type_and_is_read_as_it_was_said(scenario: Scenario) -> None:
    for _, decision, _ in scenario.decisions():
        assert type(decision.report) in (KINDS.get(scenario.agent), AgentReport), (
            f"name the record of this report, as {scenario.agent}, in Reports of state/records/reports.py"
        )
        said = codec.decode(codec.encode(on_record(decision.report)))
        assert fitted(type(decision.report), said) == (decision.report, ())


@pytest.mark.parametrize("name", [row.name for row in registry.AGENTS])
def test_every_agent_has_its_situations(name: str) -> None:
    owned = {kind.kind for kind in registry.row(name).load().owns}
    mine = [one for one in ALL if one.agent == name]
    wanted = MANY if owned else 1
    assert len(mine) >= wanted, f"write {wanted} situations at least into tests/scenarios/{name}/"
    seen = {action["kind"] for one in mine for step in one.steps() for action in step[1]["actions"]}
    assert owned <= seen, f"no situation in which {name} does {owned - seen}"
    assert any(not step[1]["actions"] for one in mine for step in one.steps()), (
        f"no situation in which {name} does nothing"
    )
