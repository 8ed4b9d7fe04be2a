"""The records of a real swarm are damaged and removed while it works: all agents go on, every command answers."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from agents.registry import at_work
from state.files import snapshot
from state.host import identity
from state.records import healing, orders
from tests.tmux.swarm import LONG, Swarm

_WRONG: tuple[Any, ...] = (["x"], "x", {"x": "x"}, 7)
COMMANDS = (
    ("health",),
    ("status", "--json"),
    ("explain", "--agent", "worker_sentry"),
    ("doctor", "--json"),
    ("results",),
)


def _answers(swarm: Swarm) -> None:
    for words in COMMANDS:
        done = swarm.type(*words)
        assert "Traceback" not in done.stderr + done.stdout, f"{words}: {done.stderr}"


def _all_cycle(swarm: Swarm) -> None:
    """Every agent cycles twice more, so that each has read what the others wrote."""
    before = {row.name: swarm.cycle(row.name) for row in at_work(swarm.limits)}
    swarm.wait("two more cycles of everybody", lambda: all(swarm.cycle(name) > n + 1 for name, n in before.items()))


def test_whatever_is_done_to_its_records_everybody_goes_on_and_stop_stops(swarm: Swarm, data: Path) -> None:
    swarm.launch(data, *LONG)
    swarm.wait("a cycle of everybody", lambda: all(swarm.cycle(row.name) for row in at_work(swarm.limits)))
    swarm.working("prescreen")
    roots = swarm.roots
    order = orders.current(roots)
    assert order is not None
    for number, row in enumerate(at_work(swarm.limits)):  # every agent's own two records, each in another way
        state = snapshot.read_json(roots.agent_state(row.name))
        assert isinstance(state, dict)
        for key in ("actions_last_cycle", "verified_last_cycle", "report", "tally", "memory", "cycle"):
            state[key] = _WRONG[number % len(_WRONG)]
        snapshot.write_json(roots.agent_state(row.name), state)
        snapshot.write_json(roots.loop(row.name), {"identity": _WRONG[number % len(_WRONG)]})
    _answers(swarm)
    swarm.wait("whole loops", lambda: all(_has_identity(swarm, row.name) for row in at_work(swarm.limits)))
    _all_cycle(swarm)
    folder = roots.swarm_run(order.run_id)
    for path in (roots.settings, roots.swarm, roots.current_run, folder.order, folder.round(0).begun):
        before = snapshot.read_json(path)
        assert isinstance(before, dict)
        for damage in (path.unlink, partial(path.write_bytes, b'["x"]')):
            damage()
            swarm.wait(f"{path.name} is back", partial(_holds, path, set(before)))
    _answers(swarm)
    _all_cycle(swarm)
    folder.path.rename(folder.path.with_name("moved-away"))  # in one step: what is removed file by file comes back
    swarm.wait("the order of the run that was removed", lambda: orders.current(roots) == order)
    swarm.wait("work from the beginning", folder.round(0).jobs.exists)
    told = {(one["event"], one["id"]) for one in healing.recent(roots)}
    assert ("record_rebuilt", roots.current_run.name) in told
    for path in roots.state.glob("*.json"):
        if not snapshot.is_aside(path):
            path.write_bytes(json.dumps(["x"]).encode())
    _answers(swarm)
    swarm.stop()
    assert identity.of_swarm(roots.state) == []


def _holds(path: Path, keys: set[str]) -> bool:
    record = snapshot.read_json(path)
    return isinstance(record, dict) and set(record) >= keys


def _has_identity(swarm: Swarm, agent: str) -> bool:
    record = snapshot.read_json(swarm.roots.loop(agent))
    return isinstance(record, dict) and isinstance(record.get("identity"), dict)
