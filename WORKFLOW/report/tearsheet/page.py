"""Write `tearsheet.html`: one strategy on one page that is readable without its charts and holds its document."""

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from WORKFLOW.report.tables import TITLES
from WORKFLOW.report.tearsheet import parts
from WORKFLOW.report.tearsheet.document import CANDIDATE, REJECTED, UNJUDGED, Document
from WORKFLOW.report.tearsheet.parts import Cell, card, chart, columns, count, number, percent, table, tone

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
STATES = {CANDIDATE: "Candidate", REJECTED: "Not tradeable", UNJUDGED: "Not judged"}
SOURCES = {"trades": "from a list of trades", "curve": "from a curve, without trades"}
WINDOWS = {"in_sample": "in-sample", "out_of_sample": "out-of-sample", "full": "all trades"}
# Each row: a metric, its name on the page, and the function that formats it.
METRICS: tuple[tuple[str, str, Any], ...] = (
    ("total_return", "total return", percent),
    ("annualized_return", "annualised return", percent),
    ("sharpe_ratio", "Sharpe ratio", number),
    ("sortino_ratio", "Sortino ratio", number),
    ("calmar_ratio", "Calmar ratio", number),
    ("max_drawdown_pct", "max. drawdown", percent),
    ("max_drawdown_daily_pct", "max. drawdown, daily marks", percent),
    ("cvar_95", "mean of the worst 5 % of days", lambda value: percent(None if value is None else -value, 2)),
    ("win_rate", "winning trades", percent),
    ("profit_factor", "profit factor", number),
    ("total_trades", "closed trades", count),
    ("exposure", "time in the market", percent),
    ("turnover", "turnover a year", lambda value: number(value, 0) + ("" if value is None else " ×")),
    ("days", "days", count),
)
_TILES = ("total_return", "annualized_return", "sharpe_ratio", "max_drawdown_pct", "win_rate", "total_trades")
NO_TRADES = (
    "A curve says what an account was worth, and nothing of the trades behind it: their results, sides, exits and"
    " excursions, winning trades, profit factor and time in the market are not known, and so not shown."
)
_FOOT = (
    "Percentages are of equity. Sharpe ratio: mean over standard deviation (n − 1) of daily returns at UTC midnight,"
    " times √365, risk-free rate 0; every calendar day counts. – is undefined."
)


def render(doc: Document) -> bytes:
    """Return the page of one strategy."""
    one = doc["strategy"]
    where = f"{one['symbol']} · {one['mode']} · {one['family']}" if one["symbol"] else SOURCES[one["source"]]
    span = f"{_day(doc['period']['from'])} to {_day(doc['period']['to'])} · {doc['period']['days']:,} days"
    badge = Markup('<span class="badge">SYNTHETIC DATA</span>') if one["synthetic"] else ""
    head = Markup(
        '<header><div><h1>{}{}</h1><p class="muted">{} · {}</p></div>'
        '<button id="theme" type="button">light / dark</button></header>'
    ).format(title(one), badge, where, span)
    body = Markup("{}<main>{}</main><footer>{}</footer>").format(head, parts.joined(_sections(doc)), _FOOT)
    return parts.page(f"{title(one)} · tearsheet", body, doc, "tearsheet.js")


def title(strategy: dict[str, Any]) -> str:
    """Return the strategy's name as a heading."""
    return f"{strategy['symbol']} {TITLES[strategy['name']]}" if strategy["symbol"] else strategy["name"]


def _sections(doc: Document) -> Iterator[Markup]:
    verdict = doc["verdict"]
    yield Markup('<section class="card verdict {}"><strong>{}</strong> · {}</section>').format(
        verdict["state"], STATES[verdict["state"]], without_state(verdict["line"])
    )
    yield _tiles(doc)
    yield Markup("<noscript><section class='card'>The charts need JavaScript; the tables do not.</section></noscript>")
    yield from _over_time(doc)
    yield _months(doc)
    yield columns(_metrics(doc), _checks(doc))
    yield from _of_trades(doc)
    yield from _again(doc)
    if doc["evidence"] is not None:
        yield from _evidence(doc)
    yield _about(doc)


