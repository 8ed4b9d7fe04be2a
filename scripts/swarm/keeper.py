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
from scripts.swarm import cli
from state import identity, private, snapshot
from state.clock import SystemClock, stamp
from state.environment import of_swarm
from state.layout import Roots
from state.server import recorded
from state.tighten import prepare
from state.tree import tree_of

_COMES_UP_S = 10.0  # for a Python without site-packages on a loaded machine
_CRON_NAMES = ("cron", "crond", "fcron", "dcron")
_EPILOG = """\
examples:
  scripts/install_keeper.sh                      choose what works here, and install it
  scripts/install_keeper.sh --method process     a small process, for containers without systemd and cron
  scripts/install_keeper.sh --status --json
  scripts/install_keeper.sh --uninstall          remove all that was installed; the swarm itself goes on

Methods: a systemd user unit where `systemctl --user` works; else two marked lines in your crontab where a cron daemon
runs; else a process that the agents in turn keep alive. It looks every swarm.keeper_s seconds (cron: every minute) and
does nothing while all is well, or after `stop`. A process does not outlive a reboot: in a container, call this script,
or ensure_swarm_watchdogs.sh, where the container starts.

exit codes: 0 done, or it is installed and alive; 1 refused with a reason, or it is not; 2 usage
"""


@dataclass(frozen=True)
class Shown:
    """What --status says."""

    installed: bool
    method: str = ""
    alive: bool | None = None
    every_s: float | None = None
    entry: str = ""
    pid: int | None = None


def main(argv: list[str]) -> int:
    """The command."""
    asked = _parser().parse_args(argv)
    roots = Roots.from_environment()
    if asked.status:
        return _show(_shown(roots), asked.json)
    prepare(roots)
    if asked.uninstall:
        was = _uninstall(roots)
        return _say({"uninstalled": was}, "the keeper is gone" if was else "no keeper was installed", asked.json)
    launcher.check_installation()
    method = asked.method or _best()
    _must_work(method)  # before anything that works is taken away
    _uninstall(roots)  # another method, or other roots: never two of them
    _INSTALL[method](roots)
    return _show(_shown(roots), asked.json)


def _parser() -> cli.Parser:
    parser = cli.Parser(
        prog="install_keeper.sh",
        description="Bring the swarm back by itself after a reboot or the death of tmux. Installing twice is harmless.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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


# install --------------------------------------------------------------------------------------------------------------


def _install_process(roots: Roots) -> None:
    _record(roots, "process")
    keepers.start(roots)
    deadline = time.monotonic() + _COMES_UP_S
    while not (view := keepers.look(roots, ask=False)) or not view.alive:
        if time.monotonic() > deadline:
            raise Refused("the keeper process does not come up", f"read {roots.keeper_log}")
        time.sleep(0.05)


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


def _record(roots: Roots, method: Method, entry: str = "", lingers: bool = False) -> Keeper:
    """Put on file what the keeper needs to know: it may start with nothing but PATH."""
    server = recorded(roots)
    folder = server.folder if server is not None else os.environ.get("TMUX_TMPDIR") or "/tmp"
    keeper = Keeper(
        method=method,
        environment=of_swarm(roots) | {"VENV_PATH": sys.prefix, "TMUX_TMPDIR": folder, "PATH": _path()},
        python=sys.executable,
        every_s=resolved(roots).swarm.keeper_s,
        installed_at=stamp(SystemClock().now()),
        entry=entry,
        lingers=lingers,
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
        processes.send(one, signal.SIGKILL, str(roots.state), keepers.MARK)
    deadline = time.monotonic() + _COMES_UP_S
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
        return Shown(False)
    pid = None if keeper.identity is None else keeper.identity.pid
    return Shown(True, keeper.method, view.alive, keeper.every_s, keeper.entry, pid)


def _show(shown: Shown, as_json: bool) -> int:
    if not shown.installed:
        words = "no keeper is installed; scripts/install_keeper.sh installs one"
    else:
        state = {True: "alive", False: "gone: scripts/install_keeper.sh installs it again", None: "unknown"}[
            shown.alive
        ]
        words = f"keeper: {shown.method}, {state}{f' ({shown.entry})' if shown.entry else ''}"
    _say(asdict(shown), words, as_json)
    return 0 if shown.alive else 1


def _say(answer: dict[str, Any], words: str, as_json: bool) -> int:
    print(json.dumps(answer, indent=2) if as_json else words)
    return 0
