"""The user's hooks in a real swarm: a refusal ends a unit, a broken hook is an incident, incidents are notified."""

import json
from pathlib import Path
from typing import Any

from state.files import snapshot
from tests.tmux.swarm import SMALL, Swarm


def hook(swarm: Swarm, point: str, name: str, text: str) -> Path:
    path = swarm.roots.hooks / point / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def incidents(swarm: Swarm) -> dict[str, dict[str, Any]]:
    state = snapshot.read_json(swarm.roots.agent_state("session_state_manager"))
    return {one["id"]: one for one in state["report"]["incidents"]} if isinstance(state, dict) else {}


def test_a_broken_gate_ends_its_unit_is_an_incident_and_is_told(swarm: Swarm, data: Path) -> None:
    told = swarm.roots.results / "told"
    hook(swarm, "on_incident", "tell", f"tr -d '\\n' >> {told}; echo >> {told}; sleep 600")
    gate = hook(swarm, "after_preflight", "judge", "kill -9 $$")
    swarm.launch(data, "--modes", "aggressive", *SMALL)
    assert "was ended by SIGKILL" in swarm.finished()["failed"]["SYNTHETIC aggressive"]
    gates = [event["gates"] for event in swarm.journal() if event["event"] == "failed"]
    assert [(one["path"], one["passed"], bool(one["fix"])) for one in gates[0]] == [(str(gate), False, True)]
    key = f"hook_broken:{gate}"
    swarm.wait("the incident", lambda: key in incidents(swarm))
    assert str(gate) in incidents(swarm)[key]["remedy"]
    swarm.wait("the hook to be told", lambda: told.exists() and told.read_text().count("\n") >= 1)
    record = json.loads(told.read_text().splitlines()[0])
    assert (record["point"], record["event"]) == ("on_incident", "incident_opened")
    cycle = swarm.cycle("session_state_manager")
    swarm.wait("cycles that wait for no hook", lambda: swarm.cycle("session_state_manager") >= cycle + 3)


def test_what_lies_wrong_in_a_folder_is_seen_before_any_job_and_gone_when_repaired(swarm: Swarm) -> None:
    left = hook(swarm, "after_validation", "draft", "exit 0")
    left.chmod(0o600)
    assert swarm.type("start").returncode == 0
    key = f"hook_broken:{left}"
    swarm.wait("the incident", lambda: key in incidents(swarm))
    assert f"chmod u+x {left}" in incidents(swarm)[key]["remedy"]
    assert swarm.type("health").returncode == 1
    left.chmod(0o700)
    swarm.wait("its end", lambda: key not in incidents(swarm))


def test_a_gate_that_says_no_ends_one_unit_and_the_others_go_on(swarm: Swarm, data: Path) -> None:
    hook(swarm, "after_validation", "picky", 'grep -q \'"mode": "balanced"\' && { echo not this one; exit 1; }; exit 0')
    swarm.launch(data, "--modes", "aggressive,balanced", *SMALL)
    failed = swarm.finished()["failed"]
    assert list(failed) == ["SYNTHETIC balanced"], failed
    assert "not this one" in failed["SYNTHETIC balanced"]
    assert not any(key.startswith("hook_broken") for key in incidents(swarm))
    tree = swarm.roots.results / "Backtests" / "optimizations" / "SYNTHETIC"
    assert (tree / "aggressive" / "run_manifest.json").exists()
    assert not (tree / "balanced" / "run_manifest.json").exists()


def test_a_unit_that_ends_after_its_prescreen_has_its_tries_on_the_ledger(swarm: Swarm, data: Path) -> None:
    hook(swarm, "after_prescreen", "no", "echo not this one; exit 1")
    swarm.launch(data, "--modes", "aggressive", *SMALL)
    assert "not this one" in swarm.finished()["failed"]["SYNTHETIC aggressive"]
    [ledger] = (swarm.roots.results / "tries").glob("*.jsonl")
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    combos = int(SMALL[SMALL.index("--prescreen") + 1])
    assert [(one["what"], one["tries"]) for one in entries] == [("prescreen", combos)]
