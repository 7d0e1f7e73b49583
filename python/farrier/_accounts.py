"""Find the numbers of users and groups in the system's databases."""

from __future__ import annotations

import grp
import os
import pwd


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


def _known(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None
