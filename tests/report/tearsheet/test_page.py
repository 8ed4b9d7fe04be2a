"""Pages as files: nothing of them lies elsewhere, nothing in them runs that is not ours."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from matplotlib import rc_context

from state.files import codec
from state.files.layout import CHECKOUT
from tests.report.tearsheet.lists import walk
from tests.report.tearsheet.test_from_trades import SPLIT, doc_of
from WORKFLOW.report.tearsheet import comparison, page, picture
from WORKFLOW.report.tearsheet.parts import record_of

SCHEMAS = CHECKOUT / "docs" / "reference" / "schemas"
UPLOT = CHECKOUT / "WORKFLOW" / "report" / "tearsheet" / "assets" / "uPlot.iife.min.js"
HOSTILE = '</script><img src=x onerror="alert(1)">&"\'$x$'


@pytest.fixture(scope="module")
def doc(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return doc_of(walk(tmp_path_factory.mktemp("t") / "t.csv", 24 * 120), split_ms=SPLIT, tries=100)


@pytest.fixture(scope="module")
def both(doc: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    other = doc_of(walk(tmp_path_factory.mktemp("t") / "t.csv", 24 * 90, seed=2))
    other["strategy"] = {**other["strategy"], "name": "other"}
    return comparison.of([doc, other])


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def pages(doc: dict[str, Any], both: dict[str, Any]) -> list[bytes]:
    return [page.render(doc), comparison.render(both)]


def test_a_page_refers_to_nothing_outside_itself(doc: dict[str, Any], both: dict[str, Any]) -> None:
    for made in pages(doc, both):
        text = made.decode()
        elements = Elements(text)
        assert elements.open == [], "an element is not closed"
        tags = {tag for tag, _ in elements.found}
        assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form", "a", "video", "audio", "source"}
        for tag, attributes in elements.found:
            assert not {"src", "href", "srcset", "action", "data", "poster", "onload", "onerror"} & set(attributes), tag
        assert "://" not in text
        assert not re.search(r"@import|url\(", text)
        policy = next(a["content"] for t, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None
        assert policy.startswith("default-src 'none';")


def test_names_and_words_of_files_are_text_and_never_markup(doc: dict[str, Any], both: dict[str, Any]) -> None:
    nasty = json.loads(json.dumps(doc))
    nasty["strategy"]["name"] = HOSTILE
    nasty["notes"] = [HOSTILE]
    nasty["trades"]["by_exit"] = {HOSTILE: nasty["trades"]["all"]}
    compared = {**both, "title": HOSTILE, "strategies": [{**one, "name": HOSTILE} for one in both["strategies"]]}
    for made, record in ((page.render(nasty), nasty), (comparison.render(compared), compared)):
        elements = Elements(made.decode())
        assert elements.open == []
        assert "img" not in {tag for tag, _ in elements.found}
        assert record_of(made) == record, "what a program reads is what was written"
    assert picture.render(nasty).startswith(b"\x89PNG")


def test_a_document_fits_its_schema_and_survives_its_page(doc: dict[str, Any], both: dict[str, Any]) -> None:
    for record, made, name in (
        (doc, page.render(doc), "tearsheet"),
        (both, comparison.render(both), "comparison"),
    ):
        jsonschema.validate(record, json.loads((SCHEMAS / f"{name}.schema.json").read_text()))
        assert record_of(made) == record == codec.decode(codec.encode(record))


def test_what_holds_no_document_gives_none() -> None:
    assert record_of(b"<html></html>") is None
    assert record_of(b'<script type="application/json" id="document">{</script>') is None


def test_equal_documents_give_equal_pages(doc: dict[str, Any]) -> None:
    assert page.render(json.loads(json.dumps(doc))) == page.render(doc)


def test_210_000_trades_make_a_page_that_can_be_mailed(tmp_path: Path) -> None:
    doc = doc_of(walk(tmp_path / "t.csv", 210_000, minutes=5))
    assert doc["equity"]["marks"] == 210_001
    assert len(doc["equity"]["time"]) < 6_000
    assert len(page.render(doc)) < 500_000


def test_uplot_is_the_release_that_the_page_of_dependencies_names() -> None:
    row = next(
        line
        for line in (CHECKOUT / "docs" / "reference" / "dependencies.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `uPlot`")
    )
    assert hashlib.sha256(UPLOT.read_bytes()).hexdigest() in row
    assert "1.6.32" in row


def test_every_number_on_the_page_is_in_the_document(doc: dict[str, Any]) -> None:
    text = page.render(doc).decode()
    full, outside = doc["metrics"]["full"], doc["metrics"]["out_of_sample"]
    for said in (
        f"{outside['sharpe_ratio']:.2f}".replace("-", "−"),
        f"whole run {100 * full['total_return']:,.1f} %".replace("-", "−"),
        f"{full['total_trades']:,}",
        "365",
    ):
        assert said in text


def test_a_comparison_tells_the_days_that_all_have(both: dict[str, Any]) -> None:
    common = both["common"]
    assert (common["from"], common["to"], common["days"]) == ("2024-01-01", "2024-03-30", 90)
    assert common["correlation"][0][0] == pytest.approx(1.0)
    assert abs(common["correlation"][0][1]) < 0.5
    marks = [10_000.0, *both["strategies"][0]["daily"]["equity"][:90]]
    assert common["metrics"][0]["total_return"] == pytest.approx(marks[-1] / marks[0] - 1)


def test_finalists_that_are_one_strategy_are_one_line(doc: dict[str, Any]) -> None:
    def finalist(name: str, period: int) -> dict[str, Any]:
        strategy = {**doc["strategy"], "name": name, "symbol": "SOL", "mode": "calm", "parameters": {"period": period}}
        return {**doc, "strategy": strategy}

    made = comparison.of([finalist("best_sharpe", 3), finalist("best_winrate", 3), finalist("best_returns", 4)])
    assert made["title"] == "SOL calm: 2 strategies"
    assert [one["name"] for one in made["strategies"]] == ["best Sharpe, best win rate", "best return"]


def test_pictures_are_pictures(doc: dict[str, Any], both: dict[str, Any]) -> None:
    for made, size in ((picture.render(doc), (1280, 1700)), (picture.comparison(both), (1280, 900))):
        assert made.startswith(b"\x89PNG\r\n\x1a\n")
        assert (int.from_bytes(made[16:20]), int.from_bytes(made[20:24])) == size


def words_of(figure: Any) -> str:
    """All that stands in a picture."""
    from matplotlib.text import Text

    figure.canvas.draw()
    return "\n".join(one.get_text() for one in figure.findobj(Text))


def grown(doc: dict[str, Any]) -> dict[str, Any]:
    """What ends with twenty times as much."""
    factors = np.geomspace(1, 20, len(doc["daily"]["equity"]))
    daily = {**doc["daily"], "equity": (doc["capital"] * factors).tolist()}
    curve = {**doc["equity"], "equity": (doc["capital"] * np.geomspace(1, 20, len(doc["equity"]["time"]))).tolist()}
    return {**doc, "daily": daily, "equity": curve}


def test_a_logarithmic_scale_is_labelled_as_people_write_numbers(doc: dict[str, Any]) -> None:
    with rc_context(picture.STYLE):
        said = words_of(picture.figure(grown(doc)))
        assert "$" not in said
        assert {"10,000", "20,000", "50,000", "100,000", "200,000"} <= set(said.split("\n"))
        beside = words_of(picture.compared(comparison.of([doc, grown(doc)])))
    assert {"0", "100", "400", "900"} <= set(beside.split("\n"))


def test_a_picture_shows_both_excursions(doc: dict[str, Any]) -> None:
    with rc_context(picture.STYLE):
        said = words_of(picture.figure(doc))
    assert "MAE" in said
    assert "MFE" in said


def test_a_comparison_shades_the_days_that_were_held_back_from_all(doc: dict[str, Any], both: dict[str, Any]) -> None:
    with rc_context(picture.STYLE):
        assert words_of(picture.compared(comparison.of([doc, doc]))).count("out-of-sample") == 2
        assert "out-of-sample" not in words_of(picture.compared(both)), "one of them has none"


def test_names_are_in_the_pictures_whatever_they_begin_with_and_are_made_of(
    doc: dict[str, Any], both: dict[str, Any]
) -> None:
    strategies = [{**one, "name": name} for one, name in zip(both["strategies"], ("_mine", "$x$ 策略"), strict=True)]
    legend = picture.compared({**both, "strategies": strategies}).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text().split(" ·")[0] for text in legend.get_texts()] == ["_mine", "$x$ 策略"]
    assert picture.comparison({**both, "strategies": strategies}).startswith(b"\x89PNG")
    assert picture.render({**doc, "strategy": {**doc["strategy"], "name": "策略"}}).startswith(b"\x89PNG")
