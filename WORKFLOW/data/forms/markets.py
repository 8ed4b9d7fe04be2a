"""Choose among several markets in one file the one that a symbol means."""

import re
from collections.abc import Sequence

from config.errors import Refused
from WORKFLOW.data.forms.shown import listing

# Quote currencies: how a market's name may go on after its symbol, besides a separator.
QUOTES = ("USD", "BUSD", "FDUSD", "TUSD", "DAI", "EUR", "GBP", "TRY", "JPY", "KRW", "BRL", "BTC", "ETH", "BNB", "PERP")


def letters(name: str) -> str:
    """Return capital letters and digits alone: `SOL/USDT`, `sol-usdt` and `SOL_USDT` all give SOLUSDT."""
    return re.sub(r"[^A-Z0-9]+", "", name.upper())


def choose(held: Sequence[str], symbol: str, file: str, where: str) -> str:
    """Return the name in `held` that the symbol matches; a single name is taken in any case.

    Raises:
        Refused: no name matches, or several do.
    """
    if len(held) == 1:
        return held[0]
    wanted = letters(symbol)
    plain = {name: letters(name) for name in held}
    exact = [name for name, short in plain.items() if short == wanted]
    paid = [name for name, short in plain.items() if short.startswith(wanted) and _is_paid(short, wanted)]
    for found in (exact, paid):
        if len(found) == 1:
            return found[0]
    near = sorted(short for short in plain.values() if short.startswith(wanted)) or sorted(plain.values())
    said = f"{where} of {file} holds {listing(sorted(held))}: {len(paid) or 'none'} of them match {symbol!r}"
    raise Refused(said, f"type one of these as the symbol: {listing(near)}")


def _is_paid(name: str, wanted: str) -> bool:
    return name[len(wanted) :].startswith(QUOTES)
