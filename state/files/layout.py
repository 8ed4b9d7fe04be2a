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
from state.files.run_folders import RunFolder, SwarmRunFolder

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT = CHECKOUT / "state" / "run"  # the default RESULTS_ROOT; state and logs lie below it
OPTIMIZATIONS = Path("Backtests") / "optimizations"  # under RESULTS_ROOT


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

    def run(self, run_id: str) -> RunFolder:
        """The working files of one run of a single process."""
        return RunFolder(self.state / "runs" / run_id)

    def runs(self) -> list[RunFolder]:
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
        """The documents that grow from run to run. `folder` is the setting swarm.records.knowledge_folder."""
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

    def swarm_run(self, run_id: str) -> SwarmRunFolder:
        """The files of a run of the swarm."""
        return SwarmRunFolder(self.state / "runs" / run_id)


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
