"""Blows against a simulated swarm, two within a second, and what must be so afterwards."""

import errno
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from random import Random
from typing import Any

from agents import registry
from state.files import snapshot
from state.files.journal import Journal
from state.files.run_folders import RoundFolder
from state.records import healing
from state.records.jobs import PHASES, JobState, fold
from tests.agents.kernel import Process
from tests.agents.programs import Machine

_QUICK_S = 30.0  # cadence: who looks more seldom is back later than anybody waits
_QUICK = tuple(one for one in registry.AGENTS if one.cadence_s <= _QUICK_S)
_HOURS_S = 3 * 3600.0
_LONG_LINE_BYTES = 2_000_000
_LATE_TIMES = 1.1  # times its cadence: then an agent is late
_HOLD_S = (1.0, 5.0)  # how long a full disk stays full, and how long after `stop` somebody types start
_READY_S = 400.0  # for a worker to be in one certain phase
_STOPPED_S = 120.0
BOUND_S = 240.0


@dataclass(frozen=True)
class Blow:
    """`casualties` are those it ends itself, or may; `undo` ends what lasts."""

    casualties: tuple[Process, ...] = ()
    undo: Callable[[], None] | None = None


Strike = Callable[[Machine], Blow | None]  # None: there is nothing to break


# processes ------------------------------------------------------------------------------------------------------------


def _hit(machine: Machine, kind: str, number: int, choose: Callable[[list[Process]], list[Process]]) -> Blow | None:
    there = choose([one for one in machine.kernel.living(kind) if one.life == "R"])
    for one in there:
        machine.kernel.kill(one, number, "a blow")
    return Blow(tuple(there)) if there else None


def _agent(number: int, name: str | None = None) -> Strike:
    def strike(machine: Machine) -> Blow | None:
        def choose(there: list[Process]) -> list[Process]:
            named = [one for one in there if name in (None, one.name)]
            return machine.random.sample(named, 1) if named else []

        machine.continues = machine.random.random() < 0.5  # other versions of tmux leave alone what is stopped
        return _hit(machine, "loop", number, choose)

    return strike


def _worker_in(phase: str) -> Strike:
    return lambda machine: _hit(machine, "worker", signal.SIGKILL, lambda there: in_phase(machine, phase, there)[:1])


def in_phase(machine: Machine, phase: str, there: list[Process]) -> list[Process]:
    """Workers of that phase that have made progress."""
    beats = ((one, snapshot.read_json(machine.roots.heartbeat(one.name))) for one in there)
    return [one for one, beat in beats if isinstance(beat, dict) and beat["phase"] == phase and beat["beats"]]


def wrapper_killed(machine: Machine) -> Blow | None:
    at_work = {one.name for one in machine.kernel.living("worker")}
    return _hit(machine, "wrapper", signal.SIGKILL, lambda there: [one for one in there if one.name in at_work][:1])


def tmux_killed(machine: Machine) -> Blow | None:
    here = machine.server()
    panes = () if here is None else tuple(here.panes.values())
    blow = _hit(machine, "tmux", signal.SIGKILL, lambda there: there)
    return blow and Blow((*blow.casualties, *panes))


def tmux_stopped(machine: Machine) -> Blow | None:
    blow = _hit(machine, "tmux", signal.SIGSTOP, lambda there: there)
    return blow and Blow()  # it is to be continued, not ended


def socket_deleted(machine: Machine) -> Blow | None:
    here = machine.server()
    if here is None or here.unlinked:
        return None
    here.socket.unlink()
    here.unlinked = True
    return Blow()


# records --------------------------------------------------------------------------------------------------------------


def _debris(left: bytes) -> Strike:
    def strike(machine: Machine) -> Blow | None:
        journal = Journal(rounds(machine)[-1].jobs)
        if not journal.path.exists():
            return None
        with journal.path.open("ab", buffering=0) as file:
            file.write(left)
        return Blow()

    return strike


def _quick(machine: Machine) -> list[str]:
    return [one.name for one in _QUICK if machine.roots.agent_state(one.name).exists()]


def state_emptied(machine: Machine) -> Blow | None:
    agent = machine.random.choice(_quick(machine))
    os.truncate(machine.roots.agent_state(agent), 0)
    machine.cycled_s[agent] = 0.0  # its next cycle is waited for
    return Blow()


def state_of_another_run(machine: Machine) -> Blow | None:
    source, target = machine.random.sample(_quick(machine), 2)
    record = snapshot.read_json(machine.roots.agent_state(source))
    if not isinstance(record, dict) or machine.kernel.disk:
        return None
    path = machine.roots.agent_state(target)
    snapshot.write_json(path, {**record, "run_id": "bt-20200101_000000Z", "boot_id": "another", "epoch": 99})
    machine.cycled_s[target] = 0.0
    return Blow()


