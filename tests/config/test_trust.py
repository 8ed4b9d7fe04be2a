import os
import subprocess
from pathlib import Path

import pytest

from config import settings
from config.errors import Refused
from config.trust import fault_of, refuse_open


def file(path: Path, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("run:\n  seed: 3\n")
    path.chmod(mode)
    return path


def test_what_only_we_can_write_is_fine_and_what_is_gone_is_somebody_elses_worry(tmp_path: Path) -> None:
    assert fault_of(file(tmp_path / "a", 0o644)) is None
    assert fault_of(tmp_path / "none") is None


@pytest.mark.parametrize(("mode", "who"), [(0o646, "others"), (0o664, "its group")])
def test_a_settings_file_that_somebody_else_can_write_is_refused(tmp_path: Path, mode: int, who: str) -> None:
    path = file(tmp_path / "my settings.yaml", mode)
    with pytest.raises(Refused, match=f"can be written by {who}") as refused:
        settings.load({"BACKTEST_OPTIMIZE_CONFIG": str(path)})
    assert refused.value.way_out == f"chmod go-w '{path}'"
    path.chmod(0o600)
    assert settings.load({"BACKTEST_OPTIMIZE_CONFIG": str(path)}).run.seed == 3


def test_any_folder_above_that_others_can_write_is_as_bad(tmp_path: Path) -> None:
    path = file(tmp_path / "open" / "deep" / "a", 0o600)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(Refused, match="which others can write") as refused:
        refuse_open(path, "it")
    assert refused.value.way_out == f"chmod o-w {tmp_path / 'open'}"
    (tmp_path / "open").chmod(0o1777)
    refuse_open(path, "it")


@pytest.mark.parametrize("is_relative", [False, True])
def test_a_link_on_the_way_has_no_mode_of_its_own_and_what_it_leads_to_counts(
    tmp_path: Path, is_relative: bool
) -> None:
    """A home that is a link to another disk: the mode of every link reads 0777."""
    path = file(tmp_path / "disk" / "home" / "a", 0o600)
    (tmp_path / "way").mkdir()
    link = tmp_path / "way" / "home"
    link.symlink_to(Path("..", "disk", "home") if is_relative else tmp_path / "disk" / "home")
    refuse_open(link / "a", "it")
    path.parent.chmod(0o777)
    with pytest.raises(Refused, match="which others can write") as refused:
        refuse_open(link / "a", "it")
    assert refused.value.way_out == f"chmod o-w {path.parent}"
    subprocess.run(refused.value.way_out, shell=True, check=True)
    refuse_open(link / "a", "it")


def test_the_folder_that_a_link_lies_in_decides_who_can_replace_it(tmp_path: Path) -> None:
    file(tmp_path / "disk" / "a", 0o600)
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "way").symlink_to(tmp_path / "disk")
    (tmp_path / "mine").symlink_to(tmp_path / "open" / "way")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(Refused, match="which others can write") as refused:
        refuse_open(tmp_path / "mine" / "a", "it")
    assert refused.value.way_out == f"chmod o-w {tmp_path / 'open'}"


def test_links_in_a_circle_lead_to_nothing_and_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert fault_of(tmp_path / "a" / "c") is None


def test_a_link_of_somebody_else_in_a_sticky_folder_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a link away")
    file(tmp_path / "disk" / "a", 0o600)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    (tmp_path / "open" / "way").symlink_to(tmp_path / "disk")
    refuse_open(tmp_path / "open" / "way" / "a", "it")
    os.chown(tmp_path / "open" / "way", 4321, 4321, follow_symlinks=False)
    with pytest.raises(Refused, match="a link of 4321"):
        refuse_open(tmp_path / "open" / "way" / "a", "it")


def test_somebody_else_is_trusted_only_when_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = file(tmp_path / "a", 0o600)
    os.chown(path, 4321, 4321)
    assert fault_of(path) == (f"{path} belongs to 4321", f"chown root {path}")
    assert fault_of(path, owners=(4321,)) is None
