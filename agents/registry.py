"""The registry: every agent with its session and its cadence, and every monitor that people can look at."""

from importlib import import_module
from pathlib import Path
from typing import Any

from agents.model.decision import Agent
from agents.model.world import patience_s
from config.record import dataclass
from config.swarm import SwarmSettings
from state.files.layout import CHECKOUT, Roots
from state.host import process


@dataclass(frozen=True)
class Row:
    """One agent. `cadence_s` is the time between two cycles at scale 1. `advises`: nothing runs worse without it."""

    name: str
    session: str
    cadence_s: float
    does: str
    advises: bool = False

    def patience_s(self, limits: SwarmSettings) -> float:
        """How many seconds old its last cycle may be before the agent counts as stale."""
        return patience_s(self.cadence_s, limits)

    def load(self) -> Agent[Any]:
        """Import the agent's module and return its `AGENT`. Only a process that runs this agent pays for the import."""
        agent = import_module(f"agents.roles.{self.name}").AGENT
        assert isinstance(agent, Agent)
        return agent


@dataclass(frozen=True)
class Monitor:
    """A session that only shows something, with the view (`scripts/swarm/monitor.py`) that it draws."""

    session: str
    shows: str
    view: str


AGENTS: tuple[Row, ...] = (
    Row("watchdog", "bt-watchdog", 15, "samples the machine for all agents; writes down failures"),
    Row("worker_sentry", "bt-worker-sentry", 15, "starts, stops and adopts workers; ends hung ones"),
    Row("operation_hang_guard", "bt-operation-hang-guard", 20, "respawns sessions that are gone or no longer cycle"),
    Row("auto_scheduler", "bt-auto-scheduler", 20, "enqueues phases and rounds"),
    Row("util_controller", "bt-util-controller", 20, "sets how many lanes there are"),
    Row("session_state_manager", "bt-session-state", 20, "keeps incidents and next steps; watches the hang guard"),
    Row("orchestration_consensus", "bt-consensus", 30, "scores the swarm; settles contradictions", advises=True),
    Row("main_orchestrator", "bt-orchestrator", 30, "reasons over all reports; requests the next step", advises=True),
    Row("session_log", "bt-session-log", 30, "writes a line in each cycle, and keeps the latest"),
    Row("process_auditor", "bt-process-auditor", 60, "checks adherence and efficacy", advises=True),
    Row("curator", "bt-curator", 60, "keeps failures, knowledge, notes, outcomes", advises=True),
    Row("budget_guard", "bt-budget-guard", 120, "counts hours and dollars of work", advises=True),
    Row("quant_analyst", "bt-quant-analyst", 120, "summarises the results so far", advises=True),
    Row("hypothesis_runner", "bt-hypothesis-runner", 120, "keeps the ledger of hypotheses", advises=True),
)
# The rescue has no session and no cadence: any loop runs it when the two agents that respawn sessions are silent.
RESCUE = Row("rescue", "any loop", 0, "brings all sessions back when the hang guard and the state manager are silent")
MONITORS: tuple[Monitor, ...] = (
    Monitor("bt-worker-progress", "what every worker does, as bars", "progress"),
    Monitor("bt-worker-cpu-mon", "every core, and who uses it", "cpu"),
    Monitor("bt-worker-gpu-mon", "every GPU, what works on it or why nothing does", "gpu"),
    Monitor("bt-worker-log-index", "every log: size, age, last line; the newest first", "logs"),
)
SESSIONS: tuple[str, ...] = (*(row.session for row in AGENTS), *(monitor.session for monitor in MONITORS))


def at_work(limits: SwarmSettings) -> tuple[Row, ...]:
    """Return the agents that run under these settings: without `advisers`, those that only advise are left out."""
    return tuple(one for one in AGENTS if limits.agents.advisers or not one.advises)


def sessions(limits: SwarmSettings) -> tuple[str, ...]:
    """Return the names of the sessions that should exist under these settings, monitors included."""
    return (*(one.session for one in at_work(limits)), *(monitor.session for monitor in MONITORS))


def row(name: str) -> Row:
    """Return the row of the agent called `name`, the rescue included.

    Raises:
        KeyError: no agent has this name.
    """
    return {one.name: one for one in (*AGENTS, RESCUE)}[name]


def page() -> str:
    """Return the text of `AGENT_REGISTRY.md`. A test keeps the file equal."""
    roots = Roots.from_environment({})
    agents = "\n".join(
        f"| `{one.name}` | {_runs_in(one)} | `{roots.agent_state(one.name).name}` | "
        f"{', '.join(f'`{action.kind}`' for action in one.load().owns)} | {one.does} |"
        for one in (*AGENTS, RESCUE)
    )
    monitors = "\n".join(f"| `{one.session}` | {one.shows} |" for one in MONITORS)
    return (
        "# Agents\n\n"
        "Rendered from `agents/registry.py` by `python -m agents.registry`; a test keeps both equal.\n\n"
        "| agent | session | every | writes | owns | does |\n|---|---|---|---|---|---|\n" + agents + "\n\n"
        "| monitor | shows |\n|---|---|\n" + monitors + "\n"
    )


def _runs_in(one: Row) -> str:
    return f"{one.session} | when needed" if one is RESCUE else f"`{one.session}` | {one.cadence_s:g} s"


if __name__ == "__main__":
    process.begin()
    (Path(CHECKOUT) / "agents" / "AGENT_REGISTRY.md").write_text(page(), encoding="utf-8")
