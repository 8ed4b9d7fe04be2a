"""The parent process of one hook: it ends all processes that the hook started, even in another group or environment.

`main([FD, ASKER, DEADLINE_S, HOOK])` writes one answer to the descriptor FD: `code N` (negative: the signal that ended
the hook), `late`, or `error N` (the errno with which the hook could not be run). On Linux, this process adopts every
orphan of the hook's tree (PR_SET_CHILD_SUBREAPER), so the whole tree is found below it; elsewhere only the hook's group
is ended. The module imports next to nothing, because the hook waits until it has started. A worker's wrapper uses the
same functions.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time

NONCE, HELD_BACK = "BACKTEST_OPTIMIZE_NONCE", "BACKTEST_OPTIMIZE_HELD_BACK"  # see hooks/executable.py
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
_LOOK_S = 0.01  # seconds between two looks at the hook
_END_S = 5.0  # seconds that the kernel may take to end killed processes
_STAT = tuple[int, int]  # parent and start time of a process


def main(argv: list[str]) -> int:
    """Run the hook, end all that it leaves, and report how it ended."""
    answer_to, asker, deadline_s, path = int(argv[0]), int(argv[1]), float(argv[2]), argv[3]
    os.set_inheritable(answer_to, False)
    adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    environment = {NONCE if name == HELD_BACK else name: value for name, value in os.environ.items()}
    try:
        hook = start(path, environment)
    except OSError as error:
        os.write(answer_to, f"error {error.errno}".encode())
        return 0
    try:
        code = wait(hook, asker, time.monotonic() + deadline_s)
    finally:
        end(hook)
    os.write(answer_to, b"late" if code is None else f"code {code}".encode())
    return 0


def start(path: str, environment: "dict[str, str]") -> int:
    """Start the hook in a process session of its own, and return its pid.

    Raises:
        OSError: it cannot be executed.
    """
    failed, fails = os.pipe()  # an exec that succeeds closes it
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores both, which the hook would inherit
                signal.signal(number, signal.SIG_DFL)
            os.execve(path, [path], environment)
        except OSError as error:
            os.write(fails, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(fails)
    said = os.read(failed, 16)
    os.close(failed)
    if said:
        os.waitpid(pid, 0)
        raise OSError(int(said), os.strerror(int(said)), path)
    return pid


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def wait(hook: int, asker: int, deadline: float) -> "int | None":
    """Return the hook's exit code; None at the monotonic `deadline`, or when the process `asker` has ended."""
    while time.monotonic() < deadline and os.getppid() == asker:
        # Not reaped, so nobody else gets its pid before its group is ended.
        ended = os.waitid(os.P_PID, hook, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        time.sleep(_LOOK_S)
    return None


def end(hook: int) -> None:
    """Send SIGKILL to the hook's group, then to all processes below this one until none is left."""
    with contextlib.suppress(OSError):  # some systems refuse this when the group holds only zombies
        os.killpg(hook, signal.SIGKILL)
    end_below()


def end_below() -> None:
    """Send SIGKILL to all processes below this one until none is left, including those that are forked meanwhile."""
    deadline = time.monotonic() + _END_S
    while time.monotonic() < deadline:
        below = descendants()
        for pid, stat in below.items():
            kill(pid, stat)
        if not reap() and not below:
            return
        time.sleep(_LOOK_S / 10)


def descendants() -> "dict[int, _STAT]":
    """Return every process below this one by pid, without zombies."""
    known = {pid: stat for pid in pids() if (stat := look(pid)) is not None}
    found: dict[int, _STAT] = {}
    parents = {os.getpid()}
    while parents:
        children = {pid: stat for pid, stat in known.items() if stat[0] in parents and pid not in found}
        found |= children
        parents = set(children)
    return found


def pids() -> "list[int]":
    """Return all pids; [] on a system without /proc."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def look(pid: int) -> "_STAT | None":
    """Return the process's parent pid and start time (clock ticks since boot); None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if words[0] == b"Z" else (int(words[1]), int(words[19]))


def kill(pid: int, stat: "_STAT") -> None:
    """Send SIGKILL to the process that was seen under this pid, and not to a later one that got the same pid."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        now = look(pid)
        if now is not None and now[1] == stat[1]:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        pass  # it ended by itself
    finally:
        os.close(descriptor)


def reap() -> bool:
    """Reap all children that have ended; return whether any are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
