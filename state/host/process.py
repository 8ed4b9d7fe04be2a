"""What every process of ours does first: it resets the signals and the locale that it inherited.

`nohup`, cron, job runners and shells without job control start their programs with SIGINT ignored, some of them also
with signals blocked. Both are inherited: Ctrl-C would end neither a command nor anything that it starts. In a locale
other than UTF-8, Python could neither print `→` nor name a file as another process of ours has named it.

The standard library alone, and no newer syntax than Python 3.8's: the start-up of a command imports this.
"""

import os
import signal
import sys

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself would cost `--query` as much as all the rest
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

UTF8 = "PYTHONUTF8"  # in the environment of whatever we start: text is UTF-8, whatever the locale says
# SIGHUP is left as it is: `nohup` ignores it on purpose. Ignored, SIGCHLD would hide how a child ended.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGCHLD")


def in_english(environment: "Mapping[str, str]") -> "dict[str, str]":
    """`environment` for a program whose output we search for words: they are then the same in every locale."""
    return {**environment, "LC_ALL": "C", "LANGUAGE": ""}


def begin() -> None:
    """Hear Ctrl-C, and read and print UTF-8; what this process starts inherits both.

    In a locale that is not UTF-8 it starts this Python again, once: the encoding of file names is fixed at its start.
    """
    hear()
    if sys.getfilesystemencoding().lower() not in ("utf-8", "utf8") and "utf8" not in sys._xoptions:
        _anew()
    for stream in (sys.stdout, sys.stderr):
        _never_fails(stream)


def hear() -> None:
    """End by SIGINT and SIGTERM again, also where our parent ignored or blocked them, and hear of ended children."""
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    for number in numbers:
        if signal.getsignal(number) == signal.SIG_IGN:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def _anew() -> None:
    words = getattr(sys, "orig_argv", ["", *sys.argv])[1:]
    if sys.executable:
        os.environ[UTF8] = "1"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *words])


def _never_fails(stream: "TextIO") -> None:
    """What a stream cannot print is shown as its code or handed through, and no reason to end."""
    if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
        is_utf8 = str(stream.encoding).lower() in ("utf-8", "utf8")
        stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")
