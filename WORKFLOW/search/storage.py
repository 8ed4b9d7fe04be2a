"""Optuna's journal on our own file: one that a killed writer cannot poison.

Measured on the stock backend: a torn append glues onto the next record and every reader fails for ever; a lock holder
that was killed makes the others spin for ever. Here the kernel drops the lock of a dead process, and the next writer
cuts a torn tail back to the last newline.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import BaseJournalBackend

from config.errors import Refused
from state.journal import Journal


class FlockJournalBackend(BaseJournalBackend):
    """Optuna's log records in a `state.journal.Journal`."""

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
            raise Refused(
                f"the study {self._journal.path} holds {len(page.bad_lines) + strange} lines that are no records",
                "it was edited or its disk is failing; move the file away to search again from the start",
            )
        self._offsets = {0: 0, known + len(page.records): page.next_offset}
        return page.records[log_number_from - known :]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records; another process sees all of a record or nothing."""
        # Optuna's own records may hold infinities and whatever else its json writes: encode them as it does.
        self._journal.append_lines(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)


def open_storage(path: Path) -> optuna.storages.JournalStorage:
    """The study storage at `path`, made when it is not there; safe for many processes."""
    return optuna.storages.JournalStorage(FlockJournalBackend(path))
