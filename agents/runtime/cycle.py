"""One cycle of one agent: observe → decide → journal → act → record. All the agent itself brings is `decide`.

The next cycle sees what came of it: state is level-triggered, so an action that failed is decided on again.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from agents.machine.observe import limits_of, observe
from agents.model.action import Action
from agents.model.decision import Agent, Decision
from agents.model.world import World
from agents.registry import AGENTS, row
from agents.runtime import tally, verify
from config.errors import Refused
from config.record import dataclass
from config.swarm import SwarmSettings, in_groups
from state.files import codec, flock, snapshot
from state.files.journal import Journal
from state.files.layout import Roots
from state.files.tree import record_of, tree_of
from state.host import code, identity, root
from state.host.clock import Clock, SystemClock, stamp
from state.host.identity import Identity
from state.records import agent_states, healing
from state.records.agent_states import AgentState, Deed, Read, Verified
from state.records.report_parts import on_record

SCHEMA = 1
_JOURNALS_BYTES = 45_000_000  # all cycle journals and those before them, however much is decided in a day
_JOURNAL_BYTES = _JOURNALS_BYTES // (2 * len(AGENTS))


class Held(Exception):
    """Another cycle of the same agent is under way, or this root is not one to act in from here."""


class NewerSchema(Exception):
    """The state on file was written by a newer version: it may be read, never overwritten."""


@dataclass(frozen=True)
class Done:
    """What a cycle came to."""

    agent: str
    cycle: int
    reason: str
    actions: tuple[dict[str, Any], ...]


def run_cycle(name: str, roots: Roots, dry_run: bool = False, clock: Clock | None = None, by: str = "") -> Done:
    """One cycle, alone: the kernel frees the lock of one that dies. `by`: the agent whose loop runs it for another.

    Raises:
        Held: see there. NewerSchema: see there. OSError: the state cannot be written.
    """
    clock = SystemClock() if clock is None else clock
    if dry_run:
        return _cycle(name, roots, clock, True, by)
    _must_be_ours(roots)
    try:
        with flock.held(roots.cycle_lock(name), wait=False):
            return _cycle(name, roots, clock, False, by)
    except flock.Taken as error:
        raise Held(f"another cycle of {name} is under way") from error


def _must_be_ours(roots: Roots) -> None:
    here = root.look(roots.state)
    if here.is_copy:
        raise Held(f"{roots.state} is a copy of another root, in which no swarm has been started yet")
    if (why := root.from_outside(here)) is not None:
        raise Held(why)


def replay(record: Mapping[str, Any]) -> bytes:
    """The decision that the recorded world and memory lead to now, as one line with its keys in alphabetical order."""
    agent = row(record["agent"]).load()
    world, memory = record_of(World, record["world"]), record_of(agent.memory, record["memory"])
    limits = record_of(SwarmSettings, in_groups(record["limits"]))
    return codec.encode_line(_decision_tree(agent.decide(world, memory, limits)), by_name=True)


def replays(record: Mapping[str, Any]) -> bool:
    """Whether the same is decided now; not where the record is of a version with other worlds, memories or settings."""
    try:
        return replay(record) == codec.encode_line(record["decision"], by_name=True)
    except (KeyError, ValueError, Refused):
        return False


def _cycle(name: str, roots: Roots, clock: Clock, dry_run: bool, by: str) -> Done:
    agent, limits = row(name).load(), limits_of(roots)
    read = _read(roots, name)
    state, wrong = read.state, read.wrong
    memory = _memory(agent, state)
    world = observe(roots, limits, agent.sees, clock)
    verified = _verified(state, agent, world)
    decision = agent.decide(world, memory, limits)
    strange = {action.kind for action in decision.actions if type(action) not in agent.owns}
    if strange:
        raise RuntimeError(f"{name} decided on {', '.join(sorted(strange))}, which it does not own")
    cycle = state.cycle + 1
    if dry_run:
        return Done(name, cycle, decision.reason, tuple(action.on_record() for action in decision.actions))
    _journal(roots, name, cycle, state, world, memory, limits, decision, agent.routine)
    if wrong:
        _keep_beside(roots, limits, clock, name, wrong)
    # The memory is on file before anything is done: what was begun is never begun again as if it were new.
    _record(roots, name, cycle, clock, state, decision, (), verified)
    outcomes = tuple(_act(roots, limits, clock, world, action, by or name) for action in decision.actions)
    if outcomes:
        _record(roots, name, cycle, clock, state, decision, outcomes, verified)
    return Done(name, cycle, decision.reason, tuple(map(on_record, outcomes)))


def _act(roots: Roots, limits: SwarmSettings, clock: Clock, world: World, action: Action, by: str) -> Deed:
    """One failed action must not keep the others from being done."""
    from agents.machine.acts import Acts  # 10 ms of a cold cycle: only those pay who act

    acts = Acts(roots, limits, clock, world.run_id, world.round, by)
    try:
        outcome = acts.do(action)
    except Exception as error:
        import sys
        import traceback

        from state.host.secrets import redacted

        print(redacted(traceback.format_exc()), file=sys.stderr)
        outcome = redacted(f"failed: {type(error).__name__}: {error}")
    return Deed(action.kind, action.target, action.expected, outcome, world.now)


def _verified(state: AgentState, agent: Agent[Any], world: World) -> tuple[Verified, ...]:
    """What the last cycle did, and whether this one finds what was expected of it."""
    return tuple(Verified(**vars(one), holds=verify.holds(one, agent.owns, world)) for one in state.actions_last_cycle)


def _read(roots: Roots, name: str) -> Read:
    """What fits of its state file, and what does not: that is made anew."""
    read = agent_states.read(roots, name)
    if read.state.schema > SCHEMA:
        raise NewerSchema(f"{roots.agent_state(name)} has schema {read.state.schema}; this version knows {SCHEMA}")
    return read


def _keep_beside(roots: Roots, limits: SwarmSettings, clock: Clock, name: str, wrong: tuple[str, ...]) -> None:
    """Its state file was damaged: it stays beside the one that is written now, and the journal of healing says so."""
    path = roots.agent_state(name)
    with contextlib.suppress(OSError):  # a full disk does not keep the cycle from going on
        aside = snapshot.keep_beside(path).name if path.stat().st_size else "nothing, since it was empty"
        how = f"what fits of it goes on, the rest begins anew; what was there is {aside}"
        events = healing.rebuilt(path.name, "record_damaged", "; ".join(wrong[:3]), name, how)
        healing.record(roots, clock, events, limits.records.journal_mb * 1_000_000)


def _memory(agent: Agent[Any], state: AgentState) -> Any:
    try:
        return record_of(agent.memory, state.memory)
    except ValueError:
        return agent.memory()


def _record(
    roots: Roots,
    name: str,
    cycle: int,
    clock: Clock,
    state: AgentState,
    decision: Decision[Any],
    outcomes: tuple[Deed, ...],
    verified: tuple[Verified, ...],
) -> None:
    after = _after(name, cycle, clock, state, decision, outcomes, verified)
    snapshot.write_json(roots.agent_state(name), on_record(after))


def _after(
    name: str,
    cycle: int,
    clock: Clock,
    state: AgentState,
    decision: Decision[Any],
    outcomes: tuple[Deed, ...],
    verified: tuple[Verified, ...],
) -> AgentState:
    """What the state file says after this cycle."""
    epoch, loop = _epoch(state)
    return AgentState(
        schema=SCHEMA,
        agent=name,
        writer=identity.mine(),
        boot_id=identity.boot_id(),
        epoch=epoch,
        loop=loop,
        cycle=cycle,
        at=stamp(clock.now()),
        at_s=clock.monotonic_s(),
        reason=decision.reason,
        actions_last_cycle=outcomes,
        verified_last_cycle=verified,
        actions_before=state.actions_last_cycle or state.actions_before,
        tally=tally.after(state.tally, outcomes, verified),
        report=decision.report,
        memory=tree_of(decision.memory),
    )


def _epoch(state: AgentState) -> tuple[int, Identity | None]:
    """Which writer in a row this is, and its loop. A loop that was respawned, or a cycle by hand, counts one more than
    the last one.

    The number never falls, so who has read a higher one holds an outdated record in hands.
    """
    parent = identity.of(os.getppid())
    loop = state.loop if parent is None else parent
    return state.epoch if state.epoch and loop == state.loop else state.epoch + 1, loop


def _journal(
    roots: Roots,
    name: str,
    cycle: int,
    state: AgentState,
    world: World,
    memory: Any,
    limits: SwarmSettings,
    decision: Decision[Any],
    routine: frozenset[type[Action]],
) -> None:
    """All of it when the cycle acts or decides otherwise than the last one; one line with the reason when not."""
    journal = Journal(roots.cycles(name), durable=False, max_bytes=_JOURNAL_BYTES)
    short = {"cycle": cycle, "at": world.now, "agent": name, "reason": decision.reason}
    acts = any(type(action) not in routine for action in decision.actions)
    if not acts and _kind(decision.reason) == _kind(state.reason):
        journal.append(short)
        return
    full = {
        **short,
        "code": code.running(),
        "world": tree_of(world),
        "memory": tree_of(memory),
        "limits": tree_of(limits),
        "decision": _decision_tree(decision),
    }
    journal.append(full)


def _kind(reason: str) -> str:
    """A reason without its numbers."""
    return "".join(c for c in reason if not c.isdigit() and c != ".")


def _decision_tree(decision: Decision[Any]) -> dict[str, Any]:
    return {
        "memory": tree_of(decision.memory),
        "reason": decision.reason,
        "actions": [action.on_record() for action in decision.actions],
        "report": on_record(decision.report),
    }
