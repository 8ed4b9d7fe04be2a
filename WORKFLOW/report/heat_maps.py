"""`plateau.svg`: what surrounds a finalist as heat maps, one for each two ranges; a picture without any library."""

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from WORKFLOW.validity.plateau import Grid, Plateau, Value

_CELL_W, _CELL_H = 46, 26
_LEFT, _TOP, _RIGHT, _BOTTOM = 84, 34, 18, 52  # around the cells of one map: its labels
_COLUMNS = 3
_HEADER, _MARGIN, _LEGEND = 108, 24, 260
_MOST_MAPS = 15  # of six ranges; a picture of more is read by nobody, plateau.json holds them all
_GAIN, _LOSS, _PAPER, _INK, _NOTHING = (33, 102, 172), (178, 24, 43), (247, 247, 247), "#1a1a1a", "#d9d9d9"
_FRACTIONS = ("stop_loss", "take_profit", "trailing_stop")


def svg(plateau: Plateau, title: str) -> bytes:
    """The maps of pairs of ranges (of all pairs where a space has fewer than two), three in a row.

    Blue is a gain and red a loss, both against the largest of all maps; grey is undefined; the frame is the finalist.
    """
    of_ranges = [grid for grid in plateau.grids if {grid.x, grid.y} <= set(plateau.ranges)]
    maps = (of_ranges or list(plateau.grids))[:_MOST_MAPS]
    largest = max((abs(v) for grid in maps for row in grid.sharpe for v in row if v is not None), default=1.0) or 1.0
    rows = [maps[first : first + _COLUMNS] for first in range(0, len(maps), _COLUMNS)]
    sizes = [[_size(grid) for grid in row] for row in rows]
    width = max([_MARGIN * 2 + sum(w for w, _ in row) for row in sizes] + [_MARGIN * 2 + 880])
    height = _HEADER + sum(max(h for _, h in row) for row in sizes) + _MARGIN
    body = [*_header(plateau, title, largest if maps else None)]
    y = _HEADER
    for row, of_row in zip(rows, sizes, strict=True):
        x = _MARGIN
        for grid, (w, _) in zip(row, of_row, strict=True):
            body += [f'<g transform="translate({x},{y})">', *_map(plateau, grid, largest), "</g>"]
            x += w
        y += max(h for _, h in of_row)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{_INK}" role="img">'
        f'<title>{escape(title)}</title><rect width="{width}" height="{height}" fill="#ffffff"/>'
    )
    return "\n".join([head, *body, "</svg>", ""]).encode()


def _size(grid: Grid) -> tuple[int, int]:
    return _LEFT + _CELL_W * len(grid.sharpe[0]) + _RIGHT, _TOP + _CELL_H * len(grid.sharpe) + _BOTTOM


def _header(plateau: Plateau, title: str, largest: float | None) -> Iterator[str]:
    summary = plateau.summary
    yield _text(_MARGIN, 34, title, size=18, weight="bold")
    said = [f"in-sample Sharpe ratio {_number(plateau.sharpe)}", f"{summary.neighbours} nearest neighbours"]
    if summary.score is not None:
        said.append(f"three quarters of them reach {_number(summary.score)}")
    if summary.share_of_half is not None:
        said.append(f"{summary.share_of_half:.0%} at least half of it")
    yield _text(_MARGIN, 56, " · ".join(said), size=13)
    if largest is None:
        yield _text(_MARGIN, 86, "no dimension of this space has a second value: there is nothing around it", size=13)
        return
    yield from _legend(largest)


def _legend(largest: float) -> Iterator[str]:
    """The scale, what grey is, what the frame is."""
    steps, y = 40, 72
    wide = _LEGEND / steps
    for step in range(steps):
        value = largest * (2 * (step + 0.5) / steps - 1)
        yield _box(_MARGIN + step * wide, y, wide + 0.5, 12, _fill(value, largest))
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        value = largest * (2 * share - 1)
        yield _text(_MARGIN + share * _LEGEND, y + 26, _number(value), anchor=anchor, size=11)
    x = _MARGIN + _LEGEND + 28
    yield _box(x, y - 1, 22, 14, _NOTHING)
    yield _text(x + 30, y + 10, "undefined: invalid, or no trade", size=11)
    yield _box(x + 220, y - 1, 22, 14, "#ffffff", f'stroke="{_INK}" stroke-width="2.5"')
    yield _text(x + 250, y + 10, "the finalist", size=11)


def _map(plateau: Plateau, grid: Grid, largest: float) -> Iterator[str]:
    """One map; the first axis to the right, the second upwards."""
    x_values, y_values = plateau.axes[grid.x], plateau.axes[grid.y]
    wide, high = _CELL_W * len(x_values), _CELL_H * len(y_values)
    own = (plateau.centre[grid.x], plateau.centre[grid.y])
    frame = ""
    for i, of_y in enumerate(y_values):
        y = _TOP + high - (i + 1) * _CELL_H
        yield _text(_LEFT - 6, y + 17, _value(grid.y, of_y), anchor="end", size=11)
        for j, of_x in enumerate(x_values):
            x, found = _LEFT + j * _CELL_W, grid.sharpe[i][j]
            yield _box(x, y, _CELL_W, _CELL_H, _fill(found, largest), 'stroke="#ffffff" stroke-width="1"')
            ink = "#ffffff" if found is not None and abs(found) > 0.6 * largest else _INK
            yield _text(x + _CELL_W / 2, y + 17, _number(found), anchor="middle", size=11, fill=ink)
            if (of_x, of_y) == own:
                frame = _box(x, y, _CELL_W, _CELL_H, "none", f'stroke="{_INK}" stroke-width="2.5"')
    yield frame
    for j, of_x in enumerate(x_values):
        at = _LEFT + (j + 0.5) * _CELL_W
        yield _text(at, _TOP + high + 16, _value(grid.x, of_x), anchor="middle", size=11)
    yield _text(_LEFT + wide / 2, _TOP + high + 34, _words(grid.x), anchor="middle", weight="bold")
    middle = _TOP + high / 2
    turned = f'transform="rotate(-90 {18} {middle:g})"'
    yield _text(18, middle, _words(grid.y), anchor="middle", weight="bold", more=turned)


def _fill(value: float | None, largest: float) -> str:
    if value is None:
        return _NOTHING
    end, share = _GAIN if value >= 0 else _LOSS, min(abs(value) / largest, 1.0)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(_PAPER, end, strict=True))


def _box(x: float, y: float, wide: float, high: float, fill: str, more: str = "") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" fill="{fill}" {more}/>'


def _text(x: float, y: float, words: str, anchor: str = "start", more: str = "", **style: Any) -> str:
    attributes = {"font-size": style.get("size"), "font-weight": style.get("weight"), "fill": style.get("fill")}
    said = " ".join(f'{name}="{value}"' for name, value in attributes.items() if value is not None)
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {said} {more}>{escape(words)}</text>'


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(name: str, value: Value) -> str:
    if name in _FRACTIONS and not isinstance(value, str):
        return f"{value:.2%}" if value else "off"
    return "off" if (name, value) == ("max_bars", 0) else str(value)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
