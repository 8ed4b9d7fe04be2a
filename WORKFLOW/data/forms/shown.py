"""Names and values of foreign files as a terminal may see them: control sequences in them are shown and not obeyed."""

from collections.abc import Iterable

LISTED = 10


def shown(text: object) -> str:
    """The text as it is, but with its control characters (escapes, line ends, changes of direction) spelled out."""
    plain = str(text)
    return plain if plain.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in plain)


def listing(names: Iterable[object]) -> str:
    """The first ten items, and how many more there are."""
    all_ = [shown(name) for name in names]
    more = len(all_) - LISTED
    return ", ".join(all_[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
