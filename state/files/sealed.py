"""Records that carry the sum of what they hold, so that a reader tells what was changed since they were written.

A sum proves who wrote nothing: whoever can write the file can write a sum to match. It tells edits, mix-ups and failing
disks; what a liar with our code could change is compared with what it was made from, by whoever goes on from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from state.files import codec, digest, snapshot
from state.files.artifacts import WINDOWS

SUM = "sum"


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the sum of all else in it."""
    rest = {key: value for key, value in record.items() if key != SUM}
    return {**rest, SUM: digest.of(codec.encode_line(rest))}


def is_whole(record: Any) -> bool:
    """Whether it is a record that carries its own sum."""
    return isinstance(record, dict) and SUM in record and sealed(record)[SUM] == record[SUM]


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """`snapshot.write_json` of the sealed record."""
    snapshot.write_json(path, sealed(record))


def read_json(path: Path) -> dict[str, Any] | None:
    """The record at `path` without its sum; None where there is none that is as it was written."""
    record: Any = snapshot.read_json(path)
    return {key: value for key, value in record.items() if key != SUM} if is_whole(record) else None


def manifest(record: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest whose `execution`, which differs from run to run anyway, carries the sum of all of it."""
    execution = record.get("execution")
    if not isinstance(execution, Mapping):
        return dict(record)
    bare = {**record, "execution": {key: value for key, value in execution.items() if key != SUM}}
    return {**bare, "execution": {**bare["execution"], SUM: digest.of(codec.encode_line(bare))}}


def manifest_is_whole(record: Any) -> bool | None:
    """Whether a manifest is as it was published; None where it carries no sum and names no `windows.json`: both are
    missing from those of earlier versions."""
    execution = record.get("execution") if isinstance(record, dict) else None
    if not isinstance(execution, dict) or SUM not in execution:
        files = record.get("files") if isinstance(record, dict) else None
        return False if any(str(name).endswith(f"/{WINDOWS}") for name in files or ()) else None
    return bool(manifest(record)["execution"][SUM] == execution[SUM])
