"""The parent of one worker: outlives it by the moment it takes to write down how it ended.

`python -I -S wrapper.py EXIT_FILE PIPE COMMAND…`; nothing of the checkout is imported, so that it costs milliseconds
and eight megabytes. It holds no state: killed together with its worker, it costs only the knowledge of how that ended.
"""

import json
import os
import signal
import sys

MEMORY_EVENTS = "/sys/fs/cgroup/memory.events"


def oom_kills() -> int:
    """How often the kernel's memory killer struck in this container so far; 0 where nobody knows."""
    try:
        with open(MEMORY_EVENTS, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError):
        return 0


def main(argv: list[str]) -> int:
    """Run the command, wait for it, write the exit file, nudge the reader of the pipe."""
    exit_file, pipe, *command = argv
    # Handlers and not SIG_IGN, which the worker would inherit: what is sent to the group ends the worker, not us.
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    before = oom_kills()
    pid = os.fork()
    if pid == 0:
        os.nice(5)  # agents and the operator's shell come first
        os.execv(command[0], command)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    record = {
        "worker_id": os.path.basename(exit_file)[: -len(".json")],
        "code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "oom": code == -signal.SIGKILL and oom_kills() > before,
    }
    write(exit_file, json.dumps(record).encode())
    nudge(pipe)
    return 0


def write(path: str, data: bytes) -> None:
    """Whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
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