def without_state(line: str) -> str:
    """Return a verdict without its state, for a place beside a heading that shows the state."""
    return line.split(": ", 1)[1] if line.split(": ", 1)[0] in ("not tradeable", "candidate", "not judged") else line


def _tiles(doc: Document) -> Markup:
    found = doc["metrics"]
    inside, outside, full = found["in_sample"], found["out_of_sample"], found["full"]
    rows = []
    for key, name, show in METRICS:
        if key not in _TILES or (
            all(one is None or one.get(key) is None for one in found.values()) and not doc["trades"]
        ):
            continue
        if inside is None or outside is None:
            rows.append((name, show(full[key]), ""))
        else:
            pair = Markup("{} <i>→</i> {}").format(_unbroken(show(inside[key])), _unbroken(show(outside[key])))
            rows.append((name, pair, f"whole run {show(full[key])}"))
    hint = "In-sample → out-of-sample: chosen by the first, without a look at the second."
    said = Markup('<p class="hint">{}</p>').format(hint) if inside else ""
    return said + parts.tiles(rows)


def _unbroken(text: str) -> str:
    return text.replace(" ", "\u00a0")


def _over_time(doc: Document) -> Iterator[Markup]:
    hint = "Point at a day, or slide a finger; with a mouse drag to zoom, double-click to see everything again."
    held = ", beside buying and holding" if doc["held"] else ""
    content = [
        chart("equity", f"equity over time{held}"),
        Markup('<p class="name">drawdown from the highest equity so far</p>'),
        chart("drawdown", f"drawdown over time; the deepest is {percent(doc['metrics']['full']['max_drawdown_pct'])}"),
    ]
    rolling = doc["rolling_sharpe"]
    if rolling:
        content += [
            Markup('<p class="name">rolling Sharpe ratio, {} days</p>').format(rolling["days"]),
            chart("rolling", f"Sharpe ratio of the last {rolling['days']} days, over time"),
        ]
    yield card("Equity", hint, *content, side=parts.log_button())


def _months(doc: Document) -> Markup:
    largest = max((abs(v) for row in doc["months"] for v in row["months"] if v is not None), default=0.0) or 1.0
    rows: list[list[Cell | str]] = [
        [
            str(row["year"]),
            *(_month(value, largest) for value in row["months"]),
            Cell(percent(row["total"]), tone(row["total"])),
        ]
        for row in doc["months"]
    ]
    hint = "Return of each calendar month (UTC) in percent; the first and the last may be partial."
    return card("Months", hint, table(["", *_MONTHS, "year"], rows, "heat"))


def _month(value: float | None, largest: float) -> Cell:
    if value is None:
        return Cell("")
    kind = "up" if value > 0 else "down" if value < 0 else ""
    return Cell(number(100 * value, 1), kind, round(10 + 60 * abs(value) / largest) if value else None)


def _metrics(doc: Document) -> Markup:
    found = doc["metrics"]
    shown = [(WINDOWS[name], found[name]) for name in ("in_sample", "out_of_sample") if found[name] is not None]
    shown.append(("whole run" if shown else WINDOWS["full"], found["full"]))
    rows: list[list[Cell | str]] = []
    for key, name, show in METRICS:
        if any(values.get(key) is not None for _, values in shown):
            rows.append([name, *(show(values.get(key)) for _, values in shown)])
    held = doc["buy_and_hold"]
    if held:
        for key, name, show in (METRICS[0], METRICS[2], METRICS[5]):
            rows.append([f"buy and hold: {name}", *(show(held[window][key]) for window in held), ""])
    chance = doc["chance"]
    if chance:
        best = number(chance["expected_max_sharpe"])
        rows.append([f"chance alone, best of {chance['tries']:,}: Sharpe", best, *([""] * (len(shown) - 1))])
    return card("Figures", "", table(["", *(name for name, _ in shown)], rows))


def _checks(doc: Document) -> Markup:
    verdict = doc["verdict"]
    rows: list[list[Cell | str]] = [
        [
            check["name"].replace("_", " "),
            Cell("passed" if check["passed"] else "unknown" if check["value"] is None else "failed", _passed(check)),
            parts.short(check["value"]),
            Cell(check["needed"], "words"),
        ]
        for check in verdict["checks"]
    ]
    passed = sum(check["passed"] for check in verdict["checks"])
    hint = f"{passed} of {len(rows)} passed; what is unknown is not passed."
    return card("Validity", hint, table(["check", "", "value", Cell("needed", "words")], rows))


