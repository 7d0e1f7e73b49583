"""Find the numbers of users and groups in the system's databases."""

from __future__ import annotations

import grp
import os
import pwd
import sys


class UnknownAccount(LookupError):
    """There is no user or group of that name."""


def user_id(name: str) -> int:
    """The number of a user.

    :param name: a name, or a number in digits.
    :raises UnknownAccount: there is none of that name.
    """
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise UnknownAccount(f"there is no user {name!r} here") from None


def group_id(name: str) -> int:
    """The number of a group.

    :param name: a name, or a number in digits.
    :raises UnknownAccount: there is none of that name.
    """
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UnknownAccount(f"there is no group {name!r} here") from None


def identity(user: str | None, group: str | None, initgroups: bool) -> tuple[int, int, list[int]]:
    """The identity of the workers.

    :param user: a name or a number; ``None`` for the current user.
    :param group: a name or a number; ``None`` for the user's own group.
    :param initgroups: whether to include all groups of the user.
    :return: the user, the group and the supplementary groups.
    :raises UnknownAccount: there is none of that name, or ``initgroups`` needs a user that is known.
    """
    uid = os.geteuid() if user is None else user_id(user)
    known = _known(uid)
    if group is not None:
        gid = group_id(group)
    elif user is not None and known is not None:
        gid = known.pw_gid
    else:
        gid = os.getegid()
    if not initgroups:
        return uid, gid, [gid]
    if known is None:
        raise UnknownAccount(f"initgroups: there is no user {uid} here whose groups could be looked up")
    return uid, gid, os.getgrouplist(known.pw_name, gid)


def unreadable() -> str | None:
    """What of the interpreter and of this package the current user cannot read.

    :return: a sentence that names the path and the folder that is closed; ``None`` if all can be read.
    """
    needed = {
        "the interpreter's library": os.path.dirname(os.__file__),
        "the installed packages": os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        "the interpreter": os.path.realpath(sys.executable) if sys.executable else "/",
    }
    reasons = {what: closed(path) for what, path in needed.items()}
    found = [f"{what}: {reason}" for what, reason in reasons.items() if reason is not None]
    if not found:
        return None
    known = _known(os.geteuid())
    who = known.pw_name if known is not None else os.geteuid()
    return f"The user {who} of the workers cannot read {'; '.join(found)}. Put it elsewhere, or open that folder to the user"


def closed(path: str) -> str | None:
    """Why the current user cannot read a file or folder that is there.

    :return: the path, and the first folder on the way that is closed; ``None`` if it can be read.
    """
    absolute = os.path.abspath(path)
    parts = absolute.split(os.sep)
    for count in range(1, len(parts)):
        folder = os.sep.join(parts[:count]) or os.sep
        if not _may(folder, os.X_OK):
            return f"{absolute} is in {folder}, which is closed to it"
    if os.path.exists(absolute) and not _may(absolute, os.R_OK):
        return f"{absolute} is closed to it"
    return None


def _may(path: str, mode: int) -> bool:
    # Capabilities count for the effective user only.
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _known(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None
