"""Gate: a strategy needs enough closed trades. With fewer, its Sharpe ratio is an anecdote."""

from hooks.verdict import Verdict

MIN_TRADES = 30  # the floor; settings may ask for more, never for less


def judge(total_trades: int, minimum: int, where: str) -> Verdict:
    """Pass when `total_trades` reaches both `minimum` and `MIN_TRADES`; `where` names the window in the reason."""
    wanted = max(minimum, MIN_TRADES)
    return Verdict("trade_significance", total_trades >= wanted, f"{total_trades} trades {where} (at least {wanted})")
