"""One finalist of a result tree, read only when the tree is whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import Refused
from state.files.artifacts import BESTS, MANIFEST
from state.files.layout import Roots
from state.records import results

Record = dict[str, Any]


@dataclass(frozen=True)
class ExportedFinalist:
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


def find(roots: Roots, wish: str | None) -> ExportedFinalist:
    """The finalist that `SYMBOL/MODE[/STRATEGY]` names; without a wish the only tree's, and best_sharpe.

    Raises:
        Refused: there is none, or several; its files are not those of its manifest.
    """
    trees = {"/".join(folder.parts[-2:]): folder for folder in results.folders(roots.optimizations)}
    known = ", ".join(trees) or "none"
    if not trees:
        raise Refused(
            f"there is no result under {roots.optimizations}",
            "scripts/backtest-optimize --single --demo makes one from generated bars; --help says how to use your own",
        )
    if wish is None and len(trees) > 1:
        raise Refused("there are several results, and none was named", f"type one of {known}")
    symbol, mode, best = [*(wish or next(iter(trees))).strip("/").split("/"), "best_sharpe", "best_sharpe"][:3]
    folder = trees.get(f"{symbol}/{mode}")
    if folder is None:
        raise Refused(f"there is no result {symbol}/{mode}", f"results on file: {known}")
    if best not in BESTS or not (folder / best / "config.json").is_file():
        have = ", ".join(name for name in BESTS if (folder / name / "config.json").is_file()) or "none"
        raise Refused(f"{symbol}/{mode} has no strategy {best!r}", f"it has {have}")
    tree = results.seen(folder)
    if tree is None or not _is_manifest(tree.manifest):
        raise Refused(f"{folder / MANIFEST} is no manifest", "scripts/backtest-optimize checksums says what is wrong")
    config, metrics = (tree.record(f"{best}/{name}") for name in ("config.json", "metrics.json"))
    return ExportedFinalist(folder / best, config, metrics, tree.manifest)


def _is_manifest(manifest: Record) -> bool:
    """Whether it has what is read of it, here and by who exports."""
    try:
        words = (manifest["execution"]["run_id"], manifest["data"]["sha256"], manifest["code"]["source_hash"])
        is_numbered = isinstance(manifest["execution"]["round"], int)
        return is_numbered and isinstance(manifest["files"], dict) and all(isinstance(word, str) for word in words)
    except (KeyError, TypeError):
        return False
