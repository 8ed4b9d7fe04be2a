"""How every command ends: its exit code, and what it says when something is in the way (docs/adr/0031).

A refusal is a sentence and a way out on standard error; with `--json` the same is an object on standard output. The
standard library alone, and no newer syntax than Python 3.8's: `session_state_manager.py --query` imports this.
"""

import os
import sys

from config.errors import Misused, Refused

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself would cost `--query` as much as all the rest
if TYPE_CHECKING:
    from collections.abc import Callable

DONE, FAILED, USAGE = 0, 1, 2
INTERRUPTED = 130  # what shells report for Ctrl-C
STOPPED = ("stopped", "")  # what is true after a Ctrl-C, and how to go on


def mishap(error: OSError) -> Refused:
    """What the file system said, as a refusal."""
    way_out = "see that you may read and write it, and that its disk has room"
    return Refused(f"{error.filename or 'a file'}: {error.strerror or error}", way_out)


def ended(
    deed: "Callable[[], int]",
    as_json: bool = False,
    stopped: "tuple[str, str]" = STOPPED,
    mishap: "Callable[[OSError], Refused]" = mishap,
) -> int:
    """Do it, and return the exit code; whatever ends it early is said, and is no traceback.

    Args:
        deed: The command; it returns its exit code, 0 or 1.
        as_json: Whether what ends it early is printed as an object, too.
        stopped: What is true after a Ctrl-C, and how to go on.
        mishap: What an error of the file system means to this command.
    """
    code = DONE
    try:
        code = deed()
        sys.stdout.flush()
    except SystemExit as left:
        return _code_of(left)
    except BrokenPipeError as broken:
        if not _is_unread():
            return _failed(mishap(broken), as_json)
        _read_no_more()  # whoever read us has seen enough; the verdict stays, where there is one already
    except KeyboardInterrupt:
        return _stopped(stopped, as_json)
    except Refused as refusal:
        return _failed(refusal, as_json)
    except OSError as error:
        return _failed(mishap(error), as_json)
    return code


def tell(text: str) -> None:
    """Print the answer of a command whose exit code is a verdict, which stands even when nobody reads to the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _read_no_more()


def _failed(refusal: Refused, as_json: bool) -> int:
    _say("error: ", refusal, as_json)
    return USAGE if isinstance(refusal, Misused) else FAILED


def _stopped(stopped: "tuple[str, str]", as_json: bool) -> int:
    # A terminal shows ^C and stays on its line.
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
    """A parser leaves with a number; whoever leaves with a text wants it printed by Python."""
    if isinstance(left.code, str):
        raise left
    return left.code or DONE


def _is_unread() -> bool:
    """Whether nobody reads what we print any more; else the pipe that broke is one of the command's own."""
    import select

    try:
        asks = select.poll()
        for stream in (sys.stdout, sys.stderr):
            asks.register(stream.fileno(), 0)  # errors are told in any case
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in asks.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on this system, or no descriptor
        return False


def _read_no_more() -> None:
    """Python flushes standard output as it ends, and would complain of the closed pipe once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
