"""Break something, wait until all of it is back, break the next thing; then see whether the work is whole."""

import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from typing import Any, ClassVar

from agents import registry
from scripts.lab.faults import artifacts
from scripts.lab.faults.injuries import FAULTS, Break, Dice, Injury
from scripts.lab.faults.private import Swarm
from scripts.lab.faults.witness import Witness
from state.files.run_folders import RoundFolder
from state.host.clock import SystemClock, stamp
from state.records import healing

_LOOK_S = 0.2  # between two looks: the grain of every time in the table
_ENSURE_S = 5.0  # between two calls of ensure for a fault that did not heal within its bound
_ENSURE_END_S = 120.0  # for one such call to end on a loaded machine
_BEGIN_S = 600.0  # for the first worker to make progress: pre-flight, and compiling on a machine's first run
_ROUND_S = 3_600.0  # for the round under way to end once the last injury has healed
_PHASE_S = 1_200.0  # for what shows only in the results of a symbol and mode, on a loaded machine
_BOUND_CADENCES = 6  # of the slowest agent: a fault that takes longer has not healed
_BOUND_S = 60.0  # beside those: processes that start on a loaded machine, and the deadline of one cycle

Say = Callable[[str], None]


@dataclass(frozen=True)
class CampaignPlan:
    """What is broken, how often, for how long."""

    minutes: float
    every_s: float
    turns: Sequence[str]
    seed: int


@dataclass(frozen=True)
class FaultRow:
    """One fault. Seconds count from the blow; None: never. `seen_as`: the first record that shows it."""

    at_s: float
    fault: str
    target: str
    detected_s: float | None
    seen_as: str
    healed_s: float | None
    healed_by: str
    false_kills: tuple[str, ...]
    harm: tuple[str, ...] = ()  # what an attack touched, lost or made somebody say falsely


@dataclass(frozen=True)
class CampaignOutcome:
    """The whole campaign."""

    rows: tuple[FaultRow, ...]
    skipped: tuple[str, ...]
    false_kills: tuple[str, ...]
    rounds: int
    seconds: float
    incomplete: tuple[str, ...]  # what is wrong with the artifacts
    compared: int = 0
    different: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()  # what did not hold besides: a stop that did not end everything, what an attack harmed
    left_behind: tuple[str, ...] = ()  # after the last `stop`

    @property
    def is_good(self) -> bool:
        """Something was broken, all of it healed, nobody else died, and the work is whole."""
        healed = bool(self.rows) and all(row.healed_s is not None for row in self.rows)
        bad = (self.false_kills, self.incomplete, self.different, self.broken, self.left_behind)
        return healed and not any(bad)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "good": self.is_good}


