"""One finalist on trial: the holdout, Monte Carlo, the other engine, other futures, and the verdict that follows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from WORKFLOW.data.bars import Floats, Minutes
from WORKFLOW.engines import metrics
from WORKFLOW.engines.ledger import Ledger
from WORKFLOW.engines.market import Window
from WORKFLOW.search.evaluate import Evaluator
from WORKFLOW.search.space import Combos, Parameters
from WORKFLOW.search.study import Trial
from WORKFLOW.steps import exact
from WORKFLOW.steps.keep import PlannedStep, Steps
from WORKFLOW.validity import ambiguity, look_ahead, monte_carlo, regimes, verdict, walk_forward, wicks
from WORKFLOW.validity.benchmark import buy_and_hold
from WORKFLOW.validity.chance import expected_max_sharpe
from WORKFLOW.validity.plateau import Plateau
from WORKFLOW.validity.search import deflated
from WORKFLOW.validity.search.whole import SearchTrial

# A seed of its own for every purpose.
SeedOf = Callable[..., np.random.SeedSequence]


@dataclass(frozen=True)
class Case:
    """What every finalist of a run is judged by. `windows`: in_sample and out_of_sample, as windows of `everything`.
    `minutes`: of the bars of `everything`, when they are at hand."""

    everything: Evaluator
    minutes: Minutes | None
    in_sample: Evaluator
    windows: Mapping[str, Window]
    settings: Settings
    walk_forward: dict[str, Any]
    cross_validation: dict[str, Any]
    tries: int
    synthetic: bool
    seed: SeedOf
    search: SearchTrial
    regimes: regimes.Labels  # of each day of `everything`
    plateaus: Mapping[int, Plateau]  # trial number → what surrounds it
    extreme_bars: NDArray[np.bool_]  # (n,) of `everything`: a high or low there is far from its neighbours
    allowed_wicks: int = 0  # prices that no neighbouring bar reaches and that only the operator accepts
    cross_checks: Mapping[int, dict[str, Any]] = field(default_factory=dict)  # trial number → what another tool found


@dataclass(frozen=True)
class Judged:
    """Everything known about one finalist. `whole`: one continuous run over all bars. Returns are daily, (d,)."""

    trial: Trial
    in_sample: dict[str, Any]
    out_of_sample: dict[str, Any]
    full: dict[str, Any]
    whole: Ledger
    in_sample_returns: Floats
    out_of_sample_returns: Floats
    plateau: Plateau
    validation: dict[str, Any]
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)  # of each window, run on its own

    @property
    def verdict(self) -> str:
        """The one plain line."""
        return str(self.validation["verdict"])


@exact.record
@dataclass(frozen=True)
class Traded:
    """What one finalist traded: by window its ledger, metrics and ambiguity band, and one run over `whole`.

    `agree`: whether every engine found the same trades.
    """

    ledgers: dict[str, Ledger]
    values: dict[str, dict[str, Any]]
    bands: dict[str, ambiguity.Values]
    whole: Ledger
    agree: bool


def plan(trial: Trial, windows: Sequence[str]) -> list[PlannedStep]:
    """The steps of `judge`."""
    looked = [_traded_step(trial), *look_ahead.parts(_proof_step(trial)), _fixed_step(trial)]
    names = [*looked, *(_monte_carlo_step(trial, window) for window in windows)]
    return [PlannedStep(name, trial.parameters) for name in names]


def judge(case: Case, trial: Trial, steps: Steps | None = None) -> Judged:
    """Look at the holdout, once, and at everything else that could speak against `trial`."""
    everything, parameters, capital = case.everything, trial.parameters, case.settings.costs.capital
    steps = steps or Steps()
    traded = steps.do(_traded_step(trial), partial(_traded, case, parameters))
    ledgers, values, whole, agree = traded.ledgers, traded.values, traded.whole, traded.agree
    daily = {name: _daily_returns(case, name, ledger) for name, ledger in ledgers.items()}
    effective = _trials_of(case)
    holding = {
        name: buy_and_hold(everything.market, window, case.settings.costs) for name, window in case.windows.items()
    }
    hangs = {
        name: wicks.share(
            ledgers[name], everything.market, case.windows[name], case.extreme_bars, values[name], capital
        )
        for name in ledgers
    }
    seed = case.seed("look-ahead", trial.number)
    proof = look_ahead.of_finalist(everything, parameters, seed, steps, _proof_step(trial))
    fixed = steps.do(
        _fixed_step(trial), lambda: walk_forward.fixed(case.in_sample, parameters, case.settings.walk_forward)
    )
    paths = {
        name: steps.do(
            _monte_carlo_step(trial, name), partial(_monte_carlo, case, trial, name, ledgers[name], daily[name])
        )
        for name in ledgers
    }
    evidence = verdict.FinalistEvidence(
        in_sample=values["in_sample"],
        out_of_sample=values["out_of_sample"],
        walk_forward_sharpe=case.walk_forward["rolling"]["sharpe_ratio"],
        walk_forward_efficiency=case.walk_forward["rolling"]["efficiency"]["sharpe_ratio"],
        plateau=case.plateaus[trial.number].summary["share_of_half"],
        engines_agree=agree,
        looks_ahead=None if proof.proven else str(proof.first_difference),
        ruined=any(ledger.ruined for ledger in (*ledgers.values(), whole)),
        synthetic=case.synthetic,
        tries=case.tries,
        deflated_sharpe=None if effective is None else deflated.deflated_sharpe(daily["in_sample"], effective),
        min_backtest_years=_years_needed(values["in_sample"]["sharpe_ratio"], effective),
        overfitting=None if case.search.overfit is None else case.search.overfit.pbo,
        luck=case.search.luck,
        placebo=case.search.placebo.p_value,
        buy_and_hold_sharpe=holding["out_of_sample"]["sharpe_ratio"],
        allowed_wicks=case.allowed_wicks,
        sharpe_without_wicks=hangs["out_of_sample"]["sharpe_ratio"],
    )
    results = verdict.checks(evidence, case.settings)
    spans = {name: walk_forward.span(everything.market, window) for name, window in case.windows.items()}
    return Judged(
        trial=trial,
        in_sample=values["in_sample"],
        out_of_sample=values["out_of_sample"],
        full=metrics.full(whole, everything.market, everything.whole, capital),
        whole=whole,
        in_sample_returns=daily["in_sample"],
        out_of_sample_returns=daily["out_of_sample"],
        plateau=case.plateaus[trial.number],
        validation={
            "verdict": verdict.line(evidence, results),
            "candidate": all(check.passed for check in results),
            "checks": [asdict(check) for check in results],
            **{name: {**spans[name], "metrics": values[name]} for name in ledgers},
            "chance": chance(case.tries, values["in_sample"]["days"]),
            "effective_trials": effective,
            "buy_and_hold": holding,
            "engines": {"agree": agree, "trades_compared": sum(len(ledger.trades) for ledger in ledgers.values())},
            "look_ahead": proof.as_json(),
            "ambiguity": ambiguity.record(traded.bands, evidence, case.settings),
            "wicks": wicks.record(hangs, values, case.allowed_wicks),
            **({"cross_check": case.cross_checks[trial.number]} if trial.number in case.cross_checks else {}),
            "plateau": case.plateaus[trial.number].summary,
            "walk_forward": {
                "process": case.walk_forward,
                "this_strategy": fixed,
            },
            "cross_validation": case.cross_validation,
            "monte_carlo": paths,
            "by_regime": {
                name: regimes.by_regime(ledgers[name], everything.market, case.windows[name], capital, case.regimes)
                for name in ledgers
            },
        },
        ledgers=ledgers,
    )


def chance(tries: int, days: int) -> dict[str, Any]:
    """What luck alone gives to so many tries over so many in-sample days."""
    return {"tries": tries, "days": days, "expected_max_sharpe": expected_max_sharpe(tries, days)}


def _traded_step(trial: Trial) -> str:
    return f"holdout of trial {trial.number}"


def _proof_step(trial: Trial) -> str:
    return f"look-ahead of trial {trial.number}"


def _fixed_step(trial: Trial) -> str:
    return f"test windows of trial {trial.number}"


def _monte_carlo_step(trial: Trial, window: str) -> str:
    return f"Monte Carlo of trial {trial.number}, {window}"


def _traded(case: Case, parameters: Parameters) -> Traded:
    everything, capital = case.everything, case.settings.costs.capital
    ledgers = {name: everything.ledger(parameters, window) for name, window in case.windows.items()}
    values = {name: metrics.full(ledgers[name], everything.market, case.windows[name], capital) for name in ledgers}
    subject = ambiguity.Subject(everything, parameters, case.minutes)
    bands = {name: ambiguity.band(subject, case.windows[name], values[name]) for name in ledgers}
    agree = _screened_alike(case, parameters, values)
    agree &= all(same_trades(ledgers[name], bands[name].reference) for name in ledgers)
    whole = everything.ledger(parameters, everything.whole)
    return Traded(ledgers, values, {name: one.values for name, one in bands.items()}, whole, agree)


def _daily_returns(case: Case, name: str, ledger: Ledger) -> Floats:
    marks = metrics.daily_marks(ledger.equity, case.everything.market, case.windows[name])
    return metrics.daily_returns(marks, case.settings.costs.capital)


def _trials_of(case: Case) -> float | None:
    """What all tries of this run are worth: those of the search like those of the prescreen."""
    effective, searched = case.search.effective_trials, case.search.tried
    return None if effective is None else effective * max(1.0, case.tries / searched)


def _years_needed(sharpe: float | None, effective: float | None) -> float | None:
    return None if sharpe is None or effective is None else deflated.min_backtest_years(sharpe, effective)


def _monte_carlo(case: Case, trial: Trial, name: str, ledger: Ledger, returns: Floats) -> dict[str, Any]:
    settings = case.settings.monte_carlo
    net = np.ascontiguousarray(ledger.trades["net_pnl_pct"])
    return {
        "trade_shuffle": monte_carlo.trade_shuffle(net, settings, case.seed(f"shuffle {name}", trial.number)),
        "block_bootstrap": monte_carlo.block_bootstrap(returns, settings, case.seed(f"bootstrap {name}", trial.number)),
        "skipped_trades": monte_carlo.skipped_trades(net, settings, case.seed(f"skipped {name}", trial.number)),
        "noisy_fills": monte_carlo.noisy_fills(
            ledger.trades, case.settings.costs.fee_rate, settings, case.seed(f"noisy {name}", trial.number)
        ),
    }


def _screened_alike(case: Case, parameters: Parameters, values: Mapping[str, dict[str, Any]]) -> bool:
    """Whether the batch engine, which chose this strategy, sees in it what its ledgers show."""
    windows = [case.windows[name] for name in values]
    rows = case.everything.screen(Combos.of([parameters]), windows, threads=1)[:, 0]
    ledgers = [[one[key] for key in metrics.SCREEN] for one in values.values()]
    return bool(np.allclose(rows, np.array(ledgers, dtype=np.float64), rtol=1e-9, atol=1e-9, equal_nan=True))


def same_trades(fast: Ledger, reference: Ledger) -> bool:
    """Equal trades in bars, sides and reasons; numbers within 1e-9 (strategy_semantics: when two engines agree)."""
    exact = ("side", "entry_bar", "exit_bar", "reason_open", "reason_close")
    if len(fast.trades) != len(reference.trades) or any((fast.trades[k] != reference.trades[k]).any() for k in exact):
        return False
    pairs = [(fast.trades[k], reference.trades[k]) for k in ("entry_price", "exit_price", "pnl", "net_pnl_pct")]
    return all(
        np.all(np.abs(a - b) <= 1e-9 * np.maximum(1, np.abs(b))) for a, b in [*pairs, (fast.equity, reference.equity)]
    )
