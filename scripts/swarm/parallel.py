"""`--parallel`: start the control plane and order the work: every symbol × mode × lane. The agents then do the work."""

import argparse
import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.machine import launcher
from config import settings
from config.errors import Misused, Refused, visible
from config.reading import AS_IT_IS, Reading
from config.record import replace
from config.settings import Settings
from scripts.swarm import cli, keeper, results, sessions, tmux
from scripts.swarm.follow import Ended, follow
from state.files.layout import Roots
from state.files.tighten import prepare
from state.host import command, wake
from state.host.clock import SystemClock, stamp
from state.records import orders, runs
from state.records.orders import SwarmOrder

_WAIT_S = 60.0  # seconds to wait for the launch lock, while another start holds it
_ROUNDS_HELP = "rounds; 0: until stop, or until no holdout is left to judge by (default: 0 with data, 1 on demo bars)"
_EPILOG = """\
examples:
  scripts/backtest-optimize --parallel                                        one round on generated demo bars
  scripts/backtest-optimize --parallel --symbols SOL,BTC --modes aggressive,balanced --data-path ~/data
  scripts/backtest-optimize --parallel --symbols SOL --data-path ~/data --rounds 1 --wait --json

On a terminal, the command follows the progress, and Ctrl-C leaves the swarm running. Without a terminal, it starts the
swarm and returns, unless --wait is given. While it follows, it restarts the agents when all of them die. A small
process, the keeper, does the same from the start until `stop`; --no-keeper leaves it out. To continue a run that was
stopped, type the same command again. The results are byte for byte those of --single.
Without --rounds N, rounds end when another look at the holdout could promote nothing (run.stop_when_holdout_spent;
docs/reference/validity.md). status and results then say so, and say which bars help; with those bars, the same command
goes on. A lane is one core, for one worker at a time (settings swarm.lanes.count, swarm.lanes.cores).

exit codes: 0 launched, or with --wait the run is complete; 1 refused, or something failed; 2 usage; 130 Ctrl-C
"""


@dataclass(frozen=True)
class RunWish:
    """What the typed flags ask for, after all checks. The fields mean the same as in `SwarmOrder`."""

    symbols: tuple[str, ...]
    modes: tuple[str, ...]
    rounds: int
    data_path: Path | None
    engine: str
    repair: bool
    settings: Settings
    gpu: int | None = None
    seed_dirs: tuple[Path, ...] = ()
    allow_wicks: bool = False
    reading: Reading = AS_IT_IS


def main(argv: list[str]) -> int:
    """Start or continue a run, then follow it, wait for it, or return."""
    asked = parser().parse_args(argv)
    asked.reading = _checked(asked)
    return _run(asked)


def _checked(asked: argparse.Namespace) -> Reading:
    """Return how times are to be read; refuse flags that contradict each other."""
    from WORKFLOW.command_line import gpu_of, reading_of

    if asked.rounds is not None and asked.rounds < 0:
        raise Misused(
            f"--rounds is {asked.rounds}",
            "take --rounds N for N rounds, or --rounds 0 to go on until stop or until no holdout is left",
        )
    if asked.demo and asked.data_path is not None:
        raise Misused("--demo generates its own bars, and --data-path names others", "leave one of them out")
    gpu_of(asked)
    return reading_of(asked)


def parser() -> command.Parser:
    """Return the parser of the flags."""
    from WORKFLOW.command_line import DATA_VARIABLE, READING, SIZES, add_flags

    p = command.Parser(
        prog="backtest-optimize --parallel",
        description="Start the swarm and let every core search: all symbols × modes × lanes.",
        epilog=_EPILOG,
    )
    add_flags(p, "--symbols", "--modes")
    add_flags(p, "--rounds", help=_ROUNDS_HELP)
    where = f"folder or file with 5-minute bars (default: ${DATA_VARIABLE} with --symbols, else demo bars)"
    add_flags(p, "--data-path", help=where)
    add_flags(p, "--demo", help="use generated bars, labelled synthetic; the default without data")
    add_flags(p, *SIZES)
    add_flags(p, "--seed", help="seed of every random draw in round 1; each later round adds 1")
    add_flags(p, "--engine")
    add_flags(p, "--gpu", help="number of the only GPU to use (default: all); -1: none")
    add_flags(p, "--phase0-seed-dirs", "--repair", "--allow-wicks", *READING)
    how = p.add_mutually_exclusive_group()
    how.add_argument("--wait", action="store_true", help="return when the run is complete, also without a terminal")
    how.add_argument("--detach", action="store_true", help="start the swarm and return, also on a terminal")
    keeper.add_flag(p)
    add_flags(p, "--json", help="print one JSON object at the end")
    return p


