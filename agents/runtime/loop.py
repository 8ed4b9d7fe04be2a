"""Run one agent for ever: a small parent that has everything imported and forks a child for every cycle.

`python -m agents.runtime.loop NAME`. Measured: a cold Python costs 45 to 110 ms of CPU a cycle, a fork 1 ms. The
child is the same as `python -m agents NAME`. The parent holds no state; when the code changes and can be loaded it
re-executes itself (a checkout under way, or one with a mistake in it, is not gone on with); a child that takes too long
is ended, and the next cycle finds what it left.
"""

import contextlib
import errno
import gc
import os
import select
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from agents.machine.observe import is_silent, limits_of
from agents.registry import RESCUE, Row, row
from agents.rules.absent import GUARDS
from agents.runtime.cycle import Held, NewerSchema, run_cycle
from config.errors import Refused
from config.swarm import SwarmSettings
from state.files import made, private, snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tree import tree_of
from state.host import code, identity, process, wake
from state.host.clock import SystemClock
from state.host.presence import HeldRoot
from state.host.secrets import redacted
from state.records import healing
from state.records.agent_states import loop as loop_of
from state.records.agent_states import of_tree
from state.records.reports import KINDS
from state.records.spare import Spare

_SHORTEST_S = 0.2  # between two cycles, however often somebody nudges
_LOAD_S = 30.0  # for Python to load the control plane on a loaded machine
_TRY_AGAIN = 20  # looks until code that could not be loaded is tried again as it is
# What one cycle of any agent runs, loaded as this module loads it, and what a cycle that acts on tmux loads later.
_LOAD = (
    "import sys, config.settings, agents.machine.tmux_server\n"
    "from agents.runtime import loop; loop.preload(loop.row(sys.argv[1]))"
)
_PR_SET_CHILD_SUBREAPER = 36
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT)


def main(argv: list[str]) -> int:
    """Cycle until the operator stops the swarm and the session is ended."""
    name = argv[0]
    private.close()
    roots = Roots.from_environment()
    agent = row(name)
    preload(agent)
    me: dict[str, Any] = {"identity": tree_of(identity.mine()), "began_s": SystemClock().monotonic_s()}
    try:
        snapshot.write_json(roots.loop(name), me)
        return _cycle_for_ever(agent, roots, me)
    except Exception as error:
        _say(roots.loop(name), {**me, "ended": redacted(f"{type(error).__name__}: {error}")})
        raise


def _cycle_for_ever(agent: Row, roots: Roots, me: dict[str, Any]) -> int:
    name = agent.name
    ears = wake.listen(roots.pipe(name))
    place = HeldRoot(roots.state)
    _adopt_orphans()
    spare = Spare(roots, f"the loop of {name}")
    sources = Sources(name, code.running())  # every cycle of it is journalled with this
    print(f"{agent.session}: {agent.does}; every {agent.cadence_s:g} s", flush=True)
    while True:
        if leaves := _leaves(place):
            print(f"{agent.session} ends: {leaves}", flush=True)
            return 0
        limits = limits_of(roots)
        code.work()  # known here, it costs the forked cycle nothing
        one_cycle(name, roots, limits)
        if nobody_heals(roots, limits):
            one_cycle(RESCUE.name, roots, limits, by=name)
        if sources.are_new():
            print("the code has changed: starting anew", flush=True)
            os.execv(sys.executable, [sys.executable, "-m", "agents.runtime.loop", name])
        if me.get("code_problem", "") != sources.problem:
            me["code_problem"] = sources.problem
            print(sources.problem or "the checkout is as it was", flush=True)
            _say(roots.loop(name), me)
        if _leaves(place):  # written back, the records would lie where no swarm is any more
            continue
        with contextlib.suppress(OSError):  # a full disk: the loop goes on, and tries again
            _stay_on_file(roots, limits, name, me)
            spare.look()
            if not _is_current(ears, roots.pipe(name)):
                again = wake.listen(roots.pipe(name))
                os.close(ears)
                ears = again
        _wait(ears, agent.cadence_s * limits.agents.cadence_scale)


def _stay_on_file(roots: Roots, limits: SwarmSettings, name: str, me: dict[str, Any]) -> None:
    """The record of this loop is written again where the state root was emptied under us, or somebody damaged it."""
    record, wrong = loop_of(roots, name)
    if record.identity is not None and not wrong:
        return
    path = roots.loop(name)
    if wrong and path.stat().st_size:
        snapshot.keep_beside(path)
    snapshot.write_json(path, me)
    event, what = ("record_damaged", wrong[0]) if wrong else ("record_lost", "gone")
    events = healing.rebuilt(f"loops/{path.name}", event, what, f"the loop of {name}", "from what it knows of itself")
    healing.record(roots, SystemClock(), events, limits.records.journal_mb * 1_000_000)


def _leaves(place: HeldRoot) -> str:
    try:
        return place.why_leave()
    except OSError:  # a full disk, or no folder can be made: the loop goes on, and looks again
        return ""


