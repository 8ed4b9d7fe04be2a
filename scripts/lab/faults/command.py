"""The command line of scripts/bench faults: which bars, how long, what is broken how often."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from config.errors import Refused
from scripts.lab import flags
from state.host import command
from WORKFLOW.command_line import DATA_VARIABLE, READING, SIZES, add_flags, reading_of, reading_words

ABOUT = "Prove healing by breaking: run a swarm of its own, break something every 75 seconds, time what follows."
EPILOG = """\
examples:
  scripts/bench faults --symbols SOL,BTC --modes aggressive,balanced --data-path ~/data
  scripts/bench faults --minutes 5 --every 30 --only worker-killed,agent-killed --verify
  scripts/bench faults --data-path ~/data --symbols SOL --keep /tmp/broken --json
  scripts/bench faults --pairs 300 --minutes 600 --cadence-scale 0.2 --verify
  scripts/bench faults --hostile --minutes 30 --cadence-scale 0.2 --prescreen 5000 --trials 8 --paths 20 --verify

detected in: seconds until the first record (incident, event, job journal, decision) that shows it. healed in: seconds
until all it took away is back: a worker that makes progress, agents that cycle, a tmux that answers. false kills:
workers, loops and servers that died or were replaced without being meant, by the job journal's epochs and the loops'
identities; must be 0. healed by: whoever says so in healing.jsonl; when tmux or all agents are killed nobody of the
swarm is left but its keeper. Your own swarm is not touched: roots and socket are the campaign's, and gone afterwards.

With --pairs two things are broken within a second of each other, drawn by --seed from all pairs of faults, among
them a full and a read-only disk (as root: on a disk in memory), stop, start, ensure and an upgrade of a copy of this
checkout. healed in: seconds after the last of them is undone. left behind: what `stop` has not ended or removed.

With --hostile it is attacked instead, as somebody may who shares its machine, its folders or its data: old files of
others among its logs and state, records of a wrong shape or gone, pipes and bombs, results that lie, working files that
are edited, a result that is held, bars that are away, copies and other names of its root, another PID namespace, forged
launches, a stopped keeper, a missing environment, no inodes left, `stop` in a pane. HARM: what an attack touched, lost,
or made a command say falsely. Your bars are only linked to. Some attacks take root, and are passed over without it.

exit codes: 0 all healed, no false kill, artifacts complete; 1 refused, or one of these is not so; 2 usage; 130 Ctrl-C
"""


def main(arguments: Sequence[str]) -> int:
    """Break, watch, and print; 1 when something has not healed."""
    return command.run(_parser, _run, arguments, stopped=("ended before its time; its swarm is stopped", ""))


def _run(asked: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _like_ctrl_c)
    outcome = _outcome(asked)
    if asked.json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        from scripts.lab.faults import table

        table.show(outcome)
    return 0 if outcome.is_good else 1


def _outcome(asked: argparse.Namespace) -> Any:
    from scripts.lab.faults import artifacts  # psutil and the agents: not before --help
    from scripts.lab.faults.campaign import Campaign, CampaignPlan
    from scripts.lab.faults.hostile.campaign import HostileCampaign
    from scripts.lab.faults.pairs import PairCampaign
    from scripts.lab.faults.private import private
    from scripts.swarm import tmux

    turns = _pairs(asked) if asked.pairs is not None else _singles(asked)
    tmux.require()
    began_s = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began_s), 60)
        print(f"[{minutes:3}:{seconds:02}] {text}", file=sys.stderr, flush=True)

    more = {} if asked.cadence_scale is None else {"agents": {"cadence_scale": asked.cadence_scale}}
    kind, usual_s = (Campaign, 75.0) if asked.pairs is None else (PairCampaign, 2.0)
    if asked.hostile:
        kind, usual_s = HostileCampaign, 10.0
    every_s = asked.every or usual_s
    with private(asked.keep, more, apart=kind is not Campaign) as swarm:
        say(f"a swarm of its own in {swarm.roots.results}")
        if asked.hostile and asked.data_path:
            asked.data_path = _lent(asked.data_path, swarm.roots.results.parent / "bars")
        swarm.start([*_what(asked), *_sizes(asked)])
        campaign = kind(swarm, CampaignPlan(asked.minutes, every_s, turns, asked.seed), say, keeps=asked.verify)
        outcome = campaign.run()
        if asked.verify:
            swarm.stop()
            say("comparing the first round with undisturbed runs of one process")
            compared, different = artifacts.compare(swarm, _sizes(asked))
            outcome = replace(outcome, compared=compared, different=different)
        say("stopping the swarm")
        swarm.typed(swarm.command, "stop")
        outcome = replace(outcome, left_behind=swarm.left_behind())
        return campaign.judged(outcome) if isinstance(campaign, HostileCampaign) else outcome


def _lent(bars: Path, folder: Path) -> Path:
    """A folder that leads to these bars and can be taken away, which somebody's real data never are."""
    folder.mkdir()
    for path in sorted(bars.iterdir()) if bars.is_dir() else [bars]:
        (folder / path.name).symlink_to(path.absolute())
    return folder


