"""Break two things within a second of each other, wait until both are back, and break the next two.

Faults that heal one by one may hide each other: the healer of the first may be the victim of the second, or the remains
of the first make the second look like another fault. The seed draws the pairs, their order and their distance.
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

_WITHIN_S = 1.0  # seconds between the two blows, at most
_HOLD_S = (1.0, 5.0)  # seconds that a full disk stays full, or from `stop` to the next start
_READY_S = 45.0  # seconds to wait for what is to be broken, such as workers in two certain phases
_STRIKE_S = 10.0  # seconds to break it: between two phases no worker runs
_STOPPED_S = 120.0  # seconds for `stop` to end everything on a loaded machine
_TWICE_MEANS_NOTHING = ("disk-full", "read-only", "stop")  # a disk that is full already cannot be filled once more


def drawn(seed: int, wanted: int | None, names: Sequence[str] = tuple(FAULTS)) -> list[tuple[str, str]]:
    """Return `wanted` pairs of faults (None: all), each as (first, second), equal for equal seeds.

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
    """A campaign whose turns are pairs of faults, named `first+second`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._random = Random(self.plan.seed)

    def run(self) -> CampaignOutcome:
        """Break all pairs, or as many as fit into the time."""
        return self.through(self.plan.turns)

    def _one(self, name: str, began_s: float) -> None:
        # On a read-only disk nothing else can be broken, so that fault comes last.
        first, second = sorted(name.split("+"), key=lambda one: one == "read-only")
        if not self._until(lambda: self._is_there(first) and self._is_there(second), _READY_S):
            self.skipped.append(f"{name}: what it breaks was not there at the same time")
            self.say(self.skipped[-1])
            return
        self._struck_at = stamp(SystemClock().now())
        self._said.clear()  # records from before the blows do not show the faults
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
        """Whether a worker is in the phase that the fault needs; all other targets are there while the swarm is."""
        phase = fault.removeprefix("worker-killed-in-")
        return phase not in PHASES or bool(in_phase(self.swarm, phase))

    def _strike(self, name: str, after_s: float = 0.0) -> Injury | None:
        """Break one thing as soon as it is there."""
        self._until(lambda: False, after_s)
        blows: list[Injury] = []

        def strike() -> bool:
            try:
                injury = FAULTS[name](self.swarm, self.dice)
            except OSError:  # the disk is full already, and damage needs a write
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
        """Undo lasting faults, then look until both have healed; seconds count from the last undoing."""
        struck_s = time.monotonic()
        self._until(lambda: False, self._random.uniform(*_HOLD_S))
        last_first = blows[::-1]  # a full disk may have become read-only since
        for blow in sorted(last_first, key=lambda one: not one.stops_writing):  # a start needs a writable disk
            if blow.undo is not None:
                self._undo(blow, name)
        free_s = time.monotonic()
        is_healed = self._until(lambda: all(blow.is_healed() for blow in blows), self._bound_s())
        healed_s = round(time.monotonic() - free_s, 1) if is_healed else None
        if not is_healed:  # the next pair must hit a whole swarm
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
            )  # a process that was started at the moment of the stop was ended with all others
        blow.undo()

    def _until_stopped(self, name: str) -> None:
        """Check that `stop` ended everything, whatever else was broken; only a `start` may bring something back."""
        if "start" in name.split("+"):
            return
        if not self._until(lambda: self.swarm.roots.tombstone.exists() and not self.swarm.members(), _STOPPED_S):
            left = ", ".join(str(one.pid) for one in self.swarm.members()) or "no process, but no record of the stop"
            self.broken.append(f"{name}: after stop there still was {left}")
