"""Run one agent for ever: a small parent that has everything imported and forks a child for every cycle.

`python -m agents.runtime.loop NAME`. Measured: a cold Python costs 45 to 110 ms of CPU a cycle, a fork 0.85 ms. The
child is the same as `python -m agents NAME`. The parent holds no state; when the sources change it re-executes itself;
a child that takes too long is ended, and the next cycle finds what it left.
"""

import os
import select
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

from agents.machine.observe import resolved
from agents.registry import row
from agents.runtime.cycle import Held, NewerSchema, run_cycle
from config.errors import Refused
from config.settings import SwarmSettings
from state import identity, snapshot, wake
from state.clock import SystemClock
from state.layout import CHECKOUT, Roots
from state.tree import tree_of

_PACKAGES = ("agents", "state", "hooks", "config")
_SHORTEST_S = 0.2  # between two cycles, however often somebody nudges
_LOG_BYTES = 5_000_000


def main(argv: list[str]) -> int:
    """Cycle until the operator stops the swarm and the session is ended."""
    name = argv[0]
    roots = Roots.from_environment()
    agent = row(name)
    agent.load()
    import_module("psutil")  # the children use it: imported once, here

    me = {"identity": tree_of(identity.mine()), "began_s": SystemClock().monotonic_s()}
    snapshot.write_json(roots.loop(name), me)
    ears = wake.listen(roots.pipe(name))
    sources = _sources()
    print(f"{agent.session}: {agent.does}; every {agent.cadence_s:g} s", flush=True)
    while True:
        limits = _limits(roots)
        _one_cycle(name, roots, limits)
        if _sources() != sources:
            print("the sources have changed: starting anew", flush=True)
            os.execv(sys.executable, [sys.executable, "-m", "agents.runtime.loop", name])
        if not roots.loop(name).exists():  # the state root was emptied under us
            snapshot.write_json(roots.loop(name), me)
        if not _is_current(ears, roots.pipe(name)):
            os.close(ears)
            ears = wake.listen(roots.pipe(name))
        _wait(ears, agent.cadence_s * limits.cadence_scale)


def _wait(ears: int, cadence_s: float) -> None:
    time.sleep(min(_SHORTEST_S, cadence_s))
    select.select([ears], [], [], max(0.0, cadence_s - _SHORTEST_S))
    wake.drain(ears)


def _is_current(ears: int, pipe: Path) -> bool:
    try:
        return pipe.stat().st_ino == os.fstat(ears).st_ino
    except OSError:
        return False


def _one_cycle(name: str, roots: Roots, limits: SwarmSettings) -> None:
    pid = os.fork()
    if pid == 0:
        _child(name, roots)
    descriptor = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([descriptor], [], [], limits.cycle_deadline_s)
        if not ready:
            print(f"the cycle took longer than {limits.cycle_deadline_s:g} s and was ended", flush=True)
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.waitpid(pid, 0)
        os.close(descriptor)


def _child(name: str, roots: Roots) -> None:
    """The one-shot agent; never returns."""
    parent = os.getppid()
    _die_with_parent()
    code = 1
    try:
        if os.getppid() == parent:
            done = run_cycle(name, roots)
            if done.actions:
                print(f"{time.strftime('%H:%M:%S')} cycle {done.cycle}: {done.reason}", flush=True)
                for action in done.actions:
                    print(f"  {action['kind']} {action['target']}: {action['outcome']}", flush=True)
        code = 0
    except (Held, NewerSchema, Refused) as reason:
        print(f"{time.strftime('%H:%M:%S')} {reason}", flush=True)
    except BaseException:
        text = traceback.format_exc()
        print(text, flush=True)
        _log(roots.agent_log(name), text)
    finally:
        os._exit(code)


def _die_with_parent() -> None:
    """A loop that is killed takes its cycle with it: two cycles of one agent never overlap for long."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _limits(roots: Roots) -> SwarmSettings:
    return resolved(roots).swarm


def _log(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}")
    except OSError:
        pass  # a full disk must not end the loop


def _sources() -> tuple[tuple[str, int], ...]:
    """Names and times of all that a cycle runs; changes when the checkout is updated."""
    folders = [CHECKOUT / package for package in _PACKAGES]
    folders += [CHECKOUT / "agents" / room for room in ("runtime", "machine")]
    return tuple((str(path), path.stat().st_mtime_ns) for folder in folders for path in sorted(folder.glob("*.py")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
