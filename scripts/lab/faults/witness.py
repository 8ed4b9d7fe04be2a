"""Find in the operators' records which record shows a fault, and which processes died by mistake."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.lab.faults.injuries import Injury
from scripts.lab.faults.private import Swarm
from state.files.journal import Journal
from state.host import identity
from state.host.identity import Identity

_LOG_BYTES = 65_536  # bytes at the end of a worker's log
_FELT = (b"No space left on device", b"Read-only file system")  # words of a worker that could not save its work
_CUT_SHORT = "its launch was cut short"  # words of worker_sentry about a job that runs on record but was never launched


@dataclass
class Witness:
    """Follow every journal, every loop and the tmux server, look by look."""

    swarm: Swarm
    _meant: set[str | Identity] = field(default_factory=set)
    _offsets: dict[Path, int] = field(default_factory=dict)
    _loops: dict[str, Identity] = field(default_factory=dict)
    _server: Identity | None = None
    _sentry_was_meant: bool = False
    _disk_was_hit: bool = False
    _all_may_end: bool = False
    _excuses: tuple[str, ...] = ()
    _strays: dict[str, str] = field(default_factory=dict)  # process or worker → what happened to it

    def expect(self, injury: Injury) -> None:
        """Expect the death of these processes and workers."""
        self._meant |= injury.casualties
        self._disk_was_hit |= injury.stops_writing
        self._excuses += injury.excuses
        self._sentry_was_meant |= self._loops.get("worker_sentry") in injury.casualties

    def expect_everybody(self, is_over: bool = False) -> None:
        """Expect the death of everything that is or was there, because the operator ended the swarm.

        Until `is_over`, processes that are started meanwhile are ended, too, and may come and go between two looks.
        """
        self._all_may_end = not is_over
        launched = {str(r.get("worker_id")) for folder in self.swarm.run.rounds() for r in _records(folder.jobs)}
        self._meant |= {*launched, *(one.worker_id for one in self.swarm.launches()), *self._loops.values()}
        there = (self.swarm.server(), self._server, *(self.swarm.loop(agent) for agent in self.swarm.agents()))
        self._meant |= {one for one in there if one is not None}

    def records(self) -> list[str]:
        """Return the records since the last look, a line for each."""
        found = [said for path in self._journals() for record in self._new(path) if (said := say(path.name, record))]
        self._look_at_loops()
        return found

    def strays(self) -> list[str]:
        """Return all processes and workers so far that died or were relaunched by mistake; this must stay empty.

        While the whole swarm is being ended, nothing is judged: a worker may be launched and ended between two looks,
        and everything that is there until the end is meant to end.
        """
        if self._all_may_end:
            return list(self._strays.values())
        for folder in self.swarm.run.rounds():
            self._strays |= {
                worker_id: f"{worker_id}: {why}"
                for worker_id, why in replaced(Journal(folder.jobs).read().records)
                if worker_id not in self._meant and not self._is_excused(why) and not self._felt_the_disk(worker_id)
            }
        return list(self._strays.values())

    def _is_excused(self, why: str) -> bool:
        """Whether the worker left because of an attack and did not die, or there was no process that could die.

        The latter happens when the sentry is killed between its journal record and the launch.
        """
        return any(words in why for words in self._excuses) or (why == _CUT_SHORT and self._sentry_was_meant)

    def _felt_the_disk(self, worker_id: str) -> bool:
        """Whether the worker left by itself, as its log says, because it could not save its work on the broken disk."""
        if not self._disk_was_hit:
            return False
        job_id = worker_id.rsplit(".", 2)[0]  # the id without epoch and nonce
        try:
            with self.swarm.roots.worker_log(self.swarm.run.path.name, job_id).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES))
                end = log.read()
        except OSError:
            return False
        return any(words in end for words in _FELT)

    def _journals(self) -> Iterator[Path]:
        roots, folder = self.swarm.roots, self.swarm.round()
        yield from (roots.cycles(agent) for agent in self.swarm.agents())
        yield from (roots.session_events, roots.events, roots.healing)
        if folder is not None:
            yield folder.jobs

    def _new(self, path: Path) -> tuple[Any, ...]:
        offset = self._offsets.get(path, 0)
        if path.exists() and path.stat().st_size < offset:  # the file was rotated, or its torn tail was cut
            offset = 0 if path.suffix == ".jsonl" and path.name != "jobs.jsonl" else path.stat().st_size
        page = Journal(path).read(offset)
        self._offsets[path] = page.next_offset
        return page.records

    def _look_at_loops(self) -> None:
        for agent in self.swarm.agents():
            self._is_same(agent, self._loops.get(agent), now := self.swarm.loop(agent))
            if now is not None:
                self._loops[agent] = now
        server = self.swarm.server()
        self._is_same("tmux server", self._server, server)
        self._server = server or self._server

    def _is_same(self, who: str, before: Identity | None, now: Identity | None) -> None:
        if before is None or before in self._meant or self._all_may_end:
            return
        if (now is not None and now != before) or identity.life_of(before) == "dead":
            self._strays[f"{who} {before.pid}"] = f"{who}: its process {before.pid} was not meant and is gone"


def _records(path: Path) -> list[Mapping[str, Any]]:
    return [record for record in Journal(path).read().records if isinstance(record, Mapping)]


def replaced(records: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """Return every worker in a job journal that died or whose job was launched again, with the reason."""
    at_work: dict[str, str] = {}
    for record in records:
        if not isinstance(record, Mapping):
            continue
        job_id, event = str(record.get("job_id")), record.get("event")
        if event in ("died", "failed", "cancelled", "quarantined") and job_id in at_work:
            yield at_work.pop(job_id), str(record.get("error_message"))
        elif event == "started":
            if job_id in at_work:
                yield at_work[job_id], "its job was launched again"
            at_work[job_id] = str(record.get("worker_id"))


def say(file: str, record: Any) -> str:
    """Return a record in one line; "" for records that do not say what happened."""
    if not isinstance(record, Mapping):
        return ""
    if "agent" in record:
        did = "".join(f"; {one.get('kind')} {one.get('target')}" for one in _actions(record))
        return f"{record['agent']} cycle {record.get('cycle')}: {record.get('reason')}{did}"
    what = record.get("id") or record.get("job_id") or record.get("stage") or ""
    return f"{Path(file).stem}: {record.get('event')} {what} {record.get('error_message') or ''}".strip()


def _actions(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the actions of a cycle; none when an attack gave the record another shape."""
    decision = record.get("decision")
    actions = decision.get("actions") if isinstance(decision, Mapping) else None
    return [one for one in actions if isinstance(one, Mapping)] if isinstance(actions, list) else []
