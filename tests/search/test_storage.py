"""The study's journal under the faults that poison the stock one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from config.errors import Refused
from state.files.layout import CHECKOUT
from WORKFLOW.search.storage import open_storage

# A process that is killed in the middle of a write: half a record, a word to the parent, then it waits for SIGKILL.
HALF_A_RECORD = """
import os, sys, time
import optuna
from pathlib import Path
from WORKFLOW.search.storage import open_storage

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name="s", storage=open_storage(Path(sys.argv[1])))
real_write = os.write

def half(descriptor, data):
    real_write(descriptor, data[: len(data) // 2])
    print("half", flush=True)
    sys.stdin.read()

os.write = half
study.ask()
"""


def _study(path: Path) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_storage(path), load_if_exists=True)


def _kill_in_mid_write(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HALF_A_RECORD, str(path)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


def test_a_writer_killed_in_mid_record_loses_that_record_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    study = _study(path)
    study.tell(study.ask(), 1.0)
    before = path.read_bytes()

    _kill_in_mid_write(path)
    assert not path.read_bytes().endswith(b"\n"), "the fault was not injected"

    resumed = _study(path)
    assert [trial.value for trial in resumed.trials] == [1.0]
    resumed.tell(resumed.ask(), 2.0)
    assert path.read_bytes().startswith(before)
    assert [trial.value for trial in _study(path).trials] == [1.0, 2.0]


def test_a_writer_killed_while_it_holds_the_lock_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    study = _study(path)
    _kill_in_mid_write(path)  # it died inside the lock
    study.tell(study.ask(), 3.0)
    assert [trial.value for trial in study.trials] == [3.0]


@pytest.mark.parametrize("garbage", [b"garbage\n", b"{}\n", b"5\n", b"null\n"])
def test_a_line_that_is_no_record_is_named_and_not_read_over(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "study.jsonl"
    study = _study(path)
    study.tell(study.ask(), 1.0)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], garbage, *lines[1:]]))
    with pytest.raises(Refused, match="1 lines that are no records"):
        _study(path)


@pytest.mark.parametrize(
    "strange",
    [
        b'{"op_code":99,"worker_id":"w"}',
        b'{"op_code":"4","worker_id":"w"}',
        b'{"op_code":4}',
        b'{"op_code":4,"worker_id":"w","study_id":0,"datetime_start":"yesterday"}',
    ],
)
def test_a_record_that_optuna_does_not_know_is_named_with_its_file(tmp_path: Path, strange: bytes) -> None:
    path = tmp_path / "study.jsonl"
    study = _study(path)
    study.tell(study.ask(), 1.0)
    whole = len(path.read_bytes().splitlines())
    with path.open("ab") as file:
        file.write(strange + b"\n")
    with pytest.raises(Refused) as refusal:
        _study(path)
    assert str(path) in refusal.value.reason
    assert f"record {whole + 1}" in refusal.value.reason
    assert "it sets it aside and searches again" in refusal.value.way_out


def test_two_processes_see_each_others_trials(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    one, other = _study(path), _study(path)
    one.tell(one.ask(), 1.0)
    other.tell(other.ask(), 2.0)
    assert [trial.value for trial in one.trials] == [trial.value for trial in other.trials] == [1.0, 2.0]
