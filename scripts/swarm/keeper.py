"""`install_keeper.sh`: install, show and remove the keeper, which brings the swarm back by itself."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.machine import keeper as keepers
from agents.machine import launcher, processes
from agents.machine.keeper import Keeper, Method
from agents.machine.observe import resolved
from config.errors import Refused
from config.record import replace
from scripts.swarm import cli
from state.files import private, snapshot
from state.files.layout import Roots
from state.files.tighten import prepare
from state.files.tree import tree_of
from state.host import command, identity, root
from state.host.clock import SystemClock, stamp
from state.host.environment import of_swarm
from state.host.identity import Identity
from state.records.server import recorded

_UNINSTALL = "scripts/install_keeper.sh --uninstall"
_ENSURE = "bash scripts/ensure_swarm_watchdogs.sh"
_CRON_NAMES = ("cron", "crond", "fcron", "dcron")
_EPILOG = """\
examples:
  scripts/install_keeper.sh                      choose what works here, and install it
  scripts/install_keeper.sh --method process     a small process, for containers without systemd and cron
  scripts/install_keeper.sh --status --json
  scripts/install_keeper.sh --uninstall          remove all that was installed; the swarm itself goes on

Methods: a systemd user unit where `systemctl --user` works; else two marked lines in your crontab where a cron daemon
runs; else a process that the agents, in turn, keep alive. The keeper looks at the swarm every swarm.agents.keeper_s
seconds (with cron, every minute). With systemd or as a process it also looks at once when tmux dies. It does nothing
while all is well, or after `stop`.

Without this script, every start of the swarm also starts a keeper process, unless you type --no-keeper; `stop` ends
that process. Nothing is written to your crontab or to systemd unless you ask for it here. A process does not outlive a
reboot: in a container, call this script, or ensure_swarm_watchdogs.sh, where the container starts.

exit codes: 0 done, or with --status: installed and alive; 1 refused with a reason, or not alive; 2 usage
"""


@dataclass(frozen=True)
class KeptBy:
    """The keeper of a swarm that was just started; `method` is None when there is none."""

    method: str | None
    words: str


@dataclass(frozen=True)
class Shown:
    """What --status shows."""

    installed: bool
    method: str = ""
    alive: bool | None = None
    every_s: float | None = None
    entry: str = ""
    pid: int | None = None
    by_default: bool = False
    stopped: bool = False  # the swarm is stopped, and a keeper process with it


def main(argv: list[str]) -> int:
    """Install, show or remove the keeper; return the exit code."""
    asked = _parser().parse_args(argv)
    roots = Roots.from_environment()
    if asked.status:
        cli.say_from_where(roots)
        return _show(_shown(roots), asked.json)
    root.must_be_here(root.look(roots.state))
    prepare(roots)
    cli.settle(roots)
    if asked.uninstall:
        was = _uninstall(roots)
        return _say({"uninstalled": was}, "the keeper is gone" if was else "no keeper was installed", asked.json)
    launcher.check_installation()
    method = asked.method or _best()
    _must_work(method)  # checked before a keeper that works is removed
    _uninstall(roots)  # a keeper of another method or of other roots goes first: there are never two
    _INSTALL[method](roots)
    shown = _shown(roots)
    code = _show(shown, asked.json)
    return 0 if shown.stopped else code


def _parser() -> command.Parser:
    parser = command.Parser(
        prog="install_keeper.sh",
        description="Install a keeper, which restarts the swarm after a reboot or the death of tmux.",
        epilog=_EPILOG,
    )
    deed = parser.add_mutually_exclusive_group()
    deed.add_argument("--uninstall", action="store_true", help="remove everything that this script has installed")
    deed.add_argument("--status", action="store_true", help="say which keeper is installed and whether it is alive")
    parser.add_argument("--method", choices=("systemd", "cron", "process"), help="default: the first that works here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _must_work(method: Method) -> None:
    """Refuse a method that cannot be installed here."""
    instead = "take another: --method process works everywhere; what was installed is as it was"
    if method == "systemd" and not (shutil.which("systemctl") and keepers.systemctl("show-environment")):
        raise Refused("systemd has no user manager here", instead)
    if method == "cron" and not shutil.which("crontab"):
        raise Refused("there is no crontab here", instead)


def _best() -> Method:
    if shutil.which("systemctl") and keepers.systemctl("show-environment"):
        return "systemd"
    return "cron" if shutil.which("crontab") and _cron_runs() else "process"


def _cron_runs() -> bool:
    """Whether a cron daemon runs that reads the crontab: in containers there often is none."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "comm").read_text(encoding="utf-8").strip() in _CRON_NAMES:
                return True
    return False


