"""Pages in a real browser, as wide as a desk and as narrow as a phone. Skipped where there is no Chromium."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import Browser, browser
from tests.report.tearsheet.lists import walk
from tests.report.tearsheet.test_from_trades import SPLIT, doc_of
from WORKFLOW.report.tearsheet import comparison, page

DESK, PHONE = 1280, 390
# How many colours each canvas holds.
PAINTED = """
[...document.querySelectorAll('.chart canvas')].map((canvas) => {
  const { width, height } = canvas;
  const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 200) colours.add([data[i] >> 5, data[i + 1] >> 5, data[i + 2] >> 5].join());
  return colours.size;
})
"""
OVERFLOWING = """
[...document.querySelectorAll('main *')]
  .filter((one) => !one.closest('.scroll') && !one.closest('.u-over'))
  .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
  .map((one) => one.outerHTML.slice(0, 90))
"""
# Forty pointer moves and a zoom: the most milliseconds of work that one of them takes.
MOVES = """
(async () => {
  const over = document.querySelector('#equity .u-over'), box = over.getBoundingClientRect();
  const at = (type, x) => over.dispatchEvent(new MouseEvent(type,
    { clientX: box.left + x * box.width, clientY: box.top + 40, bubbles: true, button: 0 }));
  const work = [];
  const timed = async (deed) => {
    const from = performance.now();
    deed();
    await new Promise(requestAnimationFrame);
    work.push(performance.now() - from);
  };
  for (let i = 0; i < 40; i++) await timed(() => at('mousemove', 0.2 + i / 100));
  await timed(() => { at('mousedown', 0.3); at('mousemove', 0.6); at('mouseup', 0.6); });
  return Math.max(...work);
})()
"""
# The colour that most of the left and of the right end of a chart has.
ENDS = """
['equity', 'drawdown'].map((id) => {
  const canvas = document.querySelector(`#${id} canvas`), over = document.querySelector(`#${id} .u-over`);
  const from = over.offsetLeft * devicePixelRatio, wide = over.offsetWidth * devicePixelRatio;
  return [0.02, 0.9].map((at) => {
    const data = canvas.getContext('2d').getImageData(from + at * wide, 10, 0.08 * wide, canvas.height / 2).data;
    const counts = new Map();
    for (let i = 0; i < data.length; i += 4) {
      const colour = data.slice(i, i + 4).join();
      counts.set(colour, (counts.get(colour) || 0) + 1);
    }
    return [...counts].sort((a, b) => b[1] - a[1])[0][0];
  });
})
"""
LEGEND = "document.querySelector('#equity .u-legend').innerText.replace(/\\s+/g, ' ')"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def sheets(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    long = doc_of(walk(folder / "long.csv", 210_000, minutes=5), split_ms=SPLIT + 300 * 86_400_000, tries=1_000)
    long["held"] = long["daily"]["equity"]  # a finalist's has it
    short = doc_of(walk(folder / "short.csv", 24 * 60, seed=2))
    one = doc_of(walk(folder / "one.csv", 1))
    short["strategy"] = {
        **short["strategy"],
        "name": "A name that is rather long_and_has_a_part_that_cannot_be_broken_anywhere",
    }
    made = {
        "long": page.render(long),
        "short": page.render(short),
        "one": page.render(one),
        "comparison": comparison.render(comparison.of([long, short])),
        "apart": comparison.render(comparison.of([long, _grown(long)])),
    }
    for name, data in made.items():
        (folder / f"{name}.html").write_bytes(data)
    return {name: folder / f"{name}.html" for name in made}


def _grown(doc: dict[str, Any]) -> dict[str, Any]:
    """What ends with a hundred times as much."""
    marks = doc["capital"] * np.geomspace(1, 100, len(doc["daily"]["equity"]))
    return {**doc, "daily": {**doc["daily"], "equity": marks.tolist()}}


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", ["long", "short", "one", "comparison", "apart"])
def test_a_page_is_whole_quiet_and_as_wide_as_the_screen(
    chromium: Browser, sheets: dict[str, Path], name: str, width: int
) -> None:
    opened = chromium.open(sheets[name], width)
    assert opened.problems == []
    assert opened.requests == []
    assert opened.value("document.documentElement.scrollWidth") <= width
    assert opened.value(OVERFLOWING) == []
    painted = opened.value(PAINTED)
    assert len(painted) >= 2
    # Grid, labels and their smoothing are two or three colours; one trade that gains has no drawdown to draw.
    assert min(painted) > (1 if name == "one" else 3), "a chart without a line"


def test_pointing_and_zooming_stay_fluid_with_210_000_marks(chromium: Browser, sheets: dict[str, Path]) -> None:
    opened = chromium.open(sheets["long"], DESK)
    last = opened.value(LEGEND)
    assert "equity" in last
    assert opened.value(MOVES) < 200, "milliseconds for what a person sees as at once"
    assert opened.value(LEGEND) != last
    labels = "[...document.querySelectorAll('.chart')].map((one) => one.querySelector('.u-value').innerText)"
    equity, drawdown, rolling = (datetime.fromisoformat(text) for text in opened.value(labels)[:3])
    assert equity == drawdown, "one pointer for all"
    assert abs(equity - rolling) < timedelta(days=1), "which has a value a day"
    assert opened.problems == []


def test_a_finger_points_as_a_mouse_does(chromium: Browser, sheets: dict[str, Path]) -> None:
    opened = chromium.open(sheets["short"], PHONE)
    opened.value("document.getElementById('equity').scrollIntoView()")
    box = opened.value("document.querySelector('#equity .u-over').getBoundingClientRect().toJSON()")
    before = opened.value(LEGEND)
    for kind, share in (("touchStart", 0.3), ("touchMove", 0.5)):
        points = [{"x": box["left"] + share * box["width"], "y": box["top"] + 60}]
        chromium.ask("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}, opened.session)
    assert opened.value(LEGEND) != before
    day = "document.querySelector('#equity .u-value').innerText.slice(0, 10)"
    assert "2024-01-29" <= opened.value(day) <= "2024-02-02", "the middle of 60 days"
    assert opened.problems == []


def test_the_page_follows_the_readers_theme_and_button(chromium: Browser, sheets: dict[str, Path]) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = chromium.open(sheets["short"], DESK).value(background)
    opened = chromium.open(sheets["short"], DESK, theme="dark")
    dark = opened.value(background)
    assert dark != light
    opened.value("document.getElementById('theme').click()")
    assert opened.value(background) == light
    opened.value("document.getElementById('log').click()")
    assert opened.value("document.getElementById('log').innerText") == "linear scale"
    assert opened.problems == []


def test_a_comparison_shades_what_was_held_back_and_has_a_scale_for_all(
    chromium: Browser, sheets: dict[str, Path]
) -> None:
    opened = chromium.open(sheets["apart"], DESK)
    button = "document.getElementById('log')"
    assert opened.value(f"{button}.innerText") == "linear scale", "a hundredfold return leaves no room for others"
    assert "9900.00 %" in opened.value(LEGEND), "the return, whatever the scale"
    opened.value(f"{button}.click()")
    assert opened.value(f"{button}.innerText") == "log scale"
    assert opened.problems == []
    assert all(left != right for left, right in opened.value(ENDS))
    mixed = chromium.open(sheets["comparison"], DESK)
    assert all(left == right for left, right in mixed.value(ENDS)), "one of them was not held back from"