# surroundings ---------------------------------------------------------------------------------------------------------


def _disk(number: int) -> Strike:
    def strike(machine: Machine) -> Blow:
        def well() -> None:
            machine.kernel.disk = 0

        machine.kernel.disk = number
        return Blow((), well)

    return strike


def _jump(by_s: float) -> Strike:
    def strike(machine: Machine) -> Blow:
        machine.kernel.wall_off_s += by_s
        return Blow()

    return strike


def upgrade(machine: Machine) -> Blow:
    machine.kernel.versions["control"] += 1
    machine.kernel.versions["work"] += machine.random.random() < 0.3  # then what is not reported begins again
    return Blow()


def _typed(what: Callable[[Machine], None]) -> Strike:
    def strike(machine: Machine) -> Blow:
        what(machine)
        return Blow()

    return strike


STRIKES: Mapping[str, Strike] = {
    "agent killed": _agent(signal.SIGKILL),
    "agent stopped": _agent(signal.SIGSTOP),
    "guard killed": _agent(signal.SIGKILL, "operation_hang_guard"),
    "manager killed": _agent(signal.SIGKILL, "session_state_manager"),
    "wrapper killed": wrapper_killed,
    **{f"worker killed in {phase}": _worker_in(phase) for phase in PHASES},
    "tmux killed": tmux_killed,
    "tmux stopped": tmux_stopped,
    "socket deleted": socket_deleted,
    "journal torn": _debris(b'{"at":"2026-01-01T00:00:00.000Z","event":"sta'),
    "garbage in the journal": _debris(b"\0\0\0no record\xff\n"),
    "NUL bytes in the journal": _debris(b"\0" * 4_096 + b"\n"),
    "a long line in the journal": _debris(b"x" * _LONG_LINE_BYTES + b"\n"),
    "state file emptied": state_emptied,
    "state of another run": state_of_another_run,
    "disk full": _disk(errno.ENOSPC),
    "read-only": _disk(errno.EROFS),
    "clock forward": _jump(_HOURS_S),
    "clock back": _jump(-_HOURS_S),
    "stop": _typed(Machine.stop),
    "start": _typed(Machine.start),
    "ensure": _typed(Machine.ensure),
    "upgrade": upgrade,
}
_DISKS = {"disk full", "read-only"}
_OF_A_DISK = ("it cannot write", "it could not go on", "no sessions are left")
_LASTS = {*_DISKS, "stop"}
_TWICE_MEANS_NOTHING = ("disk full", "read-only", "stop")
PAIRS = tuple(
    pair
    for pair in combinations_with_replacement(STRIKES, 2)
    if pair[0] != pair[1] or pair[0] not in _TWICE_MEANS_NOTHING
)


# afterwards -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What became of one pair; `healed_s` None: it did not heal. `wrong`: what must not be, in words."""

    pair: tuple[str, str]
    healed_s: float | None
    healed_by: tuple[str, ...]
    wrong: tuple[str, ...]
    missed: int = 0  # blows that found nothing to break


