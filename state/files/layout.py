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
from state.files.run_folders import RunFolder, SwarmRunFolder

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT = CHECKOUT / "state" / "run"  # of results, and with them of state and logs
OPTIMIZATIONS = Path("Backtests") / "optimizations"  # under RESULTS_ROOT


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

    def run(self, run_id: str) -> RunFolder:
        """The working files of one run."""
        return RunFolder(self.state / "runs" / run_id)

    def runs(self) -> list[RunFolder]:
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
    """The one spelling of a folder, whether it is there yet or not."""
    return Path(os.path.realpath(path))
