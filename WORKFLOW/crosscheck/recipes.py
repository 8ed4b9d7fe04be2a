"""How each tool has to be asked so that it means what we mean, and which of our rules must give way for it."""

from dataclasses import dataclass

from WORKFLOW.engines.reference import Switches


@dataclass(frozen=True)
class Recipe:
    """One way to ask one tool. `name` is the function that carries it out (`with_vectorbt`, `with_backtesting`).

    `switches`: the reference engine trades by them. None: the native engine under its own rules, with ticks, slippage,
    trailing stops and time exits; the others compare without these, as the tool's own users would type it.
    `must_agree`: False for the recipe that is popular and wrong, which is run to be counted.
    """

    name: str
    tool: str
    says: str
    switches: Switches | None
    must_agree: bool = True


_NEXT_OPEN = Switches(tp_gap="open")
AS_TRADED = Recipe("as_traded", "vectorbt", "five rows a bar, stops set by callbacks: our own rules, every one", None)
RECIPES = (
    Recipe(
        "next_open",
        "vectorbt",
        "three rows a bar (open, open, whole bar), signals on the second; ours with a gapped take-profit at the open",
        _NEXT_OPEN,
    ),
    # A bar that opens beyond the take-profit and falls through the stop is a stop there: no gap test at the open.
    Recipe(
        "same_close",
        "vectorbt",
        "fill at the signal's close; ours the same, an event on the bar of a stop dropped, "
        "gapped take-profit at the open",
        Switches(fill="close", tp_gap="open", drop_signal_on_stop_bar=True, open_first=False),
    ),
    AS_TRADED,
    Recipe(
        "backtesting_py",
        "backtesting",
        "close the position, then a new order, stops from the signal's close; ours anchored there, "
        "gapped take-profit at the open, stop before it",
        Switches(anchor="signal_close", tp_gap="open", open_first=False),
    ),
    Recipe(
        "shifted_signals",
        "vectorbt",
        "the popular one: signals shifted by a bar, price=open, stops left to vectorbt's default anchor, the close",
        _NEXT_OPEN,
        must_agree=False,
    ),
)