def _passed(check: dict[str, Any]) -> str:
    return "gain" if check["passed"] else "loss" if check["value"] is not None else "muted"


def _of_trades(doc: Document) -> Iterator[Markup]:
    trades = doc["trades"]
    if trades is None:
        yield columns(card("Trades", "", Markup("<p>{}</p>").format(NO_TRADES)), _falls(doc))
        return
    bins = trades["histogram"]
    drawn = []
    if bins:
        beyond = f"; {bins['clipped']} beyond the ends stand in the outermost bars" if bins["clipped"] else ""
        hint = f"Net of costs, in bins of {percent(bins['bin_width'], 2)}{beyond}."
        drawn.append(card("Results of trades", hint, chart("histogram", "how the results of trades are distributed")))
    drawn.append(_groups(trades))
    yield columns(*drawn)
    went = trades["excursions"]
    if went:
        of = (
            f"{went['shown']:,} of {trades['all']['trades']:,} trades. "
            if went["shown"] < trades["all"]["trades"]
            else ""
        )
        titles = {
            "mae": ("Against the entry (MAE)", "winners far to the left were nearly lost: stops that are too wide"),
            "mfe": ("In favour (MFE)", "losers far to the right gave a profit back: targets that are too far"),
        }
        yield columns(
            *(
                card(heading, f"{of}Each point is a trade; {hint}.", chart(key, heading))
                for key, (heading, hint) in titles.items()
                if went[f"{key}_pct"]
            )
        )
    yield columns(_extremes(trades), _falls(doc))


def _groups(trades: dict[str, Any]) -> Markup:
    named = {"all": trades["all"], **(trades["by_side"] or {}), **(trades["by_exit"] or {})}
    rows: list[list[Cell | str]] = [
        [
            name.replace("_", " "),
            count(one["trades"]),
            percent(one["win_rate"], 0),
            number(one["profit_factor"]),
            Cell(percent(one["mean_pct"], 2), tone(one["mean_pct"])),
            Cell(number(one["pnl"], 0), tone(one["pnl"])),
            number(one["hours_held"], 1),
        ]
        for name, one in named.items()
        if one["trades"]
    ]
    hint = f"Longest row of losses: {trades['all']['losses_in_a_row']}."
    return card("By side and exit", hint, table(["", "trades", "wins", "factor", "mean", "pnl", "hours"], rows))


def _extremes(trades: dict[str, Any]) -> Markup:
    rows: list[list[Cell | str]] = [
        [
            _minute(one["exit_time"]),
            one["side"] or "–",
            Cell(percent(one["net_pct"], 2), tone(one["net_pct"])),
            number(one["pnl"], 0),
            (one["exit"] or "–").replace("_", " "),
        ]
        for one in (*trades["best"], *reversed(trades["worst"]))
    ]
    heading = "Best and worst trades"
    return card(heading, "", table(["closed (UTC)", "side", "net", "pnl", "exit"], rows[: 2 * len(trades["best"])]))


def _falls(doc: Document) -> Markup:
    rows: list[list[Cell | str]] = [
        [
            fall["peak"],
            Cell(percent(-fall["depth"]), "loss"),
            fall["trough"],
            fall["recovered"] or "not yet",
            count(fall["days"]),
        ]
        for fall in doc["drawdowns"]
    ]
    heads = ["from", "depth", "lowest", "recovered", "days"]
    return card("Deepest drawdowns", "Of daily marks.", table(heads, rows))


