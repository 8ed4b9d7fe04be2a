"""The parent process of one worker, which ends what the worker left behind and records how the worker ended.

It is run as `python -I -S wrapper.py EXIT_FILE PIPE NICE OOM_SCORE MEMORY_EVENTS COMMAND…`. Of the checkout it imports
only `contained`, which imports next to nothing, so a wrapper costs milliseconds and eight megabytes. It adopts every
orphan of the worker's tree, so what the worker leaves behind is found below this process, whatever its session and
environment. The wrapper holds no state: when it is killed together with its worker, only the knowledge of how the
worker ended, and of such orphans, is lost.
"""

import json
import os
import signal
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from hooks import contained


def oom_kills(memory_events: str) -> int:
    """Return how many processes of this container the kernel has killed for lack of memory; 0 when it is unknown."""
    try:
        with open(memory_events, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError):
        return 0


def main(argv: list[str]) -> int:
    """Run the command, wait for it, end what it left behind, write the exit file, and wake the reader of the pipe."""
    exit_file, pipe, nice, oom_score, memory_events, *command = argv
    os.umask(0o077)  # only the user may read what is written; the worker inherits this
    # A signal to the process group must end the worker and not this wrapper. Handlers are reset at exec; SIG_IGN would
    # be inherited by the worker.
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    contained.adopt_orphans()
    # The kernel only counts its kills. A SIGKILL together with a higher count means that memory ran out.
    before = oom_kills(memory_events)
    pid = os.fork()
    if pid == 0:
        os.nice(int(nice))  # agents and the operator's shell come first
        sacrifice(int(oom_score))
        os.execv(command[0], command)
    code = os.waitstatus_to_exitcode(wait(pid))
    # orphans must be gone before the sentry learns of the end and starts another worker beside them
    if contained.reap():
        contained.end_below()
    record = {
        "worker_id": os.path.basename(exit_file)[: -len(".json")],
        "code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "oom": code == -signal.SIGKILL and oom_kills(memory_events) > before,
    }
    write(exit_file, json.dumps(record).encode())
    nudge(pipe)
    return 0


def wait(worker: int) -> int:
    """Wait until the worker has ended, and return its status; orphans that end before it are reaped."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            return status


def sacrifice(score: int) -> None:
    """Raise this process's OOM score, so that the kernel kills it first when memory runs out. It is never lowered."""
    try:
        with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
            if int(file.read()) < score:
                file.seek(0)
                file.write(str(score))
    except (OSError, ValueError):
        pass  # this system has no such file, so no process is preferred


def write(path: str, data: bytes) -> None:
    """Write a file completely or not at all."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:
        file.write(data)
    os.replace(temporary, path)


def nudge(pipe: str) -> None:
    """Wake the sentry's loop, if it listens; else its next cycle finds the exit file."""
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    os.write(descriptor, b"x")
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