@dataclass
class Campaign:
    """A swarm that works, and a plan."""

    faults: ClassVar[Mapping[str, Break]] = FAULTS  # that it knows, by name
    wait_s: ClassVar[float] = 15.0  # for something to break: between two phases nobody is at work
    swarm: Swarm
    plan: CampaignPlan
    say: Say
    keeps: bool = False  # the first round's files, to be compared
    rows: list[FaultRow] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)  # records since the blow
    _struck_at: str = ""
    _ensure: "subprocess.Popen[str] | None" = None
    _ensured_at_s: float = float("-inf")

    def __post_init__(self) -> None:
        self.witness = Witness(self.swarm)
        self.dice = Dice(self.plan.seed, self.swarm.agents())

    def run(self) -> CampaignOutcome:
        """All of it, but the comparison with an undisturbed run."""
        return self.through(cycle(self.plan.turns))

    def through(self, turns: Iterable[str]) -> CampaignOutcome:
        """Turn by turn until the time is over, or all have had theirs."""
        self.say("waiting for the first worker")
        self._until(self._is_at_work, _BEGIN_S)
        began_s = time.monotonic()
        end_s = began_s + self.plan.minutes * 60
        due_s = began_s
        for name in turns:
            due_s = max(due_s + self.plan.every_s, time.monotonic())  # one that took longer moves all that follow
            if due_s > end_s or self._until(self._is_finished, due_s - time.monotonic()):
                break
            self._one(name, began_s)
        self.say("waiting for the round under way to end")
        ended, incomplete = self._whole_round()
        return CampaignOutcome(
            rows=tuple(self.rows),
            skipped=tuple(self.skipped),
            false_kills=tuple(self.witness.strays()),
            rounds=ended,
            seconds=round(time.monotonic() - began_s, 1),
            incomplete=incomplete,
            broken=tuple(self.broken),
        )

    # one fault --------------------------------------------------------------------------------------------------------

    def _one(self, name: str, began_s: float) -> None:
        blows: list[Injury] = []

        def strike() -> bool:
            self._struck_at = stamp(SystemClock().now())
            self._said.clear()  # what was written before the blow does not show it
            injury = self.faults[name](self.swarm, self.dice)
            if injury is not None:
                blows.append(injury)
                self.witness.expect(injury)
            return injury is not None

        if not self._until(lambda: strike() or self._is_finished(), max(self.wait_s, self.plan.every_s)) or not blows:
            self.skipped.append(f"{name}: nothing to break was there")
            self.say(self.skipped[-1])
            return
        before = len(self.witness.strays())
        row = self._followed(blows[0], time.monotonic(), began_s)
        strays = tuple(self.witness.strays()[before:])
        self.rows.append(FaultRow(**{**asdict(row), "false_kills": strays}))
        self.say(told(self.rows[-1]))

    def _followed(self, injury: Injury, struck_s: float, began_s: float) -> FaultRow:
        """Look until it is healed; who has seen it first."""
        seen: list[tuple[float, str]] = []

        def is_over() -> bool:
            for said in self._said if not seen else ():
                if any(word in said for word in injury.words):
                    seen.append((time.monotonic() - struck_s, said))
                    break
            return injury.is_healed()

        is_healed = self._until(is_over, _PHASE_S if injury.takes_a_phase else self._bound_s())
        healed_s = round(time.monotonic() - struck_s, 1) if is_healed else None
        if not is_healed:  # the next fault is to meet a whole swarm
            self._call_ensure()
        self._rest()
        first = seen[0] if seen else None
        return FaultRow(
            at_s=round(struck_s - began_s, 1),
            fault=injury.fault,
            target=injury.target,
            detected_s=None if first is None else round(first[0], 1),
            seen_as="" if first is None else first[1],
            healed_s=healed_s,
            healed_by=self._healers(self._struck_at),
            false_kills=(),
        )

    def _healers(self, since: str) -> str:
        """Who brought something back since then, by the journal of healing; continuing by itself leaves no record."""
        records = (one for one in healing.recent(self.swarm.roots) if one["event"] in healing.REMEDIES)
        return ", ".join(dict.fromkeys(str(one["by"]) for one in records if one["at"] >= since)) or "the swarm"

    def _bound_s(self) -> float:
        limits = self.swarm.limits
        slowest_s = max(row.cadence_s for row in registry.at_work(limits))
        return _BOUND_CADENCES * slowest_s * limits.agents.cadence_scale + _BOUND_S

    def _call_ensure(self) -> None:
        """What a person would do: call ensure, one at a time; what it says is a record, too."""
        if self._ensure is not None and self._ensure.poll() is not None:
            text = self._ensure.communicate()[0]
            self._said += [f"ensure: {line}" for line in text.splitlines()]
            self._ensure = None
        if self._ensure is None and time.monotonic() - self._ensured_at_s >= _ENSURE_S:
            self._ensured_at_s, self._ensure = time.monotonic(), self.swarm.ensure()

    def _rest(self) -> None:
        """No call of ensure reaches into the next fault."""
        if self._ensure is not None:
            self._until(lambda: self._ensure is None or self._ensure.poll() is not None, _ENSURE_END_S)
            self._ensure = None

    # waiting ----------------------------------------------------------------------------------------------------------

    def _until(self, is_true: Callable[[], bool], for_s: float) -> bool:
        """Look until it is true or the time is over; never looks away from who dies meanwhile."""
        deadline_s = time.monotonic() + for_s
        while True:
            self._said += self.witness.records()
            if self.keeps and artifacts.keep_first_round(self.swarm):
                self.keeps = False
            if is_true():
                return True
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_LOOK_S)

    def _is_at_work(self) -> bool:
        beats = [self.swarm.beat(launch.worker_id) for launch in self.swarm.launches()]
        return any(beat is not None and beat.beats > 0 for beat in beats)

    def _is_finished(self) -> bool:
        return self.swarm.run.finished.exists()

    # the work ---------------------------------------------------------------------------------------------------------

    def _whole_round(self) -> tuple[int, tuple[str, ...]]:
        """Rounds that ended, and what is wrong with their artifacts; looked at in the moment a round ends."""
        folder = self.swarm.round()
        if folder is None:
            return 0, ("no round has begun",)
        if not self._until(lambda: self._is_over(folder), _ROUND_S):
            return folder.number, (f"round {folder.number} did not end within {_ROUND_S:.0f} s",)
        return folder.number + 1, self._wrong()

    def _wrong(self) -> tuple[str, ...]:
        return artifacts.wrong(self.swarm)

    def _is_over(self, folder: RoundFolder) -> bool:
        states = self.swarm.jobs(folder.number).values()
        reported = {s.job.unit for s in states if s.job.phase == "report" and s.status == "completed"}
        dead = {s.job.unit for s in states if s.is_over and s.status != "completed"}
        units = {s.job.unit for s in states}
        return bool(units) and units <= reported | dead


def told(row: FaultRow) -> str:
    """A fault in one line, as it is said while the campaign runs."""
    seen = "no record" if row.detected_s is None else f"seen after {row.detected_s:.1f} s ({row.seen_as[:90]})"
    healed = "NOT HEALED" if row.healed_s is None else f"healed after {row.healed_s:.1f} s"
    false = f", FALSE KILLS: {'; '.join(row.false_kills)}" if row.false_kills else ""
    harm = f", HARM: {'; '.join(row.harm)}" if row.harm else ""
    return f"{row.fault} ({row.target}): {seen}, {healed}{false}{harm}"
