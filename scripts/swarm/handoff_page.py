"""The handoff as a page: everything whoever takes over must know, in the order in which they will ask."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.model.world import World
from agents.roles import session_state_manager as continuity
from config.reading import Reading
from config.swarm import SwarmSettings
from scripts.swarm.evidence import CommandRun
from state.files.layout import Roots
from state.host.clock import stamp
from state.records.jobs import STATUSES, JobState
from state.records.orders import SwarmOrder
from WORKFLOW.command_line import reading_words

_MANY = 30  # rows of one table; what is beyond them is counted


@dataclass(frozen=True)
class Facts:
    """What the records of the run say. `world` only when it is the run under way, or the last one."""

    order: SwarmOrder
    moment: datetime
    rounds: int
    finished: dict[str, Any] | None
    outcomes: list[dict[str, Any]]
    jobs: tuple[JobState, ...]
    deaths: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    world: World | None
    limits: SwarmSettings
    roots: Roots


def page(facts: Facts, evidence: list[CommandRun] | None) -> str:
    """The whole file; `evidence` None: not gathered yet, and the page says so."""
    sections = (
        ("Results", _results(facts)),
        ("Incidents and their remedies", _incidents(facts)),
        ("Failures", _failures(facts)),
        ("What to do next", _next(facts)),
        ("Where everything lies", _places(facts)),
        ("Verification evidence", _evidence(evidence)),
    )
    head = [f"# Handoff of {facts.order.run_id}", "", *_order(facts, evidence)]
    return "\n".join([*head, *(line for title, lines in sections for line in ("", f"## {title}", "", *lines))]) + "\n"


def _order(facts: Facts, evidence: list[CommandRun] | None) -> list[str]:
    order, settings = facts.order, facts.order.settings
    stopped = facts.world is not None and facts.world.stopped
    over = (facts.finished or {}).get("why")
    stands = (
        f"complete{f' ({over})' if over else ''}"
        if facts.finished
        else "stopped by the operator"
        if stopped
        else "not complete"
    )
    held = "**NOT VERIFIED: the evidence was never gathered**"
    if evidence is not None:
        failing = sum(not one.passed for one in evidence)
        held = f"{len(evidence) - failing} of {len(evidence)} checks passed" + (
            f", **{failing} FAILED**" if failing else ""
        )
    bars = "generated demo bars (SYNTHETIC, never promotable)" if order.data_path is None else f"`{order.data_path}`"
    bars += "".join(f" `{word}`" for word in reading_words(Reading(order.date_format, order.timezone)))
    counts = {status: sum(one.status == status for one in facts.jobs) for status in STATUSES}
    return [
        f"- Written: {stamp(facts.moment)} by `scripts/backtest-optimize handoff`",
        f"- Verified: {held}",
        f"- Run: `{order.run_id}`, {stands}; ordered {order.started_at}",
        f"- Order: {', '.join(order.symbols)} × {', '.join(order.modes)}, engine {order.engine}, bars {bars}",
        f"- Rounds: {facts.rounds} begun of {order.rounds or 'as many as there is time for'}",
        f"- Each: {settings['prescreen']['combos']:,} combos, {settings['search'].get('trials', '?')} trials, "
        f"seed {settings.get('run', {}).get('seed', '?')} in round 1, one more in each that follows",
        f"- Jobs on file: {', '.join(f'{n} {status}' for status, n in counts.items() if n) or 'none'}",
    ]


def _results(facts: Facts) -> list[str]:
    if not facts.outcomes:
        return ["No symbol and mode has a result yet."]
    lines = []
    for one in facts.outcomes:
        synthetic = " (SYNTHETIC)" if one["synthetic"] else ""
        lines += [f"**{one['symbol']} {one['mode']}**{synthetic}, round {one['round'] + 1}: {one['verdict']}", ""]
        if one["bests"]:
            lines += ["| best | Sharpe in-sample | out-of-sample | trades | candidate |", "|---|---|---|---|---|"]
            lines += [_best(name, best) for name, best in one["bests"].items()]
            lines.append("")
    return lines[:-1] if lines[-1] == "" else lines


def _best(name: str, best: dict[str, Any]) -> str:
    inside, outside = best["in_sample"], best["out_of_sample"]
    trades = f"{inside['total_trades']} + {outside['total_trades']}"
    sharpe = (_number(window["sharpe_ratio"]) for window in (inside, outside))
    return f"| {name} | {' | '.join(sharpe)} | {trades} | {'yes' if best['candidate'] else 'no'} |"


def _number(value: Any) -> str:
    return "undefined" if value is None else f"{value:.2f}"


def _incidents(facts: Facts) -> list[str]:
    """Each incident once: how often it opened, whether it is still open, and who remedied it."""
    rows: dict[str, dict[str, Any]] = {}
    for event in facts.events:
        if event.get("event") == "incident_opened":
            row = rows.setdefault(str(event.get("id")), {"times": 0, "first": event.get("at")})
            row["times"] += 1
            row |= {"what": event.get("what"), "remedy": event.get("remedy"), "open": True}
        elif event.get("event") == "incident_closed" and str(event.get("id")) in rows:
            rows[str(event.get("id"))]["open"] = False
    if not rows:
        return ["None was opened."]
    table = (
        f"| {_cell(key)} | {row['times']} | {row['first']} | {'**open**' if row['open'] else 'closed'} "
        f"| {_cell(row['what'])} | {_cell(row['remedy'])} |"
        for key, row in rows.items()
    )
    return ["| incident | times | first | now | what | remedy |", "|---|---|---|---|---|---|", *_capped(table)]


def _failures(facts: Facts) -> list[str]:
    bad = [one for one in facts.jobs if one.status in ("failed", "quarantined", "cancelled")]
    failed = (facts.finished or {}).get("failed", {})
    lines = [f"- {unit}: {why}" for unit, why in failed.items()]
    lines += [f"- {one.job.job_id} {one.status}: {one.error_message}" for one in bad]
    reasons: dict[str, int] = {}
    for death in facts.deaths:
        reasons[str(death.get("error_message"))] = reasons.get(str(death.get("error_message")), 0) + 1
    lines += [f"- {count} deaths of workers, healed: {reason}" for reason, count in reasons.items()]
    return list(_capped(lines)) or ["None."]


def _next(facts: Facts) -> list[str]:
    if facts.world is None:
        return [f"- `{facts.order.run_id}` is not the run under way; the same `--parallel` command goes on with it."]
    steps = continuity.next_steps(facts.world, continuity.incidents(facts.world, facts.limits))
    lines = [f"- `{one.id}`: {one.what} ({one.why})" for one in steps]
    return lines + [f"- {one['symbol']} {one['mode']}: {one['next']}" for one in facts.outcomes if one.get("next")]


def _places(facts: Facts) -> list[str]:
    roots, run = facts.roots, facts.roots.swarm_run(facts.order.run_id)
    folder = roots.knowledge(facts.limits.records.knowledge_folder)
    places = (
        ("results", roots.optimizations),
        ("the run's records", run.path),
        ("state of every agent", roots.state),
        ("what each agent saw and decided", roots.state / "cycles"),
        ("incidents as they opened and closed", roots.session_events),
        ("failures and remedies", roots.events),
        ("every hypothesis and its outcome", roots.hypotheses),
        ("logs of workers", roots.logs / facts.order.run_id),
        ("failure memory", folder.failures),
        ("knowledge base", folder.findings),
        ("notes", folder.notes),
        ("expected outcomes", folder.story),
    )
    return ["| what | where |", "|---|---|", *(f"| {what} | `{path}` |" for what, path in places)]


def _evidence(evidence: list[CommandRun] | None) -> list[str]:
    if evidence is None:
        return ["**NOT VERIFIED.** The command that writes this file was ended before it had gathered the evidence."]
    lines = ["Run by this command, in the checkout, on the roots above. A check has passed when its exit code is 0."]
    for one in evidence:
        code = "none" if one.code is None else one.code
        verdict = "passed" if one.passed else "FAILED"
        lines += ["", f"### {one.what}: {verdict}", "", f"Exit code {code}, {one.duration_s:.2f} s."]
        lines += ["", "```text", f"$ {one.command}", *(line.replace("```", "'''") for line in one.tail), "```"]
    return lines


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "/").split())


def _capped(rows: Iterable[str]) -> list[str]:
    lines = list(rows)
    return lines if len(lines) <= _MANY else [*lines[:_MANY], "", f"… and {len(lines) - _MANY} more."]
