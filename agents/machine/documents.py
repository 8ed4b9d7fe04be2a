"""Write the curator's documents, each completely or not at all; writing the same twice leaves the same bytes."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agents.machine.library import FINDING, by_signature, failures_in
from config import plain
from state.files import marked, snapshot

_EXAMPLES = 3  # of each kind of failure only the first are kept, so that an entry does not change with every death

FINDINGS_HEAD = """\
# Knowledge base

The findings of all runs, each of them once, the oldest first. The curator appends, and never removes anything.
"""
NOTES_HEAD = """\
# Workflow notes

The swarm rewrites the text between the two markers; everything else in this file is yours.
"""
STORY_HEAD = """\
# Expected outcomes

The swarm rewrites the text between the two markers; everything else in this file is yours.
"""


def remember_failures(path: Path, found: Iterable[Mapping[str, Any]]) -> str:
    """Count new failures in the array at `path`, and return how many kinds are known.

    A file that holds no array is renamed first, so that nothing is lost.
    """
    entries, is_damaged = failures_in(path)
    aside = f"; the damaged file is {snapshot.set_aside(path).name} now" if is_damaged else ""
    known = by_signature(entries)
    for one in found:
        entry = known.get(one["signature"])
        if entry is None:
            entry = {key: one[key] for key in ("signature", "kind", "what", "first_seen")}
            entry |= {"last_seen": "", "count": 0, "examples": [], "last_event": ""}
            entries.append(entry)
            known[one["signature"]] = entry
        _count(entry, one)
    snapshot.write_json(path, entries)
    return f"{len(entries)} kinds of failure are known{aside}"


def _count(entry: dict[str, Any], one: Mapping[str, Any]) -> None:
    if entry.get("last_event") == one["last_event"]:
        return  # already counted: the last cycle was cut short after this write
    examples = entry.get("examples")
    entry["count"] = int(entry.get("count") or 0) + one["count"]
    entry["last_seen"], entry["last_event"] = one["last_seen"], one["last_event"]
    entry["examples"] = [*(examples if isinstance(examples, list) else []), *one["examples"]][:_EXAMPLES]


def write_findings(path: Path, findings: Iterable[Mapping[str, str]]) -> str:
    """Append the findings that the knowledge base does not hold yet; the bytes before them stay as they are."""
    # Decided by the document itself and not by memory: after a write that was cut short, nothing is added twice.
    text = _read(path) or FINDINGS_HEAD.encode()
    held = set(FINDING.findall(text.decode(errors="replace")))
    new = [one for one in findings if one["id"] not in held]
    if not new:
        return "all were there"
    text += b"" if text.endswith(b"\n") else b"\n"
    text += "".join(_finding(one) for one in new).encode()
    snapshot.write_bytes(path, text)
    return f"{len(new)} added"


def keep(path: Path, copy: Path) -> None:
    """Copy the file that a finding rests on, unless the copy is already there."""
    if not copy.exists():
        snapshot.write_bytes(copy, plain.read_bytes(path))


def _finding(one: Mapping[str, str]) -> str:
    return f"\n## {one['date']} · {one['run_id']} · {one['title']}\n<!-- finding {one['id']} -->\n\n{one['text']}\n"


def write_block(path: Path, name: str, head: str, text: str) -> str:
    """Put `text` between the markers of `name`; all other bytes of the file stay as they are."""
    before = _read(path)
    after = marked.with_block(before or head.encode() + b"\n", name, text)
    if after == before:
        return "nothing has changed"
    snapshot.write_bytes(path, after)
    return "written"


def _read(path: Path) -> bytes:
    try:
        return plain.read_bytes(path)
    except FileNotFoundError:
        return b""
