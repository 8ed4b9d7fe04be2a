"""Reading what was written down: whole names, files that moved aside, torn tails, and only what is asked for."""

import json
import time
from pathlib import Path

from scripts.swarm import records
from state.files.codec import encode_line


def written(path: Path, *rows: object, tail: bytes = b"") -> Path:
    path.write_bytes(b"".join(encode_line(row) for row in rows) + tail)
    return path


def test_records_of_both_files_in_order_and_only_those_that_hold_a_word(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"n": 3, "x": "job-1"}, {"n": 4, "x": "other"}, {"n": 5, "x": "job-2"})
    written(tmp_path / "a.jsonl.1", {"n": 1, "x": "job-1"}, {"n": 2})
    assert [record["n"] for record in records.records_with(path, ("job-1", "job-2"))] == [1, 3, 5]


def test_a_line_that_holds_two_words_or_one_twice_comes_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"n": 1, "x": "aa bb aa"}, {"n": 2, "x": "bb"})
    assert [record["n"] for record in records.records_with(path, ("aa", "bb"))] == [1, 2]


def test_a_torn_tail_garbage_an_empty_and_a_missing_file_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert list(records.records_with(path, ("x",))) == []
    path.touch()
    assert list(records.records_with(path, ("x",))) == []
    path.write_bytes(b'{"x":1}\nx garbage\n{"x":2}\n{"x":3')
    assert [record["x"] for record in records.records_with(path, ("x",))] == [1, 2]


def test_a_name_in_the_world_alone_is_no_decision_about_it(tmp_path: Path) -> None:
    full = {"cycle": 1, "at": "t", "agent": "a", "reason": "r", "world": {"jobs": ["J"], "decision": 1}, "memory": {}}
    other = {**full, "decision": {"memory": {}, "reason": "r", "actions": []}}
    mine = {**full, "cycle": 2, "decision": {"memory": {}, "reason": "r", "actions": [{"kind": "k", "target": "J"}]}}
    short = {"cycle": 3, "at": "t", "agent": "a", "reason": "waits for J"}
    path = written(tmp_path / "c.jsonl", other, mine, short)
    found = list(records.decisions_with(path, ("J",)))
    assert [one["cycle"] for one in found] == [2, 3]
    assert found[0]["decision"]["actions"][0]["target"] == "J"
    assert "world" not in found[0]


def test_fifty_megabytes_are_searched_in_a_moment(tmp_path: Path) -> None:
    filler = encode_line({"world": "y" * 1000})
    path = tmp_path / "big.jsonl"
    path.write_bytes(filler * 25_000 + encode_line({"n": 1, "x": "needle"}) + filler * 25_000)
    began = time.process_time()
    assert [record["n"] for record in records.records_with(path, ("needle",))] == [1]
    decoded_s = 50_000 * _decoding_s(filler)
    assert time.process_time() - began < decoded_s, "every line was decoded"


def _decoding_s(line: bytes) -> float:
    began = time.process_time()
    for _ in range(2_000):
        json.loads(line)
    return (time.process_time() - began) / 2_000


def test_the_last_line_that_says_something(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"first\nprogress 1 %\rprogress 2 %\n\n")
    assert records.last_line(log) == "progress 2 %"
    assert records.last_line(tmp_path / "none") == ""
