"""Any set of dead agents and closed sessions comes back without a person, and what was done stands in the records."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from agents.machine import processes
from agents.registry import at_work, row
from agents.rules.absent import GUARDS
from state.files import snapshot
from state.host import identity
from state.host.identity import Identity
from tests.tmux.swarm import COMMAND, MIDDLE, SESSIONS, Swarm, kill

SUBSETS = int(os.environ.get("BACKTEST_OPTIMIZE_SUBSETS") or 3)  # random ones, beside the two guards; 60 by night


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def settled(swarm: Swarm) -> list[str]:
    """The agents, once each of them has cycled."""
    names = [one.name for one in at_work(swarm.limits)]
    swarm.wait("a cycle of everybody", lambda: all(swarm.cycle(name) for name in names))
    return names


def is_back(swarm: Swarm, old: dict[str, Identity]) -> Callable[[], bool]:
    def back() -> bool:
        loops = {name: swarm.loop(name) for name in old}
        new = all(loop != old[name] and identity.life_of(loop) == "running" for name, loop in loops.items())
        return new and swarm.sessions() == sorted(SESSIONS)

    return back


def strike(swarm: Swarm, agents: Sequence[str], closed: Sequence[str]) -> dict[str, Identity]:
    """Kill these loops and close these sessions; the loops that are gone with them."""
    hit = [one.name for one in at_work(swarm.limits) if one.name in agents or one.session in closed]
    loops = {name: swarm.loop(name) for name in hit}
    for name in agents:
        processes.send(loops[name], signal.SIGKILL)
    for session in closed:
        swarm.tmux("kill-session", "-t", f"={session}")
    return loops


def test_any_set_of_agents_and_sessions_comes_back_without_anybody(swarm: Swarm) -> None:
    """The two that bring others back, together; then sets as a seeded coin falls, of which one loop is left."""
    assert swarm.type("start", "--no-keeper").returncode == 0
    names, chance = settled(swarm), Random(15)
    old = strike(swarm, GUARDS, [])
    swarm.wait("both guards", is_back(swarm, old))
    healed_by = {one["id"]: one["by"] for one in lines(swarm.roots.healing) if one["event"] == "agent_respawned"}
    assert set(healed_by) == set(GUARDS)
    assert set(healed_by.values()) <= set(names) - set(GUARDS), "it was not a loop that did it"
    for _ in range(SUBSETS):
        left = chance.choice(names)
        agents = [name for name in names if name != left and chance.random() < 0.5]
        closed = [name for name in SESSIONS if name != row(left).session and chance.random() < 0.5]
        swarm.wait("everybody to have cycled", lambda: swarm.type("health").returncode == 0)
        old = strike(swarm, agents, closed)
        swarm.wait(f"{agents} and {closed}, by {left} at least", is_back(swarm, old))
    swarm.stop()
    assert identity.of_swarm(swarm.roots.state) == []


def test_what_was_healed_stands_in_events_incidents_and_the_failure_memory(swarm: Swarm) -> None:
    """An incident shorter than anybody's cycle, too: who died when and why, who brought it back after how long."""
    swarm.environment["BACKTEST_OPTIMIZE__SWARM__AGENTS__ADVISERS"] = "true"  # the curator is one of them
    assert swarm.type("start").returncode == 0
    swarm.wait("the curator", lambda: swarm.cycle("curator"))
    swarm.wait("all is well", lambda: swarm.type("health").returncode == 0)
    kill(swarm.loop("util_controller"))
    event = {"event": "agent_respawned", "id": "util_controller", "by": "operation_hang_guard"}

    def told(path: Path, wanted: dict[str, str]) -> dict[str, Any] | None:
        return next((one for one in lines(path) if wanted.items() <= one.items()), None)

    found = swarm.wait("the event", lambda: told(swarm.roots.events, event))
    assert (found["why"], found["for_s"] >= 0) == ("its loop was killed, or crashed", True)
    died = told(swarm.roots.events, {"event": "agent_died", "id": "util_controller"})
    assert died is not None
    assert died["since"] <= died["at"]
    incident = "agent_stale:util_controller"
    for kind in ("incident_opened", "incident_closed"):
        swarm.wait(kind, lambda k=kind: told(swarm.roots.session_events, {"event": k, "id": incident}))
    failures = swarm.roots.knowledge("").failures
    kinds = {"agent_died util_controller", "incident_opened agent_stale"}
    swarm.wait("the failure memory", lambda: kinds <= {one["kind"] for one in snapshot.read_json(failures) or ()})
    before = len(lines(swarm.roots.events))
    swarm.roots.agent_state("watchdog").unlink()  # whose memory is lost tells nothing twice
    swarm.wait("the watchdog", lambda: swarm.cycle("watchdog") >= 2)
    again = [one for one in lines(swarm.roots.events)[before:] if one.get("event") in ("agent_died", "agent_respawned")]
    assert again == []


