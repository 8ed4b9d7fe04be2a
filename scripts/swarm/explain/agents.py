"""Say why an agent acted or did not, and whether its session and its loop live: from its records and those of
the agents that heal it. A monitor has no records of its own, so the answer is about its session alone.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from agents.model.world import AgentView, World
from agents.registry import AGENTS, MONITORS, Monitor, Row, at_work
from agents.roles import session_state_manager as continuity
from config.errors import Refused
from config.swarm import SwarmSettings
from scripts.swarm import records
from scripts.swarm.explain import evidence
from scripts.swarm.explain.evidence import Evidence, Names
from scripts.swarm.show import span
from state.files.layout import Roots
from state.records import agent_states, healing, orders

_LOOKED_AT = 400  # cycles that are read, which are two hours of the quickest agent
_TOLD = 15  # entries to show; cycles in a row that decided the same are one entry
_NOTHING = "nothing"
_HEALING = (*healing.FAILURES, *healing.REMEDIES)
_ALL_BACK = "tmux_respawned"
_BACK = frozenset(healing.REMEDIES) - {"workers_adopted"}  # which brings no agent back, but its workers
_BY_DECISION = ("ensure_sessions", "ensure_guard")


@dataclass(frozen=True)
class Named:
    """What a typed name means: an agent with its session, or the session of a monitor."""

    session: str
    row: Row | None = None
    monitor: Monitor | None = None


def agent(name: str, limits: SwarmSettings) -> Named:
    """Return the agent of that name, or the agent whose session has that name.

    Raises:
        Refused: there is none; the way out names all agents, or the flag for what the name is.
    """
    row = next((one for one in AGENTS if _same(name, one.name, one.session)), None)
    if row is None:
        monitor = next((one for one in MONITORS if _same(name, one.session)), None)
        if monitor is not None:
            ask = f"scripts/backtest-optimize explain --session {monitor.session}"
            raise Refused(f"{name} is a monitor: it shows {monitor.shows} and decides nothing", ask)
        raise Refused(f"there is no agent {name!r}", _known(name, [one.name for one in AGENTS], "agents"))
    if row not in at_work(limits):
        raise Refused(
            f"{row.name} is not at work: the setting swarm.agents.advisers is false", "set it, and start again"
        )
    return Named(row.session, row)


def session(name: str, limits: SwarmSettings) -> Named:
    """Return the session of that name, or the session of the agent of that name.

    Raises:
        Refused: there is none; the way out names all sessions.
    """
    monitor = next((one for one in MONITORS if _same(name, one.session)), None)
    if monitor is not None:
        return Named(monitor.session, monitor=monitor)
    if any(_same(name, one.name, one.session) for one in AGENTS):
        return agent(name, limits)
    every = [*(one.session for one in at_work(limits)), *(one.session for one in MONITORS)]
    raise Refused(f"there is no session {name!r}", _known(name, every, "sessions"))


def _same(typed: str, *names: str) -> bool:
    """Whether the typed name means one of the names, with or without bt-, with hyphens or underscores."""
    return _plain(typed) in {_plain(name) for name in names}


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("bt-")


def _known(name: str, every: list[str], what: str) -> str:
    alike = [one for one in every if _plain(name) and _plain(name) in _plain(one)]
    alike = alike or get_close_matches(name, every, n=2, cutoff=0.6)
    meant = f"did you mean: {', '.join(alike)}; " if alike else ""
    return f"{meant}{what}: {', '.join(every)}"


# evidence -------------------------------------------------------------------------------------------------------------


def chain(roots: Roots, named: Named, world: World) -> list[Evidence]:
    """Return the agent's cycles, the outcome of its last actions, its loop and session, and what others did to it."""
    names = Names((named.session,) if named.row is None else (named.session, named.row.name))
    found = [*_of_session(named, world), *_of_healing(roots, names), *_of_healers(roots, names, named)]
    # What healing.jsonl says was read above; the watchdog's log only repeats it.
    found += [one for one in evidence.of_events(roots, names) if one.what.replace(" ", "_") not in _HEALING]
    found += evidence.of_requests(roots, names)
    if named.row is not None:
        found += [*_of_cycles(roots, named.row), *_of_state(roots, named.row), *_of_loop(roots, named.row, world)]
        found += evidence.of_log(roots.agent_log(named.row.name), "")
    return evidence.in_order(found)


