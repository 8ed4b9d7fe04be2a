"""Compare several strategies: their own figures, and their figures over the days that all of them have."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from WORKFLOW.engines import metrics
from WORKFLOW.report.tables import TITLES
from WORKFLOW.report.tearsheet import parts
from WORKFLOW.report.tearsheet.curves import drawdown
from WORKFLOW.report.tearsheet.document import Document
from WORKFLOW.report.tearsheet.page import METRICS, STATES, WINDOWS, without_state
from WORKFLOW.report.tearsheet.parts import Cell, card, chart, number, percent, table

KIND = "backtest-optimize comparison 1"
MOST = 8  # lines in one chart that can be told apart

_SHOWN = ("total_return", "sharpe_ratio", "max_drawdown_pct", "win_rate", "profit_factor", "total_trades")


def label(strategy: dict[str, Any]) -> str:
    """Return a strategy's name among others."""
    if not strategy["symbol"]:
        return str(strategy["name"])
    return f"{strategy['symbol']} {strategy['mode']} {TITLES[strategy['name']]}"


def of(docs: Sequence[Document]) -> Document:
    """Return the comparison of 2 to `MOST` documents; finalists that are the same strategy share one line."""
    grouped: dict[str, list[Document]] = {}
    for doc in docs:
        one = doc["strategy"]
        same = str((one["symbol"], one["mode"], one["parameters"])) if one["parameters"] else f"{len(grouped)}"
        grouped.setdefault(same, []).append(doc)
    distinct = [group[0] for group in grouped.values()]
    homes = {(doc["strategy"]["symbol"], doc["strategy"]["mode"]) for doc in distinct}
    home = " ".join(homes.pop()) if len(homes) == 1 and distinct[0]["strategy"]["symbol"] else ""
    names = [_names(group).removeprefix(f"{home} ") for group in grouped.values()]
    common = _common(distinct)
    return {
        "kind": KIND,
        "title": f"{home}: {len(distinct)} strategies".removeprefix(": "),
        "strategies": [
            {
                "name": name,
                "verdict": {key: doc["verdict"][key] for key in ("state", "line")},
                "synthetic": doc["strategy"]["synthetic"],
                "capital": doc["capital"],
                "period": doc["period"],
                "metrics": doc["metrics"],
                "daily": doc["daily"],
            }
            for name, doc in zip(names, distinct, strict=True)
        ],
        "common": common,
    }


def _names(group: list[Document]) -> str:
    """Return the names of a group, such as `SOL aggressive best Sharpe, lowest drawdown`."""
    first, *others = (doc["strategy"] for doc in group)
    return ", ".join([label(first), *(TITLES[one["name"]] for one in others)])


def _common(docs: list[Document]) -> dict[str, Any] | None:
    """Return figures and the correlation of daily returns over the days that all strategies have; None below 2 days."""
    starts = [np.datetime64(doc["daily"]["first_day"]) for doc in docs]
    ends = [start + len(doc["daily"]["equity"]) for start, doc in zip(starts, docs, strict=True)]
    first, end = max(starts), min(ends)
    days = int((end - first) / np.timedelta64(1, "D"))
    if days < 2:
        return None
    rows, figures = [], []
    for start, doc in zip(starts, docs, strict=True):
        at = int((first - start) / np.timedelta64(1, "D"))
        marks = np.concatenate([[doc["capital"]], doc["daily"]["equity"]])[at : at + days + 1]
        returns = metrics.daily_returns(np.ascontiguousarray(marks[1:]), float(marks[0]))
        rows.append(returns)
        figures.append(
            {
                "sharpe_ratio": metrics.or_none(float(metrics.sharpe(returns))),
                "total_return": float(marks[-1] / marks[0] - 1),
                "max_drawdown_daily_pct": float(drawdown(marks, float(marks[0])).max()),
            }
        )
    with np.errstate(divide="ignore", invalid="ignore"):  # a strategy without a trade has no correlation
        together = np.corrcoef(np.array(rows))
    return {
        "from": str(first),
        "to": str(end - 1),
        "days": days,
        "metrics": figures,
        "correlation": [[metrics.or_none(float(value)) for value in row] for row in np.atleast_2d(together)],
    }


def render(doc: Document) -> bytes:
    """Return the page of a comparison."""
    found = doc["strategies"]
    names = [one["name"] for one in found]
    badge = Markup('<span class="badge">SYNTHETIC DATA</span>') if any(one["synthetic"] for one in found) else ""
    head = Markup(
        '<header><div><h1>{}{}</h1><p class="muted">{}</p></div>'
        '<button id="theme" type="button">light / dark</button></header>'
    ).format(doc["title"], badge, " · ".join(names))
    hint = "Return on each one's capital. Drag to zoom, double-click to see everything again."
    sections = [
        _verdicts(found),
        card(
            "Equity",
            hint,
            chart("equity", f"equity over time of {', '.join(names)}"),
            Markup('<p class="name">drawdown of daily marks</p>'),
            chart("drawdown", "drawdown over time"),
            side=parts.log_button(),
        ),
        _figures(found),
    ]
    if doc["common"]:
        sections.append(_together(doc["common"], names))
    body = Markup("{}<main>{}</main><footer>Metrics as on each one's own tearsheet; 365 days a year.</footer>").format(
        head, parts.joined(sections)
    )
    return parts.page(f"{doc['title']} · comparison", body, doc, "comparison.js")


def _verdicts(found: list[dict[str, Any]]) -> Markup:
    rows = [
        [one["name"], Cell(STATES[one["verdict"]["state"]]), Cell(without_state(one["verdict"]["line"]), "words")]
        for one in found
    ]
    return card("Verdicts", "", table(["", "", Cell("because", "words")], rows))


def _figures(found: list[dict[str, Any]]) -> Markup:
    """Make a row for each strategy, with the figures of both windows if data was held back."""
    chosen = [row for row in METRICS if row[0] in _SHOWN]
    rows: list[list[Cell | str]] = []
    for one in found:
        windows = [values for name in WINDOWS if name != "full" and (values := one["metrics"][name])]
        shown = windows or [one["metrics"]["full"]]
        rows.append([one["name"], *(" → ".join(show(values.get(key)) for values in shown) for key, _, show in chosen)])
    hint = "In-sample → out-of-sample; one number where nothing was held back."
    return card("Figures", hint, table(["", *(name for _, name, _ in chosen)], rows))


def _correlation(value: float | None) -> Cell:
    if value is None:
        return Cell(number(value))
    return Cell(number(value), "up" if value >= 0 else "down", round(50 * min(abs(value), 1.0)))


def _together(common: dict[str, Any], names: list[str]) -> Markup:
    rows: list[list[Cell | str]] = []
    for name, figures, row in zip(names, common["metrics"], common["correlation"], strict=True):
        shown = [number(figures["sharpe_ratio"]), percent(figures["total_return"])]
        shown.append(percent(figures["max_drawdown_daily_pct"]))
        rows.append([name, *shown, *(_correlation(value) for value in row)])
    heads = ["", "Sharpe", "return", "drawdown", *(f"with {at}" for at in range(1, len(names) + 1))]
    numbered = [[Cell(f"{at} {row[0]}"), *row[1:]] for at, row in enumerate(rows, start=1)]
    hint = f"{common['from']} to {common['to']}, {common['days']:,} days; correlation of daily returns."
    return card("The days that all of them have", hint, table(heads, numbered, "heat"))
