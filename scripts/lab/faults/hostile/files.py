"""Attacks by files: somebody else's among ours, results that lie, working files that are edited, data that explode."""

import gzip
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config.errors import Transient
from scripts.lab.faults.hostile.answers import as_they_were, photograph, wrong_with, wrong_with_command
from scripts.lab.faults.injuries import Dice, Injury, monotonic_s
from scripts.lab.faults.private import Swarm
from scripts.lab.faults.surroundings import all_cycle_after
from state.files import sealed, snapshot
from state.files.artifacts import BESTS, MANIFEST
from state.files.run_folders import RoundFolder
from WORKFLOW.report.tree import writing

_OLD_RUN = "bt-20260101_000000Z"
_IN_LOGS = (
    "nginx.log",
    "trader/orders.log.gz",
    "my.logistic_model.pkl",
    "agents/notes.log",
    f"{_OLD_RUN}.log",
    f"{_OLD_RUN}/notes.log",
    ".watchdog.log.0123abcd.tmp",
    "\x1b]0;owned\x07\x1b[2Jnote.log",
)
_IN_STATE = (
    "draft.tmp",
    ".draft.0123abcd.tmp",
    "session_state_bt-thesis.docx",
    f"session_state_{_OLD_RUN}.jsonl.bak",
    "heartbeats/notes.json",
    "exits/diary.json",
    "requests/done/list.txt",
    "loops/mine.tmp",
    "workers/notes.txt",
    "runs/read me.txt",
    f"runs/{_OLD_RUN}/notes.md",
    f"runs/{_OLD_RUN}/.ipynb_checkpoints/order.json",
)
_OLD_S = 1_600_000_000  # the time of their last change: long ago
_BOMB_PART = b"1700000000000,100.0,101.0,99.0,100.5,10.0\n" * 1_500_000  # 63 MB; packed, 200 kB
_BOMB_PARTS = 60


def others_files(swarm: Swarm, dice: Dice) -> Injury | None:
    """Lay old files of somebody else, with names like ours, among logs and state; then the watchdog forgets its hours.

    Who forgot when it last looked for expired records looks at once.
    """
    roots, struck_s = swarm.roots, monotonic_s()
    wanted = [*(roots.logs / name for name in _IN_LOGS), *(roots.state / name for name in _IN_STATE)]
    if not roots.agent_state("watchdog").is_file():
        return None
    laid = {path: photograph(path) if path.is_file() else _laid(path) for path in wanted}
    os.truncate(roots.agent_state("watchdog"), 0)
    harm = wrong_with(swarm, "doctor", must_say="nginx.log", must_not_say="\x1b]0;")
    unchanged = as_they_were(laid)

    def healed() -> bool:
        return struck_s < swarm.cycled_at_s("watchdog") <= monotonic_s()

    return Injury(
        "others' files",
        f"{len(laid)} of them",
        ("expired",),
        healed,
        harm=lambda: [*harm, *unchanged()],
        laid=frozenset(laid),
    )


def _laid(path: Path) -> tuple[int, int, bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"precious {path.name}".encode())
    path.chmod(0o644)
    os.utime(path, (_OLD_S, _OLD_S))
    return photograph(path)


def notes_in_results(swarm: Swarm, dice: Dice) -> Injury | None:
    """Leave an editor's folder and a note in a published best; the next results are whole, and both stay."""
    published = _published(swarm)
    if not published:
        return None
    tree = dice.one_of(published)
    best = dice.one_of([tree / name for name in BESTS if (tree / name).is_dir()])
    wanted = (best / ".ipynb_checkpoints" / "metrics.json", best / "my notes.md")
    laid = {path: _laid(path) for path in wanted if not path.exists()}
    if not laid:
        return None
    before = (tree / MANIFEST).stat().st_mtime_ns

    def is_published_anew() -> bool:
        manifest = snapshot.read_json(tree / MANIFEST)
        return isinstance(manifest, dict) and (tree / MANIFEST).stat().st_mtime_ns > before

    words = (f"{tree.parent.name}.{tree.name}.report",)
    harm = as_they_were(laid)
    return Injury(
        "notes in results",
        str(best.name),
        words,
        is_published_anew,
        takes_a_phase=True,
        harm=harm,
        laid=frozenset(laid),
    )


