"""Check what an earlier phase left, against its hash or against its source, before a job builds on it.

A file that is not what was written is made again at once, and the job's log says so in one line.
"""

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from config import plain
from config.errors import Recomputable, Refused, Transient
from state.files import sealed, snapshot
from state.files.artifacts import ALL_TRIALS, MANIFEST
from state.files.tree import record_of, tree_of
from state.records.orders import SwarmOrder
from WORKFLOW.pipeline.lane.given import LaneContext, Outdated

# Seconds to wait when accepted data files can no longer be read or have changed: somebody may be writing them.
_DATA_S = 600.0


def order_of(lane: LaneContext) -> SwarmOrder:
    """Return the order with which this unit began.

    Pre-flight keeps a copy, so that no edit of `order.json` changes costs or settings between two phases or two rounds.
    Only the choice of the GPU may change, because it decides no result.
    """
    now = lane.swarm_order
    for folder in (lane.folder, lane.round_before()):
        record = sealed.read_json(folder.preflight) if folder is not None else None
        if record is None or "order" not in record:
            continue
        begun = replace(record_of(SwarmOrder, record["order"]), gpu=now.gpu)
        if begun != now:
            lane.say(
                "order.json is not what this symbol and mode began with: they go on with the order that they began with"
            )
        return begun
    return now


def in_sample(lane: LaneContext) -> Any:
    """Return the in-sample bars on file; if they are not what pre-flight wrote, make them again from the data."""
    from WORKFLOW.search.job import SearchFolder

    try:
        return SearchFolder(lane.folder).in_sample
    except Recomputable as damage:
        lane.say(f"{damage.reason}: they are made again from the data")
        bars, _ = checked_bars(lane)
        SearchFolder(lane.folder).write_bars(bars.before(_split(lane, bars)))
        return SearchFolder(lane.folder).in_sample


def checked_bars(lane: LaneContext, screen: Any = None) -> tuple[Any, Any]:
    """Return the bars and their report, if they are the bars that pre-flight accepted.

    Raises:
        Transient: the bars cannot be read now, or have changed since.
    """
    from WORKFLOW.pipeline import phases
    from WORKFLOW.report.console import Screen

    if screen is None:
        with Screen(lane.log, quiet=True) as own:
            return checked_bars(lane, own)
    try:
        bars, report = phases.preflight(lane.order, lane.roots, screen)
    except Transient:
        raise
    except Refused as refusal:
        raise Transient(
            f"bars that were accepted are refused now: {refusal.reason}", refusal.way_out, _DATA_S
        ) from None
    known = sealed.read_json(lane.folder.preflight)
    if known is None:
        lane.say(f"{lane.folder.preflight} is not what was written: it is made again")
        snapshot_of(lane, bars)
    elif not sums_of(bars).items() <= known.items():
        raise Transient(
            f"the bars of {bars.symbol} have changed since this run checked them",
            "put the files back as they were and it goes on; for the new ones type --parallel again after this run",
            _DATA_S,
        )
    return bars, report


def sums_of(bars: Any) -> dict[str, str | None]:
    """Return the hashes of the data that the results depend on."""
    return {"sha256": bars.sha256, "minutes": None if bars.minutes is None else bars.minutes.sha256}


def snapshot_of(lane: LaneContext, bars: Any) -> None:
    """Record which bars pre-flight accepted, and the order as it was then."""
    record = {**sums_of(bars), "synthetic": bars.synthetic, "order": tree_of(lane.swarm_order)}
    sealed.write_json(lane.folder.preflight, record)


def must_be_of(lane: LaneContext, bars: Any) -> None:
    """Check that the in-sample bars on file are the first part of `bars`.

    If they are not, everything that was computed on them is done again.
    """
    from WORKFLOW.search.job import SearchFolder

    true, folder = bars.before(_split(lane, bars)), SearchFolder(lane.folder)
    if in_sample(lane).sha256 == true.sha256:
        return
    lane.say(f"{lane.folder.bars} are not the bars of the data: prescreen and search are done again")
    folder.write_bars(true)
    for path in (lane.folder.prescreen, *lane.folder.path.glob("prescreen-*.json")):
        path.unlink(missing_ok=True)
    SearchFolder(lane.folder).discard_study("it was made on other bars", lane.say)


