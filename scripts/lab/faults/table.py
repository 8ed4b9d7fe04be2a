"""The table of a campaign: drawn with rich on a terminal, plain columns without."""

import sys
from statistics import median, quantiles

from scripts.lab.faults.campaign import CampaignOutcome, FaultRow

_HEAD = ("at", "fault", "target", "detected in", "healed in", "false kills", "healed by", "first record that shows it")
_MANY = 100  # faults, from which on a percentile says something
_SHORTEST = 60  # characters of a record without a terminal: enough to know which one it is


def show(outcome: CampaignOutcome) -> None:
    """Table and summary, to standard output."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*_HEAD)
        for row in outcome.rows:
            table.add_row(*cells(row), style="" if row.healed_s is not None and not row.false_kills else "red")
        Console().print(table)
    else:
        print(plain(outcome.rows))
    print(summary(outcome))


def plain(rows: tuple[FaultRow, ...]) -> str:
    """Columns without a terminal."""
    table = [_HEAD, *(cells(row, _SHORTEST) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(_HEAD))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in table)


def cells(row: FaultRow, longest: int | None = None) -> tuple[str, ...]:
    """One fault. Without a record there was nothing to notice, or it was over before anybody looked."""
    minutes, seconds = divmod(round(row.at_s), 60)
    return (
        f"{minutes}:{seconds:02}",
        row.fault,
        row.target,
        "–" if row.detected_s is None else f"{row.detected_s:.1f} s",
        "NOT HEALED" if row.healed_s is None else f"{row.healed_s:.1f} s",
        str(len(row.false_kills)),
        row.healed_by,
        row.seen_as[:longest],
    )


def summary(outcome: CampaignOutcome) -> str:
    """What it all came to, and everything that is not as it should be."""
    healed = [row.healed_s for row in outcome.rows if row.healed_s is not None]
    slowest = f", half of them within {median(healed):.1f} s, the slowest in {max(healed):.1f} s" if healed else ""
    if len(healed) >= _MANY:
        slowest = slowest.replace(", the slowest", f", 99 % within {quantiles(healed, n=100)[98]:.1f} s, the slowest")
    whole = "artifacts complete" if not outcome.incomplete else f"artifacts INCOMPLETE ({len(outcome.incomplete)})"
    left = f", {len(outcome.left_behind)} things LEFT BEHIND" if outcome.left_behind else ""
    same = ""
    if outcome.compared or outcome.different:
        same = f", {outcome.compared} files of round 0 compared with --single: {len(outcome.different)} differ"
    lists = (outcome.skipped, outcome.false_kills, outcome.incomplete, outcome.different)
    bad = [text for some in (*lists, outcome.broken, outcome.left_behind) for text in some]
    return "\n".join(
        [
            f"{len(healed)} of {len(outcome.rows)} faults healed{slowest}; {len(outcome.false_kills)} false kills; "
            f"{outcome.rounds} rounds in {outcome.seconds / 60:.1f} minutes, {whole}{same}{left}",
            *(f"  {text}" for text in bad),
        ]
    )