def _run(asked: argparse.Namespace) -> int:
    roots = Roots.from_environment()
    wish = _wish(asked, roots)
    tmux.require()
    prepare(roots, deep=True)
    if not asked.json:
        what = "generated demo bars (SYNTHETIC)" if wish.data_path is None else str(wish.data_path)
        line = f"backtest-optimize · {','.join(wish.symbols)} × {','.join(wish.modes)} · {what}"
        print(visible(line), file=sys.stderr)
        for line in settings.renamed():
            print(visible(f"  note: {line}"), file=sys.stderr)
    try:
        with launcher.launch_lock(roots, _WAIT_S):
            cli.settle(roots)
            order, resumed = _order(roots, wish)
            sessions.begin(roots, wish.settings)
            done = launcher.ensure_sessions(roots, wish.settings.swarm, by=f"--parallel, typed by {cli.user()}")
            kept = keeper.by_default(roots, wanted=not asked.no_keeper)
    except launcher.Busy as busy:
        raise Refused(str(busy), "wait for it, then type this again") from busy
    for what in done.repaired:
        print(f"  {what}", file=sys.stderr)
    wake.nudge(roots.pipe("auto_scheduler"))
    word = "going on with" if resumed else "run"
    up = f"{len(done.started)} sessions started" if done.started else "the swarm is up already"
    keeps = textwrap.indent(kept.words, "  ")
    print(f"  {word} {order.run_id} · {up}\n{keeps}\n  state {roots.state}", file=sys.stderr)
    by_hand = tmux.to_attach(roots, wish.settings.swarm.agents.tmux_timeout_s, "bt-worker-gpu-mon")
    print(f"  tmux  {by_hand}   (or any other session: scripts/backtest-optimize attach --help)", file=sys.stderr)
    if asked.detach or not (asked.wait or sys.stderr.isatty()):
        _launched(roots, order, asked.json)
        return 0
    ended = follow(roots, order)
    if ended is Ended.LEFT:
        print("\nthe swarm goes on without you", file=sys.stderr)
        _launched(roots, order, asked.json)
        return 130
    return _finish(roots, order, ended, asked.json)


def _launched(roots: Roots, order: SwarmOrder, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"run_id": order.run_id, "state_root": str(roots.state), "complete": False}, indent=2))
        return
    for what, name in (("see", "status"), ("watch", "attach"), ("read", "results"), ("end", "stop")):
        print(f"  {what:<6} scripts/backtest-optimize {name}")


def _finish(roots: Roots, order: SwarmOrder, ended: Ended, as_json: bool) -> int:
    from scripts.swarm.status import failures

    outcomes = results.outcomes_of(roots, order)
    failed = failures(roots)
    if as_json:
        print(
            json.dumps(
                {
                    "run_id": order.run_id,
                    "complete": ended is Ended.COMPLETE,
                    "failed": failed,
                    "outcomes": outcomes,
                },
                indent=2,
            )
        )
    else:
        results.show_all(outcomes, failed, order.rounds)
        if ended is Ended.COMPLETE:
            print("\nthe swarm stays up, idle, for the next run; to end it:\n  scripts/backtest-optimize stop")
    if ended is Ended.STOPPED:
        print("the operator stopped the swarm; the same command continues where it stopped", file=sys.stderr)
    return 0 if ended is Ended.COMPLETE and not failed else 1


# what was typed -------------------------------------------------------------------------------------------------------


