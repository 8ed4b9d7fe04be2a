"""Carry out what agents decided: one method for each kind of action, each safe to repeat.

The docstring of each action in `agents/actions/` says what it does and expects. A method returns what happened, in
words, or None when there is nothing to add; an error becomes the failed outcome of the action.
"""

import signal
from functools import singledispatchmethod
from typing import Any

from agents.actions.documents import (
    Ask,
    RememberFailures,
    WriteFindings,
    WriteHypotheses,
    WriteNotes,
    WriteOutcomes,
)
from agents.actions.jobs import (
    CompleteJob,
    EndJob,
    EnqueueJobs,
    FinishRun,
    RecordDeath,
    RestartUnits,
)
from agents.actions.records import (
    AnswerRequest,
    CompactJobs,
    RetireRecords,
    RotateLogs,
    SetAside,
    WriteEvents,
    WriteIncidents,
    WriteLine,
)
from agents.actions.sessions import (
    EnsureGuard,
    EnsureKeeper,
    EnsureSessions,
    RescueSessions,
    RunHooks,
)
from agents.actions.workers import (
    ContinueWorker,
    EndWorker,
    KillWorker,
    LaunchWorker,
    RetireWorker,
)
from agents.machine import documents, faults, keeper, launcher, library, observe, processes, records
from agents.machine.hands import Hands
from agents.model.action import Action
from agents.registry import AGENTS
from state.files import made, ours, snapshot
from state.files.journal import Journal
from state.files.tree import record_of, tree_of
from state.host import code, identity
from state.host.clock import stamp
from state.records import healing, lease, request
from state.records.jobs import BY_OPERATOR, Job, JobState
from state.records.workers import Launch, on_file