def preload(agent: Row) -> None:
    """Import once, here, what the children of this agent would each import again."""
    hands = ("agents.machine.acts", "subprocess", "ctypes")
    for module in (*hands, *(["psutil"] if "sample" in agent.load().sees else [])):
        import_module(module)
    for name in KINDS:
        of_tree(name, {})  # how each report is read is worked out once, here
    gc.collect()
    gc.freeze()  # what is here stays: the collector of a child never touches, and so copies, these pages


def _wait(ears: int, cadence_s: float) -> None:
    time.sleep(min(_SHORTEST_S, cadence_s))
    select.select([ears], [], [], max(0.0, cadence_s - _SHORTEST_S))
    wake.drain(ears)


def _is_current(ears: int, pipe: Path) -> bool:
    try:
        return pipe.stat().st_ino == os.fstat(ears).st_ino
    except OSError:
        return False


def nobody_heals(roots: Roots, limits: SwarmSettings) -> bool:
    """Whether both agents that respawn sessions seem silent: a glance, of which a cycle of the rescue makes sure."""
    return not roots.tombstone.exists() and all(is_silent(roots, row(guard), limits) for guard in GUARDS)


def one_cycle(name: str, roots: Roots, limits: SwarmSettings, by: str = "") -> None:
    """Fork the one-shot agent and see that it ends within its deadline. `by`: whose loop runs it for another.

    A child that cannot be had (no process, no descriptor left) is a missed cycle; the next may have better luck.
    """
    try:
        pid = os.fork()
    except OSError as error:
        print(f"no cycle: {error.strerror}", flush=True)
        return
    if pid == 0:
        _child(name, roots, limits, by)
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        print(f"no cycle: {error.strerror}", flush=True)
        os.kill(pid, signal.SIGKILL)  # a child that nobody has waited for yet: its number is nobody else's
        os.waitpid(pid, 0)
        return
    try:
        ready, _, _ = select.select([descriptor], [], [], limits.agents.cycle_deadline_s)
        if not ready:
            print(f"the cycle took longer than {limits.agents.cycle_deadline_s:g} s and was ended", flush=True)
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.waitpid(pid, 0)
        os.close(descriptor)
        _reap()


def _child(name: str, roots: Roots, limits: SwarmSettings, by: str) -> None:
    """The one-shot agent; never returns."""
    gc.disable()  # a life of milliseconds
    parent = os.getppid()
    _die_with_parent()
    status = 1
    try:
        if os.getppid() == parent:
            done = run_cycle(name, roots, by=by)
            if done.actions:
                print(f"{time.strftime('%H:%M:%S')} cycle {done.cycle}: {done.reason}", flush=True)
                for action in done.actions:
                    print(f"  {action['kind']} {action['target']}: {action['outcome']}", flush=True)
        status = 0
    except (Held, NewerSchema, Refused) as reason:
        print(f"{time.strftime('%H:%M:%S')} {reason}", flush=True)
    except OSError as error:
        if error.errno in _UNWRITABLE:
            print(f"{time.strftime('%H:%M:%S')} nothing is done, because it cannot be recorded: {error}", flush=True)
        else:
            _complain(name, roots, limits)
    except BaseException:
        _complain(name, roots, limits)
    finally:
        os._exit(status)


def _complain(name: str, roots: Roots, limits: SwarmSettings) -> None:
    import traceback

    text = redacted(traceback.format_exc())
    print(text, flush=True)
    _log(roots, roots.agent_log(name), text, limits.records.log_mb * 1_000_000)


def _die_with_parent() -> None:
    """A loop that is killed takes its cycle with it: two cycles of one agent never overlap for long."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _log(roots: Roots, path: Path, text: str, most_bytes: int) -> None:
    try:
        if path.exists() and path.stat().st_size > most_bytes:
            made.move_aside(roots, path)
        with made.log(roots, path) as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}".encode())
    except OSError:
        pass  # a full disk must not end the loop


class Sources:
    """The code this process runs, and whether the checkout holds other code that can be gone on with.

    Two looks in a row must find the same new code (a checkout is written file by file), and a process of its own must
    be able to load it. What could not be loaded is tried again when it changes, and now and then.
    """

    def __init__(self, agent: str, running: str) -> None:
        self.agent, self.running, self.problem = agent, running, ""
        self._seen = self._refused = ""
        self._looks = 0

    def are_new(self) -> bool:
        """Whether to start anew now."""
        now, before = code.control(), self._seen
        self._seen = now
        if now == self.running:
            self.problem = self._refused = ""
            return False
        self._looks += 1
        if not now or now != before or (now == self._refused and self._looks % _TRY_AGAIN):
            return False
        why = unloadable(self.agent)
        if not why and code.control() == now:
            return True
        self._refused = now
        self.problem = why and f"the checkout cannot be loaded, so {self.agent} goes on with the code it has: {why}"
        return False


def unloadable(agent: str) -> str:
    """Why the checkout's code cannot be loaded for this agent, in its own words; nothing when it can."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOAD, agent],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_LOAD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"loading it takes longer than {_LOAD_S:g} s"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it ends without a word"])[-1]


def _say(path: Path, record: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full disk must not end the loop
        snapshot.write_json(path, record)


def _adopt_orphans() -> None:
    """Become the parent of what a cycle leaves behind: where nobody reaps, whoever ended would stay as a zombie."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


if __name__ == "__main__":
    process.begin()
    sys.exit(main(sys.argv[1:]))
