"""The command: what it proves, what it finds, what it refuses."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scripts.infra import look_ahead
from state.files.layout import CHECKOUT
from tests.validity import planted
from tests.validity.planted import Planted
from WORKFLOW.signals import FAMILIES

SCHEMA = json.loads((CHECKOUT / "docs" / "reference" / "schemas" / "validation.schema.json").read_text())
FEW = ["--demo", "--combos", "2", "--cuts", "3"]
LEAKING = """
modes:
  leaking:
    family: planted
    space: {one: [1], direction: [both], stop_loss: [0.01], take_profit: [0.0], trailing_stop: [0.0], max_bars: [0]}
"""


@pytest.fixture(autouse=True)
def results(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path_factory.getbasetemp() / "results"))


@pytest.fixture
def leaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(LEAKING, encoding="utf-8")
    monkeypatch.setenv("BACKTEST_OPTIMIZE_CONFIG", str(path))
    monkeypatch.setitem(FAMILIES, "planted", Planted(planted.unshifted))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = look_ahead.main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_every_family_is_proven_on_the_demo_bars(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, *FEW, "--json")
    record: dict[str, Any] = json.loads(out)
    assert (code, record["proven"]) == (0, True)
    assert [proof["family"] for proof in record["proofs"]] == list(FAMILIES)
    for proof in record["proofs"]:
        assert proof["synthetic"]
        certificate = {key: proof[key] for key in SCHEMA["properties"]["look_ahead"]["required"]}
        jsonschema.validate(certificate, SCHEMA["properties"]["look_ahead"])
    assert "futures: done" in err
    assert "proven: donchian, mode breakout: " in err  # standard output is the JSON's


def test_a_leak_is_told_with_its_bar_and_parameters_and_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], leaking: None
) -> None:
    code, out, _ = said(capsys, *FEW, "--family", "planted", "--seed", "3")
    assert code == 1
    assert "LOOKS AHEAD: family planted, at least" in out
    assert "'one': 1" in out
    code, out, _ = said(capsys, *FEW, "--mode", "leaking", "--json")
    (proof,) = json.loads(out)["proofs"]
    assert (code, proof["proven"], proof["parameters"]["stop_loss"]) == (1, False, 0.01)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "no bars to work on"),
        (["--data-path", "x"], "no bars to work on"),
        ([*FEW, "--symbol", "SOL"], "--demo generates its own bars"),
        ([*FEW, "--family", "astrology"], "unknown family 'astrology'"),
        ([*FEW, "--mode", "breakout", "--family", "mtf_ema"], "mode 'breakout' is of the family 'donchian'"),
        ([*FEW, "--mode", "wild"], "unknown mode 'wild'"),
        ([*FEW, "--seed", "-1"], "run.seed is -1"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(
    capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    code, out, err = said(capsys, *words)
    assert (code, out) == (1, "")
    assert reason in err
    assert "→" in err
    code, out, _ = said(capsys, *words, "--json")
    assert (code, reason in json.loads(out)["error"]) == (1, True)


def test_a_family_without_a_mode_is_left_out_and_refused_when_it_is_the_one_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAMILIES, "planted", Planted(planted.honest))
    code, out, err = said(capsys, *FEW)
    assert (code, "left out: no mode uses the family 'planted'" in err, "proven: donchian" in out) == (0, True, True)
    code, _, err = said(capsys, *FEW, "--family", "planted")
    assert (code, "no mode uses the family 'planted'" in err) == (1, True)


def test_without_a_trade_nothing_is_proven(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Channels longer than the bars: no combo ever has a side."""
    overlay = tmp_path / "long.yaml"
    overlay.write_text("modes: {breakout: {space: {timeframe: [1440], channel_period: [9000]}}}", encoding="utf-8")
    monkeypatch.setenv("BACKTEST_OPTIMIZE_CONFIG", str(overlay))
    code, out, _ = said(capsys, *FEW, "--family", "donchian")
    assert (code, "nothing tried: donchian" in out, "proven" in out) == (1, True, False)


@pytest.mark.parametrize("words", [["--cuts", "0"], ["--combos", "few"], ["--nonsense"]])
def test_wrong_usage(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert said(capsys, *words)[0] == 2
