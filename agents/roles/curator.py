"""Keep what is known from run to run: failure memory, knowledge base, notes, and the page of expected outcomes.

The curator writes only what the documents lack, so the same state leaves the same bytes however often it looks. When a
write was cut short, the next cycle finds its content missing and writes it again.
"""

from collections.abc import Mapping
from typing import Any

from agents.actions.documents import RememberFailures, WriteFindings, WriteNotes, WriteOutcomes
from agents.actions.records import AnswerRequest
from agents.model.action import Action
from agents.model.decision import Agent, Decision
from agents.model.knowledge import Knowledge, Logged, Place, UnitOutcome
from agents.model.world import World
from agents.rules import chronicle, signatures
from config.record import dataclass, field
from config.swarm import SwarmSettings
from state.files import digest
from state.records.report_parts import BestResult
from state.records.reports import CuratorReport
from state.records.request import Request

_EXAMPLES = 3
_LONGEST = 2_000  # characters of one finding, which should be concise


@dataclass(frozen=True)
class Memory:
    """For each log the place up to which all its failures are in the failure memory."""

    places: Mapping[str, Place] = field(default_factory=dict)


def decide(world: World, memory: Memory, limits: SwarmSettings) -> Decision[Memory]:
    """Compare the documents with what is known, write what they lack, and answer requests for findings."""
    here = world.knowledge
    if here is None:
        return Decision(memory, "the documents were not read")
    failures = _failures(here)
    wishes = [one for one in world.requests if one.kind == "add_findings"]
    findings = _findings(world, [one for one in wishes if one.expires_at >= world.now], here)
    notes = chronicle.notes(world, here)
    story = chronicle.story(world, here)
    actions: list[Action] = []
    # A damaged file is also written without new failures: the action renames it and begins a whole one.
    if failures or here.is_damaged:
        actions.append(RememberFailures(tuple(failures)))
    if findings:
        actions.append(WriteFindings(tuple(findings)))
    if chronicle.differs(here.notes, notes, limits.use.dead_band_pct):
        actions.append(WriteNotes(notes))
    if here.story != story:
        actions.append(WriteOutcomes(story))
    written = {one["id"] for one in findings}
    actions += [_answer(one, world, here, written) for one in wishes]
    report = CuratorReport(len(here.failures), len(here.findings), len(here.events))
    reason = ", ".join(action.kind for action in actions) or "all documents are up to date"
    return Decision(_moved_on(here, memory), reason, tuple(actions), report)


# failure memory -------------------------------------------------------------------------------------------------------


def _failures(here: Knowledge) -> list[dict[str, Any]]:
    """Return what the failure memory lacks: one row for each kind of failure, with the events not counted yet."""
    rows = []
    for signature, events in _by_signature(here).items():
        new = _uncounted(events, here.failures.get(signature))
        if new:
            rows.append(_row(signature, new))
    return rows


def _by_signature(here: Knowledge) -> dict[str, list[Logged]]:
    found: dict[str, list[Logged]] = {}
    for event in here.events:
        signature = signatures.of(event.source, event.record)
        if signature is not None:
            found.setdefault(signature, []).append(event)
    return found


def _uncounted(events: list[Logged], last_event: str | None) -> list[Logged]:
    """Return the events after the last counted one; all of them when that one was not among those read."""
    ids = [event.event_id for event in events]
    # The last occurrence counts, because equal lines have equal ids.
    return events[len(ids) - ids[::-1].index(last_event) :] if last_event in ids else events


def _row(signature: str, events: list[Logged]) -> dict[str, Any]:
    first, last = events[0], events[-1]
    return {
        "signature": signature,
        "kind": signatures.kind(first.record),
        "what": signatures.text(first.record),
        "first_seen": str(first.record.get("at", "")),
        "last_seen": str(last.record.get("at", "")),
        "count": len(events),
        "examples": [signatures.example(event.record) for event in events[:_EXAMPLES]],
        "last_event": last.event_id,
    }


def _moved_on(here: Knowledge, memory: Memory) -> Memory:
    """Return the memory with each log's place moved up to the first event that the failure memory still lacks.

    That event was only decided on in this cycle, so the next cycle must see it again.
    """
    missing = {event.event_id for events in _left(here) for event in events}
    places = dict(memory.places)
    halted: set[str] = set()
    for event in here.events:
        if event.event_id in missing:
            halted.add(event.source)
        if event.source not in halted:
            places[event.source] = event.behind
    return Memory(places)


def _left(here: Knowledge) -> list[list[Logged]]:
    return [_uncounted(events, here.failures.get(name)) for name, events in _by_signature(here).items()]


# knowledge base -------------------------------------------------------------------------------------------------------


