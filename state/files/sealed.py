"""Records that hold a sum of their own contents, so that a reader notices changes since they were written.

A sum reveals edits, mix-ups and failing disks. It does not prove who wrote a record, because anybody who can write the
file can also write a matching sum. So a program that builds on a record compares what could be forged with what the
record was made from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from state.files import codec, digest, snapshot
from state.files.artifacts import WINDOWS

SUM = "sum"


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with the sum of all its other fields."""
    rest = {key: value for key, value in record.items() if key != SUM}
    return {**rest, SUM: digest.of(codec.encode_line(rest))}


def is_whole(record: Any) -> bool:
    """Whether `record` is a record with its own, matching sum."""
    return isinstance(record, dict) and SUM in record and sealed(record)[SUM] == record[SUM]


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write the sealed record with `snapshot.write_json`."""
    snapshot.write_json(path, sealed(record))


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the record at `path` without its sum; None when there is none, or it was changed since it was written."""
    record: Any = snapshot.read_json(path)
    return {key: value for key, value in record.items() if key != SUM} if is_whole(record) else None


def manifest(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest with the sum of all of it in `execution`, the section that differs in each run anyway."""
    execution = record.get("execution")
    if not isinstance(execution, Mapping):
        return dict(record)
    # The sum is taken without itself, so that it can be computed again from what was read.
    bare = {**record, "execution": {key: value for key, value in execution.items() if key != SUM}}
    return {**bare, "execution": {**bare["execution"], SUM: digest.of(codec.encode_line(bare))}}


def manifest_is_whole(record: Any) -> bool | None:
    """Whether a manifest is as it was published.

    None when it holds no sum and names no `windows.json`: manifests of earlier versions have neither.
    """
    execution = record.get("execution") if isinstance(record, dict) else None
    if not isinstance(execution, dict) or SUM not in execution:
        files = record.get("files") if isinstance(record, dict) else None
        return False if any(str(name).endswith(f"/{WINDOWS}") for name in files or ()) else None
    return bool(manifest(record)["execution"][SUM] == execution[SUM])
