"""A finalist as freqtrade has it: a strategy file, a configuration, and on demand the very bars to test both on.

freqtrade is GPL: nothing of it is imported here; what is written are files for an installation of the user's own.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from config.errors import Refused
from scripts.swarm.export.finalist import ExportedFinalist

TEMPLATE = Path(__file__).with_name("freqtrade_strategy.txt")
FAMILY = "mtf_ema"
# Exchanges have candles of these lengths; buckets of another length are made of the longest that divides it.
EXCHANGE_MINUTES = (5, 15, 30, 60, 120, 240, 360)
MEMORY_PERIODS = 6  # an EMA's seed weighs e^-12 after them
_FOREIGN = "do not trust that result; make it anew"
NO_STOP = 0.99  # freqtrade must have one


@dataclass(frozen=True)
class Export:
    """Files by their path inside freqtrade's user folder, and what to call."""

    name: str
    pair: str
    exchange: str
    files: dict[str, str]

    @property
    def is_contract(self) -> bool:
        """Whether it trades futures: everything that goes short does."""
        return ":" in self.pair


def export(finalist: ExportedFinalist, pair: str | None, exchange: str) -> Export:
    """The strategy file and its configuration.

    Raises:
        Refused: a signal family that has no template, a pair that cannot be what the strategy needs.
    """
    if finalist.config["family"] != FAMILY:
        raise Refused(
            f"{finalist.name} is of the family {finalist.config['family']!r}, and only {FAMILY} can be exported",
            "export one of the modes conservative, balanced, aggressive",
        )
    name = class_name(finalist)
    chosen = pair_of(finalist, pair)
    files = {
        f"strategies/{name}.py": strategy(finalist, name),
        f"config-{name}.json": json.dumps(configuration(finalist, name, chosen, exchange), indent=2) + "\n",
    }
    return Export(name, chosen, exchange, files)


def class_name(finalist: ExportedFinalist) -> str:
    """`SolAggressiveBestSharpe`."""
    words = re.findall(r"[A-Za-z0-9]+", "_".join(finalist.folder.parts[-3:]))
    name = "".join(word[0].upper() + word[1:].lower() for word in words)
    return name if name[0].isalpha() else f"S{name}"


def pair_of(finalist: ExportedFinalist, typed: str | None) -> str:
    """freqtrade's name of the market: as typed, else the symbol against USDT; a contract where it goes short."""
    goes_short = finalist.config["parameters"]["direction"] != "long_only"
    symbol = re.sub(r"[-_]?USDT$", "", str(finalist.config["symbol"]).upper())
    pair = typed or (f"{symbol}/USDT:USDT" if goes_short else f"{symbol}/USDT")
    if not re.fullmatch(r"[A-Za-z0-9.]+/[A-Za-z0-9]+(:[A-Za-z0-9]+)?", pair):
        raise Refused(f"{pair!r} is no pair", "--pair SOL/USDT, or --pair SOL/USDT:USDT for a contract")
    if goes_short and ":" not in pair:
        direction = finalist.config["parameters"]["direction"]
        raise Refused(
            f"{finalist.name} trades {direction}, and {pair} cannot be sold short", f"--pair {pair}:{_quote(pair)}"
        )
    return pair


def strategy(finalist: ExportedFinalist, name: str) -> str:
    """The text of the strategy file."""
    values, manifest = finalist.config["parameters"], finalist.manifest
    numbers = {key: value for key, value in values.items() if key != "direction"}
    for key, value in numbers.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise Refused(f"{finalist.name} has {key} = {value!r}, which is no number", _FOREIGN)
    stops = [values[key] for key in ("stop_loss", "trailing_stop") if values[key] > 0]
    candles = {side: candle_minutes(values[f"{side}_timeframe"]) for side in ("fast", "slow")}
    startup = max(
        MEMORY_PERIODS * values[f"{side}_period"] * values[f"{side}_timeframe"] // candles[side] for side in candles
    )
    words = _harmless(
        finalist,
        name=name,
        strategy=finalist.config["strategy"],
        symbol=finalist.config["symbol"],
        mode=finalist.config["mode"],
        verdict=str(finalist.metrics["verdict"]).capitalize() + ".",
        run_id=manifest["execution"]["run_id"],
        data_sha256=manifest["data"]["sha256"],
        code=manifest["code"]["source_hash"],
    )
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        numbers,
        **words,
        round=manifest["execution"]["round"] + 1,
        fast_candles=candles["fast"],
        slow_candles=candles["slow"],
        startup_candles=startup,
        initial_stop=-min([*stops, NO_STOP]),
        trails=values["trailing_stop"] > 0,
        can_short=values["direction"] != "long_only",
        long=values["direction"] != "short_only",
        short=values["direction"] != "long_only",
    )


def _harmless(finalist: ExportedFinalist, **words: str) -> dict[str, str]:
    """Words for the text of a Python file: none may end the text that it stands in.

    Raises:
        Refused: one could; results are passed on, and what comes with them would run on the reader's machine.
    """
    for key, word in words.items():
        if not str(word).isprintable() or '"' in str(word) or "\\" in str(word):
            raise Refused(f"{finalist.name} has {key} = {str(word)[:80]!r}, which no run of ours has written", _FOREIGN)
    return words


def candle_minutes(timeframe: int) -> int:
    """The longest candles of exchanges that buckets of `timeframe` minutes are made of."""
    return max(minutes for minutes in EXCHANGE_MINUTES if timeframe % minutes == 0)


def configuration(finalist: ExportedFinalist, name: str, pair: str, exchange: str) -> dict[str, Any]:
    """freqtrade's configuration: a dry run with the costs of the search."""
    costs = finalist.config["costs"]
    is_contract = ":" in pair
    pricing = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
    return {
        "bot_name": name,
        "strategy": name,
        "timeframe": "5m",
        "dry_run": True,
        "dry_run_wallet": costs["capital"],
        "max_open_trades": 1,
        "stake_currency": _quote(pair),
        "stake_amount": "unlimited",
        "tradable_balance_ratio": 0.99,
        "fee": costs["fee_rate"],
        "trading_mode": "futures" if is_contract else "spot",
        "margin_mode": "isolated" if is_contract else "",
        "entry_pricing": pricing,
        "exit_pricing": pricing,
        "exchange": {"name": exchange, "key": "", "secret": "", "pair_whitelist": [pair], "pair_blacklist": []},
        "pairlists": [{"method": "StaticPairList"}],
    }


def _quote(pair: str) -> str:
    return pair.partition("/")[2].partition(":")[0]
