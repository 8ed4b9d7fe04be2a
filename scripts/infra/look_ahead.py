"""`scripts/prove-no-lookahead`: change future bars and require that the past stays the same to the bit."""

import argparse
import json
import sys
import time
from typing import Any

from config.errors import Refused
from state.host import command

EPILOG = """\
examples:
  scripts/prove-no-lookahead --data-path data --symbol SOL --family donchian
  scripts/prove-no-lookahead --demo --mode aggressive --combos 4 --cuts 20 --json

Without --family and --mode, every family is tried, each in the first mode of the settings that uses it.
exit codes: 0 proven, 1 look-ahead was found or the input was refused, 2 usage, 130 stopped by Ctrl-C
"""
COMBOS, CUTS = 8, 32  # about 20 s for each family with 853 days of bars
COMPARED = {"bits_compared": "bits", "trades_compared": "trades", "marks_compared": "equity marks"}


def main(arguments: list[str]) -> int:
    """Try the families; the last line says whether look-ahead was found."""
    return command.run(parser, proven, arguments, stopped=("stopped: nothing is proven", ""))


def proven(asked: argparse.Namespace) -> int:
    """Return 0 when no family looks ahead and each traded, else 1."""
    proofs = run(asked)
    holds = all(proof["proven"] and proof["trades_compared"] for proof in proofs)  # without a trade, nothing was tried
    if asked.json:
        print(json.dumps({"proven": holds, "proofs": proofs}, indent=2))
    return 0 if holds else 1


def parser() -> command.Parser:
    """Return the parser of the flags."""
    from WORKFLOW.command_line import READING, add_flags

    p = command.Parser(
        prog="prove-no-lookahead",
        description="Replace the bars after random and awkward points in time with other futures, and check that no"
        " signal bit, trade, entry or equity mark before them changes.",
        epilog=EPILOG,
        is_older=True,
    )
    few = command.whole(1, 10_000)
    add_flags(p, *READING, "--data-path")
    add_flags(p, "--symbol", help="the start of the file's name, for example SOL")
    add_flags(p, "--demo", help="use generated bars")
    add_flags(p, "--repair", "--allow-wicks")
    p.add_argument("--family", metavar="F", help="a signal family (docs/reference/signal_families.md)")
    add_flags(p, "--mode", help="a parameter space of the settings, from which combos are drawn")
    p.add_argument("--combos", type=few, default=COMBOS, metavar="N", help=f"combos to try (default {COMBOS})")
    p.add_argument("--cuts", type=few, default=CUTS, metavar="N", help=f"points in time to try (default {CUTS})")
    add_flags(p, "--seed", help="seed of combos, cuts and futures (default: run.seed)")
    add_flags(p, "--json", help="print the certificates as one JSON object")
    return p


def run(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a certificate for each mode as JSON values; print each as soon as it is there."""
    from config.settings import load, with_values
    from scripts.infra.bars import named
    from WORKFLOW.engines.market import Market
    from WORKFLOW.report.console import Screen

    settings = load()
    if asked.seed is not None:
        settings = with_values(settings, run={"seed": asked.seed})
    modes = chosen(settings, asked.family, asked.mode)
    proofs = []
    with Screen() as screen:
        [bars] = named(asked, [asked.symbol] if asked.symbol else [], settings)
        market = Market.of(bars)
        for mode in modes:
            screen.say(
                f"{bars.symbol} · {len(market):,} bars · {mode.family}, mode {mode.name} · {asked.combos} combos"
            )
            began_s = time.monotonic()
            with screen.phase("futures", asked.cuts) as phase:
                proof = prove(settings, mode, market, asked, phase)
            labels = {"symbol": bars.symbol, "synthetic": bars.synthetic, "family": mode.family, "mode": mode.name}
            proofs.append({**labels, **proof})
            tell(screen if asked.json else None, proofs[-1], time.monotonic() - began_s)
    return proofs


def chosen(settings: Any, family: str | None, name: str | None) -> list[Any]:
    """Return the modes to draw from: the named one, or the first of the family, or of each family."""
    from WORKFLOW.signals import FAMILIES

    if name is not None:
        mode = settings.mode(name)
        if family not in (None, mode.family):
            raise Refused(f"mode {name!r} is of the family {mode.family!r}, not {family!r}", "leave one of them out")
        return [mode]
    if family not in (None, *FAMILIES):
        raise Refused(f"unknown family {family!r}", f"one of: {', '.join(FAMILIES)}")
    first = {mode.family: mode for mode in reversed(list(settings.modes.values()))}
    for one in [family] if family else FAMILIES:
        if one not in first:
            reason, way_out = f"no mode uses the family {one!r}", "add one to the settings: it says what to draw from"
            if family:
                raise Refused(reason, way_out)
            print(f"left out: {reason}; {way_out}", file=sys.stderr)
    return [first[one] for one in ([family] if family else FAMILIES) if one in first]


def prove(settings: Any, mode: Any, market: Any, asked: argparse.Namespace, phase: Any) -> dict[str, Any]:
    """Return the certificate of some combos of `mode`, with the parameters of a combo that looked ahead."""
    import numpy as np

    from WORKFLOW.engines.rules import EXECUTION, Rules
    from WORKFLOW.search.space import draw, family_of
    from WORKFLOW.validity import look_ahead

    seeds = np.random.SeedSequence(settings.run.seed).spawn(1)[0], np.random.SeedSequence(settings.run.seed)
    combos = draw(mode, asked.combos, seeds[0])
    rows = [combos.row(i) for i in range(len(combos))]
    rules = [Rules.of(settings.costs, {name: row[name] for name in EXECUTION}) for row in rows]
    strategies = look_ahead.Strategies(family_of(mode), combos.columns, rules)
    proof = look_ahead.prove(
        market, strategies, asked.cuts, seeds[1], on_cut=lambda done, of: phase.at(done * asked.cuts // of)
    )
    found = proof.first_difference
    return {**proof.as_json(), "parameters": None if found is None else rows[found.combo]}


def tell(screen: Any, proof: dict[str, Any], seconds: float) -> None:
    """Print the result on standard output; on standard error when standard output is for JSON."""
    say = print if screen is None else screen.say
    if not proof["trades_compared"] and proof["proven"]:
        say(f"nothing tried: {proof['family']}, mode {proof['mode']}: no combo traded; shorter periods, or more bars")
        return
    if proof["proven"]:
        compared = ", ".join(f"{proof[key]:,} {word}" for key, word in COMPARED.items())
        tried = f"{proof['futures']:,} futures after {proof['cuts']} cuts"
        say(f"proven: {proof['family']}, mode {proof['mode']}: {tried} changed nothing before them")
        say(f"  compared {compared}; engines {', '.join(proof['engines'])}; {seconds:.1f} s")
        return
    found = proof["first_difference"]
    whose = f"the {found['engine']} engine" if found["engine"] else f"family {proof['family']}"
    say(f"LOOKS AHEAD: {whose}, at least {found['minutes_ahead']:,} minutes; {found['what']} of bar {found['bar']:,}")
    say(f"  opened {found['time']}, changed when the bars after {found['cut']:,} were replaced ({found['future']})")
    say(f"  combo {found['combo']}: {proof['parameters']}; {seconds:.1f} s")
