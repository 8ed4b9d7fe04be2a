"""Judge one finalist: its holdout, Monte Carlo, the other engines, a look-ahead test, and the verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from state.records.metrics import Metrics
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
from WORKFLOW.validity.ambiguity import BandRecord
from WORKFLOW.validity.benchmark import Holding, buy_and_hold
from WORKFLOW.validity.certificate import Certificate
from WORKFLOW.validity.chance import Chance
from WORKFLOW.validity.cross_validation import CrossValidation
from WORKFLOW.validity.monte_carlo import MonteCarlo
from WORKFLOW.validity.plateau import Plateau
from WORKFLOW.validity.regimes import RegimeDays
from WORKFLOW.validity.search import deflated
from WORKFLOW.validity.search.whole import SearchTrial
from WORKFLOW.validity.validated import Engines, Validation, WindowResult
from WORKFLOW.validity.verdict import WindowFigures
from WORKFLOW.validity.walk_forward import FixedWindow, WalkForward
from WORKFLOW.validity.wicks import WickShare

# Called with a purpose (and numbers), it returns a seed that only this purpose gets.
SeedOf = Callable[..., np.random.SeedSequence]


@dataclass(frozen=True)
class Case:
    """What every finalist of a run is judged by.

    `windows` holds in_sample and out_of_sample, as windows of `everything`. `minutes` holds the 1-minute bars of
    `everything`, if there are any.
    """

    everything: Evaluator
    minutes: Minutes | None
    in_sample: Evaluator
    windows: Mapping[str, Window]
    settings: Settings
    walk_forward: dict[str, WalkForward]  # by scheme
    cross_validation: CrossValidation
    tries: int
    synthetic: bool
    seed: SeedOf
    search: SearchTrial
    regimes: regimes.Labels  # of each day of `everything`
    extreme_bars: NDArray[np.bool_]  # (n,) of `everything`: a high or low lies far from those of its neighbours
    allowed_wicks: int = 0  # prices that no neighbouring bar reaches and that the operator has allowed

    @property
    def effective_trials(self) -> float | None:
        """The number of independent tries that all tries of this run are worth, in prescreen and search together."""
        effective, searched = self.search.effective_trials, self.search.tried
        return None if effective is None else effective * max(1.0, self.tries / searched)


@dataclass(frozen=True)
class Finalist:
    """A trial that was selected, its neighbours, and the answer of vectorbt if vectorbt was asked beforehand."""

    trial: Trial
    plateau: Plateau
    cross_check: Mapping[str, Any] | None = None


@exact.record
@dataclass(frozen=True)
class Traded:
    """What one finalist traded: ledger, metrics and ambiguity band of each window, and one run over all bars (`whole`).

    `agree` says whether all engines found the same trades.
    """

    ledgers: dict[str, Ledger]
    values: dict[str, Metrics]
    bands: dict[str, BandRecord]
    whole: Ledger
    agree: bool


@dataclass(frozen=True)
class Measured:
    """All measurements of one finalist. The keys of each dict are the windows; `daily` holds daily returns (d,)."""

    traded: Traded
    daily: dict[str, Floats]
    holding: dict[str, Holding]  # buy and hold over each window
    wicks: dict[str, WickShare]  # how much of the result depends on extreme wicks
    look_ahead: Certificate
    test_windows: list[FixedWindow]  # the walk-forward's test windows, traded with these parameters
    monte_carlo: dict[str, MonteCarlo]


@dataclass(frozen=True)
class Judged:
    """All that is known about one finalist. `whole` is one continuous run over all bars; returns are daily, (d,)."""

    trial: Trial
    in_sample: Metrics
    out_of_sample: Metrics
    full: Metrics
    whole: Ledger
    in_sample_returns: Floats
    out_of_sample_returns: Floats
    plateau: Plateau
    validation: Validation
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)  # by window; each window was run on its own

    @property
    def verdict(self) -> str:
        """The verdict as one plain line."""
        return self.validation.verdict


def plan(trial: Trial, windows: Sequence[str]) -> list[PlannedStep]:
    """Return the steps of `judge`, in their order."""
    looked = [_traded_step(trial), *look_ahead.parts(_proof_step(trial)), _fixed_step(trial)]
    names = [*looked, *(_monte_carlo_step(trial, window) for window in windows)]
    return [PlannedStep(name, trial.parameters) for name in names]


def judge(case: Case, finalist: Finalist, steps: Steps | None = None) -> Judged:
    """Look at the holdout once, and at all other evidence for or against a finalist."""
    measured = _measure(case, finalist.trial, steps or Steps())
    evidence = _evidence(case, finalist, measured)
    traded, market = measured.traded, case.everything.market
    return Judged(
        trial=finalist.trial,
        in_sample=traded.values["in_sample"],
        out_of_sample=traded.values["out_of_sample"],
        full=metrics.full(traded.whole, market, case.everything.whole, case.settings.costs.capital),
        whole=traded.whole,
        in_sample_returns=measured.daily["in_sample"],
        out_of_sample_returns=measured.daily["out_of_sample"],
        plateau=finalist.plateau,
        validation=_record(case, finalist, measured, evidence),
        ledgers=traded.ledgers,
    )


# measure --------------------------------------------------------------------------------------------------------------


def _measure(case: Case, trial: Trial, steps: Steps) -> Measured:
    """Measure one finalist; each measurement that takes long is a step, so that its result is kept."""
    parameters, market, costs = trial.parameters, case.everything.market, case.settings.costs
    traded = steps.do(_traded_step(trial), partial(_traded, case, parameters))
    daily = {name: _daily_returns(case, name, ledger) for name, ledger in traded.ledgers.items()}
    return Measured(
        traded=traded,
        daily=daily,
        holding={name: buy_and_hold(market, window, costs) for name, window in case.windows.items()},
        wicks={name: _wicks(case, name, traded) for name in traded.ledgers},
        look_ahead=look_ahead.of_finalist(
            case.everything, parameters, case.seed("look-ahead", trial.number), steps, _proof_step(trial)
        ),
        test_windows=steps.do(
            _fixed_step(trial), lambda: walk_forward.fixed(case.in_sample, parameters, case.settings.walk_forward)
        ),
        monte_carlo={
            name: steps.do(
                _monte_carlo_step(trial, name), partial(_monte_carlo, case, trial, name, ledger, daily[name])
            )
            for name, ledger in traded.ledgers.items()
        },
    )


def _wicks(case: Case, name: str, traded: Traded) -> WickShare:
    market, window, capital = case.everything.market, case.windows[name], case.settings.costs.capital
    return wicks.share(traded.ledgers[name], market, window, case.extreme_bars, traded.values[name], capital)


# judge ----------------------------------------------------------------------------------------------------------------


def _evidence(case: Case, finalist: Finalist, measured: Measured) -> verdict.FinalistEvidence:
    """Collect the values that the checks look at, of the finalist and of the search that found it."""
    traded, search, rolling = measured.traded, case.search, case.walk_forward["rolling"]
    values, effective = traded.values, case.effective_trials
    return verdict.FinalistEvidence(
        in_sample=WindowFigures.of(values["in_sample"]),
        out_of_sample=WindowFigures.of(values["out_of_sample"]),
        walk_forward_sharpe=rolling.sharpe_ratio,
        walk_forward_efficiency=rolling.efficiency.sharpe_ratio,
        plateau=finalist.plateau.summary.share_of_half,
        engines_agree=traded.agree,
        looks_ahead=None if measured.look_ahead.proven else str(measured.look_ahead.first_difference),
        ruined=any(ledger.ruined for ledger in (*traded.ledgers.values(), traded.whole)),
        synthetic=case.synthetic,
        tries=case.tries,
        deflated_sharpe=None if effective is None else deflated.deflated_sharpe(measured.daily["in_sample"], effective),
        min_backtest_years=_years_needed(values["in_sample"].sharpe_ratio, effective),
        overfitting=None if search.overfit is None else search.overfit.pbo,
        luck=search.luck,
        placebo=search.placebo.p_value,
        buy_and_hold_sharpe=measured.holding["out_of_sample"].sharpe_ratio,
        allowed_wicks=case.allowed_wicks,
        sharpe_without_wicks=measured.wicks["out_of_sample"].sharpe_ratio,
    )


def _record(case: Case, finalist: Finalist, measured: Measured, evidence: verdict.FinalistEvidence) -> Validation:
    """Return `validation.json`: the verdict, its checks, and the evidence for them."""
    checks, traded = verdict.checks(evidence, case.settings), measured.traded
    ledgers, values, market = traded.ledgers, traded.values, case.everything.market
    spans = {name: walk_forward.span(market, window) for name, window in case.windows.items()}
    compared = sum(len(ledger.trades) for ledger in ledgers.values())
    return Validation(
        verdict=verdict.line(evidence, checks),
        candidate=all(check.passed for check in checks),
        checks=checks,
        windows={name: WindowResult(spans[name], values[name]) for name in ledgers},
        chance=Chance.of(case.tries, values["in_sample"].days),
        effective_trials=case.effective_trials,
        buy_and_hold=measured.holding,
        engines=Engines(traded.agree, compared),
        look_ahead=measured.look_ahead,
        ambiguity=ambiguity.record(traded.bands, evidence, case.settings),
        wicks=wicks.record(measured.wicks, values, case.allowed_wicks),
        cross_check=finalist.cross_check,
        plateau=finalist.plateau.summary,
        walk_forward=case.walk_forward,
        test_windows=measured.test_windows,
        cross_validation=case.cross_validation,
        monte_carlo=measured.monte_carlo,
        by_regime={name: _by_regime(case, name, ledger) for name, ledger in ledgers.items()},
    )


def _by_regime(case: Case, name: str, ledger: Ledger) -> dict[str, RegimeDays]:
    market, window, capital = case.everything.market, case.windows[name], case.settings.costs.capital
    return regimes.by_regime(ledger, market, window, capital, case.regimes)


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
    subject = ambiguity.StrategyOnBars(everything, parameters, case.minutes)
    bands = {name: ambiguity.band(subject, case.windows[name], values[name]) for name in ledgers}
    agree = _screened_alike(case, parameters, values)
    agree &= all(same_trades(ledgers[name], bands[name].reference) for name in ledgers)
    whole = everything.ledger(parameters, everything.whole)
    return Traded(ledgers, values, {name: band.record for name, band in bands.items()}, whole, agree)


def _daily_returns(case: Case, name: str, ledger: Ledger) -> Floats:
    marks = metrics.daily_marks(ledger.equity, case.everything.market, case.windows[name])
    return metrics.daily_returns(marks, case.settings.costs.capital)


def _years_needed(sharpe: float | None, effective: float | None) -> float | None:
    return None if sharpe is None or effective is None else deflated.min_backtest_years(sharpe, effective)


def _monte_carlo(case: Case, trial: Trial, name: str, ledger: Ledger, returns: Floats) -> MonteCarlo:
    settings = case.settings.monte_carlo
    net = np.ascontiguousarray(ledger.trades["net_pnl_pct"])
    return MonteCarlo(
        trade_shuffle=monte_carlo.trade_shuffle(net, settings, case.seed(f"shuffle {name}", trial.number)),
        block_bootstrap=monte_carlo.block_bootstrap(returns, settings, case.seed(f"bootstrap {name}", trial.number)),
        skipped_trades=monte_carlo.skipped_trades(net, settings, case.seed(f"skipped {name}", trial.number)),
        noisy_fills=monte_carlo.noisy_fills(
            ledger.trades, case.settings.costs.fee_rate, settings, case.seed(f"noisy {name}", trial.number)
        ),
    )


def _screened_alike(case: Case, parameters: Parameters, values: Mapping[str, Metrics]) -> bool:
    """Return whether the batch engine, which selected this strategy, shows the same metrics as the ledgers."""
    windows = [case.windows[name] for name in values]
    rows = case.everything.screen(Combos.of([parameters]), windows, threads=1)[:, 0]
    ledgers = [[getattr(row, key) for key in metrics.SCREEN] for row in values.values()]
    return bool(np.allclose(rows, np.array(ledgers, dtype=np.float64), rtol=1e-9, atol=1e-9, equal_nan=True))


def same_trades(fast: Ledger, reference: Ledger) -> bool:
    """Return whether trades are equal in bars, sides and reasons, and numbers within 1e-9 times max(1, |number|)."""
    exact = ("side", "entry_bar", "exit_bar", "reason_open", "reason_close")
    if len(fast.trades) != len(reference.trades) or any((fast.trades[k] != reference.trades[k]).any() for k in exact):
        return False
    pairs = [(fast.trades[k], reference.trades[k]) for k in ("entry_price", "exit_price", "pnl", "net_pnl_pct")]
    return all(
        np.all(np.abs(a - b) <= 1e-9 * np.maximum(1, np.abs(b))) for a, b in [*pairs, (fast.equity, reference.equity)]
    )
