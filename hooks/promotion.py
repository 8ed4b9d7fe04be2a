#!/usr/bin/env python3
"""Say whether a strategy may be promoted: every required check must pass when it is computed again from the figures."""

if __name__ == "__main__" and not __package__:
    try:
        import _checkout  # puts the checkout first on sys.path, in its virtual environment
    except ModuleNotFoundError:
        raise SystemExit(f"error: {__file__} needs its checkout: copy the whole checkout, then run it there") from None

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import settings
from config.errors import Refused
from config.record import asdict
from hooks import recounted
from hooks.recounted import ReplayOutcome
from hooks.verdict import Verdict
from state.files.artifacts import MANIFEST
from state.host import command, ending
from state.records import results
from state.records.results import AGAIN, PublishedTree

if TYPE_CHECKING:
    from typing import TypeGuard

GATE = "promotion"
# Every check that must have been made: one that is missing counts as not passed.
REQUIRED = (
    "real_data",
    "no_look_ahead",
    "engines_agree",
    "out_of_sample_sharpe",
    "in_sample_trades",
    "out_of_sample_trades",
    "beats_chance",
    "deflated_sharpe",
    "long_enough",
    "overfitting",
    "luck",
    "placebo",
    "walk_forward_sharpe",
    "walk_forward_efficiency",
    "plateau",
    "beats_buy_and_hold",
    "out_of_sample_drawdown",
    "not_ruined",
    "ledger_whole",
    "deflated_sharpe_of_all_tries",
    "holdout_after_all_looks",
    "vectorbt_agrees",
)
# Checks that not every run makes, each with the reason. Where such a check is made, it must pass like all others.
NOT_ALWAYS_MADE = {
    "sharpe_without_wicks": "made only where --allow-wicks accepted prices that no neighbouring bar reaches",
}
_DECIDES = ("costs", "split", "validity", "verdict")  # sections of the settings that decide a verdict
_LARGEST = 1e18  # the value of a check must be smaller; anything else is damage
_EPILOG = """\
example:
  hooks/promotion.py state/run/Backtests/optimizations/SOL/aggressive

The command believes no claim in a file: it computes each check again from the figures, and the figures from equity and
trades. A strategy that passes is traded once more on the bars that the manifest names, where the run found them or
where --data-path says. The answer says what was compared.

exit codes: 0 a strategy may be promoted; 1 none, or the results cannot be read; 2 usage
"""


