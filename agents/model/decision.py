"""What an agent answers: its actions, its memory, and the reason."""

from collections.abc import Callable
from typing import Generic, TypeVar

from agents.model.action import Action
from agents.model.world import World
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.records.reports import Report

M = TypeVar("M")


@dataclass(frozen=True)
class Decision(Generic[M]):
    """`report` is what the agent's state file says to others; doing nothing has a reason too."""

    memory: M
    reason: str
    actions: tuple[Action, ...] = ()
    report: Report = field(default_factory=Report)


@dataclass(frozen=True)
class Agent(Generic[M]):
    """A pure function and what the runtime must know to run it."""

    memory: type[M]
    decide: Callable[[World, M, SwarmSettings], Decision[M]]
    owns: tuple[type[Action], ...]
    sees: frozenset[str] = frozenset()  # what costs something to look at: see observe
    routine: frozenset[type[Action]] = frozenset()  # kinds of actions that are no decision: a line a cycle
