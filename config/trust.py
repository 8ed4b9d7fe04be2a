"""Refuse files that another user could have written, before they decide or run anything in the user's name.

Who can write a file follows from its mode, its owner, and every folder on the way to it: a user who can rename a folder
can replace all files in it. In a sticky folder such as /tmp, users can replace only their own files. Links are followed
one by one, as the system does. The folder of a link decides who can replace that link; the link's own mode means
nothing.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from config.errors import Refused

_MOST_LINKS = 40  # Linux follows as many links in one path, and then fails with ELOOP


def refuse_open(path: Path, what: str, owners: Iterable[int] = (), private_group: bool = False) -> None:
    """Return if only the user and root could have written `path` and, where `path` is a link, the file behind it.

    `owners` are further user ids to trust. With `private_group`, a group may write whose only member is the user; that
    is the default of some distributions.

    Raises:
        Refused: another user could have written `path`; the message names the command that ends this.
    """
    if (fault := fault_of(path, owners, private_group)) is not None:
        raise Refused(f"{what} {fault[0]}", fault[1])


def fault_of(path: Path, owners: Iterable[int] = (), private_group: bool = False) -> tuple[str, str] | None:
    """Return who else could write `path` and the command that ends it, or None if nobody can or nothing is there."""
    trusted = {0, os.geteuid(), *owners}
    folders, links, end = _walked(path)
    faults = (
        _of_entry(end, trusted, private_group),
        *(_of_folder(folder, trusted) for folder in reversed(folders)),
        *(_of_link(link, trusted) for link in links),
    )
    return next((fault for fault in faults if fault is not None), None)


def _walked(path: Path) -> tuple[list[Path], list[Path], Path]:
    """Return what the system passes from `/` to `path`: real folders, links, and the final entry, which is no link."""
    folders, links, at = [Path("/")], list[Path](), Path("/")
    left = list(reversed(path.absolute().parts[1:]))
    while left:
        name = left.pop()
        at = at.parent if name == ".." else at / name
        if (target := _target(at)) is not None:
            links.append(at)
            if len(links) > _MOST_LINKS:
                break
            left.extend(reversed(target.parts[target.is_absolute() :]))
            at = Path("/") if target.is_absolute() else at.parent
        if left and at not in folders:
            folders.append(at)
    return folders, links, at


def _target(path: Path) -> Path | None:
    """Return where a link points to, or None if `path` is no link."""
    try:
        return path.readlink()
    except OSError:
        return None


def _of_link(link: Path, trusted: set[int]) -> tuple[str, str] | None:
    """Check a link. In a sticky folder only its owner can replace it; elsewhere, `_of_folder` checks who can."""
    found, folder = _stat(link), _stat(link.parent)
    if found is None or folder is None or found.st_uid in trusted or not folder.st_mode & stat.S_ISVTX:
        return None
    return f"is reached through {link}, a link of {_user(found.st_uid)}", "name the folder that it points to instead"


def _of_entry(path: Path, trusted: set[int], private_group: bool) -> tuple[str, str] | None:
    found = _stat(path)
    if found is None or stat.S_ISLNK(found.st_mode):  # a link here is part of a circle: nothing can be read through it
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
    """Return whether the group is the user's own and has no other member."""
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
