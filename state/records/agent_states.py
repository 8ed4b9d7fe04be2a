"""What an agent's state file holds, as types: the one place where it is read, by its agent and by everybody else.

A field that does not have its type is left out and named. The others go on without it, as they do when it was never
written; its agent keeps the damaged file beside a new one in its next cycle.
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
        """Whether it could not be carried out."""
        return self.outcome.startswith("failed: ")


@dataclass(frozen=True)
class Verified(Deed):
    """A deed that the next cycle has looked at; `holds`: whether its expectation came true (None: nobody can tell)."""

    holds: bool | None = None


@dataclass(frozen=True)
class Counts:
    """One row of an agent's tally: how often a kind of action was done, and what the next cycle found of it."""

    done: int
    failed: int
    held: int
    unmet: int
    unknown: int
    expected: str
    holds: bool | None = None


@dataclass(frozen=True)
class AgentState:
    """An agent's state file; each field has a default that stands for "not known". `memory` has a type of its own."""

    schema: int = 0
    agent: str = ""
    writer: Identity | None = None
    boot_id: str = ""
    epoch: int = 0
    loop: Identity | None = None
    cycle: int = 0
    at: str = ""
    at_s: float | None = None
    reason: str = ""
    actions_last_cycle: tuple[Deed, ...] = ()
    verified_last_cycle: tuple[Verified, ...] = ()
    actions_before: tuple[Deed, ...] = ()  # those of the last cycle that acted
    tally: dict[str, Counts] = field(default_factory=dict)  # by kind of action
    report: AgentReport = field(default_factory=AgentReport)
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """A state file as it was read: what fits, what is wrong with the rest, and whether it holds anything at all."""

    state: AgentState = field(default_factory=AgentState)
    wrong: tuple[str, ...] = ()
    is_there: bool = False


@dataclass(frozen=True)
class Loop:
    """Which process runs an agent's cycles, since when; why it goes on with older code, and why it ended."""

    identity: Identity | None = None
    began_s: float | None = None
    code_problem: str = ""
    ended: str = ""


def loop(roots: Roots, agent: str) -> tuple[Loop, tuple[str, ...]]:
    """The record of an agent's loop, and what is wrong with it; an empty one when there is none."""
    tree, is_damaged = snapshot.look(roots.loop(agent))
    if tree is None:
        return Loop(), ("it holds no JSON",) if is_damaged else ()
    return fitted(Loop, tree)


def read(roots: Roots, agent: str) -> Read:
    """The state file of an agent; empty when there is none."""
    tree, is_damaged = snapshot.look(roots.agent_state(agent))
    if tree is None:
        return replace(of_tree(agent, {}), wrong=("it holds no JSON",) if is_damaged else ())
    return of_tree(agent, tree)


def of_tree(agent: str, tree: Any) -> Read:
    """The same, of a tree that was read already."""
    kind = KINDS.get(agent, AgentReport)
    if not isinstance(tree, Mapping):
        _, wrong = fitted(AgentState, tree)
        return Read(AgentState(report=kind()), wrong)
    state, wrong = fitted(AgentState, {name: value for name, value in tree.items() if name != "report"})
    report, more = fitted(kind, tree.get("report", {}), "report")
    return Read(replace(state, report=report), (*wrong, *more), bool(tree))


def reported(roots: Roots, *agents: str) -> Reports:
    """What these agents say; of the others nothing is known."""
    return reports({agent: read(roots, agent) for agent in agents})


def reports(reads: Mapping[str, Read]) -> Reports:
    """The reports of the agents that were read; `reads`: by their names. An agent without a record says nothing."""
    return Reports(**{agent: cast(Any, one.state.report) for agent, one in reads.items() if agent in KINDS})
