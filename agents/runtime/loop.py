"""Run one agent for ever: a small parent process has everything imported, and forks a child for every cycle.

It is run as `python -m agents.runtime.loop NAME`. Measured: a cold Python costs 45 to 110 ms of CPU for each cycle, a
fork 1 ms. The child does the same as `python -m agents NAME`. The parent holds no state. When the code has changed and
can be loaded, the parent re-executes itself; a half-written or broken checkout is not used. A child that takes too long
is killed, and the next cycle goes on from the state that it left.
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

_SHORTEST_S = 0.2  # seconds between two cycles, however many nudges arrive
_LOAD_S = 30.0  # seconds that Python may take to load the control plane on a loaded machine
_TRY_AGAIN = 20  # looks after which code that could not be loaded is tried again, even if it is unchanged
# The program that tries new code: it loads what the loop of an agent loads, and what a cycle that acts on tmux needs.
_LOAD = (
    "import sys, config.settings, agents.machine.tmux_server\n"
    "from agents.runtime import loop; loop.preload(loop.row(sys.argv[1]))"
)
_PR_SET_CHILD_SUBREAPER = 36
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT)


def main(argv: list[str]) -> int:
    """Cycle until the session is ended, or this loop must leave."""
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
    sources = Sources(name, code.running())  # every cycle is journalled with this hash
    print(f"{agent.session}: {agent.does}; every {agent.cadence_s:g} s", flush=True)
    while True:
        if leaves := _leaves(place):
            print(f"{agent.session} ends: {leaves}", flush=True)
            return 0
        # Read anew for each cycle, because settings.json may have been restored or replaced by a new start.
        limits = limits_of(roots)
        code.work()  # computed here once, so that the forked cycles inherit it
        one_cycle(name, roots, limits)
        # Any loop that lives heals the swarm when both agents that respawn sessions are gone (ADR 23).
        if nobody_heals(roots, limits):
            one_cycle(RESCUE.name, roots, limits, by=name)
        if sources.are_new():
            print("the code has changed: starting anew", flush=True)
            os.execv(sys.executable, [sys.executable, "-m", "agents.runtime.loop", name])
        if me.get("code_problem", "") != sources.problem:
            me["code_problem"] = sources.problem
            print(sources.problem or "the checkout is as it was", flush=True)
            _say(roots.loop(name), me)
        if _leaves(place):  # writing records back would make files where no swarm is any more
            continue
        with contextlib.suppress(OSError):  # the disk may be full: the loop goes on, and tries again
            _stay_on_file(roots, limits, name, me)
            spare.look()
            if not _is_current(ears, roots.pipe(name)):
                again = wake.listen(roots.pipe(name))
                os.close(ears)
                ears = again
        _wait(ears, agent.cadence_s * limits.agents.cadence_scale)


def _stay_on_file(roots: Roots, limits: SwarmSettings, name: str, me: dict[str, Any]) -> None:
    """Write the loop record of this process (`Roots.loop`) again when it is gone or damaged."""
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
    except OSError:  # the disk may be full, or no folder can be made: the loop goes on, and looks again
        return ""


def preload(agent: Row) -> None:
    """Import in the parent, once, what each child of this agent would import again."""
    hands = ("agents.machine.acts", "subprocess", "ctypes")
    for module in (*hands, *(["psutil"] if "sample" in agent.load().sees else [])):
        import_module(module)
    for name in KINDS:
        of_tree(name, {})  # works out, once for all children, how each report is read
    gc.collect()
    gc.freeze()  # a child's garbage collector then never touches these pages, which would copy them


def _wait(ears: int, cadence_s: float) -> None:
    # This sleep bounds how often nudges can start cycles; a nudge that arrives during it stays in the pipe.
    time.sleep(min(_SHORTEST_S, cadence_s))
    select.select([ears], [], [], max(0.0, cadence_s - _SHORTEST_S))
    wake.drain(ears)


def _is_current(ears: int, pipe: Path) -> bool:
    try:
        return pipe.stat().st_ino == os.fstat(ears).st_ino
    except OSError:
        return False


def nobody_heals(roots: Roots, limits: SwarmSettings) -> bool:
    """Whether both agents that respawn sessions seem silent. This is only a quick look; the rescue's cycle decides."""
    return not roots.tombstone.exists() and all(is_silent(roots, row(guard), limits) for guard in GUARDS)


def one_cycle(name: str, roots: Roots, limits: SwarmSettings, by: str = "") -> None:
    """Fork a child that runs one cycle, and kill it when it exceeds its deadline. `by`: see `run_cycle`.

    When there is no process or descriptor left for a child, the cycle is missed, and the loop tries again next time.
    """
    # A failed fork must not end the loop, which is all that can bring the agent back.
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
        os.kill(pid, signal.SIGKILL)  # safe by pid: a child that was not waited for keeps its pid
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
    """Run one cycle in the child and end the process; never returns."""
    gc.disable()  # the child lives for milliseconds
    parent = os.getppid()
    _die_with_parent()
    status = 1
    try:
        # The loop may have died before prctl took effect. Then this child has another parent, and must not act.
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
    """Let the kernel kill this child when its loop dies, so that two cycles of one agent never overlap for long."""
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
    """The code that this process runs, and whether the checkout holds other code that can be loaded.

    A checkout is written file by file, so two looks in a row must find the same new code; and a separate process must
    have loaded it. Code that could not be loaded is tried again when it changes, and from time to time.
    """

    def __init__(self, agent: str, running: str) -> None:
        self.agent, self.running, self.problem = agent, running, ""
        self._seen = self._refused = ""
        self._looks = 0

    def are_new(self) -> bool:
        """Whether the loop should re-execute itself now; when new code cannot be loaded, `problem` says why."""
        now, before = code.control(), self._seen
        self._seen = now
        if now == self.running:
            self.problem = self._refused = ""
            return False
        # Code that could not be loaded is tried again only from time to time: each try costs a process.
        self._looks += 1
        if not now or now != before or (now == self._refused and self._looks % _TRY_AGAIN):
            return False
        why = unloadable(self.agent)
        # The checkout may have changed while it was loaded: then what was loaded is not what would run.
        if not why and code.control() == now:
            return True
        self._refused = now
        self.problem = why and f"the checkout cannot be loaded, so {self.agent} goes on with the code it has: {why}"
        return False


def unloadable(agent: str) -> str:
    """Return the last line of the error with which the checkout's code cannot be loaded; "" when it can."""
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
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it ends without a message"])[-1]


def _say(path: Path, record: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full disk must not end the loop
        snapshot.write_json(path, record)


def _adopt_orphans() -> None:
    """Become the parent of processes that a cycle leaves behind; without a parent that reaps, they stay as zombies."""
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
