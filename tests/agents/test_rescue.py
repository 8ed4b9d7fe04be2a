"""Whoever dies, as long as one loop lives everybody comes back; and what the rescue never does."""

from dataclasses import replace
from itertools import combinations, pairwise
from random import Random

import pytest

from agents.registry import AGENTS
from agents.roles import rescue
from agents.rules.absent import GUARDS
from tests.agents.simulated import MONITORED, ROWS, Simulated, healers
from tests.agents.worlds import LIMITS, world

NAMES = tuple(row.name for row in AGENTS)
SLOWEST_S = max(row.cadence_s for row in AGENTS)
BOUND_S = SLOWEST_S + 60.0  # the slowest loop's next cycle, then the guard's own


def test_every_set_of_dead_agents_comes_back_by_one_survivor_alone() -> None:
    """All subsets but the one in which nobody is left: that one is the keeper's."""
    took: list[float] = []
    for bits in range(2 ** len(NAMES) - 1):
        swarm = Simulated()
        swarm.kill(name for number, name in enumerate(NAMES) if bits >> number & 1)
        healed_s = swarm.run()
        assert healed_s is not None, f"never healed: {[n for n, loop in swarm.loops.items() if not loop.lives]}"
        took.append(healed_s)
    assert len(took) == 2 ** len(NAMES) - 1
    assert max(took) <= BOUND_S


def test_when_nobody_is_left_nobody_comes_back_by_himself() -> None:
    swarm = Simulated()
    swarm.kill(NAMES)
    assert swarm.run() is None


def test_random_sets_of_agents_and_sessions_come_back() -> None:
    chance = Random(15)
    for _ in range(500):
        swarm = Simulated()
        left = chance.choice(NAMES)
        swarm.kill(name for name in NAMES if name != left and chance.random() < 0.5)
        sessions = [*(row.session for row in AGENTS if row.name != left), *sorted(MONITORED)]
        swarm.close(name for name in sessions if chance.random() < 0.5)
        healed_s = swarm.run()
        assert healed_s is not None
        assert healed_s <= BOUND_S


def test_the_two_guards_together_are_brought_back_by_the_next_loop_that_looks() -> None:
    swarm = Simulated()
    swarm.kill(GUARDS)
    healed_s = swarm.run()
    assert healed_s is not None
    assert healed_s <= min(row.cadence_s for row in AGENTS), "it was not the next loop"
    assert healers(swarm).keys() == {"rescue_sessions"}
    assert len(swarm.deeds) == 1, "more than one healed"


@pytest.mark.parametrize("left", NAMES)
def test_whoever_is_left_heals_and_says_who_he_is(left: str) -> None:
    swarm = Simulated()
    swarm.kill(name for name in NAMES if name != left)
    healed_s = swarm.run()
    assert healed_s is not None
    assert healed_s <= 2 * ROWS[left].cadence_s + 60.0
    assert swarm.deeds[0][1] == left


def test_while_one_of_the_two_cycles_nobody_else_heals() -> None:
    for dead in (name for number in range(len(NAMES) - 1) for name in combinations(NAMES, number) if number < 3):
        if set(GUARDS) <= set(dead):
            continue
        swarm = Simulated()
        swarm.kill(dead)
        assert swarm.run() is not None
        assert "rescue_sessions" not in healers(swarm)


def test_after_a_stop_nobody_is_brought_back() -> None:
    swarm = Simulated(stopped=True)
    swarm.kill(GUARDS)
    assert swarm.run() is None
    assert swarm.deeds == []


def test_guards_that_hang_are_ended_only_after_their_patience_and_a_second_look() -> None:
    swarm = Simulated()
    for name in GUARDS:
        swarm.loops[name].hangs = True
    healed_s = swarm.run()
    assert healed_s is not None
    patience_s = ROWS[GUARDS[0]].patience_s(LIMITS)
    first_s, _, action = swarm.deeds[0]
    assert first_s - 1_000.0 >= patience_s - ROWS[GUARDS[0]].cadence_s + 20.0
    assert set(action.arguments["respawn"]) == {ROWS[name].session for name in GUARDS}


def test_on_a_starved_machine_no_guard_that_lives_is_ended() -> None:
    swarm = Simulated()
    for name in GUARDS:
        swarm.loops[name].hangs = True
    swarm.now_s += 500.0
    here = swarm.world()
    starved = world(
        agents=here.agents, sessions=here.sessions, now_s=here.now_s, control=replace(here.control, host_starved=True)
    )
    memory = rescue.Memory(starved.boot_id, silent_since_s=here.now_s - 60.0)
    (action,) = rescue.decide(starved, memory, LIMITS).actions
    assert list(action.arguments["respawn"]) == []


def test_a_rescue_that_does_not_help_waits_longer_each_time_even_when_its_memory_passes_from_loop_to_loop() -> None:
    """The guards die at once whenever they are started: for an hour, by every loop."""
    swarm = Simulated()
    swarm.kill(GUARDS)
    while swarm.now_s < 1_000.0 + 3_600.0:
        swarm.step()
        for name in GUARDS:
            swarm.loops[name].lives = False
    moments = [at_s for at_s, _, action in swarm.deeds if action.kind == "rescue_sessions"]
    waits = [later - earlier for earlier, later in pairwise(moments)]
    assert len(moments) <= 20
    assert all(later >= earlier - SLOWEST_S for earlier, later in pairwise(waits))
    assert max(waits) <= LIMITS.blame.backoff_max_s + SLOWEST_S


def test_moments_of_another_boot_delay_nothing() -> None:
    swarm = Simulated()
    swarm.kill(GUARDS)
    memory = rescue.Memory("another", times=7, tried_s=swarm.now_s + 5_000.0)
    assert len(rescue.decide(swarm.world(), memory, LIMITS).actions) == 1
