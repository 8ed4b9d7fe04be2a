"""What the campaign breaks, how each injury shows in the records, and when all that it took away is back."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random
from typing import TypeVar

from agents import registry
from agents.machine import processes
from agents.machine.sessions import Tmux
from agents.registry import row
from agents.rules.absent import GUARDS
from scripts.lab.faults.private import Swarm
from state.files.journal import Journal
from state.files.run_folders import RoundFolder
from state.host import identity
from state.host.clock import SystemClock, stamp
from state.host.identity import Identity
from state.records.jobs import fold
from state.records.server import recorded
from state.records.workers import Launch

R = TypeVar("R")
_TMUX_S = 10.0  # for one call on a loaded machine
_EMPTIED_UP_TO_S = 60.0  # cadence: the state file of an agent that looks more seldom is back later than people wait


@dataclass(frozen=True)
class Injury:
    """One thing that was broken.

    `casualties`: worker ids and processes that the fault itself ends; whoever else dies is a false kill. `words`: what
    a record that has seen it says. `harm`: what it touched, lost or made somebody say falsely, in words; asked when it
    is healed, and once more after the last `stop`.
    """

    fault: str
    target: str
    words: tuple[str, ...]
    is_healed: Callable[[], bool]
    casualties: frozenset[str | Identity] = frozenset()
    undo: Callable[[], None] | None = None  # ends what lasts until somebody ends it, such as a full disk
    ends_everything: bool = False  # all of the swarm may end, whoever was started meanwhile included
    stops_writing: bool = False  # a worker that cannot save its work may leave, and says so in its log
    takes_a_phase: bool = False  # healing shows only when the next phase, or the next result, is done
    is_met: Callable[[], bool] = lambda: True  # whether somebody has run into what lasts, so that it can be undone
    harm: Callable[[], Sequence[str]] = tuple
    laid: frozenset[Path] = frozenset()  # files of somebody else, which stay
    excuses: tuple[str, ...] = ()  # what the journal says of a worker that left because of it, and did not die


class Dice:
    """Who is hit, the same for the same seed and the same choice: workers at random, agents each in turn."""

    def __init__(self, seed: int, agents: Sequence[str]) -> None:
        self._random = Random(seed)
        self._agents: Iterator[str] = cycle(self._random.sample(agents, len(agents)))

    def one_of(self, there: Sequence[R]) -> R:
        """Any of them."""
        return self._random.choice(there)

    def some_of(self, there: Sequence[R]) -> list[R]:
        """Each of them or not, as a coin falls."""
        return [one for one in there if self._random.random() < 0.5]

    def next_agent(self) -> str:
        """The one whose turn it is."""
        return next(self._agents)


Break = Callable[[Swarm, Dice], Injury | None]  # None: right now there is nothing to break


def monotonic_s() -> float:
    """The clock of all records' `at_s`."""
    return SystemClock().monotonic_s()


# workers --------------------------------------------------------------------------------------------------------------


def worker_killed(swarm: Swarm, dice: Dice) -> Injury | None:
    """Kill -9 one worker, whatever it is at."""
    return _worker("worker killed", swarm, dice, lambda _, worker: processes.send(worker, signal.SIGKILL))


def worker_and_wrapper_killed(swarm: Swarm, dice: Dice) -> Injury | None:
    """Kill -9 a worker and, first, the wrapper that would have said how it ended."""

    def both(launch: Launch, worker: Identity) -> bool:
        assert launch.wrapper is not None, "only launches with a wrapper on file are chosen"
        return processes.send(launch.wrapper, signal.SIGKILL) and processes.send(worker, signal.SIGKILL)

    return _worker("worker and wrapper killed", swarm, dice, both)


def _worker(fault: str, swarm: Swarm, dice: Dice, strike: Callable[[Launch, Identity], bool]) -> Injury | None:
    found = at_work(swarm, dice)
    if found is None or not strike(*found):
        return None
    launch = found[0]
    return Injury(
        fault,
        launch.worker_id,
        (launch.job.job_id,),
        lambda: goes_on(swarm, launch),
        frozenset({launch.worker_id}),
    )


def worker_stopped(swarm: Swarm, dice: Dice) -> Injury | None:
    """SIGSTOP one worker: it may be continued or replaced."""
    found = at_work(swarm, dice)
    beat = None if found is None else swarm.beat(found[0].worker_id)
    if found is None or beat is None or not processes.send(found[1], signal.SIGSTOP):
        return None
    (launch, worker), beats = found, beat.beats

    def runs_again() -> bool:
        now = swarm.beat(launch.worker_id)
        moved = now is not None and now.beats > beats and identity.life_of(worker) == "running"
        return moved or goes_on(swarm, launch)

    words = (launch.job.job_id,)
    return Injury("worker stopped", launch.worker_id, words, runs_again, frozenset({launch.worker_id}))


