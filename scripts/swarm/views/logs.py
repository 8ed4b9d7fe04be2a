"""bt-worker-log-index: every log with its size, its age and its last line; the newest first."""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.text import Text

from scripts.swarm import records, show
from scripts.swarm.fit import Block, count, fitted, middle
from state.files.layout import Roots
from state.records import orders

_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z\s+")  # the time stamp of a line, left out because the age is shown
_RUN = re.compile(r"^bt-\d{4}(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)Z$")
_MOST_LOGS = 500  # logs, the newest; a page shows a few dozen


@dataclass(frozen=True)
class Log:
    """One log file."""

    name: str
    path: Path
    size_bytes: int
    changed_s: float


class Logs:
    """The view of every log with its size, age and last line, the newest first."""

    def look(self, roots: Roots) -> None:
        """See `View`."""
        self._folder, self._now_s = roots.logs, time.time()
        order = orders.current(roots)
        self._here = "" if order is None else f"{order.run_id}/"
        self._logs = sorted(_logs(roots.logs), key=lambda log: -log.changed_s)

    def page(self, width: int | None, height: int | None) -> Group:
        """See `View`."""
        columns = 160 if width is None else width
        some = self._logs[: _MOST_LOGS if height is None else height]
        total = sum(log.size_bytes for log in self._logs)
        title = f"{count(len(self._logs), 'log')}, {_size(total)}, the newest first · {self._folder}"
        rows = tuple(self._row(log, columns) for log in some) or (Text("  nothing has been logged yet"),)
        lines = Block(rows, rank=1, least=1)
        head = Block((Text(middle(title, columns), style="bold"),))
        more = len(self._logs) - (len(rows) if height is None else min(len(rows), max(1, height - 2)))
        foot = Block((Text(f"  … and {count(more, 'more log')}", style="dim"),) if more > 0 else ())
        return fitted([head, lines, foot], width, height)

    def line(self) -> str:
        """See `View`."""
        if not self._logs:
            return f"nothing has been logged yet under {self._folder}"
        newest = self._logs[0]
        return f"{count(len(self._logs), 'log')}; {newest.name} {self._age(newest)}: {records.last_line(newest.path)}"

    def _row(self, log: Log, columns: int) -> Text:
        widest = max(12, columns // 2 - 8)
        text = Text(f"  {self._name(log, widest):<{widest}} {_size(log.size_bytes):>7} {self._age(log):>7}  ")
        said = _STAMP.sub("", _printable(records.last_line(log.path))) if log.size_bytes else "empty"
        return text.append(_cut(said, columns - widest - 20), style="dim")

    def _name(self, log: Log, widest: int) -> str:
        """Return the log's job; for another run, behind the moment at which that run began, which is never cut."""
        name = log.name.removeprefix(self._here).removesuffix(".log")
        run, slash, job = name.partition("/")
        if slash and (began := _RUN.match(run)):
            when = "{}-{} {}:{}:{} ".format(*began.groups())
            return when + middle(job, max(1, widest - len(when)))
        return middle(name, widest)

    def _age(self, log: Log) -> str:
        age_s = max(0.0, self._now_s - log.changed_s)
        return f"{age_s:.0f} s" if age_s < 100 else show.span(age_s)


def _logs(folder: Path) -> Iterator[Log]:
    """List the logs at the cost of one system call for each file; files that vanish meanwhile are skipped."""
    pending = [(str(folder), "")]
    while pending:
        path, prefix = pending.pop()
        try:
            entries = list(os.scandir(path))
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, f"{prefix}{entry.name}/"))
                elif not entry.name.endswith(".lock"):
                    stat = entry.stat(follow_symlinks=False)
                    yield Log(prefix + entry.name, Path(entry.path), stat.st_size, stat.st_mtime)
            except OSError:
                continue


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    value, unit = (size_bytes / 1e3, "kB") if size_bytes < 1e6 else (size_bytes / 1e6, "MB")
    return f"{value:.1f} {unit}" if value < 100 else f"{value:,.0f} {unit}"


def _printable(text: str) -> str:
    """Remove escape sequences and other bytes that would move the cursor of the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