def lying_results(swarm: Swarm, dice: Dice) -> Injury | None:
    """Say `passed` of every check of a result that was not promoted, with sums that fit; it is put right afterwards."""
    published = [tree for tree in _published(swarm) if not _promoted(tree)]
    if not published:
        return None
    tree, struck_s = dice.one_of(published), monotonic_s()
    try:
        with writing(swarm.roots, tree.parent.name, tree.name):
            harm = _lie(swarm, tree)
    except Transient:  # a worker writes there
        return None
    healed = all_cycle_after(swarm, struck_s)
    return Injury(
        "lying results", f"{tree.parent.name} {tree.name}", (), healed, harm=lambda: harm, excuses=("it waits:",)
    )


def _lie(swarm: Swarm, tree: Path) -> list[str]:
    paths = [tree / MANIFEST, *sorted(tree.glob("*/validation.json"))]
    before = {path: path.read_bytes() for path in paths}
    try:
        for path in paths[1:]:
            record = json.loads(before[path])
            path.write_text(
                json.dumps({**record, "candidate": True, "checks": _passed(record["checks"])}), encoding="utf-8"
            )
        manifest = json.loads(before[tree / MANIFEST])
        promotion = {
            name: {**said, "promoted": True, "checks": _passed(said["checks"])}
            for name, said in manifest["promotion"].items()
        }
        sums = {name: hashlib.sha256((tree / name).read_bytes()).hexdigest() for name in manifest["files"]}
        lie = sealed.manifest({**manifest, "promotion": promotion, "files": sums})
        (tree / MANIFEST).write_text(json.dumps(lie), encoding="utf-8")
        hook = [str(swarm.code / "hooks" / "promotion.py"), str(tree)]
        return [
            *wrong_with_command(hook, swarm, codes=(1,), must_not_say="PROMOTED"),
            *wrong_with(swarm, "checksums", codes=(1,), must_say="passed is said to be True"),
        ]
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def _passed(checks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**check, "passed": True} for check in checks]


def _promoted(tree: Path) -> bool:
    manifest = snapshot.read_json(tree / MANIFEST)
    said = manifest.get("promotion") if isinstance(manifest, dict) else None
    return not isinstance(said, dict) or any(one.get("promoted") for one in said.values())


def _published(swarm: Swarm) -> list[Path]:
    """Result trees that are whole, where nobody publishes the next one in this moment."""
    return [path.parent for path in sorted(swarm.roots.results.glob(f"Backtests/optimizations/*/*/{MANIFEST}"))]


def working_file_edited(swarm: Swarm, dice: Dice) -> Injury | None:
    """Cut, remove or edit what one phase left for the next, while a worker searches: validation has to notice."""
    searching = [one for one in swarm.launches() if one.job.phase == "search" and swarm.beat(one.worker_id)]
    folder = swarm.round()
    if not searching or folder is None:
        return None
    unit = dice.one_of(searching).job.unit
    work = folder.unit(*unit)
    path = dice.one_of([work.bars, work.bar_labels, work.preflight, work.prescreen])
    if not path.is_file() or not path.stat().st_size:
        return None
    how = dice.one_of(["cut", "removed", "edited"])
    if how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "removed":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    healed = unit_is_done(swarm, folder, unit)
    target = f"{' '.join(unit)} {path.name} {how}"
    excuses = ("is made again", "it waits:")
    return Injury("working file edited", target, ("made again",), healed, takes_a_phase=True, excuses=excuses)


def unit_is_done(swarm: Swarm, folder: RoundFolder, unit: tuple[str, str]) -> Any:
    """Whether this symbol and mode were reported in that round."""

    def is_done() -> bool:
        states = swarm.jobs(folder.number).values()
        return any(s.job.unit == unit and s.job.phase == "report" and s.status == "completed" for s in states)

    return is_done


def bomb(swarm: Swarm, dice: Dice) -> Injury | None:
    """Bars of 12 MB that unpack to 4 GB, given to a run of their own: refused, with the setting that bounds them."""
    folder, struck_s = swarm.roots.results.parent / "bomb", monotonic_s()
    folder.mkdir(exist_ok=True)
    part = gzip.compress(b"timestamp,open,high,low,close,volume\n" + _BOMB_PART, compresslevel=1)
    (folder / "BOMBUSDT_5m.csv.gz").write_bytes(part * _BOMB_PARTS)
    words = ("--single", "--symbol", "BOMB", "--mode", "aggressive", "--data-path", str(folder))
    told = {**swarm.environment, "RESULTS_ROOT": str(folder / "r"), "LOGS_ROOT": str(folder / "l")}
    harm = wrong_with(swarm, *words, environment=told, codes=(1,), must_say="max_file_mb", must_not_say="MemoryError")
    return Injury("a bomb of bars", "4 GB in 12 MB", (), all_cycle_after(swarm, struck_s), harm=lambda: harm)
