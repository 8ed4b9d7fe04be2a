"""`checksums`: compare every artifact with the SHA-256 in its run_manifest.json, and its claims with its figures."""

import json
from pathlib import Path
from typing import Any

from config.errors import Refused, visible
from hooks import recounted
from state.files import snapshot
from state.files.artifacts import MANIFEST, PHASE0
from state.files.layout import Roots
from state.files.publication import Half, Publication, strangers
from state.host import command
from state.records import results
from state.records.results import PublishedTree

_EPILOG = """\
example:
  scripts/backtest-optimize checksums --json

exit codes: 0 every file is what its manifest says, 1 one is not, or there is no result, 2 usage
"""


def main(argv: list[str]) -> int:
    """The command."""
    parser = command.Parser(
        prog="backtest-optimize checksums",
        description="Compare every artifact with the SHA-256 in its run_manifest.json, the manifest with its own, and "
        "every metric, check and promotion with what the equity and trades beside it come to.",
        epilog=_EPILOG,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args(argv)
    answer = check(Roots.from_environment().optimizations)
    if asked.json:
        print(json.dumps(answer, indent=2))
    else:
        for tree in answer["trees"]:
            wrong = "; ".join(tree["wrong"])
            said = f"{'FAILED' if wrong else 'ok'} {tree['tree']}: {tree['files']} files{f': {wrong}' if wrong else ''}"
            print(visible(said))
            if tree["others"]:
                print(f"  not of this result, left alone: {visible(', '.join(tree['others']))}")
        print(f"{answer['files']} files in {len(answer['trees'])} result trees, {answer['wrong']} wrong")
    return 0 if answer["trees"] and not answer["wrong"] else 1


def check(folder: Path) -> dict[str, Any]:
    """Every result tree under `folder`, with what is wrong in it."""
    trees = _counted([_tree(path, folder) for path in results.published(folder)], folder)
    wrong = sum(len(tree["wrong"]) for tree in trees)
    return {"trees": trees, "files": sum(tree["files"] for tree in trees), "wrong": wrong}


def _counted(trees: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """With what the files of a tree claim and its figures do not; only where each file is the manifest's."""
    whole = [folder / tree["tree"] for tree in trees if not tree["wrong"]]
    try:
        found = recounted.contradictions(whole)
    except Refused as refusal:
        found = {path: [refusal.reason] for path in whole}
    return [{**tree, "wrong": [*tree["wrong"], *found.get(folder / tree["tree"], [])]} for tree in trees]


def _tree(tree: Path, folder: Path) -> dict[str, Any]:
    said: dict[str, Any] = {"tree": str(tree.relative_to(folder)), "files": 0, "wrong": [], "others": []}
    if (half := Publication(tree).half()) is not None:
        return said | {"files": half.files, "wrong": [_said_of(half, tree)]}
    of = results.seen(tree)
    if of is None or not of.sums:
        missing = "" if (tree / MANIFEST).exists() else ", since there is none: run this symbol and mode again"
        return said | {"wrong": [f"{MANIFEST} names no files{missing}"]}
    if of.is_whole is False:
        return said | {"files": len(of.sums), "wrong": [f"{MANIFEST} is not what was published"]}
    wrong = (_wrong(of, name) for name in of.sums)
    return said | {"files": len(of.sums), "wrong": [text for text in wrong if text], "others": list(strangers(tree))}


def _said_of(half: Half, tree: Path) -> str:
    """A way out that works: whoever writes this symbol and mode next finishes it first."""
    told = f"published by half, or right now: {half.in_place} of {half.files} files of the new result are in place"
    if half.is_whole:
        return f"{told}; all of them are whole in {half.ready}; the next run of this symbol and mode puts them in place"
    return f"{told}, and files of it are lost; run {tree.parent.name} {tree.name} again"


def _wrong(tree: PublishedTree, name: str) -> str:
    try:
        is_the_one = tree.holds(name)
    except OSError as error:
        return f"{name}: {error.strerror}"
    if is_the_one or (name == PHASE0 and _is_of_a_later_round(tree.folder / name)):
        return ""
    return f"{name} is not what the manifest says"


def _is_of_a_later_round(phase0: Path) -> bool:
    """The merge of a round publishes its prescreen, and the round's report the rest with the manifest."""
    record = snapshot.read_json(phase0)
    mode, symbol = phase0.parent.name, phase0.parent.parent.name
    is_whole = isinstance(record, dict) and (record.get("symbol"), record.get("mode")) == (symbol, mode)
    return is_whole and phase0.stat().st_mtime > phase0.with_name(MANIFEST).stat().st_mtime
