"""Draw a tearsheet as a PNG with matplotlib, for places without a browser: a chat, a paper, an issue."""

import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from WORKFLOW.report.tearsheet.document import CANDIDATE, REJECTED, Document
from WORKFLOW.report.tearsheet.page import METRICS, SOURCES, STATES, WINDOWS, title, without_state

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _MUTED, _LINE = "#1a1f27", "#5d6675", "#e2e5ea"
_MAIN, _GAIN, _LOSS, _WARN, _SECOND = "#1f5fd0", "#14804a", "#c2362b", "#9a6700", "#8a94a6"
_STATE = {CANDIDATE: _GAIN, REJECTED: _LOSS}
_MONTHS = "JFMAMJJASOND"
_WIDE, _HIGH, _DPI = 12.8, 17.0, 100
_IN_TABLE = (
    *("total_return", "annualized_return", "sharpe_ratio", "sortino_ratio", "max_drawdown_pct"),
    *("win_rate", "profit_factor", "total_trades", "exposure", "days"),
)

STYLE: Any = {  # Any, because the exact type lists all of matplotlib's settings
    "font.size": 9,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "axes.grid": True,
    "grid.color": _LINE,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.framealpha": 0.8,  # lines may pass below the legend
    "legend.edgecolor": "none",
    "text.parse_math": False,  # keeps a $ in a name from starting a formula
}


def render(doc: Document) -> bytes:
    """Return a PNG of 1280 × 1700 pixels."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        return _png(figure(doc))


def comparison(doc: Document) -> bytes:
    """Return a PNG of 1280 × 900 pixels that compares several strategies."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        return _png(compared(doc))


def compared(doc: Document) -> "Figure":
    """Return the figure of a comparison, for callers that draw it in another form."""
    found = doc["strategies"]
    figure = _blank(_WIDE, 9.0)
    top, bottom = figure.subplots(2, 1, height_ratios=[2.2, 1])
    lines: list[Artist] = []
    for one in found:
        marks = np.concatenate([[one["capital"]], one["daily"]["equity"]])
        when = np.datetime64(one["daily"]["first_day"]) + np.arange(len(marks))
        lines += top.plot(when, marks / one["capital"], lw=1.2)
        peaks = np.maximum.accumulate(marks)
        bottom.plot(when, -100 * (peaks - marks) / peaks, lw=0.8)
    grown = [value / one["capital"] for one in found for value in one["daily"]["equity"]]
    _scaled(top, grown, lambda value: f"{100 * (value - 1):,.8g}")
    borders = {one["period"]["out_of_sample_from"] for one in found}
    for axes, height in ((top, 0.97), (bottom, 0.12)):
        axes.margins(x=0)
        _shaded(axes, next(iter(borders)) if len(borders) == 1 else None, height)
    figure.text(0.03, 0.97, doc["title"], fontsize=15, fontweight="bold", va="center")
    top.set_title("return, %" + (" · SYNTHETIC DATA" if any(one["synthetic"] for one in found) else ""))
    bottom.set_title("drawdown of daily marks, %")
    legend = top.legend(lines, ["" for _ in lines], loc="upper left")
    for text, one in zip(legend.get_texts(), found, strict=True):
        text.set_text(_label(one))  # set here, because matplotlib drops a label that begins with _
    figure.subplots_adjust(left=0.07, right=0.97, top=0.91, bottom=0.05, hspace=0.2)
    return figure


def _label(one: dict[str, Any]) -> str:
    found = one["metrics"]
    sharpes = [found[name]["sharpe_ratio"] for name in WINDOWS if found[name] is not None]
    shown = " → ".join("–" if value is None else f"{value:.2f}" for value in sharpes[:2])
    return f"{one['name']} · Sharpe {shown} · {STATES[one['verdict']['state']].lower()}"


def _blank(wide: float, high: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, high), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: "Figure") -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        # The font draws boxes for letters that it lacks. The page shows the name, and the user cannot change the font.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def figure(doc: Document) -> "Figure":
    """Return the figure of a tearsheet, for callers that draw it in another form."""
    made = _blank(_WIDE, _HIGH)
    grid = made.add_gridspec(
        6, 2, height_ratios=[3.2, 1.4, 1.5, 2.0, 2.4, 2.4], left=0.07, right=0.97, top=0.905, bottom=0.035, hspace=0.34
    )
    _head(made, doc)
    _equity(made.add_subplot(grid[0, :]), doc)
    _drawdown(made.add_subplot(grid[1, :]), doc)
    _rolling(made.add_subplot(grid[2, :]), doc)
    _months(made.add_subplot(grid[3, 0]), doc)
    _figures(made.add_subplot(grid[3, 1]), doc)
    for at, row in enumerate((_of_trades(doc), _of_windows(doc))):
        cells = grid[4 + at, :].subgridspec(1, max(len(row), 2))
        for column, draw in enumerate(row):
            draw(made.add_subplot(cells[0, column]))
    return made


