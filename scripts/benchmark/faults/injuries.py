"""What the campaign breaks, how each injury shows in the records, and when all that it took away is back."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import TypeVar

from agents.machine import processes
from agents.registry import row
from scripts.benchmark.faults.private import Swarm
from state import identity
from state.clock import SystemClock
from state.identity import Identity
from state.journal import Journal
from state.server import recorded
from state.workers import Launch

R = TypeVar("R")
_EMPTIED_UP_TO_S = 60.0  # cadence: the state file of an agent that looks more seldom is back later than people wait


@dataclass(frozen=True)
class Injury:
    """One thing that was broken.

    `casualties`: worker ids and processes that the fault itself ends; whoever else dies is a false kill. `words`: what
    a record that has seen it says. `by_keeper`: nobody of the swarm is left who could heal it.
    """

    fault: str
    target: str
    words: tuple[str, ...]
    is_healed: Callable[[], bool]
    casualties: frozenset[str | Identity] = frozenset()
    by_keeper: bool = False


class Dice:
    """Who is hit, the same for the same seed and the same choice: workers at random, agents each in turn."""

    def __init__(self, seed: int, agents: Sequence[str]) -> None:
        self._random = Random(seed)
        self._agents: Iterator[str] = cycle(self._random.sample(agents, len(agents)))

    def one_of(self, there: Sequence[R]) -> R:
        """Any of them."""
        return self._random.choice(there)

    def next_agent(self) -> str:
        """The one whose turn it is."""
        return next(self._agents)


Break = Callable[[Swarm, Dice], Injury | None]  # None: right now there is nothing to break


def _monotonic_s() -> float:
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
    found = _one_at_work(swarm, dice)
    if found is None or not strike(*found):
        return None
    launch = found[0]
    return Injury(
        fault,
        launch.worker_id,
        (launch.job.job_id,),
        lambda: _goes_on(swarm, launch),
        frozenset({launch.worker_id}),
    )


def worker_stopped(swarm: Swarm, dice: Dice) -> Injury | None:
    """SIGSTOP one worker: it may be continued or replaced."""
    found = _one_at_work(swarm, dice)
    beat = None if found is None else swarm.beat(found[0].worker_id)
    if found is None or beat is None or not processes.send(found[1], signal.SIGSTOP):
        return None
    (launch, worker), beats = found, beat.beats

    def runs_again() -> bool:
        now = swarm.beat(launch.worker_id)
        moved = now is not None and now.beats > beats and identity.life_of(worker) == "running"
        return moved or _goes_on(swarm, launch)

    words = (launch.job.job_id,)
    return Injury("worker stopped", launch.worker_id, words, runs_again, frozenset({launch.worker_id}))


def _one_at_work(swarm: Swarm, dice: Dice) -> tuple[Launch, Identity] | None:
    """A worker that has made progress, is not done yet, and whose wrapper is on file."""
    there = []
    for launch in swarm.launches():
        beat = swarm.beat(launch.worker_id)
        if beat is not None and launch.wrapper is not None and beat.beats > 0 and beat.done < beat.total:
            there.append((launch, beat.identity))
    return dice.one_of(there) if there else None


def _goes_on(swarm: Swarm, old: Launch) -> bool:
    """Whether the job is done or a newer worker of it has made progress; or it waits, and its lane works on another."""
    state = swarm.jobs(old.job.round).get(old.job.job_id)
    if state is not None and state.status == "completed":
        return True
    waits = state is not None and state.may_start(_monotonic_s())
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
        _new_loops_cycle(swarm, {agent: loop}),
        frozenset({loop}),
    )


def agent_stopped(swarm: Swarm, dice: Dice) -> Injury | None:
    """SIGSTOP the loop of one agent; tmux itself continues what stops in its panes."""
    agent = dice.next_agent()
    loop = swarm.loop(agent)
    if loop is None or not processes.send(loop, signal.SIGSTOP):
        return None
    struck_s = _monotonic_s()

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
    words = ("keeper: started", "no_agents")
    healed = _new_loops_cycle(swarm, loops)
    return Injury("all agents killed", f"{len(loops)} loops", words, healed, frozenset(loops.values()), by_keeper=True)


def state_emptied(swarm: Swarm, dice: Dice) -> Injury | None:
    """Cut the state file of one agent to nothing."""
    agent = dice.one_of([name for name in swarm.agents() if row(name).cadence_s <= _EMPTIED_UP_TO_S])
    path = swarm.roots.agent_state(agent)
    if not path.exists():
        return None
    struck_s = _monotonic_s()
    os.truncate(path, 0)
    words = (f"{agent} cycle 1:",)
    return Injury("state file emptied", path.name, words, lambda: swarm.cycled_at_s(agent) > struck_s)


def _new_loops_cycle(swarm: Swarm, old: dict[str, Identity]) -> Callable[[], bool]:
    struck_s = _monotonic_s()

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
        ("keeper: started",),
        _new_loops_cycle(swarm, loops),
        frozenset({server, *loops.values()}),
        by_keeper=True,
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
    return _debris(swarm, "journal torn", b'{"at":"2026-01-01T00:00:00.000Z","event":"sta', ())


def journal_garbage(swarm: Swarm, dice: Dice) -> Injury | None:
    """Leave a whole line in the job journal that is no record."""
    return _debris(swarm, "garbage in journal", b"\0\0\0no record\xff\n", ("bad_lines",))


def _debris(swarm: Swarm, fault: str, debris: bytes, words: tuple[str, ...]) -> Injury | None:
    """Healed: everything before it still counts, and what was appended after it does, too."""
    folder = swarm.round()
    if folder is None or not folder.jobs.exists():
        return None
    journal = Journal(folder.jobs)
    before = len(_with_debris(journal, debris))

    def goes_on() -> bool:
        data = folder.jobs.read_bytes()
        if not data.endswith(b"\n"):
            return False
        return len(journal.read().records) > before and (debris.endswith(b"\n") or debris not in data)

    return Injury(fault, f"round {folder.number}", words, goes_on)


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
}
# In turn; workers and single agents come round more often, because there are more of them.
TURNS = (
    *("worker-killed", "agent-killed", "worker-stopped", "server-killed", "agent-killed", "journal-torn"),
    *("worker-killed", "agent-stopped", "agent-killed", "socket-deleted", "worker-and-wrapper-killed", "agent-killed"),
    *("state-emptied", "server-stopped", "worker-killed", "agent-killed", "journal-garbage", "all-agents-killed"),
)
