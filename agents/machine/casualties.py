"""Find out which sessions were missing before they were started, since when, and why, for healing.jsonl."""

from collections.abc import Iterable, Mapping, Sequence

from agents.machine.observe import agents, workers
from agents.model.world import AgentView
from agents.registry import at_work
from config.record import dataclass
from config.swarm import SwarmSettings
from state.files.layout import Roots
from state.host import identity
from state.host.clock import Clock, stamp
from state.records import healing
from state.records.agent_states import loop as loop_of
from state.records.agent_states import read, reports
from state.records.healing import Record
from state.records.server import Server, recorded

_SENTRY = "bt-worker-sentry"
_ENDED = "it was ended"  # part of what `sessions.repair` returns when it ended a server


@dataclass(frozen=True)
class Before:
    """The swarm as it was before any repair: the recorded tmux server, and the agents by session.

    `cycled_at` maps a session to the wall time of its agent's last cycle, `ended` to the reason that its loop recorded
    when it ended. `answered_at` is when tmux last answered the hang guard, `at_work` holds the workers that run.
    """

    server: Server | None
    server_lives: bool
    views: Mapping[str, AgentView]
    cycled_at: Mapping[str, str]
    ended: Mapping[str, str]
    answered_at: str
    at_work: tuple[str, ...]


def look(roots: Roots, limits: SwarmSettings, clock: Clock) -> Before:
    """Read the swarm from files and /proc alone, which works whatever state tmux is in."""
    server = recorded(roots)
    rows = at_work(limits)
    states = {row.name: read(roots, row.name) for row in rows}
    loops = {row.session: loop_of(roots, row.name)[0] for row in rows}
    return Before(
        server=server,
        server_lives=server is not None and server.process is not None and identity.life_of(server.process) != "dead",
        views={view.session: view for view in agents(roots, limits, states, clock)},
        cycled_at={row.session: states[row.name].state.at for row in rows},
        ended={session: loop.ended for session, loop in loops.items() if loop.ended},
        answered_at=reports(states).operation_hang_guard.answered_at or "",
        at_work=tuple(one.launch.worker_id for one in workers(roots, clock.monotonic_s()) if one.life == "running"),
    )


def told(before: Before, started: Sequence[str], repaired: Sequence[str], by: str, clock: Clock) -> list[Record]:
    """Return the records about sessions that were started again and about a repaired server.

    A session that was never there, or not since a stop, was not lost, so it has no record.
    """
    at, server = stamp(clock.now()), before.server
    known = () if server is None or server.process is None else server.sessions
    # A session that this server never had on record was not lost: it is started for the first time.
    lost = [session for session in started if session in known]
    found = [one for text in repaired for one in _repaired(text, before, by, at)]
    # When the server is dead, its sessions get no records of their own: they have one cause and are one incident.
    if lost and not before.server_lives:
        found += _server_died(before, lost, by, at)
    elif not any(_ENDED in text for text in repaired):
        found += [one for session in lost for one in _session_lost(session, before, by)]
    return [*found, *_adopted(before, lost, by)]


def is_awaited(session: str, before: Before) -> bool:
    """Whether the session's agent was started before and has not cycled since."""
    view = before.views.get(session)
    return view is not None and view.awaited_s is not None


# records of healing ---------------------------------------------------------------------------------------------------


def _repaired(text: str, before: Before, by: str, at: str) -> Iterable[Record]:
    """Yield failure and remedy of a server that was stopped, silent, or without its socket."""
    since = before.answered_at
    yield healing.failure("tmux_hung", "tmux", text, since)
    yield healing.remedy("tmux_repaired", "tmux", by, text, healing.between_s(since, at))


def _server_died(before: Before, lost: Sequence[str], by: str, at: str) -> Iterable[Record]:
    """Yield failure and remedy of a dead server. It is one failure, however many sessions ended with the server."""
    since = max(before.cycled_at.values(), default="")
    process = None if before.server is None else before.server.process
    rebooted = process is not None and process.boot_id != identity.boot_id()
    event = "machine_rebooted" if rebooted else "tmux_died"
    what = "the machine was restarted" if rebooted else "the tmux server is dead: it was killed, or crashed"
    yield healing.failure(event, "tmux", what, since, sessions=list(lost))
    yield healing.remedy("tmux_respawned", "tmux", by, what, healing.between_s(since, at), sessions=len(lost))


def _session_lost(session: str, before: Before, by: str) -> Iterable[Record]:
    view = before.views.get(session)
    if view is None:
        what = "the session was closed, or its program ended"
        yield healing.failure("session_closed", session, what)
        yield healing.remedy("session_restarted", session, by, what, None)
        return
    event, what = _cause(view, before.ended.get(session, ""))
    since = before.cycled_at.get(session, "")
    yield healing.failure(event, view.agent, what, since, session=session)
    yield healing.remedy("agent_respawned", view.agent, by, what, view.age_s, session=session)


def _cause(view: AgentView, ended: str) -> tuple[str, str]:
    """Return the kind of failure, and the failure in words."""
    if view.awaited_s is not None:
        why = f": {ended}" if ended else ""
        return "agent_does_not_begin", f"it was started and has not cycled for {view.awaited_s:.0f} s{why}"
    if view.loop_life == "dead":
        return "agent_died", f"its loop ended by itself: {ended}" if ended else "its loop was killed, or crashed"
    if view.loop_life == "stopped":
        return "agent_hung", "its loop was stopped (state T)"
    if view.loop_life == "running" and view.age_s is not None:
        return "agent_hung", f"its loop was alive but had not cycled for {view.age_s:.0f} s, or its session was closed"
    return "agent_died", "nothing on record says what became of its loop"


def _adopted(before: Before, lost: Sequence[str], by: str) -> Iterable[Record]:
    """Yield the adoption of the running workers when the sentry was lost; workers belong to no pane, so they ran on."""
    if _SENTRY in lost and before.at_work:
        why = "worker_sentry was gone; its workers ran on, and the new one finds them by their records"
        view = before.views[_SENTRY]
        yield healing.remedy("workers_adopted", "worker_sentry", by, why, view.age_s, workers=list(before.at_work))