def _findings(world: World, wishes: list[Request], here: Knowledge) -> list[dict[str, str]]:
    """Return the findings that the knowledge base lacks, each of them once."""
    told = [*_results(world), *_dead_units(world), *(one for wish in wishes for one in _wished(wish))]
    held = set(here.findings)
    first = {one["id"]: one for one in reversed(told)}  # of two findings with the same id the earlier one counts
    return [one for one in told if one["id"] not in held and first[one["id"]] is one]


def _finding(run_id: str, at: str, title: str, text: str, identity: str) -> dict[str, str]:
    event_id = digest.short(f"{run_id} {identity}".encode())
    return {"id": event_id, "run_id": run_id, "date": at[:10], "title": title, "text": text}


def _results(world: World) -> list[dict[str, str]]:
    """Return a finding for each verdict. Verdicts that differ only in their numbers have one id within a run."""
    found = []
    for outcome in world.outcomes or ():
        if not _is_published(outcome, world):
            continue  # a later cycle writes it, when its manifest is there
        verdict = str(outcome.verdict)
        synthetic = " (SYNTHETIC bars)" if outcome.synthetic else ""
        bests = [_best_line(name, best) for name, best in outcome.bests.items()]
        lines = [f"Round {outcome.round + 1}{synthetic}: {verdict}", *bests]
        identity = f"{outcome.unit} {signatures.without_numbers(verdict)}"
        one = _finding(world.run_id, world.now, outcome.unit, "", identity)
        kept = _kept(world, outcome)
        found.append({**one, "text": "\n".join([*lines, _evidence(outcome, kept)]), **kept})
    return found


def _is_published(outcome: UnitOutcome, world: World) -> bool:
    """Whether the outcome has its manifest, or can no longer get one because its round is over."""
    return outcome.manifest is not None or outcome.round < world.round or world.run_finished


def _kept(world: World, outcome: UnitOutcome) -> dict[str, str]:
    """Return which manifest is kept beside the knowledge base, and under which name; {} when there is none."""
    if outcome.manifest is None:
        return {}
    unit = f"{outcome.symbol}/{outcome.mode}"
    name = f"{world.run_id}.r{outcome.round}.{unit.replace('/', '.')}.json"
    return {"manifest": f"{world.run_id}/{outcome.round}/{unit}", "kept_as": name}


def _evidence(outcome: UnitOutcome, kept: Mapping[str, str]) -> str:
    """Return the line that says where the round's manifest is kept.

    A copy is kept because the next round replaces the manifest in the result tree.
    """
    if not kept:
        return f"Evidence: round {outcome.round + 1} left no manifest"
    return f"Evidence: evidence/{kept['kept_as']} (run_manifest.json of that round), SHA-256 {outcome.manifest}"


def _best_line(name: str, best: BestResult) -> str:
    numbers = (best.in_sample_sharpe, best.out_of_sample_sharpe)
    inside, outside = ("unknown" if one is None else f"{one:.2f}" for one in numbers)
    return f"- {name}: Sharpe {inside} in-sample, {outside} out-of-sample, {best.in_sample_trades} trades"


def _dead_units(world: World) -> list[dict[str, str]]:
    """Return a finding for each job that ended its unit without a result, with the reason."""
    found = []
    for state in world.jobs:
        if state.status not in ("failed", "quarantined"):
            continue
        unit = " ".join(state.job.unit)
        text = f"{state.job.phase} {state.status}: {state.error_message}\nEvidence: job {state.job.job_id}"
        identity = f"{unit} {state.job.phase} {state.status} {signatures.without_numbers(state.error_message)}"
        found.append(_finding(world.run_id, world.now, f"{unit} {state.status}", text, identity))
    return found


def _wished(wish: Request) -> list[dict[str, str]]:
    """Return the findings that a request of `handoff` asks to add; texts that are empty or no text are left out."""
    texts = wish.evidence.get("findings")
    run_id = str(wish.evidence.get("run_id", ""))
    good = [one for one in texts if isinstance(one, str) and one.strip()] if isinstance(texts, list) else []
    return [_finding(run_id, wish.asked_at, "handoff", _inert(one), one) for one in good]


def _inert(text: str) -> str:
    """Return the text cut to the longest finding, without anything that could be read as a marker of the document."""
    return text[:_LONGEST].replace("<!--", "<! --").strip()


def _answer(wish: Request, world: World, here: Knowledge, written: set[str]) -> Action:
    asked = {one["id"] for one in _wished(wish)}
    done = bool(asked) and wish.expires_at >= world.now
    reason = (
        f"{len(asked & written)} added, {len(asked & set(here.findings))} were there" if done else "it holds no text"
    )
    if wish.expires_at < world.now:
        reason = "it had expired"
    return AnswerRequest(wish.request_id, done, reason)


OWNS = (RememberFailures, WriteFindings, WriteNotes, WriteOutcomes, AnswerRequest)
AGENT = Agent(Memory, decide, OWNS, frozenset({"knowledge", "outcomes"}), frozenset({WriteNotes, WriteOutcomes}))
