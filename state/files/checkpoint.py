"""Keep the finished steps of a long job, one file for each step, so that a killed job continues from there.

A file is a header line and a payload of bytes. The header names the step, a key made from everything that decides the
step's result, and the SHA-256 of the payload. A file does not count, and its step is done again, if it is torn or
edited, if it is of other bars, settings or code, or if another user could have written it. This module does not look
into payloads; the code that did the step reads them, and nothing in them is ever executed.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from config.record import dataclass
from state.files import codec, digest, private, snapshot

SCHEMA = 1
MOST_BYTES = 512 * 2**20  # of all steps of one job; 250,000 combos that all trade take 64 MB
_PLAN = "plan.json"
_SUFFIX = ".step"
_LONGEST_HEAD = 4096  # bytes


@dataclass(frozen=True)
class Count:
    """How many of a job's planned steps are kept."""

    kept: int
    steps: int


@dataclass(frozen=True)
class Checkpoint:
    """The kept steps of one job in `folder`. `key` stands for everything that decides the job's results.

    Only one process at a time may plan in a folder.
    """

    folder: Path
    key: str

    def plan(self, steps: Sequence[str]) -> None:
        """Write down which steps the job has, and delete the files of jobs with another key.

        Raises:
            OSError: the plan cannot be written.
        """
        mine = {self.path(step) for step in steps}
        snapshot.sweep(self.folder)
        for path in _files(self.folder):
            if path not in mine and not self._is_mine(path):
                path.unlink(missing_ok=True)
        snapshot.write_json(self.folder / _PLAN, {"schema": SCHEMA, "key": self.key, "steps": list(steps)})

    def path(self, step: str) -> Path:
        """Return the path of a step's file."""
        words = "".join(c if c.isascii() and c.isalnum() else "-" for c in step)
        return self.folder / f"{words}{_SUFFIX}"

    def put(self, step: str, inputs: Any, payload: bytes) -> None:
        """Keep the result of `step` with these `inputs` (plain JSON), atomically and without waiting for the disk.

        Raises:
            OSError: the disk is full, the folder is not writable, or the job's files would exceed `MOST_BYTES`.
        """
        # The sum in the header makes fsync unnecessary: a file that a power cut damaged is not accepted.
        head = {"schema": SCHEMA, "step": step, "of": self.key, "key": self._key(step, inputs)}
        head["sha256"] = digest.of(payload)
        if sum(path.stat().st_size for path in _files(self.folder)) + len(payload) > MOST_BYTES:
            raise OSError(f"the kept steps in {self.folder} would take more than {MOST_BYTES // 2**20} MB")
        _write(self.path(step), codec.encode_line(head) + payload)

    def get(self, step: str, inputs: Any) -> bytes | None:
        """Return the payload that `put` was given; None unless the file is there, whole, and written by this user."""
        head, payload = _read(self.path(step))
        return payload if head.get("step") == step and head.get("key") == self._key(step, inputs) else None

    def _key(self, step: str, inputs: Any) -> str:
        return digest.of(codec.encode_line([self.key, step, inputs]))

    def _is_mine(self, path: Path) -> bool:
        return _head(path).get("of") == self.key


def count(folder: Path) -> Count | None:
    """Return how many steps are kept in `folder`; None when no job has a plan there."""
    plan = snapshot.read_json(folder / _PLAN)
    if not isinstance(plan, dict) or plan.get("schema") != SCHEMA or not isinstance(plan.get("steps"), list):
        return None
    there = {head.get("step") for path in _files(folder) if (head := _read(path)[0]).get("of") == plan.get("key")}
    return Count(sum(str(step) in there for step in plan["steps"]), len(plan["steps"]))


# files ----------------------------------------------------------------------------------------------------------------


def _files(folder: Path) -> Iterator[Path]:
    return folder.glob(f"*{_SUFFIX}")


def _write(path: Path, data: bytes) -> None:
    """Write without fsync. A power cut may damage the file, which its sum reveals; 60 waits for the disk in each
    validation would cost more."""
    private.folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        temporary.touch(0o600, exist_ok=False)
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _head(path: Path) -> dict[str, Any]:
    """Return the header of a file; {} when it has none of ours."""
    try:
        with open(path, "rb", opener=_open) as file:
            return _decoded(file.readline(_LONGEST_HEAD))
    except OSError:
        return {}


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return header and payload of a whole file; ({}, b"") for any other."""
    try:
        with open(path, "rb", opener=_open) as file:
            head = _decoded(file.readline(_LONGEST_HEAD))
            payload = file.read(MOST_BYTES)
    except OSError:
        return {}, b""
    return (head, payload) if head and head.get("sha256") == digest.of(payload) else ({}, b"")


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        head = codec.decode(line)
    except ValueError:
        return {}
    return head if isinstance(head, dict) and head.get("schema") == SCHEMA else {}


def _open(path: str, flags: int) -> int:
    """Open a file only if it is a plain file that no other user could have written; links, pipes and devices are not.

    Raises:
        OSError: the file is missing, or is not such a file.
    """
    # The checks are made on the open descriptor, so the file cannot be exchanged between check and use.
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return descriptor
    os.close(descriptor)
    raise PermissionError(path)
