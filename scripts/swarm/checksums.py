"""`checksums`: compare every artifact with the SHA-256 in its run_manifest.json, and its claims with its figures."""

import hashlib
import json
from pathlib import Path
from typing import Any

from config import plain
from config.errors import Refused, visible
from hooks import recounted
from state.files import sealed, snapshot
from state.files.layout import (
    ALL_TRIALS,
    BESTS,
    MANIFEST,
    PHASE0,
    Roots,
)
from state.files.publication import Half, Publication, strangers
from state.host import command

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
    answer = check(Roots.from_environment().results / "Backtests" / "optimizations")
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
    found = sorted(path for path in folder.glob("*/*") if _is_a_result(path)) if folder.is_dir() else []
    trees = _counted([_tree(path, folder) for path in found], folder)
    wrong = sum(len(tree["wrong"]) for tree in trees)
    return {"trees": trees, "files": sum(tree["files"] for tree in trees), "wrong": wrong}


def _is_a_result(tree: Path) -> bool:
    """What was published, whole or by half; a prescreen alone is of a run under way."""
    if tree.name.startswith(".") or tree.parent.name.startswith("."):
        return False
    parts = (MANIFEST, ALL_TRIALS, *BESTS)
    return any((tree / part).exists() for part in parts) or Publication(tree).half() is not None


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
    record = snapshot.read_json(tree / MANIFEST)
    sums = record.get("files") if isinstance(record, dict) else None
    if not isinstance(sums, dict) or not sums:
        missing = "" if (tree / MANIFEST).exists() else ", since there is none: run this symbol and mode again"
        return said | {"wrong": [f"{MANIFEST} names no files{missing}"]}
    if sealed.manifest_is_whole(record) is False:
        return said | {"files": len(sums), "wrong": [f"{MANIFEST} is not what was published"]}
    found = (_wrong(tree / path, path, wanted) for path, wanted in sums.items())
    return said | {"files": len(sums), "wrong": [text for text in found if text], "others": list(strangers(tree))}


def _said_of(half: Half, tree: Path) -> str:
    """A way out that works: whoever writes this symbol and mode next finishes it first."""
    told = f"published by half, or right now: {half.in_place} of {half.files} files of the new result are in place"
    if half.is_whole:
        return f"{told}; all of them are whole in {half.ready}; the next run of this symbol and mode puts them in place"
    return f"{told}, and files of it are lost; run {tree.parent.name} {tree.name} again"


def _wrong(path: Path, name: str, wanted: Any) -> str:
    try:
        with plain.opened(path) as file:
            is_same = hashlib.file_digest(file, "sha256").hexdigest() == wanted
    except OSError as error:
        return f"{name}: {error.strerror}"
    if is_same or (name == PHASE0 and _is_of_a_later_round(path)):
        return ""
    return f"{name} is not what the manifest says"


def _is_of_a_later_round(phase0: Path) -> bool:
    """The merge of a round publishes its prescreen, and the round's report the rest with the manifest."""
    record = snapshot.read_json(phase0)
    mode, symbol = phase0.parent.name, phase0.parent.parent.name
    is_whole = isinstance(record, dict) and (record.get("symbol"), record.get("mode")) == (symbol, mode)
    return is_whole and phase0.stat().st_mtime > phase0.with_name(MANIFEST).stat().st_mtime
