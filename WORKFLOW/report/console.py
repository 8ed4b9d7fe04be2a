"""Show the progress of a run: a bar for each phase on a terminal, plain lines elsewhere, and always a log file.

Everything but the result goes to standard error, so that standard output can be piped.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from config.errors import visible
from state.files import private

_PLAIN_EVERY_S = 5.0  # seconds between two progress lines without a terminal

OnProgress = Callable[[int, int, str], None]


class Phase:
    """The progress of one phase."""

    def __init__(self, screen: "Screen", name: str, total: int, task: TaskID | None) -> None:
        self._screen, self._name, self._total, self._task = screen, name, total, task
        self._said_at = time.monotonic()
        self._done = 0

    def at(self, done: int, note: str = "", line: str = "") -> None:
        """Report `done` of the total.

        `note` is a short remark for the bar, and `line` must appear in the log in any case.
        """
        self._done = done
        if self._screen.on_progress is not None:
            self._screen.on_progress(done, self._total, note)
        if line:
            self._screen.plain(line)
        if self._task is not None and self._screen.bars is not None:
            self._screen.bars.update(self._task, completed=done, note=note)
        elif line:
            self._said_at = time.monotonic()
        elif time.monotonic() - self._said_at >= _PLAIN_EVERY_S and done < self._total:
            self._said_at = time.monotonic()
            self._screen.plain(f"{self._name}: {done:,} of {self._total:,} {note}".rstrip())

    def finish(self) -> None:
        """Report that the whole phase is done."""
        if self._task is not None and self._screen.bars is not None:
            self._screen.bars.update(self._task, completed=self._total)
        else:
            self._screen.plain(f"{self._name}: done, {self._total:,} of {self._total:,}")

    def step(self, note: str = "") -> None:
        """Report one more step."""
        self.at(self._done + 1, note)


class Screen:
    """The header, phases and log lines of one run."""

    def __init__(self, log: Path | None = None, on_progress: OnProgress | None = None, quiet: bool = False) -> None:
        """`on_progress` receives (done, total, note) of the current phase. A quiet screen writes to its log alone."""
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
        self.on_progress = on_progress
        self.bars: Progress | None = None
        self._log: IO[str] | None = None
        if log is not None:
            self.log_to(log)

    def __enter__(self) -> Self:
        """Start drawing."""
        if self.console.is_terminal and not self.console.quiet:
            self.bars = Progress(
                TextColumn("  {task.description:<10}"),
                BarColumn(bar_width=16),  # keeps the whole line within 80 columns
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("[dim]{task.fields[note]}"),
                console=self.console,
            )
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state of the bars on the screen."""
        if self.bars is not None:
            self.bars.stop()
        if self._log is not None:
            self._log.close()

    def log_to(self, path: Path) -> None:
        """Write every further line to `path`, too."""
        private.folder(path.parent)
        self._log = path.open("a", encoding="utf-8", buffering=1)

    def say(self, text: str, style: str = "") -> None:
        """Write a line to the screen and the log."""
        self.log(text)
        self.console.print(visible(text), style=style or None, markup=False, soft_wrap=not self.console.is_terminal)

    def plain(self, text: str) -> None:
        """Write a line to the log, and to standard error without a terminal; on a terminal, the bar says the same."""
        self.log(text)
        if self.bars is None and not self.console.quiet:
            print(visible(text), file=sys.stderr, flush=True)

    def log(self, text: str) -> None:
        """Write a line to the log only."""
        if self._log is not None:
            self._log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Phase]:
        """Open a phase of `total` steps; its bar stays on the screen when the phase is done."""
        task = self.bars.add_task(name, total=total, note="") if self.bars is not None else None
        self.log(f"{name}: started, {total:,} steps")
        phase = Phase(self, name, total, task)
        yield phase
        phase.finish()
