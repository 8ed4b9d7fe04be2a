"""What the swarm keeps on file: locks and who holds them, state files, the keeper, settings and whose they are."""

import fcntl
import os
import shlex
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from config import plain
from config.swarm import in_groups
from scripts.swarm.doctor.finding import ERROR, NOTE, WARNING, Diagnosis, Patient, ok, others_can_write

_MOST_STRANGERS = 1_000  # LOGS_ROOT may be a folder of everybody's; more than these are not counted
_HELD_LONG_S = 120.0  # no start and no cycle takes so long
_ENSURE = "bash scripts/ensure_swarm_watchdogs.sh"


def locks(patient: Patient) -> Iterator[Diagnosis]:
    """Who holds launch.lock and the agents' cycle locks, and whether that process is stopped."""
    roots = patient.roots
    files = [roots.launch_lock, *sorted(roots.cycle_lock("x").parent.glob("*.lock"))]
    held = 0
    for path in files:
        if not _is_held(path):
            continue
        held += 1
        pids = list(_holders(path))
        for pid in pids:
            yield from _holder(path, pid)
        if not pids:
            cause = "by a process that cannot be seen from here: another user's or another container's"
            yield Diagnosis(NOTE, f"{path.name} is held", cause, "look there; or type doctor again in a moment")
    if not held:
        yield ok(f"none of {len([path for path in files if path.exists()])} locks is held")


