"""The command line of scripts/bench faults: the bars, the duration, and the faults."""

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

ABOUT = "Prove healing by breaking: start a private swarm, break something every 75 seconds, and measure how it heals."
EPILOG = """\
examples:
  scripts/bench faults --symbols SOL,BTC --modes aggressive,balanced --data-path ~/data
  scripts/bench faults --minutes 5 --every 30 --only worker-killed,agent-killed --verify
  scripts/bench faults --data-path ~/data --symbols SOL --keep /tmp/broken --json
  scripts/bench faults --pairs 300 --minutes 600 --cadence-scale 0.2 --verify
  scripts/bench faults --hostile --minutes 30 --cadence-scale 0.2 --prescreen 5000 --trials 8 --paths 20 --verify

The columns: "detected in" is the seconds until the first record (incident, event, job journal, decision) that shows the
fault. "healed in" is the seconds until everything that the fault took away is back: a worker that makes progress,
agents that cycle, a tmux that answers. "false kills" are workers, loops and servers that died or were replaced although
no fault was aimed at them, by the epochs in the job journal and the identities of the loops; there must be none.
"healed by" is the program that says so in healing.jsonl; when tmux or all agents are killed, only the keeper is left to
heal. Your own swarm is not touched: the campaign has its own roots and socket, and removes them at the end.

With --pairs, two things are broken within a second of each other. --seed draws them from all pairs of faults. Among the
faults are a full disk and a read-only disk (as root: a disk in memory), stop, start, ensure, and an upgrade of a copy
of this checkout. "healed in" then counts from the moment at which the last fault is undone. "left behind" is what
`stop` did not end or remove.

With --hostile, the swarm is attacked instead, as another user of the machine, its folders or its data could do: old
files of others among its logs and state, records that are missing or have a wrong shape, pipes and bombs, forged
results, edited working files, a locked result, missing bars, copies and other names of its root, another PID namespace,
forged launches, a stopped keeper, a missing environment, no inodes left, `stop` in a pane. "HARM" is what an attack
touched or lost, or a false answer that it caused. Your bars are only linked to. Some attacks need root and are skipped
without it.

exit codes: 0 all healed, no false kill, artifacts complete; 1 refused, or one of these fails; 2 usage; 130 Ctrl-C
"""


def main(arguments: Sequence[str]) -> int:
    """Run the campaign and print its table; return 1 when something has not healed."""
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
    # Imported late, because --help must answer before psutil and the agents are loaded.
    from scripts.lab.faults import artifacts
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
    """Return a folder of links to the bars, which an attack may remove, unlike the real data."""
    folder.mkdir()
    for path in sorted(bars.iterdir()) if bars.is_dir() else [bars]:
        (folder / path.name).symlink_to(path.absolute())
    return folder


def _singles(asked: argparse.Namespace) -> Sequence[str]:
    """Return the faults, or the attacks, that come one by one."""
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
    """Return the pairs to break; with --only, pairs of those faults."""
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
    add("--minutes", type=_positive, default=30.0, metavar="M", help="duration of the campaign (default 30)")
    add("--every", type=_positive, metavar="S", help="seconds between two faults (default 75; pairs 2, attacks 10)")
    together = parser.add_mutually_exclusive_group()
    together.add_argument(
        "--pairs",
        type=command.whole(0, 100_000),
        metavar="N",
        help="break two things at once, N times (0: every pair once)",
    )
    together.add_argument(
        "--hostile", action="store_true", help="attack the swarm, as other users of the machine could"
    )
    add("--only", type=lambda text: text.split(","), metavar="NAME[,NAME]", help="only these faults, in this order")
    add_flags(parser, "--symbols", default="SOL", help="as for --parallel (default SOL; without data the demo's)")
    add_flags(parser, "--modes", *READING, *SIZES)
    where = f"folder or file (default ${DATA_VARIABLE}, else demo bars)"
    add_flags(parser, "--data-path", default=os.environ.get(DATA_VARIABLE), help=where)
    add_flags(parser, "--rounds", default=0, help="rounds; 0: as many as fit (default)")
    add(
        "--cadence-scale",
        type=_positive,
        metavar="X",
        help="factor of the agents' cadences (default: that of the settings)",
    )
    add_flags(parser, "--seed", default=7, help="seed of the victims (default 7)")
    add(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="an empty folder for the roots, which is kept (default: a temporary folder)",
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _like_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
