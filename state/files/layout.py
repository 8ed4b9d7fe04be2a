"""Every path that the product writes, in one place.

The roots come from the environment (`RESULTS_ROOT`, `STATE_ROOT`, `LOGS_ROOT`). By default all of them lie under
`state/run` in the checkout, which git ignores. Links in their paths are resolved once, here, so that each folder has
one spelling.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from config.errors import Refused
from config.record import dataclass
from state.files.knowledge import KnowledgeFolder

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT = CHECKOUT / "state" / "run"  # the default RESULTS_ROOT; state and logs lie below it

PHASE0 = "phase0_top500.json"
ALL_TRIALS = "all_trials.json"
SEARCH = "search.json"
PARETO = "pareto_front.json"  # written, as its picture is, only when a search has several objectives
PARETO_SVG = "pareto_front.svg"
MANIFEST = "run_manifest.json"
OPTIMIZATIONS = Path("Backtests") / "optimizations"  # under RESULTS_ROOT
TEARSHEET = "tearsheet.html"
WINDOWS = "windows.json"  # for each best strategy the trades in its windows
BESTS = ("best_sharpe", "best_returns", "lowest_drawdown", "best_winrate")


@dataclass(frozen=True)
class Roots:
    """The folders of results, state and logs of one installation."""

    results: Path
    state: Path
    logs: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Roots":
        """Return the roots that the environment names, else the checkout's own; Refused when one names no folder."""
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
        """The result tree of a symbol and mode, which users read: `Backtests/optimizations/{SYMBOL}/{mode}`."""
        return self.optimizations / symbol / mode

    def demo_data(self) -> Path:
        """The folder of the generated demo bars, which are kept between runs."""
        return self.results / "demo"

    @property
    def freqtrade(self) -> Path:
        """The freqtrade user folder that `export` writes to by default."""
        return self.results / "freqtrade" / "user_data"

    def run(self, run_id: str) -> "RunFolder":
        """The working files of one run of a single process."""
        return RunFolder(self.state / "runs" / run_id)

    def runs(self) -> list["RunFolder"]:
        """Return all runs on file, the oldest first, because run ids sort by time."""
        folder = self.state / "runs"
        return [RunFolder(path) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []

    def tries(self, symbol: str) -> Path:
        """The ledger of all tries on a symbol and all looks at its holdout, over all runs. It is private."""
        return self.results / "tries" / f"{symbol}.jsonl"

    def lock(self, symbol: str, mode: str) -> Path:
        """The lock of one result tree. It lies beside the tree, so that it also holds between different STATE_ROOTs."""
        return self.artifacts(symbol, mode).with_name(f".{mode}.lock")

    def log(self, run_id: str) -> Path:
        """The plain log of one run."""
        return self.logs / f"{run_id}.log"

    @property
    def settings(self) -> Path:
        """The settings as they were when the swarm was started, which agents read."""
        return self.state / "settings.json"

    @property
    def root_record(self) -> Path:
        """The record of which root this is, and where its swarm runs; see state/host/root.py."""
        return self.state / "root.json"

    @property
    def swarm(self) -> Path:
        """The record of the swarm's tmux server."""
        return self.state / "swarm.json"

    @property
    def current_run(self) -> Path:
        """The pointer to the run that the swarm works on, with a copy of its order."""
        return self.state / "current_run.json"

    @property
    def tombstone(self) -> Path:
        """The file that exists while the operator wants the swarm stopped."""
        return self.state / "stopped.json"

    @property
    def launch_lock(self) -> Path:
        """The lock that is held while sessions are started or a run begins."""
        return self.state / "launch.lock"

    @property
    def launch_holder(self) -> Path:
        """The identity of the holder of the launch lock, so that a stopped holder can be continued."""
        return self.state / "launch_holder.json"

    @property
    def keeper(self) -> Path:
        """The record of the keeper: its method, its environment, and its process."""
        return self.state / "keeper.json"

    @property
    def keeper_lock(self) -> Path:
        """The lock that the one keeper process holds while it lives."""
        return self.state / "keeper.lock"

    @property
    def stop_log(self) -> Path:
        """The output of a `stop` that was typed inside the swarm."""
        return self.logs / "stop.log"

    @property
    def keeper_log(self) -> Path:
        """The keeper's log of what it did."""
        return self.logs / "keeper.log"

    @property
    def hooks(self) -> Path:
        """The user's own hooks, in one folder for each hook point."""
        return self.results / "hooks"

    @property
    def notified(self) -> Path:
        """The record of how the last run of each on_incident hook ended."""
        return self.state / "notified.json"

    @property
    def requests(self) -> Path:
        """The folder of requests to the agents that own a target."""
        return self.state / "requests"

    @property
    def workers(self) -> Path:
        """The folder with one launch record for each worker that is not yet accounted for."""
        return self.state / "workers"

    @property
    def gpu_question(self) -> Path:
        """The last question to the GPU driver: its process, since when, and what earlier answers said."""
        return self.state / "gpu_question.json"

    @property
    def gpu_answer(self) -> Path:
        """The last answer of the GPU driver."""
        return self.state / "gpu_answer.json"

    @property
    def made(self) -> Path:
        """The record of which logs below LOGS_ROOT we made."""
        return self.state / "made.jsonl"

    @property
    def events(self) -> Path:
        """The log of failures and remedies, for people and for the failure memory."""
        return self.state / "workflow_events.log"

    @property
    def healing(self) -> Path:
        """The journal of what was found dead, gone or hung, and of what brought it back."""
        return self.state / "healing.jsonl"

    @property
    def session_events(self) -> Path:
        """The log of incidents as they open and close."""
        return self.state / "session_state_manager_events.jsonl"

    @property
    def session_latest(self) -> Path:
        """The last line of the session log, as a file of its own."""
        return self.state / "session_latest.json"

    @property
    def hypotheses(self) -> Path:
        """The ledger of hypotheses, and their outcomes."""
        return self.state / "hypotheses.jsonl"

    def knowledge(self, folder: str) -> KnowledgeFolder:
        """The documents that grow from run to run. `folder` is the setting swarm.knowledge_folder."""
        return KnowledgeFolder(self.results / Path(folder or "docs/reference").expanduser())

    def agent_state(self, agent: str) -> Path:
        """The state file of an agent, which only this agent writes."""
        names = {"watchdog": "swarm_control_state.json", "process_auditor": "process_audit_state.json"}
        return self.state / names.get(agent, f"{agent}_state.json")

    def cycles(self, agent: str) -> Path:
        """The cycle journal of an agent: what it saw and decided."""
        return self.state / "cycles" / f"{agent}.jsonl"

    def cycle_lock(self, agent: str) -> Path:
        """The lock that the one cycle of an agent holds while it is under way."""
        return self.state / "locks" / f"{agent}.lock"

    def loop(self, agent: str) -> Path:
        """The record of the process that runs an agent's cycles."""
        return self.state / "loops" / f"{agent}.json"

    def pipe(self, agent: str) -> Path:
        """The pipe on which an agent's loop listens for nudges."""
        return self.state / "wake" / f"{agent}.fifo"

    def session_log(self, run_id: str) -> Path:
        """The session log of one run."""
        return self.state / f"session_state_{run_id}.jsonl"

    def launch(self, worker_id: str) -> Path:
        """The launch record of a worker."""
        return self.workers / f"{worker_id}.json"

    def heartbeat(self, worker_id: str) -> Path:
        """The heartbeat file of a worker."""
        return self.state / "heartbeats" / f"{worker_id}.json"

    def exit(self, worker_id: str) -> Path:
        """The exit file of a worker, in which its wrapper records how it ended."""
        return self.state / "exits" / f"{worker_id}.json"

    def worker_log(self, run_id: str, job_id: str) -> Path:
        """The output of all workers of one job."""
        return self.logs / run_id / f"{job_id}.log"

    def agent_log(self, agent: str) -> Path:
        """The errors of an agent's loop."""
        return self.logs / "agents" / f"{agent}.log"

    def swarm_run(self, run_id: str) -> "SwarmRunFolder":
        """The files of a run of the swarm."""
        return SwarmRunFolder(self.state / "runs" / run_id)


@dataclass(frozen=True)
class RunFolder:
    """The working files of a run, or of one unit of a round: what it needs to go on after it was stopped."""

    path: Path

    @property
    def record(self) -> Path:
        """The record of what the run computes and how far it is."""
        return self.path / "run.json"

    @property
    def prescreen(self) -> Path:
        """The prescreen's checkpoint."""
        return self.path / "prescreen.json"

    @property
    def bars(self) -> Path:
        """The in-sample bars, which every search process maps into memory. The holdout is not in this file."""
        return self.path / "in_sample.npy"

    @property
    def bar_labels(self) -> Path:
        """Symbol, tick and origin of the bars in `in_sample.npy`."""
        return self.path / "in_sample.json"

    @property
    def phase0_seeds(self) -> Path:
        """The prescreen results of other machines and lanes that seed this search; only when such files were named."""
        return self.path / "phase0_seeds.json"

    @property
    def carried(self) -> Path:
        """What later rounds of the swarm take over from this round."""
        return self.path / "carried.json"

    @property
    def search(self) -> Path:
        """The description of the search: what to try, at which costs."""
        return self.path / "search.json"

    @property
    def search_errors(self) -> Path:
        """The error output of the search processes."""
        return self.path / "search.err"

    @property
    def study(self) -> Path:
        """The Optuna study's journal."""
        return self.path / "study.jsonl"

    @property
    def study_database(self) -> Path:
        """The Optuna study when search.storage is sqlite."""
        return self.path / "study.sqlite3"

    @property
    def study_server(self) -> Path:
        """The folder with the lock and the address of the process that serves a study in a database."""
        return self.path / "study-server"

    @property
    def preflight(self) -> Path:
        """The result of the checks of the bars, on which the swarm's later phases rely."""
        return self.path / "preflight.json"

    def shard(self, number: int) -> Path:
        """The checkpoint of one shard of the swarm's prescreen."""
        return self.path / f"prescreen-{number}.json"

    def refined(self, number: int) -> Path:
        """What one job that filled an idle lane found near the best of the prescreen."""
        return self.path / f"refine-{number}.json"

    @property
    def validation(self) -> Path:
        """The finished steps of a validation, one file each, until the results are there."""
        return self.path / "validation"

    @property
    def outcome(self) -> Path:
        """The outcome of the unit, as `--single --json` prints it."""
        return self.path / "outcome.json"

    @property
    def manifest(self) -> Path:
        """The manifest that this round published; the result tree holds only that of the last round."""
        return self.path / MANIFEST

    @property
    def staged(self) -> Path:
        """The complete artifacts that wait to be published."""
        return self.path / "staged"

    @property
    def claims(self) -> Path:
        """The folder of locks that show which trial a living process evaluates."""
        return self.path / "claims"


@dataclass(frozen=True)
class SwarmRunFolder:
    """`STATE_ROOT/runs/<RUN_ID>` of a run of the swarm: its order, and one folder for each round."""

    path: Path

    @property
    def order(self) -> Path:
        """The order: what was asked for, with every default filled in."""
        return self.path / "order.json"

    @property
    def finished(self) -> Path:
        """The record that exists once the run is complete."""
        return self.path / "finished.json"

    def round(self, number: int) -> "RoundFolder":
        """The files of one round, counted from 0."""
        return RoundFolder(self.path / f"round-{number:04d}")

    def rounds(self) -> list["RoundFolder"]:
        """Return all rounds that have begun, in order."""
        return [RoundFolder(path) for path in sorted(self.path.glob("round-*")) if path.is_dir()]


@dataclass(frozen=True)
class RoundFolder:
    """`round-<NNNN>` of a swarm run."""

    path: Path

    @property
    def number(self) -> int:
        """The number of the round, counted from 0."""
        return int(self.path.name.partition("-")[2])

    @property
    def jobs(self) -> Path:
        """The job journal, the only store of this round's jobs."""
        return self.path / "jobs.jsonl"

    @property
    def begun(self) -> Path:
        """The record of when the round began, with which code, and which units are left out of it and why."""
        return self.path / "begun.json"

    def unit(self, symbol: str, mode: str) -> RunFolder:
        """The working files of one symbol and mode."""
        return RunFolder(self.path / symbol / mode)

    def result(self, job_id: str) -> Path:
        """The result of a job; writing it is the last thing that its worker does."""
        return self.path / "results" / f"{job_id}.json"

    def lease(self, job_id: str) -> Path:
        """The lease of a job, which says which epoch, and so which of its workers, counts."""
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
    """Return the one spelling of a folder, whether or not it exists yet."""
    return Path(os.path.realpath(path))
