"""The command line of all three tearsheet commands; they differ in which column of a trades file they take."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.errors import Refused
from scripts.swarm import cli
from state.host import command

if TYPE_CHECKING:
    from config.settings import Settings
    from WORKFLOW.report.tearsheet.document import Document

FORMATS = ("html", "json", "png")
_OF_TRADES = (
    "capital",
    "split",
    "tries",
    "unit",
    "columns",
    "decimal",
    "date_format",
    "timezone",
    "paths",
    "seed",
)

_EPILOG = """\
examples:
  scripts/generate-tearsheet SOL/aggressive/best_sharpe
  scripts/generate-tearsheet SOL/aggressive --output ./tearsheets
  scripts/generate-tearsheet my_strategy --trades trades.csv --capital 10000 --output ./tearsheets
  scripts/generate-tearsheet mine SOL/aggressive/best_sharpe --trades trades.csv --split 2024-03-20 --tries 500

exit codes: 0 written, 1 refused or failed with a reason, 2 usage, 130 stopped by Ctrl-C
"""
_DOES = {
    "either": "Draw tearsheets: of finalists of a run, of trades of your own (with a pnl or a pct column), of several"
    " strategies beside each other.",
    "pnl": "Draw tearsheets of trades that have a pnl column (currency, after costs).",
    "pct": "Draw tearsheets of trades whose pnl is derived from a pct column, with all equity in every trade.",
}


_NEED_TRADES = ("win_rate", "total_trades")


@dataclass(frozen=True)
class SheetFiles:
    """One strategy: what its files are called, its document, and how it was read."""

    stem: str
    doc: "Document"
    notes: tuple[str, ...] = ()


def main(arguments: list[str], program: str, wants: str) -> int:
    """The command; `wants` is pnl, pct or either."""
    stopped = ("stopped: files that are there are whole", "")
    return command.run(
        lambda: parser(program, wants), lambda asked: _drawn(asked, wants), arguments, stopped, _unwritten
    )


def _drawn(asked: argparse.Namespace, wants: str) -> int:
    answer = run(asked, wants)
    if asked.json:
        cli.say(answer)
    else:
        _tell(answer)
    return 0


def _unwritten(error: OSError) -> Refused:
    return Refused(f"cannot write {error.filename}: {error.strerror}", "name a folder you may write to with --output")


def parser(program: str, wants: str) -> command.Parser:
    """The flags."""
    p = command.Parser(prog=program, description=_DOES[wants], epilog=_EPILOG)
    p.add_argument(
        "strategies",
        nargs="+",
        metavar="STRATEGY",
        help="a finalist: SYMBOL/MODE/BEST, a part of it (SOL/aggressive is all four), or its folder; with --trades a"
        " name for your trades. Several are compared",
    )
    p.add_argument(
        "--trades",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="closed trades, fills, daily returns or equity, as TradingView, MetaTrader, freqtrade and others write"
        " them, or a CSV with exit_time and pnl; repeat it for your next STRATEGY",
    )
    p.add_argument(
        "--capital",
        type=_positive,
        metavar="C",
        help="capital that the trades began with (default: what the file says, else costs.capital, with a note)",
    )
    p.add_argument(
        "--split", type=_date, metavar="DATE", help="first day (UTC) that was not used to choose the strategy"
    )
    p.add_argument("--tries", type=_count, metavar="N", help="how many strategies were tried to find this one")
    p.add_argument(
        "--unit",
        choices=("fraction", "percent"),
        help="unit of a pct column (default: what the prices show, else fraction)",
    )
    p.add_argument(
        "--columns",
        type=_names,
        metavar="NAMES",
        help="names of the file's columns in their order, such as exit_time,pnl,-;"
        " - is not read; for a file without a header line, or with other names",
    )
    p.add_argument(
        "--decimal", choices=("point", "comma"), help="decimal mark of the numbers (default: what the file shows)"
    )
    p.add_argument(
        "--date-format",
        metavar="F",
        help="how times are written, such as '%%d/%%m/%%Y %%H:%%M' (default: what the file shows)",
    )
    p.add_argument(
        "--timezone",
        type=_zone,
        metavar="Z",
        help="zone of the times that carry none, such as Europe/Berlin (default: UTC)",
    )
    p.add_argument("--output", type=Path, metavar="D", help="folder (default tearsheets under RESULTS_ROOT)")
    p.add_argument("--formats", type=_formats, default=FORMATS, metavar="F", help="of html,json,png (default all)")
    p.add_argument("--paths", type=_count, metavar="N", help="Monte Carlo histories of your trades (default 1,000)")
    p.add_argument("--seed", type=_seed, metavar="S", help="of Monte Carlo (default run.seed)")
    p.add_argument("--json", action="store_true", help="print what was written and the figures as one JSON object")
    return p


def run(asked: argparse.Namespace, wants: str) -> dict[str, Any]:
    """Write all files; what was written, as plain JSON."""
    from state.files.layout import Roots
    from WORKFLOW.report.console import Screen
    from WORKFLOW.report.tearsheet import comparison, page, picture

    _check(asked)
    roots = Roots.from_environment()
    folder = (asked.output or roots.results / "tearsheets").expanduser()
    with Screen() as screen, screen.phase("tearsheets", len(asked.strategies) + 1) as phase:
        sheets = []
        files_of = _assigned(asked, roots)
        for at, name in enumerate(asked.strategies):
            phase.at(at, name)
            sheets += _sheets(asked, wants, name, files_of.get(at), roots)
        _apart(sheets)
        phase.at(len(asked.strategies), "writing")
        made: list[dict[str, Any]] = []
        for sheet in sheets:
            files = _write(folder, sheet.stem, asked.formats, sheet.doc, page.render, picture.render)
            made.append(_said(sheet, files))
        compared = comparison.of([sheet.doc for sheet in sheets]) if len(sheets) > 1 else None
        is_worth_it = compared is not None and 1 < len(compared["strategies"]) <= comparison.MOST
        files = []
        if compared is not None and is_worth_it:
            files = _write(folder, "comparison", asked.formats, compared, comparison.render, picture.comparison)
    count = 0 if compared is None else len(compared["strategies"])
    left_out = f"{count} strategies are more than the {comparison.MOST} that one picture holds" if count > 1 else None
    return {"strategies": made, "comparison": files, "not_compared": None if is_worth_it else left_out}


def _check(asked: argparse.Namespace) -> None:
    """Flags that contradict each other, before anything is read."""
    from config.errors import Refused

    if len(asked.trades) > len(asked.strategies):
        raise Refused(
            f"{len(asked.trades)} times --trades for {len(asked.strategies)} STRATEGY",
            "give each file a name: the first --trades belongs to the first STRATEGY",
        )
    if not asked.trades:
        given = [name for name in _OF_TRADES if getattr(asked, name) is not None]
        if given:
            raise Refused(
                f"--{given[0].replace('_', '-')} describes trades of your own, and no file of them is given",
                "name the file with --trades FILE; for a finalist all of that is known",
            )


def _assigned(asked: argparse.Namespace, roots: Any) -> dict[int, Path]:
    """Which STRATEGY each file belongs to, in order: all of them, or those that name no finalist.

    Raises:
        Refused: there are more such files than names, or fewer.
    """
    from config.errors import Refused
    from scripts.tearsheet import finalists

    places = list(range(len(asked.strategies)))
    if asked.trades and len(asked.trades) < len(places):
        places = [at for at in places if not finalists.is_known(asked.strategies[at], roots)]
        if len(asked.trades) != len(places):
            names = ", ".join(asked.strategies[at] for at in places) or "none"
            raise Refused(
                f"{len(asked.trades)} times --trades, and STRATEGY that name no finalist: {names}",
                "give each of those a file of its own, in the same order",
            )
    return dict(zip(places, (path.expanduser() for path in asked.trades), strict=False))


def _sheets(asked: argparse.Namespace, wants: str, name: str, path: Path | None, roots: Any) -> list[SheetFiles]:
    from config.settings import load
    from scripts.tearsheet import finalists

    if path is not None:
        return [_of_file(asked, wants, name, path, load())]
    return [SheetFiles(_stem_of(doc["strategy"]), doc) for doc in finalists.called(name, roots)]


def _of_file(asked: argparse.Namespace, wants: str, name: str, path: Path, settings: "Settings") -> SheetFiles:
    from config.errors import Refused
    from config.settings import with_values
    from WORKFLOW.report.tearsheet import from_curve, from_trades, trades_file
    from WORKFLOW.report.tearsheet.sources.ledger import Hints

    stem = re.sub(r"[^\w.+-]+", "-", name).strip("-.")
    if not stem or len(stem) > 100 or not name.isprintable():
        raise Refused(f"STRATEGY is {name!r}, which gives no file name", "take letters and digits, 100 at most")
    settings = with_values(settings, monte_carlo={"paths": asked.paths} if asked.paths is not None else {})
    settings = with_values(settings, run={"seed": asked.seed} if asked.seed is not None else {})
    hints = Hints(name, asked.decimal, asked.date_format, asked.timezone, asked.columns)
    found = trades_file.read(path, asked.capital, wants, asked.unit, hints, settings.costs.capital)
    said = from_trades.Asked(name, found.capital, asked.split, asked.tries, found.notes)
    if found.curve is not None:
        return SheetFiles(stem, from_curve.of_curve(found.curve, said, settings), found.notes)
    assert found.trades is not None
    return SheetFiles(stem, from_trades.of_trades(found.trades, said, settings), found.notes)


def _stem_of(strategy: dict[str, Any]) -> str:
    return f"{strategy['symbol']}-{strategy['mode']}-{strategy['name']}"


def _apart(sheets: list[SheetFiles]) -> None:
    from config.errors import Refused

    stems = [*(sheet.stem for sheet in sheets), "comparison"]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice:
        raise Refused(f"two of the files would be called {twice}", "give the strategies names that differ")


def _write(folder: Path, stem: str, formats: tuple[str, ...], doc: "Document", page: Any, picture: Any) -> list[str]:
    from state.files import codec, private, snapshot

    makers = {"html": page, "json": codec.encode, "png": picture}
    with private.shared():
        for kind in formats:
            snapshot.write_bytes(folder / f"{stem}.{kind}", makers[kind](doc))
    return [str(folder / f"{stem}.{kind}") for kind in formats]


def _said(sheet: SheetFiles, files: list[str]) -> dict[str, Any]:
    from WORKFLOW.report.tearsheet import comparison

    doc = sheet.doc
    return {
        "name": comparison.label(doc["strategy"]),
        "verdict": doc["verdict"]["line"],
        "state": doc["verdict"]["state"],
        "period": doc["period"],
        "metrics": doc["metrics"],
        "notes": list(sheet.notes),
        "files": files,
    }


def _tell(answer: dict[str, Any]) -> None:
    from WORKFLOW.report.tearsheet.page import METRICS

    show = {key: form for key, _, form in METRICS}
    for one in answer["strategies"]:
        found = one["metrics"]
        windows = [found[name] for name in ("in_sample", "out_of_sample") if found[name]] or [found["full"]]
        figures = (
            ("Sharpe", "sharpe_ratio"),
            ("return", "total_return"),
            ("drawdown", "max_drawdown_pct"),
            ("wins", "win_rate"),
            ("trades", "total_trades"),
        )
        print(f"{one['name']} · {one['period']['from'][:10]} to {one['period']['to'][:10]}")
        for note in one["notes"]:
            print(f"  {note}")
        known = [
            (word, key) for word, key in figures if found["full"]["total_trades"] is not None or key not in _NEED_TRADES
        ]
        print("  " + " · ".join(f"{word} {' → '.join(show[key](w[key]) for w in windows)}" for word, key in known))
        if len(known) < len(figures):
            print("  no trade is known: figures that need trades are not shown")
        print(f"  {one['verdict']}")
        for file in one["files"]:
            print(f"  {file}  {_size(file)}")
    if answer["comparison"]:
        print("comparison")
        for file in answer["comparison"]:
            print(f"  {file}  {_size(file)}")
    elif answer["not_compared"]:
        print(f"not compared: {answer['not_compared']}")


def _size(file: str) -> str:
    return f"{max(1, round(Path(file).stat().st_size / 1000)):,} kB"


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not any(name not in ("", "-") for name in names):
        raise argparse.ArgumentTypeError(f"{text!r} names no column; exit_time,pnl names two")
    return names


def _zone(text: str) -> str:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time zone such as Europe/Berlin or UTC") from None
    return text


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e15:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _seed(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _date(text: str) -> int:
    """Epoch milliseconds of a UTC day's beginning."""
    import datetime

    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2024-03-20") from None
    return (day - datetime.date(1970, 1, 1)).days * 86_400_000


def _formats(text: str) -> tuple[str, ...]:
    asked = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    if not asked or set(asked) - set(FORMATS):
        raise argparse.ArgumentTypeError(f"{text!r} is not one or more of {','.join(FORMATS)}")
    return asked