def _of_trades(doc: Document) -> list[Callable[["Axes"], None]]:
    if doc["trades"] is None:
        return [partial(_empty, words="results of trades: a curve does not hold them")]
    went = doc["trades"]["excursions"] or {}
    known = [(key, name) for key, name in (("mae_pct", "against it, MAE"), ("mfe_pct", "for it, MFE")) if went.get(key)]
    return [partial(_histogram, doc=doc), *(partial(_scatter, doc=doc, key=key, name=name) for key, name in known)]


def _of_windows(doc: Document) -> list[Callable[["Axes"], None]]:
    """Return the functions that draw a Monte Carlo fan for each window."""
    known = [window for window, one in doc["monte_carlo"].items() if one["block_bootstrap"]]
    return [partial(_fan, doc=doc, window=window) for window in known]


def _head(figure: "Figure", doc: Document) -> None:
    import textwrap

    one, verdict = doc["strategy"], doc["verdict"]
    synthetic = " · SYNTHETIC DATA" if one["synthetic"] else ""
    where = f"{one['symbol']} · {one['mode']} · {one['family']}" if one["symbol"] else SOURCES[one["source"]]
    span = f"{doc['period']['from'][:10]} to {doc['period']['to'][:10]} · {doc['period']['days']:,} days"
    figure.text(0.03, 0.977, f"{title(one)}{synthetic}", fontsize=17, fontweight="bold", va="center")
    figure.text(0.03, 0.957, f"{where} · {span}", color=_MUTED, va="center")
    colour = _STATE.get(verdict["state"], _WARN)
    figure.text(0.03, 0.938, STATES[verdict["state"]], color=colour, fontweight="bold", fontsize=11, va="center")
    figure.text(0.15, 0.938, textwrap.fill(without_state(verdict["line"]), 150), va="center")


def _equity(axes: "Axes", doc: Document) -> None:
    when, equity = _moments(doc["equity"]["time"]), doc["equity"]["equity"]
    is_stepped = doc["strategy"]["source"] == "trades"
    axes.plot(when, equity, color=_MAIN, lw=1.2, label="equity", drawstyle="steps-post" if is_stepped else "default")
    if doc["held"]:
        days = np.datetime64(doc["daily"]["first_day"]) + np.arange(1, len(doc["held"]) + 1)
        axes.plot(days, doc["held"], color=_SECOND, lw=0.8, label="buy and hold")
    _scaled(axes, equity, lambda value: f"{value:,.10g}")
    axes.set_title("equity")
    axes.legend(loc="upper left")
    _unseen(axes, doc)


def _drawdown(axes: "Axes", doc: Document) -> None:
    when, below = _moments(doc["equity"]["time"]), -100 * np.array(doc["equity"]["drawdown"])
    is_stepped = doc["strategy"]["source"] == "trades"
    axes.fill_between(when, below, 0, color=_LOSS, alpha=0.25, lw=0, step="post" if is_stepped else None)
    axes.plot(when, below, color=_LOSS, lw=0.7, drawstyle="steps-post" if is_stepped else "default")
    axes.set_title("drawdown, %")
    _unseen(axes, doc, 0.12)


def _rolling(axes: "Axes", doc: Document) -> None:
    rolling = doc["rolling_sharpe"]
    if not rolling:
        _empty(axes, "rolling Sharpe ratio: too few days")
        return
    values = np.array([np.nan if v is None else v for v in rolling["sharpe_ratio"]])
    axes.plot(np.datetime64(rolling["from_day"]) + np.arange(1, len(values) + 1), values, color=_MAIN, lw=1)
    axes.axhline(0, color=_SECOND, lw=0.8)
    first, last = _moments(doc["equity"]["time"])[[0, -1]]
    axes.set_xlim(first, last)
    axes.set_title(f"rolling Sharpe ratio, {rolling['days']} days")
    _unseen(axes, doc)


def _unseen(axes: "Axes", doc: Document, height: float = 0.97) -> None:
    axes.margins(x=0)
    _shaded(axes, doc["period"]["out_of_sample_from"], height)


def _shaded(axes: "Axes", border: str | None, height: float) -> None:
    """Shade the days from `border` on; their label is at a `height` (0 bottom, 1 top) where no line is expected."""
    if border is None:
        return
    start: Any = np.datetime64(border[:10])
    axes.axvspan(start, axes.get_xlim()[1], color=_MAIN, alpha=0.06, lw=0)
    axes.text(start, height, " out-of-sample", transform=axes.get_xaxis_transform(), color=_MUTED, va="top")


