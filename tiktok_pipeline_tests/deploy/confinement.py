"""Run a command under the system-call restrictions of a systemd unit, without systemd.

    python -m tiktok_pipeline_tests.deploy.confinement daemon COMMAND ...

It applies NoNewPrivileges, SystemCallFilter, RestrictAddressFamilies, RestrictNamespaces, LockPersonality and
MemoryDenyWriteExecute, as systemd does: one seccomp filter each, of which the strictest decides. It does not
apply restrictions that need root: mounts, capabilities, users and memory limits.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from ctypes import util
from functools import cache

from tiktok_pipeline_tests.deploy.units import values

_ALLOW = 0x7FFF0000
_EQUAL, _GREATER, _MASKED = 4, 6, 7
_PR_SET_NO_NEW_PRIVS = 38

_NAMESPACES = {
    "mnt": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000,
    "pid": 0x20000000, "net": 0x40000000,
}  # fmt: skip
_PROT_WRITE, _PROT_EXEC, _SHM_EXEC = 2, 4, 0o100000


class _Condition(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("datum", ctypes.c_uint64),
        ("other", ctypes.c_uint64),
    )


def available() -> bool:
    """Return whether this machine can apply the filters: it has libseccomp and systemd's call groups."""
    return util.find_library("seccomp") is not None and shutil.which("systemd-analyze") is not None


@cache
def group(name: str) -> frozenset[str]:
    """Return the system calls of a group such as @system-service, including groups within it."""
    listed = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name], capture_output=True, text=True, check=True
    ).stdout
    members: set[str] = set()
    for line in listed.splitlines()[1:]:
        member = line.strip()
        if member.startswith("@"):
            members |= group(member)
        elif member and not member.startswith("#"):
            members.add(member)
    return frozenset(members)


def allowed(unit: str) -> frozenset[str]:
    """Return the system calls that a unit's SystemCallFilter lines allow; @default is always allowed."""
    left = set(group("@default"))
    lines = values(unit, "SystemCallFilter")
    assert lines
    assert not lines[0].startswith("~"), "the first line is the list of allowed calls"
    for line in lines:
        calls: set[str] = set()
        for name in line.removeprefix("~").split():
            calls |= group(name) if name.startswith("@") else {name}
        left = left - calls if line.startswith("~") else left | calls
    return frozenset(left)


class _Filter:
    """A seccomp filter: a default action, and the calls with another action."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL(util.find_library("seccomp"), use_errno=True)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(default))

    def add(self, action: int, call: str, *conditions: tuple[int, int, int, int]) -> None:
        """Add a rule; skip a call that this machine does not have."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (_Condition * max(len(conditions), 1))(*(_Condition(*each) for each in conditions))
        code = self._library.seccomp_rule_add_array(self._context, action, number, len(conditions), array)
        assert code == 0, (call, conditions, os.strerror(-code))

    def load(self) -> None:
        """Apply the filter to this process and all its children."""
        code = self._library.seccomp_load(self._context)
        assert code == 0, os.strerror(-code)


def _denied(number: int) -> int:
    return 0x00050000 | number


def _filters(unit: str) -> Iterator[_Filter]:
    (denial,) = values(unit, "SystemCallErrorNumber")
    calls = _Filter(_denied(getattr(errno, denial)))
    for call in sorted(allowed(unit)):
        calls.add(_ALLOW, call)
    # Needed to load the next filters; systemd too loads a unit's filters one after another.
    calls.add(_ALLOW, "seccomp")
    families = {getattr(socket, name).value for name in values(unit, "RestrictAddressFamilies")[0].split()}
    sockets = _Filter(_ALLOW)
    for family in set(range(max(families))) - families:
        sockets.add(_denied(errno.EAFNOSUPPORT), "socket", (0, _EQUAL, family, 0))
    sockets.add(_denied(errno.EAFNOSUPPORT), "socket", (0, _GREATER, max(families), 0))
    yield sockets
    if values(unit, "RestrictNamespaces") == ["yes"]:
        namespaces = _Filter(_ALLOW)
        namespaces.add(_denied(errno.ENOSYS), "clone3")
        namespaces.add(_denied(errno.EPERM), "setns", (1, _EQUAL, 0, 0))
        for flag in _NAMESPACES.values():
            for call, argument in (("unshare", 0), ("clone", 0), ("setns", 1)):
                namespaces.add(_denied(errno.EPERM), call, (argument, _MASKED, flag, flag))
        yield namespaces
    if values(unit, "LockPersonality") == ["yes"]:
        personality = _Filter(_ALLOW)
        personality.add(_denied(errno.EPERM), "personality", (0, _GREATER, 0, 0))
        yield personality
    if values(unit, "MemoryDenyWriteExecute") == ["yes"]:
        memory = _Filter(_ALLOW)
        both = _PROT_WRITE | _PROT_EXEC
        memory.add(_denied(errno.EPERM), "mmap", (2, _MASKED, both, both))
        memory.add(_denied(errno.EPERM), "mprotect", (2, _MASKED, _PROT_EXEC, _PROT_EXEC))
        memory.add(_denied(errno.EPERM), "pkey_mprotect", (2, _MASKED, _PROT_EXEC, _PROT_EXEC))
        memory.add(_denied(errno.EPERM), "shmat", (2, _MASKED, _SHM_EXEC, _SHM_EXEC))
        yield memory
    yield calls


def main() -> None:
    """Confine this process, and replace it with the command."""
    unit, *command = sys.argv[1:]
    filters = list(_filters(unit))
    assert values(unit, "NoNewPrivileges") == ["yes"]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for each in filters:
        each.load()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
