"""Take away from this process what the loading of a model does not need: network, writing, other processes, unlimited resources.

Linux only: Landlock (files; kernel 5.13) and seccomp (system calls, x86-64 and ARM64), both without privileges. Elsewhere only resource
limits hold. What is taken away never comes back, so this is for a child process.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

PROTECTIONS = ("landlock", "seccomp", "limits")
"""What `restrict` can do, by name."""


_GRACE_S = 5


@dataclass(frozen=True)
class SandboxLimits:
    """Resources of a process that loads a model."""

    cpu_s: int = 120
    memory_bytes: int = 2 << 30
    """On top of what the process has already, and of `memory_ratio` times the model's files."""
    memory_ratio: int = 6
    files: int = 64
    """Open at a time."""


def available() -> tuple[str, ...]:
    """Which of PROTECTIONS this system has. Takes nothing away."""
    found = []
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION) >= 1:
            found.append("landlock")
        if os.uname().machine in _MACHINES and libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0:
            found.append("seccomp")
    return (*found, "limits")


def restrict(readable: Sequence[str], model_bytes: int = 0, limits: SandboxLimits | None = None) -> tuple[str, ...]:
    """From here on this process reads files below `readable` only, writes none, starts nothing and connects to nothing.

    Returns which of PROTECTIONS hold; never raises. Call it in a process of one thread.
    """
    limits = limits or SandboxLimits()
    active = []
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if _landlock(libc, readable):
            active.append("landlock")
        _drop_capabilities(libc)
    _limit(limits, model_bytes)
    active.append("limits")
    if sys.platform == "linux" and _seccomp(libc):
        active.append("seccomp")
    return tuple(name for name in PROTECTIONS if name in active)


def detach(keep: Sequence[int]) -> None:
    """Close all files but `keep`, take /dev/null as input and output, empty the environment, and end with the parent."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    open_ones = sorted({0, 1, 2, *keep})
    for low, high in zip(open_ones, [*open_ones[1:], _highest_descriptor()], strict=True):
        os.closerange(low + 1, high)
    for each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(each)):
            signal.signal(each, signal.SIG_DFL)
    for each in (
        signal.SIGINT,
        signal.SIGHUP,
    ):  # a Ctrl-C, or the terminal's end, is for the parent, which ends its children
        signal.signal(each, signal.SIG_IGN)
    os.environ.clear()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _highest_descriptor() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if 0 < soft < 1 << 20 else 1 << 20


def _limit(limits: SandboxLimits, model_bytes: int) -> None:
    memory = _address_space() + limits.memory_bytes + limits.memory_ratio * model_bytes
    for kind, amount in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NOFILE, limits.files),
    ):
        _, most = resource.getrlimit(kind)
        # At the hard limit of time SIGKILL comes, which does not name the limit.
        hard = amount + (_GRACE_S if kind == resource.RLIMIT_CPU else 0)
        hard = hard if most == resource.RLIM_INFINITY else min(hard, most)
        try:
            resource.setrlimit(kind, (min(amount, hard), hard))
        except (OSError, ValueError):  # macOS takes no limit of address space
            continue


def _address_space() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- as little as can be in a forked process
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


# Linux's numbers: include/uapi/linux/{prctl,landlock,seccomp,filter,audit}.h

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_GET_SECCOMP, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 21, 22, 38
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights to files each version of Landlock knows."""
_NET_RIGHTS, _SCOPES = 0b11, 0b11
_O_PATH = getattr(os, "O_PATH", 0)


def _landlock(libc: ctypes.CDLL, readable: Sequence[str]) -> bool:
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False
    handled = (1 << _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]) - 1
    values = [handled] + [_NET_RIGHTS] * (version >= 4) + [_SCOPES] * (version >= 6)
    attributes = struct.pack(f"={len(values)}Q", *values)
    rules = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        for path in readable:
            try:
                beneath = os.open(path, _O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)  # noqa: PTH112
                libc.syscall(_LANDLOCK_ADD, rules, _PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0)
            finally:
                os.close(beneath)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    header = struct.pack("=Ii", 0x20080522, 0)
    libc.syscall(126 if os.uname().machine == "x86_64" else 91, header, struct.pack("=6I", *[0] * 6))


