"""The guide to adding a signal family, followed to the letter."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from config.settings import OVERLAY_VARIABLE, Settings, load
from state.files.layout import CHECKOUT
from tests.engines.builders import T0, bars_of
from tests.properties.worlds import quiet_walk
from WORKFLOW import signals
from WORKFLOW.data.bars import BAR_MS
from WORKFLOW.engines.market import Market
from WORKFLOW.engines.planes import unpack
from WORKFLOW.engines.rules import EXECUTION, Rules
from WORKFLOW.search import prescreen
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos, Draw, draw, family_of
from WORKFLOW.signals.family import Family
from WORKFLOW.validity.certificate import Certificate
from WORKFLOW.validity.look_ahead import Strategies, prove

GUIDE = (CHECKOUT / "docs" / "guides" / "adding_a_signal_family.md").read_text(encoding="utf-8")
MODULE, NAMING = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
(MODE,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.S)
MARKET = Market.of(bars_of(quiet_walk(np.random.default_rng(5), 12_000), 0.01, start_ms=T0 + 7 * BAR_MS))


def added(monkeypatch: pytest.MonkeyPatch, module: str = MODULE) -> Family:
    """Steps 1 and 2: the module, and both lines in `__init__.py` where they belong."""
    made = ModuleType("WORKFLOW.signals.momentum")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    exec(compile(module, "momentum.py", "exec"), made.__dict__)
    imports, family = filter(None, NAMING.splitlines())
    text = Path(str(signals.__file__)).read_text(encoding="utf-8")
    first, last = "\n\nFAMILIES: ", "\n    )\n}"
    assert (text.count(first), text.count(last)) == (1, 1), "the guide adds to what the file does not have"
    text = text.replace(last, f"\n{family}{last}").replace(first, f"\n{imports}{first}")
    named: dict[str, Any] = {}
    exec(compile(text, "__init__.py", "exec"), named)
    monkeypatch.setitem(signals.FAMILIES, "momentum", named["FAMILIES"]["momentum"])
    return signals.FAMILIES["momentum"]


def configured(tmp_path: Path) -> Settings:
    """Step 3."""
    path = tmp_path / "my_settings.yaml"
    path.write_text(MODE, encoding="utf-8")
    return load({OVERLAY_VARIABLE: str(path)})


def proof(family: Family, combos: Combos, rules: list[Rules]) -> Certificate:
    return prove(MARKET, Strategies(family, combos.columns, rules), 20, np.random.SeedSequence(1))


def test_the_guide_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    family, chosen = added(monkeypatch), configured(tmp_path)
    mode = chosen.mode("momentum")
    assert family_of(mode) is family
    combos = Draw(mode, 200, np.random.SeedSequence(1))
    evaluator = Evaluator(MARKET, family, chosen.costs)

    fewer = replace(chosen.prescreen, batch_combos=64, min_trades=5)
    progress = prescreen.run(evaluator, combos, fewer, 2, prescreen.PrescreenProgress(), lambda *_: None)
    found = prescreen.result(progress, combos)
    assert (found.tried, found.eligible > 20) == (200, True)

    best = found.best[0]
    native = evaluator.ledger(best.parameters, evaluator.whole)
    slow = evaluator.reference_ledger(best.parameters, evaluator.whole)
    assert len(native.trades) == best.metrics.total_trades > 0
    assert native.trades.tolist() == slow.trades.tolist()
    assert native.equity.tolist() == slow.equity.tolist()

    few = draw(mode, 4, np.random.SeedSequence(1))
    rules = [Rules.of(chosen.costs, {name: few.row(i)[name] for name in EXECUTION}) for i in range(4)]
    certificate = proof(family, few, rules)
    assert certificate.proven, certificate.first_difference


def test_its_signal_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """15 minutes, bar 0 opens at 00:35: buckets close with bars 4, 7, 10, …; two buckets back from the third on."""
    family = added(monkeypatch)
    columns = {"timeframe": np.array([15]), "period": np.array([2])}
    bound = family.on(MARKET)
    bound.prepare(columns)
    made = bound.planes(columns)
    side, close = unpack(made.side, len(MARKET))[0], MARKET.close
    assert made.first_side.tolist() == [10]
    seen = [bar - (bar - 4) % 3 for bar in range(len(MARKET))]
    assert side[10:].tolist() == [close[at] > close[at - 6] for at in seen[10:]]


def test_the_guide_without_its_alignment_looks_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets spread over the bars they are made of: the mistake that the page warns of."""
    late = "buckets.closes_at, len(m)"
    assert MODULE.count(late) == 1
    family = added(monkeypatch, MODULE.replace(late, "np.maximum(buckets.closes_at - minutes // 5 + 1, 0), len(m)"))
    combos = Combos({"timeframe": np.array([60]), "period": np.array([5])})
    certificate = proof(family, combos, [Rules()])
    assert certificate.first_difference is not None
    assert certificate.first_difference.what == "side"
    assert 5 <= certificate.first_difference.minutes_ahead <= 55