def _of_cycles(roots: Roots, row: Row) -> Iterator[Evidence]:
    """Return the last cycles: each that acted, and cycles in a row that decided the same as one entry."""
    source = f"cycles/{roots.cycles(row.name).name}"
    routine = {one.kind for one in row.load().routine}
    idle = f"{_NOTHING} but its routine ({', '.join(sorted(routine))})" if routine else _NOTHING
    groups: list[list[dict[str, Any]]] = []
    for record in records.last_records(roots.cycles(row.name), _LOOKED_AT):
        last = groups[-1][-1] if groups else {}
        if groups and not _actions(record, routine) and not _actions(last, routine) and _like(record, last):
            groups[-1].append(record)
        else:
            groups.append([record])
    for group in groups[-_TOLD:]:
        last, first = group[-1], group[0]
        which = f"cycle {last.get('cycle')}"
        if len(group) > 1:
            which = f"cycles {first.get('cycle')} to {last.get('cycle')}, the first at {str(first.get('at'))[11:19]}"
        deeds = _actions(last, routine)
        what = ", ".join(f"{one.get('kind')} {one.get('target')}" for one in deeds[:3]) or idle
        more = f" and {len(deeds) - 3} more" if len(deeds) > 3 else ""
        yield Evidence(str(last.get("at", "")), row.name, f"{which}: {what}{more}", str(last.get("reason", "")), source)


