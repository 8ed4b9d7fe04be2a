"""Parts of pages: numbers as people read them, tables, cards, and the single file that holds all of it."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from state.files import codec

_ASSETS = Path(__file__).with_name("assets")
# The page may load, send and frame nothing; it has all that it needs, wherever it is opened.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_LICENCE = "/* uPlot 1.6.32, copyright (c) 2022 Leon Sorokin, MIT licence */"
_RECORD = re.compile(rb'<script type="application/json" id="document">(.*?)</script>', re.S)
_NOTHING = "–"


class Cell(NamedTuple):
    """A cell of a table: its text, its class, and how strong its colour is (0 to 100)."""

    text: Any
    kind: str = ""
    strength: int | None = None


def page(title: str, body: Markup, record: dict[str, Any], script: str) -> bytes:
    """Return one self-contained HTML file; `record` is drawn by its `script`, and programs can read it out again."""
    scripts = Markup("\n").join(
        Markup("<script>\n{}\n</script>").format(Markup(text))  # safe unescaped, because these files hold no user data
        for text in (_uplot(), _asset("charts.js"), _asset(script))
    )
    style = Markup(_asset("uPlot.min.css") + "\n" + _asset("page.css"))
    return (
        Markup(
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta http-equiv="Content-Security-Policy" content="{}">\n'
            "<title>{}</title>\n<style>\n{}\n</style>\n</head>\n<body>\n{}\n"
            '<script type="application/json" id="document">{}</script>\n{}\n</body>\n</html>\n'
        )
        .format(_POLICY, title, style, body, _data(record), scripts)
        .encode()
    )


def _uplot() -> str:
    """Return the library without its first line, which names an address."""
    return _LICENCE + "\n" + _asset("uPlot.iife.min.js").partition("\n")[2]


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8").strip()


def _data(record: dict[str, Any]) -> Markup:
    """Return the record as JSON in which no text can end the script element."""
    return Markup(codec.encode_line(record).decode().strip().replace("<", "\\u003c"))


def record_of(data: bytes) -> dict[str, Any] | None:
    """Return the record inside a page, or None if there is none."""
    found = _RECORD.search(data)
    try:
        record = None if found is None else codec.decode(found[1])
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


# numbers --------------------------------------------------------------------------------------------------------------


def percent(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """Format a fraction as percent."""
    return _NOTHING if value is None else _minus(f"{100 * value:{'+' if sign else ''},.{digits}f} %")


def number(value: float | None, digits: int = 2) -> str:
    """Format a number with thousands separated."""
    return _NOTHING if value is None else _minus(f"{value:,.{digits}f}")


def count(value: float | None) -> str:
    """Format a whole number."""
    return number(value, 0)


def short(value: float | bool | None) -> str:
    """Format the value of a check, whatever its type."""
    if value is None:
        return "unknown"
    return ("yes" if value else "no") if isinstance(value, bool) else _minus(f"{value:,.4g}")


def _minus(text: str) -> str:
    return text.replace("-", "−")


def tone(value: float | None) -> str:
    """Return the class of a gain or a loss."""
    return "" if value is None or value == 0 else "gain" if value > 0 else "loss"


# blocks ---------------------------------------------------------------------------------------------------------------


def card(title: str, hint: str, *content: Markup, side: Markup | None = None) -> Markup:
    """Return a titled block; `hint` says how to read it."""
    head = Markup("<div><h2>{}</h2>{}</div>{}").format(
        title, Markup('<p class="hint">{}</p>').format(hint) if hint else "", side or ""
    )
    return Markup('<section class="card"><div class="title">{}</div>{}</section>').format(head, joined(content))


def columns(*cards: Markup) -> Markup:
    """Return cards that stand side by side if there is room."""
    return Markup('<div class="columns">{}</div>').format(joined(cards))


def chart(name: str, words: str) -> Markup:
    """Return the place of a chart; `words` describe it for users of screen readers."""
    return Markup('<div class="chart" id="{}" role="img" aria-label="{}"></div>').format(name, words)


def log_button() -> Markup:
    """Return the button that switches the scale of the equity chart; its script finds it by its id."""
    return Markup('<button id="log" type="button">log scale</button>')


def table(head: Sequence[Cell | str], rows: Iterable[Sequence[Cell | str]], kind: str = "") -> Markup:
    """Return a table in a frame of its own, so that a narrow screen scrolls the table and not the page."""
    cells = joined(_cell(Cell(one) if isinstance(one, str) else one, "th") for one in head)
    body = joined(Markup("<tr>{}</tr>").format(_row(row)) for row in rows)
    return Markup(
        '<div class="scroll"><table class="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(kind, cells, body)


def _row(row: Sequence[Cell | str]) -> Markup:
    first, *rest = (Cell(one) if isinstance(one, str) else one for one in row)
    return Markup("<th>{}</th>").format(first.text) + joined(_cell(one) for one in rest)


def _cell(one: Cell, tag: str = "td") -> Markup:
    style = "" if one.strength is None else Markup(' style="--v:{}"').format(one.strength)
    kind = Markup(' class="{}"').format(one.kind) if one.kind else ""
    return Markup("<{}{}{}>{}</{}>").format(tag, kind, style, one.text, tag)


def tiles(rows: Iterable[tuple[str, Markup | str, str]]) -> Markup:
    """Return tiles, each with a label, a value and a line below."""
    return Markup('<div class="tiles">{}</div>').format(
        joined(Markup('<div class="tile"><span>{}</span><b>{}</b><span>{}</span></div>').format(*row) for row in rows)
    )


def joined(parts: Iterable[Markup | str]) -> Markup:
    """Join parts; a part that is not markup is escaped."""
    return Markup("").join(escape(part) for part in parts)
