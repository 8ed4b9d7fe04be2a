"""Attacks from beside the swarm: copies and other names of its root, forged records, locks, a missing environment."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from agents.machine import keeper, processes
from config.errors import Transient
from scripts.lab.faults.hostile.answers import wrong_with, wrong_with_command
from scripts.lab.faults.hostile.files import unit_is_done
from scripts.lab.faults.injuries import Dice, Injury, at_work, monotonic_s
from scripts.lab.faults.private import Swarm
from scripts.lab.faults.surroundings import all_cycle_after
from state.files import snapshot
from state.files.layout import Roots
from state.files.tree import tree_of
from state.host import identity
from state.records import orders
from state.records.heartbeat import Heartbeat
from state.records.server import recorded
from state.records.workers import Launch
from WORKFLOW.report.tree import writing

_INSIDE = ("unshare", "--pid", "--fork", "--mount-proc")
_ENSURE = Path("scripts") / "ensure_swarm_watchdogs.sh"
_WAITS = ("it waits:",)


def lock_held(swarm: Swarm, dice: Dice) -> Injury | None:
    """Lock the result of a symbol and mode, as a running `--single` does, until a worker has met the lock."""
    there = [one for one in swarm.launches() if one.job.phase in ("search", "validate") and swarm.beat(one.worker_id)]
    folder = swarm.round()
    if not there or folder is None:
        return None
    unit = dice.one_of(there).job.unit
    held = contextlib.ExitStack()
    try:
        held.enter_context(writing(swarm.roots, *unit))
    except Transient:  # a worker writes to this result
        return None

    def met() -> bool:
        return any(state.job.unit == unit and state.waits for state in swarm.jobs(folder.number).values())

    healed = unit_is_done(swarm, folder, unit)
    return Injury(
        "result held",
        " ".join(unit),
        ("it waits:",),
        healed,
        undo=held.close,
        is_met=met,
        takes_a_phase=True,
        excuses=_WAITS,
    )


def data_gone(swarm: Swarm, dice: Dice) -> Injury | None:
    """Remove the folder of bars, as a failing file server does, until a worker has missed it."""
    order, folder = orders.current(swarm.roots), swarm.round()
    bars = None if order is None else swarm.roots.demo_data() if order.data_path is None else Path(order.data_path)
    if bars is None or folder is None or not bars.is_dir() or bars.is_symlink():
        return None
    if swarm.roots.results.parent not in bars.parents:  # real data are never touched
        return None
    away = bars.with_name(f"{bars.name}-away")
    bars.rename(away)
    known = {s.job.job_id: s.waits for s in swarm.jobs(folder.number).values()}

    def met() -> bool:
        return bool(_waiting())

    def _waiting() -> list[str]:
        states = swarm.jobs(folder.number).values()
        return [s.job.job_id for s in states if s.waits > known.get(s.job.job_id, 0)]

    def undo() -> None:
        away.rename(bars)

    def healed() -> bool:
        return all(state.status != "pending" or not state.waits for state in swarm.jobs(folder.number).values())

    return Injury(
        "data gone", bars.name, ("it waits:",), healed, undo=undo, is_met=met, takes_a_phase=True, excuses=_WAITS
    )


def root_copied(swarm: Swarm, dice: Dice) -> Injury | None:
    """Copy everything with `cp -a`, then run `stop`, `start` and `ensure` there: the copy has its own swarm or none."""
    struck_s, target = monotonic_s(), swarm.roots.results.parent / "copy"
    if target.exists():
        return None
    subprocess.run(["cp", "-a", str(swarm.roots.results), str(target)], capture_output=True, check=False)
    told = {**swarm.environment, "RESULTS_ROOT": str(target)}
    roots = Roots.from_environment(told)
    harm: list[str] = []
    try:
        for word in ("stop", "start"):
            harm += wrong_with(swarm, word, environment=told, codes=(0,))
        harm += wrong_with_command([str(swarm.code / _ENSURE)], swarm, environment=told)
        harm += wrong_with(swarm, "stop", environment=told, codes=(0,))
        harm += [f"process {one.pid} of the copy outlived its stop" for one in identity.of_swarm(roots.state)]
    finally:
        for one in identity.of_swarm(roots.state):
            processes.send(one, signal.SIGKILL)
        shutil.rmtree(target, ignore_errors=True)
    return Injury("root copied", target.name, (), all_cycle_after(swarm, struck_s), harm=lambda: harm)


def two_spellings(swarm: Swarm, dice: Dice) -> Injury | None:
    """Reach the root by a link and run `start`, `ensure` and `health` there: it is the same swarm."""
    struck_s, link = monotonic_s(), swarm.roots.results.parent / "link"
    if not link.is_symlink():
        link.symlink_to(swarm.roots.results)
    told, server = {**swarm.environment, "RESULTS_ROOT": str(link)}, swarm.server()
    harm = wrong_with(swarm, "start", environment=told, codes=(0,))
    harm += wrong_with_command([str(swarm.code / _ENSURE)], swarm, environment=told)
    harm += wrong_with(swarm, "health", environment=told)
    harm += _not_alone(swarm, server)
    return Injury("two spellings", link.name, (), all_cycle_after(swarm, struck_s), harm=lambda: harm)


def other_namespace(swarm: Swarm, dice: Dice) -> Injury | None:
    """Run `ensure`, `start` and `stop` in another PID namespace, as in a container that shares the root."""
    if swarm.typed(*_INSIDE, "true").returncode:  # a new namespace needs root
        return None
    struck_s, server = monotonic_s(), swarm.server()
    said = "another PID namespace"
    harm = wrong_with_command([*_INSIDE, str(swarm.code / _ENSURE)], swarm, codes=(0,), must_say=said)
    for word in ("start", "stop"):
        harm += wrong_with_command([*_INSIDE, swarm.command, word], swarm, codes=(1,), must_say=said)
    harm += _not_alone(swarm, server)
    return Injury("another namespace", "ensure, start, stop", (), all_cycle_after(swarm, struck_s), harm=lambda: harm)


def _not_alone(swarm: Swarm, before: identity.Identity | None) -> list[str]:
    now = swarm.server()
    return [] if now == before else [f"tmux is {now}, it was {before}"]


def forged_launch(swarm: Swarm, dice: Dice) -> Injury | None:
    """Forge a launch record and a heartbeat that call an innocent process a worker of ours, with a true nonce."""
    found = at_work(swarm, dice)
    if found is None:
        return None
    launch, struck_s = found[0], monotonic_s()
    innocent = subprocess.Popen(["/bin/cat"], env={"BACKTEST_OPTIMIZE_NONCE": launch.nonce}, stdin=subprocess.PIPE)
    one = identity.of(innocent.pid)
    if one is None:
        return None
    worker_id = f"{launch.job.job_id}.e{launch.epoch}.{os.urandom(3).hex()}"
    forged = Launch(**{**vars(launch), "worker_id": worker_id, "wrapper": one})
    beat = Heartbeat(
        worker_id=worker_id,
        job_id=launch.job.job_id,
        epoch=launch.epoch,
        identity=one,
        phase=launch.job.phase,
        done=5,
        total=100,
        rate_per_s=None,
        note="",
        beats=1,
        progressed_at_s=struck_s,
        at="",
    )
    snapshot.write_json(swarm.roots.heartbeat(worker_id), tree_of(beat))
    snapshot.write_json(swarm.roots.launch(worker_id), tree_of(forged))
    cycled = all_cycle_after(swarm, struck_s)

    def harm() -> list[str]:
        return [] if innocent.poll() is None else [f"the innocent process {innocent.pid} was ended"]

    def healed() -> bool:
        return not swarm.roots.launch(worker_id).exists() and cycled()

    casualties = frozenset({worker_id})
    return Injury("forged launch", worker_id, (launch.job.job_id,), healed, casualties, harm=harm)


def keeper_stopped(swarm: Swarm, dice: Dice) -> Injury | None:
    """Stop the keeper with SIGSTOP: it does nothing, and still counts as alive."""
    record = keeper.recorded(swarm.roots)
    if record is None or record.identity is None or not processes.send(record.identity, signal.SIGSTOP):
        return None

    def is_awake() -> bool:
        view = keeper.look(swarm.roots, ask=False)
        return view is not None and view.alive is True

    return Injury("keeper stopped", f"pid {record.identity.pid}", ("keeper",), is_awake)


def no_environment(swarm: Swarm, dice: Dice) -> Injury | None:
    """Run commands without the virtual environment: they must answer and install nothing."""
    struck_s, gone = monotonic_s(), swarm.roots.results.parent / "no-environment"
    told: Mapping[str, str] = {**swarm.environment, "VENV_PATH": str(gone)}
    harm = [*wrong_with(swarm, "health", environment=told), *wrong_with(swarm, "status", environment=told)]
    harm += wrong_with_command([str(swarm.code / _ENSURE)], swarm, environment=told)
    harm += [f"{gone} was made"] if gone.exists() else []
    return Injury("no environment", gone.name, (), all_cycle_after(swarm, struck_s), harm=lambda: harm)


def stop_inside(swarm: Swarm, dice: Dice) -> Injury | None:
    """Run `stop` in a pane of the swarm, which `stop` itself ends; afterwards run `start`."""
    server, struck_s = recorded(swarm.roots), monotonic_s()
    if server is None:
        return None
    typed = f"{shlex.quote(swarm.command)} stop"
    done = swarm.typed("tmux", "-S", str(server.socket), "split-window", "-d", "-t", "=bt-watchdog:", typed)
    if done.returncode:
        return None
    harm: list[str] = []

    def start() -> None:
        harm.extend([] if _is_stopped(swarm) else ["`stop` in a pane did not end everything"])
        harm.extend(wrong_with(swarm, "start", codes=(0,)))

    return Injury(
        "stop inside",
        "a pane",
        ("stop",),
        all_cycle_after(swarm, struck_s),
        undo=start,
        ends_everything=True,
        is_met=lambda: _is_stopped(swarm),
        harm=lambda: harm,
    )


def _is_stopped(swarm: Swarm) -> bool:
    with contextlib.suppress(OSError):
        return swarm.roots.tombstone.exists() and not swarm.members()
    return False
