"""The parent of one worker: outlives it by the moment it takes to end what it left and to write down how it ended.

`python -I -S wrapper.py EXIT_FILE PIPE NICE OOM_SCORE MEMORY_EVENTS COMMAND…`; of the checkout it imports `contained`,
which imports next to nothing, so that it costs milliseconds and eight megabytes. It adopts every orphan of the worker's
tree: whoever that leaves behind is found below this process, in whatever session and with whatever environment. It
holds no state: killed together with its worker, it costs the knowledge of how that ended, and of such orphans.
"""

import json
import os
import signal
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from hooks import contained


def oom_kills(memory_events: str) -> int:
    """How often the kernel's memory killer struck in this container so far; 0 where nobody knows."""
    try:
        with open(memory_events, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError):
        return 0


def main(argv: list[str]) -> int:
    """Run the command, wait for it, end what it left behind, write the exit file, nudge the reader of the pipe."""
    exit_file, pipe, nice, oom_score, memory_events, *command = argv
    os.umask(0o077)  # what it writes is the user's alone; the worker inherits it
    # Handlers and not SIG_IGN, which the worker would inherit: what is sent to the group ends the worker, not us.
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    contained.adopt_orphans()
    before = oom_kills(memory_events)
    pid = os.fork()
    if pid == 0:
        os.nice(int(nice))  # agents and the operator's shell come first
        sacrifice(int(oom_score))
        os.execv(command[0], command)
    code = os.waitstatus_to_exitcode(wait(pid))
    if contained.reap():  # before anybody hears that the worker ended, and starts another beside them
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
    """The status of the worker once it has ended; orphans that end before it are buried."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            return status


def sacrifice(score: int) -> None:
    """Ask the kernel to end this process, when memory runs out, before those with a lower score; only ever raised."""
    try:
        with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
            if int(file.read()) < score:
                file.seek(0)
                file.write(str(score))
    except (OSError, ValueError):
        pass  # no such file here: then nobody comes first


def write(path: str, data: bytes) -> None:
    """Whole or not at all."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:
        file.write(data)
    os.replace(temporary, path)


def nudge(pipe: str) -> None:
    """Wake the sentry, if it listens."""
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    os.write(descriptor, b"x")
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
