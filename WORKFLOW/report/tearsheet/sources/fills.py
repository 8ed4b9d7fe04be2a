"""Turn the fills of an exchange or broker, one row per buy and sell, into closed trades by first in, first out."""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from config.errors import Refused
from WORKFLOW.report.tearsheet.sources import amounts, generic, ledger, moments
from WORKFLOW.report.tearsheet.sources.ledger import Column, Hints, TradeTable
from WORKFLOW.report.tearsheet.sources.sheet import Sheet, as_text, plain_name, shown

_TIME = (
    *("date(utc)", "time(utc)", "created_at", "trade_time(utc+0)", "transaction_time(utc+0)", "time", "timestamp"),
    *("date", "datetime", "date/time", "executed_at", "filled_time(utc+0)", "filled_at", "transaction_time"),
)
_SYMBOL = (
    "pair",
    "symbol",
    "product",
    "market",
    "contracts",
    "instrument",
    "ticker",
    "asset",
    "contract",
    "spot_pairs",
)
_SIDE = ("side", "direction", "transaction_type", "buy/sell", "action", "type")
_PRICE = (
    *("price", "filled_price", "exec_price", "avg_price", "fill_price", "average_price", "trade_price"),
    *("price_at_transaction", "spot_price_at_transaction", "t_price"),
)
_QUANTITY = (
    *("executed", "quantity", "size", "qty", "filled_qty", "filled_quantity", "exec_qty", "quantity_transacted"),
    *("filled", "volume", "vol", "amount"),
)
_FEE = ("fee", "fees", "commission", "fees_and/or_spread", "trading_fee", "exec_fee", "fees_paid")
_COIN = ("fee_coin", "fee_currency", "feecoin", "commission_asset")
_BUY, _SELL = ("buy", "advanced trade buy", "bought", "b"), ("sell", "advanced trade sell", "sold", "s")
_OWN = {"executed", "product", "transaction_type", "quantity_transacted"}  # columns of spot markets, without shorting
_UNIT = re.compile(r"^([\d.,'\s]+?)\s*([A-Z][A-Z0-9]{1,9})$")
_SLACK = 1e-9  # fraction of a quantity that floating point may leave
_QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USD", "EUR", "GBP", "TRY", "BTC", "ETH", "BNB", "DAI")


@dataclass
class _Lot:
    """The open rest of a fill: `sign` is 1 if bought and -1 if sold, and `fee` is the fee of that rest."""

    ms: int
    sign: int
    price: float
    quantity: float
    fee: float


@dataclass(frozen=True)
class _Fill:
    row: int
    ms: int
    symbol: str
    sign: int
    price: float
    quantity: float
    fee: float


def is_header(fields: Sequence[str]) -> bool:
    """Return whether these columns are those of fills: time, side, price and quantity, without an exit or a result."""
    plain = {plain_name(field) for field in fields}
    wanted = (_TIME, _SIDE, _PRICE, _QUANTITY)
    closed = {*generic.ALIASES["exit_time"], "profit", "pnl", "deal"}
    return all(plain & set(aliases) for aliases in wanted) and not plain & closed


def read(sheet: Sheet, hints: Hints) -> TradeTable | None:
    """Return closed trades; None if the sheet is another kind of list.

    Raises:
        Refused: a fee is in another currency, more is sold than was bought on a spot market, or nothing is closed.
    """
    if not is_header(sheet.names):
        return None
    at = {name: sheet.position(*aliases) for name, aliases in _COLUMNS.items()}
    sides = sheet.words(_there(at["side"]))
    known = [row for row, word in enumerate(sides) if word.lower() in (*_BUY, *_SELL)]
    if not known:
        return None
    left_out = len(sides) - len(known)
    fills, times = _fills(sheet.taken(known), at, hints)
    is_spot = bool(_OWN & set(sheet.plain))
    trades, open_lots = _paired(sheet, fills, is_spot)
    if not trades:
        raise Refused(
            f"{sheet.path} holds {len(fills):,} fills, and none of them closes an earlier one",
            "give a file in which positions are closed",
        )
    notes = [
        f"{len(fills):,} fills are {len(trades):,} closed trades, first in first out for each symbol, fees taken off"
    ]
    if open_lots:
        notes.append(
            f"{open_lots:,} fills are not closed at the end, or only in part: what is left of them is left out"
        )
    if left_out:
        notes.append(f"{left_out:,} rows are neither a buy nor a sell: left out")
    return _ledger(sheet, trades, (*sheet.notes, *notes, *times))


_COLUMNS = {
    "time": _TIME,
    "symbol": _SYMBOL,
    "side": _SIDE,
    "price": _PRICE,
    "quantity": _QUANTITY,
    "fee": _FEE,
    "coin": _COIN,
}


def _there(at: int | None) -> int:
    assert at is not None  # `is_header` has checked this column
    return at