def _again(doc: Document) -> Iterator[Markup]:
    """Yield the Monte Carlo cards: a fan and its figures for each window."""
    cards = []
    for window, found in doc["monte_carlo"].items():
        fan = found["block_bootstrap"]
        if fan is None:
            continue
        hint = (
            f"{fan['paths']:,} histories from the same {fan['days']:,} days, drawn in blocks of {fan['block_days']:g}."
            f" Half of them stay in the inner band, nine of ten in the outer; {percent(fan['probability_of_loss'], 0)}"
            " lose money."
        )
        rows = _bands(found)
        heads = ["", "5 %", "median", "95 %", "happened"]
        label = f"what else the same days could have given, {WINDOWS[window]}"
        heading = f"Monte Carlo, {WINDOWS[window]}"
        cards.append(card(heading, hint, chart(f"fan-{window}", label), table(heads, rows)))
    if cards:
        yield columns(*cards) if len(cards) > 1 else cards[0]


def _bands(found: dict[str, Any]) -> list[list[Cell | str]]:
    fan, shuffled = found["block_bootstrap"], found["trade_shuffle"]
    last = found["observed"][-1]
    rows = [_band("return", fan["total_return"], percent, None if last is None else last - 1)]
    rows.append(_band("Sharpe ratio", fan["sharpe_ratio"], number, None))
    rows.append(_band("drawdown, days drawn again", fan["max_drawdown_daily_pct"], percent, None))
    if shuffled:
        happened = shuffled["observed_max_drawdown_pct"]
        rows.append(_band("drawdown, trades shuffled", shuffled["max_drawdown_pct"], percent, happened))
    missed, noisy = ((found[key] or {"levels": []})["levels"][-1:] for key in ("skipped_trades", "noisy_fills"))
    harder = [(f"return, {percent(one['probability'], 0)} of trades missed", one) for one in missed]
    harder += [(f"return, fills {one['noise_bps']:g} bps worse", one) for one in noisy]
    return [*rows, *(_band(name, one["total_return"], percent, None) for name, one in harder)]


def _band(name: str, bands: dict[str, Any], show: Any, happened: float | None) -> list[Cell | str]:
    return [name, *(show(bands[key]) for key in ("p5", "p50", "p95")), "" if happened is None else show(happened)]


def _evidence(doc: Document) -> Iterator[Markup]:
    found = doc["evidence"]
    walks = [
        [
            f"walk-forward, {name}",
            number(one["sharpe_ratio"]),
            percent(one["total_return"]),
            percent(one["efficiency"]["sharpe_ratio"], 0),
        ]
        for name, one in found["walk_forward"].items()
    ]
    crossed = found["cross_validation"]
    if crossed["sharpe_ratio"]:
        sharpes = crossed["sharpe_ratio"]
        spread = f"{number(sharpes['p5'])} to {number(sharpes['p95'])}"
        walks.append(["cross-validation, paths", f"{number(sharpes['p50'])} ({spread})", "", ""])
    around = found["plateau"]
    if around["score"] is not None:
        walks.append(["neighbours, three quarters reach", number(around["score"]), "", ""])
    process = card(
        "Unseen bars inside the sample",
        "The choice made anew on bars it had not seen; kept is the share of the in-sample Sharpe ratio.",
        table(["", "Sharpe", "return", "kept"], walks),
    )
    rows: list[list[Cell | str]] = []
    for name, inside in found["by_regime"]["in_sample"].items():
        outside = found["by_regime"]["out_of_sample"][name]
        if inside["days"] or outside["days"]:
            row: list[Cell | str] = [name.replace("_", ", ")]
            for key, show in (("days", count), ("sharpe_ratio", number), ("total_return", percent)):
                row.append(f"{show(inside[key])} → {show(outside[key])}")
            rows.append(row)
    hint = "Trend of the 30 days before, volatility of the 10 days before; in-sample → out-of-sample."
    yield columns(process, card("By market regime", hint, table(["", "days", "Sharpe", "return"], rows)))


def _about(doc: Document) -> Markup:
    one = doc["strategy"]
    values = dict(one["parameters"]) | (one["costs"] or {}) | {"capital": doc["capital"]}
    rows: list[list[Cell | str]] = [[name.replace("_", " "), _value(value)] for name, value in values.items()]
    notes = parts.joined(Markup("<li>{}</li>").format(note) for note in doc["notes"])
    heading = "Parameters and costs" if one["parameters"] else "Capital"
    return columns(card(heading, "", table(["", ""], rows)), card("Notes", "", Markup("<ul>{}</ul>").format(notes)))


def _value(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _day(moment: str) -> str:
    return moment[:10]


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
