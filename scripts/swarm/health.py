"""`health`: one line and an exit code for monitors. It reads files and /proc only, so that it cannot hang."""

import os

from agents.machine.observe import limits_of, observe
from agents.roles import session_state_manager as continuity
from agents.rules import absent
from config.errors import visible
from scripts.infra import environment
from scripts.swarm import cli
from state.files.layout import CHECKOUT, Roots
from state.host import command, identity

HEALTHY, DEGRADED, DEAD = 0, 1, 2
_SHORT = 100  # characters of a reason; status has the whole


def main(argv: list[str]) -> int:
    """Print the line and return the exit code."""
    parser = command.parser(
        "backtest-optimize health",
        "Say whether the swarm is alive, in one line and an exit code for monitors.",
        'scripts/backtest-optimize health || mail -s "swarm" me@example.org',
        "0 healthy or stopped on purpose, 1 degraded (it heals itself or says what it needs), 2 dead, or wrong usage",
        "code, word and reasons; its schema: docs/reference/schemas/health.schema.json",
    )
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    cli.say_from_where(roots)
    code, word, reasons = with_environment(*_judged(roots))
    if asked.json:
        cli.say({"code": code, "health": word, "reasons": reasons})
    else:
        print(visible(f"{word}{': ' if reasons else ''}{'; '.join(reasons)}"))
    return code


def _judged(roots: Roots) -> tuple[int, str, list[str]]:
    """Judge the swarm. A monitor needs an answer in any case, so records that cannot be judged are an answer, too."""
    try:
        return judge(roots)
    except Exception as error:
        said = f"the records cannot be judged: {type(error).__name__}: {error}"[:_SHORT]
        return DEGRADED, "degraded", [said, "scripts/backtest-optimize doctor looks for the cause"]


def _why_nothing(roots: Roots) -> list[str]:
    """Return the reason for "never started", or, when processes still run, that their records are gone."""
    left = len([one for one in identity.of_swarm(roots.state) if one.pid != os.getpid()])
    if not left:
        return ["scripts/backtest-optimize --parallel starts it"]
    some = "1 process of this swarm runs" if left == 1 else f"{left} processes of this swarm run"
    return [f"{some}, and their records are gone", "scripts/backtest-optimize stop ends them"]


def with_environment(code: int, word: str, reasons: list[str]) -> tuple[int, str, list[str]]:
    """Add what is missing when this runs outside the virtual environment, where nothing can be started."""
    lack = environment.missing(CHECKOUT)
    if lack is None:
        return code, word, reasons
    said = [*reasons, f"{lack.reason}; {lack.way_out}".replace("\n   ", "")]
    return (DEGRADED, "degraded", said) if word == "healthy" else (code, word, said)


def judge(roots: Roots) -> tuple[int, str, list[str]]:
    """Return the exit code, the word for it, and the reasons."""
    limits = limits_of(roots)
    world = observe(roots, limits, {"hooks", "faults"})
    if world.stopped:
        return HEALTHY, "stopped on purpose", []
    dead = [view for view in world.agents if view.is_wanting(limits)]
    if all(view.loop_life == "unknown" and view.session_age_s is None for view in world.agents):
        return DEAD, "never started", _why_nothing(roots)
    if len(dead) == len(world.agents):
        remedy, _ = absent.who_heals_all(world, limits)
        return DEAD, "dead", ["no agent is alive", remedy.removeprefix("type: ")]
    reasons = [f"{view.agent} ({view.session}) {view.how()}" for view in dead]
    found = (one for one in continuity.incidents(world, limits) if not one.incident_id.startswith("agent_stale"))
    reasons += [one.what if len(one.what) <= _SHORT else f"{one.what[:_SHORT]}…" for one in found]
    return (DEGRADED, "degraded", reasons) if reasons else (HEALTHY, "healthy", [])
