"""Faults around the swarm: its disk, its records, the operator, an upgrade."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from agents.machine import processes
from agents.registry import row
from scripts.lab.faults.injuries import FAULTS as SINGLE
from scripts.lab.faults.injuries import (
    Break,
    Dice,
    Injury,
    at_work,
    debris,
    goes_on,
    monotonic_s,
    new_loops_cycle,
)
from scripts.lab.faults.private import Swarm
from state.files import snapshot
from state.host import identity
from state.host.identity import Identity
from state.records.workers import Launch

_LONG_LINE_BYTES = 100 * 2**20
# Only agents load this module, so results and compiled kernels stay the same.
_UPGRADED = Path("agents") / "rules" / "hang.py"
_FILLER = "filler"
_FILLS = 20  # tries to take the remaining space while other processes write
_LEFT_BYTES = 65_536  # bytes left on a disk that counts as full: too few for a snapshot, enough for the file system


# agents ---------------------------------------------------------------------------------------------------------------


def _killed(agent: str) -> Break:
    def strike(swarm: Swarm, dice: Dice) -> Injury | None:
        loop = swarm.loop(agent)
        if loop is None or not processes.send(loop, signal.SIGKILL):
            return None
        words = (row(agent).session, f"agent_stale:{agent}")
        return Injury(f"{agent} killed", agent, words, new_loops_cycle(swarm, {agent: loop}), frozenset({loop}))

    return strike


# workers --------------------------------------------------------------------------------------------------------------


def wrapper_killed(swarm: Swarm, dice: Dice) -> Injury | None:
    """Kill -9 the wrapper of one worker; the worker itself goes on or is replaced."""
    found = at_work(swarm, dice)
    if found is None or found[0].wrapper is None or not processes.send(found[0].wrapper, signal.SIGKILL):
        return None
    launch, worker = found
    beat = swarm.beat(launch.worker_id)
    beats = 0 if beat is None else beat.beats

    def is_healed() -> bool:
        now = swarm.beat(launch.worker_id)
        moved = now is not None and now.beats > beats and identity.life_of(worker) == "running"
        return moved or goes_on(swarm, launch)

    casualties = frozenset({launch.worker_id})
    return Injury("wrapper killed", launch.worker_id, (launch.job.job_id,), is_healed, casualties)


def _worker_killed_in(phase: str) -> Break:
    def strike(swarm: Swarm, dice: Dice) -> Injury | None:
        there = in_phase(swarm, phase)
        launch, worker = dice.one_of(there) if there else (None, None)
        if launch is None or worker is None or not processes.send(worker, signal.SIGKILL):
            return None
        casualties = frozenset({launch.worker_id})
        fault = f"worker killed in {phase}"
        return Injury(fault, launch.worker_id, (launch.job.job_id,), lambda: goes_on(swarm, launch), casualties)

    return strike


def in_phase(swarm: Swarm, phase: str) -> list[tuple[Launch, Identity]]:
    """Return the live workers of that phase, from their first heartbeat on."""
    beats = ((one, swarm.beat(one.worker_id)) for one in swarm.launches() if one.job.phase == phase and one.wrapper)
    return [(one, beat.identity) for one, beat in beats if beat and identity.life_of(beat.identity) != "dead"]


# records --------------------------------------------------------------------------------------------------------------


def journal_nul(swarm: Swarm, dice: Dice) -> Injury | None:
    """Append a block of NUL bytes to the job journal, as some file systems do after a power cut."""
    return debris(swarm, "NUL bytes in journal", b"\0" * 4_096 + b"\n", ("bad_lines",))


def journal_long_line(swarm: Swarm, dice: Dice) -> Injury | None:
    """Append one line of 100 MB to the job journal."""
    return debris(swarm, "a line of 100 MB in journal", b"x" * _LONG_LINE_BYTES + b"\n", ("bad_lines",))


def state_of_another_run(swarm: Swarm, dice: Dice) -> Injury | None:
    """Put the state of one agent in the place of another's, like a person who restores a backup by hand."""
    agents = [name for name in swarm.agents() if row(name).cadence_s <= 30]
    target, source = (swarm.roots.agent_state(dice.one_of(agents)) for _ in range(2))
    if target == source or not source.exists() or not target.exists():
        return None
    agent = next(name for name in agents if swarm.roots.agent_state(name) == target)
    struck_s = monotonic_s()
    record = snapshot.read_json(source)
    if not isinstance(record, dict):
        return None
    snapshot.write_json(target, {**record, "run_id": "bt-20200101_000000Z", "boot_id": "another", "epoch": 99})
    words = (f"{agent} cycle", f"agent_stale:{agent}")

    def is_its_own_again() -> bool:
        now = snapshot.read_json(target)
        return isinstance(now, dict) and now.get("epoch") != 99 and swarm.cycled_at_s(agent) > struck_s

    return Injury("state of another run", target.name, words, is_its_own_again)


