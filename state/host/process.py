"""The first thing that every process of ours does: reset the signals and the locale that it inherited.

`nohup`, cron, job runners and shells without job control start programs with SIGINT ignored, and some also block
signals. Both are inherited, so Ctrl-C would end neither a command nor anything that it starts. In a locale other than
UTF-8, Python could not print `→`, and would read file names of our other processes differently.

This module uses only the standard library and no syntax newer than Python 3.8, because the start-up of a command
imports it.
"""

import os
import signal
import sys

# type checkers take it as true; importing `typing` would cost `--query` as much time as all the rest
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

UTF8 = "PYTHONUTF8"  # set for everything that we start, so that its text is UTF-8 in every locale
# SIGHUP is left alone, because `nohup` ignores it on purpose. An ignored SIGCHLD would hide how a child ended.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGCHLD")


def in_english(environment: "Mapping[str, str]") -> "dict[str, str]":
    """Return `environment` changed so that a program prints English, because we search its output for words."""
    return {**environment, "LC_ALL": "C", "LANGUAGE": ""}


def begin() -> None:
    """Let Ctrl-C end this process, and let it read and print UTF-8; its children inherit both.

    In a locale that is not UTF-8, Python is started again, once, because the encoding of file names is fixed at its
    start.
    """
    hear()
    if sys.getfilesystemencoding().lower() not in ("utf-8", "utf8") and "utf8" not in sys._xoptions:
        _anew()
    for stream in (sys.stdout, sys.stderr):
        _never_fails(stream)


def hear() -> None:
    """Reset SIGINT, SIGTERM and SIGCHLD to their defaults, and unblock them, whatever the parent had done."""
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
    """Let a stream print characters that its encoding lacks as escapes, or pass them through, instead of raising."""
    if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
        is_utf8 = str(stream.encoding).lower() in ("utf-8", "utf8")
        stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")