def test_a_parallel_in_the_foreground_brings_the_agents_back_and_says_so(swarm: Swarm, data: Path) -> None:
    """The tmux server is killed, there is no keeper, and whoever types has only this one command."""
    words = ("--parallel", "--symbols", "SYNTHETIC", "--data-path", str(data), "--rounds", "1", "--wait", "--no-keeper")
    with subprocess.Popen(
        [str(COMMAND), *words, *MIDDLE],
        env=swarm.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as typed:
        assert typed.stderr is not None
        swarm.wait("the sessions", lambda: swarm.roots.swarm.exists() and swarm.sessions() == sorted(SESSIONS))
        swarm.working("prescreen", 1)
        kill(swarm.server())
        said = typed.stderr.read()
    assert typed.returncode == 0, said
    assert "no agent is alive: " in said
    assert f"{len(SESSIONS)} sessions were started again" in said
    (died,) = [one for one in lines(swarm.roots.healing) if one["event"] == "tmux_died"]
    (back,) = [one for one in lines(swarm.roots.healing) if one["event"] == "tmux_respawned"]
    assert len(died["sessions"]) == back["sessions"] == len(SESSIONS)
    assert back["by"].startswith("--parallel in the foreground")
    (adopted,) = [one for one in lines(swarm.roots.healing) if one["event"] == "workers_adopted"]
    assert adopted["workers"]


def test_an_agent_that_never_begins_is_named_and_its_starts_get_rarer(swarm: Swarm) -> None:
    """Its loop dies at once however often it is started: each start makes its session young, and none may hide that."""
    place = swarm.roots.loop("session_log")
    place.mkdir(parents=True, mode=0o700)  # no loop can write its record there
    (place / "x").touch()
    assert swarm.type("start").returncode == 0
    swarm.wait("health to name it", lambda: "session_log (bt-session-log)" in swarm.type("health").stdout)
    assert swarm.type("health").returncode == 1
    found = [one["id"] for one in swarm.status()["incidents"]]
    assert "agent_stale:session_log" in found
    guard = swarm.cycle("operation_hang_guard")
    swarm.wait("ten more looks of the guard", lambda: swarm.cycle("operation_hang_guard") >= guard + 10)
    starts = [one for one in lines(swarm.roots.healing) if one.get("id") == "session_log"]
    assert len(starts) <= 2 * 3, "it is started at every look"


def test_health_names_a_dead_agent_at_once(swarm: Swarm) -> None:
    """Each beside those that died before it."""
    assert swarm.type("start", "--no-keeper").returncode == 0
    assert len(settled(swarm)) > 3
    server = swarm.server()
    kill(server, signal.SIGSTOP)  # nobody can be brought back meanwhile
    for agent in ("worker_sentry", "session_state_manager", "operation_hang_guard"):
        loop = swarm.loop(agent)
        kill(loop)
        swarm.wait("its end", lambda one=loop: identity.life_of(one) == "dead")
        done = swarm.type("health")
        assert (done.returncode, f"{agent} ({row(agent).session}) is dead" in done.stdout) == (1, True), done.stdout