def _wish(asked: argparse.Namespace, roots: Roots) -> RunWish:
    from WORKFLOW import room
    from WORKFLOW.command_line import DATA_VARIABLE, DEMO_SYMBOL, changes, data_path_of, seed_dirs_of
    from WORKFLOW.engines.gpu.presence import reason_against
    from WORKFLOW.search import needs

    room.check()  # workers inherit the memory limit of this process

    if (open_run := _unfinished(asked, roots)) is not None:
        return open_run

    resolved = settings.with_values(settings.load(), **changes(asked))
    needs.check(resolved.search.storage)
    modes = _names(asked.modes) or resolved.run.modes
    for mode in modes:
        resolved.mode(mode)
    if asked.engine == "gpu" and (against := reason_against()) is not None:
        raise against
    symbols = _names(asked.symbols)
    # The variable alone starts no work on real bars: without --symbols this command runs the demo.
    named = bool(symbols) and symbols != (DEMO_SYMBOL,)
    data_path = data_path_of(asked) if named and not asked.demo else asked.data_path
    if data_path is None:
        if named:
            raise Refused(
                f"no bars for {', '.join(symbols)}", f"name their folder with --data-path, or in {DATA_VARIABLE}"
            )
        rounds = 1 if asked.rounds is None else asked.rounds
        symbols, found_at = (DEMO_SYMBOL,), None
    else:
        _check_data(data_path, symbols)
        rounds = 0 if asked.rounds is None else asked.rounds
        found_at = data_path.absolute()
    seed_dirs = seed_dirs_of(asked)
    _check_seeds(seed_dirs, symbols, modes, resolved)
    bars = (found_at, asked.engine, asked.repair, resolved, asked.gpu, seed_dirs, asked.allow_wicks, asked.reading)
    return RunWish(symbols, modes, rounds, *bars)


def _unfinished(asked: argparse.Namespace, roots: Roots) -> RunWish | None:
    """Return the unfinished order as a wish; None when there is none, or when a flag says what to do.

    Typed without such flags, the command continues that order.
    """
    bars = ("symbols", "data_path", "date_format", "timezone")
    asks = (*bars, "modes", "rounds", "prescreen", "trials", "paths", "seed", "gpu")
    flags = (asked.demo, asked.repair, asked.allow_wicks, bool(asked.phase0_seed_dirs), asked.engine != "auto")
    if any(getattr(asked, name) is not None for name in asks) or any(flags):
        return None
    order = orders.current(roots)
    if order is None or not orders.is_open(roots, order):
        return None
    return _wish_of(order)


def _wish_of(order: SwarmOrder) -> RunWish:
    """Return the wish that the order on file was made from, with the swarm's settings of now.

    Raises:
        Refused: another version wrote the order, and this one cannot read its settings.
    """
    resolved = settings.of_tree({**order.settings, "swarm": settings.tree_of(settings.load())["swarm"]})
    path = None if order.data_path is None else Path(order.data_path)
    seed_dirs = tuple(map(Path, order.seed_dirs))
    reading = Reading(order.date_format, order.timezone)
    on = (path, order.engine, order.repair, resolved, order.gpu, seed_dirs, order.allow_wicks, reading)
    return RunWish(order.symbols, order.modes, order.rounds, *on)


