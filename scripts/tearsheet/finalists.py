"""Finalists of runs by name: their tearsheets lie in the result folders."""

from pathlib import Path

from config.errors import Refused
from state.files.artifacts import BESTS, TEARSHEET
from state.files.layout import Roots
from state.records import results
from WORKFLOW.report.tearsheet.document import KIND, Document
from WORKFLOW.report.tearsheet.parts import record_of

_LISTED = 8


def called(name: str, roots: Roots) -> list[Document]:
    """All finalists that `name` fits: SYMBOL/MODE/BEST, parts of it, or a result folder.

    Raises:
        Refused: none does, or its page is of another version.
    """
    pages = _pages(name, roots)
    if not pages and Path(name).expanduser().is_dir():
        raise Refused(
            f"{name} holds no {TEARSHEET}",
            "name the folder of a symbol and mode, or of one of its bests; for trades of your own: --trades FILE",
        )
    if not pages:
        raise Refused(f"no finalist is called {name!r}; {_known(roots)}", "for trades of your own: --trades FILE")
    return [_document(page) for page in pages]


def is_known(name: str, roots: Roots) -> bool:
    """Whether `called` would find something."""
    return bool(_pages(name, roots))


def _pages(name: str, roots: Roots) -> list[Path]:
    """Those in a folder of that name, else those whose SYMBOL/MODE/BEST it fits."""
    folder = Path(name).expanduser()
    inside = [page for best in ("", *BESTS) if (page := folder / best / TEARSHEET).is_file()]
    return inside or [page for page in _every(roots) if _fits(name.split("/"), page)]


def _every(roots: Roots) -> list[Path]:
    return results.of_bests(roots.optimizations, TEARSHEET)


def _fits(asked: list[str], page: Path) -> bool:
    """Whether the parts that were typed are parts of SYMBOL/MODE/BEST, in that order."""
    left = iter(part.lower() for part in page.parts[-4:-1])
    return all(part.lower() in left for part in asked if part) and any(asked)


def _known(roots: Roots) -> str:
    names = ["/".join(page.parts[-4:-1]) for page in _every(roots)]
    if not names:
        return f"{roots.results} holds no finalist with a tearsheet yet"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"there are {', '.join(names[:_LISTED])}{more}"


def _document(page: Path) -> Document:
    try:
        record = record_of(page.read_bytes())
    except OSError as error:
        raise Refused(f"cannot read {page}: {error.strerror}", "check its permissions") from error
    if record is None or record.get("kind") != KIND:
        raise Refused(f"{page} is not a tearsheet of this version", "run the search again: the page is written anew")
    return record
