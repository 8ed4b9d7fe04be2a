"""Who saw it, and who died without being meant: read from the same records that operators read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.benchmark.faults.injuries import Injury
from scripts.benchmark.faults.private import Swarm
from state import identity
from state.identity import Identity
from state.journal import Journal


@dataclass
class Witness:
    """Follows every journal, every loop and the server, look by look."""

    swarm: Swarm
    _meant: set[str | Identity] = field(default_factory=set)
    _offsets: dict[Path, int] = field(default_factory=dict)
    _loops: dict[str, Identity] = field(default_factory=dict)
    _server: Identity | None = None
    _strays: dict[str, str] = field(default_factory=dict)  # who → what happened to it

    def expect(self, injury: Injury) -> None:
        """These may die."""
        self._meant |= injury.casualties

    def records(self) -> list[str]:
        """What has been written since the last look, a line each."""
        found = [said for path in self._journals() for record in self._new(path) if (said := say(path.name, record))]
        self._look_at_loops()
        return found

    def strays(self) -> list[str]:
        """Everybody so far who died, or was launched anew, without being meant: must stay empty."""
        for folder in self.swarm.run.rounds():
            self._strays |= {
                worker_id: f"{worker_id}: {why}"
                for worker_id, why in replaced(Journal(folder.jobs).read().records)
                if worker_id not in self._meant
            }
        return list(self._strays.values())

    def _journals(self) -> Iterator[Path]:
        roots, folder = self.swarm.roots, self.swarm.round()
        yield from (roots.cycles(agent) for agent in self.swarm.agents())
        yield from (roots.session_events, roots.events)
        if folder is not None:
            yield folder.jobs

    def _new(self, path: Path) -> tuple[Any, ...]:
        offset = self._offsets.get(path, 0)
        if path.exists() and path.stat().st_size < offset:  # it was moved aside, or its torn tail was cut
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
        if before is None or before in self._meant:
            return
        if (now is not None and now != before) or identity.life_of(before) == "dead":
            self._strays[f"{who} {before.pid}"] = f"{who}: its process {before.pid} was not meant and is gone"


def replaced(records: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """Every worker of a job journal that died or after which its job was launched again, and why."""
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
    """One record in one line; nothing for those that say nothing of what happens."""
    if not isinstance(record, Mapping):
        return ""
    if "agent" in record:
        actions = (record.get("decision") or {}).get("actions", ())
        did = "".join(f"; {one['kind']} {one['target']}" for one in actions)
        return f"{record['agent']} cycle {record.get('cycle')}: {record.get('reason')}{did}"
    what = record.get("id") or record.get("job_id") or record.get("stage") or ""
    return f"{Path(file).stem}: {record.get('event')} {what} {record.get('error_message') or ''}".strip()
