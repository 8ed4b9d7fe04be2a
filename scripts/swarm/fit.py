"""Make a page fit a terminal: the least important blocks of lines are cut first, and the cut lines are counted."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from config.errors import visible

if TYPE_CHECKING:  # `stop` uses `count` also when the virtual environment is missing
    from rich.console import Group
    from rich.text import Text

_BAR = "━"


@dataclass(frozen=True)
class Block:
    """Lines that belong together. Rank 0 is cut last. Of a block that is cut, `least` lines and a count stay."""

    lines: "tuple[Text, ...]"
    rank: int = 0
    least: int = 0
    what: str = ""


def fitted(blocks: Sequence[Block], width: int | None, height: int | None) -> "Group":
    """Return the blocks as one page; without a width and a height nothing is cut."""
    from rich.console import Group

    kept = [block for block in blocks if block.lines]
    if height is not None:
        for rank in sorted({block.rank for block in kept}, reverse=True):
            kept = _shortened(kept, rank, height)
    lines = [line.copy() for block in kept for line in block.lines][:height]
    for line in lines:  # names of files and words of logs may come from anywhere
        if not line.plain.isprintable():
            line.plain = visible(line.plain)
    if width is not None:
        for line in lines:
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def wrapped(text: str, style: str, indent: str, width: int | None, most: int = 2) -> "tuple[Text, ...]":
    """Wrap a sentence into at most `most` lines; an ellipsis marks what does not fit."""
    from rich.text import Text

    if width is None:
        return (Text(indent + text, style=style),)
    rows = textwrap.wrap(text, max(10, width - len(indent)), max_lines=most, placeholder=" …", break_on_hyphens=False)
    return tuple(Text(indent + row, style=style) for row in rows)


def bar(percent: float, width: int, style: str = "cyan") -> "Text":
    """Return a progress bar of that many columns, readable without colours."""
    from rich.text import Text

    full = max(0, min(width, round(width * percent / 100)))
    return Text.assemble((_BAR * full, style), ("·" * (width - full), "dim"))


def middle(text: str, width: int) -> str:
    """Cut a name in its middle, because its beginning and its end tell it from others."""
    if len(text) <= width:
        return text
    tail = max(1, (width - 1) * 2 // 3)
    return f"{text[: max(0, width - 1 - tail)]}…{text[-tail:]}"


def count(number: int, thing: str) -> str:
    """Return `1 worker`, `2 workers` and so on."""
    plural = "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{'' if number == 1 else plural}"


def speed(rate_per_s: float | None) -> str:
    """Return `3,634/s`, `4.2/s`, `12/min` or `1.5/h`: slow rates with two digits; "" when the rate is unknown."""
    for times, unit in ((1, "s"), (60, "min"), (3_600, "h")):
        rate = (rate_per_s or 0.0) * times
        if rate >= 0.5:
            return f"{rate:,.0f}/{unit}" if rate >= 10 else f"{rate:.1f}/{unit}"
    return ""


def _shortened(blocks: list[Block], rank: int, height: int) -> list[Block]:
    """Cut the blocks of this rank, the last block first, until the page fits or nothing more can be cut."""
    kept = list(blocks)
    for number in reversed(range(len(kept))):
        over = sum(len(block.lines) for block in kept) - height
        if over <= 0 or kept[number].rank != rank:
            continue
        kept[number] = _cut(kept[number], over)
    return [block for block in kept if block.lines]


def _cut(block: Block, over: int) -> Block:
    has = len(block.lines)
    if not block.what:
        return replace(block, lines=block.lines[: max(block.least, has - over)])
    stay = max(block.least, has - over - 1)  # one line for the count
    if stay >= has - 1:
        return block
    from rich.text import Text

    more = Text(f"    … and {count(has - stay, f'more {block.what}')}", style="dim")
    return replace(block, lines=(*block.lines[:stay], more))