def _scaled(axes: "Axes", amounts: list[float], words: Callable[[float], str]) -> None:
    """Use a logarithmic scale if `amounts` differ much, labelled by `words`."""
    if not max(amounts) > 5 * min(amounts) > 0:
        steps = axes.yaxis.get_major_locator()
    else:
        from matplotlib.ticker import LogLocator, NullLocator

        axes.set_yscale("log")
        steps = LogLocator(subs=(1, 2, 5) if max(amounts) < 300 * min(amounts) else (1,))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(steps)
    axes.yaxis.set_major_formatter(lambda value, _: words(value))


def _months(axes: "Axes", doc: Document) -> None:
    """Draw the months of the last eight years; more would be unreadable at this size."""
    rows = doc["months"][-8:]
    values = np.array([[np.nan if v is None else 100 * v for v in (*row["months"], None)] for row in rows])
    largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("months", [_LOSS, "#ffffff", _GAIN])
    axes.imshow(values, cmap=colours, vmin=-1.6 * largest, vmax=1.6 * largest, aspect="auto")
    for at, row in enumerate(values):
        for month, value in enumerate(row):
            if np.isfinite(value):
                axes.text(month, at, f"{value:.1f}", ha="center", va="center", fontsize=8)
        axes.text(12, at, f"{100 * rows[at]['total']:.1f}", ha="center", va="center", fontsize=8, fontweight="bold")
    axes.set_xticks(range(13), [*_MONTHS, "year"])
    axes.set_yticks(range(len(rows)), [str(row["year"]) for row in rows])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_title("return of each month, %")


def _figures(axes: "Axes", doc: Document) -> None:
    axes.axis("off")
    found = doc["metrics"]
    shown = [name for name in WINDOWS if found[name] is not None]
    chosen = [row for row in METRICS if row[0] in _IN_TABLE and _is_known(found, row[0])]
    heads = [WINDOWS[name] if len(shown) == 1 or name != "full" else "whole run" for name in shown]
    for column, head in enumerate(heads):
        axes.text(0.55 + 0.22 * column, 1.0, head, ha="right", color=_MUTED, transform=axes.transAxes)
    for at, (key, name, show) in enumerate(chosen, start=1):
        y = 1.0 - at / (len(chosen) + 0.5)
        axes.text(0.02, y, name, transform=axes.transAxes)
        for column, window in enumerate(shown):
            axes.text(0.55 + 0.22 * column, y, show(found[window].get(key)), ha="right", transform=axes.transAxes)


def _is_known(found: dict[str, Any], key: str) -> bool:
    """Return whether a metric is known: trades determine all metrics, defined or not, and curves none of the trades."""
    return found["full"]["total_trades"] is not None or found["full"].get(key) is not None


def _histogram(axes: "Axes", doc: Document) -> None:
    bins = doc["trades"]["histogram"]
    if not bins:
        _empty(axes, "results of trades: fewer than two")
        return
    edges = 100 * np.array(bins["edges"])
    middles = (edges[:-1] + edges[1:]) / 2
    axes.bar(middles, bins["trades"], width=0.88 * np.diff(edges), color=np.where(middles < 0, _LOSS, _GAIN))
    axes.set_title(f"net result of {doc['trades']['all']['trades']:,} trades, %")


def _scatter(axes: "Axes", doc: Document, key: str, name: str) -> None:
    went = doc["trades"]["excursions"]
    net = 100 * np.array(went["net_pct"])
    axes.scatter(100 * np.array(went[key]), net, s=5, color=np.where(net > 0, _GAIN, _LOSS), alpha=0.5, lw=0)
    axes.axhline(0, color=_SECOND, lw=0.8)
    axes.set_title(f"net result, %, by the furthest {name}, %")


def _fan(axes: "Axes", doc: Document, window: str) -> None:
    found = doc["monte_carlo"][window]
    fan = found["block_bootstrap"]["equity_fan"]
    days = np.array(fan["day"]) + 1
    band: dict[str, Any] = {name: 100 * (np.array(fan[name]) - 1) for name in ("p5", "p25", "p50", "p75", "p95")}
    axes.fill_between(days, band["p5"], band["p95"], color=_MAIN, alpha=0.12, lw=0)
    axes.fill_between(days, band["p25"], band["p75"], color=_MAIN, alpha=0.15, lw=0)
    axes.plot(days, band["p50"], color=_MAIN, lw=1, ls="--", label="median")
    axes.plot(days, 100 * (np.array(found["observed"]) - 1), color=_INK, lw=1.2, label="what happened")
    axes.legend(loc="upper left")
    loss = found["block_bootstrap"]["probability_of_loss"]
    axes.set_title(f"Monte Carlo, {WINDOWS[window]}: return after days, %; {loss:.0%} lose money")


def _empty(axes: "Axes", words: str) -> None:
    axes.axis("off")
    axes.text(0.5, 0.5, words, ha="center", color=_MUTED, transform=axes.transAxes)


def _moments(seconds: list[int]) -> Any:
    return np.array(seconds, dtype="datetime64[s]")
