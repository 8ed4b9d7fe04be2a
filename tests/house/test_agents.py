"""An agent is a module, a row of the registry and its scenarios; whatever else names agents is derived or rendered."""

from collections import Counter
from pathlib import Path

import pytest

from agents.registry import AGENTS, MONITORS, RESCUE, SESSIONS, row
from scripts.infra import pages
from state.files.layout import CHECKOUT

NAMES = [one.name for one in (*AGENTS, RESCUE)]
SCENARIOS = CHECKOUT / "tests" / "scenarios"


def modules() -> set[str]:
    return {path.stem for path in (CHECKOUT / "agents" / "roles").glob("*.py")} - {"__init__"}


def test_every_module_of_roles_has_its_row_in_the_registry_and_the_other_way_round() -> None:
    assert modules() - set(NAMES) == set(), "add a row for each of these to AGENTS in agents/registry.py"
    assert set(NAMES) - modules() == set(), "write a module of each name in agents/roles"


def test_names_and_sessions_are_given_once() -> None:
    assert [name for name, count in Counter(NAMES).items() if count > 1] == []
    assert [session for session, count in Counter(SESSIONS).items() if count > 1] == []
    assert [session for session in SESSIONS if not session.startswith("bt-")] == []
    assert len(SESSIONS) == len(AGENTS) + len(MONITORS)


@pytest.mark.parametrize("name", [one.name for one in AGENTS])
def test_every_agent_has_a_folder_of_scenarios(name: str) -> None:
    assert list((SCENARIOS / name).glob("*.json")), f"write situations into tests/scenarios/{name}/"


def test_every_folder_of_scenarios_belongs_to_an_agent() -> None:
    assert {path.name for path in SCENARIOS.iterdir() if path.is_dir()} - set(NAMES) == set(), "no agent is called so"


def test_no_scenario_lists_all_agents_by_hand() -> None:
    """Such a scenario would have to be changed for every new agent."""
    lists = []
    for path in sorted(SCENARIOS.glob("*/*.json")):
        text = path.read_text(encoding="utf-8")
        if sum(f'"{one.name}"' in text or f'"{one.session}"' in text for one in AGENTS) > len(AGENTS) * 2 // 3:
            lists.append(path.relative_to(SCENARIOS))
    assert lists == [], "say `everybody`, or which sessions are missing (tests/agents/scenarios.py)"


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_can_be_loaded_by_its_name(name: str) -> None:
    assert row(name).load().memory() is not None


@pytest.mark.parametrize("page", [page for page, _ in pages.PAGES], ids=str)
def test_a_page_is_what_the_code_renders(page: Path) -> None:
    rendered = dict(pages.PAGES)[page]()
    assert (CHECKOUT / page).read_text(encoding="utf-8") == rendered, "run: scripts/check --fix"