@dataclass(frozen=True)
class _Machine:
    """Numbers of system calls of one processor."""

    audit: int
    calls: dict[str, int]


# What Python, torch and onnxruntime call while they compute and read files: no network, no processes, nothing that changes a file.
_X86 = _Machine(
    0xC000003E,
    {
        "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10,
        "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "readv": 19, "writev": 20,
        "access": 21, "sched_yield": 24, "mremap": 25, "mincore": 27, "madvise": 28, "dup": 32, "nanosleep": 35, "getpid": 39,
        "exit": 60, "uname": 63, "fcntl": 72, "getcwd": 79, "readlink": 89, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98,
        "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131,
        "gettid": 186, "futex": 202, "sched_getaffinity": 204, "getdents64": 217, "restart_syscall": 219, "fadvise64": 221,
        "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "get_mempolicy": 239,
        "newfstatat": 262, "readlinkat": 267, "faccessat": 269, "set_robust_list": 273, "getcpu": 309, "getrandom": 318,
        "membarrier": 324, "statx": 332, "rseq": 334, "faccessat2": 439,
    },
)  # fmt: skip
_ARM64 = _Machine(
    0xC00000B7,
    {
        "getcwd": 17, "dup": 23, "fcntl": 25, "faccessat": 48, "close": 57, "getdents64": 61, "lseek": 62, "read": 63, "write": 64,
        "readv": 65, "writev": 66, "pread64": 67, "ppoll": 73, "readlinkat": 78, "newfstatat": 79, "fstat": 80, "exit": 93,
        "exit_group": 94, "futex": 98, "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114,
        "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132,
        "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "uname": 160, "getrlimit": 163, "getrusage": 165,
        "getcpu": 168, "gettimeofday": 169, "getpid": 172, "getppid": 173, "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177,
        "gettid": 178, "sysinfo": 179, "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "fadvise64": 223, "mprotect": 226,
        "mincore": 232, "madvise": 233, "get_mempolicy": 236, "getrandom": 278, "membarrier": 283, "statx": 291, "rseq": 293,
        "faccessat2": 439,
    },
)  # fmt: skip
_MACHINES = {"x86_64": _X86, "aarch64": _ARM64}
_OPEN = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}
"""Calls that open files (open, openat), with the position of their flags."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NUMBER, _AUDIT, _ARGUMENTS = 0, 4, 16
_EPERM = 1


def _seccomp(libc: ctypes.CDLL) -> bool:
    """Every system call that is not listed fails with EPERM; files are opened for reading only."""
    name = os.uname().machine
    machine = _MACHINES.get(name)
    if machine is None or sys.maxsize < 1 << 32:
        return False
    code = _filter(machine, _OPEN[name])
    program = b"".join(struct.pack("=HBBI", *each) for each in code)
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    active = Program(len(code), ctypes.addressof(buffer))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(active), 0, 0) == 0)


def _filter(machine: _Machine, opening: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
    refuse, allow = (_RETURN, 0, 0, _FAIL | _EPERM), (_RETURN, 0, 0, _ALLOW)
    code = [(_LOAD, 0, 0, _AUDIT), (_JUMP_EQUAL, 1, 0, machine.audit), refuse, (_LOAD, 0, 0, _NUMBER)]
    for number in sorted(machine.calls.values()):
        code += [(_JUMP_EQUAL, 0, 1, number), allow]
    for number, position in opening:
        code += [
            (_JUMP_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _ARGUMENTS + 8 * position),
            (_JUMP_SET, 0, 1, _WRITING),
            refuse,
            allow,
        ]
    return [*code, refuse]
