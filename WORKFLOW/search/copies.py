"""A study as it is at this moment, copied: whoever looks at the copy can neither disturb the search nor change it."""

import sqlite3
import warnings
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna

from config.errors import Refused
from config.search import JOURNAL, SQLITE
from state.files import snapshot
from state.files.run_folders import RunFolder
from WORKFLOW.search.database import opened
from WORKFLOW.search.storage import name_of, open_storage


def copied(folder: RunFolder, to: Path) -> optuna.storages.BaseStorage:
    """The studies of the search in `folder`, in a storage of their own inside the folder `to`; maybe without a trial.

    Raises:
        Refused: the search's job is gone, or its database does not answer.
    """
    record = snapshot.read_json(folder.search)  # not as a SearchJob, which would load the engines
    if not isinstance(record, dict) or "storage" not in record:
        raise Refused(f"{folder.search} is gone or no search", "scripts/backtest-optimize doctor says what else is")
    copy = _copied(record["storage"], folder, to)
    _name_metrics(copy, record)
    return copy


def _copied(storage: str, folder: RunFolder, to: Path) -> optuna.storages.BaseStorage:
    if storage == JOURNAL:
        return open_storage(_whole_lines(folder.study, to / "study.jsonl"))
    if storage == SQLITE:
        database: optuna.storages.BaseStorage = opened(f"sqlite:///{_backup(folder.study_database, to / 'study.db')}")
        return database
    live, copy = opened(storage), open_storage(to / "study.jsonl")
    for study in optuna.get_all_study_names(live):
        if study.startswith(f"{name_of(folder)} "):
            optuna.copy_study(from_study_name=study, from_storage=live, to_storage=copy)
    return copy


def _name_metrics(copy: optuna.storages.BaseStorage, record: Mapping[str, Any]) -> None:
    """So that charts say what is on their axes; the search itself needs no names."""
    plan = record.get("plan")
    names = plan.get("objectives") if isinstance(plan, dict) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # its version is pinned
        for study in copy.get_all_studies():
            if isinstance(names, list) and len(names) == len(study.directions):
                optuna.load_study(study_name=study.study_name, storage=copy).set_metric_names(names)


def _whole_lines(journal: Path, to: Path) -> Path:
    """Somebody may be writing the last line."""
    data = journal.read_bytes() if journal.exists() else b""
    to.write_bytes(data[: data.rfind(b"\n") + 1])
    return to


def _backup(database: Path, to: Path) -> Path:
    """As SQLite itself copies a database that others write."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as live, closing(sqlite3.connect(to)) as copy:
        live.backup(copy)
    return to
