"""An agent's answer: its actions, its new memory, its report, and the reason."""

from collections.abc import Callable
from typing import Generic, TypeVar

from agents.model.action import Action
from agents.model.world import World
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.records.reports import AgentReport

M = TypeVar("M")


@dataclass(frozen=True)
class Decision(Generic[M]):
    """What one cycle decides. `report` is what the agent's state file tells others. Doing nothing also has a reason."""

    memory: M
    reason: str
    actions: tuple[Action, ...] = ()
    report: AgentReport = field(default_factory=AgentReport)


@dataclass(frozen=True)
class Agent(Generic[M]):
    """A pure function, and what the runtime must know to run it."""

    memory: type[M]
    decide: Callable[[World, M, SwarmSettings], Decision[M]]
    owns: tuple[type[Action], ...]
    # parts of the world that are costly to look at, and that this agent asks for (`observe`)
    sees: frozenset[str] = frozenset()
    # kinds of actions that repeat each cycle and are no decision: no full record is kept for them
    routine: frozenset[type[Action]] = frozenset()
