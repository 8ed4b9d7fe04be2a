"""`install_keeper.sh`: install, show and remove what brings the swarm back by itself."""

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
runs; else a process that the agents in turn keep alive. It looks every swarm.agents.keeper_s seconds (cron: every
minute), the first two at once when tmux dies, and does nothing while all is well, or after `stop`.

Without this script every start brings a keeper process along, unless --no-keeper is typed, and `stop` ends it; nothing
is put into a crontab or systemd that you did not ask for here. A process does not outlive a reboot: in a container,
call this script, or ensure_swarm_watchdogs.sh, where the container starts.

exit codes: 0 done, or it is installed and alive; 1 refused with a reason, or it is not; 2 usage
"""


@dataclass(frozen=True)
class KeptBy:
    """What keeps a swarm that was just started; `method` None: nothing does."""

    method: str | None
    words: str


@dataclass(frozen=True)
class Shown:
    """What --status says."""

    installed: bool
    method: str = ""
    alive: bool | None = None
    every_s: float | None = None
    entry: str = ""
    pid: int | None = None
    by_default: bool = False
    stopped: bool = False  # the swarm is, and a keeper process with it


def main(argv: list[str]) -> int:
    """The command."""
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
    _must_work(method)  # before anything that works is taken away
    _uninstall(roots)  # another method, or other roots: never two of them
    _INSTALL[method](roots)
    shown = _shown(roots)
    code = _show(shown, asked.json)
    return 0 if shown.stopped else code


def _parser() -> command.Parser:
    parser = command.Parser(
        prog="install_keeper.sh",
        description="Bring the swarm back by itself after a reboot or the death of tmux. Installing twice is harmless.",
        epilog=_EPILOG,
    )
    deed = parser.add_mutually_exclusive_group()
    deed.add_argument("--uninstall", action="store_true", help="remove everything this script has put anywhere")
    deed.add_argument("--status", action="store_true", help="say what is installed, and whether it is alive")
    parser.add_argument("--method", choices=("systemd", "cron", "process"), help="default: the first that works here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _must_work(method: Method) -> None:
    """Refuse what cannot be installed here."""
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
    """Whether a cron daemon is there to read a crontab: in containers there often is none."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "comm").read_text(encoding="utf-8").strip() in _CRON_NAMES:
                return True
    return False


# with a start, and with a stop ----------------------------------------------------------------------------------------


def add_flag(parser: argparse.ArgumentParser) -> None:
    """`--no-keeper`, of every command that starts the swarm."""
    words = "start no keeper, the small process that brings the swarm back when tmux or all agents die; stop ends it"
    parser.add_argument("--no-keeper", action="store_true", help=words)


def by_default(roots: Roots, wanted: bool) -> KeptBy:
    """See that a swarm that was started has a keeper: the one that was installed, else a process until `stop`.

    Call it under the launch lock. It touches neither crontab nor systemd: those are the operator's to ask for.
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
    """End the keeper process; what a start brought along goes for good, what was installed comes back with a start."""
    keeper = keepers.recorded(roots)
    _end_processes(roots)
    if keeper is None or keeper.method != "process":
        return
    with contextlib.suppress(OSError):  # a full disk: the tombstone, or the sweep, keeps it from coming back
        if keeper.by_default:
            roots.keeper.unlink(missing_ok=True)
            roots.keeper_lock.unlink(missing_ok=True)
        else:
            snapshot.write_json(roots.keeper, tree_of(replace(keeper, identity=None)))


def _is_up(roots: Roots) -> bool:
    view = keepers.look(roots, ask=False)
    return view is not None and bool(view.alive)


def _come_up(roots: Roots, *more: str) -> bool:
    """Start the process, and wait until it is on file; whether it is."""
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
    if not roots.tombstone.exists() and not _come_up(roots):  # after a stop it comes up with the next start
        raise Refused("the keeper process did not start", f"read {roots.keeper_log}")


def _install_cron(roots: Roots) -> None:
    text = keepers.crontab()
    if text is None:
        raise Refused("crontab -l gives no answer", "install cron, or take --method process")
    keeper = _record(roots, "cron", f"crontab lines marked {keepers.tag(roots)}")
    if not keepers.write_crontab(keepers.with_lines(text, roots, keeper.python)):
        roots.keeper.unlink(missing_ok=True)
        raise Refused("crontab takes no lines", "look at it with crontab -e, or take --method process")


def _install_systemd(roots: Roots) -> None:
    unit = keepers.unit_file(roots)
    lingers = _linger()
    keeper = _record(roots, "systemd", str(unit), lingers)
    with private.shared():
        snapshot.write_bytes(unit, keepers.unit_text(roots, keeper.python).encode())
    if not (keepers.systemctl("daemon-reload") and keepers.systemctl("enable", "--now", unit.name)):
        _uninstall(roots)
        raise Refused("systemctl --user does not take the unit", "take --method cron or --method process")


def _linger() -> bool:
    """Ask systemd to run the user's units from boot on, without a login; whether that was not so before."""
    user = str(os.getuid())
    asked = keepers.run(["loginctl", "show-user", user, "--property=Linger"])
    if asked is None or b"Linger=yes" in asked.stdout:
        return False
    done = keepers.run(["loginctl", "enable-linger", user])
    if done is None or done.returncode != 0:
        print("it runs while you are logged in; from boot on: sudo loginctl enable-linger $USER", file=sys.stderr)
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
    """Put on file what the keeper needs to know: it may start with nothing but PATH."""
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
    """Remove every trace of every method, whatever the record says; whether there was any."""
    keeper = keepers.recorded(roots)
    roots.keeper.unlink(missing_ok=True)  # a process that looks now sees that it is not wanted any more
    found = [keeper is not None, _end_processes(roots), _remove_lines(roots), _remove_unit(roots)]
    if keeper is not None and keeper.lingers:
        keepers.run(["loginctl", "disable-linger", str(os.getuid())])
    roots.keeper.unlink(missing_ok=True)  # one that had just begun may have put itself on file
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
        raise Refused("crontab takes no changes", f"remove the lines marked {keepers.tag(roots)} with crontab -e")
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