def _is_held(path: Path) -> bool:
    """Whether a shared lock on it is refused; it is given back at once."""
    try:
        with plain.opened(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _holders(path: Path) -> Iterator[int]:
    """Who has the file open: the one that holds it, and for moments those that ask for it."""
    wanted = str(path.resolve())
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if any(str(one.readlink()) == wanted for one in (folder / "fd").iterdir()):
                yield int(folder.name)
        except OSError:  # gone, or somebody else's
            continue


def _holder(path: Path, pid: int) -> Iterator[Diagnosis]:
    state = _process(pid)
    if state is None:
        cause = f"pid {pid} cannot be seen from here: another container, or it ended this moment"
        yield Diagnosis(NOTE, f"{path.name} is held", cause, "look again")
    elif state in "Tt":
        fix = f"kill -CONT {pid} (the next start does it, too), or kill -9 {pid}: the kernel frees the lock"
        yield Diagnosis(ERROR, f"{path.name} is held by a stopped process", f"pid {pid} is in state {state}", fix)
    elif (age_s := time.time() - path.stat().st_mtime) > _HELD_LONG_S and path.name == "launch.lock":
        cause = f"pid {pid} has it; the file changed {age_s:.0f} s ago"
        yield Diagnosis(NOTE, f"{path.name} is held", cause, "wait for it; if it hangs, kill that process")
    else:
        yield ok(f"{path.name} is held by pid {pid}, which runs")


def _process(pid: int) -> str | None:
    try:
        text = (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()[0]


def state_files(patient: Patient) -> Iterator[Diagnosis]:
    """Readable, of a schema we know, ours alone; fresh where the swarm runs."""
    roots = patient.roots
    if not roots.state.exists():
        yield ok("nothing was ever started here: there is no state yet")
        return
    found = [*_permissions(roots.state), *_contents(patient), *_lost(patient), *_stale(patient)]
    yield from found
    if not any(one.severity in (WARNING, ERROR) for one in found):
        yield ok(f"{len(list(roots.state.glob('*.json')))} state files, all of them readable and of a known schema")


def _permissions(folder: Path) -> Iterator[Diagnosis]:
    stat, typed = folder.stat(), shlex.quote(str(folder))
    if stat.st_uid != os.getuid():
        fix = f"chown -R {os.getuid()} {typed}, or name another folder in STATE_ROOT"
        yield Diagnosis(ERROR, f"{folder} is not yours", f"it belongs to user {stat.st_uid}", fix)
    if stat.st_mode & 0o022:
        cause = f"mode {stat.st_mode & 0o777:04o}: others could write records that agents act on"
        yield Diagnosis(ERROR, f"others can write into {folder}", cause, f"chmod 700 {typed}")
    elif stat.st_mode & 0o077:
        cause = f"mode {stat.st_mode & 0o777:04o}"
        yield Diagnosis(NOTE, f"others can read {folder}", cause, f"chmod 700 {typed}")
    strange = [path for path in sorted(folder.glob("*.json")) if others_can_write(path)]
    if strange:
        names = ", ".join(path.name for path in strange[:5])
        yield Diagnosis(ERROR, "others can write state files", names, f"chmod go-w {typed}/*.json")


def _contents(patient: Patient) -> Iterator[Diagnosis]:
    from agents.machine import probe
    from agents.registry import at_work
    from agents.runtime.cycle import SCHEMA
    from state.files import snapshot
    from state.files.journal import Journal
    from state.records import agent_states, orders

    roots = patient.roots
    for row in at_work(patient.limits):
        path = roots.agent_state(row.name)
        record = snapshot.read_json(path)
        wrong = agent_states.read(roots, row.name).wrong
        if isinstance(record, dict) and wrong:
            fix = f"nothing: {row.name} keeps it beside a new one"
            yield Diagnosis(WARNING, f"{path.name} is damaged", wrong[0], fix)
        if path.exists() and not isinstance(record, dict):
            yield Diagnosis(
                WARNING, f"{path.name} is not JSON", "it was damaged", f"nothing: {row.name} writes it anew"
            )
        elif isinstance(record, dict) and isinstance(record.get("schema"), int) and record["schema"] > SCHEMA:
            cause = f"it has schema {record['schema']}, this checkout knows {SCHEMA}"
            fix = "update this checkout, or name another STATE_ROOT"
            yield Diagnosis(ERROR, f"{path.name} was written by a newer version", cause, fix)
    if said := probe.settings_problem(roots):
        fix = "bash scripts/ensure_swarm_watchdogs.sh; compare what it sets aside, then remove that file"
        yield Diagnosis(WARNING, "settings.json is or was damaged", said, fix)
    if (order := orders.current(roots)) is None:
        return
    for folder in roots.swarm_run(order.run_id).rounds()[-1:]:
        bad = len(Journal(folder.jobs).read().bad_lines)
        if bad:
            cause = f"{bad} lines of {folder.jobs} are no records: a disk fault, or somebody edited it"
            fix = "nothing: auto_scheduler enqueues what is missing; check the disk"
            yield Diagnosis(WARNING, "the job journal is damaged", cause, fix)


def _lost(patient: Patient) -> Iterator[Diagnosis]:
    """What is damaged, or gone although other records name it."""
    from agents.machine.observe import observe

    for one in observe(patient.roots, patient.limits, {"faults"}).faults:
        yield Diagnosis(WARNING, f"{one.record} is {one.state}", one.what.partition(": ")[2], one.remedy)


def _stale(patient: Patient) -> Iterator[Diagnosis]:
    from agents.machine.observe import observe

    world = observe(patient.roots, patient.limits)
    if world.stopped or all(view.loop_life == "unknown" and view.session_age_s is None for view in world.agents):
        return
    late = [view for view in world.agents if view.is_stale(patient.limits)]
    if late:
        names = ", ".join(f"{v.agent} ({'never' if v.age_s is None else f'{v.age_s:.0f} s ago'})" for v in late)
        fix = f"{_ENSURE}; logs: {patient.roots.logs / 'agents'}"
        yield Diagnosis(
            WARNING, f"{len(late)} of {len(world.agents)} agents do not cycle", f"last cycles: {names}", fix
        )


def strangers(patient: Patient) -> Iterator[Diagnosis]:
    """What lies below STATE_ROOT and LOGS_ROOT and is not ours, so that nothing there removes, cuts or closes it."""
    from state.files import made, ours

    roots, found = patient.roots, 0
    mine = made.ours(roots)
    logs = (str(path.relative_to(roots.logs)) for path in roots.logs.rglob("*") if not path.is_dir())
    there = {"STATE_ROOT": ours.strangers(roots.state), "LOGS_ROOT": (path for path in logs if path not in mine)}
    for label, paths in there.items():
        folder = roots.state if label == "STATE_ROOT" else roots.logs
        if names := list(islice(paths, _MOST_STRANGERS)):
            found += len(names)
            more = "at least " if len(names) == _MOST_STRANGERS else ""
            some = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
            cause = f"no record says that we made them, so they are never removed, cut or closed to others: {some}"
            fix = "nothing, if they are yours; logs and records of an earlier version are removed by hand"
            yield Diagnosis(NOTE, f"{more}{len(names)} files in {label} {folder} are not ours", cause, fix)
    if not found:
        yield ok("nothing lies in STATE_ROOT and LOGS_ROOT that is not ours")


def keeper(patient: Patient) -> Iterator[Diagnosis]:
    """Who brings the swarm back after a reboot."""
    from state.files import snapshot

    record = snapshot.read_json(patient.roots.state / "keeper.json")
    if not isinstance(record, dict):
        cause = "after a reboot, or when tmux dies while no shell is opened, nothing brings the swarm back"
        fix = "scripts/backtest-optimize start starts one; to keep it across reboots: bash scripts/install_keeper.sh"
        yield Diagnosis(NOTE, "no keeper is installed", cause, fix)
        return
    kind = record.get("method", "unknown")
    if _is_dead(record.get("identity")):
        yield Diagnosis(
            WARNING, f"the keeper ({kind}) is dead", "its process has ended", "bash scripts/install_keeper.sh"
        )
    else:
        yield ok(f"the keeper is installed ({kind})")


def _is_dead(record: Any) -> bool:
    """A keeper that is a process of its own has an identity; systemd and cron have none."""
    from state.files.tree import record_of
    from state.host import identity
    from state.host.identity import Identity

    try:
        return identity.life_of(record_of(Identity, record)) == "dead"
    except ValueError:
        return False


def surroundings(patient: Patient) -> Iterator[Diagnosis]:
    """Settings that can be read and that nobody else can change; loops that serve this state root and no other."""
    from config import settings

    found = [*_writable(patient), *_elsewhere(patient)]
    yield from found
    if any(one.severity == ERROR for one in found):
        return  # settings that others can change are refused
    now = settings.load()  # refuses what is wrong, which is then the finding
    known = _named(settings.tree_of(now)["swarm"])
    was = _started_with(patient)
    other = sorted(name for name in known if was is not None and name in was and was[name] != known[name])
    if other:
        cause = f"set differently when the swarm was started: {', '.join(other[:6])}"
        fix = "scripts/backtest-optimize stop, then start: they count from then on"
        yield Diagnosis(NOTE, "settings have changed since the start", cause, fix)
    renamed = settings.renamed()
    for line in renamed:
        yield Diagnosis(NOTE, "a setting has a new name", line, "write the new name; the values count alike")
    if not found and not other and not renamed:
        yield ok("settings are readable, yours alone, and those of the running swarm")


def _writable(patient: Patient) -> Iterator[Diagnosis]:
    from config import settings

    files = [settings.DEFAULTS]
    files += [Path(own)] if (own := os.environ.get(settings.OVERLAY_VARIABLE)) else []
    for top in ("hooks", "agents", "scripts"):
        for folder, inner, inside in os.walk(patient.checkout / top):
            inner[:] = sorted(one for one in inner if one != "__pycache__")
            files += [Path(folder), *(Path(folder, one) for one in sorted(inside))]
    strange = [path for path in files if others_can_write(path)]
    if strange:
        names = ", ".join(str(path) for path in strange[:4]) + (" …" if len(strange) > 4 else "")
        yield Diagnosis(
            ERROR,
            "others can change what the swarm runs",
            names,
            f"chmod go-w {shlex.quote(str(strange[0]))} (and the others)",
        )


def _elsewhere(patient: Patient) -> Iterator[Diagnosis]:
    """A loop whose environment names another state root was started from another place, or the variable changed."""
    from agents.registry import at_work
    from state.files import snapshot

    for row in at_work(patient.limits):
        record = snapshot.read_json(patient.roots.loop(row.name))
        pid = (record.get("identity") or {}).get("pid") if isinstance(record, dict) else None
        root = _state_root_of(pid) if isinstance(pid, int) else None
        if root is not None and root != str(patient.roots.state):
            cause = f"pid {pid} works for {root}, this command for {patient.roots.state}"
            fix = f"export STATE_ROOT={shlex.quote(str(root))}, or stop that swarm first"
            yield Diagnosis(ERROR, f"{row.name} serves another state root", cause, fix)
            return


def _state_root_of(pid: int) -> str | None:
    try:
        words = (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((word[11:].decode(errors="replace") for word in words if word.startswith(b"STATE_ROOT=")), None)


def _started_with(patient: Patient) -> dict[str, Any] | None:
    from state.files import snapshot

    tree = snapshot.read_json(patient.roots.settings)
    swarm = in_groups(tree.get("swarm")) if isinstance(tree, dict) else None
    return _named(swarm) if isinstance(swarm, dict) and not patient.roots.tombstone.exists() else None


def _named(groups: dict[str, Any]) -> dict[str, Any]:
    """The values of the section `swarm` by their names."""
    bodies = {group: body for group, body in groups.items() if isinstance(body, dict)}
    return {f"swarm.{group}.{key}": value for group, body in bodies.items() for key, value in body.items()}


def swarm(patient: Patient) -> Iterator[Diagnosis]:
    """What health says."""
    from scripts.swarm.health import HEALTHY, judge

    code, word, reasons = judge(patient.roots)
    if code == HEALTHY:
        yield ok(word)
    elif word == "never started":
        yield ok("never started; scripts/backtest-optimize --parallel starts it")
    else:
        yield Diagnosis(WARNING if code == 1 else ERROR, word, "; ".join(reasons), "scripts/backtest-optimize status")
