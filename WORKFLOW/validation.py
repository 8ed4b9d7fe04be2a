"""Pre-flight checks: whether this installation and these bars can be trusted with a search.

Run it by path: `python3 WORKFLOW/validation.py --check-all --data-path D --symbol S`.
"""

if __name__ == "__main__" and not __package__:
    try:
        import _checkout  # puts the checkout first on sys.path, in its virtual environment
    except ModuleNotFoundError:
        raise SystemExit(f"error: {__file__} needs its checkout: copy the whole checkout, then run it there") from None

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.errors import Misused, Refused, Transient
from config.reading import AS_IT_IS, Reading
from state.host import command
from state.host.clock import SystemClock
from WORKFLOW.command_line import DATA_VARIABLE, READING, add_flags, data_path_of, reading_of

if TYPE_CHECKING:  # these take long to import, and `--help` needs none of them
    from config.settings import Settings
    from WORKFLOW.data.bars import Bars
    from WORKFLOW.data.report import Reason, Report

LEAST_TRADES = 30  # with fewer trades a Sharpe ratio is an anecdote; no operator may set a lower minimum
LEAST_DAYS = 90  # the customer's floor
TIMEFRAMES = (15, 30, 45, 60, 120, 240, 360)

EXAMPLE = """\
example:
  python3 WORKFLOW/validation.py --check-all --data-path data/SOLUSDT_5m.csv.gz --symbol SOL

Without --data-path the installation itself is checked.
exit codes: 0 all checks passed, 1 refused (the reasons are printed), 2 wrong usage
"""


@dataclass(frozen=True)
class InstallationCheck:
    """One question about the installation and its answer."""

    name: str
    passed: bool
    detail: str
    way_out: str = ""


@dataclass(frozen=True)
class PreflightResult:
    """All answers. `bars` are present only if data was given and passed; `report` if the file could be read."""

    checks: tuple[InstallationCheck, ...]
    bars: "Bars | None" = None
    report: "Report | None" = None
    reasons: "tuple[Reason, ...]" = ()

    @property
    def passed(self) -> bool:
        """Whether no check speaks against a run."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Return the record for `--json`."""
        return {
            "passed": self.passed,
            "checks": [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in self.checks],
            "data": self.report.as_json() if self.report else None,
            "reasons": [{"reason": reason.text, "way_out": reason.way_out} for reason in self.reasons],
        }


def check_all(
    settings: "Settings",
    data_path: Path | None = None,
    symbol: str | None = None,
    repair: bool = False,
    allow_wicks: bool = False,
    reading: Reading = AS_IT_IS,
) -> PreflightResult:
    """Check the installation and, if `data_path` and `symbol` are given, the bars; report every reason against a run.

    Bad data gives a result with reasons, never an exception.
    """
    from WORKFLOW.data.forms.meter import bounds_of
    from WORKFLOW.data.report import Reason

    checks = check_installation(settings)
    against = tuple(Reason(f"{check.name}: {check.detail}", check.way_out) for check in checks if not check.passed)
    if data_path is None or symbol is None:
        return PreflightResult(checks, reasons=against)
    bounded = replace(reading, bounds=bounds_of(settings.reading))
    bars, report, reasons = _check_data(settings, data_path, symbol, repair, allow_wicks, bounded)
    return PreflightResult(checks, bars, report, (*against, *reasons))


