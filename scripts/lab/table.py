"""The table of scripts/bench as people read it."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from scripts.lab.machine import processor
from scripts.lab.measure import PrescreenRow

_HEAD = ("engine", "start", "mode", "days", "combos", "trades", "seconds", "G bc/s", "x loop", "exact")


def text(rows: Sequence[PrescreenRow]) -> str:
    """Machine, table, and where the time went."""
    lines = [machine(rows), "", *_columns([_HEAD, *map(_cells, rows)]), ""]
    lines += _ratios(rows)
    lines += [f"{row.engine}, {row.mode}, {row.days:g} days, {row.combos:,}: {_shares(row)}" for row in rows]
    return "\n".join(lines)


def _ratios(rows: Sequence[PrescreenRow]) -> list[str]:
    """The GPU against the CPU engine beside it."""
    native = {(row.mode, row.days, row.combos): row for row in rows if row.engine == "native" and row.start == "warm"}
    pairs = [(row, native.get((row.mode, row.days, row.combos))) for row in rows if row.engine == "gpu"]
    return [
        f"gpu / native, {gpu.mode}, {gpu.days:g} days, {gpu.combos:,}: {cpu.seconds / gpu.seconds:.1f} times"
        for gpu, cpu in pairs
        if cpu is not None and gpu.start == "warm"
    ]


def machine(rows: Sequence[PrescreenRow]) -> str:
    """What was measured, where and when."""
    import numba

    one = rows[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d} · {processor()} · {one.cores} cores · {one.symbol} 5-minute bars\n"
        f"Python {platform.python_version()}, numba {numba.__version__} · G bc/s: 10⁹ bar-combos per second, whole "
        "prescreen · trades: per combo · x loop: times the plain bar loop"
    )


def _cells(row: PrescreenRow) -> tuple[str, ...]:
    return (
        row.engine,
        row.start,
        row.mode,
        f"{row.days:g}",
        f"{row.combos:,}",
        "" if row.trades_per_combo is None else f"{row.trades_per_combo:.0f}",
        f"{row.seconds:.2f}",
        f"{row.bar_combos_per_s / 1e9:.3f}",
        "" if row.times_bar_loop is None else f"{row.times_bar_loop:.3g}",
        {True: "yes", False: "no", None: ""}[row.exact],
    )


def _columns(table: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    left = {"engine", "start", "mode"}

    def line(cells: tuple[str, ...]) -> str:
        pairs = zip(cells, widths, table[0], strict=True)
        return "  ".join(cell.ljust(w) if name in left else cell.rjust(w) for cell, w, name in pairs).rstrip()

    return [line(table[0]), "  ".join("─" * width for width in widths), *map(line, table[1:])]


def _shares(row: PrescreenRow) -> str:
    return " · ".join(f"{name} {seconds:.2f} s" for name, seconds in row.phase_seconds.items())