def at_work(swarm: Swarm, dice: Dice) -> tuple[Launch, Identity] | None:
    """A worker that has made progress, is not done yet, and whose wrapper is on file."""
    there = []
    for launch in swarm.launches():
        beat = swarm.beat(launch.worker_id)
        if beat is not None and launch.wrapper is not None and beat.beats > 0 and beat.done < beat.total:
            there.append((launch, beat.identity))
    return dice.one_of(there) if there else None


def goes_on(swarm: Swarm, old: Launch) -> bool:
    """Whether the job is done or a newer worker of it has made progress; or it waits, and its lane works on another."""
    state = swarm.jobs(old.job.round).get(old.job.job_id)
    if state is not None and state.status == "completed":
        return True
    waits = state is not None and state.may_start(monotonic_s())
    for one in swarm.launches():
        beat = swarm.beat(one.worker_id)
        is_newer = one.job == old.job and one.epoch > old.epoch
        took_over = waits and one.lane == old.lane and one.worker_id != old.worker_id
        if beat is not None and beat.beats > 0 and (is_newer or took_over):
            return True
    return False


# agents ---------------------------------------------------------------------------------------------------------------


def agent_killed(swarm: Swarm, dice: Dice) -> Injury | None:
    """Kill -9 the loop of one agent, over a campaign each in turn."""
    agent = dice.next_agent()
    loop = swarm.loop(agent)
    if loop is None or not processes.send(loop, signal.SIGKILL):
        return None
    return Injury(
        "agent killed",
        agent,
        (row(agent).session, f"agent_stale:{agent}"),
        new_loops_cycle(swarm, {agent: loop}),
        frozenset({loop}),
    )


def agent_stopped(swarm: Swarm, dice: Dice) -> Injury | None:
    """SIGSTOP the loop of one agent; tmux itself continues what stops in its panes."""
    agent = dice.next_agent()
    loop = swarm.loop(agent)
    if loop is None or not processes.send(loop, signal.SIGSTOP):
        return None
    struck_s = monotonic_s()

    def cycles() -> bool:
        now = swarm.loop(agent)
        return now is not None and identity.life_of(now) == "running" and swarm.cycled_at_s(agent) > struck_s

    words = (row(agent).session, f"agent_stale:{agent}")
    return Injury("agent stopped", agent, words, cycles, frozenset({loop}))


def all_agents_killed(swarm: Swarm, dice: Dice) -> Injury | None:
    """Kill -9 every loop: nobody is left to heal anybody."""
    there = ((agent, swarm.loop(agent)) for agent in swarm.agents())
    loops = {agent: loop for agent, loop in there if loop is not None and processes.send(loop, signal.SIGKILL)}
    if not loops:
        return None
    words = ("agent_died", "no_agents")
    healed = new_loops_cycle(swarm, loops)
    return Injury("all agents killed", f"{len(loops)} loops", words, healed, frozenset(loops.values()))


def guards_killed(swarm: Swarm, dice: Dice) -> Injury | None:
    """Kill -9 the two loops that bring others back, together."""
    return _some_killed("both guards killed", swarm, list(GUARDS), [])


def agents_and_sessions(swarm: Swarm, dice: Dice) -> Injury | None:
    """Kill -9 any set of loops and close any set of sessions; one loop is left."""
    left = dice.one_of(swarm.agents())
    agents = [name for name in dice.some_of(swarm.agents()) if name != left]
    sessions = [name for name in dice.some_of(registry.sessions(swarm.limits)) if name != row(left).session]
    return _some_killed("agents and sessions", swarm, agents, sessions)


def _some_killed(fault: str, swarm: Swarm, agents: Sequence[str], closed: Sequence[str]) -> Injury | None:
    """These loops killed, these sessions closed; the loops in them end with their pane."""
    hit = {name for name in swarm.agents() if name in agents or row(name).session in closed}
    loops = {name: loop for name in sorted(hit) if (loop := swarm.loop(name)) is not None}
    if not loops and not closed:
        return None
    healed = new_loops_cycle(swarm, loops)
    tmux = Tmux.of(swarm.roots, _TMUX_S)
    for name in agents:
        if name in loops:
            processes.send(loops[name], signal.SIGKILL)
    for session in closed:
        tmux.end(session)
    words = ("agent_died", "agent_hung", "session_closed", "is missing", "agent_stale")
    target = f"{len(agents)} loops, {len(closed)} sessions"
    return Injury(fault, target, words, healed, frozenset(loops.values()))


def state_emptied(swarm: Swarm, dice: Dice) -> Injury | None:
    """Cut the state file of one agent to nothing."""
    agent = dice.one_of([name for name in swarm.agents() if row(name).cadence_s <= _EMPTIED_UP_TO_S])
    path = swarm.roots.agent_state(agent)
    if not path.exists():
        return None
    struck_s = monotonic_s()
    os.truncate(path, 0)
    words = (f"{agent} cycle 1:",)
    return Injury("state file emptied", path.name, words, lambda: swarm.cycled_at_s(agent) > struck_s)


