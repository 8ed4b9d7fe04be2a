"""Where a study is kept: in Optuna's journal on our own file, which no killed writer can spoil, or in a database.

We measured two faults of Optuna's own journal file. A torn append glues onto the next record, and then every reader
fails for ever. A process that is killed while it holds the lock makes the others wait for ever. Here the kernel drops
the lock of a dead process, and the next writer cuts a torn end back to the last newline.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import optuna
from optuna.storages.journal import BaseJournalBackend

from config.errors import Recomputable
from state.files.journal import Journal
from state.files.run_folders import RunFolder

Done = TypeVar("Done")
Direction = Literal["minimize", "maximize"]


class FlockJournalBackend(BaseJournalBackend):
    """Optuna's log records in a `state.files.journal.Journal`."""

    def __init__(self, path: Path) -> None:
        # Only a power cut could lose the last records of a study, and the search then repeats them. An fsync for each
        # of ten records per trial would take longer than the trial.
        self._journal = Journal(path, durable=False)
        self._offsets = {0: 0}  # log number → byte offset, from the last reads

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the whole records from number `log_number_from` on."""
        known = max(number for number in self._offsets if number <= log_number_from)
        page = self._journal.read(self._offsets[known])
        strange = sum(not isinstance(record, dict) or "op_code" not in record for record in page.records)
        if page.bad_lines or strange:
            raise damaged(self._journal.path, f"holds {len(page.bad_lines) + strange} lines that are no records")
        self._offsets = {0: 0, known + len(page.records): page.next_offset}
        return page.records[log_number_from - known :]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records; another process sees either all of a record or nothing of it."""
        # Optuna's records may hold infinities and other values of Python's json, so they are encoded as Optuna does.
        self._journal.append_lines(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)


class _Replayed(optuna.storages.JournalStorage):
    """Optuna's storage, with a clear error for a record that Optuna does not know or that lacks something."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(FlockJournalBackend(path))

    def _sync_with_backend(self) -> None:
        try:
            super()._sync_with_backend()
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            number = self._replay_result.log_number_read
            raise damaged(self._path, f"cannot be replayed beyond record {number}: {error!r}") from error


def open_storage(path: Path) -> optuna.storages.JournalStorage:
    """Open the study storage at `path`, or make it; many processes may use it at the same time."""
    return _Replayed(path)


def damaged(study: Path | str, what: str) -> Recomputable:
    """Return the error for a study with content that our code has not written."""
    way_out = "it was edited or its disk is failing; type the command again: it sets it aside and searches again"
    return Recomputable(f"the study {study} {what}", way_out)


def name_of(folder: RunFolder) -> str:
    """Return the name of the studies in `folder`'s search; one PostgreSQL server may hold those of many searches."""
    return f"backtest-optimize {hashlib.sha256(str(folder.path).encode()).hexdigest()[:16]}"


class StudyStore(Protocol):
    """The studies of one search, for many processes."""

    @property
    def where(self) -> str:
        """The file or address that a person can look at, without a password."""

    def act(self, deed: Callable[[optuna.storages.BaseStorage], Done]) -> Done:
        """Run `deed` on the storage and return its result. It may run twice, so a repetition must change nothing."""

    def study_id(self, storage: optuna.storages.BaseStorage, number: int, directions: Sequence[Direction]) -> int:
        """Return the id of the search's study `number`, which is made if there is none."""

    def mark(self) -> int | None:
        """Return a value that changes when anything is added; None if a change can be found only by reading."""

    def close(self) -> None:
        """Release everything; other processes may go on."""


class NamedStudies:
    """Studies that are named after their search."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ids: dict[int, int] = {}

    def study_id(self, storage: optuna.storages.BaseStorage, number: int, directions: Sequence[Direction]) -> int:
        """Return the id of the search's study `number`, which is made if there is none."""
        if number not in self._ids:
            name = f"{self._name} {number}"
            study = optuna.create_study(
                storage=storage, study_name=name, directions=list(directions), load_if_exists=True
            )
            self._ids[number] = study._study_id
        return self._ids[number]


class JournalStore(NamedStudies):
    """A search in one journal of its own."""

    def __init__(self, path: Path, name: str = "search") -> None:
        super().__init__(name)
        self._path, self._storage = path, open_storage(path)

    @property
    def where(self) -> str:
        """The journal's path."""
        return str(self._path)

    def act(self, deed: Callable[[optuna.storages.BaseStorage], Done]) -> Done:
        """Run `deed` on the storage and return its result."""
        return deed(self._storage)

    def mark(self) -> int | None:
        """Return the length of the journal in bytes, or None if it is gone."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Do nothing: the file is open only during a call."""
