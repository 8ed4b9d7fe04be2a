"""A new process until its first batch: with kernels on disk, and compiling them."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from config.reading import Reading
from scripts.lab.measure import Plan, PrescreenRow
from state.files.layout import CHECKOUT


def starts(
    data_path: Path | None, symbol: str, days: int, demo: bool, plan: Plan, engine: str, reading: Reading
) -> list[PrescreenRow]:
    """Seconds from starting Python to the first batch of the benchmark space, its bars read and checked."""
    rows = []
    with tempfile.TemporaryDirectory() as empty:
        for start, changes in (("compiling", {"NUMBA_CACHE_DIR": empty}), ("cold", {})):
            order = json.dumps(
                [
                    str(data_path) if data_path else None,
                    symbol,
                    days,
                    demo,
                    plan.threads,
                    plan.seed,
                    engine,
                    reading.as_json(),
                ]
            )
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", f"from scripts.lab.cold import first_batch; first_batch({order!r})"],
                cwd=CHECKOUT,
                env={**os.environ, **changes},
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=True,
            )
            seconds = time.perf_counter() - began
            row = PrescreenRow(**json.loads(done.stdout))
            inside = sum(row.phase_seconds.values())
            phases = {"Python and imports": seconds - inside, **row.phase_seconds}
            rows.append(replace(row, start=start, seconds=seconds, phase_seconds=phases))
    return rows


def first_batch(order: str) -> None:
    """What the new process does; its row goes to standard output."""
    from config.settings import load
    from scripts.lab import bars, measure, space

    data_path, symbol, days, demo, threads, seed, engine, said = json.loads(order)
    settings = load()
    began = time.perf_counter()
    where = Path(data_path) if data_path else None
    market = bars.first_days(  # as accepted before
        where, symbol, days, demo, repair=True, allow_wicks=True, reading=Reading(**said)
    )
    read = time.perf_counter() - began
    plan = measure.Plan(settings.costs, settings.prescreen, threads, 1, seed)
    row = measure.once(plan, market, space.mode("benchmark", settings), settings.prescreen.batch_combos, engine)
    record = {**row.as_json(), "phase_seconds": {"bars": read, **row.phase_seconds}}
    del record["bar_combos_per_s"]
    print(json.dumps(record))
