"""Refuse files that somebody else could have written, before they decide or run anything in the user's name.

What may write a file is its own mode, its owner, and every folder on the way to it: who can rename a folder can replace
all that lies in it. A sticky folder such as /tmp lets nobody replace what is not his.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from config.errors import Refused


def refuse_open(path: Path, what: str, owners: Iterable[int] = (), private_group: bool = False) -> None:
    """Return when only the user and root could have written `path` (and, where it is a link, what it points to).

    `owners` are further user ids that are trusted; with `private_group`, a group that has no other member than the
    user may write, which is the default of some distributions.

    Raises:
        Refused: somebody else could have; with the command that ends it.
    """
    if (fault := fault_of(path, owners, private_group)) is not None:
        raise Refused(f"{what} {fault[0]}", fault[1])


def fault_of(path: Path, owners: Iterable[int] = (), private_group: bool = False) -> tuple[str, str] | None:
    """What is wrong with who may write `path`, and the command that ends it; None when nothing is, or it is gone."""
    trusted = {0, os.geteuid(), *owners}
    named = path.absolute()
    targets = [named] if not named.is_symlink() else [named, named.resolve()]
    for target in targets:
        fault = _of_entry(target, trusted, private_group)
        for folder in target.parents:
            fault = fault or _of_folder(folder, trusted)
        if fault is not None:
            return fault
    return None


def _of_entry(path: Path, trusted: set[int], private_group: bool) -> tuple[str, str] | None:
    found = _stat(path)
    if found is None or stat.S_ISLNK(found.st_mode):  # a link's own mode means nothing; its folder is looked at
        return None
    if found.st_uid not in trusted:
        return f"{path} belongs to {_user(found.st_uid)}", f"chown {_user(os.geteuid())} {_quoted(path)}"
    if found.st_mode & stat.S_IWOTH:
        return f"{path} can be written by others", f"chmod go-w {_quoted(path)}"
    if found.st_mode & stat.S_IWGRP and not (private_group and _is_private(found.st_gid)):
        return f"{path} can be written by its group", f"chmod go-w {_quoted(path)}"
    return None


def _of_folder(folder: Path, trusted: set[int]) -> tuple[str, str] | None:
    found = _stat(folder)
    if found is None:
        return None
    if found.st_uid not in trusted:
        return f"lies in {folder}, which belongs to {_user(found.st_uid)}", "move it to a folder of your own"
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        return f"lies in {folder}, which others can write", f"chmod o-w {_quoted(folder)}"
    return None


def _is_private(group_id: int) -> bool:
    """Whether the group is the user's own and has no other member."""
    try:
        name, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(group_id)
    except KeyError:
        return False
    return os.geteuid() != 0 and group.gr_name == name and set(group.gr_mem) <= {name}


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _user(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
