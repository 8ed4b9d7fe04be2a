"""Show names and values of foreign files safely: a terminal shows their control sequences and does not obey them."""

from collections.abc import Iterable

LISTED = 10


def shown(text: object) -> str:
    """Return the text with its control characters (escapes, line ends, direction marks) spelled out."""
    plain = str(text)
    return plain if plain.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in plain)


def listing(names: Iterable[object]) -> str:
    """List the first ten items, and say how many more there are."""
    all_ = [shown(name) for name in names]
    more = len(all_) - LISTED
    return ", ".join(all_[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
