"""A swarm of decisions only: agents that cycle by a simulated clock, deaths, and the effect of `ensure_sessions`.

The guard, the state manager and the rescue decide with their own code; everybody else only cycles, and looks at both
after each cycle, as a loop does. A death is a session that is gone at once, because a pane closes with its program.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.model.action import Action
from agents.model.world import AgentView, SessionView, World
from agents.registry import AGENTS, MONITORS
from agents.roles import operation_hang_guard, rescue, session_state_manager
from agents.rules.absent import GUARDS
from config.record import replace
from config.swarm import SwarmSettings
from tests.agents.worlds import LIMITS, world

ROWS = {row.name: row for row in AGENTS}
NAME_OF = {row.session: row.name for row in AGENTS}
MONITORED = frozenset(monitor.session for monitor in MONITORS)
_BEGIN_S = 1_000.0
_COMES_UP_S = 2.0  # for a loop's first cycle
_ENOUGH_S = 1_000.0  # nobody heals that late
_PURE = {"operation_hang_guard": operation_hang_guard, "session_state_manager": session_state_manager}


@dataclass
class Loop:
    """One agent's loop: `began_s` of its session, `cycled_s` of its last cycle."""

    name: str
    began_s: float
    cycled_s: float
    lives: bool = True
    hangs: bool = False


@dataclass
class Simulated:
    """A swarm in which all agents have just cycled, one after the other; time moves from cycle to cycle."""

    limits: SwarmSettings = LIMITS
    stopped: bool = False
    answers: bool = True  # whether tmux does
    now_s: float = _BEGIN_S
    loops: dict[str, Loop] = field(default_factory=dict)
    monitors: set[str] = field(default_factory=lambda: set(MONITORED))
    deeds: list[tuple[float, str, Action]] = field(default_factory=list)  # when, by whose loop, what
    memories: dict[str, Any] = field(default_factory=dict)
    _due: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memories = {
            **{name: module.Memory() for name, module in _PURE.items()},
            "rescue": rescue.Memory(),
        }
        for number, row in enumerate(AGENTS):
            phase_s = row.cadence_s * (number + 1) / (len(AGENTS) + 1)
            self.loops[row.name] = Loop(row.name, _BEGIN_S - 900.0, _BEGIN_S - row.cadence_s + phase_s)
            heapq.heappush(self._due, (_BEGIN_S + phase_s, row.name))

    # what happens -----------------------------------------------------------------------------------------------------

    def kill(self, names: Iterable[str]) -> None:
        """These loops are dead, and their sessions are gone."""
        for name in names:
            self.loops[name].lives = False

    def close(self, sessions: Iterable[str]) -> None:
        """These sessions are closed, whatever ran in them."""
        for session in sessions:
            self.monitors.discard(session)
            if session in NAME_OF:
                self.kill([NAME_OF[session]])

    @property
    def is_whole(self) -> bool:
        """Whether all agents live."""
        return self.monitors == MONITORED and all(loop.lives and not loop.hangs for loop in self.loops.values())

    def run(self, for_s: float = _ENOUGH_S) -> float | None:
        """Run cycle by cycle until all agents live; return the seconds, or None when that never happens."""
        began_s = self.now_s
        while not self.is_whole:
            if not self._due or self._due[0][0] > began_s + for_s:
                return None
            self.step()
        return self.now_s - began_s

    def step(self) -> None:
        """Run the next cycle that is due."""
        self.now_s, name = heapq.heappop(self._due)
        loop = self.loops[name]
        if not loop.lives:
            return  # whoever brings it back makes it due again
        heapq.heappush(self._due, (self.now_s + ROWS[name].cadence_s, name))
        if not loop.hangs:
            loop.cycled_s = self.now_s
            if name in _PURE:
                self._decide(name, name)
        if all(self._seems_silent(guard) for guard in GUARDS):
            self._decide("rescue", name)

    # what a cycle does ------------------------------------------------------------------------------------------------

    def _decide(self, agent: str, by: str) -> None:
        decide = rescue.decide if agent == "rescue" else _PURE[agent].decide
        decision = decide(self.world(), self.memories[agent], self.limits)  # type: ignore[arg-type]
        self.memories[agent] = decision.memory
        for action in decision.actions:
            if action.kind in ("ensure_sessions", "ensure_guard", "rescue_sessions"):
                self.deeds.append((self.now_s, by, action))
                self._ensure(None if action.target == "all" else [action.target], action.arguments["respawn"])

    def _ensure(self, only: list[str] | None, respawn: list[str]) -> None:
        """Do what `launcher.ensure_sessions` would do; a silent tmux is repaired, and no process is ended."""
        self.answers = True
        if only is None:
            self.monitors = set(MONITORED)
        for name, loop in self.loops.items():
            session = ROWS[name].session
            if (only is None or session in only) and (not loop.lives or session in respawn):
                self.loops[name] = Loop(name, self.now_s, loop.cycled_s)
                heapq.heappush(self._due, (self.now_s + _COMES_UP_S, name))

    def _seems_silent(self, name: str) -> bool:
        loop = self.loops[name]
        return not loop.lives or self.now_s - loop.cycled_s >= ROWS[name].patience_s(self.limits)

    def world(self) -> World:
        """What a cycle sees of it."""
        views = tuple(self._view(loop) for loop in self.loops.values())
        there = [ROWS[name].session for name, loop in self.loops.items() if loop.lives]
        sessions = tuple(SessionView(name, True, "root") for name in (*there, *sorted(self.monitors)))
        return replace(
            _CALM,
            now_s=self.now_s,
            stopped=self.stopped,
            agents=views,
            sessions=sessions if self.answers else None,
        )

    def _view(self, loop: Loop) -> AgentView:
        row, cycled_s = ROWS[loop.name], loop.cycled_s
        return AgentView(
            agent=row.name,
            session=row.session,
            cadence_s=row.cadence_s,
            age_s=self.now_s - cycled_s,
            session_age_s=self.now_s - loop.began_s,
            loop_age_s=self.now_s - loop.began_s,
            loop_life="running" if loop.lives else "dead",
            cycle=9,
        )


_CALM = world(order=None, control={"monitors": sorted(MONITORED)})


def healers(one: Simulated) -> Mapping[str, str]:
    """Kind of deed → the agent whose loop did it first."""
    found: dict[str, str] = {}
    for _, by, action in one.deeds:
        found.setdefault(action.kind, by)
    return found