@dataclass
class Ring:
    """A swarm that is hit, pair by pair."""

    machine: Machine
    random: Random
    rows: list[Row] = field(default_factory=list)
    _hit: set[Process] = field(default_factory=set)  # who may be gone
    _seen: int = 0  # of those that have ended

    def strike(self, pair: tuple[str, str], bound_s: float = BOUND_S) -> Row:
        """Both blows, in an order and at a distance that are drawn; then until everybody is well."""
        kernel, order = self.machine.kernel, self.random.sample(pair, 2)
        kernel.run(_READY_S, lambda: self.is_ready(pair))
        crashes, marks, began_s = len(self.machine.crashes), self._marks(), kernel.now_s
        blows: list[Blow | None] = []
        for name, wait_s in zip(order, (0.0, self.random.random()), strict=True):
            kernel.after(wait_s, lambda name=name: blows.append(STRIKES[name](self.machine)))  # type: ignore[misc]
        kernel.run(_STOPPED_S, lambda: len(blows) == 2)
        self._hit |= {one for blow in blows if blow is not None for one in blow.casualties}
        free_s = kernel.now_s
        if _LASTS & set(pair):
            kernel.run(self.random.uniform(*_HOLD_S))
            for blow in blows:
                if blow is not None and blow.undo is not None:
                    blow.undo()
            free_s = kernel.now_s
        wrong = list(self._stopped(pair)) if "stop" in pair else []
        is_healed = kernel.run(bound_s, lambda: not self.ails(began_s))
        wrong += [*self._strays(pair), *self.machine.crashes[crashes:]]
        wrong += [
            f"{state.job.job_id} {state.status}: {state.error_message}" for state in self.jobs() if _is_bad(state)
        ]
        by = tuple(sorted({str(r["by"]) for r in self._healings() if r["mark"] not in marks and r.get("by")}))
        if not is_healed:
            wrong.append(f"it does not heal: {self.ails(began_s)}")
        healed_s = round(kernel.now_s - free_s, 1) if is_healed else None
        self.rows.append(Row((order[0], order[1]), healed_s, by, tuple(wrong), blows.count(None)))
        return self.rows[-1]

    def is_ready(self, pair: tuple[str, str]) -> bool:
        """Whether there is something to break for both blows."""
        phases = [name.rpartition(" ")[2] for name in pair if name.startswith("worker")]
        there = self.machine.kernel.living("worker")
        if any(name == "wrapper killed" for name in pair) and not there:
            return False
        return all(len(in_phase(self.machine, phase, there)) >= phases.count(phase) for phase in phases)

    def _stopped(self, pair: tuple[str, str]) -> Iterator[str]:
        """`stop` leaves nobody until a start; one that could not be remembered is typed again, as it says."""
        kernel, machine = self.machine.kernel, self.machine
        if "start" not in pair:
            if not machine.roots.tombstone.exists():
                machine.stop()
            kernel.run(self.random.uniform(1.0, 90.0))
            left = (one for one in kernel.table.values() if one.lives)
            yield from (f"after stop there still was {one.kind} {one.name}" for one in left)
        self._hit |= set(kernel.ended[self._seen :])
        machine.start()

    def _strays(self, pair: tuple[str, str]) -> list[str]:
        """Who died since the last look without being meant: false kills, and workers that were there twice."""
        ended, self._seen = self.machine.kernel.ended[self._seen :], len(self.machine.kernel.ended)
        return [
            f"{one.kind} {one.name} was not meant and is gone: {one.why}" for one in ended if self._is_stray(one, pair)
        ]

    def _is_stray(self, one: Process, pair: tuple[str, str]) -> bool:
        if one in self._hit or one.kind in ("ensure", "other"):
            return False
        if one.kind == "wrapper" and one.name not in {two.name for two in self.machine.kernel.living("worker")}:
            return False
        if _DISKS & set(pair) and one.why in _OF_A_DISK:
            return False
        if one.kind == "worker" and ".refine." in one.name and one.number == signal.SIGTERM:
            return False  # what only fills a lane gives way
        return not (one.kind in ("worker", "wrapper", "keeper") and one.code in (0, 1))

    def ails(self, since_s: float) -> str:
        """What is not as it should be, nothing when all is well. Whoever has not cycled since then must not be late.

        Cheap looks first, because it is asked after every event.
        """
        machine, servers = self.machine, self.machine.kernel.living("tmux")
        here, now_s = machine.server(), machine.kernel.now_s
        if here is None or len(servers) != 1 or here.unlinked or here.process.life != "R":
            return f"{len(servers)} tmux servers, or one that nobody reaches"
        if gone := [name for name in registry.SESSIONS if name not in here.panes or here.panes[name].life != "R"]:
            return f"sessions that are gone or stopped: {', '.join(gone)}"
        if len(machine.kernel.living("keeper")) != 1:
            return f"{len(machine.kernel.living('keeper'))} keepers"
        began = {pane.name: pane.began_s for pane in here.panes.values()}
        for one in registry.AGENTS:
            at_s = machine.cycled_s.get(one.name, 0.0)
            if at_s < began[one.name] or (at_s < since_s and now_s - at_s > _LATE_TIMES * one.cadence_s):
                return f"{one.name} does not cycle"
        there = {one.name for one in machine.kernel.living("worker") if one.life == "R"}
        there |= {one.name for one in machine.kernel.living("wrapper")}  # its worker begins or has just ended
        lost = [s.job.job_id for s in self.jobs() if s.status == "running" and s.worker_id not in there]
        return f"jobs without their worker: {', '.join(lost)}" if lost else ""

    def jobs(self) -> list[JobState]:
        """Of the round under way."""
        return list(fold(Journal(rounds(self.machine)[-1].jobs).read().records).values())

    def _healings(self) -> tuple[dict[str, Any], ...]:
        return healing.recent(self.machine.roots)

    def _marks(self) -> set[str]:
        return {str(one["mark"]) for one in self._healings()}


def rounds(machine: Machine) -> list[RoundFolder]:
    """Of the run."""
    return machine.roots.swarm_run("bt-1").rounds()


def _is_bad(state: JobState) -> bool:
    return state.status in ("failed", "cancelled", "quarantined")


def completed_twice(records: tuple[Any, ...]) -> list[str]:
    """Jobs that a journal completes once more although they were complete."""
    twice = []
    for number, record in enumerate(records):
        if isinstance(record, dict) and record.get("event") == "completed":
            before = fold(records[:number]).get(str(record["job_id"]))
            if before is None or before.status == "completed":
                twice.append(str(record["job_id"]))
    return twice
