"""Snapshots under real failures: a file-size limit stands in for a full disk."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from state.files import codec, layout, snapshot


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=layout.CHECKOUT, capture_output=True, text=True, check=False)


def test_a_value_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "record.json"
    snapshot.write_json(path, {"π": [1, 0.1, None]})
    assert snapshot.read_json(path) == {"π": [1, 0.1, None]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_name_that_is_no_utf8_can_be_recorded_and_comes_back(tmp_path: Path) -> None:
    """An error about such a file must not end the cycle that writes it down."""
    name = os.fsdecode(b"bars-\xff.csv")
    snapshot.write_json(tmp_path / "record.json", {"path": name})
    assert snapshot.read_json(tmp_path / "record.json") == {"path": name}
    assert codec.decode(codec.encode_line([name])) == [name]


@pytest.mark.parametrize("content", [None, b"", b'{"torn": ', b"\xff", b'{"a": NaN}'])
def test_what_is_not_there_or_not_json_reads_as_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "record.json"
    if content is not None:
        path.write_bytes(content)
    assert snapshot.read_json(path) is None


def test_nan_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    snapshot.write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        snapshot.write_json(path, float("nan"))
    assert snapshot.read_json(path) == 1


FULL_DISK = """
import resource, sys
from pathlib import Path
from state.files import snapshot
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    snapshot.write_bytes(Path(sys.argv[1]), b"x" * int(sys.argv[2]))
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("size", [1_001, 5_000_000])  # inside one buffer, and far beyond it
def test_a_full_disk_keeps_the_old_file_and_leaves_no_debris(tmp_path: Path, size: int) -> None:
    path = tmp_path / "record.json"
    snapshot.write_bytes(path, b"old")
    done = python(FULL_DISK, path, size)
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


WRITER = """
import sys
from pathlib import Path
from state.files import snapshot
for n in range(200):
    snapshot.write_json(Path(sys.argv[1]), [n] * 2000)
"""


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    snapshot.write_json(path, [0] * 2000)
    with subprocess.Popen([sys.executable, "-c", WRITER, path], cwd=layout.CHECKOUT) as writer:
        while writer.poll() is None:
            value = snapshot.read_json(path)
            assert value is not None
            assert len(value) == 2000
            assert len(set(value)) == 1
    assert writer.returncode == 0
    assert snapshot.read_json(path) == [199] * 2000


def test_a_file_that_is_made_between_two_looks_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, looks = tmp_path / "state.json", []
    really = os.path.lexists

    def made_then_there(what: str | Path) -> bool:
        looks.append(what)
        if len(looks) == 1:  # the writer comes between the reader's two looks
            snapshot.write_json(path, {"cycle": 1})
        return really(what)

    assert snapshot.look(path) == (None, False)
    monkeypatch.setattr(snapshot.os.path, "lexists", made_then_there)
    assert snapshot.look(path) == ({"cycle": 1}, False)
    path.write_text("{")
    assert snapshot.look(path) == (None, True)
