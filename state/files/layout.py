"""Every path the product writes, in one place.

Roots come from the environment (`RESULTS_ROOT`, `STATE_ROOT`, `LOGS_ROOT`); by default all of them lie under
`state/run` in the checkout, which git ignores. Links in them are followed once, here: one folder has one spelling.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from config.errors import Refused
from config.record import dataclass
from state.files.knowledge import KnowledgeFolder

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT = CHECKOUT / "state" / "run"  # of results, and with them of state and logs

PHASE0 = "phase0_top500.json"
ALL_TRIALS = "all_trials.json"
SEARCH = "search.json"
PARETO = "pareto_front.json"  # and its picture: only where a search has several objectives
PARETO_SVG = "pareto_front.svg"
MANIFEST = "run_manifest.json"
OPTIMIZATIONS = Path("Backtests") / "optimizations"  # under RESULTS_ROOT
TEARSHEET = "tearsheet.html"
WINDOWS = "windows.json"  # of each best: what its windows traded
BESTS = ("best_sharpe", "best_returns", "lowest_drawdown", "best_winrate")


@dataclass(frozen=True)
class Roots:
    """Where results, state and logs of one installation lie."""

    results: Path
    state: Path
    logs: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Roots":
        """The roots that the environment names, or the checkout's own; creates nothing."""
        environment = os.environ if environment is None else environment
        results = _folder(environment, "RESULTS_ROOT", DEFAULT)
        return cls(
            results=results,
            state=_folder(environment, "STATE_ROOT", results / "state"),
            logs=_folder(environment, "LOGS_ROOT", results / "logs"),
        )

    @property
    def optimizations(self) -> Path:
        """The folder of all result trees; `state/records/results.py` reads them."""
        return self.results / OPTIMIZATIONS

    def artifacts(self, symbol: str, mode: str) -> Path:
        """`Backtests/optimizations/{SYMBOL}/{mode}`: what users read."""
        return self.optimizations / symbol / mode

    def demo_data(self) -> Path:
        """The generated bars, kept between runs."""
        return self.results / "demo"

    @property
    def freqtrade(self) -> Path:
        """freqtrade's user folder that `export` writes into when nobody names another."""
        return self.results / "freqtrade" / "user_data"

    def run(self, run_id: str) -> "RunFolder":
        """The working files of one run."""
        return RunFolder(self.state / "runs" / run_id)

    def runs(self) -> list["RunFolder"]:
        """All runs on file, oldest first (run ids sort by time)."""
        folder = self.state / "runs"
        return [RunFolder(path) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []

    def tries(self, symbol: str) -> Path:
        """All tries on a symbol and all looks at its holdout, over all runs; the user's alone, unlike the results."""
        return self.results / "tries" / f"{symbol}.jsonl"

    def lock(self, symbol: str, mode: str) -> Path:
        """The lock of one result tree, beside it so that it holds whatever STATE_ROOT is; the kernel frees it."""
        return self.artifacts(symbol, mode).with_name(f".{mode}.lock")

    def log(self, run_id: str) -> Path:
        """The plain log of one run."""
        return self.logs / f"{run_id}.log"

    @property
    def settings(self) -> Path:
        """The settings as they were resolved when the swarm was started; what agents read."""
        return self.state / "settings.json"

    @property
    def root_record(self) -> Path:
        """Which root this is, and where its swarm runs; see state/host/root.py."""
        return self.state / "root.json"

    @property
    def swarm(self) -> Path:
        """Which tmux server is ours."""
        return self.state / "swarm.json"

    @property
    def current_run(self) -> Path:
        """Which run the swarm works on."""
        return self.state / "current_run.json"

    @property
    def tombstone(self) -> Path:
        """There while the operator wants nothing to run."""
        return self.state / "stopped.json"

    @property
    def launch_lock(self) -> Path:
        """Held while sessions are made or a run begins."""
        return self.state / "launch.lock"

    @property
    def launch_holder(self) -> Path:
        """Who holds the launch lock, so that one that is stopped can be continued."""
        return self.state / "launch_holder.json"

    @property
    def keeper(self) -> Path:
        """How the swarm is brought back, in which environment, and by which process."""
        return self.state / "keeper.json"

    @property
    def keeper_lock(self) -> Path:
        """Held by the one keeper process for as long as it lives."""
        return self.state / "keeper.lock"

    @property
    def stop_log(self) -> Path:
        """What a `stop` said that was typed inside the swarm."""
        return self.logs / "stop.log"

    @property
    def keeper_log(self) -> Path:
        """What the keeper had to do."""
        return self.logs / "keeper.log"

    @property
    def hooks(self) -> Path:
        """The user's own executables, a folder a point."""
        return self.results / "hooks"

    @property
    def notified(self) -> Path:
        """How the last run of every on_incident hook ended."""
        return self.state / "notified.json"

    @property
    def requests(self) -> Path:
        """Wishes to the owners of targets."""
        return self.state / "requests"

    @property
    def workers(self) -> Path:
        """One launch record a worker that was started and not yet accounted for."""
        return self.state / "workers"

    @property
    def gpu_question(self) -> Path:
        """Who asks the GPU driver, since when, and what is known from earlier answers."""
        return self.state / "gpu_question.json"

    @property
    def gpu_answer(self) -> Path:
        """What the driver answered last."""
        return self.state / "gpu_answer.json"

    @property
    def made(self) -> Path:
        """Which logs below LOGS_ROOT we made."""
        return self.state / "made.jsonl"

    @property
    def events(self) -> Path:
        """Failures and remedies, for people and for the failure memory."""
        return self.state / "workflow_events.log"

    @property
    def healing(self) -> Path:
        """What was found dead, gone or hung, and who brought it back how."""
        return self.state / "healing.jsonl"

    @property
    def session_events(self) -> Path:
        """Incidents as they open and close."""
        return self.state / "session_state_manager_events.jsonl"

    @property
    def session_latest(self) -> Path:
        """The last line of the session log, whole."""
        return self.state / "session_latest.json"

    @property
    def hypotheses(self) -> Path:
        """The ledger of what was tried, and what came of it."""
        return self.state / "hypotheses.jsonl"

    def knowledge(self, folder: str) -> KnowledgeFolder:
        """The documents that grow from run to run; `folder` is the setting swarm.records.knowledge_folder."""
        return KnowledgeFolder(self.results / Path(folder or "docs/reference").expanduser())

    def agent_state(self, agent: str) -> Path:
        """The snapshot that `agent` alone writes."""
        names = {"watchdog": "swarm_control_state.json", "process_auditor": "process_audit_state.json"}
        return self.state / names.get(agent, f"{agent}_state.json")

    def cycles(self, agent: str) -> Path:
        """What the agent saw and decided, cycle by cycle."""
        return self.state / "cycles" / f"{agent}.jsonl"

    def cycle_lock(self, agent: str) -> Path:
        """Held by the one cycle of that agent that is under way."""
        return self.state / "locks" / f"{agent}.lock"

    def loop(self, agent: str) -> Path:
        """Which process runs the agent's cycles."""
        return self.state / "loops" / f"{agent}.json"

    def pipe(self, agent: str) -> Path:
        """Where the agent's loop listens for nudges."""
        return self.state / "wake" / f"{agent}.fifo"

    def session_log(self, run_id: str) -> Path:
        """The heartbeat lines of one run."""
        return self.state / f"session_state_{run_id}.jsonl"

    def launch(self, worker_id: str) -> Path:
        """What a worker was started for."""
        return self.workers / f"{worker_id}.json"

    def heartbeat(self, worker_id: str) -> Path:
        """What a worker says of itself."""
        return self.state / "heartbeats" / f"{worker_id}.json"

    def exit(self, worker_id: str) -> Path:
        """How a worker ended."""
        return self.state / "exits" / f"{worker_id}.json"

    def worker_log(self, run_id: str, job_id: str) -> Path:
        """What the workers of one job had to say."""
        return self.logs / run_id / f"{job_id}.log"

    def agent_log(self, agent: str) -> Path:
        """What went wrong in an agent's loop."""
        return self.logs / "agents" / f"{agent}.log"

    def swarm_run(self, run_id: str) -> "SwarmRunFolder":
        """The files of a run of the swarm."""
        return SwarmRunFolder(self.state / "runs" / run_id)


@dataclass(frozen=True)
class RunFolder:
    """`STATE_ROOT/runs/<RUN_ID>`: what a run needs to go on after it was stopped."""

    path: Path

    @property
    def record(self) -> Path:
        """What the run computes and how far it is."""
        return self.path / "run.json"

    @property
    def prescreen(self) -> Path:
        """The prescreen's checkpoint."""
        return self.path / "prescreen.json"

    @property
    def bars(self) -> Path:
        """The in-sample bars, as every search process maps them; the holdout is not in this file."""
        return self.path / "in_sample.npy"

    @property
    def bar_labels(self) -> Path:
        """Symbol, tick and origin of the bars in `in_sample.npy`."""
        return self.path / "in_sample.json"

    @property
    def phase0_seeds(self) -> Path:
        """What prescreens of other machines and lanes hand to this one's search; only where some were named."""
        return self.path / "phase0_seeds.json"

    @property
    def carried(self) -> Path:
        """What later rounds of the swarm take over from this one."""
        return self.path / "carried.json"

    @property
    def search(self) -> Path:
        """The search job: what to try, at which costs."""
        return self.path / "search.json"

    @property
    def search_errors(self) -> Path:
        """What search processes had to complain about."""
        return self.path / "search.err"

    @property
    def study(self) -> Path:
        """The Optuna study's journal."""
        return self.path / "study.jsonl"

    @property
    def study_database(self) -> Path:
        """The Optuna study where search.storage is sqlite."""
        return self.path / "study.sqlite3"

    @property
    def study_server(self) -> Path:
        """Lock and address of the process that serves a study in a database."""
        return self.path / "study-server"

    @property
    def preflight(self) -> Path:
        """What the checks of the bars found; the swarm's later phases rely on it."""
        return self.path / "preflight.json"

    def shard(self, number: int) -> Path:
        """The checkpoint of one shard of the swarm's prescreen."""
        return self.path / f"prescreen-{number}.json"

    def refined(self, number: int) -> Path:
        """What one job that only filled a lane has found around the best of the prescreen."""
        return self.path / f"refine-{number}.json"

    @property
    def validation(self) -> Path:
        """What validation has finished, a file a step, until the results are there."""
        return self.path / "validation"

    @property
    def outcome(self) -> Path:
        """What the unit came to: what `--single --json` prints."""
        return self.path / "outcome.json"

    @property
    def manifest(self) -> Path:
        """The manifest that this round has published; the one in the result tree is the last round's."""
        return self.path / MANIFEST

    @property
    def staged(self) -> Path:
        """Artifacts that are complete and wait to be published."""
        return self.path / "staged"

    @property
    def claims(self) -> Path:
        """Which trial is being evaluated by a living process."""
        return self.path / "claims"


@dataclass(frozen=True)
class SwarmRunFolder:
    """`STATE_ROOT/runs/<RUN_ID>` of a run of the swarm: its order and a folder a round."""

    path: Path

    @property
    def order(self) -> Path:
        """What was asked for, every default filled in."""
        return self.path / "order.json"

    @property
    def finished(self) -> Path:
        """There when no round is left to do."""
        return self.path / "finished.json"

    def round(self, number: int) -> "RoundFolder":
        """One round's files."""
        return RoundFolder(self.path / f"round-{number:04d}")

    def rounds(self) -> list["RoundFolder"]:
        """All rounds begun, in order."""
        return [RoundFolder(path) for path in sorted(self.path.glob("round-*")) if path.is_dir()]


@dataclass(frozen=True)
class RoundFolder:
    """`round-<NNNN>` of a swarm run."""

    path: Path

    @property
    def number(self) -> int:
        """Which round it is, from 0."""
        return int(self.path.name.partition("-")[2])

    @property
    def jobs(self) -> Path:
        """The job journal, the only store of this round's jobs."""
        return self.path / "jobs.jsonl"

    @property
    def begun(self) -> Path:
        """When it began, and which units are no longer taken along, with the reason."""
        return self.path / "begun.json"

    def unit(self, symbol: str, mode: str) -> RunFolder:
        """The working files of one symbol and mode."""
        return RunFolder(self.path / symbol / mode)

    def result(self, job_id: str) -> Path:
        """What a job came to, written by its worker as the last thing it does."""
        return self.path / "results" / f"{job_id}.json"

    def lease(self, job_id: str) -> Path:
        """Which epoch of a job counts."""
        return self.path / "leases" / f"{job_id}.json"


def _folder(environment: Mapping[str, str], variable: str, default: Path) -> Path:
    text = environment.get(variable, "")
    if not text:
        return _spelled(default)
    if not text.isprintable():
        raise Refused(f"{variable} is {text!r}, which holds control characters", "name a folder without them")
    path = _spelled(Path(text).expanduser())
    if path.exists() and not path.is_dir():
        raise Refused(f"{variable} is {text}, which is not a folder", f"name a folder, or unset {variable}")
    return path


def _spelled(path: Path) -> Path:
    """The one spelling of a folder, whether it is there yet or not."""
    return Path(os.path.realpath(path))