def new_loops_cycle(swarm: Swarm, old: dict[str, Identity]) -> Callable[[], bool]:
    """Whether each of these loops has a successor that has cycled since now, and every session is there."""
    struck_s = monotonic_s()

    def cycle() -> bool:
        for agent, loop in old.items():
            now = swarm.loop(agent)
            if now is None or now == loop or swarm.cycled_at_s(agent) < struck_s:
                return False
        return swarm.all_sessions_there()

    return cycle


# tmux -----------------------------------------------------------------------------------------------------------------


def server_killed(swarm: Swarm, dice: Dice) -> Injury | None:
    """Kill -9 the tmux server, and with it every pane; workers are none of its business."""
    server = swarm.server()
    loops = {agent: loop for agent in swarm.agents() if (loop := swarm.loop(agent)) is not None}
    if server is None or not processes.send(server, signal.SIGKILL):
        return None
    return Injury(
        "tmux server killed",
        f"pid {server.pid}",
        ("tmux_died",),
        new_loops_cycle(swarm, loops),
        frozenset({server, *loops.values()}),
    )


def server_stopped(swarm: Swarm, dice: Dice) -> Injury | None:
    """SIGSTOP the tmux server: every client hangs."""
    server = swarm.server()
    if server is None or not processes.send(server, signal.SIGSTOP):
        return None
    return Injury("tmux server stopped", f"pid {server.pid}", ("tmux gives no answer",), swarm.all_sessions_there)


def socket_deleted(swarm: Swarm, dice: Dice) -> Injury | None:
    """Remove the socket: the server lives on unseen."""
    server = recorded(swarm.roots)
    if server is None or not server.socket.exists():
        return None
    server.socket.unlink()
    words = ("is missing", "tmux gives no answer")
    return Injury("socket deleted", server.socket.name, words, swarm.all_sessions_there)


# records --------------------------------------------------------------------------------------------------------------


def journal_torn(swarm: Swarm, dice: Dice) -> Injury | None:
    """Leave half a record at the end of the job journal, as a writer does that is killed in mid-append."""
    return debris(swarm, "journal torn", b'{"at":"2026-01-01T00:00:00.000Z","event":"sta', ())


def journal_garbage(swarm: Swarm, dice: Dice) -> Injury | None:
    """Leave a whole line in the job journal that is no record."""
    return debris(swarm, "garbage in journal", b"\0\0\0no record\xff\n", ("bad_lines",))


def debris(swarm: Swarm, fault: str, left: bytes, words: tuple[str, ...]) -> Injury | None:
    """Healed: everything before it still counts, and what was appended after it does, too."""
    folder = swarm.round()
    if folder is None or not folder.jobs.exists():
        return None
    journal = Journal(folder.jobs)
    struck_at = stamp(SystemClock().now())
    done = _completed(_with_debris(journal, left))

    def goes_on() -> bool:
        data = folder.jobs.read_bytes()
        if not data.endswith(b"\n") or (left in data and not left.endswith(b"\n")):
            return False
        records = journal.read().records
        newest_at = max((str(record.get("at")) for record in records if isinstance(record, dict)), default="")
        return done <= _completed(records) and (newest_at > struck_at or _is_over(swarm, folder))

    return Injury(fault, f"round {folder.number}", words, goes_on)


def _completed(records: Sequence[object]) -> set[str]:
    return {job_id for job_id, state in fold(records).items() if state.status == "completed"}


def _is_over(swarm: Swarm, folder: RoundFolder) -> bool:
    """Whether the round has nothing more to write: a later one has begun."""
    now = swarm.round()
    return now is not None and now.number > folder.number


def _with_debris(journal: Journal, debris: bytes) -> tuple[object, ...]:
    """The records before. Debris comes from who held the lock and died, so it is written under it."""
    with journal.locked():
        records = journal.read().records
        with journal.path.open("ab", buffering=0) as file:
            file.write(debris)
    return records


FAULTS: dict[str, Break] = {
    "worker-killed": worker_killed,
    "agent-killed": agent_killed,
    "worker-stopped": worker_stopped,
    "server-killed": server_killed,
    "journal-torn": journal_torn,
    "agent-stopped": agent_stopped,
    "socket-deleted": socket_deleted,
    "worker-and-wrapper-killed": worker_and_wrapper_killed,
    "state-emptied": state_emptied,
    "server-stopped": server_stopped,
    "journal-garbage": journal_garbage,
    "all-agents-killed": all_agents_killed,
    "guards-killed": guards_killed,
    "agents-and-sessions": agents_and_sessions,
}
# In turn; workers and single agents come round more often, because there are more of them.
TURNS = (
    "worker-killed",
    "agent-killed",
    "worker-stopped",
    "server-killed",
    "agent-killed",
    "journal-torn",
    "worker-killed",
    "agent-stopped",
    "agent-killed",
    "socket-deleted",
    "worker-and-wrapper-killed",
    "agent-killed",
    "state-emptied",
    "server-stopped",
    "worker-killed",
    "agent-killed",
    "journal-garbage",
    "all-agents-killed",
    "guards-killed",
    "agents-and-sessions",
)
