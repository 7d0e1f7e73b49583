"""Capabilities for processes that change their user (capabilities(7)): preexec functions for `serve`.

The interpreter and the checkout may be in folders that only root can read. Then a worker with another user could not
import a module, which is no fault of the server. So it keeps one capability: to read and search everywhere.
"""

import ctypes
import os
import pwd

NOBODY = pwd.getpwnam("nobody")

CHOWN, DAC_READ_SEARCH, FOWNER, KILL, SETGID, SETUID, SETPCAP = 0, 2, 3, 5, 6, 7, 8
PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_CAP_AMBIENT = 24, 28, 47
PR_CAP_AMBIENT_RAISE = 2
NO_SETUID_FIXUP = 1 << 2
VERSION_3 = 0x20080522

LIBC = ctypes.CDLL(None, use_errno=True)


class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class Data(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def root_that_can_change_its_user():
    """Root, but bound by file permissions: its workers may read everything and write only their own files."""
    _bound(CHOWN, DAC_READ_SEARCH, FOWNER, KILL, SETGID, SETUID, SETPCAP)


def nobody():
    """Not root, and only able to read everything."""
    _bound(DAC_READ_SEARCH, SETGID, SETUID, SETPCAP)
    os.setgroups([])
    os.setresgid(*[NOBODY.pw_gid] * 3)
    os.setresuid(*[NOBODY.pw_uid] * 3)
    right = 1 << DAC_READ_SEARCH
    data = (Data * 2)(Data(right, right, right), Data(0, 0, 0))
    _done(LIBC.capset(ctypes.byref(Header(VERSION_3, 0)), data))
    _done(LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, DAC_READ_SEARCH, 0, 0))


def _bound(*kept):
    _done(LIBC.prctl(PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0))
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for right in range(last + 1):
        if right not in kept:
            _done(LIBC.prctl(PR_CAPBSET_DROP, right, 0, 0, 0))


def _done(outcome):
    if outcome != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
