"""Times without a zone: read in the zone that is named; without one, the zone is recognised or asked for."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.errors import Misused, Refused
from config.reading import Reading, zone_of
from tests.data import forms
from WORKFLOW.data.load import read

AUTUMN, SPRING = "2023-10-28", "2024-03-30"


def local(
    folder: Path, zone: str, start: str, days: float = 3, shift_hours: int = 0, newest_first: bool = False
) -> tuple[Path, forms.Rows]:
    """A file of bars by the clocks of `zone`, `shift_hours` ahead of them, and the bars."""
    rows = forms.rows_from(int(pd.Timestamp(start, tz="UTC").value // 1_000_000), bars=int(days * 288))
    stamps = [str(one.replace(tzinfo=None) + pd.Timedelta(hours=shift_hours)) for one in forms.moments(rows, zone)]
    made = forms.frame(rows, stamps, "time")
    path = folder / "SOL.csv"
    path.write_bytes(forms.csv(made[::-1] if newest_first else made))
    return path, rows


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("zone", "start", "said"),
    [
        ("Europe/Berlin", AUTUMN, "have 2023-10-29 02:00 to 03:00 twice, as clocks do in Europe/Berlin"),
        ("Europe/Berlin", SPRING, "skip 2024-03-31 02:00 to 03:00, as clocks do in Europe/Berlin"),
        ("Europe/London", AUTUMN, "have 2023-10-29 01:00 to 02:00 twice, as clocks do in Europe/London"),
        (
            "America/Chicago",
            "2023-11-04",
            "have 2023-11-05 01:00 to 02:00 twice, as clocks do in America/New_York, Chicago",
        ),
        ("America/New_York", "2024-03-09", "skip 2024-03-10 02:00 to 03:00, as clocks do in America/New_York, Chicago"),
    ],
)
def test_the_clocks_of_a_place_are_recognised_named_and_read_when_they_are_said(
    tmp_path: Path, zone: str, start: str, said: str, newest_first: bool
) -> None:
    path, rows = local(tmp_path, zone, start, newest_first=newest_first)
    with pytest.raises(Refused) as refused:
        read(path, "SOL")
    assert said in refused.value.reason
    assert "--timezone UTC if they are UTC" in refused.value.way_out
    raw = read(path, "SOL", Reading(timezone=zone))
    assert raw.time_ms.tolist() == rows["time_ms"].tolist()
    assert raw.close.tolist() == rows["close"].tolist()
    assert f"times without a zone are read as {zone}" in raw.notes


@pytest.mark.parametrize("start", ["2023-11-04", "2024-03-09"])
def test_a_brokers_clocks_follow_new_york_seven_hours_ahead(tmp_path: Path, start: str) -> None:
    path, rows = local(tmp_path, "America/New_York", start, shift_hours=7)
    with pytest.raises(Refused) as refused:
        read(path, "SOL")
    assert "--timezone America/New_York+7" in refused.value.way_out
    assert read(path, "SOL", Reading(timezone="America/New_York+7")).time_ms.tolist() == rows["time_ms"].tolist()


def test_a_year_with_both_changes_is_read(tmp_path: Path) -> None:
    path, rows = local(tmp_path, "Europe/Berlin", "2023-09-01", days=220)
    with pytest.raises(Refused, match="have 2023-10-29 02:00 to 03:00 twice and skip 2024-03-31 02:00 to 03:00"):
        read(path, "SOL")
    assert read(path, "SOL", Reading(timezone="Europe/Berlin")).time_ms.tolist() == rows["time_ms"].tolist()


def test_fixed_offsets_are_subtracted_whatever_the_season(tmp_path: Path) -> None:
    path, rows = local(tmp_path, "UTC", AUTUMN, shift_hours=2)
    assert read(path, "SOL", Reading(timezone="UTC+2")).time_ms.tolist() == rows["time_ms"].tolist()
    assert read(path, "SOL").time_ms.tolist() == (rows["time_ms"] + 7_200_000).tolist(), "without a word they are UTC"


def test_an_hour_missing_at_another_time_is_an_outage(tmp_path: Path) -> None:
    path, rows = local(tmp_path, "UTC", SPRING)
    kept = np.r_[0:200, 212 : len(rows)]
    path.write_bytes(forms.csv(forms.frame(rows[kept], forms.stamped(rows[kept], "%Y-%m-%d %H:%M:%S"), "time")))
    assert len(read(path, "SOL")) == len(kept)


def test_an_outage_in_the_very_hour_is_read_when_it_is_said_to_be_one(tmp_path: Path) -> None:
    path, rows = local(tmp_path, "Europe/Berlin", SPRING)
    raw = read(path, "SOL", Reading(timezone="UTC"))
    assert np.diff(raw.time_ms).max() == 65 * 60_000
    assert len(raw) == len(rows)


def test_a_clock_time_that_a_zone_skips_is_named(tmp_path: Path) -> None:
    path, _ = local(tmp_path, "UTC", SPRING)
    with pytest.raises(Refused, match=r"2024-03-31 02:00 in row 313 of .* does not exist in Europe/Berlin") as refused:
        read(path, "SOL", Reading(timezone="Europe/Berlin"))
    assert "--timezone UTC" in refused.value.way_out
    read(path, "SOL", Reading(timezone="UTC"))


def test_an_hour_that_comes_twice_and_is_there_once_is_asked_for(tmp_path: Path) -> None:
    path, rows = local(tmp_path, "Europe/Berlin", AUTUMN)
    lines = path.read_text().splitlines()
    once = list(dict.fromkeys(line.split(",")[0] for line in lines))
    kept = [next(line for line in lines if line.split(",")[0] == stamp) for stamp in once]
    path.write_text("\n".join(kept))
    with pytest.raises(
        Refused, match="exists twice in Europe/Berlin, and 12 rows do not say which time is meant"
    ) as refused:
        read(path, "SOL", Reading(timezone="Europe/Berlin"))
    assert "delete these rows" in refused.value.way_out
    path.write_text("\n".join(line for line in kept if "2023-10-29 02:" not in line))
    raw = read(path, "SOL", Reading(timezone="Europe/Berlin"))
    assert set(raw.time_ms.tolist()) <= set(rows["time_ms"].tolist())


def test_a_zone_that_is_not_needed_is_said(tmp_path: Path) -> None:
    path = tmp_path / "SOL.csv"
    path.write_bytes(forms.plain(forms.rows_from(bars=5)))
    assert any("is not needed" in note for note in read(path, "SOL", Reading(timezone="Europe/Berlin")).notes)


@pytest.mark.parametrize(
    ("typed", "perhaps"), [("Berlin", "Europe/Berlin"), ("Europe/Berln", "Europe/Berlin"), ("x", "UTC+2")]
)
def test_a_zone_that_is_none_is_refused_with_one_that_is(typed: str, perhaps: str) -> None:
    with pytest.raises(Misused) as misused:
        Reading(timezone=typed)
    assert perhaps in misused.value.way_out
    zone_of(perhaps)


@pytest.mark.parametrize("typed", ["../../etc/passwd", "/etc/localtime", "America", "UTC+99", ""])
def test_paths_folders_and_nonsense_are_no_zones(typed: str) -> None:
    with pytest.raises(Misused):
        Reading(timezone=typed)


@pytest.mark.parametrize("typed", ["", "dd.mm.yyyy", "%Q", "%", "ydm"])
def test_a_date_format_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(Misused, match="--date-format") as misused:
        Reading(date_format=typed)
    assert "'%d.%m.%Y %H:%M'" in misused.value.way_out
    Reading(date_format="%d.%m.%Y %H:%M")
