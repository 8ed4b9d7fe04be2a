"""`scripts/bench search`: trials a second of one study with 1, 2 and 4 processes."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from config.settings import load
from scripts.lab import flags
from state.files.layout import CHECKOUT
from state.host import command
from WORKFLOW.command_line import add_flags

ABOUT = "How many trials a second one study makes with 1, 2 and 4 processes."
EPILOG = """\
examples:
  scripts/bench search
  scripts/bench search --trials 600 --processes 1,2,4 --waits 0,0.1 --json

The objective is either free (0) or waits; all else is what a search does: claims, asks, the journal. Rounds take turns
(1, 2, 4, 1, 2, 4 ...), so that a noisy machine is noisy for all; medians, and ratios to one process in the same run.
Seconds count from the moment at which all processes have started and imported what they need,
to that at which the last one finds nothing left to do.

exit codes: 0 done, 2 usage
"""


_WORKER = """\
import sys
from pathlib import Path
from scripts.lab.search import work
work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
"""


@dataclass(frozen=True)
class SearchRow:
    """Trials a second (median of the rounds), and how many times those of one process."""

    wait_s: float
    processes: int
    trials: int
    trials_per_s: float
    times_one: float


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    return command.run(_parser, _run, arguments)


def _run(asked: argparse.Namespace) -> int:
    rows = [row for wait_s in asked.waits for row in _measured(asked, wait_s)]
    if asked.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    print(f"{'objective':>12} {'processes':>9} {'trials':>7} {'trials/s':>9} {'times one':>9}")
    for row in rows:
        free = "free" if row.wait_s == 0 else f"waits {row.wait_s:g} s"
        print(f"{free:>12} {row.processes:>9} {row.trials:>7} {row.trials_per_s:>9.1f} {row.times_one:>9.2f}")
    return 0


def _measured(asked: argparse.Namespace, wait_s: float) -> list[SearchRow]:
    trials = asked.trials if wait_s == 0 else max(asked.batch, asked.trials // 4)
    rates: dict[int, list[float]] = {n: [] for n in asked.processes}
    for _ in range(asked.repeat):
        for n in asked.processes:
            rates[n].append(_rate(n, trials, asked.batch, wait_s))
    medians = {n: statistics.median(some) for n, some in rates.items()}
    one = medians[min(medians)]
    return [SearchRow(wait_s, n, trials, round(rate, 2), round(rate / one, 3)) for n, rate in medians.items()]


def _rate(processes: int, trials: int, batch: int, wait_s: float) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-search-") as folder:
        words = [sys.executable, "-c", _WORKER, folder, str(trials), str(batch), str(wait_s)]
        workers = [
            subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(processes)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()  # it is ready
        began_s = time.monotonic()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.close()
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()  # it is done; what its interpreter takes to end is not the search's
        took_s = time.monotonic() - began_s
        for worker in workers:
            if worker.wait() != 0:
                raise RuntimeError(f"a search process ended with {worker.returncode}")
            assert worker.stdout is not None
            worker.stdout.close()
        return trials / took_s


def work(folder: Path, trials: int, batch: int, wait_s: float) -> None:
    """Take part in the study in `folder`, from the moment at which standard input ends."""
    from WORKFLOW.search.space import Parameters
    from WORKFLOW.search.storage import JournalStore
    from WORKFLOW.search.study import Hopeless, SharedStudy, StudyPlan, TrialResult

    def objective(parameters: Parameters, _: Hopeless) -> TrialResult:
        time.sleep(wait_s)
        value = -abs(float(parameters["fast_period"]) - 20) - 10 * float(parameters["stop_loss"])
        return TrialResult(value, 0.0, None)

    plan = StudyPlan(load({}).mode("aggressive"), trials, batch, 7, ())
    study = SharedStudy(JournalStore(folder / "study.jsonl"), folder / "claims", plan)
    warm = folder / f"warm-{os.getpid()}"  # what a process imports at its first trials belongs to its start
    warm.mkdir()
    first = StudyPlan(plan.mode, 2 * batch, batch, 8, ())
    SharedStudy(JournalStore(warm / "study.jsonl"), warm / "claims", first).work(
        lambda _p, _h: TrialResult(0.0, 0.0, None), lambda _: None, lambda: True
    )
    print("ready", flush=True)
    sys.stdin.read()
    study.work(objective, lambda _: None, lambda: True)
    print("done", flush=True)


def _parser() -> command.Parser:
    parser = flags.parser("search", ABOUT, EPILOG)
    add = parser.add_argument
    settings = load({}).search
    add_flags(parser, "--trials", default=settings.trials, help="of one study; a quarter where the objective waits")
    add("--batch", type=int, default=settings.batch_trials, help="trials of a sealed batch (default: the setting)")
    add("--processes", type=_integers, default=[1, 2, 4], metavar="N[,N]", help="default 1,2,4")
    add("--waits", type=_floats, default=[0.0, 0.1], metavar="S[,S]", help="seconds a trial waits (default 0,0.1)")
    add("--repeat", type=int, default=3, help="rounds; the median counts (default 3)")
    add_flags(parser, "--json", help="a list of objects on standard output")
    return parser


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _floats(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]
