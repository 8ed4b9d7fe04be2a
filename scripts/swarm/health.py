"""`health`: one line and an exit code for monitors; reads files and /proc only, so that it cannot hang."""

import argparse
import json

from agents import session_state_manager as continuity
from agents.machine.observe import observe, resolved
from state.layout import Roots

HEALTHY, DEGRADED, DEAD = 0, 1, 2
_SHORT = 100  # characters of a reason; status has the whole
_EPILOG = """\
example:
  scripts/backtest-optimize health || mail -s "swarm" me@example.org

exit codes: 0 healthy or stopped on purpose, 1 degraded (it heals itself or says what it needs), 2 dead
"""


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="backtest-optimize health",
        description="Is the swarm alive? One line, and an exit code for monitors.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help='{"code": …, "health": …, "reasons": […]}')
    asked = parser.parse_args(argv)
    code, word, reasons = judge(Roots.from_environment())
    if asked.json:
        print(json.dumps({"code": code, "health": word, "reasons": reasons}, indent=2))
    else:
        print(f"{word}{': ' if reasons else ''}{'; '.join(reasons)}")
    return code


def judge(roots: Roots) -> tuple[int, str, list[str]]:
    """Exit code, word, reasons."""
    limits = resolved(roots).swarm
    world = observe(roots, limits)
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