# disk -----------------------------------------------------------------------------------------------------------------


def disk_full(swarm: Swarm, dice: Dice) -> Injury | None:
    """Fill the disk of the roots to the last block; the campaign later removes the filler."""
    if not swarm.is_mounted:
        return None
    filler = swarm.roots.results / _FILLER
    struck_s = monotonic_s()
    _fill(filler)
    healed = all_cycle_after(swarm, struck_s)

    def undo() -> None:
        filler.unlink(missing_ok=True)

    return Injury("disk full", str(filler), ("disk", "space"), healed, undo=undo, stops_writing=True)


def _fill(filler: Path) -> None:
    """Take nearly all space. Other processes write meanwhile, so the free space is read again until little is left."""
    with filler.open("wb") as file:
        for _ in range(_FILLS):
            free = shutil.disk_usage(filler.parent).free
            if free <= 2 * _LEFT_BYTES:
                return
            with contextlib.suppress(OSError):  # another process took the space first
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free - _LEFT_BYTES)


def read_only(swarm: Swarm, dice: Dice) -> Injury | None:
    """Make the disk of the roots read-only, as the kernel does after an error; `undo` makes it writable again.

    A second, read-only mount is laid over the disk, because only the kernel itself can make a disk read-only under
    files that are open for writing.
    """
    folder = str(swarm.roots.results)
    if not swarm.is_mounted or not _mounted("--bind", folder, folder):
        return None
    if not _mounted("-o", "remount,bind,ro", folder):
        _uncovered(folder)
        return None
    healed = all_cycle_after(swarm, monotonic_s())

    def undo() -> None:
        _uncovered(folder)

    return Injury("read-only", folder, ("ead-only",), healed, undo=undo, stops_writing=True)


def _mounted(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


def _uncovered(folder: str) -> None:
    subprocess.run(["umount", "--lazy", folder], capture_output=True, check=True)


# the operator ---------------------------------------------------------------------------------------------------------


def stopped(swarm: Swarm, dice: Dice) -> Injury | None:
    """Run `stop`, and `start` when it is over."""
    typed = swarm.begin("stop")
    struck_s = monotonic_s()

    def start() -> None:
        typed.communicate()
        swarm.typed(swarm.command, "start")

    healed = all_cycle_after(swarm, struck_s)
    return Injury("stop", "all of it", ("stop",), healed, undo=start, ends_everything=True)


def started(swarm: Swarm, dice: Dice) -> Injury | None:
    """Run `start` while the whole swarm runs."""
    return _typed(swarm, "start", swarm.begin("start"))


def ensured(swarm: Swarm, dice: Dice) -> Injury | None:
    """Call `ensure`, as a shell start-up does."""
    return _typed(swarm, "ensure", swarm.ensure())


def _typed(swarm: Swarm, fault: str, command: "subprocess.Popen[str]") -> Injury:
    def finish() -> None:
        command.communicate()

    return Injury(fault, "all of it", (), all_cycle_after(swarm, monotonic_s()), undo=finish)


def upgraded(swarm: Swarm, dice: Dice) -> Injury | None:
    """Check out a new revision of the agents under the running swarm."""
    path = swarm.code / _UPGRADED
    began = {agent: swarm.loop_began_s(agent) for agent in swarm.agents()}
    with path.open("a", encoding="utf-8") as file:
        file.write("# another revision\n")

    def all_began_anew() -> bool:
        return all(swarm.loop_began_s(agent) > before for agent, before in began.items())

    return Injury("upgrade", str(_UPGRADED), ("code",), all_began_anew)


def all_cycle_after(swarm: Swarm, struck_s: float) -> Callable[[], bool]:
    """Return the check that every quick agent has cycled since then and every session is there."""
    quick = [name for name in swarm.agents() if row(name).cadence_s <= 30]
    return lambda: all(swarm.cycled_at_s(name) > struck_s for name in quick) and swarm.all_sessions_there()


PHASES = ("prescreen", "merge", "search", "validate", "report")
# All faults that may come in pairs. A fault that needs a copy of the checkout or a small disk is here, and is not among
# the faults that come one by one.
FAULTS: Mapping[str, Break] = {
    **SINGLE,
    "guard-killed": _killed("operation_hang_guard"),
    "manager-killed": _killed("session_state_manager"),
    "sentry-killed": _killed("worker_sentry"),
    "wrapper-killed": wrapper_killed,
    **{f"worker-killed-in-{phase}": _worker_killed_in(phase) for phase in PHASES},
    "journal-nul": journal_nul,
    "journal-long-line": journal_long_line,
    "state-of-another-run": state_of_another_run,
    "disk-full": disk_full,
    "read-only": read_only,
    "stop": stopped,
    "start": started,
    "ensure": ensured,
    "upgrade": upgraded,
}