def judge(checks: Sequence[Mapping[str, Any]]) -> Verdict:
    """Pass when every check of `REQUIRED` is there and has a value, and when every check passed."""
    known = {check.get("name"): check for check in checks}
    missing = [name for name in REQUIRED if known.get(name, {}).get("value") is None]
    failed = [str(check.get("name")) for check in checks if check.get("passed") is not True and not _is_unasked(check)]
    if failed or missing:
        unknown = [n for n in missing if n not in failed and not (failed and _is_unasked(known.get(n, {})))]
        parts = [f"{what}: {', '.join(names)}" for what, names in (("failed", failed), ("unknown", unknown)) if names]
        return Verdict(GATE, False, "; ".join(parts))
    return Verdict(GATE, True, f"all {len(checks)} checks passed")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; `--help` shows its flags and exit codes."""
    return command.run(_parser, _judged, argv)


def _parser() -> command.Parser:
    parser = command.Parser(description=__doc__, epilog=_EPILOG, is_older=True)
    parser.add_argument("results", type=Path, metavar="FOLDER", help="the results of a symbol and mode")
    parser.add_argument(
        "--data-path", type=Path, metavar="D", help="where the bars lie now, to trade what passes once more on them"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _judged(asked: argparse.Namespace) -> int:
    tree = results.read(asked.results)
    _must_be_whole(tree)
    found = recounted.counted(asked.results)
    recounted.must_agree(asked.results, found)
    passed = [best for best, one in found.items() if judge(one["checks"]).passed]
    replays = recounted.replayed(asked.results, asked.data_path, passed)
    verdicts = {best: _believed(judge(one["checks"]), one["unknown"], replays.get(best)) for best, one in found.items()}
    if asked.json:
        answer = {
            best: {
                **asdict(one),
                "checks": found[best]["checks"],
                "replay": replays[best].line if best in replays else None,
            }
            for best, one in verdicts.items()
        }
        said = json.dumps(answer, indent=2)
    else:
        pages = [_page(best, found[best]["checks"], verdict, replays.get(best)) for best, verdict in verdicts.items()]
        said = "\n\n".join([*pages, *_changed(tree.manifest.get("config"))])
    ending.tell(said)
    return 0 if any(one.passed for one in verdicts.values()) else 1


def _believed(verdict: Verdict, unknown: Sequence[str], replay: ReplayOutcome | None) -> Verdict:
    """Return the verdict. Claims that the figures cannot confirm (`unknown`) make it a no, unless a replay was done."""
    if not verdict.passed or not unknown or (replay is not None and replay.done):
        return verdict
    why = f"unknown: {unknown[0]}; search again, or name the bars with --data-path"
    return Verdict(GATE, False, f"{why} ({replay.line})" if replay is not None else why)


def _must_be_whole(tree: PublishedTree) -> None:
    """Refuse a tree without a strategy, with a file that differs from the manifest, or with damaged checks."""
    folder, manifest = tree.folder, tree.manifest
    if tree.is_whole is False:
        raise Refused(f"{folder / MANIFEST} is not what was published", AGAIN)
    promotion = manifest.get("promotion")
    for best in tree.bests:
        checks = _of_strategy(tree, best).get("checks")
        history = promotion.get(best) if isinstance(promotion, dict) else None
        of_all_runs = history.get("checks") if isinstance(history, dict) else []
        if not _are_checks(checks) or not _are_checks(of_all_runs):
            raise Refused(f"{folder}: the checks of {best} are damaged", AGAIN)
    if not tree.bests:
        raise Refused(
            f"{folder} holds no strategy to judge: {manifest.get('verdict')}",
            "name the folder of a symbol and mode that has some; scripts/backtest-optimize results shows them",
        )


def _of_strategy(tree: PublishedTree, best: str) -> dict[str, Any]:
    """Return a best's `validation.json`, after comparing each of its files with the manifest.

    All its files count, because whoever promotes the strategy takes its parameters and its metrics, too.
    """
    for name in tree.sums:
        if name.startswith(f"{best}/"):
            tree.data(name)
    return tree.record(f"{best}/validation.json")


def _are_checks(some: object) -> "TypeGuard[list[dict[str, Any]]]":
    return isinstance(some, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and (one.get("value") is None or (isinstance(one["value"], int | float) and abs(one["value"]) < _LARGEST))
        for one in some
    )


def _page(best: str, checks: Sequence[Mapping[str, Any]], verdict: Verdict, replay: ReplayOutcome | None) -> str:
    head = f"{best}: {'PROMOTED' if verdict.passed else 'not promoted'}: {verdict.reason}"
    width = max((len(str(check.get("name"))) for check in checks), default=0)
    rows = [
        f"  {_mark(check)} {check.get('name')!s:<{width}}"
        f"  {_value(check.get('value')):>10}  {check.get('needed')}{_why_unknown(check)}"
        for check in checks
    ]
    return "\n".join([head, *rows, *([f"  {replay.line}"] if replay is not None else [])])


def _changed(config: object) -> Iterator[str]:
    """Yield a line that names the settings that decide a verdict and differ from the defaults, if there are any."""
    shipped = settings.tree_of(settings.load({}))
    sections = {name: config.get(name) if isinstance(config, dict) else None for name in _DECIDES}
    said = [
        f"{section}.{name} {value} (shipped: {shipped[section][name]})"
        for section, values in sections.items()
        for name, value in (values.items() if isinstance(values, dict) else ())
        if name in shipped[section] and value != shipped[section][name]
    ]
    if said:
        yield f"judged by settings of your own: {', '.join(said)}"


def _is_unasked(check: Mapping[str, Any]) -> bool:
    """Whether the check is a second opinion that was not asked for: it costs seconds, so all else must pass first."""
    return check.get("value") is None and str(check.get("if_failed")).startswith("not asked")


def _mark(check: Mapping[str, Any]) -> str:
    if check.get("passed") is True:
        return "ok  "
    return "–   " if _is_unasked(check) else "FAIL"


def _why_unknown(check: Mapping[str, Any]) -> str:
    return f" ({check['if_failed']})" if check.get("value") is None and check.get("if_failed") else ""


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