# a keeper that starts and stops with the swarm ------------------------------------------------------------------------


def add_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--no-keeper`, which every command that starts the swarm takes."""
    words = "do not start the keeper, a small process that restarts the swarm when tmux or all agents die; stop ends it"
    parser.add_argument("--no-keeper", action="store_true", help=words)


def by_default(roots: Roots, wanted: bool) -> KeptBy:
    """Make sure that a started swarm has a keeper: the installed one, else a process that runs until `stop`.

    Call it under the launch lock. It touches neither crontab nor systemd, because only the operator may ask for those.
    """
    keeper = keepers.recorded(roots)
    if keeper is not None and not keeper.by_default:
        if keeper.method == "process" and not _is_up(roots):
            _come_up(roots)
        return KeptBy(keeper.method, f"keeper: {keeper.method}, as installed; to remove it: {_UNINSTALL}")
    if not wanted:
        end_with_the_swarm(roots)
        return KeptBy(None, f"no keeper: when tmux dies, type {_ENSURE}")
    _record(roots, "process", by_default=True, process=keeper.identity if keeper and _is_up(roots) else None)
    if not _is_up(roots) and not _come_up(roots, "--later"):
        return KeptBy(None, f"no keeper: its process did not start; read {roots.keeper_log}")
    without = f"{' ' * len('keeper: ')}to do without: --no-keeper, or {_UNINSTALL}"
    return KeptBy("process", f"keeper: a process that runs until stop; it restarts a swarm that has died\n{without}")


def end_with_the_swarm(roots: Roots) -> None:
    """End the keeper process. One that came with a start is gone for good; an installed one returns with a start."""
    keeper = keepers.recorded(roots)
    _end_processes(roots)
    if keeper is None or keeper.method != "process":
        return
    # The disk is full: the tombstone, or the sweep, keeps the keeper from coming back.
    with contextlib.suppress(OSError):
        if keeper.by_default:
            roots.keeper.unlink(missing_ok=True)
            roots.keeper_lock.unlink(missing_ok=True)
        else:
            snapshot.write_json(roots.keeper, tree_of(replace(keeper, identity=None)))


def _is_up(roots: Roots) -> bool:
    view = keepers.look(roots, ask=False)
    return view is not None and bool(view.alive)


def _come_up(roots: Roots, *more: str) -> bool:
    """Start the process and wait until its record is on file; whether that came."""
    keepers.start(roots, *more)
    deadline = time.monotonic() + keepers.COMES_UP_S
    while (keeper := keepers.recorded(roots)) is None or keeper.identity is None or not _is_up(roots):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# install --------------------------------------------------------------------------------------------------------------


def _install_process(roots: Roots) -> None:
    _record(roots, "process")
    # After a stop, the process starts with the next start of the swarm.
    if not roots.tombstone.exists() and not _come_up(roots):
        raise Refused("the keeper process did not start", f"read {roots.keeper_log}")


def _install_cron(roots: Roots) -> None:
    text = keepers.crontab()
    if text is None:
        raise Refused("crontab -l gives no answer", "install cron, or take --method process")
    keeper = _record(roots, "cron", f"crontab lines marked {keepers.tag(roots)}")
    if not keepers.write_crontab(keepers.with_lines(text, roots, keeper.python)):
        roots.keeper.unlink(missing_ok=True)
        raise Refused("crontab does not accept new lines", "look at it with crontab -e, or take --method process")


def _install_systemd(roots: Roots) -> None:
    unit = keepers.unit_file(roots)
    lingers = _linger()
    keeper = _record(roots, "systemd", str(unit), lingers)
    with private.shared():
        snapshot.write_bytes(unit, keepers.unit_text(roots, keeper.python).encode())
    if not (keepers.systemctl("daemon-reload") and keepers.systemctl("enable", "--now", unit.name)):
        _uninstall(roots)
        raise Refused("systemctl --user does not accept the unit", "take --method cron or --method process")


def _linger() -> bool:
    """Ask systemd to run the user's units from boot on, without a login; True when that is new."""
    user = str(os.getuid())
    asked = keepers.run(["loginctl", "show-user", user, "--property=Linger"])
    if asked is None or b"Linger=yes" in asked.stdout:
        return False
    done = keepers.run(["loginctl", "enable-linger", user])
    if done is None or done.returncode != 0:
        print(
            "the keeper runs while you are logged in; to run it from boot on: sudo loginctl enable-linger $USER",
            file=sys.stderr,
        )
        return False
    return True


def _record(
    roots: Roots,
    method: Method,
    entry: str = "",
    lingers: bool = False,
    by_default: bool = False,
    process: Identity | None = None,
) -> Keeper:
    """Write down what the keeper needs to know, because it may start with PATH as its only variable."""
    server = recorded(roots)
    folder = server.folder if server is not None else os.environ.get("TMUX_TMPDIR") or "/tmp"
    keeper = Keeper(
        method=method,
        environment=of_swarm(roots) | {"VENV_PATH": sys.prefix, "TMUX_TMPDIR": folder, "PATH": _path()},
        python=sys.executable,
        every_s=resolved(roots).swarm.agents.keeper_s,
        installed_at=stamp(SystemClock().now()),
        entry=entry,
        lingers=lingers,
        by_default=by_default,
        identity=process,
    )
    snapshot.write_json(roots.keeper, tree_of(keeper))
    return keeper


def _path() -> str:
    return os.environ.get("PATH") or "/usr/local/bin:/usr/bin:/bin"


_INSTALL = {"process": _install_process, "cron": _install_cron, "systemd": _install_systemd}


# uninstall ------------------------------------------------------------------------------------------------------------


def _uninstall(roots: Roots) -> bool:
    """Remove every trace of every method, whatever the record says; whether there was a trace."""
    keeper = keepers.recorded(roots)
    roots.keeper.unlink(missing_ok=True)  # a keeper process that looks now sees that it is not wanted any more
    found = [keeper is not None, _end_processes(roots), _remove_lines(roots), _remove_unit(roots)]
    if keeper is not None and keeper.lingers:
        keepers.run(["loginctl", "disable-linger", str(os.getuid())])
    roots.keeper.unlink(missing_ok=True)  # a keeper process that had just begun may have written its record
    roots.keeper_lock.unlink(missing_ok=True)
    return any(found)


def _end_processes(roots: Roots) -> bool:
    found = keepers.processes_of(roots)
    for one in found:
        processes.send_in(roots.state, one, signal.SIGKILL, keepers.MARK)
    deadline = time.monotonic() + keepers.COMES_UP_S
    while any(identity.life_of(one) != "dead" for one in found) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(found)


def _remove_lines(roots: Roots) -> bool:
    text = keepers.crontab() if shutil.which("crontab") else None
    if text is None or (rest := keepers.without_lines(text, roots)) == text:
        return False
    if not keepers.write_crontab(rest):
        raise Refused(
            "crontab does not accept changes", f"remove the lines marked {keepers.tag(roots)} with crontab -e"
        )
    return True


def _remove_unit(roots: Roots) -> bool:
    unit = keepers.unit_file(roots)
    if not unit.exists():
        return False
    keepers.systemctl("disable", "--now", unit.name)
    unit.unlink(missing_ok=True)
    keepers.systemctl("daemon-reload")
    return True


# show -----------------------------------------------------------------------------------------------------------------


def _shown(roots: Roots) -> Shown:
    keeper, view = keepers.recorded(roots), keepers.look(roots, ask=True)
    if keeper is None or view is None:
        return Shown(False, stopped=_is_stopped(roots))
    pid = None if keeper.identity is None else keeper.identity.pid
    return Shown(
        True, keeper.method, view.alive, keeper.every_s, keeper.entry, pid, keeper.by_default, _is_stopped(roots)
    )


def _is_stopped(roots: Roots) -> bool:
    return roots.tombstone.exists()


def _show(shown: Shown, as_json: bool) -> int:
    if not shown.installed:
        words = "no keeper is installed; scripts/install_keeper.sh installs one"
    else:
        back = "the agents start it again" if shown.by_default else "scripts/install_keeper.sh installs it again"
        state = {True: "alive", False: f"gone: {back}", None: "unknown"}[shown.alive]
        if shown.stopped and shown.method == "process":
            state = "ended with the swarm; start brings it back"
        more = " (until stop; it came with a start)" if shown.by_default else ""
        words = f"keeper: {shown.method}, {state}{f' ({shown.entry})' if shown.entry else more}"
    _say(asdict(shown), words, as_json)
    return 0 if shown.alive else 1


def _say(answer: dict[str, Any], words: str, as_json: bool) -> int:
    print(json.dumps(answer, indent=2) if as_json else words)
    return 0
