"""The pages of status and monitors at several sizes, and what they do without a terminal or in a bad moment."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, Group

from scripts.swarm import monitor, show
from scripts.swarm.fit import Block, bar, fitted, middle, speed, wrapped
from scripts.swarm.status import build
from scripts.swarm.views import VIEWS, cpu
from scripts.swarm.views.logs import Logs
from state.files.layout import CHECKOUT, Roots

SIZES = ((80, 24), (200, 50), (40, 12))


def roots(folder: Path) -> Roots:
    return Roots.from_environment({"RESULTS_ROOT": str(folder)})


def rendered(page: Group, width: int, height: int) -> list[str]:
    """What a terminal of this size shows."""
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as taken:
        console.print(page)
    return taken.get().splitlines()


def crowded(folder: Path) -> Any:
    """A status with far more of everything than any terminal has lines."""
    now = build(roots(folder))
    unit = {"phase": "prescreen", "since": None, "percent": 43.0, "workers": 9, "rate_per_s": 9.9}
    unit["note"] = "16,384/50,000 · 9/s"
    now["units"] = [{"symbol": f"1000SHIB_PERPETUAL{n}", "mode": "conservative", **unit} for n in range(40)]
    now["workers"] = [
        {
            "job": f"r12.1000SHIB_PERPETUAL{n}.conservative.prescreen.{n}",
            "lane": f"cpu{n}",
            "state": "stopped" if n == 3 else "running",
            "done": 16_384,
            "total": 24_576,
            "rate_per_s": 12_345.0,
            "last_progress_age_s": 40.0 if n == 2 else 9.0,
            "patience_s": 60.0,
            "pid": os.getpid(),
            "phase": "prescreen",
        }
        for n in range(64)
    ]
    now["incidents"] = [
        {"id": f"i{n}", "what": f"incident {n} " + "of many words " * 9, "remedy": "x"} for n in range(9)
    ]
    now["devices"] = [
        {"name": f"cpu{n}", "kind": "cpu", "state": "idle", "why": f"backoff of job {n} " + "long " * 20, "job": None}
        for n in range(30)
    ]
    now["healed"] = {"deaths": 3, "last": "r0.X.aggressive.prescreen.1, killed by signal 9, 12:00:00 UTC"}
    now["stage"], now["next"], now["run_id"] = (
        "40 prescreening",
        "merge, then the run is complete",
        "bt-20260101_000000Z",
    )
    now["next_steps"] = []
    return now


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_crowded_page_fits_and_says_what_it_cut(width: int, height: int, tmp_path: Path) -> None:
    lines = rendered(show.page(crowded(tmp_path), width, height), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "bt-20260101_000000Z · 40 prescreening" in text
    assert "! incident 0" in text
    assert "1000" in text
    assert "more symbol and modes" in text
    assert "more workers" in text
    assert "next: merge" in text


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("view", VIEWS)
def test_every_monitor_fits_before_anything_was_started(view: str, width: int, height: int, tmp_path: Path) -> None:
    one = VIEWS[view]()
    lines = rendered(monitor.draw(one, roots(tmp_path), width, height), width, height)
    assert 1 <= len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "nothing to show" not in "\n".join(lines)
    assert one.line()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_cpu_page_keeps_workers_and_cuts_cores(
    width: int, height: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.swarm.views.cpu.build", lambda _roots: crowded(tmp_path))
    view = VIEWS["cpu"]()
    lines = rendered(monitor.draw(view, roots(tmp_path), width, height), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any(f"pid {os.getpid()}" in line and "prescreen" in line for line in lines)
    assert any("core " in line for line in lines)


def test_at_eighty_columns_a_worker_keeps_its_numbers_and_the_end_of_its_name(tmp_path: Path) -> None:
    now = crowded(tmp_path)
    now["incidents"], now["units"], now["devices"] = [], [], []
    lines = rendered(show.page(now, 80, 24), 80, 24)
    first = next(line for line in lines if "cpu0" in line)
    assert "16,384/24,576 12,345/s" in first
    assert ".prescreen.0" in first
    assert sum("no progress for 0:40" in line for line in lines) == 1
    assert any("stopped 16,384" in line for line in lines)


def test_the_idle_devices_of_one_reason_share_a_line(tmp_path: Path) -> None:
    now = crowded(tmp_path)
    for device in now["devices"]:
        device["why"] = "the run is complete"
    text = "\n".join(rendered(show.page(now, 120, 90), 120, 90))
    assert "cpu0 and 29 others idle: the run is complete" in text


# logs -----------------------------------------------------------------------------------------------------------------


def test_the_log_index_has_the_newest_first_with_size_age_and_last_line(tmp_path: Path) -> None:
    here = roots(tmp_path)
    for number in range(40):
        path = here.logs / "bt-1" / f"job-{number}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"first\nlast words of {number}\x1b[2J\n")
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    (here.logs / "bt-1" / "x.log.lock").touch()
    lines = rendered(monitor.draw(Logs(), here, 80, 24), 80, 24)
    assert len(lines) <= 24
    assert lines[0].startswith("40 logs")
    assert "job-39" in lines[1]
    assert "last words of 39" in lines[1]
    assert "job-38" in lines[2]
    assert "\x1b" not in "\n".join(lines)
    assert lines[-1].strip() == "… and 18 more logs"
    whole = rendered(_page(Logs(), here), 200, 99)
    assert sum("job-" in line for line in whole) == 40


def test_logs_of_runs_of_one_day_differ_and_what_is_cut_says_so(tmp_path: Path) -> None:
    here = roots(tmp_path)
    for run in ("bt-20260131_120000Z", "bt-20260131_130405Z"):
        path = here.logs / run / "r0.1000SHIB_PERPETUAL.conservative.prescreen.11.log"
        path.parent.mkdir(parents=True)
        path.write_text("2026-01-31T12:00:01.123Z failed: " + "20 days are fewer than 90, " * 9 + "\n  → give more\n")
    page = monitor.draw(Logs(), here, 80, 24)
    lines = rendered(page, 80, 24)[1:3]
    assert sorted(line.split()[1] for line in lines) == ["12:00:00", "13:04:05"]
    assert all("escreen.11 " in line and "failed: 20 days" in line and line.endswith("…") for line in lines)
    assert max(map(len, lines)) <= 80
    view = Logs()
    view.look(here)
    wide = view.page(900, 9)
    assert all(line.endswith("fewer than 90, → give more") for line in rendered(wide, 900, 9)[1:])


def _page(view: Any, here: Roots) -> Group:
    view.look(here)
    page: Group = view.page(None, None)
    return page


# bad moments, no terminal ---------------------------------------------------------------------------------------------


class _Broken:
    def look(self, roots: Roots) -> None:
        raise OSError(5, "Input/output error", "/a/very/long/path" * 20)


def test_a_bad_moment_is_shown_with_a_way_out_and_fits() -> None:
    lines = rendered(monitor.draw(_Broken(), roots(Path("/nonexistent")), 40, 12), 40, 12)  # type: ignore[arg-type]
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 40
    assert "nothing to show right now: OSError" in lines[0]
    assert any("doctor" in line for line in lines)


@pytest.mark.parametrize("view", VIEWS)
def test_without_a_terminal_there_are_plain_lines(view: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "scripts.swarm", view],
        cwd=CHECKOUT,
        env={**os.environ, "RESULTS_ROOT": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    assert line[2] == ":"
    assert len(line) > 15
    assert "\x1b" not in line
    assert "nothing to show" not in line


def test_nobody_looks_while_no_client_is_attached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "unix"
    monkeypatch.setattr(monitor, "_SOCKETS", rows)
    monkeypatch.setenv("TMUX", "/tmp/t/bt,1,0")
    server = "0: 00000002 00000000 00010000 0001 01 9 /tmp/t/bt\n"
    rows.write_text(f"Num RefCount\n{server}0: 00000003 00000000 00000000 0001 03 7 /tmp/t/bt-other\n")
    asked: list[str] = []
    audience = monitor.Audience(lambda socket: asked.append(socket) or bool(asked[1:]))  # the second time: yes
    assert not audience.is_there(0.0)
    assert asked == [], "tmux was asked although it has no client"
    rows.write_text(f"Num RefCount\n{server}0: 00000003 00000000 00000000 0001 03 8 /tmp/t/bt\n")
    assert not audience.is_there(1.0), "a client of another session does not look at this one"
    assert not audience.is_there(2.0)
    assert asked == ["/tmp/t/bt"], "the same clients were asked for again at once"
    assert audience.is_there(60.0), "a client may have switched to this session"
    rows.unlink()
    assert audience.is_there(61.0), "where it cannot be known, somebody looks"
    monkeypatch.delenv("TMUX")
    assert audience.is_there(62.0)


# the parts ------------------------------------------------------------------------------------------------------------


def test_blocks_are_cut_by_rank_and_never_below_their_least() -> None:
    from rich.text import Text

    def block(word: str, number: int, **values: Any) -> Block:
        return Block(tuple(Text(f"{word}{n}") for n in range(number)), **values)

    page = fitted(
        [block("a", 2), block("b", 9, rank=2, least=2, what="b"), block("c", 9, rank=3, least=1, what="c")], 20, 8
    )
    assert [line.plain.strip() for line in page.renderables] == [  # type: ignore[union-attr]
        *("a0", "a1", "b0", "b1", "b2", "… and 6 more bs", "c0", "… and 8 more cs")
    ]


def test_names_are_cut_in_the_middle_and_bars_are_as_wide_as_asked() -> None:
    assert middle("r0.SOL.aggressive.prescreen.12", 20) == "r0.SOL.…prescreen.12"
    assert len(middle("x" * 99, 20)) == 20
    assert middle("short", 20) == "short"
    assert [bar(percent, 10).plain for percent in (0, 50, 100, 200)] == [
        "·" * 10,
        "━" * 5 + "·" * 5,
        "━" * 10,
        "━" * 10,
    ]


def test_a_sentence_is_wrapped_to_so_many_lines_and_its_cut_is_seen() -> None:
    lines = [line.plain for line in wrapped("word " * 40, "", "  ", 30)]
    assert len(lines) == 2
    assert max(map(len, lines)) <= 30
    assert lines[-1].endswith("…")


@pytest.mark.parametrize(
    ("rate_per_s", "said"),
    [
        (None, ""),
        (0.0, ""),
        (3_634.2, "3,634/s"),
        (4.21, "4.2/s"),
        (0.5, "0.5/s"),
        (0.2, "12/min"),
        (0.021, "1.3/min"),
        (0.001, "3.6/h"),
    ],
)
def test_a_slow_phase_has_a_rate_too(rate_per_s: float | None, said: str) -> None:
    assert speed(rate_per_s) == said


def test_silence_is_worth_a_word_only_when_it_nears_what_it_is_put_up_with(tmp_path: Path) -> None:
    now = crowded(tmp_path)
    now["workers"] = now["workers"][:1]
    now["workers"][0] |= {"last_progress_age_s": 29.0, "rate_per_s": 0.2}
    assert "16,384/24,576 12/min" in show._worker(now["workers"][0], 4, 40).plain
    now["workers"][0]["last_progress_age_s"] = 31.0
    assert "no progress for 0:31" in show._worker(now["workers"][0], 4, 40).plain


def under_way(folder: Path) -> Any:
    """A run of two symbols, 65 s old, on which something is known of everything."""
    now = crowded(folder)
    now |= {
        "incidents": [],
        "workers": [],
        "devices": [],
        "stage": "1 validating, 1 searching",
        "rounds": 1,
        "round": 0,
    }
    now |= {"at": "2026-01-01T03:08:09.000Z", "began_at": "2026-01-01T03:07:04.000Z", "elapsed_s": 65.0}
    now["eta_s"] = {"low": 245.0, "high": 530.0}
    now["units"] = [
        {**now["units"][0], "symbol": name, "phase": phase, "since": f"2026-01-01T03:07:{second}.000Z"}
        for name, phase, second in (("SOL", "validate", 40), ("BTC", "search", 50))
    ]
    return now


@pytest.mark.parametrize("width", [80, 120])
def test_a_run_says_since_when_it_and_each_phase_run_and_between_what_it_still_takes(
    width: int, tmp_path: Path
) -> None:
    lines = rendered(show.page(under_way(tmp_path), width, 24), width, 24)
    assert lines[0] == "bt-20260101_000000Z · 1 validating, 1 searching"
    assert lines[1] == "  running for 1:05, since 03:07:04 · about 4 to 9 min left"
    shown = ("03:07:40", "03:07:50") if width >= 100 else ("03:07 ", "03:07 ")
    rows = [next(line for line in lines if line.startswith(f"  {name} ")) for name in ("SOL", "BTC")]
    assert [f"since {when}" in row for when, row in zip(shown, rows, strict=True)] == [True, True], rows
    assert max(map(len, lines)) <= width


def test_one_symbol_and_mode_says_when_its_phase_began_beside_its_stage(tmp_path: Path) -> None:
    now = under_way(tmp_path)
    now |= {
        "units": now["units"][:1],
        "stage": "1 validating",
        "stage_since": "2026-01-01T03:07:40.000Z",
        "rounds": None,
    }
    lines = rendered(show.page(now, 80, 24), 80, 24)
    assert lines[0] == "bt-20260101_000000Z · validating since 03:07:40"
    assert lines[1].startswith("  round 1, until stop · running for 1:05, since 03:07:04 · about 4 to 9 min")
    now["eta_s"] = None
    assert "left" not in "\n".join(rendered(show.page(now, 80, 24), 80, 24))


def test_what_two_modes_of_one_symbol_ask_for_is_said_once(tmp_path: Path) -> None:
    steps = [{"id": f"bring_new_bars:SOL {mode}", "what": "bring bars of SOL"} for mode in ("aggressive", "balanced")]
    now = under_way(tmp_path) | {"next_steps": [*steps, {"id": "bring_new_bars:BTC", "what": "bring bars of BTC"}]}
    page = "\n".join(rendered(show.page(now, 120, 40), 120, 40))
    assert [page.count(f"next: bring bars of {symbol}") for symbol in ("SOL", "BTC")] == [1, 1]


def test_what_is_judged_is_said_in_words_and_what_is_broken_by_name(tmp_path: Path) -> None:
    def text(**values: Any) -> str:
        now = crowded(tmp_path) | {"agents": fresh, "incidents": []} | values
        return "\n".join(rendered(show.page(now, 300, 50), 300, 50))

    fresh = [{**one, "fresh": True} for one in crowded(tmp_path)["agents"]]
    calm = {"of": 31, "broken": [], "repeated_pct": 0.0}
    page = text(expectations=calm, scores={"deviation": 0.0, "performance": 98.6, "efficiency": 71.2})
    assert "agents alive · all is as expected" in page
    assert "%" not in page.partition("all is as expected")[2].partition("\n")[0]
    broken = calm | {"broken": ["CPU at its target", "jobs move", "x", "y"], "repeated_pct": 12.3}
    page = text(expectations=broken, scores={"performance": 60.2})
    assert (
        "expectations that do not hold: CPU at its target, jobs move and 2 more · at 60 % of the usual speed · "
        "12 % of the work repeats what ended workers had not saved"
    ) in page
    assert "expected" not in text(expectations=None, scores={})
    for wrong in (
        {"agents": [{**fresh[0], "fresh": False}, *fresh[1:]]},
        {"incidents": [{"what": "curator is dead", "remedy": "it is respawned"}]},
    ):
        assert "as expected" not in text(expectations=calm, scores={}, **wrong), "judged before this was so"


def test_the_cpu_page_knows_at_its_first_look_how_busy_a_worker_is_and_leaves_out_who_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spin = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()  # it spins from here on
        now = crowded(tmp_path)
        row = now["workers"][0] | {"state": "running"}
        now["workers"] = [
            row | {"pid": busy.pid, "job": "r0.SOL.aggressive.validate.0"},
            row | {"pid": os.getpid(), "job": "r0.BTC.aggressive.report.0", "state": "ended"},
            row | {"pid": os.getppid(), "job": "r0.ADA.aggressive.search.0", "state": "dead"},
            row | {"pid": 2**22 + 1, "job": "r0.XRP.aggressive.search.0"},
        ]
        monkeypatch.setattr("scripts.swarm.views.cpu.build", lambda _roots: now)
        view = VIEWS["cpu"]()
        view.look(roots(tmp_path))
        said = view.line()
        busy.kill()
        busy.wait()  # its number may be another's now
        assert list(cpu._processes([busy.pid])) == []
    assert [name in said for name in ("SOL.", "BTC.", "ADA.", "XRP.")] == [True, False, False, False], said
    share = float(said.rpartition("validate.0 ")[2].removesuffix(" %"))
    assert 1 <= share <= 110, "a machine may be full, but a process that spins is never idle"


def test_a_worker_that_began_between_two_looks_is_as_busy_as_since_it_began() -> None:
    before = cpu.CpuReading(100.0, {}, {7: cpu.Process(5.0, 1, 50.0)})
    now = cpu.CpuReading(110.0, {}, {7: cpu.Process(10.0, 1, 50.0), 8: cpu.Process(3.0, 1, 106.0)})
    rows = [{"pid": 7, "job": "old"}, {"pid": 8, "job": "new"}]
    assert [(round(busy), job) for busy, _, _, job in cpu._busiest(now, before, rows)] == [(50, "old"), (75, "new")]
    reused = cpu.CpuReading(110.0, {}, {7: cpu.Process(1.0, 1, 108.0)})
    assert [round(busy) for busy, *_ in cpu._busiest(reused, before, rows)] == [50], "another process of that number"
