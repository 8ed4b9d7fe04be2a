"""A real swarm with its advisers: they cycle, their documents grow, and a handoff is answered by the living curator."""

import json
from pathlib import Path

from agents import registry
from state.files import snapshot
from tests.tmux.swarm import LONG, Swarm

ADVISERS = [row.name for row in registry.AGENTS if row.advises]


def test_a_handoff_in_the_middle_of_a_run(swarm: Swarm, data: Path) -> None:
    swarm.environment["BACKTEST_OPTIMIZE__SWARM__AGENTS__ADVISERS"] = "true"
    swarm.launch(data, *LONG)
    for name in ADVISERS:
        swarm.wait(f"a cycle of {name}", lambda name=name: swarm.cycle(name))
    swarm.working("prescreen")
    loop = swarm.loop("curator")
    answer = json.loads(swarm.type("handoff", "--json").stdout)
    assert answer["knowledge_base"] == "1 added, 0 were there"
    assert swarm.loop("curator") == loop
    replays = [one for one in answer["evidence"] if one["what"].startswith("replay of")]
    assert {one["what"].split()[-1] for one in replays} >= {"worker_sentry", "curator", "main_orchestrator"}
    assert [one["what"] for one in replays if not one["passed"]] == []
    folder = swarm.roots.knowledge("")
    assert Path(answer["file"]).name in folder.findings.read_text()
    swarm.wait("notes", lambda: "- Stage: `" in folder.notes.read_text())
    swarm.wait("the ledger", swarm.roots.hypotheses.exists)
    swarm.stop()
    assert snapshot.read_json(swarm.roots.agent_state("process_auditor"))["report"]["adherence"] is not None