def _actions(record: dict[str, Any], routine: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the actions of the cycle, without those that are the agent's routine. Short records hold none of these."""
    return [one for one in evidence.actions(record) if one["kind"] not in routine]


def _like(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return _wordless(one) == _wordless(other)


def _wordless(record: dict[str, Any]) -> str:
    """Return the reason without its numbers, for comparing two cycles."""
    return "".join(c for c in str(record.get("reason")) if not c.isdigit() and c != ".")


def _of_state(roots: Roots, row: Row) -> Iterator[Evidence]:
    """Return what the state file says, and the outcome of the actions of the cycle that wrote it."""
    path = roots.agent_state(row.name)
    read = agent_states.read(roots, row.name)
    if not read.is_there:
        what = "its state file is there but holds no state" if path.exists() else "it has no state file"
        yield Evidence("", row.name, what, "", path.name)
        return
    state = read.state
    many = f", by its process number {state.epoch}" if state.epoch > 1 else ""
    yield Evidence(state.at, row.name, f"writes {path.name}, cycle {state.cycle}{many}", "", path.name)
    for deed in state.actions_last_cycle:
        yield Evidence(state.at, row.name, f"did: {deed.kind} {deed.target}", deed.outcome, path.name)


def _of_loop(roots: Roots, row: Row, world: World) -> Iterator[Evidence]:
    view, process = _view(row, world), agent_states.loop(roots, row.name)[0].identity
    if view is not None and view.loop_age_s is not None and process is not None:
        what = f"its loop begins, pid {process.pid}; it is {view.loop_life} now"
        yield Evidence(evidence.around(world.now, -view.loop_age_s), row.name, what, "", f"loops/{row.name}.json")


def _of_session(named: Named, world: World) -> Iterator[Evidence]:
    view = None if named.row is None else _view(named.row, world)
    if view is not None and view.session_age_s is not None:
        at = evidence.around(world.now, -view.session_age_s)
        yield Evidence(at, "tmux", f"the session {named.session} begins", "", "swarm.json")
    yield Evidence(world.now, "tmux", f"{named.session} {_is_there(named, world)}", "", "asked now")


def _is_there(named: Named, world: World) -> str:
    if world.sessions is None:
        return "is unknown: tmux gave no answer"
    found = next((one for one in world.sessions if one.name == named.session), None)
    return "is not there" if found is None else "is there" if found.alive else "is there, and what ran in it has ended"


def _of_healing(roots: Roots, names: Names) -> Iterator[Evidence]:
    """Return when the agent or session was found dead, gone or hung, and what restarted it; deaths of tmux, too."""
    fell = False
    for record in records.records_with(roots.healing, (*names.all, _ALL_BACK)):
        event, at = str(record.get("event")), str(record.get("at", ""))
        if event not in _HEALING or not (_is_about(record, names) or (fell and event == _ALL_BACK)):
            continue
        # A restart of all sessions is recorded with their number only, so it counts when a death of tmux precedes it.
        fell = event in healing.FAILURES and record.get("id") == "tmux"
        if event in healing.FAILURES:
            alive = f"the last sign of life was at {str(record['since'])[11:19]}" if record.get("since") else ""
            yield Evidence(at, "found", f"{event.replace('_', ' ')}: {record.get('what')}", alive, roots.healing.name)
            continue
        for_s = record.get("for_s")
        is_known = isinstance(for_s, int | float) and abs(for_s) < 1e12
        after = f"; {for_s:.0f} s after its last sign of life" if is_known else ""
        what, why = event.replace("_", " "), f"{record.get('why')}{after}"
        yield Evidence(at, str(record.get("by")), what, why, roots.healing.name)


def _is_about(record: dict[str, Any], names: Names) -> bool:
    lost = record.get("sessions")
    return names.are_in(str(record.get("id")), *(map(str, lost) if isinstance(lost, list) else ()))


def _of_healers(roots: Roots, names: Names, named: Named) -> Iterator[Evidence]:
    """Return the decisions of other agents that name this agent or session, such as the one that respawned it."""
    for row in AGENTS:
        if row is named.row:
            continue
        path = roots.cycles(row.name)
        for record in records.decisions_with(path, names.all):
            deeds = _actions(record)
            if deeds and (
                names.are_in(str(record.get("reason", ""))) or any(evidence.is_about(a, names) for a in deeds)
            ):
                what = ", ".join(f"{one.get('kind')} {one.get('target')}" for one in deeds[:3])
                where = f"cycles/{path.name}"
                yield Evidence(str(record.get("at", "")), row.name, what, str(record.get("reason", "")), where)


def _view(row: Row, world: World) -> AgentView | None:
    return next((one for one in world.agents if one.agent == row.name), None)


# the answer -----------------------------------------------------------------------------------------------------------


def answer(roots: Roots, named: Named, world: World, limits: SwarmSettings, told: Iterable[Evidence]) -> str:
    """Return the answer: whether the agent lives, what it did last and why, and how it was last brought back."""
    there = _is_there(named, world)
    if world.stopped:
        who = orders.stopped(roots).by or "the operator"
        return f"{named.session} does not run: {who} stopped the swarm; type scripts/backtest-optimize start."
    if named.row is None:
        shows = "" if named.monitor is None else f"it shows {named.monitor.shows}"
        look = (
            f"scripts/backtest-optimize attach {named.session}"
            if there == "is there"
            else _remedy(named, world, limits)
        )
        return f"{named.session} {there}: {shows}; {look}."
    view = _view(named.row, world)
    if view is None or (view.loop_life == "unknown" and view.age_s is None):
        return f"{named.row.name} has never run here; scripts/backtest-optimize --parallel starts it."
    parts = [_lives(view, limits), f"{named.session} {there}", _last_deed(named.row, told), *_brought_back(told)]
    return "; ".join([*parts, *([_remedy(named, world, limits)] if view.is_wanting(limits) else [])]) + "."


def _brought_back(told: Iterable[Evidence]) -> list[str]:
    """Say which program brought the agent back last, when and why, if that is on file."""
    told = list(told)
    deeds = [one for one in told if one.what.replace(" ", "_") in _BACK]
    deeds = deeds or [one for one in told if one.what.startswith(_BY_DECISION)]
    return [f"{one.who} brought it back at {one.at[11:19]} UTC because {one.why}" for one in deeds[-1:]]


def _lives(view: AgentView, limits: SwarmSettings) -> str:
    every = f"every {view.cadence_s * limits.agents.cadence_scale:g} s"
    ago = "it has not cycled yet" if view.age_s is None else f"cycle {view.cycle} was {span(view.age_s)} ago"
    since = "" if view.loop_age_s is None else f" for {span(view.loop_age_s)}"
    if not view.is_wanting(limits):
        return f"{view.agent} cycles {every}: {ago}, its loop runs{since}"
    if view.loop_life == "running":
        return f"{view.agent} does not cycle, as it should {every}: {ago}, although its loop runs{since}"
    return f"{view.agent} does not cycle: its loop is {view.loop_life}, {ago}"


def _last_deed(row: Row, told: Iterable[Evidence]) -> str:
    mine = [one for one in told if one.who == row.name and one.what.startswith("cycle")]
    if not mine:
        return "there is no record of its cycles"
    last = mine[-1]
    did = last.what.partition(": ")[2]
    if did.startswith(_NOTHING):
        return f"it did {did} in its last cycle because: {last.why}"
    return f"its last cycle did {did} because: {last.why}"


def _remedy(named: Named, world: World, limits: SwarmSettings) -> str:
    """Return the remedy from the open incident about the agent, or else the guard, which owns all sessions."""
    found = continuity.incidents(world, limits)
    wanted = ("no_agents", "" if named.row is None else f"agent_stale:{named.row.name}")
    said = next((one.remedy for one in found if one.incident_id in wanted), "")
    return said or "operation_hang_guard brings it back, or: bash scripts/ensure_swarm_watchdogs.sh"
