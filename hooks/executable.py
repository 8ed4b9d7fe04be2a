"""Run one executable of the user: a record on its standard input, a deadline, bounded output, and no process left over.

The hook gets a parent process of its own (`hooks/contained.py`), which ends everything that the hook leaves behind.
"""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from config.record import dataclass
from config.trust import fault_of
from state.files import codec
from state.files.layout import CHECKOUT
from state.host import identity
from state.host.environment import allowed
from state.host.secrets import redacted

if TYPE_CHECKING:  # a cycle of an agent only looks at the folders, and asks no hook
    import subprocess

DEADLINE_S = 30.0  # seconds that a hook may take: it only reads records and judges
HELD_BACK = "BACKTEST_OPTIMIZE_HELD_BACK"  # carries the asking program's nonce to the hook, past the hook's parent
MARK = "BACKTEST_OPTIMIZE_HOOK"  # variable that marks a hook and all processes that it starts
_KEPT_BYTES = 65_536  # of the output; the rest is read and dropped, so that a hook that writes a lot is not blocked
_LINE = 4_000  # characters of a line that are looked at
_REASON = 300  # characters of the reason
_LOOK_S = 0.02  # seconds between two looks at the hook
_REAP_S = 5.0  # seconds that the kernel may take to end killed processes
_GRACE_S = 10.0  # seconds beyond the deadline, in which the hook's parent starts and ends what is left of the hook
_PARENT = "import sys; sys.path.insert(0, sys.argv[1]); from hooks.contained import main; sys.exit(main(sys.argv[2:]))"
_HANDED_ON = ("RESULTS_ROOT", "STATE_ROOT", "LOGS_ROOT", identity.MARK, identity.RUN)
_CANNOT_RUN = (126, 127)  # exit codes of a shell for a command that it cannot run or find


@dataclass(frozen=True)
class HookAnswer:
    """The answer of a hook. A hook that gave no verdict is broken: `fault` says why, and `fix` what to do."""

    passed: bool
    reason: str
    fault: str = ""
    fix: str = ""


def fault_in(path: Path) -> tuple[str, str] | None:
    """Return why this file is not run, and what to type; None when it may be run."""
    if (fault := fault_of(path) or fault_of(path.parent)) is not None:
        return fault
    if not path.is_file():
        return "is no file", f"remove {path}"
    if not os.access(path, os.X_OK):
        import shlex

        return "cannot be executed", f"chmod u+x {shlex.quote(str(path))}, or remove it"
    return None


def ask(path: Path, record: Mapping[str, Any], deadline_s: float = DEADLINE_S) -> HookAnswer:
    """Run the hook with `record` as JSON on its standard input. Exit code 0 passes; its first line is the reason."""
    if (fault := fault_in(path)) is not None:
        return _broken(*fault)
    mark = os.urandom(16).hex()
    own = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    if nonce := os.environ.get(identity.NONCE):  # not for the parent, which must outlive the asking program a little
        own[HELD_BACK] = nonce
    import subprocess
    import tempfile

    answer, answer_to = os.pipe()
    parent = [sys.executable, "-I", "-S", "-c", _PARENT, str(CHECKOUT)]
    command = [*parent, str(answer_to), str(os.getpid()), str(deadline_s), str(path)]
    with tempfile.TemporaryFile() as question, os.fdopen(answer, "rb") as answers:
        question.write(codec.encode(record))
        question.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=question,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=allowed() | own | {MARK: mark},
                cwd=tempfile.gettempdir(),
                pass_fds=(answer_to,),
                start_new_session=True,
            )
        finally:
            os.close(answer_to)
        assert process.stdout is not None
        with process.stdout:
            said = _read(process, process.stdout, deadline_s + _GRACE_S)
            _end_all(process, mark)
        return _judged(path, _told(answers), said, deadline_s)


def _told(answers: IO[bytes]) -> str:
    """Return what the hook's parent wrote; "" when it ended before that."""
    os.set_blocking(answers.fileno(), False)  # an escaped process would hold the other end open for ever
    return (answers.read() or b"").decode(errors="replace")


def _judged(path: Path, told: str, said: bytes, deadline_s: float) -> HookAnswer:
    word, _, number = told.partition(" ")
    if word == "error":
        why = os.strerror(int(number))
        return _broken(f"cannot be run: {why}", f"see that its first line names a program, or remove {path}")
    code = int(number) if word == "code" else None
    lines = [line for line in map(_plain, said.decode(errors="replace").splitlines()) if line]
    if code is None:
        return _broken(f"gave no answer within {deadline_s:g} s", f"make {path} faster, or remove it")
    if code < 0:
        return _broken(f"was ended by {signal.Signals(-code).name}", f"run {path} by hand to see why, or remove it")
    reason = lines[0] if lines else f"exit code {code}"
    if code in _CANNOT_RUN:
        return _broken(f"cannot be run: {reason}", f"run {path} by hand to see why, or remove it")
    return HookAnswer(code == 0, reason)


def _broken(fault: str, fix: str) -> HookAnswer:
    return HookAnswer(False, fault, fault, fix)


def _plain(line: str) -> str:
    """Return a line of the hook without secrets and control characters, at most `_REASON` characters long."""
    return "".join(c for c in redacted(line[:_LINE]) if c.isprintable()).strip()[:_REASON]


def _read(process: "subprocess.Popen[bytes]", output: IO[bytes], deadline_s: float) -> bytes:
    """Return the beginning of the hook's output, once the hook's parent has ended or the time is over."""
    deadline = time.monotonic() + deadline_s
    kept = b""
    os.set_blocking(output.fileno(), False)
    while True:
        ended = _has_ended(process.pid)
        ready, _, _ = select.select([output], [], [], 0 if ended else _LOOK_S)
        chunk = os.read(output.fileno(), _KEPT_BYTES) if ready else b""
        kept += chunk[: _KEPT_BYTES - len(kept)]
        if (ended and not chunk) or time.monotonic() > deadline:
            return kept
        if ready and not chunk:  # the hook closed its output and goes on
            time.sleep(_LOOK_S)


def _has_ended(pid: int) -> bool:
    """Whether the process has ended. It is not reaped, so nobody else gets its pid before its group is ended."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_all(process: "subprocess.Popen[bytes]", mark: str) -> None:
    """Kill what the hook's parent has not ended, because no process may outlive its hook."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for _ in range(5):  # a process may fork while we look
        left = list(_marked(mark))
        for one in left:
            with contextlib.suppress(OSError):
                os.kill(one, signal.SIGKILL)
        if not left:
            break
    from subprocess import TimeoutExpired

    with contextlib.suppress(TimeoutExpired):
        process.wait(_REAP_S)


def _marked(mark: str) -> Iterator[int]:
    if identity.can_look():
        yield from (one.pid for one in identity.holders(mark, MARK) if one.pid != os.getpid())
