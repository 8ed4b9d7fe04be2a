"""What an agent's state file holds, as types: the one place where it is read, by its agent and by everybody else.

A field that does not have its type is left out and named. The others go on without it, as they do when it was never
written; its agent keeps the damaged file beside a new one in its next cycle.
"""

import os
from collections.abc import Mapping
from typing import Any, cast

from config.record import dataclass, field, replace
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import fitted, fitting
from state.host.identity import Identity
from state.records.reports import KINDS, Report, Reports


@dataclass(frozen=True)
class Deed:
    """One action that was carried out, with its outcome; `holds` once the next cycle has looked."""

    kind: str
    target: str
    expected: str
    outcome: str
    at: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Counts:
    """One row of an agent's tally."""

    done: int
    failed: int
    held: int
    unmet: int
    unknown: int
    expected: str
    holds: bool | None = None


@dataclass(frozen=True)
class _State:
    """The fields of every agent's state file but its report; `memory` has a type of its own."""

    schema: int
    agent: str
    writer: Identity
    boot_id: str
    epoch: int
    loop: Identity | None
    cycle: int
    at: str
    at_s: float
    reason: str
    actions_last_cycle: tuple[Deed, ...]
    verified_last_cycle: tuple[Deed, ...]
    actions_before: tuple[Deed, ...]
    tally: dict[str, Counts]
    memory: dict[str, Any]


@dataclass(frozen=True)
class Read:
    """A state file as it was read: what fits, the report as the record of its agent, and what is wrong."""

    state: dict[str, Any] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loop:
    """Which process runs an agent's cycles, since when; why it goes on with older code, and why it ended."""

    identity: Identity | None = None
    began_s: float | None = None
    code_problem: str = ""
    ended: str = ""


def loop(roots: Roots, agent: str) -> tuple[Loop, tuple[str, ...]]:
    """The record of an agent's loop, and what is wrong with it; an empty one when there is none."""
    path = roots.loop(agent)
    tree = snapshot.read_json(path)
    if tree is None:
        return Loop(), ("it holds no JSON",) if os.path.lexists(path) else ()
    return fitted(Loop, tree)


def read(roots: Roots, agent: str) -> Read:
    """The state file of an agent; empty when there is none."""
    path = roots.agent_state(agent)
    tree = snapshot.read_json(path)
    if tree is None:
        return replace(of_tree(agent, {}), wrong=("it holds no JSON",) if os.path.lexists(path) else ())
    return of_tree(agent, tree)


def of_tree(agent: str, tree: Any) -> Read:
    """The same, of a tree that was read already."""
    state, wrong = fitting(_State, tree)
    report, more = fitted(KINDS.get(agent, Report), state.pop("report", {}), "report")
    return Read(state, report, (*wrong, *more))


def reported(roots: Roots, *agents: str) -> Reports:
    """What these agents say; of the others nothing is known."""
    return reports({agent: read(roots, agent) for agent in agents})


def reports(reads: Mapping[str, Read]) -> Reports:
    """The reports of the agents that were read; `reads`: by their names."""
    return Reports(**{agent: cast(Any, one.report) for agent, one in reads.items()})
