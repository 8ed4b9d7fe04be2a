"""Scenarios: JSON files that say in what situation an agent decides what, in as few words as the situation needs.

`tests/scenarios/<agent>/<situation>.json`:

    {"situation": "a sentence",
     "limits": {settings of the swarm that differ},
     "world": {what differs from a calm world; see `world_of`},
     "memory": {the agent's memory before},
     "expect": {"actions": [{"kind": …, "target": …, "arguments": {those that matter}}], "reason": "a part of it",
                "report": {what must be in it}},
     "then": [{"world": {differences from the step before}, "expect": …}, …]}

`actions` is the whole list in order; of each action, and of the report, only what is named is compared. The memory goes
on from step to step.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents import registry
from agents.model.decision import Decision
from agents.model.world import AgentView, Control, SessionView, Worker, World
from config.swarm import SwarmSettings
from state.files.tree import record_of, tree_of
from state.host.identity import boot_id
from state.records.jobs import Job, JobState
from state.records.report_parts import on_record
from state.records.reports import Reports
from state.records.screening import Screening
from state.records.workers import Exit, Launch, Result
from tests.agents.worlds import limits_with, sketch, world

FOLDER = Path(__file__).parent.parent / "scenarios"


@dataclass(frozen=True)
class Scenario:
    """One file."""

    path: Path
    tree: dict[str, Any]

    @property
    def agent(self) -> str:
        """Whose it is."""
        return self.path.parent.name

    @property
    def limits(self) -> SwarmSettings:
        """The settings it is decided under."""
        return limits_with(**self.tree.get("limits", {}))

    def steps(self) -> Iterator[tuple[World, Mapping[str, Any]]]:
        """World and expectation, step after step."""
        words = dict(self.tree.get("world", {}))
        yield world_of(words, self.limits), self.tree["expect"]
        for step in self.tree.get("then", ()):
            words |= step.get("world", {})
            yield world_of(words, self.limits), step["expect"]

    def decisions(self) -> Iterator[tuple[World, Decision[Any], Mapping[str, Any]]]:
        """What the agent decides in each step, beside what is expected."""
        agent = registry.row(self.agent).load()
        memory = record_of(agent.memory, self.tree.get("memory", {}))
        for here, expected in self.steps():
            decision = agent.decide(here, memory, self.limits)
            memory = decision.memory
            yield here, decision, expected


def every() -> list[Scenario]:
    """All of them."""
    return [Scenario(path, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(FOLDER.glob("*/*.json"))]


def world_of(words: Mapping[str, Any], limits: SwarmSettings) -> World:
    """A calm world (every agent fresh, two free lanes, a run of SOL and BTC) with these differences.

    Short forms: `jobs` are `{"id": "r0.SOL.aggressive.prescreen.0", "status": …}` (`shards` defaults to 1), `workers`
    `{"job": id, "epoch": 1, "lane": "cpu0", "life": "running", "done": …, "exit": {…}, "result": {…},
    "screening": {…}}`, `agents` the ones that differ, by name, `{"watchdog": {"age_s": 500}}`, or all of them under
    `everybody`; `sessions` those that are missing, `{"missing": […]}`, or null, and `sessions` of `control` likewise;
    `control` and `reports` what matters of what is said. Everything else is written as the record is.
    """
    tree = tree_of(world())
    tree |= {key: value for key, value in words.items() if key not in _SHORT}
    here = record_of(World, tree)
    sessions = None
    if words.get("sessions", {}) is not None:
        gone = words.get("sessions", {}).get("missing", ())
        sessions = tuple(SessionView(name, True, "root") for name in registry.sessions(limits) if name not in gone)
    monitors = [monitor.session for monitor in registry.MONITORS]
    control = {"monitors": monitors, **words.get("control", {})}
    if isinstance(seen := control.get("sessions"), Mapping):
        control["sessions"] = [s for row in registry.at_work(limits) if (s := row.session) not in seen["missing"]]
    return replace(
        here,
        jobs=tuple(_job_state(one) for one in words.get("jobs", ())),
        workers=tuple(_worker(one) for one in words.get("workers", ())),
        agents=tuple(_agents(words.get("agents", {}), limits)),
        sessions=sessions,
        control=sketch(Control, control),
        reports=sketch(Reports, words.get("reports", {})),
    )


_SHORT = ("jobs", "workers", "agents", "sessions", "control", "reports")


def is_in(expected: Any, found: Any) -> bool:
    """Whether everything that `expected` names is so in `found`."""
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(key in found and is_in(v, found[key]) for key, v in expected.items())
    if isinstance(expected, list):
        same_length = isinstance(found, list | tuple) and len(expected) == len(found)
        return same_length and all(is_in(one, other) for one, other in zip(expected, found, strict=True))
    return bool(expected == found)


def actions_of(decision: Decision[Any]) -> list[dict[str, Any]]:
    """Its actions as a scenario writes them."""
    return [action.on_record() for action in decision.actions]


def report_of(decision: Decision[Any]) -> dict[str, Any]:
    """Its report as a state file, and so a scenario, holds it."""
    return on_record(decision.report)


def _job(job_id: str, shards: int = 1, hand: bool = False) -> Job:
    number, symbol, mode, phase, shard = job_id.split(".")
    tree = {"round": int(number[1:]), "symbol": symbol, "mode": mode, "phase": phase}
    return record_of(Job, tree | {"shard": int(shard), "shards": shards, "hand": hand})


def _job_state(words: Mapping[str, Any]) -> JobState:
    rest = {key: value for key, value in words.items() if key not in ("id", "shards", "hand")}
    if rest.get("status") == "running":
        rest = {"epoch": 1, "worker_id": f"{words['id']}.e{rest.get('epoch', 1)}", "lane": "cpu0"} | rest
    return record_of(
        JobState, {"job": tree_of(_job(words["id"], words.get("shards", 1), words.get("hand", False))), **rest}
    )


def _worker(words: Mapping[str, Any]) -> Worker:
    epoch = words.get("epoch", 1)
    worker_id = f"{words['job']}.e{epoch}"
    launch = Launch(
        worker_id=worker_id,
        run_id=words.get("run_id", "bt-1"),
        job=_job(words["job"], words.get("shards", 1)),
        epoch=epoch,
        nonce="n",
        lane=words.get("lane", "cpu0"),
        cores=words.get("cores", 1),
        launched_at="",
        launched_at_s=0.0,
        boot_id=boot_id(),
        gpu=words.get("gpu", ""),
        ooms=words.get("ooms", 0),
    )
    records = ("exit", "result", "screening")
    rest = {k: v for k, v in words.items() if k in Worker.__dataclass_fields__ and k not in records}
    ended = (
        record_of(Exit, {"worker_id": worker_id, "code": None, "signal": None, **words["exit"]})
        if "exit" in words
        else None
    )
    result = None
    if "result" in words:
        result = record_of(Result, {"job_id": words["job"], "epoch": epoch, "status": "completed", **words["result"]})
    filled = {"life": "running", "age_s": 20.0, "silent_s": 1.0, "done": 10, "total": 100} | rest
    if "screening" in words:
        filled["screening"] = record_of(Screening, words["screening"])
    return Worker(launch=launch, exit=ended, result=result, **filled)


def _agents(words: Mapping[str, Any], limits: SwarmSettings) -> Iterator[AgentView]:
    for row in registry.at_work(limits):
        view = {"age_s": 3.0, "session_age_s": 900.0, "loop_age_s": 899.0, "loop_life": "running", "cycle": 9}
        view |= {"agent": row.name, "session": row.session, "cadence_s": row.cadence_s}
        view |= words.get("everybody", {}) | words.get(row.name, {})
        yield record_of(AgentView, view)
