"""The text of the two blocks that the curator keeps up to date: the workflow notes and the expected outcomes.

Both are functions of the records alone, so the same records give the same bytes. The time in the notes is that of the
newest record they are made of, and it changes only when something else does.
"""

import re
from typing import Any

from agents.model.knowledge import Knowledge
from agents.model.world import World
from state.records.agent_states import Counts
from state.records.report_parts import OpenIncident

_UPDATED = re.compile(r"^- Updated UTC: .*$", re.MULTILINE)
_NUMBER = re.compile(r"`(\d+(?:\.\d+)?)`%")
_IDLE = "maintain_polling_and_keep_workers_saturated"
_HELD: dict[Any, str] = {True: "holds", False: "DOES NOT HOLD"}
_HEARTBEATS = ("write_line",)  # done in every cycle: counting them would rewrite the block each minute and tell nothing
_LOW_EFFICACY = 50.0  # percent: fewer than half of the checks that can be judged hold
_MANY = 12  # lines of one list; further lines are only counted


def notes(world: World, here: Knowledge) -> str:
    """Return the AUTO-WORKFLOW-NOTES block: the state of the swarm and its next step, on one page."""
    continuity = world.reports.session_state_manager
    audit = world.reports.process_auditor
    actions = sorted({kind for tally in here.deeds.values() for kind, row in tally.items() if row.done})
    head = [
        "## Auto Workflow Notes (Maintained By Swarm)",
        f"- Updated UTC: `{here.as_of or world.now}`",
        f"- Run ID: `{continuity.run_id or world.run_id or 'none'}`",
        f"- Stage: `{continuity.stage or 'unknown'}`",
        f"- Hardware snapshot: CPU {_pct(world.control.cpu_pct)}, GPU {_gpu(world)}",
        f"- Active actions: `{', '.join([*_plans(world, here), *actions]) or 'none'}`",
        f"- Process scores: adherence `{_score(audit.adherence)}`, efficacy `{_score(audit.efficacy)}`",
        "- Agents: `agents/AGENT_REGISTRY.md`",
        f"- Failure memory: `{len(here.failures)}` kinds of failure; knowledge base: `{len(here.findings)}` findings",
    ]
    wrong = [f"- {_plain(one.what)}" for one in continuity.incidents]
    wrong += [f"- Process check missing: {name}." for name in audit.failing]
    return "\n".join(
        [
            *head,
            "",
            "### Active Incidents",
            *(_list(wrong)),
            "",
            "### Immediate Remediations",
            *_remedies(world, continuity.incidents),
        ]
    )


def _remedies(world: World, incidents: tuple[OpenIncident, ...]) -> list[str]:
    ways = [_plain(one.remedy) for one in incidents]
    ways += [_plain(row.way_out) for row in world.reports.process_auditor.checks if row.holds is False]
    advice = world.reports.main_orchestrator.next_step
    if advice is not None and advice.what and advice.id != _IDLE:
        ways.append(_plain(advice.what))
    steps = world.reports.session_state_manager.next_steps
    last = f"- Session manager next step: {_plain(steps[0].id) if steps else 'unknown'}"
    return [*_list([f"- {way}" for way in dict.fromkeys(ways)]), last]


def differs(old: str | None, new: str, dead_band_pct: float) -> bool:
    """Whether the notes must be written again. Percentages that moved by `dead_band_pct` or less are no reason."""
    if old is None:
        return True
    if _bare(old) != _bare(new):
        return True
    pairs = zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=True)
    return any(abs(float(one) - float(other)) > dead_band_pct for one, other in pairs)


def _bare(text: str) -> str:
    return _NUMBER.sub("`#`%", _UPDATED.sub("", text))


def story(world: World, here: Knowledge) -> str:
    """Return the WORKFLOW-OUTCOMES block: what was expected of actions, what happened, and what is expected now."""
    rows = [
        f"| `{agent}` | `{kind}` | {row.done} | {row.failed} | {row.held} | {row.unmet} | {_last(row)} |"
        for agent, tally in sorted(here.deeds.items())
        for kind, row in sorted(tally.items())
        if kind not in _HEARTBEATS
    ]
    now = [
        f"- {_plain(one.target)}: {_plain(one.expected)} ({_HELD.get(one.holds, 'unknown')})"
        for one in world.reports.session_state_manager.expected_outcomes
    ]
    return "\n".join(
        [
            "## What actions were expected to do, and did",
            "",
            "Counted since each agent's state file began. *held*: the next cycle found what was expected; *unmet*: it",
            "did not, and the agent goes one step further. What neither counts is read in the file that was written.",
            "",
            "| agent | action | done | failed | held | unmet | expected last |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"## Expected now ({world.run_id or 'no run'})",
            "",
            *(now or ["- nothing: no worker runs"]),
        ]
    )


def _last(row: Counts) -> str:
    verified = _HELD.get(row.holds)
    return f"{_plain(row.expected)}{f' ({verified})' if verified else ''}"


def _plans(world: World, here: Knowledge) -> list[str]:
    """Return the conditions that shape the swarm's actions now, under the names that operators search the notes for."""
    efficacy = world.reports.process_auditor.efficacy
    unwritten = any(row.holds is False for row in here.deeds.get("curator", {}).values())
    signals = {
        "skip_gpu_actions_no_gpu_detected": world.control.gpu_plan == "cpu_only",
        "knowledge_plane_not_ready": here.is_damaged or unwritten,
        "process_efficacy_low": efficacy is not None and efficacy < _LOW_EFFICACY,
    }
    return [name for name, holds in signals.items() if holds]


def _gpu(world: World) -> str:
    if world.control.gpus == ():
        return "`none`"
    return _pct(world.control.gpu_pct)


def _pct(value: float | None) -> str:
    return "`unknown`" if value is None else f"`{value:.1f}`%"


def _score(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f}"


def _list(lines: list[str]) -> list[str]:
    if len(lines) > _MANY:
        return [*lines[:_MANY], f"- and {len(lines) - _MANY} more"]
    return lines or ["- none"]


def _plain(value: Any) -> str:
    """Return the value as one line, without the characters that would break a table, a list or the block's markers."""
    text = "unknown" if value is None else str(value)
    return " ".join(text.replace("|", "/").replace("<!--", "<! --").split())