def prescreened(lane: LaneContext, evaluate: Callable[[], Any], shards: int | None = None) -> Any:
    """Return the prescreen of this unit, for every job that builds on it.

    With `shards`, that many shards are joined, and the whole prescreen is written. With None, the whole is read; if it
    is not what the merge wrote, the shards on file are joined. Missing combos of a shard are tried here, with the
    evaluator that `evaluate` returns.

    Raises:
        Outdated: the shards do not hold every combo.
    """
    from WORKFLOW.pipeline import handover
    from WORKFLOW.search import prescreen

    combos, path = lane.order.settings.prescreen.combos, lane.folder.prescreen
    progress = prescreen.PrescreenProgress() if shards else handover.read_progress(path, lane.say)
    if progress.tried != combos:
        of = shards or max(1, len(list(lane.folder.path.glob("prescreen-*.json"))))
        parts = [_shard(lane, number, of, evaluate) for number in range(of)]
        progress = prescreen.merged(parts, lane.order.settings.prescreen)
        if progress.tried != combos:
            raise Outdated(f"the shards hold {progress.tried:,} of {combos:,} combos")
        sealed.write_json(path, progress.as_json())
    return handover.prescreened_of(lane.order, progress)


def _shard(lane: LaneContext, number: int, of: int, evaluate: Callable[[], Any]) -> Any:
    """Return the progress of one shard of the prescreen; missing combos are tried here."""
    from WORKFLOW.pipeline.handover import draw_of, read_progress
    from WORKFLOW.search import prescreen

    combos, settings, path = draw_of(lane.order), lane.order.settings.prescreen, lane.folder.shard(number)
    batches = prescreen.shard(len(combos), settings, number, of)
    progress = read_progress(path, lane.say)
    if progress.tried == min(batches.stop * settings.batch_combos, len(combos)) - batches.start * settings.batch_combos:
        return progress
    lane.say(f"{path} holds {progress.tried:,} combos, which are not all of its shard: the others are tried here")

    def on_batch(done: int, of: int, now: Any) -> None:
        lane.progress(done, of, "prescreen")
        sealed.write_json(path, now.as_json())

    return prescreen.run(evaluate(), combos, settings, lane.threads, progress, on_batch, batches, lane.held)


def job_of(lane: LaneContext, prescreened: Any) -> Any:
    """Return the search's folder with the job that follows from order and prescreen; a wrong job is replaced."""
    from WORKFLOW.pipeline import handover
    from WORKFLOW.search.job import SearchFolder

    plan = handover.plan_of(lane.order, prescreened, lane.carried()["seeds"], lane.seed_files())
    wanted = handover.search_job(lane.order, plan)
    try:
        on_file = SearchFolder(lane.folder).job
    except (Refused, AttributeError, LookupError, TypeError, ValueError):
        on_file = None
    if on_file is None or replace(on_file, engine=wanted.engine) != wanted:
        lane.say(f"{lane.folder.search} does not follow from the order and the prescreen: it is written again")
        SearchFolder(lane.folder).write(wanted)
    return SearchFolder(lane.folder)


def searched(lane: LaneContext, folder: Any) -> list[Any]:
    """Return all trials of the study in `folder`; missing trials are done here."""
    with closing(folder.study(lane.say)) as study:
        plan, done = folder.job.plan, study.standing().done
        if done < plan.trials:
            lane.say(f"the study holds {done:,} of {plan.trials:,} trials: the others are done here")
            evaluate = partial(folder.job.evaluate, folder.evaluator())
            study.work(evaluate, lambda now: lane.progress(now.done, plan.trials, "search"), lambda: True)
        return list(study.finished())


def staged(lane: LaneContext) -> tuple[dict[str, bytes], dict[str, Any]] | None:
    """Return every artifact that validation staged, and the manifest; None if any of them is not what it wrote."""
    folder = lane.folder.staged
    manifest = sealed.read_json(folder / MANIFEST)
    sums = (manifest or {}).pop("files", {})
    files = {name: _read(folder / name) for name in sums}
    is_whole = all(hashlib.sha256(data).hexdigest() == sums[name] for name, data in files.items())
    return (files, manifest) if manifest is not None and is_whole and ALL_TRIALS in files else None


def stage(lane: LaneContext, files: dict[str, bytes], manifest: dict[str, Any]) -> None:
    """Write the artifacts where the report finds them, with their hashes."""
    for name, data in files.items():
        snapshot.write_bytes(lane.folder.staged / name, data)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    sealed.write_json(lane.folder.staged / MANIFEST, {**manifest, "files": sums})


def _read(path: Path) -> bytes:
    try:
        return plain.read_bytes(path)
    except OSError:
        return b""


def _split(lane: LaneContext, bars: Any) -> int:
    from WORKFLOW.pipeline.run import split_of

    return split_of(bars, lane.order.settings.split.holdout_fraction)
