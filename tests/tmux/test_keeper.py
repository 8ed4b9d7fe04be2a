"""The keeper: what brings the swarm back when nothing of it is left, and what leaves a stopped one alone."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from agents.machine import keeper as keepers
from agents.machine import processes
from scripts.swarm import keeper
from state.files import snapshot
from state.files.layout import CHECKOUT
from state.files.tree import record_of
from state.host import identity
from state.host.identity import Identity
from tests.tmux.swarm import SESSIONS, Swarm, kill
from tests.tmux.swarm import swarm as a_swarm

INSTALL = CHECKOUT / "scripts" / "install_keeper.sh"
ELSEWHERE = "00000000-0000-0000-0000-000000000000"  # another boot
BARE = {"PATH": "/usr/bin:/bin"}  # what cron gives
OTHERS = b"MAILTO=me\n# a note about % and \xe9\n5 4 * * 1 /usr/local/bin/backup --all\t\n"

CRONTAB = """\
#!/bin/sh
case "$1" in
    -l) [ -e "{table}" ] || {{ echo "no crontab for me" >&2; exit 1; }}; cat "{table}" ;;
    -r) rm "{table}" ;;
    -) cat > "{table}" ;;
esac
"""


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def kept() -> Iterator[Swarm]:
    """A swarm with a keeper that looks every second, and a crontab of its own."""
    with a_swarm() as one:
        one.environment["BACKTEST_OPTIMIZE__SWARM__AGENTS__KEEPER_S"] = "1"
        place = one.roots.results.parent
        program(place / "bin", "crontab", CRONTAB.format(table=place / "table"))
        one.environment["PATH"] = f"{place / 'bin'}:{one.environment['PATH']}"
        one.environment["XDG_CONFIG_HOME"] = str(place / "config")
        yield one


def install(swarm: Swarm, *words: str) -> dict[str, Any]:
    done = swarm.type(*words, "--json", command=INSTALL)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def keeper_of(swarm: Swarm) -> Identity:
    record = swarm.wait("the keeper to be on file", lambda: (snapshot.read_json(swarm.roots.keeper) or {})["identity"])
    return record_of(Identity, record)


def end_all_but_the_keeper(swarm: Swarm) -> list[Identity]:
    """kill -9 the tmux server and every loop at once."""
    ended = [swarm.server(), *(swarm.loop(path.stem) for path in swarm.roots.loop("x").parent.glob("*.json"))]
    for one in ended:
        processes.send(one, signal.SIGKILL)
    swarm.wait("their end", lambda: all(identity.life_of(one) == "dead" for one in ended))
    return ended


def is_back(swarm: Swarm, before: list[Identity]) -> None:
    swarm.wait("another server", lambda: swarm.server() not in before)
    swarm.wait("all sessions", lambda: swarm.sessions() == sorted(SESSIONS))
    swarm.wait("the agents", lambda: swarm.type("health").returncode == 0)


def once(swarm: Swarm) -> subprocess.CompletedProcess[str]:
    """What cron runs, in what cron gives: the very line of the crontab, by its shell."""
    table = (swarm.roots.results.parent / "table").read_text(errors="replace")
    line = next(line for line in table.splitlines() if line.startswith("@reboot ")).removeprefix("@reboot ")
    shell = ["/bin/sh", "-c", line.replace("\\%", "%")]
    return subprocess.run(shell, env=BARE, cwd="/", capture_output=True, text=True, timeout=120, check=False)


def test_the_keeper_alone_brings_back_a_swarm_of_which_nothing_is_left(kept: Swarm) -> None:
    assert kept.type("start").returncode == 0
    assert install(kept, "--method", "process")["alive"]
    mine = keeper_of(kept)
    assert os.getsid(mine.pid) == mine.pid, "it lives in somebody's session"
    ended = end_all_but_the_keeper(kept)
    is_back(kept, ended)
    assert identity.life_of(mine) == "running"
    assert "started bt-watchdog" in kept.roots.keeper_log.read_text()


def test_the_agents_bring_a_dead_keeper_back_and_never_a_second(kept: Swarm) -> None:
    assert kept.type("start").returncode == 0
    install(kept, "--method", "process")
    first = keeper_of(kept)
    kill(first)
    kept.wait("another keeper", lambda: keeper_of(kept) != first and identity.life_of(keeper_of(kept)) == "running")
    second = keeper_of(kept)
    for _ in range(3):
        keepers.start(kept.roots)
    cycle = kept.cycle("session_state_manager")
    kept.wait("two more cycles", lambda: kept.cycle("session_state_manager") >= cycle + 2)
    kept.wait("the others to leave", lambda: keepers.processes_of(kept.roots) == [second])
    events = [json.loads(line) for line in kept.roots.session_events.read_text().splitlines()]
    assert [e["event"] for e in events if e.get("id") == "keeper_gone"] == ["incident_opened", "incident_closed"]


def test_a_stop_is_honoured_and_an_uninstall_leaves_nothing(kept: Swarm) -> None:
    assert kept.type("start").returncode == 0
    install(kept, "--method", "process")
    mine = keeper_of(kept)
    kept.stop()
    assert identity.life_of(mine) == "dead", "stop leaves a process behind"
    program_of = keepers.command(sys.executable, kept.roots, "--once")
    done = subprocess.run(program_of, env=BARE, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr, kept.sessions()) == (0, "", [])
    assert "start brings it back" in kept.type("--status", command=INSTALL).stdout
    assert kept.type("start").returncode == 0
    again = keeper_of(kept)
    assert (identity.life_of(again), again != mine) == ("running", True), "what was installed comes back with a start"
    kept.stop()
    assert install(kept, "--uninstall") == {"uninstalled": True}
    assert [path.name for path in kept.roots.state.iterdir() if "keeper" in path.name] == []
    assert kept.type("--status", command=INSTALL).returncode == 1
    assert install(kept, "--uninstall") == {"uninstalled": False}


def test_one_that_died_and_came_with_a_start_needs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """To install one by hand would be another keeper, which outlives the swarm."""
    for by_default, way_out in ((True, "the agents start it again"), (False, "scripts/install_keeper.sh installs it")):
        gone = keeper.Shown(True, "process", False, 60.0, "", 1, by_default, False)
        assert keeper._show(gone, as_json=False) == 1
        assert f"keeper: process, gone: {way_out}" in capsys.readouterr().out


def test_every_start_brings_a_keeper_process_along_and_stop_takes_it_away(kept: Swarm) -> None:
    """Neither a crontab nor a unit is touched that nobody asked for, though both could be had here."""
    place = kept.roots.results.parent
    program(place / "bin", "systemctl", f'#!/bin/sh\necho "$@" >> "{place}/said"\n')
    done = kept.type("start")
    assert (done.returncode, "keeper: a process that runs until stop" in done.stdout) == (0, True), (
        done.stdout + done.stderr
    )
    mine = keeper_of(kept)
    ended = end_all_but_the_keeper(kept)
    is_back(kept, ended)
    assert kept.type("start").returncode == 0
    assert keepers.processes_of(kept.roots) == [mine], "a second start brought a second keeper"
    kept.stop()
    assert identity.life_of(mine) == "dead"
    assert [path.name for path in kept.roots.state.iterdir() if "keeper" in path.name] == []
    assert not (place / "said").exists()
    assert not (place / "table").exists()
    done = kept.type("start", "--no-keeper")
    assert (done.returncode, "no keeper: when tmux dies" in done.stdout) == (0, True)
    assert (keepers.processes_of(kept.roots), kept.roots.keeper.exists()) == ([], False)


def test_a_keeper_that_was_asked_for_is_kept_by_a_start(kept: Swarm) -> None:
    install(kept, "--method", "cron")
    table = (kept.roots.results.parent / "table").read_bytes()
    done = kept.type("start")
    assert (done.returncode, "keeper: cron, as installed" in done.stdout) == (0, True), done.stdout
    assert keepers.processes_of(kept.roots) == []
    kept.stop()
    assert (kept.roots.results.parent / "table").read_bytes() == table, "stop changed a crontab"
    once(kept)
    assert kept.sessions() == [], "cron brought a stopped swarm back"
    install(kept, "--uninstall")


def test_cron_after_a_reboot_brings_the_swarm_back_from_a_bare_environment(kept: Swarm) -> None:
    table = kept.roots.results.parent / "table"
    table.write_bytes(OTHERS)
    assert kept.type("start").returncode == 0
    assert install(kept, "--method", "cron")["method"] == "cron"
    assert install(kept, "--method", "cron")["method"] == "cron"
    assert table.read_bytes().startswith(OTHERS)
    assert table.read_bytes().count(b"keeper-") == 2, "not one line for the boot and one for every minute"
    ended = end_all_but_the_keeper(kept)
    for path in (kept.roots.swarm, *kept.roots.loop("x").parent.glob("*.json")):
        record = snapshot.read_json(path)
        key = "process" if path == kept.roots.swarm else "identity"
        old = asdict(replace(record_of(Identity, record[key]), boot_id=ELSEWHERE))
        snapshot.write_json(path, {**record, key: old})
    done = once(kept)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    is_back(kept, ended)
    kept.stop()
    once(kept)
    assert kept.sessions() == []
    install(kept, "--uninstall")
    assert table.read_bytes() == OTHERS


def test_a_crontab_line_that_somebody_removed_is_an_incident(kept: Swarm) -> None:
    assert kept.type("start").returncode == 0
    install(kept, "--method", "cron")
    (kept.roots.results.parent / "table").write_bytes(OTHERS)

    def incidents() -> list[str]:
        state = snapshot.read_json(kept.roots.agent_state("session_state_manager"))
        return [one["id"] for one in (state or {"report": {"incidents": []}})["report"]["incidents"]]

    kept.wait("the incident", lambda: "keeper_gone" in incidents())
    assert kept.type("--status", command=INSTALL).returncode == 1
    install(kept, "--uninstall")
    kept.wait("its end", lambda: "keeper_gone" not in incidents())


def test_a_unit_of_systemd_is_written_enabled_and_removed(kept: Swarm) -> None:
    place = kept.roots.results.parent
    said = place / "said"
    program(place / "bin", "systemctl", f'#!/bin/sh\necho "$@" >> "{said}"\n')
    program(place / "bin", "loginctl", f'#!/bin/sh\necho loginctl "$@" >> "{said}"\n')
    shown = install(kept)
    assert (shown["method"], shown["alive"]) == ("systemd", True), "systemd comes first where it works"
    unit = Path(shown["entry"])
    assert unit.parent == place / "config" / "systemd" / "user"
    assert f'"{kept.roots.state}"' in unit.read_text()
    asked = said.read_text()
    assert f"--user enable --now {unit.name}" in asked
    assert f"loginctl enable-linger {os.getuid()}" in asked
    install(kept, "--uninstall")
    assert not unit.exists()
    assert f"--user disable --now {unit.name}" in said.read_text()
    assert f"loginctl disable-linger {os.getuid()}" in said.read_text()


def test_evil_paths_reach_cron_and_systemd_as_words(tmp_path: Path) -> None:
    from state.files.layout import Roots

    evil = tmp_path / "a b'c\"d$(touch pwned)%e`f;g#h"
    roots = Roots.from_environment({"RESULTS_ROOT": str(evil)})
    text = keepers.with_lines(OTHERS, roots, "/py thon").decode(errors="surrogateescape")
    line = next(line for line in text.splitlines() if line.startswith("@reboot ")).removeprefix("@reboot ")
    assert "%" not in line.replace("\\%", ""), "cron would end the line there"
    words = shlex.split(line.replace("\\%", "%"), comments=True)
    assert words == keepers.command("/py thon", roots, "--once")
    assert keepers.without_lines(text.encode(errors="surrogateescape"), roots) == OTHERS
    start = next(line for line in keepers.unit_text(roots, "/py thon").splitlines() if line.startswith("ExecStart="))
    assert "%%e" in start
    assert "$$(touch" in start
    assert '\\"d' in start
