"""The contents of agents' state files as types. This is the only place that reads them, for all readers.

A field with a value of a wrong type is left out and named, as if it had never been written. In its next cycle the agent
keeps the damaged file beside a new one.
"""

from collections.abc import Mapping
from typing import Any, cast

from config.record import dataclass, field, replace
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import fitted
from state.host.identity import Identity
from state.records.reports import KINDS, AgentReport, Reports


@dataclass(frozen=True)
class Deed:
    """One action that was carried out, with its outcome."""

    kind: str
    target: str
    expected: str
    outcome: str
    at: str = ""

    @property
    def has_failed(self) -> bool:
        """Whether the action could not be carried out."""
        return self.outcome.startswith("failed: ")


@dataclass(frozen=True)
class Verified(Deed):
    """An action that the next cycle has checked. `holds`: its expected outcome came true (None: unknown)."""

    holds: bool | None = None


@dataclass(frozen=True)
class Counts:
    """One row of an agent's tally: how often a kind of action was done or failed, and what the next cycles found.

    `held`, `unmet` and `unknown` count those checks; `holds` is the result of the last one (None: unknown, or not yet).
    """

    done: int
    failed: int
    held: int
    unmet: int
    unknown: int
    expected: str
    holds: bool | None = None


@dataclass(frozen=True)
class AgentState:
    """An agent's state file. Each field has a default that means "not known". The agent gives `memory` its type."""

    schema: int = 0
    agent: str = ""
    writer: Identity | None = None
    boot_id: str = ""
    epoch: int = 0  # the number of this writer among all writers of the file; not the epoch of a job
    loop: Identity | None = None
    cycle: int = 0
    at: str = ""
    at_s: float | None = None
    reason: str = ""
    actions_last_cycle: tuple[Deed, ...] = ()
    verified_last_cycle: tuple[Verified, ...] = ()
    actions_before: tuple[Deed, ...] = ()  # the actions of the last cycle that acted, until another one acts
    tally: dict[str, Counts] = field(default_factory=dict)  # by kind of action
    report: AgentReport = field(default_factory=AgentReport)
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """A state file as it was read: the fields that fit, what is wrong with others, and whether it holds anything."""

    state: AgentState = field(default_factory=AgentState)
    wrong: tuple[str, ...] = ()
    is_there: bool = False


@dataclass(frozen=True)
class Loop:
    """The process that runs an agent's cycles, since when (monotonic), why it runs older code, and why it ended."""

    identity: Identity | None = None
    began_s: float | None = None
    code_problem: str = ""
    ended: str = ""


def loop(roots: Roots, agent: str) -> tuple[Loop, tuple[str, ...]]:
    """Return the record of an agent's loop, and what is wrong with it; an empty record when there is none."""
    tree, is_damaged = snapshot.look(roots.loop(agent))
    if tree is None:
        return Loop(), ("it holds no JSON",) if is_damaged else ()
    return fitted(Loop, tree)


def read(roots: Roots, agent: str) -> Read:
    """Read the state file of an agent; it is empty when there is none."""
    tree, is_damaged = snapshot.look(roots.agent_state(agent))
    if tree is None:
        return replace(of_tree(agent, {}), wrong=("it holds no JSON",) if is_damaged else ())
    return of_tree(agent, tree)


def of_tree(agent: str, tree: Any) -> Read:
    """Read the state of an agent from a value that was already read from its file."""
    kind = KINDS.get(agent, AgentReport)
    if not isinstance(tree, Mapping):
        _, wrong = fitted(AgentState, tree)
        return Read(AgentState(report=kind()), wrong)
    state, wrong = fitted(AgentState, {name: value for name, value in tree.items() if name != "report"})
    report, more = fitted(kind, tree.get("report", {}), "report")
    return Read(replace(state, report=report), (*wrong, *more), bool(tree))


def reported(roots: Roots, *agents: str) -> Reports:
    """Read the reports of these agents; the reports of the others have their defaults."""
    return reports({agent: read(roots, agent) for agent in agents})


def reports(reads: Mapping[str, Read]) -> Reports:
    """Return the reports of the agents in `reads`, which holds state files by the agents' names.

    An agent that writes no report for others is left out.
    """
    return Reports(**{agent: cast(Any, one.state.report) for agent, one in reads.items() if agent in KINDS})
