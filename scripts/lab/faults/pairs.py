"""Break two things within a second of each other, wait until all of it is back, break the next two.

Faults that heal one by one may hide each other: the healer of the first is the victim of the second, or what the first
left makes the second look like something else. Which pairs, in which order and how far apart is drawn from a seed.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations_with_replacement
from random import Random

from scripts.lab.faults.campaign import Campaign, CampaignOutcome, FaultRow, told
from scripts.lab.faults.injuries import Injury
from scripts.lab.faults.surroundings import FAULTS, PHASES, in_phase
from state.host.clock import SystemClock, stamp

_WITHIN_S = 1.0  # between the two blows, at most
_HOLD_S = (1.0, 5.0)  # how long a full disk stays full, and how long after `stop` somebody types start
_READY_S = 45.0  # to wait for what is to be broken, such as workers in two certain phases
_STRIKE_S = 10.0  # to break it: between two phases nobody is at work
_STOPPED_S = 120.0  # for `stop` to end everything on a loaded machine
_TWICE_MEANS_NOTHING = ("disk-full", "read-only", "stop")  # what is full already cannot be filled once more


def drawn(seed: int, wanted: int | None, names: Sequence[str] = tuple(FAULTS)) -> list[tuple[str, str]]:
    """`wanted` pairs of faults (None: all), each as (first, second), the same for the same seed.

    All distinct pairs come once before any comes again.
    """
    random = Random(seed)
    every = [
        pair
        for pair in combinations_with_replacement(names, 2)
        if pair[0] != pair[1] or pair[0] not in _TWICE_MEANS_NOTHING
    ]
    found: list[tuple[str, str]] = []
    while len(found) < (len(every) if wanted is None else wanted):
        found += [pair if random.random() < 0.5 else (pair[1], pair[0]) for pair in random.sample(every, len(every))]
    return found[: len(every) if wanted is None else wanted]


class PairCampaign(Campaign):
    """A swarm that works, and pairs of faults as its turns: `first+second`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._random = Random(self.plan.seed)

    def run(self) -> CampaignOutcome:
        """All pairs, or as many as fit into the time."""
        return self.through(self.plan.turns)

    def _one(self, name: str, began_s: float) -> None:
        first, second = sorted(name.split("+"), key=lambda one: one == "read-only")  # after it nothing can be broken
        if not self._until(lambda: self._is_there(first) and self._is_there(second), _READY_S):
            self.skipped.append(f"{name}: what it breaks was not there at the same time")
            self.say(self.skipped[-1])
            return
        self._struck_at = stamp(SystemClock().now())
        self._said.clear()  # what was written before the blows does not show them
        blows = [
            blow for blow in (self._strike(first), self._strike(second, self._random.uniform(0, _WITHIN_S))) if blow
        ]
        if len(blows) < 2:
            self.skipped.append(f"{name}: only one of them could be broken")
            self.say(self.skipped[-1])
        if not blows:
            return
        before = len(self.witness.strays())
        row = self._followed_together(name, blows, began_s)
        strays = tuple(self.witness.strays()[before:])
        self.rows.append(FaultRow(**{**asdict(row), "false_kills": strays}))
        self.say(told(self.rows[-1]))

    def _is_there(self, fault: str) -> bool:
        """Whether a worker is in the phase that this fault is about; all else is there as long as the swarm is."""
        phase = fault.removeprefix("worker-killed-in-")
        return phase not in PHASES or bool(in_phase(self.swarm, phase))

    def _strike(self, name: str, after_s: float = 0.0) -> Injury | None:
        """Break one thing, as soon as it is there to be broken."""
        self._until(lambda: False, after_s)
        blows: list[Injury] = []

        def strike() -> bool:
            try:
                injury = FAULTS[name](self.swarm, self.dice)
            except OSError:  # the disk is full already: what cannot be written cannot be damaged
                return False
            if injury is not None:
                blows.append(injury)
                self._expect(injury)
            return injury is not None

        self._until(lambda: strike() or self._is_finished(), _STRIKE_S)
        return blows[0] if blows else None

    def _expect(self, injury: Injury) -> None:
        self.witness.expect(injury)
        if injury.ends_everything:
            self.witness.expect_everybody()

    def _followed_together(self, name: str, blows: Sequence[Injury], began_s: float) -> FaultRow:
        """Undo what lasts, then look until both are healed; seconds count from the last thing undone."""
        struck_s = time.monotonic()
        self._until(lambda: False, self._random.uniform(*_HOLD_S))
        last_first = blows[::-1]  # what is full may have become read-only since
        for blow in sorted(last_first, key=lambda one: not one.stops_writing):  # a start needs a disk
            if blow.undo is not None:
                self._undo(blow, name)
        free_s = time.monotonic()
        is_healed = self._until(lambda: all(blow.is_healed() for blow in blows), self._bound_s())
        healed_s = round(time.monotonic() - free_s, 1) if is_healed else None
        if not is_healed:  # the next pair is to meet a whole swarm
            self._call_ensure()
        self._rest()
        seen = next((said for said in self._said for blow in blows if any(word in said for word in blow.words)), "")
        return FaultRow(
            at_s=round(struck_s - began_s, 1),
            fault=name.replace("+", " + "),
            target=" + ".join(blow.target for blow in blows),
            detected_s=None,
            seen_as=seen,
            healed_s=healed_s,
            healed_by=self._healers(self._struck_at),
            false_kills=(),
        )

    def _undo(self, blow: Injury, name: str) -> None:
        assert blow.undo is not None
        if blow.ends_everything:
            self._until_stopped(name)
            self.witness.expect_everybody(
                is_over=True
            )  # who was started in the moment of the stop was ended with all others
        blow.undo()

    def _until_stopped(self, name: str) -> None:
        """`stop` means stop, whatever else was broken; only a `start` beside it may bring something back."""
        if "start" in name.split("+"):
            return
        if not self._until(lambda: self.swarm.roots.tombstone.exists() and not self.swarm.members(), _STOPPED_S):
            left = ", ".join(str(one.pid) for one in self.swarm.members()) or "nobody, but it is not remembered"
            self.broken.append(f"{name}: after stop there still was {left}")
