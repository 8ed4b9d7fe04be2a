"""`--engine vectorbt`: let vectorbt repeat every finalist's trades over all bars, under our own rules."""

from collections.abc import Callable, Mapping
from typing import Any

from config.errors import Refused
from WORKFLOW.crosscheck.agreement import compare, fills_of
from WORKFLOW.crosscheck.question import ToolQuestion, ask
from WORKFLOW.crosscheck.recipes import AS_TRADED
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Parameters

Record = dict[str, Any]


def in_vectorbt(
    evaluator: Evaluator, finalists: Mapping[int, Parameters], on_done: Callable[[int], None] = lambda _: None
) -> dict[int, Record]:
    """Return `cross_check` of validation.json for each of `finalists`, by its number; one process does them all.

    If trades cannot be compared, or if vectorbt fails, the record says so, and never says that they agree.
    """
    ledgers = {number: evaluator.ledger(parameters, evaluator.whole) for number, parameters in finalists.items()}
    obstacles = {number: _obstacle(evaluator, ledger) for number, ledger in ledgers.items()}
    asked = {n: _question(evaluator, parameters) for n, parameters in finalists.items() if not obstacles[n]}
    try:
        answer = ask(AS_TRADED.tool, evaluator.market, list(asked.values()), on_done=on_done) if asked else None
    except Refused as refusal:
        return {number: _record(None, f"not compared: {refusal.reason}") for number in finalists}
    records = {number: _record(None, f"not comparable: {why}") for number, why in obstacles.items() if why}
    for number, theirs in zip(asked, answer.fills if answer else (), strict=True):
        assert answer is not None
        agreement = compare(fills_of(ledgers[number], evaluator.costs.fee_rate), theirs)
        word = "agrees" if agreement.agree else "DIFFERS"
        line = f"{word}: {agreement.identical} of {agreement.trades_ours} trades identical"
        if agreement.first_difference:
            line = f"{line} (vectorbt has {agreement.trades_theirs}); {agreement.first_difference}"
        records[number] = _record(answer.version, line) | agreement.as_json()
    return records


def _question(evaluator: Evaluator, parameters: Parameters) -> ToolQuestion:
    rules, market = evaluator.rules(parameters, "sl_first"), evaluator.market
    return ToolQuestion.of(AS_TRADED.name, rules, market.has_tick, evaluator.signal(parameters), evaluator.whole)


def _obstacle(evaluator: Evaluator, ledger: Ledger) -> str:
    if ledger.ruined:
        return "the strategy was ruined, and a fixed quantity knows no ruin"
    return "funding is charged, which vectorbt does not know" if len(evaluator.market.funding) else ""


def _record(version: str | None, line: str) -> Record:
    return {
        "tool": AS_TRADED.tool,
        "version": version,
        "recipe": AS_TRADED.name,
        "line": f"{AS_TRADED.tool}{f' {version}' if version else ''} {line}",
        "agree": None,
        "trades_ours": None,
        "trades_theirs": None,
        "identical": None,
        "first_difference": None,
    }
