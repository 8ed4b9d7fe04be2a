"""`start` and `ensure`: the sessions of the swarm, from the command line."""

import sys

from agents.machine import launcher, probe
from agents.machine.observe import limits_of, observe
from agents.machine.sessions import NoAnswer
from agents.registry import AGENTS, MONITORS
from config import settings
from config.errors import Refused
from scripts.infra import environment
from scripts.swarm import cli, keeper, tmux
from state.files import snapshot
from state.files.layout import CHECKOUT, Roots
from state.files.tighten import prepare
from state.host import command, root
from state.host.clock import SystemClock
from state.records import healing, orders

_WAIT_S = 60.0  # for another start to end


def start(argv: list[str]) -> int:
    """Clear the tombstone and start all loops (`scripts/start_swarm_watchdogs.sh`)."""
    parser = command.parser(
        "backtest-optimize start",
        "Start all loops and monitors (scripts/start_swarm_watchdogs.sh); clears an earlier stop. What was under way "
        "goes on.",
        "bash scripts/start_swarm_watchdogs.sh",
        "0 they run, 1 they cannot, 2 usage",
        "which sessions were started, what was repaired, which run goes on",
    )
    keeper.add_flag(parser)
    asked = parser.parse_args(argv)
    tmux.require()
    roots = Roots.from_environment()
    prepare(roots, deep=True)
    with launcher.launch_lock(roots, _WAIT_S):
        cli.settle(roots)
        begin(roots, settings.load())
        done = launcher.ensure_sessions(roots, limits_of(roots), by=f"start, typed by {cli.user()}")
        kept = keeper.by_default(roots, wanted=not asked.no_keeper)
    order = orders.current(roots)
    goes_on = order is not None and not roots.swarm_run(order.run_id).finished.exists()
    if asked.json:
        found = {"started": list(done.started), "repaired": list(done.repaired), "state_root": str(roots.state)}
        cli.say({**found, "run_id": order.run_id if order is not None and goes_on else None, "keeper": kept.method})
        return 0
    _say(done, always=True)
    print(kept.words)
    if order is not None:
        print(f"{order.run_id} goes on" if goes_on else f"{order.run_id} is complete; --parallel starts another run")
    print(f"attach: scripts/backtest-optimize attach · stop: scripts/backtest-optimize stop · state: {roots.state}")
    return 0


def begin(roots: Roots, resolved_now: settings.Settings) -> None:
    """What a start by the operator's own hand does first: settings on file, tombstone gone."""
    _write_settings(roots, resolved_now)
    restore(roots, f"start, typed by {cli.user()}")
    roots.tombstone.unlink(missing_ok=True)


def restore(roots: Roots, by: str) -> None:
    """Put back the order of the run under way, or what points to it, where one of the two was lost; and say so."""
    if (done := orders.restored(roots)) is not None:
        record, whence = done
        most = limits_of(roots).records.journal_mb * 1_000_000
        healing.record(
            roots, SystemClock(), healing.rebuilt(record, "record_lost", "gone or damaged", by, whence), most
        )
        print(f"{record} was gone or damaged and is back: {whence}", file=sys.stderr)


def ensure(argv: list[str]) -> int:
    """See that all loops run (`scripts/ensure_swarm_watchdogs.sh`); silent when they do. It installs nothing."""
    parser = command.parser(
        "ensure_swarm_watchdogs.sh",
        "Start what is missing and respawn what hangs; silent when all is well; does nothing after a stop.",
        "bash ~/backtest-optimize/scripts/ensure_swarm_watchdogs.sh     (in ~/.bashrc)",
        "0 all is well now, or stopped on purpose, 1 something is missing, 2 usage",
        "what was started and repaired, and whether the swarm is stopped on purpose",
    )
    parser.add_argument("--by", metavar="WHO", help="who asks, for the records (default: you)")
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    if roots.tombstone.exists():
        if asked.json:
            cli.say({"started": [], "repaired": [], "stopped": True})
        return 0
    if root.home(root.look(roots.state)) is not None:
        cli.say_from_where(roots)
        if asked.json:
            cli.say({"started": [], "repaired": [], "stopped": False})
        return 0
    if (lack := environment.missing(CHECKOUT)) is not None:
        raise lack
    prepare(roots)
    done = heal(roots, asked.by or f"ensure, typed by {cli.user()}")
    if done is None:
        print("another start is at work on this swarm; nothing to do here", file=sys.stderr)
        done = launcher.Ensured()
    if asked.json:
        cli.say({"started": list(done.started), "repaired": list(done.repaired), "stopped": False})
    else:
        _say(done, always=False)
    return 0


def heal(roots: Roots, by: str) -> launcher.Ensured | None:
    """Start what is missing and respawn what hangs; None when somebody else is at it.

    Raises:
        Refused: tmux is missing, gives no answer, or cannot start a session.
    """
    try:
        with launcher.launch_lock(roots):
            cli.settle(roots)
            if not _is_whole(roots):
                _write_settings(roots, settings.load())
            restore(roots, by)
            limits = limits_of(roots)
            agents = observe(roots, limits).agents
            # Whose state cannot be read is left to those who look again: hang guard, state manager, rescue.
            known = (view for view in agents if view.loop_life != "unknown" and not view.is_unreadable)
            stale = [view.session for view in known if view.is_stale(limits)]
            return launcher.ensure_sessions(roots, limits, by, stale)
    except launcher.Busy:
        return None
    except NoAnswer as error:
        raise Refused(str(error), "type it again in a moment") from error


def _write_settings(roots: Roots, resolved_now: settings.Settings) -> None:
    """Put them on file; what was there and is none stays, beside it."""
    if roots.settings.exists() and not _is_whole(roots):
        aside = snapshot.set_aside(roots.settings)
        said = f"{roots.settings} held no settings: it is {aside.name} now, and those of the checkout are in its place"
        print(said, file=sys.stderr)
    snapshot.write_json(roots.settings, settings.tree_of(resolved_now))


def _is_whole(roots: Roots) -> bool:
    return probe.are_settings(snapshot.read_json(roots.settings))


def _say(done: launcher.Ensured, always: bool) -> None:
    for what in done.repaired:
        print(what, file=sys.stderr)
    if done.started:
        print(f"started {', '.join(done.started)}", file=sys.stderr)
    elif always:
        print(f"all {len(AGENTS)} agents and {len(MONITORS)} monitors were there already")
