"""Carry out what agents decided: one function a kind of action, each safe to repeat."""

import signal
from collections.abc import Callable, Mapping
from typing import Any

from agents.machine import launcher, processes
from agents.runtime.decision import Action
from config.settings import SwarmSettings
from state import identity, lease, request, snapshot, wake
from state.clock import Clock, stamp
from state.jobs import Job, JobJournal
from state.journal import Journal
from state.layout import Roots
from state.tree import record_of
from state.workers import Launch

_LOG_BYTES = 20_000_000  # an event log this long moves aside


class Acts:
    """The hands of one cycle."""

    def __init__(self, roots: Roots, limits: SwarmSettings, clock: Clock, run_id: str, round_number: int) -> None:
        self._roots, self._limits, self._clock = roots, limits, clock
        self._run_id, self._round = run_id, round_number

    def do(self, action: Action) -> str:
        """Carry it out; what came of it, in words. Errors are the caller's to record."""
        return _DEEDS[action.kind](self, action, action.arguments) or "done"

    # worker_sentry ----------------------------------------------------------------------------------------------------

    def launch_worker(self, action: Action, said: Mapping[str, Any]) -> str:
        """Journal first, then the launch record, then the process: cut short anywhere, the next cycle sees it."""
        jobs = self._jobs()
        state = jobs.states()[action.target]
        # The lease outlives a journal that lost lines: an epoch that was given once is never given again.
        taken = lease.newest(self._roots.swarm_run(self._run_id).round(self._round).lease(action.target))
        epoch = max(said["epoch"], taken + 1)
        worker_id, nonce = launcher.mint(action.target, epoch)
        jobs.started(action.target, epoch, worker_id, said["lane"])
        launch = Launch(
            worker_id=worker_id,
            run_id=self._run_id,
            job=state.job,
            epoch=epoch,
            nonce=nonce,
            lane=said["lane"],
            cores=said["cores"],
            launched_at=stamp(self._clock.now()),
            launched_at_s=self._clock.monotonic_s(),
            boot_id=identity.boot_id(),
        )
        launcher.spawn(self._roots, launch)
        return worker_id

    def continue_worker(self, action: Action, said: Mapping[str, Any]) -> str:
        """SIGCONT to its tree."""
        return f"{processes.signal_tree(said['nonce'], signal.SIGCONT)} processes continued"

    def end_worker(self, action: Action, said: Mapping[str, Any]) -> str:
        """SIGTERM to its tree, and CONT, because what is stopped does not hear."""
        reached = processes.signal_tree(said["nonce"], signal.SIGTERM)
        processes.signal_tree(said["nonce"], signal.SIGCONT)
        return f"{reached} processes were asked to end"

    def kill_worker(self, action: Action, said: Mapping[str, Any]) -> str:
        """SIGKILL to its whole tree but its wrapper."""
        record = snapshot.read_json(self._roots.launch(action.target))
        launch = record_of(Launch, record)
        return f"{processes.kill_tree(said['nonce'], launch.wrapper)} processes ended"

    def retire_worker(self, action: Action, said: Mapping[str, Any]) -> None:
        """Its files go; the launch record last, so that a cycle that is cut short finds it again."""
        record = snapshot.read_json(self._roots.launch(action.target))
        if isinstance(record, dict) and record.get("boot_id") == identity.boot_id():
            processes.kill_tree(str(record.get("nonce")), None)  # a wrapper that was stopped, a stray child
        for path in (self._roots.heartbeat(action.target), self._roots.exit(action.target)):
            path.unlink(missing_ok=True)
        self._roots.launch(action.target).unlink(missing_ok=True)

    def complete_job(self, action: Action, said: Mapping[str, Any]) -> None:
        """Into the journal; the scheduler is told."""
        self._jobs().completed(action.target, said["metrics"], said["gates"])
        self._nudge("auto_scheduler")

    def end_job(self, action: Action, said: Mapping[str, Any]) -> None:
        """Into the journal; the scheduler is told."""
        self._jobs().ended(action.target, said["status"], said["error_message"])
        self._nudge("auto_scheduler")

    def record_death(self, action: Action, said: Mapping[str, Any]) -> None:
        """Into the journal; without a backoff the next cycle comes at once."""
        self._jobs().died(action.target, said["reason"], said["deaths"], said["last_done"], said["wait_s"])
        if said["wait_s"] == 0:
            self._nudge("worker_sentry")

    # auto_scheduler ---------------------------------------------------------------------------------------------------

    def enqueue_jobs(self, action: Action, said: Mapping[str, Any]) -> None:
        """Into the journal of their round; the sentry is told."""
        begun = self._roots.swarm_run(self._run_id).round(said["round"]).begun
        if not begun.exists():
            snapshot.write_json(begun, {"at": stamp(self._clock.now()), "dropped": said["dropped"]})
        self._jobs(said["round"]).enqueue(record_of(Job, tree) for tree in said["jobs"])
        self._nudge("worker_sentry")

    def finish_run(self, action: Action, said: Mapping[str, Any]) -> None:
        """The run's last record."""
        folder = self._roots.swarm_run(self._run_id)
        snapshot.write_json(folder.finished, {"finished_at": stamp(self._clock.now()), **said})

    # sessions ---------------------------------------------------------------------------------------------------------

    def ensure_sessions(self, action: Action, said: Mapping[str, Any]) -> str:
        """Every session, under the launch lock; somebody else at it is as good."""
        if said["outside"]:
            launcher.ensure_from_outside(self._roots)
            return "ensure is at work, outside of tmux"
        return self._ensure(said["respawn"], None)

    def ensure_guard(self, action: Action, said: Mapping[str, Any]) -> str:
        """The hang guard's session alone."""
        return self._ensure(said["respawn"], [action.target])

    # records ----------------------------------------------------------------------------------------------------------

    def answer_request(self, action: Action, said: Mapping[str, Any]) -> None:
        """To done/ or refused/."""
        request.answer(self._roots.requests, action.target, said["done"], said["reason"], self._clock)

    def write_events(self, action: Action, said: Mapping[str, Any]) -> None:
        """Failures, for people and for the failure memory."""
        self._append(Journal(self._roots.events, max_bytes=_LOG_BYTES), said["events"])

    def write_incidents(self, action: Action, said: Mapping[str, Any]) -> None:
        """Incidents as they open and close."""
        self._append(Journal(self._roots.session_events, max_bytes=_LOG_BYTES), said["events"])

    def write_line(self, action: Action, said: Mapping[str, Any]) -> None:
        """The line of the session log, and the same as a whole file."""
        Journal(self._roots.session_log(self._run_id), durable=False, max_bytes=_LOG_BYTES).append(said["line"])
        snapshot.write_json(self._roots.session_latest, said["line"])

    # helpers ----------------------------------------------------------------------------------------------------------

    def _jobs(self, number: int | None = None) -> JobJournal:
        folder = self._roots.swarm_run(self._run_id).round(self._round if number is None else number)
        return JobJournal(Journal(folder.jobs), self._clock)

    def _nudge(self, agent: str) -> None:
        wake.nudge(self._roots.pipe(agent))

    def _ensure(self, respawn: list[str], only: list[str] | None) -> str:
        try:
            with launcher.launch_lock(self._roots):
                done = launcher.ensure_sessions(self._roots, self._limits, respawn, only)
        except launcher.Busy:
            return "another start is at it"
        return "; ".join([*done.repaired, *(f"started {session}" for session in done.started)]) or "all were there"

    def _append(self, journal: Journal, events: list[dict[str, Any]]) -> None:
        at = stamp(self._clock.now())
        journal.append(*({"at": at, **event} for event in events))


_DEEDS: dict[str, Callable[[Acts, Action, Mapping[str, Any]], str | None]] = {
    name: getattr(Acts, name)
    for name in (
        *("launch_worker", "continue_worker", "end_worker", "kill_worker", "retire_worker"),
        *("complete_job", "end_job", "record_death", "enqueue_jobs", "finish_run"),
        *("ensure_sessions", "ensure_guard", "answer_request", "write_events", "write_incidents", "write_line"),
    )
}
