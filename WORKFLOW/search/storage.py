"""Where a study lies: Optuna's journal on our own file, one that a killed writer cannot poison; or a database.

Measured on the stock backend: a torn append glues onto the next record and every reader fails for ever; a lock holder
that was killed makes the others spin for ever. Here the kernel drops the lock of a dead process, and the next writer
cuts a torn tail back to the last newline.
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
        # A study can always be searched again up to its last records: only a power cut could take them, and paying
        # an fsync for each of ten records a trial would cost more than the trial.
        self._journal = Journal(path, durable=False)
        self._offsets = {0: 0}  # log number → byte offset, of the last reads

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Whole records from number `log_number_from` on."""
        known = max(number for number in self._offsets if number <= log_number_from)
        page = self._journal.read(self._offsets[known])
        strange = sum(not isinstance(record, dict) or "op_code" not in record for record in page.records)
        if page.bad_lines or strange:
            raise damaged(self._journal.path, f"holds {len(page.bad_lines) + strange} lines that are no records")
        self._offsets = {0: 0, known + len(page.records): page.next_offset}
        return page.records[log_number_from - known :]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records; another process sees all of a record or nothing."""
        # Optuna's own records may hold infinities and whatever else its json writes: encode them as it does.
        self._journal.append_lines(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)


class _Replayed(optuna.storages.JournalStorage):
    """Optuna's, which ends with whatever error a record gives that it does not know or that lacks something."""

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
    """The study storage at `path`, made when it is not there; safe for many processes."""
    return _Replayed(path)


def damaged(study: Path | str, what: str) -> Recomputable:
    """What is said of a study that holds what nobody here wrote."""
    way_out = "it was edited or its disk is failing; type the command again: it sets it aside and searches again"
    return Recomputable(f"the study {study} {what}", way_out)


def name_of(folder: RunFolder) -> str:
    """What the studies of the search in `folder` are called after: one PostgreSQL may hold those of many searches."""
    return f"backtest-optimize {hashlib.sha256(str(folder.path).encode()).hexdigest()[:16]}"


class StudyStore(Protocol):
    """Studies of one search, for many processes."""

    @property
    def where(self) -> str:
        """The file or address that a person can look at; no password."""

    def act(self, deed: Callable[[optuna.storages.BaseStorage], Done]) -> Done:
        """What `deed` makes of the storage; a deed may be done twice, so it must not matter."""

    def study_id(self, storage: optuna.storages.BaseStorage, number: int, directions: Sequence[Direction]) -> int:
        """The id of the search's study `number`, made when there is none."""

    def mark(self) -> int | None:
        """What is another when anything was added since; None where only a look can tell."""

    def close(self) -> None:
        """Let go of everything; others may go on."""


class NamedStudies:
    """Studies that are named after their search."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ids: dict[int, int] = {}

    def study_id(self, storage: optuna.storages.BaseStorage, number: int, directions: Sequence[Direction]) -> int:
        """The id of the search's study `number`, made when there is none."""
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
        """What `deed` makes of the storage."""
        return deed(self._storage)

    def mark(self) -> int | None:
        """The journal's length."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Nothing is held between two calls."""