def _singles(asked: argparse.Namespace) -> Sequence[str]:
    """What comes one by one: faults, or attacks."""
    from scripts.lab.faults.hostile.campaign import ATTACKS
    from scripts.lab.faults.injuries import FAULTS, TURNS

    return _turns(asked.only, ATTACKS, tuple(ATTACKS)) if asked.hostile else _turns(asked.only, FAULTS, TURNS)


def _turns(only: Sequence[str] | None, known: Any, all_of_them: Sequence[str]) -> Sequence[str]:
    if only is None:
        return all_of_them
    if unknown := [name for name in only if name not in known]:
        raise Refused(f"there is no fault {unknown[0]!r}", f"known: {', '.join(known)}")
    return only


def _pairs(asked: argparse.Namespace) -> Sequence[str]:
    """The pairs to break; with --only those of these faults."""
    from scripts.lab.faults.pairs import drawn
    from scripts.lab.faults.surroundings import FAULTS

    names = _turns(asked.only, FAULTS, tuple(FAULTS))
    return ["+".join(pair) for pair in drawn(asked.seed, asked.pairs or None, names)]


def _what(asked: argparse.Namespace) -> list[str]:
    bars = ["--data-path", str(asked.data_path), "--symbols", asked.symbols] if asked.data_path else ["--demo"]
    words = ["--rounds", str(asked.rounds), *bars, *reading_words(reading_of(asked))]
    return words + (["--modes", asked.modes] if asked.modes else [])


def _sizes(asked: argparse.Namespace) -> list[str]:
    sizes = {"--prescreen": asked.prescreen, "--trials": asked.trials, "--paths": asked.paths}
    return [word for name, value in sizes.items() if value is not None for word in (name, str(value))]


def _parser() -> command.Parser:
    parser = flags.parser("faults", ABOUT, EPILOG)
    add = parser.add_argument
    add("--minutes", type=_positive, default=30.0, metavar="M", help="how long things are broken (default 30)")
    add("--every", type=_positive, metavar="S", help="seconds between two faults (default 75; pairs 2, attacks 10)")
    together = parser.add_mutually_exclusive_group()
    together.add_argument(
        "--pairs",
        type=command.whole(0, 100_000),
        metavar="N",
        help="break two things at once, N times (0: every pair once)",
    )
    together.add_argument("--hostile", action="store_true", help="attack it, as whoever shares the machine may")
    add("--only", type=lambda text: text.split(","), metavar="NAME[,NAME]", help="these faults, in this turn")
    add_flags(
        parser, "--symbols", default="SOL", help="as --parallel takes them (default SOL; the demo's without data)"
    )
    add_flags(parser, "--modes", *READING, *SIZES)
    where = f"folder or file (default ${DATA_VARIABLE}, else demo bars)"
    add_flags(parser, "--data-path", default=os.environ.get(DATA_VARIABLE), help=where)
    add_flags(parser, "--rounds", default=0, help="0: as many as fit (default)")
    add("--cadence-scale", type=_positive, metavar="X", help="times the agents' cadences (default: the settings' own)")
    add_flags(parser, "--seed", default=7, help="of who is hit (default 7)")
    add(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="an empty folder for its roots, which stays (default: a temporary one)",
    )
    add("--verify", action="store_true", help="compare the first round with --single, byte for byte")
    add_flags(parser, "--json", help="one object on standard output")
    return parser


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _like_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
