"""`export`: the flags, and what is printed about the files."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from scripts.swarm.export import freqtrade
from scripts.swarm.export.finalist import find
from state.files import private, snapshot
from state.files.layout import Roots
from state.host import command

FORMATS = ("freqtrade",)
_EPILOG = """\
examples:
  scripts/backtest-optimize export --format freqtrade SOL/conservative
  scripts/backtest-optimize export --format freqtrade SOL/aggressive/best_returns --to ~/freqtrade/user_data
  scripts/backtest-optimize export --format freqtrade SOL/aggressive --data --to ~/try

The command writes strategies/NAME.py and config-NAME.json (a dry run) into a user folder of freqtrade: the folder that
--to names, else freqtrade/user_data under RESULTS_ROOT. With --data it also writes exactly the bars of the run, so that
freqtrade backtesting sees what the search saw. docs/guides/freqtrade.md lists what freqtrade fills differently.

exit codes: 0 written, 1 refused with a reason, 2 usage
"""


def main(argv: list[str]) -> int:
    """Write the files and say where they are."""
    parser = command.Parser(
        prog="backtest-optimize export",
        description="Write a finalist as a strategy file of a live trading tool.",
        epilog=_EPILOG,
    )
    parser.add_argument("finalist", nargs="?", metavar="SYMBOL/MODE[/STRATEGY]", help="finalist (default: best_sharpe)")
    parser.add_argument("--format", required=True, choices=FORMATS, help="the tool that will run the strategy")
    parser.add_argument(
        "--to", type=Path, metavar="D", help="freqtrade's user folder (default: freqtrade/user_data under RESULTS_ROOT)"
    )
    parser.add_argument(
        "--pair", metavar="P", help="default: the symbol against USDT; SOL/USDT:USDT when the strategy goes short"
    )
    parser.add_argument("--exchange", default="binance", metavar="E", help="default: binance")
    parser.add_argument("--data", action="store_true", help="also write the bars of the run as freqtrade's data")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(argv)
    roots = Roots.from_environment()
    chosen = find(roots, asked.finalist)
    made = freqtrade.export(chosen, asked.pair, asked.exchange)
    folder = roots.freqtrade if asked.to is None else asked.to.expanduser().absolute()
    written = [folder / name for name in made.files]
    with private.shared():
        for path, text in zip(written, made.files.values(), strict=True):
            snapshot.write_bytes(path, text.encode())
    if asked.data:
        from scripts.swarm.export import bars

        written += bars.write(bars.bars_of(chosen), chosen, made, folder)
    following = _next(made, folder)
    said: dict[str, Any] = {
        "finalist": chosen.name,
        "verdict": chosen.metrics["verdict"],
        "candidate": chosen.is_candidate,
        "strategy": made.name,
        "pair": made.pair,
        "files": [str(path) for path in written],
        "next": following,
    }
    if asked.json:
        print(json.dumps(said, indent=2))
        return 0
    for path in written:
        print(path)
    if not chosen.is_candidate:
        print(f"warning: {chosen.name} is {chosen.metrics['verdict']}", file=sys.stderr)
    print(f"\nnext     {following}")
    return 0


def _next(made: freqtrade.Export, folder: Path) -> str:
    config = folder / f"config-{made.name}.json"
    return shlex.join(["freqtrade", "backtesting", "--userdir", str(folder), "-c", str(config), "--cache", "none"])
