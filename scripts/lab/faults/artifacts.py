"""Is the work whole? Every sum right, no file too many, and the first round the same as without any fault."""

import hashlib
import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from config.errors import Refused
from config.reading import Reading
from scripts.lab.faults.private import Swarm
from state.files import sealed, snapshot
from state.files.artifacts import MANIFEST, PHASE0
from state.files.layout import Roots
from state.records import orders
from WORKFLOW.command_line import reading_words

# What differs between equal runs: who ran how long, the looks of all runs, sums (of these; files are compared).
_OF_A_RUN = ("promotion", "execution", "files", sealed.SUM)


def wrong(swarm: Swarm, but: Collection[Path] = ()) -> tuple[str, ...]:
    """What is missing or not as its manifest says, of every symbol and mode; empty when all is whole.

    Files in `but` are somebody else's and may lie there.
    """
    order = orders.current(swarm.roots)
    if order is None:
        return ("there is no order",)
    return tuple(text for unit in order.units for text in wrong_in(swarm.roots.artifacts(*unit), but))


def wrong_in(folder: Path, but: Collection[Path] = ()) -> list[str]:
    """The same of one tree."""
    manifest = snapshot.read_json(folder / MANIFEST)
    if not isinstance(manifest, dict):
        return [f"{folder} has no whole {MANIFEST}"]
    sums: dict[str, str] = manifest["files"]
    there = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file() and path not in but}
    found = [f"{folder / name} is missing" for name in sums if name not in there]
    found += [f"{folder / name} is in no manifest" for name in there if name not in sums and name != MANIFEST]
    found += [
        f"{folder / name} is not what its manifest says"
        for name, digest in sums.items()
        if name in there and hashlib.sha256(there[name].read_bytes()).hexdigest() != digest
    ]
    return found


def keep_first_round(swarm: Swarm) -> bool:
    """Copy what round 0 has staged for publication; True once all of it is kept (later rounds drop it)."""
    order = orders.current(swarm.roots)
    if order is None:  # an attack took it away for a moment
        return False
    kept = 0
    for unit in order.units:
        staged, target = swarm.run.round(0).unit(*unit).staged, _kept(swarm, unit)
        if not target.exists() and (staged / MANIFEST).exists() and _is_reported(swarm, unit):
            shutil.copytree(staged, target)
        kept += target.exists()
    return kept == len(order.units)


def _is_reported(swarm: Swarm, unit: tuple[str, str]) -> bool:
    states = swarm.jobs(0).values()
    return any(s.job.unit == unit and s.job.phase == "report" and s.status == "completed" for s in states)


def _kept(swarm: Swarm, unit: tuple[str, str]) -> Path:
    """Beside its results, whose disk is filled and made read-only."""
    return swarm.roots.results.parent / "round-0" / unit[0] / unit[1]


def compare(swarm: Swarm, words: list[str]) -> tuple[int, tuple[str, ...]]:
    """Files compared with those of `--single`, symbol by symbol and mode by mode, and those that differ."""
    order = orders.current(swarm.roots)
    assert order is not None, "a campaign has an order"
    compared, different = 0, []
    for unit in order.units:
        kept = _kept(swarm, unit)
        if not kept.exists():
            different.append(f"{' '.join(unit)} of round 0 was not kept: it never ended")
            continue
        alone = _alone(swarm, unit, words)
        ours, theirs = _files(kept), _files(alone)
        compared += len(theirs)
        names = [name for name in sorted(theirs | ours) if ours.get(name) != theirs.get(name)]
        different += [f"{unit[0]}/{unit[1]}/{name} differs" for name in names]
    return compared, tuple(different)


def _alone(swarm: Swarm, unit: tuple[str, str], words: list[str]) -> Path:
    """The result tree of one process, which nobody disturbed."""
    results = swarm.roots.results.parent / "alone"
    environment = {**swarm.environment, "RESULTS_ROOT": str(results)}
    order = orders.current(swarm.roots)
    bars = swarm.roots.demo_data() if order is None or order.data_path is None else Path(order.data_path)
    unit_words: tuple[str, ...] = (
        "--symbol",
        unit[0],
        "--mode",
        unit[1],
        "--data-path",
        str(bars),
    )  # the manifest names the same bars
    if order is not None:
        unit_words += reading_words(Reading(order.date_format, order.timezone))
    command = (swarm.command, "--single", *unit_words, *words)
    done = swarm.typed(*command, environment=environment, for_s=None)
    if done.returncode:
        raise Refused(
            f"--single on {' '.join(unit)}: {done.stderr.strip()[-500:]}", "fix what it reports, then start again"
        )
    return Roots.from_environment(environment).artifacts(*unit)


def _files(folder: Path) -> dict[str, Any]:
    """Every file's bytes; of the manifest what equal runs have in common (its sums are compared as files)."""
    files: dict[str, Any] = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    manifest = json.loads(files.pop(MANIFEST))
    files[MANIFEST] = {key: value for key, value in manifest.items() if key not in _OF_A_RUN}
    assert PHASE0 in files, "what is staged is the whole tree"
    return files
