"""A swarm that works, and attacks as its turns: nothing foreign is touched, nothing lost, nothing false said."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle
from typing import ClassVar

from scripts.lab.faults import artifacts
from scripts.lab.faults.campaign import Campaign, CampaignOutcome, FaultRow
from scripts.lab.faults.hostile import files, neighbours, records
from scripts.lab.faults.injuries import Break, Injury

_MEET_S = 180.0  # for somebody to run into what lasts, such as a lock that is held
ATTACKS: Mapping[str, Break] = {
    "others-files": files.others_files,
    "wrong-shape": records.wrong_shape,
    "record-lost": records.record_lost,
    "result-held": neighbours.lock_held,
    "working-file-edited": files.working_file_edited,
    "root-copied": neighbours.root_copied,
    "wrong-line": records.wrong_line,
    "two-spellings": neighbours.two_spellings,
    "data-gone": neighbours.data_gone,
    "keeper-stopped": neighbours.keeper_stopped,
    "forged-launch": neighbours.forged_launch,
    "other-namespace": neighbours.other_namespace,
    "pipe-for-state": records.pipe_for_state,
    "notes-in-results": files.notes_in_results,
    "no-environment": neighbours.no_environment,
    "lying-results": files.lying_results,
    "inodes-gone": records.inodes_gone,
    "bomb": files.bomb,
    "stop-inside": neighbours.stop_inside,
    "long-line": records.long_line,
    "run-folder-removed": records.run_folder_removed,
    "state-root-moved": records.state_root_moved,
}


@dataclass
class HostileCampaign(Campaign):
    """Each attack in turn, again and again."""

    faults: ClassVar[Mapping[str, Break]] = ATTACKS
    wait_s: ClassVar[float] = 60.0  # some need a worker in a certain phase
    attacks: list[Injury] = field(default_factory=list)

    def run(self) -> CampaignOutcome:
        """All of it, but what the attacks did that shows only after the last `stop`."""
        return self.through(cycle(self.plan.turns))

    def _followed(self, injury: Injury, struck_s: float, began_s: float) -> FaultRow:
        """Seconds count from the end of what lasts."""
        self.attacks.append(injury)
        if injury.ends_everything:
            self.witness.expect_everybody()
        if injury.undo is not None:
            self._until(injury.is_met, _MEET_S)
            if injury.ends_everything:
                self.witness.expect_everybody(is_over=True)
            injury.undo()
            struck_s = time.monotonic()
        row = super()._followed(injury, struck_s, began_s)
        return FaultRow(**{**asdict(row), "harm": tuple(injury.harm())})

    def judged(self, outcome: CampaignOutcome) -> CampaignOutcome:
        """The outcome after the last `stop`: what every attack harmed; files of others are not left behind by us."""
        laid = frozenset(path for attack in self.attacks for path in attack.laid)
        harmed = tuple(f"{one.fault} ({one.target}): {text}" for one in self.attacks for text in one.harm())
        left = tuple(one for one in outcome.left_behind if one not in {str(path) for path in laid})
        return replace(outcome, broken=(*outcome.broken, *harmed), left_behind=left)

    def _wrong(self) -> tuple[str, ...]:
        laid = {path for attack in self.attacks for path in attack.laid}
        return artifacts.wrong(self.swarm, but=laid)