def _names(text: str | None) -> tuple[str, ...]:
    """Split a comma-separated list; each name once, in order."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _check_data(path: Path, symbols: tuple[str, ...]) -> None:
    from WORKFLOW.command_line import DATA_VARIABLE
    from WORKFLOW.data.file_names import suffix_of
    from WORKFLOW.data.find import check_symbol, find
    from WORKFLOW.data.forms.shown import listing, shown

    if not path.exists():
        way_out = f"name a folder or a file that exists, in --data-path or {DATA_VARIABLE}"
        raise Refused(f"there is nothing at {shown(path)}", way_out)
    if not symbols:
        files = sorted(p.name for p in path.iterdir() if suffix_of(p.name)) if path.is_dir() else [path.name]
        held = listing(files) or "no bars"
        raise Refused("--symbols is missing", f"--symbols SOL,BTC; {shown(path)} holds: {held}")
    for symbol in symbols:
        check_symbol(symbol)
        find(path, symbol)


def _check_seeds(folders: tuple[Path, ...], symbols: tuple[str, ...], modes: tuple[str, ...], to: Settings) -> None:
    """Refuse folders that hold no prescreen of any unit; that some units have none is normal."""
    if not folders:
        return
    from WORKFLOW.search import seed_folders  # loads the kernels' compiler, a third of a second

    units = [(symbol, mode) for symbol in symbols for mode in modes]
    if not any(seed_folders.read(folders, symbol, to.mode(mode)) for symbol, mode in units):
        raise seed_folders.none_there(folders, units)


# the run --------------------------------------------------------------------------------------------------------------


def _order(roots: Roots, wish: RunWish) -> tuple[SwarmOrder, bool]:
    """Return the unfinished order on file that asks for the same, else a new one; and whether it was on file.

    Call it under the launch lock.

    Raises:
        Refused: another run is under way.
    """
    current = orders.current(roots)
    is_open = current is not None and orders.is_open(roots, current) and not roots.tombstone.exists()
    if current is not None and is_open and not _asks_for(current, wish):
        what = f"{','.join(current.symbols)} × {','.join(current.modes)}"
        raise Refused(
            f"another run is under way: {current.run_id}, {what}",
            "scripts/backtest-optimize stop ends it (it can go on later); or name another RESULTS_ROOT",
        )
    found = next((o for o in orders.every(roots) if orders.is_open(roots, o) and _asks_for(o, wish)), None)
    order = found or _new(roots, wish, _key(wish))
    if order.gpu != wish.gpu:  # the GPU decides no result, so the run goes on with the number that was typed last
        order = replace(order, gpu=wish.gpu)
        orders.write(roots.swarm_run(order.run_id).order, order)
    orders.point(roots, order)
    return order, found is not None


def _new(roots: Roots, wish: RunWish, key: str) -> SwarmOrder:
    clock = SystemClock()
    run_id = runs.claim(roots, clock).path.name
    order = SwarmOrder(
        run_id=run_id,
        key=key,
        symbols=wish.symbols,
        modes=wish.modes,
        rounds=wish.rounds,
        data_path=None if wish.data_path is None else str(wish.data_path),
        engine=wish.engine,
        repair=wish.repair,
        started_at=stamp(clock.now()),
        settings=settings.tree_of(wish.settings),
        gpu=wish.gpu,
        stop_when_holdout_spent=wish.settings.run.stop_when_holdout_spent,
        seed_dirs=tuple(map(str, wish.seed_dirs)),
        allow_wicks=wish.allow_wicks,
        date_format=wish.reading.date_format,
        timezone=wish.reading.timezone,
    )
    orders.write(roots.swarm_run(run_id).order, order)
    return order


def _asks_for(order: SwarmOrder, wish: RunWish) -> bool:
    """Whether the order asks for the same results, whatever version of the code wrote it.

    A run goes on after an upgrade of the checkout: the scheduler begins the round anew in which the code changed.
    """
    try:
        return _deciding(_wish_of(order)) == _deciding(wish)
    except Refused:
        return False


def _key(wish: RunWish) -> str:
    """Return the hash of everything that decides the results: of what is asked for, and of the code."""
    from WORKFLOW import SOURCE_HASH

    return runs.key_of({**_deciding(wish), "code": SOURCE_HASH})


def _deciding(wish: RunWish) -> dict[str, Any]:
    """Return all values that decide the results; how the swarm does the work does not decide them."""
    tree = settings.tree_of(wish.settings)
    tree.pop("swarm")
    tree["search"].pop("processes")
    path = wish.data_path
    seeds = {"seed_dirs": [str(one) for one in wish.seed_dirs]} if wish.seed_dirs else {}
    return {
        **seeds,
        "symbols": wish.symbols,
        "modes": wish.modes,
        "rounds": wish.rounds,
        "data_path": None if path is None else str(path),
        "engine": wish.engine,
        "repair": wish.repair,
        "allow_wicks": wish.allow_wicks,
        "settings": tree,
        **wish.reading.as_json(),
    }
