"""One finalist of a result tree, read only when the tree is whole."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import plain
from config.errors import Refused
from state.files import snapshot
from state.files.layout import BESTS, MANIFEST, Roots

Record = dict[str, Any]


@dataclass(frozen=True)
class Finalist:
    """`config.json` and `metrics.json` of one best, and the manifest of its tree."""

    folder: Path
    config: Record
    metrics: Record
    manifest: Record

    @property
    def name(self) -> str:
        """`SOL/aggressive/best_sharpe`."""
        return "/".join(self.folder.parts[-3:])

    @property
    def is_candidate(self) -> bool:
        """Whether all checks of its run passed."""
        return str(self.metrics["verdict"]).startswith("candidate")


def find(roots: Roots, wish: str | None) -> Finalist:
    """The finalist that `SYMBOL/MODE[/STRATEGY]` names; without a wish the only tree's, and best_sharpe.

    Raises:
        Refused: there is none, or several; its files are not those of its manifest.
    """
    results = roots.results / "Backtests" / "optimizations"
    trees = {"/".join(path.parts[-3:-1]): path.parent for path in sorted(results.glob(f"*/*/{MANIFEST}"))}
    known = ", ".join(trees) or "none"
    if not trees:
        raise Refused(
            f"there is no result under {results}",
            "scripts/backtest-optimize --single --demo makes one from generated bars; --help says how to use your own",
        )
    if wish is None and len(trees) > 1:
        raise Refused("there are several results, and none was named", f"type one of {known}")
    symbol, mode, best = [*(wish or next(iter(trees))).strip("/").split("/"), "best_sharpe", "best_sharpe"][:3]
    tree = trees.get(f"{symbol}/{mode}")
    if tree is None:
        raise Refused(f"there is no result {symbol}/{mode}", f"results on file: {known}")
    if best not in BESTS or not (tree / best / "config.json").is_file():
        have = ", ".join(name for name in BESTS if (tree / name / "config.json").is_file()) or "none"
        raise Refused(f"{symbol}/{mode} has no strategy {best!r}", f"it has {have}")
    manifest = snapshot.read_json(tree / MANIFEST)
    if not isinstance(manifest, dict) or not _is_manifest(manifest):
        raise Refused(f"{tree / MANIFEST} is no manifest", "scripts/backtest-optimize checksums says what is wrong")
    config, metrics = (_whole(tree, f"{best}/{name}", manifest) for name in ("config.json", "metrics.json"))
    return Finalist(tree / best, config, metrics, manifest)


def _is_manifest(manifest: Record) -> bool:
    """Whether it has what is read of it, here and by who exports."""
    try:
        words = (manifest["execution"]["run_id"], manifest["data"]["sha256"], manifest["code"]["source_hash"])
        is_numbered = isinstance(manifest["execution"]["round"], int)
        return is_numbered and isinstance(manifest["files"], dict) and all(isinstance(word, str) for word in words)
    except (KeyError, TypeError):
        return False


def _whole(tree: Path, name: str, manifest: Record) -> Record:
    try:
        data = plain.read_bytes(tree / name)
    except OSError as error:
        raise Refused(
            f"cannot read {tree / name}: {error.strerror}", "scripts/backtest-optimize checksums says what else"
        ) from error
    if hashlib.sha256(data).hexdigest() != manifest["files"].get(name):
        raise Refused(
            f"{tree / name} is not what its manifest says", "scripts/backtest-optimize checksums says what else"
        )
    record = snapshot.read_json(tree / name)
    if not isinstance(record, dict):
        raise Refused(f"{tree / name} holds no record", "scripts/backtest-optimize checksums says what else")
    return record
