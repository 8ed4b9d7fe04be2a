import os
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


def test_somebody_else_is_trusted_only_when_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = file(tmp_path / "a", 0o600)
    os.chown(path, 4321, 4321)
    assert fault_of(path) == (f"{path} belongs to 4321", f"chown root {path}")
    assert fault_of(path, owners=(4321,)) is None
