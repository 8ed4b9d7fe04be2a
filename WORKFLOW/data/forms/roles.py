"""Find what each column holds by its name: the names that programs and exchanges use, in several languages."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from config.errors import Refused
from WORKFLOW.data.forms.shown import listing, shown

# The names are in order of preference, because a file may hold both `timestamp` and `date`. pandas calls an unnamed
# index `__index_level_0__` in Parquet, and gives it no name in CSV. A plain row number there is refused as a moment.
ALIASES: dict[str, tuple[str, ...]] = {
    "time": (
        *(
            "timestamp",
            "open_time",
            "opentime",
            "datetime",
            "date",
            "time",
            "time_ms",
            "timestamp_ms",
            "ts",
            "unix",
            "t",
        ),
        *("__index_level_0__", ""),
    ),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price"),
    "volume": ("volume", "vol", "v", "base_volume"),
}
PRICES = ("open", "high", "low", "close")

# These names are used only for a field that none of the names above gives. Signs, blanks and brackets are ignored.
MORE: dict[str, tuple[str, ...]] = {
    "time": (
        *("starttime", "start", "startat", "begin", "begins", "begintime", "candlebegintime", "candletime", "bartime"),
        *("timeperiodstart", "periodstart", "windowstart", "klineopentime", "opentimestamp", "opendate", "opentimems"),
        *("epoch", "unixtime", "unixtimestamp", "timestampunix", "timeunix", "mts", "dt", "utc", "gmttime", "utctime"),
        *(
            "localtime",
            "datetimeutc",
            "timestamputc",
            "timeutc",
            "dateutc",
            "opentimeutc",
            "dateandtime",
            "timestampms",
        ),
        *("dategmt", "timegmt", "datum", "zeit", "fecha", "data", "czas", "dtyyyymmdd", "dates"),
        *("timestamps", "barstart", "barstarttime", "timems", "times", "datetimegmt", "timestampgmt"),
    ),
    "open": (
        *("opening", "first", "openprice", "priceopen", "midopen", "bidopen", "openbid", "eröffnung", "eröffn", "ouv"),
        *("ouverture", "apertura", "otwarcie", "abertura"),
    ),
    "high": (
        *("max", "maximum", "highest", "highprice", "pricehigh", "midhigh", "bidhigh", "highbid", "hoch", "haut"),
        *("plushaut", "massimo", "máximo", "maximo", "najwyższy", "najwyzszy", "máxima"),
    ),
    "low": (
        *("min", "minimum", "lowest", "lowprice", "pricelow", "midlow", "bidlow", "lowbid", "tief", "bas", "plusbas"),
        *("minimo", "mínimo", "najniższy", "najnizszy", "mínima"),
    ),
    "close": (
        *("last", "closing", "closeprice", "priceclose", "midclose", "bidclose", "closebid", "closelast", "lastprice"),
        *("price", "schluss", "schlusskurs", "zuletzt", "letzter", "dernier", "clôture", "fermeture", "cierre"),
        *("último", "ultimo", "chiusura", "zamknięcie", "zamkniecie"),
    ),
    "volume": (
        *("basevol", "volumebase", "basevolume", "volumefrom", "volumetraded", "quantity", "qty", "totalvolume"),
        *(
            "basecurrencyvolume",
            "baseassetvolume",
            "assetvolume",
            "volumecrypto",
            "coinvolume",
            "lotvolume",
            "bidvolume",
        ),
        *("sharesvolume", "tradedvolume", "volumen", "wolumen", "obrót"),
    ),
}
TICKS = ("tickvol", "tickvolume", "ticks", "upvolumeticks")
DAY_NAMES = ("date", "day", "dtyyyymmdd", "tradingday", "tradedate", "datum", "fecha", "dategmt", "dateutc")
CLOCK_NAMES = ("time", "hour", "timegmt", "timeutc", "clock", "zeit", "hora", "timehhmm", "timehhmmss", "tradetime")
SYMBOL_NAMES: tuple[str, ...] = (
    "symbol",
    "ticker",
    "pair",
    "market",
    "instrument",
    "tic",
    "sym",
    "coin",
    "currencypair",
    "productid",
)
SYMBOL_NAMES += ("asset", "secid", "figi", "contract", "symbolid", "marketname", "tradingpair", "instrumentid")
FRAME_NAMES = ("per", "interval", "timeframe", "tf", "period", "granularity", "resolution")
CLOSES = ("close_time", "closetime")
COMPLETE = "export the bars again with time, open, high, low, close and volume: a price alone is no bar"
RENAME = "rename the columns to timestamp, open, high, low, close, volume (or give the file its header line)"


@dataclass(frozen=True)
class Roles:
    """Which column (by position) holds which field, and notes on what was assumed.

    `clock` is the column of the time of day, if day and time are two columns.
    """

    position: dict[str, int]
    notes: tuple[str, ...] = ()
    clock: int | None = None
    symbol: int | None = None
    frame: int | None = None
    ticks: int | None = None


def is_complete(names: Sequence[str]) -> bool:
    """Return whether the usual names alone give a time and four prices."""
    plain = [_plain(name) for name in names]
    return all(any(alias in plain for alias in ALIASES[one]) for one in ("time", *PRICES))


def prices_of(names: Sequence[str]) -> list[int]:
    """Return the positions of the four prices by the usual names."""
    plain = [_plain(name) for name in names]
    return [plain.index(next(alias for alias in ALIASES[one] if alias in plain)) for one in PRICES]


def names_a_time(name: str) -> bool:
    """Return whether a column of this name would hold times."""
    return bool(_plain(name)) and (_plain(name) in ALIASES["time"] or _bare(name) in MORE["time"])


def pick(names: Sequence[str], file: str, base: str = "") -> Roles:
    """Find the fields among the column `names`, ignoring case; `base` is the market's base currency, for `Volume SOL`.

    Raises:
        Refused: a price is missing, or two columns have exactly the same name. A missing time is no error here.
    """
    plain, bare = [_plain(name) for name in names], [_bare(name) for name in names]
    position: dict[str, int] = {}
    notes: list[str] = []
    clock = _clock(bare)
    for one, aliases in ALIASES.items():
        found = [alias for alias in aliases if alias in plain]
        if found == [""] and plain.index("") > 0:
            found = []  # an unnamed index comes first; a later column without a name is left by a trailing separator
        if not found:
            continue
        if plain.count(found[0]) > 1:
            raise Refused(f"{file} has {plain.count(found[0])} columns called {found[0]!r}", "keep one of them")
        position[one] = plain.index(found[0])
        if len(found) > 1:
            notes.append(f"{one} is read from column {found[0]!r}; ignored: {', '.join(map(repr, found[1:]))}")
    notes += _by_more(names, bare, position, base)
    _check(names, position, file)
    symbol, frame, ticks = (_first(bare, wanted) for wanted in (SYMBOL_NAMES, FRAME_NAMES, TICKS))
    if is_complete(names):
        ticks = None  # files with all usual names are read without a note on their ticks
    return Roles(position, tuple(notes), clock, symbol, frame, ticks)


def _by_more(names: Sequence[str], bare: Sequence[str], position: dict[str, int], base: str) -> list[str]:
    """Find fields that no usual name gave by rarer names, and return a note on each."""
    notes = []
    for one, aliases in MORE.items():
        if one in position:
            continue
        usual = ALIASES[one] if one != "time" else ALIASES[one][:-2]
        free = {at: name for at, name in enumerate(bare) if at not in position.values()}
        at = next((at for alias in (*usual, *aliases) for at, name in free.items() if name == alias), None)
        if at is None and one == "volume":
            at = _volume_of(names, base)
        if at is not None:
            position[one] = at
            if bare[at] not in usual:  # `<OPEN>` counts as open, without a note
                notes.append(f"{one} is read from column {shown(names[at].strip())!r}")
    return notes


def _volume_of(names: Sequence[str], base: str) -> int | None:
    """Find a column such as `Volume SOL` or `Volume_(BTC)`, in the base currency and never in the quote currency."""
    for at, name in enumerate(names):
        found = re.fullmatch(r"vol(?:ume)?[\s_.(\[]+([a-z0-9]{2,10})[)\]]?", name.strip().lower())
        if found and base.lower().startswith(found[1]):
            return at
    return None


def _check(names: Sequence[str], position: dict[str, int], file: str) -> None:
    missing = [one for one in PRICES if one not in position]
    if missing:
        absent = [one for one in ALIASES if one not in position and one != "volume"]
        held = f"its columns are {listing(names) or 'none'}"
        too_few = len(names) < len(PRICES) + 1  # with the time; other names could not make bars of so few columns
        raise Refused(f"{file} has no column for {', '.join(absent)}; {held}", COMPLETE if too_few else RENAME)


def is_close_time(name: str) -> bool:
    """Return whether a column of this name holds the times at which bars end."""
    return _plain(name) in CLOSES


def refuse_timeless(names: Sequence[str], file: str) -> Refused:
    """Return the refusal of a file in which no column holds the time."""
    held = f"{file} has no column for time; its columns are {listing(names)}"
    if any(is_close_time(name) for name in names):
        return Refused(held, "add a column open_time: close_time without its last 4 minutes and 59.999 seconds")
    return Refused(held, RENAME)


def _clock(bare: Sequence[str]) -> int | None:
    """Return the column of the time of day, if another column holds the day."""
    return _first(bare, CLOCK_NAMES) if _first(bare, DAY_NAMES) is not None else None


def day_of(names: Sequence[str]) -> int | None:
    """Return the column of the day."""
    return _first([_bare(name) for name in names], DAY_NAMES)


def _first(bare: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((at for at, name in enumerate(bare) if name in wanted), None)


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _bare(name: str) -> str:
    """Return the letters and digits of a name alone, for `<DTYYYYMMDD>`, `Timestamp (UTC)`, `startTime` and `Vol.`."""
    return re.sub(r"[\W_]+", "", name.strip().lower())


# several header lines -------------------------------------------------------------------------------------------------


def flattened(
    levels: Sequence[Sequence[str]], choose: Callable[[Sequence[str]], str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make one name per column out of several header lines, and return notes on what was chosen.

    yfinance writes such headers: fields, tickers, the index. Columns of other tickers lose their names, so that nothing
    is read from them; `choose` says which ticker is read.
    """
    known = {alias for one in PRICES for alias in (*ALIASES[one], *MORE[one])}
    hits = [sum(_bare(name) in known for name in level) for level in levels]
    fields = hits.index(max(hits))
    others = [level for number, level in enumerate(levels) if number != fields]
    names = [_time_in(at, [*others, levels[fields]]) or name for at, name in enumerate(levels[fields])]
    prices = [at for at, name in enumerate(names) if _bare(name) in known]
    tickers = next((level for level in others if sum(bool(level[at].strip()) for at in prices) >= len(PRICES)), None)
    if tickers is None:
        return tuple(names), ()
    chosen = choose(list(dict.fromkeys(tickers[at].strip() for at in prices)))
    kept = (name if names_a_time(name) or tickers[at].strip() == chosen else "·" for at, name in enumerate(names))
    return tuple(kept), (f"the header has {len(levels)} lines: the columns of {shown(chosen)} are read",)


def _time_in(at: int, levels: Sequence[Sequence[str]]) -> str | None:
    return next((level[at] for level in levels if names_a_time(level[at])), None)
