"""`checksums`: compare every artifact with the SHA-256 in its run_manifest.json."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from scripts.swarm import cli
from state import snapshot
from state.layout import MANIFEST, PHASE0, Roots

_EPILOG = """\
example:
  scripts/backtest-optimize checksums --json

exit codes: 0 every file is what its manifest says, 1 one is not, or there is no result, 2 usage
"""


def main(argv: list[str]) -> int:
    """The command."""
    parser = cli.Parser(
        prog="backtest-optimize checksums",
        description="Compare every artifact with the SHA-256 in its run_manifest.json.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args(argv)
    answer = check(Roots.from_environment().results / "Backtests" / "optimizations")
    if asked.json:
        print(json.dumps(answer, indent=2))
    else:
        for tree in answer["trees"]:
            wrong = "; ".join(tree["wrong"])
            print(f"{'FAILED' if wrong else 'ok'} {tree['tree']}: {tree['files']} files{f': {wrong}' if wrong else ''}")
        print(f"{answer['files']} files in {len(answer['trees'])} result trees, {answer['wrong']} wrong")
    return 0 if answer["trees"] and not answer["wrong"] else 1


def check(folder: Path) -> dict[str, Any]:
    """Every result tree under `folder`, with what is wrong in it."""
    manifests = sorted(folder.glob(f"*/*/{MANIFEST}")) if folder.is_dir() else []
    trees = [_tree(path, folder) for path in manifests]
    wrong = sum(len(tree["wrong"]) for tree in trees)
    return {"trees": trees, "files": sum(tree["files"] for tree in trees), "wrong": wrong}


def _tree(manifest: Path, folder: Path) -> dict[str, Any]:
    record = snapshot.read_json(manifest)
    sums = record.get("files") if isinstance(record, dict) else None
    name = str(manifest.parent.relative_to(folder))
    if not isinstance(sums, dict) or not sums:
        return {"tree": name, "files": 0, "wrong": [f"{MANIFEST} names no files"]}
    found = (_wrong(manifest.parent / path, path, wanted) for path, wanted in sums.items())
    return {"tree": name, "files": len(sums), "wrong": [text for text in found if text]}


def _wrong(path: Path, name: str, wanted: Any) -> str:
    try:
        with path.open("rb") as file:
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