def _fills(sheet: Sheet, at: dict[str, int | None], hints: Hints) -> tuple[list[_Fill], tuple[str, ...]]:
    """Return the fills in order of time, and notes on what was assumed about their times."""
    quantities, _ = _with_units(sheet, at["quantity"])
    fees, coins = _with_units(sheet, at["fee"])
    columns = {
        "exit_time": Column(sheet.names[_there(at["time"])], sheet.columns[_there(at["time"])]),
        "entry_price": Column(sheet.names[_there(at["price"])], sheet.columns[_there(at["price"])]),
        "pnl": Column(sheet.names[_there(at["quantity"])], as_text(quantities)),
    }
    if at["fee"] is not None:
        columns["cost_1"] = Column(sheet.names[at["fee"]], as_text(fees))
    if at["coin"] is not None:
        coins = [word.upper() for word in sheet.words(at["coin"])]
    table = TradeTable(sheet.path, columns, sheet.rows)
    when, read_ = moments.of(table, "exit_time", hints), amounts.of(table, hints.decimal)
    symbols = sheet.words(at["symbol"]) if at["symbol"] is not None else [""] * len(sheet)
    sides = [word.lower() for word in sheet.words(_there(at["side"]))]
    charged = np.nan_to_num(read_["cost_1"].values) if "cost_1" in read_ else np.zeros(len(sheet))
    charged = -charged if (charged <= 0).all() else charged  # some programs write paid fees as negative numbers
    found = []
    for row in range(len(sheet)):
        price, quantity = float(read_["entry_price"].values[row]), abs(float(read_["pnl"].values[row]))
        if not (price > 0 and quantity > 0):
            raise Refused(
                f"price {price:g} and quantity {quantity:g} in {table.where(row)} are not a fill", "leave that row out"
            )
        fee = _in_quote(table, row, symbols[row], coins[row], float(charged[row]), price)
        sign = 1 if sides[row] in _BUY else -1
        found.append(_Fill(int(sheet.rows[row]), int(when.ms[row]), symbols[row], sign, price, quantity, fee))
    return sorted(found, key=lambda fill: fill.ms), when.notes


def _with_units(sheet: Sheet, at: int | None) -> tuple[list[str], list[str]]:
    """Return values without the coin that Binance writes behind them, and that coin."""
    if at is None:
        return [""] * len(sheet), [""] * len(sheet)
    split = [_UNIT.match(word) for word in sheet.words(at)]
    words = sheet.words(at)
    return (
        [found[1] if found else word for found, word in zip(split, words, strict=True)],
        [found[2] if found else "" for found in split],
    )


def _in_quote(table: TradeTable, row: int, symbol: str, coin: str, fee: float, price: float) -> float:
    """Return a fee in the quote currency; a fee in the base coin is worth its price, and any other coin is refused."""
    pair = re.sub(r"[^A-Z0-9]", "", symbol.upper())
    if not fee or not coin or not pair or pair.endswith(coin):
        return fee
    if pair.startswith(coin) and (pair == coin or pair.removeprefix(coin) in _QUOTES or len(pair) > len(coin)):
        return fee * price
    raise Refused(
        f"the fee in {table.where(row)} is paid in {shown(coin)}, and the file does not say what that is worth in the"
        f" currency that {shown(symbol)} is traded in",
        "write such fees in that currency (the number alone, without the coin)",
    )


def _paired(sheet: Sheet, fills: list[_Fill], is_spot: bool) -> tuple[list[tuple[_Fill, int, int, float, float]], int]:
    """Pair fills, first in first out.

    Returns (closing fill, entry time, side, pnl, mean entry price) of each closing fill, and the number of open lots.
    """
    books: dict[str, deque[_Lot]] = {}
    trades = []
    for fill in fills:
        book = books.setdefault(fill.symbol, deque())
        quantity, fee_rate = fill.quantity, fill.fee / fill.quantity
        closed = gained = cost = 0.0
        entry_ms = fill.ms
        while quantity > _SLACK * fill.quantity and book and book[0].sign != fill.sign:
            lot = book[0]
            part = min(quantity, lot.quantity)
            share = lot.fee * part / lot.quantity
            gained += lot.sign * (fill.price - lot.price) * part - share - fee_rate * part
            cost += lot.price * part
            entry_ms = min(entry_ms, lot.ms)
            lot.quantity, lot.fee, quantity, closed = (
                lot.quantity - part,
                lot.fee - share,
                quantity - part,
                closed + part,
            )
            if lot.quantity <= _SLACK * part:
                book.popleft()
        if closed:
            trades.append((fill, entry_ms, -fill.sign, gained, cost / closed))
        if quantity > _SLACK * fill.quantity:
            if is_spot and fill.sign < 0 and quantity > 0.01 * fill.quantity:
                raise Refused(
                    f"row {fill.row:,} of {sheet.path} sells {quantity:g} {shown(fill.symbol)} more than the rows"
                    " before it bought: what they were bought for is not in the file",
                    "export from before that buy, or leave that row out",
                )
            if not (is_spot and fill.sign < 0):
                book.append(_Lot(fill.ms, fill.sign, fill.price, quantity, fee_rate * quantity))
    return trades, sum(len(book) for book in books.values())


def _ledger(sheet: Sheet, trades: list[tuple[_Fill, int, int, float, float]], notes: tuple[str, ...]) -> TradeTable:
    columns = {
        "exit_time": Column("time of the closing fill", ledger.moments_as_text([fill.ms for fill, *_ in trades])),
        "entry_time": Column("time of the first fill", ledger.moments_as_text([entry for _, entry, *_ in trades])),
        "side": Column("side", as_text(["long" if side > 0 else "short" for _, _, side, _, _ in trades])),
        "pnl": Column("result of the fills", ledger.numbers_as_text([pnl for *_, pnl, _ in trades])),
        "entry_price": Column("mean entry price", ledger.numbers_as_text([price for *_, price in trades])),
        "exit_price": Column("closing price", ledger.numbers_as_text([fill.price for fill, *_ in trades])),
    }
    rows = np.array([fill.row for fill, *_ in trades], dtype=np.int64)
    return TradeTable(sheet.path, columns, rows, notes=notes)
