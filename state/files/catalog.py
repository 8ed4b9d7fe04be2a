"""The list of every file of the product, with its one writer, its readers and its age limit.

`python -m state.files.catalog` renders the page.
"""

from config.record import dataclass
from state.files.layout import CHECKOUT
from state.host import process


@dataclass(frozen=True)
class Owned:
    """One kind of file: its writer, its readers, and how long it counts as fresh."""

    path: str
    writer: str
    readers: str
    fresh_for: str


_UNIT = "STATE_ROOT/runs/<RUN_ID>/round-<N>/<SYMBOL>/<MODE>"

CATALOG: tuple[Owned, ...] = (
    Owned("STATE_ROOT/runs/<RUN_ID>/run.json", "the pipeline", "the pipeline (resume)", "for ever"),
    Owned("STATE_ROOT/runs/<RUN_ID>/in_sample.npy", "the pipeline", "search processes", "the run"),
    Owned("STATE_ROOT/runs/<RUN_ID>/in_sample.json", "the pipeline", "search processes", "the run"),
    Owned("STATE_ROOT/runs/<RUN_ID>/search.json", "the pipeline", "search processes", "the run"),
    Owned("STATE_ROOT/runs/<RUN_ID>/prescreen.json", "the pipeline", "the pipeline (resume)", "the run"),
    Owned("STATE_ROOT/runs/<RUN_ID>/phase0_seeds.json", "the pre-flight job", "merge, search, validation", "the run"),
    Owned("STATE_ROOT/runs/<RUN_ID>/validation/plan.json", "the pipeline", "`stop`", "until the results are there"),
    Owned(
        "STATE_ROOT/runs/<RUN_ID>/validation/<STEP>.step",
        "the pipeline",
        "the pipeline (resume), `stop`",
        "until the results are there",
    ),
    Owned("STATE_ROOT/runs/<RUN_ID>/outcome.json", "the pipeline", "`results --all`, `frames.results`", "for ever"),
    Owned(
        "STATE_ROOT/runs/<RUN_ID>/study.jsonl",
        "search processes, under its lock",
        "search, report, dashboard",
        "for ever",
    ),
    Owned("STATE_ROOT/runs/<RUN_ID>/study.damaged-<N>.jsonl", "search processes", "people", "for ever"),
    Owned(
        "STATE_ROOT/runs/<RUN_ID>/study.sqlite3",
        "the search process that serves",
        "search, report, dashboard",
        "for ever",
    ),
    Owned("STATE_ROOT/runs/<RUN_ID>/study-server", "the search process that serves", "search processes", "the run"),
    Owned(
        "STATE_ROOT/runs/<RUN_ID>/claims/<TRIAL>.lock", "the search process that evaluates it", "search", "held lock"
    ),
    Owned("STATE_ROOT/runs/<RUN_ID>/search.err", "search processes", "people", "for ever"),
    Owned("RESULTS_ROOT/Backtests/optimizations/<SYMBOL>/.<MODE>.lock", "the pipeline", "the pipeline", "held lock"),
    Owned("STATE_ROOT/settings.json", "what starts the swarm; a loop, when it was lost", "agents", "the swarm"),
    Owned(
        "<RECORD>.damaged-<N>.json",
        "the program that writes the record anew; watchdog, when none does",
        "people",
        "for ever",
    ),
    Owned("<JOURNAL>.lock", "each program that appends to that journal", "the same", "held lock"),
    Owned(
        "<JOURNAL>.1", "the program that rotates the journal", "readers of its last line, people", "the next rotation"
    ),
    Owned(
        "STATE_ROOT/swarm.json",
        "what starts sessions, under launch.lock; a loop, when it was lost",
        "everyone",
        "the tmux server",
    ),
    Owned(
        "STATE_ROOT/current_run.json",
        "`--parallel`, under launch.lock; a loop, start or ensure, when it was lost",
        "agents, status",
        "the run",
    ),
    Owned("STATE_ROOT/root.json", "what starts or ends the swarm, under launch.lock", "everyone", "the root"),
    Owned("STATE_ROOT/alive.lock", "loops, workers and the keeper process", "the same command elsewhere", "held lock"),
    Owned("STATE_ROOT/stopped.json", "`stop`; `--parallel` and start remove it", "everyone", "until removed"),
    Owned("STATE_ROOT/launch.lock", "what starts sessions or begins a run", "the same", "held lock"),
    Owned("STATE_ROOT/launch_holder.json", "the holder of launch.lock", "programs that wait for it", "held lock"),
    Owned("STATE_ROOT/made.jsonl", "each program that makes a log below LOGS_ROOT", "watchdog, `doctor`", "for ever"),
    Owned("STATE_ROOT/rescue_state.json", "the rescue, run by any loop", "the rescue", "10 minutes"),
    Owned(
        "STATE_ROOT/healing.jsonl",
        "what starts sessions, under launch.lock; agents and loops, about their own repairs",
        "watchdog, session_state_manager",
        "rotated",
    ),
    Owned(
        "STATE_ROOT/keeper.json",
        "install_keeper.sh, or a start, under launch.lock; the keeper process (its identity)",
        "agents",
        "the keeper",
    ),
    Owned("STATE_ROOT/keeper.lock", "the keeper process", "other keeper processes", "held lock"),
    Owned(
        "STATE_ROOT/notified.json",
        "the process that runs on_incident hooks",
        "session_state_manager",
        "until a hook is run again",
    ),
    Owned("STATE_ROOT/requests/<ID>.json", "anyone", "the owner of the target", "its expires_at"),
    Owned("STATE_ROOT/requests/done|refused/<ID>.json", "the owner of the target", "people", "keep_log_days"),
    Owned(
        "STATE_ROOT/<AGENT>_state.json",
        "that agent; the next rows have three exceptions",
        "agents, status",
        "3 cadences",
    ),
    Owned("STATE_ROOT/swarm_control_state.json", "watchdog", "agents, status", "3 cadences"),
    Owned("STATE_ROOT/process_audit_state.json", "process_auditor", "agents, status", "3 cadences"),
    Owned("STATE_ROOT/session_state_manager_state.json", "session_state_manager", "people, programs", "3 cadences"),
    Owned("STATE_ROOT/gpu_question.json", "watchdog's cycle", "watchdog", "gpu_timeout_s"),
    Owned("STATE_ROOT/gpu_answer.json", "the child that asks the driver", "watchdog", "its question"),
    Owned("STATE_ROOT/session_state_manager_events.jsonl", "session_state_manager", "people, programs", "rotated"),
    Owned("STATE_ROOT/session_state_<RUN_ID>.jsonl", "session_log", "people, programs", "rotated"),
    Owned("STATE_ROOT/session_latest.json", "session_log", "people, programs", "3 cadences"),
    Owned("STATE_ROOT/workflow_events.log", "watchdog", "people, programs", "rotated"),
    Owned("STATE_ROOT/cycles/<AGENT>.jsonl", "that agent", "`--replay`", "rotated"),
    Owned("STATE_ROOT/locks/<AGENT>.lock", "that agent's cycle", "the same", "held lock"),
    Owned("STATE_ROOT/loops/<AGENT>.json", "that agent's loop", "operation_hang_guard", "the loop"),
    Owned("STATE_ROOT/wake/<AGENT>.fifo", "anyone", "that agent's loop", "a nudge"),
    Owned("STATE_ROOT/workers/<WORKER>.json", "worker_sentry", "the worker, agents", "until accounted for"),
    Owned("STATE_ROOT/heartbeats/<WORKER>.json", "the worker", "agents, status", "hang.after_s"),
    Owned("STATE_ROOT/exits/<WORKER>.json", "the worker's wrapper", "worker_sentry", "until accounted for"),
    Owned(
        "STATE_ROOT/runs/<RUN_ID>/order.json",
        "`--parallel`; a loop, start or ensure, when it was lost",
        "workers, agents",
        "for ever",
    ),
    Owned("STATE_ROOT/runs/<RUN_ID>/finished.json", "auto_scheduler", "everyone", "for ever"),
    Owned(
        "STATE_ROOT/runs/<RUN_ID>/round-<N>/jobs.jsonl",
        "auto_scheduler (enqueued), worker_sentry (the rest)",
        "agents, status",
        "for ever",
    ),
    Owned(
        "STATE_ROOT/runs/<RUN_ID>/round-<N>/jobs.jsonl.1", "watchdog, as it compacts", "people", "the next compaction"
    ),
    Owned("STATE_ROOT/runs/<RUN_ID>/round-<N>/jobs.jsonl.bad", "watchdog, as it compacts", "people", "for ever"),
    Owned("STATE_ROOT/runs/<RUN_ID>/round-<N>/begun.json", "auto_scheduler", "agents, status", "for ever"),
    Owned("STATE_ROOT/runs/<RUN_ID>/round-<N>/results/<JOB>.json", "the job's worker", "worker_sentry", "for ever"),
    Owned("STATE_ROOT/runs/<RUN_ID>/round-<N>/leases/<JOB>.json", "the job's worker", "its other workers", "the job"),
    Owned(
        "STATE_ROOT/runs/<RUN_ID>/round-<N>/<SYMBOL>/<MODE>/",
        "workers; the files of a run as above",
        "workers, status",
        "the round",
    ),
    Owned(f"{_UNIT}/preflight.json", "the pre-flight job", "the later phases", "the round"),
    Owned(f"{_UNIT}/prescreen-<N>.json", "the job of that shard", "the merge job", "the round"),
    Owned(f"{_UNIT}/refine-<N>.json", "the job that filled a lane", "the next round", "the round"),
    Owned(f"{_UNIT}/carried.json", "the validation job", "the next round, curator", "the round"),
    Owned(f"{_UNIT}/staged/", "the validation job", "the report job", "until the results are in place"),
    Owned(f"{_UNIT}/run_manifest.json", "the report job", "the next round, curator", "for ever"),
    Owned(
        "LOGS_ROOT/<RUN_ID>/<JOB>.log",
        "the job's workers; watchdog moves its beginning to .1",
        "people",
        "keep_log_days",
    ),
    Owned("LOGS_ROOT/agents/<AGENT>.log", "that agent's loop", "people", "rotated"),
    Owned("LOGS_ROOT/<RUN_ID>.log", "the pipeline", "people", "keep_log_days"),
    Owned("LOGS_ROOT/keeper.log", "the keeper", "people", "rotated"),
    Owned("LOGS_ROOT/stop.log", "a stop that was typed inside the swarm", "people", "keep_log_days"),
    Owned("RESULTS_ROOT/hooks/<POINT>/<HOOK>", "the user", "workers, session_state_manager", "for ever"),
    Owned("RESULTS_ROOT/Backtests/optimizations/<SYMBOL>/<MODE>/", "the pipeline", "people, programs", "for ever"),
    Owned(
        "RESULTS_ROOT/Backtests/optimizations/<SYMBOL>/.<MODE>.publishing/",
        "the pipeline",
        "the pipeline, `checksums`",
        "until the results are in place",
    ),
    Owned("RESULTS_ROOT/freqtrade/user_data/", "`export`", "freqtrade", "for ever"),
    Owned("RESULTS_ROOT/tries/<SYMBOL>.jsonl", "the pipeline, under its lock", "the pipeline", "for ever"),
    Owned("STATE_ROOT/hypotheses.jsonl", "hypothesis_runner", "people, programs", "for ever"),
    Owned("RESULTS_ROOT/docs/reference/FAILURE_POINTS_BACKTEST_OPTIMIZE.json", "curator", "everyone", "for ever"),
    Owned("RESULTS_ROOT/docs/reference/KNOWLEDGE_BASE_BACKTEST.md", "curator, at its end", "everyone", "for ever"),
    Owned("RESULTS_ROOT/docs/reference/evidence/<RUN_ID>.r<N>.<SYMBOL>.<MODE>.json", "curator", "people", "for ever"),
    Owned("RESULTS_ROOT/docs/reference/WORKFLOW_NOTES.md", "curator between its markers", "everyone", "3 cadences"),
    Owned(
        "RESULTS_ROOT/docs/reference/WORKFLOW_EXPECTED_OUTCOMES_STATEFUL.md",
        "curator between its markers",
        "everyone",
        "3 cadences",
    ),
    Owned("RESULTS_ROOT/docs/reference/HANDOFF_SWARM_RUN_<MINUTE>.md", "`handoff`", "everyone", "24 h"),
    Owned("RESULTS_ROOT/demo/SYNTHETIC_5m.parquet", "the demo generator", "the pipeline", "for ever"),
)


def catalog_page() -> str:
    """Return the text of `state/README.md`: the catalog as a table. A test keeps the file equal."""
    rows = "\n".join(f"| `{o.path}` | {o.writer} | {o.readers} | {o.fresh_for} |" for o in CATALOG)
    return (
        "# Files, their one writer, their readers\n\n"
        "Rendered from `state/files/catalog.py` by `python -m state.files.catalog`; a test keeps both equal.\n\n"
        "| file | writer | readers | fresh for |\n|---|---|---|---|\n" + rows + "\n"
    )


if __name__ == "__main__":
    process.begin()
    (CHECKOUT / "state" / "README.md").write_text(catalog_page(), encoding="utf-8")
