"""How every command ends: its exit code, and its message when it ends early (docs/adr/0031).

A refusal is a sentence and a way out on standard error; with `--json` it is also an object on standard output. This
module uses only the standard library and no syntax newer than Python 3.8, because `session_state_manager.py --query`
imports it.
"""

import os
import sys

from config.errors import Misused, Refused

# type checkers take it as true; importing `typing` would cost `--query` as much time as all the rest
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DONE, FAILED, USAGE = 0, 1, 2
INTERRUPTED = 130  # what shells report for Ctrl-C
STOPPED = ("stopped", "")  # what is true after a Ctrl-C, and how to go on


def mishap(error: OSError) -> Refused:
    """Return an error of the file system as a refusal with a way out."""
    way_out = "see that you may read and write it, and that its disk has room"
    return Refused(f"{error.filename or 'a file'}: {error.strerror or error}", way_out)


def ended(
    deed: "Callable[[], int]",
    as_json: bool = False,
    stopped: "tuple[str, str]" = STOPPED,
    mishap: "Callable[[OSError], Refused]" = mishap,
) -> int:
    """Run a command and return its exit code. What ends it early is printed as a message, never as a traceback.

    Args:
        deed: The command; it returns its exit code, 0 or 1.
        as_json: Whether that message is also printed as an object.
        stopped: What is true after a Ctrl-C, and how to go on.
        mishap: Turns an error of the file system into this command's refusal.
    """
    code = DONE
    try:
        code = deed()
        sys.stdout.flush()
    except SystemExit as left:
        return _code_of(left)
    except BrokenPipeError as broken:
        # A broken pipe to another program is an error of the command; the end is quiet only when our reader has left.
        if not _is_unread():
            return _failed(mishap(broken), as_json)
        _read_no_more()  # the reader has left; the exit code stays as it is
    except KeyboardInterrupt:
        return _stopped(stopped, as_json)
    except Refused as refusal:
        return _failed(refusal, as_json)
    except OSError as error:
        return _failed(mishap(error), as_json)
    return code


def tell(text: str) -> None:
    """Print the answer of a command whose exit code is a verdict; the verdict stands even when the reader has left."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _read_no_more()


def _failed(refusal: Refused, as_json: bool) -> int:
    _say("error: ", refusal, as_json)
    return USAGE if isinstance(refusal, Misused) else FAILED


def _stopped(stopped: "tuple[str, str]", as_json: bool) -> int:
    # A terminal shows ^C and does not begin a new line.
    _say("\n" if sys.stderr.isatty() else "", Refused(*stopped), as_json)
    return INTERRUPTED


def _say(before: str, why: Refused, as_json: bool) -> None:
    try:
        if as_json:
            import json

            print(json.dumps({"error": why.reason, "way_out": why.way_out}, indent=2), flush=True)
        print(f"{before}{why}", file=sys.stderr)
    except BrokenPipeError:
        _read_no_more()


def _code_of(left: SystemExit) -> int:
    """Return the exit code of a SystemExit. One with a text is raised again, because Python then prints the text."""
    if isinstance(left.code, str):
        raise left
    return left.code or DONE


def _is_unread() -> bool:
    """Whether the reader of our output has left. Otherwise the broken pipe is one of the command's own."""
    import select

    try:
        asks = select.poll()
        for stream in (sys.stdout, sys.stderr):
            asks.register(stream.fileno(), 0)  # with no events asked for, poll still reports errors
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in asks.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on this system, or no descriptor
        return False


def _read_no_more() -> None:
    """Send standard output to the null device, because Python flushes it at its end and would report the pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
