"""The same bars in every form in which programs and exchanges hand them out, made anew for each test."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from WORKFLOW.data.bars import BAR_MS, ROW

Rows = NDArray[np.void]
PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume")
START_MS = 1_705_708_800_000  # 2024-01-20 00:00 UTC: no month has 20 and more, so that the day is told from it


def rows_from(start_ms: int = START_MS, bars: int = 600, scale: float = 1.0) -> Rows:
    """Clean bars of two days and two hours; each opens a cent beside the last close, as markets do."""
    random = np.random.default_rng(11)
    cents = 10_000 + np.cumsum(random.integers(-30, 31, bars))
    made = np.zeros(bars, dtype=ROW)
    made["time_ms"] = start_ms + np.arange(bars) * BAR_MS
    made["close"] = cents / 100 * scale
    made["open"] = np.concatenate([[100.0 * scale], made["close"][:-1] + 0.01 * scale]).round(6)
    made["high"] = (np.maximum(made["open"], made["close"]) + 0.07 * scale).round(6)
    made["low"] = (np.minimum(made["open"], made["close"]) - 0.05 * scale).round(6)
    made["volume"] = random.integers(1, 900, bars) + 0.5
    return made


def moments(rows: Rows, zone: str | None = None) -> list[datetime]:
    utc = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(one)) for one in rows["time_ms"]]
    return [one.astimezone(ZoneInfo(zone)) for one in utc] if zone else utc


def frame(rows: Rows, when: Any = None, time: str = "timestamp") -> pd.DataFrame:
    made = pd.DataFrame({name: rows[name] for name in VALUES})
    made.insert(0, time, rows["time_ms"] if when is None else when)
    return made


def stamped(rows: Rows, pattern: str, zone: str | None = None) -> list[str]:
    return [one.strftime(pattern) for one in moments(rows, zone)]


def csv(made: pd.DataFrame, **how: Any) -> bytes:
    return made.to_csv(index=False, **how).encode()


def plain(rows: Rows) -> bytes:
    return csv(frame(rows))


def klines(rows: Rows, header: bool = False, micros: bool = False) -> bytes:
    factor = 1_000 if micros else 1
    made = frame(rows, rows["time_ms"] * factor, "open_time")
    made["close_time"] = (rows["time_ms"] + BAR_MS) * factor - 1
    made["quote_volume"] = (rows["close"] * rows["volume"]).round(4)
    return csv(made.assign(count=3, ignore=0), header=header)


def zipped(**files: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def _written(pattern: str, time: str = "time", **how: Any) -> Callable[[Rows], bytes]:
    return lambda rows: csv(frame(rows, stamped(rows, pattern), time), **how)


def _ordered(names: str, factor: float = 0.001, header: bool = False) -> Callable[[Rows], bytes]:
    """Columns in another order: t, then the first letters of the fields."""
    fields = dict(zip("ohlcv", VALUES, strict=True))

    def make(rows: Rows) -> bytes:
        when = (rows["time_ms"] * factor).astype(np.int64)
        return csv(
            pd.DataFrame({at: when if one == "t" else rows[fields[one]] for at, one in enumerate(names)}), header=header
        )

    return make


def _cryptodatadownload(rows: Rows) -> bytes:
    made = frame(rows, rows["time_ms"], "unix").rename(columns={"volume": "Volume SOL"})
    made.insert(1, "date", stamped(rows, "%Y-%m-%d %H:%M:%S"))
    made.insert(2, "symbol", "SOL/USDT")
    made["Volume USDT"] = (rows["volume"] * rows["close"]).round(2)
    return b"https://www.example.com\n" + csv(made[::-1])


def _metatrader(rows: Rows) -> bytes:
    days, clock = stamped(rows, "%Y.%m.%d"), stamped(rows, "%H:%M:%S")
    made = {"<DATE>": days, "<TIME>": clock} | {f"<{name.upper()}>": rows[name] for name in PRICES}
    made |= {"<TICKVOL>": rows["volume"], "<VOL>": 0, "<SPREAD>": 2}
    return csv(pd.DataFrame(made), sep="\t", lineterminator="\r\n")


def _stooq(rows: Rows) -> bytes:
    days, clock = stamped(rows, "%Y%m%d"), stamped(rows, "%H%M%S")
    made = {"<TICKER>": "SOL.V", "<PER>": 5, "<DATE>": days, "<TIME>": clock}
    made |= {f"<{name.upper()}>": rows[name] for name in PRICES} | {"<VOL>": rows["volume"], "<OPENINT>": 0}
    return csv(pd.DataFrame(made))


def _apart(day: str, clock: str, header: bool = True, **how: Any) -> Callable[[Rows], bytes]:
    def make(rows: Rows) -> bytes:
        made = frame(rows, stamped(rows, day), "Date")
        made.insert(1, "Time", stamped(rows, clock))
        return csv(made, header=header, **how)

    return make


def _sierra(rows: Rows) -> bytes:
    made = {"Date": stamped(rows, "%Y/%m/%d"), " Time": stamped(rows, " %H:%M:%S"), " Open": rows["open"]}
    made |= {" High": rows["high"], " Low": rows["low"], " Last": rows["close"], " Volume": rows["volume"]}
    return csv(pd.DataFrame({**made, " NumberOfTrades": 5}))


def _investing(rows: Rows) -> bytes:
    made = {"Date": stamped(rows, "%m/%d/%Y %H:%M"), "Price": [f"{one * 100:,.2f}" for one in rows["close"]]}
    made |= {name.title(): [f"{one * 100:,.2f}" for one in rows[name]] for name in ("open", "high", "low")}
    made |= {"Vol.": [f"{one / 1000:.4f}K" for one in rows["volume"]], "Change %": "0.12%"}
    return csv(pd.DataFrame(made), quoting=1)


def _yfinance(rows: Rows) -> bytes:
    names = ("Close", "High", "Low", "Open", "Volume")
    head = f"Price,{','.join(names)}\nTicker{',SOL-USD' * 5}\nDatetime,,,,,\n"
    made = pd.DataFrame({"t": stamped(rows, "%Y-%m-%d %H:%M:%S+00:00"), **{one: rows[one.lower()] for one in names}})
    return head.encode() + csv(made, header=False)


def _yfinance_of_two(rows: Rows) -> bytes:
    names = ("Close", "High", "Low", "Open", "Volume")
    both = [(name, ticker) for name in names for ticker in ("BTC-USD", "SOL-USD")]
    head = f"Price,{','.join(name for name, _ in both)}\nTicker,{','.join(t for _, t in both)}\nDatetime{',' * 10}\n"
    made = {"t": stamped(rows, "%Y-%m-%d %H:%M:%S")}
    made |= {f"{n}{t}": rows[n.lower()] * (300 if t == "BTC-USD" else 1) for n, t in both}
    return head.encode() + csv(pd.DataFrame(made), header=False)


def _long(rows: Rows) -> bytes:
    ours = frame(rows).assign(symbol="SOL/USDT")
    theirs = ours.assign(symbol="BTC/USDT", **{name: ours[name] * 300 for name in PRICES})
    return csv(pd.concat([ours, theirs]).sort_values(["timestamp", "symbol"]))


def _excel_numbers(rows: Rows) -> bytes:
    return csv(frame(rows, [f"{one / 86_400_000 + 25_569:.10f}" for one in rows["time_ms"].tolist()], "Date"))


def _decimal_comma(rows: Rows) -> bytes:
    return csv(frame(rows), sep=";", decimal=",")


def _records(rows: Rows, names: str = "time open high low close volume") -> list[dict[str, Any]]:
    fields = names.split()
    return [dict(zip(fields, [int(row["time_ms"]), *(float(row[one]) for one in VALUES)], strict=True)) for row in rows]


def _lists(rows: Rows, as_text: bool = False) -> list[list[Any]]:
    made = [[int(row["time_ms"]), *(float(row[one]) for one in VALUES)] for row in rows]
    return [[str(one) for one in row] for row in made] if as_text else made


def _json(make: Callable[[Rows], Any]) -> Callable[[Rows], bytes]:
    return lambda rows: json.dumps(make(rows)).encode()


def _alpaca(rows: Rows) -> Any:
    bars = [
        one | {"t": stamp, "n": 3, "vw": 1.0}
        for one, stamp in zip(_records(rows, "t o h l c v"), _zulu(rows), strict=True)
    ]
    return {"bars": {"SOL/USD": bars}, "next_page_token": None}


def _zulu(rows: Rows) -> list[str]:
    return stamped(rows, "%Y-%m-%dT%H:%M:%SZ")


def _yahoo(rows: Rows) -> Any:
    quote = {name: rows[name].tolist() for name in VALUES}
    result = {
        "meta": {"symbol": "SOL-USD"},
        "timestamp": (rows["time_ms"] // 1000).tolist(),
        "indicators": {"quote": [quote]},
    }
    return {"chart": {"result": [result], "error": None}}


def _coinbase_advanced(rows: Rows) -> Any:
    keys = ("low", "high", "open", "close", "volume")
    return {
        "candles": [{"start": str(int(row["time_ms"]) // 1000), **{k: str(row[k]) for k in keys}} for row in rows[::-1]]
    }


def _udf(rows: Rows) -> Any:
    return {"s": "ok", "t": (rows["time_ms"] // 1000).tolist(), **{name[0]: rows[name].tolist() for name in VALUES}}


def _kraken(rows: Rows) -> Any:
    made = [[one[0] // 1000, *map(str, one[1:5]), "1.0", str(one[5]), 7] for one in _lists(rows)]
    return {"error": [], "result": {"XSOLUSD": [[*one[:5], one[6], one[5], one[7]] for one in made], "last": 1}}


def _lines(rows: Rows) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in _records(rows)) + b"\n"


def _pandas(**how: Any) -> Callable[[Rows], bytes]:
    return lambda rows: str(frame(rows).to_json(**how)).encode()


def _turkish_lira(rows: Rows) -> bytes:
    """Thousands by dots and a decimal comma, as spreadsheets of half of Europe write them."""
    made = frame(rows, stamped(rows, "%d.%m.%Y %H:%M"), "Datum")
    for name in PRICES:
        made[name] = [f"{one * 100:,.2f}".translate(str.maketrans(",.", ".,")) for one in rows[name]]
    made["volume"] = [f"{one:.1f}".replace(".", ",") for one in rows["volume"]]
    names = dict(zip(VALUES, ("Eröffnung", "Hoch", "Tief", "Schluss", "Volumen"), strict=True))
    return csv(made.rename(columns=names), sep=";")


def _windows(rows: Rows) -> bytes:
    made = frame(rows, stamped(rows, "%d.%m.%Y %H:%M"), "Datum").rename(columns={"open": "Eröffnung", "high": "Hoch"})
    return (
        csv(made.rename(columns={"low": "Tief", "close": "Schluss", "volume": "Volumen"}), sep=";", decimal=",")
        .decode()
        .encode("cp1252")
    )


def _blanks(rows: Rows) -> bytes:
    made = frame(rows, stamped(rows, "%Y-%m-%d %H:%M:%S"), "time")
    lines = ["time open high low close volume", *(" ".join(map(str, row)) for row in made.itertuples(index=False))]
    return "\n".join(lines).encode()


# name → the file's name, and what makes it.
EVERY: dict[str, tuple[str, Callable[[Rows], bytes]]] = {
    "an exchange's klines": ("SOLUSDT-5m.csv", klines),
    "klines in microseconds": ("SOLUSDT-5m.csv", lambda rows: klines(rows, micros=True)),
    "klines with a header": ("SOLUSDT-5m.csv", lambda rows: klines(rows, header=True)),
    "a header repeated inside": ("SOL_5m.csv", lambda rows: klines(rows[:99], True) + klines(rows[99:], True)),
    "a zip of klines": ("SOLUSDT-5m-2024-01.zip", lambda rows: zipped(**{"SOLUSDT-5m-2024-01.csv": klines(rows)})),
    "a zip in folders": ("SOL.zip", lambda rows: zipped(**{"a/../b/SOL_5m.csv": plain(rows), "__MACOSX/x.csv": b"x"})),
    "a zip of several": (
        "all.zip",
        lambda rows: zipped(**{"SOLUSD_5.csv": klines(rows), "SOLUSD_60.csv": b"", "X.csv": b""}),
    ),
    "CryptoDataDownload": ("SOLUSDT_5m.csv", _cryptodatadownload),
    "Kraken OHLCVT": ("SOLUSD_5.csv", _ordered("tohlcv")),
    "Coinbase": ("SOL.csv", _ordered("tlhocv")),
    "Bitfinex": ("SOL.csv", _ordered("tochlv", 1)),
    "Bitfinex, newest first": ("SOL.csv", lambda rows: _ordered("tochlv", 1)(rows[::-1])),
    "open last": ("SOL.csv", _ordered("tchlov", 1)),
    "Kaggle": (
        "SOL.csv",
        lambda rows: csv(frame(rows, rows["time_ms"] // 1000, "Unix Timestamp").assign(Symbol="SOLUSD")),
    ),
    "MetaTrader 5": ("SOLUSD_M5.csv", _metatrader),
    "MetaTrader 4": ("SOLUSD5.csv", _apart("%Y.%m.%d", "%H:%M", header=False)),
    "HistData": ("DAT_ASCII_SOLUSD_M5.csv", _written("%Y%m%d %H%M%S", header=False, sep=";")),
    "NinjaTrader": ("SOL.Last.txt", _written("%Y%m%d %H%M%S", header=False, sep=";")),
    "Stooq": ("sol.txt", _stooq),
    "TradeStation": ("SOL.txt", _apart("%m/%d/%Y", "%H%M")),
    "Forexite": ("SOL.csv", _apart("%Y%m%d", "%H%M%S", header=False)),
    "Dukascopy": ("SOL.csv", _written("%d.%m.%Y %H:%M:%S.000", "Gmt time")),
    "Dukascopy, local": (
        "SOL.csv",
        lambda r: csv(frame(r, stamped(r, "%d.%m.%Y %H:%M:%S.000 GMT%z", "Europe/Berlin"), "Local time")),
    ),
    "Sierra Chart": ("SOL.txt", _sierra),
    "date and time apart": ("SOL.csv", _apart("%Y-%m-%d", "%H:%M:%S")),
    "Excel, American": ("SOL.csv", _written("%m/%d/%Y %I:%M:%S %p", "Date")),
    "Excel, two digits": ("SOL.csv", _written("%d/%m/%y %H:%M", "Date")),
    "Excel, day numbers": ("SOL.csv", _excel_numbers),
    "Excel, Unicode text": ("SOL.txt", lambda rows: csv(frame(rows), sep="\t").decode().encode("utf-16")),
    "Excel, separator said": ("SOL.csv", lambda rows: b"sep=;\r\n" + _decimal_comma(rows)),
    "yfinance": ("SOL-USD.csv", _yfinance),
    "yfinance, two tickers": ("SOL-USD.csv", _yfinance_of_two),
    "TradingView": (
        "BINANCE_SOLUSDT, 5.csv",
        lambda r: csv(frame(r, [m.isoformat() for m in moments(r, "Europe/Berlin")], "time")),
    ),
    "several symbols": ("SOL.csv", _long),
    "decimal comma": ("SOL.csv", _decimal_comma),
    "Windows in Germany": ("SOL.csv", _windows),
    "separators at the end": (
        "SOL.csv",
        lambda r: csv(frame(r, stamped(r, "%d.%m.%Y %H:%M"), "Datum"), sep=";").replace(b"\n", b";;\n"),
    ),
    "pipes": ("SOL.csv", lambda rows: csv(frame(rows), sep="|")),
    "blanks": ("SOL.csv", _blanks),
    "UTF-8 with a mark, quoted": (
        "SOL.csv",
        lambda r: b"\xef\xbb\xbf" + csv(frame(r), quoting=1, lineterminator="\r\n"),
    ),
    "comments above": ("SOL.csv", lambda rows: b"# by a script\n# tz: UTC\n\n" + plain(rows)),
    "every row ends in a comma": (
        "SOL.csv",
        lambda r: plain(r).replace(b"\n", b",\n").replace(b"volume,", b"volume", 1),
    ),
    "the header, too": ("SOL.csv", lambda rows: plain(rows).replace(b"\n", b",\n")),
    "an index without a name": (
        "SOL.csv",
        lambda r: csv(frame(r, stamped(r, "%Y-%m-%d %H:%M"), "x")).replace(b"x,", b"", 1),
    ),
    "ISO weeks": ("SOL.csv", _written("%G-W%V-%uT%H:%M")),
    "days of the year": ("SOL.csv", _written("%Y-%jT%H:%M")),
    "names of months": ("SOL.csv", _written("%d %b %Y %H:%M")),
    "names of months, American": (
        "SOL.csv",
        lambda r: csv(frame(r, stamped(r, "%b %d, %Y %I:%M %p"), "Date"), quoting=1),
    ),
    "JavaScript": ("SOL.csv", _written("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)")),
    "the word UTC": ("SOL.csv", _written("%Y-%m-%d %H:%M:%S UTC")),
    "compact": ("SOL.csv", _written("%Y%m%d%H%M%S")),
    "compact, to the minute": ("SOL.csv", _written("%Y%m%d%H%M")),
    "slashes": ("SOL.csv", _written("%Y/%m/%d %H:%M")),
    "startTime": ("SOL.csv", _written("%Y-%m-%d %H:%M:%S", "startTime")),
    "an unknown name": ("SOL.csv", _written("%Y-%m-%d %H:%M:%S", "moment of the bar")),
    "gzip named csv": ("SOL.csv", lambda rows: gzip.compress(plain(rows))),
    "csv named gzip": ("SOL.csv.gz", plain),
    "xz": ("SOL.csv.xz", lambda rows: lzma.compress(plain(rows))),
    "zstd": ("SOL.csv.zst", lambda rows: pa.compress(plain(rows), codec="zstd", asbytes=True)),
    "bzip2": ("SOL.csv.bz2", lambda rows: bz2.compress(plain(rows))),
    "txt": ("SOL.txt", plain),
    "JSON, objects": ("SOL-5m.json", _json(_records)),
    "JSON, a line each": ("SOL-5m.jsonl", _lines),
    "JSON, lists": ("SOL-5m.json", _json(_lists)),
    "JSON, texts": ("SOL-5m.json", _json(lambda rows: _lists(rows, as_text=True))),
    "Bybit": (
        "SOL-5m.json",
        _json(lambda r: {"retCode": 0, "result": {"symbol": "SOLUSDT", "list": _lists(r[::-1], True)}}),
    ),
    "Polygon": (
        "SOL-5m.json",
        _json(lambda r: {"ticker": "X:SOLUSD", "results": _records(r, "t o h l c v"), "status": "OK"}),
    ),
    "Alpaca": ("SOL-5m.json", _json(_alpaca)),
    "Yahoo": ("SOL-5m.json", _json(_yahoo)),
    "Coinbase Advanced": ("SOL-5m.json", _json(_coinbase_advanced)),
    "TradingView UDF": ("SOL-5m.json", _json(_udf)),
    "Kraken": ("SOL-5m.json", _json(_kraken)),
    "pandas, records": ("SOL-5m.json", _pandas(orient="records")),
    "pandas, columns": ("SOL-5m.json", _pandas()),
    "pandas, split": ("SOL-5m.json", _pandas(orient="split")),
    "JSON named csv": ("SOL.csv", _json(_lists)),
}

# The same, but prices are a hundred times as high.
HUNDREDFOLD: dict[str, tuple[str, Callable[[Rows], bytes]]] = {
    "Investing.com": ("SOL.csv", _investing),
    "dots and commas": ("SOL.csv", _turkish_lira),
}
