"""`health`: one line and an exit code for monitors; reads files and /proc only, so that it cannot hang."""

from agents import session_state_manager as continuity
from agents.machine.observe import limits_of, observe
from scripts.swarm import cli
from state.layout import Roots

HEALTHY, DEGRADED, DEAD = 0, 1, 2
_SHORT = 100  # characters of a reason; status has the whole


def main(argv: list[str]) -> int:
    """The command."""
    parser = cli.parser(
        "backtest-optimize health",
        "Is the swarm alive? One line, and an exit code for monitors.",
        'scripts/backtest-optimize health || mail -s "swarm" me@example.org',
        "0 healthy or stopped on purpose, 1 degraded (it heals itself or says what it needs), 2 dead, or wrong usage",
        "code, word and reasons; its schema: docs/reference/schemas/health.schema.json",
    )
    asked = parser.parse_args(argv)
    code, word, reasons = judge(Roots.from_environment())
    if asked.json:
        cli.say({"code": code, "health": word, "reasons": reasons})
    else:
        print(f"{word}{': ' if reasons else ''}{'; '.join(reasons)}")
    return code


def judge(roots: Roots) -> tuple[int, str, list[str]]:
    """Exit code, word, reasons."""
    limits = limits_of(roots)
    world = observe(roots, limits, {"hooks"})
    if world.stopped:
        return HEALTHY, "stopped on purpose", []
    dead = [view for view in world.agents if view.is_stale(limits)]
    if all(view.loop_life == "unknown" and view.session_age_s is None for view in world.agents):
        return DEAD, "never started", ["scripts/backtest-optimize --parallel starts it"]
    if len(dead) == len(world.agents):
        return DEAD, "dead", ["no agent is alive", "bash scripts/ensure_swarm_watchdogs.sh brings them back"]
    reasons = [f"{view.session} does not cycle" for view in dead]
    found = (one for one in continuity.incidents(world, limits) if not one.incident_id.startswith("agent_stale"))
    reasons += [one.what if len(one.what) <= _SHORT else f"{one.what[:_SHORT]}…" for one in found]
    return (DEGRADED, "degraded", reasons) if reasons else (HEALTHY, "healthy", [])