def check_installation(settings: "Settings") -> tuple[InstallationCheck, ...]:
    """Check the thresholds, and compare higher timeframes with a plain loop on generated bars, in milliseconds."""
    trades, days = settings.prescreen.min_trades, settings.data.min_days
    return (
        _least("minimum trades", "prescreen.min_trades", trades, LEAST_TRADES),
        _least("minimum days", "data.min_days", days, LEAST_DAYS),
        *_check_timeframes(),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: exit code 0 if all passed, 1 if refused with reasons, 2 for wrong usage."""
    return command.run(_parser, _checked, argv)


def _checked(asked: argparse.Namespace) -> int:
    if asked.symbol is not None:
        asked.data_path = data_path_of(asked)
    if (asked.data_path is None) != (asked.symbol is None):
        raise Misused(f"--data-path (or {DATA_VARIABLE}) and --symbol belong together", "name both, or neither")
    asked.reading = reading_of(asked)
    try:
        outcome = _run(asked)
    except Refused as refusal:  # the answer is a list of reasons, and this refusal is a reason
        outcome = _refused(refusal)
    _show(outcome, as_json=asked.json)
    return 0 if outcome.passed else 1


def _parser() -> command.Parser:
    parser = command.Parser(
        prog="validation.py",
        description="Checks the installation and, given data, whether its bars may be used.",
        epilog=EXAMPLE,
        is_older=True,
    )
    parser.add_argument("--check-all", action="store_true", required=True, help="run every check")
    add_flags(parser, "--data-path")
    add_flags(parser, "--symbol", help="the start of the file's name, for example SOL")
    add_flags(parser, "--repair", "--allow-wicks", *READING)
    add_flags(parser, "--json", help="print one JSON document instead of text")
    return parser


def _run(asked: argparse.Namespace) -> PreflightResult:
    from config.settings import load

    path = asked.data_path.expanduser() if asked.data_path else None
    return check_all(load(), path, asked.symbol, asked.repair, asked.allow_wicks, asked.reading)


def _refused(refusal: Refused) -> PreflightResult:
    from WORKFLOW.data.report import Reason

    return PreflightResult((), reasons=(Reason(refusal.reason, refusal.way_out),))


def _check_data(
    settings: "Settings", data_path: Path, symbol: str, repair: bool, allow_wicks: bool, reading: Reading
) -> "tuple[Bars | None, Report | None, tuple[Reason, ...]]":
    from WORKFLOW.data.check import Context, preflight
    from WORKFLOW.data.find import find_all
    from WORKFLOW.data.load import load_all
    from WORKFLOW.data.minutes import with_minutes, witnesses
    from WORKFLOW.data.report import Reason, UnfitBars

    try:
        paths = find_all(data_path, symbol)
        context = Context(
            written_ms=_written_ms(paths),
            now_ms=int(SystemClock().now().timestamp() * 1000),
            allow_wicks=allow_wicks,
            minutes=lambda bars: witnesses(bars, data_path, reading),
        )
        checked = preflight(load_all(paths, symbol, data_path, reading), settings.data, repair, context)
        bars, report = with_minutes(*checked, data_path, reading)
    except UnfitBars as refusal:
        return None, refusal.report, refusal.report.reasons
    except Refused as refusal:
        return None, None, (Reason(refusal.reason, refusal.way_out, isinstance(refusal, Transient)),)
    return bars, report, ()


def _written_ms(paths: "Sequence[Path]") -> int | None:
    """Return when the newest of the files was last written, or None if that cannot be read."""
    try:
        return max(path.stat().st_mtime_ns for path in paths) // 1_000_000
    except OSError:
        return None


def _least(name: str, key: str, value: int, least: int) -> InstallationCheck:
    return InstallationCheck(
        name, value >= least, f"{key} is {value}, at least {least} is needed", f"set {key} to {least} or more"
    )


def _check_timeframes() -> tuple[InstallationCheck, InstallationCheck]:
    """Check that higher timeframes are really made, and from past bars alone; copies have made both mistakes."""
    bars = _generated()
    wrong = [minutes for minutes in TIMEFRAMES if not _equals_plain_loop(bars, minutes)]
    leaking = [minutes for minutes in TIMEFRAMES if not _ignores_the_future(bars, minutes)]
    equal = f"{_minutes(wrong)} differ from" if wrong else f"{_minutes(TIMEFRAMES)} equal"
    change = f"{_minutes(leaking)} change" if leaking else f"{_minutes(TIMEFRAMES)} do not change"
    restore = "compare WORKFLOW/mtf_resampler.py with the released one"
    return (
        InstallationCheck("timeframes resampled", not wrong, f"{equal} a plain loop", restore),
        InstallationCheck("no look-ahead", not leaking, f"{change} with later bars", restore),
    )


def _minutes(timeframes: Sequence[int]) -> str:
    return "/".join(map(str, timeframes)) + " minutes"


def _generated() -> "Bars":
    """Return three generated days with a hole that pre-flight has filled."""
    from config.settings import load
    from WORKFLOW.data.check import preflight
    from WORKFLOW.data.generate import DEMO_SYMBOL, demo_rows
    from WORKFLOW.data.raw import RawTable

    rows = demo_rows(days=3, seed=1)[7:]  # begins after midnight, so that the first bucket is a partial one
    raw = RawTable.of(DEMO_SYMBOL, "generated", rows)
    return preflight(raw, replace(load({}).data, min_days=1))[0]


def _equals_plain_loop(bars: "Bars", minutes: int) -> bool:
    from WORKFLOW.mtf_resampler import align_to_base_tf

    made = _resampled(bars, minutes)
    seen = align_to_base_tf(made.closes_at, len(bars))
    expected = _visible_by_plain_loop(bars, minutes)
    found = [
        None if bucket < 0 else (made.open[bucket], made.high[bucket], made.low[bucket], made.close[bucket])
        for bucket in seen
    ]
    return found == expected


def _visible_by_plain_loop(bars: "Bars", minutes: int) -> "list[tuple[float, float, float, float] | None]":
    """Return the last finished bucket at each base bar, bar by bar and by the clock alone, as a plain specification."""
    visible: list[tuple[float, float, float, float] | None] = []
    finished: tuple[float, float, float, float] | None = None
    bucket: list[Any] = []
    for row in bars.rows:
        minute = int(row["time_ms"]) // 60_000
        if minute % minutes == 0:
            bucket = [row]
        elif bucket:
            bucket.append(row)
        if bucket and (minute + 5) % minutes == 0:
            highs, lows = [r["high"] for r in bucket], [r["low"] for r in bucket]
            finished = (bucket[0]["open"], max(highs), min(lows), row["close"])
        visible.append(finished)
    return visible


def _ignores_the_future(bars: "Bars", minutes: int) -> bool:
    """Return whether buckets that are visible before `now` stay the same when later bars change."""
    import numpy as np

    from WORKFLOW.mtf_resampler import align_to_base_tf

    now = len(bars) * 2 // 3 + 5
    scale = np.where(np.arange(len(bars)) < now, 1.0, 2.0)
    seen = align_to_base_tf(_resampled(bars, minutes).closes_at, len(bars))[:now]
    past = seen[seen >= 0]
    before, after = _resampled(bars, minutes), _resampled(bars, minutes, scale)
    names = ("open", "high", "low", "close")
    return all(np.array_equal(getattr(before, name)[past], getattr(after, name)[past]) for name in names)


def _resampled(bars: "Bars", minutes: int, scale: Any = 1.0) -> Any:
    from WORKFLOW.mtf_resampler import resample_ohlc

    prices = {name: bars.column(name) * scale for name in ("open", "high", "low", "close")}
    prices["open_"] = prices.pop("open")
    return resample_ohlc(**prices, timeframe_minutes=minutes, first_open_ms=int(bars.rows["time_ms"][0]))


def _show(outcome: PreflightResult, as_json: bool) -> None:
    if as_json:
        from state.files.codec import encode

        sys.stdout.write(encode(outcome.as_json()).decode())
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        for line in _lines(outcome):
            console.print(Text(line, style=_style(line)))
    else:
        print("\n".join(_lines(outcome)))


def _lines(outcome: PreflightResult) -> list[str]:
    lines = [f"{'ok     ' if check.passed else 'FAILED '} {check.name}: {check.detail}" for check in outcome.checks]
    lines += outcome.report.lines() if outcome.report else []
    told = {reason.text for reason in outcome.report.reasons} if outcome.report else set()
    for reason in outcome.reasons:
        if reason.text not in told:
            lines += [f"refused: {reason.text}", *([f"  → {reason.way_out}"] if reason.way_out else [])]
    if outcome.passed:
        return [*lines, "passed: nothing stands against a run"]
    return [*lines, f"refused for {len(outcome.reasons)} reason{'' if len(outcome.reasons) == 1 else 's'}"]


def _style(line: str) -> str:
    if line.startswith(("refused", "FAILED")):
        return "red"
    return "green" if line.startswith(("ok", "passed")) else ""


if __name__ == "__main__":
    sys.exit(main())
