"""Respawn every session of the swarm that is gone or whose agent no longer cycles."""

import math
from collections.abc import Mapping

from agents.actions.records import AnswerRequest
from agents.actions.sessions import EnsureSessions
from agents.model.action import Action
from agents.model.decision import Agent, Decision
from agents.model.world import AgentView, World, patience_s
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.records.reports import GuardReport

_READS = 2  # looks at which an agent must be stale before its loop is ended
_CADENCE_S = 20.0  # of this agent, as in the registry


@dataclass(frozen=True)
class Memory:
    """For each session at how many looks in a row its agent was stale; a loop that exists is ended after two."""

    stale: Mapping[str, int] = field(default_factory=dict)
    answered_at: str = ""  # when tmux last answered


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Respawn missing sessions at once, and stale ones after two looks; answer the requests for it."""
    if world.stopped:
        return Decision(Memory(), "the operator stopped the swarm")
    stale = {
        view.session: memory.stale.get(view.session, 0) + 1
        for view in world.agents
        if view.agent != "operation_hang_guard" and view.is_stale(limits)
    }
    answered_at = memory.answered_at if world.sessions is None else world.now
    report = GuardReport(
        answered_at=answered_at or None,
        sessions=None if world.sessions is None else {s.name: s.alive for s in world.sessions},
        stale=tuple(sorted(stale)),
    )
    actions: list[Action] = [_answer(r.request_id) for r in world.requests if r.kind == "ensure_sessions"]
    if world.sessions is None:
        # Without an answer the sessions are unknown, and nothing unknown is ended. ensure_sessions tells a hung server
        # from a dead one.
        actions.append(EnsureSessions((), outside=True))
        return Decision(Memory(stale, answered_at), "tmux gives no answer", tuple(actions), report)
    # A missing session is proof, so it is started at once; a stale one may only be slow, so it is looked at twice.
    there = {s.name for s in world.sessions if s.alive}
    expected = {view.session for view in world.agents} | set(world.control.monitors)
    missing = sorted(expected - there)
    patience = {view.session: _looks(view, limits) for view in world.agents}
    respawn = sorted(session for session, times in stale.items() if times >= patience[session] and session in there)
    if missing or respawn or actions:
        what = ", ".join([f"{name} is missing" for name in missing] + [f"{name} is stale" for name in respawn])
        actions.append(EnsureSessions(tuple(respawn), outside=False))
        memory = Memory({k: v for k, v in stale.items() if k not in respawn}, answered_at)
        return Decision(memory, what or "asked to ensure", tuple(actions), report)
    return Decision(Memory(stale, answered_at), "all sessions are there", report=report)


def _looks(view: AgentView, limits: SwarmSettings) -> int:
    """Return at how many looks the agent must be stale before its loop is ended.

    Two are enough, unless the loop runs and only its state file cannot be read: its next cycle writes that file anew,
    so it gets as many looks as its patience lasts.
    """
    if not view.is_unreadable:
        return _READS
    return max(_READS, math.ceil(patience_s(view.cadence_s, limits) / (_CADENCE_S * limits.agents.cadence_scale)))


def _answer(request_id: str) -> Action:
    return AnswerRequest(request_id, done=True, reason="sessions ensured")


OWNS = (EnsureSessions, AnswerRequest)
AGENT = Agent(Memory, decide, OWNS, frozenset({"sessions"}))