class Acts(Hands):
    """The methods that carry out each kind of action, with what one cycle knows."""

    def do(self, action: Action) -> str:
        """Carry out the action and return what happened, in words. The caller records errors."""
        return self._do(action) or "done"

    @singledispatchmethod
    def _do(self, action: Action) -> str | None:
        """Dispatch on the type of the action: each kind has its method below."""
        raise TypeError(f"no method carries out {action.kind}")

    # worker_sentry ----------------------------------------------------------------------------------------------------

    @_do.register
    def launch_worker(self, action: LaunchWorker) -> str:
        """Start a worker and return its id. The journal is written first, so that a launch cut short is seen later."""
        jobs = self._jobs()
        state = jobs.states()[action.job_id]
        # The lease file outlives a journal that lost lines, so no epoch is ever given twice.
        taken = lease.newest(self._roots.swarm_run(self._run_id).round(self._round).lease(action.job_id))
        epoch = max(action.epoch, taken + 1)
        worker_id, nonce = launcher.mint(action.job_id, epoch)
        jobs.started(action.job_id, epoch, worker_id, action.lane)
        launch = Launch(
            worker_id=worker_id,
            run_id=self._run_id,
            job=state.job,
            epoch=epoch,
            nonce=nonce,
            lane=action.lane,
            cores=action.cores,
            ooms=state.ooms,
            gpu=action.gpu,
            launched_at=stamp(self._clock.now()),
            launched_at_s=self._clock.monotonic_s(),
            boot_id=identity.boot_id(),
        )
        launcher.spawn(self._roots, launch, self._limits)
        if state.last_death and state.last_death != BY_OPERATOR:
            self._tell([self._respawned(state, worker_id)])
        self._nudge("auto_scheduler")  # it may fill a lane that is still idle
        return worker_id

    @_do.register
    def continue_worker(self, action: ContinueWorker) -> str:
        """Send SIGCONT to the worker's processes, and write the repair to healing.jsonl."""
        reached = processes.signal_tree(self._tree(action.worker_id, action.nonce), signal.SIGCONT)
        why = "it was stopped (state T)"
        self._tell([healing.remedy("worker_continued", action.worker_id, self._by, why, action.silent_s)])
        return f"{reached} processes continued"

    @_do.register
    def end_worker(self, action: EndWorker) -> str:
        """Send SIGTERM to the worker's processes, then SIGCONT, without which a stopped process would not handle it."""
        tree = self._tree(action.worker_id, action.nonce)
        reached = processes.signal_tree(tree, signal.SIGTERM)
        processes.signal_tree(tree, signal.SIGCONT)
        return f"{reached} processes were asked to end"

    @_do.register
    def kill_worker(self, action: KillWorker) -> str:
        """Send SIGKILL to the worker's processes but not to its wrapper, and wait until they are gone."""
        record = snapshot.read_json(self._roots.launch(action.worker_id))
        launch = record_of(Launch, record)
        return f"{processes.kill_tree(self._tree(action.worker_id, action.nonce), launch.wrapper)} processes ended"

    @_do.register
    def retire_worker(self, action: RetireWorker) -> None:
        """Remove the worker's files, the launch record last: after a cycle cut short, the next one finds the worker."""
        record = snapshot.read_json(self._roots.launch(action.worker_id))
        if isinstance(record, dict) and record.get("boot_id") == identity.boot_id():
            # A stopped wrapper, or a child that it left behind, may still live. After a reboot, another process may
            # have its pid.
            processes.kill_tree(self._tree(action.worker_id, str(record.get("nonce"))), None)
        for path in (self._roots.heartbeat(action.worker_id), self._roots.exit(action.worker_id)):
            path.unlink(missing_ok=True)
        self._roots.launch(action.worker_id).unlink(missing_ok=True)

    @_do.register
    def complete_job(self, action: CompleteJob) -> None:
        """Record the completed job, and wake the scheduler for its next phase."""
        self._jobs().completed(action.job_id, action.metrics, action.gates)
        self._nudge("auto_scheduler")
        self._nudge("session_state_manager")

    @_do.register
    def end_job(self, action: EndJob) -> None:
        """Record the end of the job, and wake the scheduler."""
        self._jobs().ended(action.job_id, action.status, action.error_message, action.gates)
        self._nudge("auto_scheduler")
        self._nudge("worker_sentry")  # a worker that the job still has must end now

    @_do.register
    def record_death(self, action: RecordDeath) -> None:
        """Record the death; without a backoff, wake the sentry, which starts the next worker."""
        how = (action.reason, action.deaths, action.last_done, action.wait_s)
        self._jobs().died(action.job_id, *how, bool(action.oom), action.waits or 0)
        if action.wait_s == 0:
            self._nudge("worker_sentry")

    # auto_scheduler ---------------------------------------------------------------------------------------------------

    @_do.register
    def enqueue_jobs(self, action: EnqueueJobs) -> None:
        """Write how a new round began, then its jobs, and wake the sentry."""
        begun = self._roots.swarm_run(self._run_id).round(action.round).begun
        if not begun.exists():
            begins = {"at": stamp(self._clock.now()), "dropped": action.dropped, "fills": action.fills or {}}
            begins |= {"holdouts": action.holdouts or {}}
            snapshot.write_json(begun, {**begins, "code": code.work()})
        self._jobs(action.round).enqueue(record_of(Job, tree) for tree in action.jobs)
        self._nudge("worker_sentry")

    @_do.register
    def restart_units(self, action: RestartUnits) -> str:
        """Remove our files of these units, and let their jobs begin again with the present code.

        The round's record names the new code last, so that a restart that is cut short is decided on again.

        Raises:
            RuntimeError: a worker of these units runs that is not named in `left`.
        """
        # Launch records, and not the World, say who is at work: a worker may have been launched since the look.
        folder = self._roots.swarm_run(self._run_id).round(self._round)
        units = [(str(symbol), str(mode)) for symbol, mode in action.units]
        launches = on_file(self._roots)
        mine = (one for one in launches if one.run_id == self._run_id and one.job.unit in units)
        busy = [one.job.job_id for one in mine if one.worker_id not in action.left]
        if busy:
            raise RuntimeError(f"workers of {', '.join(busy)} are still there")
        jobs = self._jobs()
        for state in jobs.states().values():
            if state.job.unit in units:
                folder.result(state.job.job_id).unlink(missing_ok=True)
        for symbol, mode in units:
            ours.remove(folder.unit(symbol, mode).path, self._roots.swarm_run(self._run_id).path)
        jobs.restart(units)
        begun = snapshot.read_json(folder.begun)
        snapshot.write_json(folder.begun, {**(begun if isinstance(begun, dict) else {}), "code": action.code})
        self._nudge("worker_sentry")
        return f"{len(units)} units begin again"

    @_do.register
    def finish_run(self, action: FinishRun) -> None:
        """Write the record that marks the run as complete."""
        folder = self._roots.swarm_run(self._run_id)
        snapshot.write_json(folder.finished, {"finished_at": stamp(self._clock.now()), **action.arguments})
        self._nudge("session_state_manager")  # `--query` right after the end must report the end

    # sessions ---------------------------------------------------------------------------------------------------------

    @_do.register
    def ensure_sessions(self, action: EnsureSessions) -> str:
        """Start every missing session; when tmux gives no answer, from a process outside of tmux."""
        return self._from_outside() if action.outside else self._ensure(list(action.respawn), None)

    @_do.register
    def ensure_guard(self, action: EnsureGuard) -> str:
        """Start the hang guard's session alone."""
        return self._ensure(list(action.respawn), [action.target])

    @_do.register
    def rescue_sessions(self, action: RescueSessions) -> str:
        """Start every session, in place of the two agents that are silent."""
        return self._ensure(list(action.respawn), None)

    @_do.register
    def ensure_keeper(self, action: EnsureKeeper) -> str:  # noqa: ARG002
        """Start the keeper process or continue it, and write the repair to healing.jsonl."""
        keeper.start(self._roots)
        why = "the keeper process was killed, crashed, or was stopped"
        remedy = healing.remedy("keeper_respawned", "keeper", self._by, why, None)
        self._tell([healing.failure("keeper_died", "keeper", why), remedy])
        return "the keeper was started, or continued"

    @_do.register
    def run_hooks(self, action: RunHooks) -> str:
        """Start a process that runs the user's on_incident hooks; this cycle does not wait for it."""
        launcher.tell_hooks(self._roots, action.events)
        return f"{len(action.events)} events are handed to the hooks"

    # records ----------------------------------------------------------------------------------------------------------

    @_do.register
    def answer_request(self, action: AnswerRequest) -> None:
        """Answer the request, and move it to `done/` or `refused/`."""
        request.answer(self._roots.requests, action.request_id, action.done, action.reason, self._clock)

    @_do.register
    def write_events(self, action: WriteEvents) -> None:
        """Append the events to `workflow_events.log`."""
        self._append(Journal(self._roots.events, max_bytes=self._record_bytes), action.events)

    @_do.register
    def write_incidents(self, action: WriteIncidents) -> None:
        """Append the events of incidents to the state manager's log."""
        self._append(Journal(self._roots.session_events, max_bytes=self._record_bytes), action.events)
        if any(event["event"] == "incident_closed" for event in action.events):
            self._nudge("auto_scheduler")  # it may wait for the end of an incident before it finishes the run

    @_do.register
    def write_line(self, action: WriteLine) -> None:
        """Append the line to the session log, and write it as `session_latest.json`."""
        journal = Journal(self._roots.session_log(self._run_id), durable=False, max_bytes=self._record_bytes)
        journal.append(action.line)
        snapshot.write_json(self._roots.session_latest, {"writer": tree_of(identity.mine()), **action.line})

    # what grows -------------------------------------------------------------------------------------------------------

    @_do.register
    def set_aside(self, action: SetAside) -> str:
        """Rename the record if it is still damaged, and return its new name."""
        if action.record not in {one.record for one in faults.strays(self._roots)}:
            return "it is not damaged any more"
        aside = snapshot.set_aside(self._roots.state / action.record).name
        found = healing.failure("record_damaged", action.record, action.what)
        self._tell([found, healing.remedy("record_set_aside", action.record, self._by, f"it is {aside} now", None)])
        return aside

    @_do.register
    def rotate_logs(self, action: RotateLogs) -> str:
        """Keep the end of each log in a file beside it, and empty the log in place."""
        most = self._limits.records.log_mb * 1_000_000
        return f"{sum(records.rotate(self._roots, name, most) for name in action.logs)} logs rotated"

    @_do.register
    def compact_jobs(self, action: CompactJobs) -> None:
        """Rewrite the job journals of these rounds with fewer records for the same states."""
        for number in action.rounds:
            self._jobs(number).compact()

    @_do.register
    def retire_records(self, action: RetireRecords) -> str:
        """Remove the expired records, each after one more check."""
        gone = [one for one in action.expired if records.retire(self._roots, one)]
        made.compact(self._roots)
        return f"{len(gone)} of {len(action.expired)} removed"

    # requests and documents -------------------------------------------------------------------------------------------

    @_do.register
    def ask(self, action: Ask) -> str:
        """Write the request and wake its owner, unless the same request is open already; return its id."""
        now = stamp(self._clock.now())
        for one in request.pending(self._roots.requests):
            if (one.kind, one.target) == (action.wish, action.about) and one.expires_at >= now:
                return f"{one.request_id} asks for it already"
        words = (action.wish, action.about, "main_orchestrator", action.evidence)
        made = request.ask(self._roots.requests, self._clock, *words)
        self._nudge(action.owner)
        return made.request_id

    @_do.register
    def remember_failures(self, action: RememberFailures) -> str:
        """Count the failures in the failure memory."""
        return documents.remember_failures(self._knowledge.failures, action.failures)

    @_do.register
    def write_findings(self, action: WriteFindings) -> str:
        """Keep a copy of each manifest that a finding rests on, then append the findings."""
        for one in action.findings:
            if "kept_as" in one:
                run_id, number, symbol, mode = one["manifest"].split("/")
                manifest = self._roots.swarm_run(run_id).round(int(number)).unit(symbol, mode).manifest
                documents.keep(manifest, self._knowledge.evidence / one["kept_as"])
        return documents.write_findings(self._knowledge.findings, action.findings)

    @_do.register
    def write_notes(self, action: WriteNotes) -> str:
        """Write the notes between their markers."""
        return documents.write_block(self._knowledge.notes, library.NOTES, documents.NOTES_HEAD, action.text)

    @_do.register
    def write_outcomes(self, action: WriteOutcomes) -> str:
        """Write the block of expected outcomes between its markers."""
        return documents.write_block(self._knowledge.story, library.STORY, documents.STORY_HEAD, action.text)

    @_do.register
    def write_hypotheses(self, action: WriteHypotheses) -> str:
        """Append those lines that the ledger does not hold yet."""
        held = set(library.hypotheses(self._roots))
        new = [one for one in action.lines if f"{one['id']} {one['event']}" not in held]
        Journal(self._roots.hypotheses).append(*new)
        return f"{len(new)} lines added"

    # helpers ----------------------------------------------------------------------------------------------------------

    def _ensure(self, respawn: list[str], only: list[str] | None) -> str:
        """Start sessions from this process; from outside of tmux when doing so might end this process's own pane."""
        # Unless tmux answers and this agent's session is alive, a repair may end the pane that this cycle runs in.
        there = observe.sessions_of(self._roots, self._limits)
        if there is None or not any(one.name == self._session and one.alive for one in there):
            return self._from_outside()
        try:
            with launcher.launch_lock(self._roots):
                done = launcher.ensure_sessions(self._roots, self._limits, self._by, respawn, only, is_patient=True)
        except launcher.Busy:
            return "another start is already bringing them back"
        waits = (f"{session} ended after earlier starts, so the next start waits" for session in done.waiting)
        started = (f"started {session}" for session in done.started)
        return "; ".join([*done.repaired, *started, *waits]) or "all sessions were there"

    def _from_outside(self) -> str:
        launcher.ensure_from_outside(self._roots, self._by)
        return "ensure is at work, outside of tmux"

    @property
    def _session(self) -> str:
        """The session of the agent whose loop runs this cycle."""
        return next((row.session for row in AGENTS if row.name == self._by), "")

    def _respawned(self, state: JobState, worker_id: str) -> dict[str, Any]:
        """Return the healing.jsonl record of a job that goes on after a death, with the seconds without a worker."""
        died = [one for one in self._journal().read().records if _is_death_of(one, state.job.job_id)]
        for_s = healing.between_s(str(died[-1].get("at")), stamp(self._clock.now())) if died else None
        job_id, why = state.job.job_id, state.last_death
        return healing.remedy("worker_respawned", job_id, self._by, why, for_s, worker_id=worker_id)


def _is_death_of(record: Any, job_id: str) -> bool:
    return isinstance(record, dict) and (record.get("event"), record.get("job_id")) == ("died", job_id)


# The kinds of actions that are carried out here.
KINDS: frozenset[type[Action]] = frozenset(vars(Acts)["_do"].dispatcher.registry) - {object, Action}
