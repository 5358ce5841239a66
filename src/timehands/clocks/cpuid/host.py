"""The CPUID of the processor that we run on, without privileges.

CPUID is an unprivileged instruction: a few bytes of code execute it. The code lies in a memory
file that is mapped read-only and executable, so no page is ever writable and executable, and
systems that forbid that have nothing to object to. Where code may not be mapped at all,
``/dev/cpu/0/cpuid`` is asked (cpuid(4); root only on most systems).
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.table import CpuidTable, read_table
from timehands.errors import HostError

Reader = Callable[[int, int], Registers]

_DEVICE = Path("/dev/cpu/0/cpuid")
#: ``void cpuid(uint32_t registers[4], uint32_t leaf, uint32_t subleaf)`` of the System V ABI:
#: endbr64; push rbx; mov eax, esi; mov ecx, edx; cpuid; store the four registers at rdi;
#: pop rbx; ret.
_CODE = bytes.fromhex("f30f1efa 53 89f0 89d1 0fa2 8907 895f04 894f08 89570c 5b c3")


def host_table() -> CpuidTable:
    """All CPUID answers of one CPU of this host (the one that we happen to run on).

    Raises `HostError` on other processors than x86-64, and when there is no way to ask.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        raise HostError(f"this host's processor is {platform.machine()}: it has no CPUID")
    with _one_cpu(), _reader() as cpuid:
        return read_table(cpuid)


@contextlib.contextmanager
def _reader() -> Iterator[Reader]:
    try:
        page = _map_code()
    except OSError as error:
        with _device_reader(error) as reader:
            yield reader
        return
    try:
        yield _code_reader(page)
    finally:
        _libc().munmap(page, mmap.PAGESIZE)


def _code_reader(page: int) -> Reader:
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)(page)
    answer = (ctypes.c_uint32 * 4)()

    def cpuid(leaf: int, subleaf: int) -> Registers:
        function(ctypes.addressof(answer), leaf, subleaf)
        return Registers(*answer)

    return cpuid


@contextlib.contextmanager
def _device_reader(cause: OSError) -> Iterator[Reader]:
    """The device takes the leaf in the low half of the offset, the subleaf in the high half."""
    try:
        descriptor = os.open(_DEVICE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"this system lets us neither map code ({cause.strerror}) nor read {_DEVICE} "
            f"({error.strerror})",
            mend="cpuid -1 -r > cpuid.txt (as root), then: timehands cpuid cpuid.txt",
        ) from error

    def cpuid(leaf: int, subleaf: int) -> Registers:
        raw = os.pread(descriptor, 16, subleaf << 32 | leaf)
        return Registers(*(int.from_bytes(raw[at : at + 4], "little") for at in (0, 4, 8, 12)))

    try:
        yield cpuid
    finally:
        os.close(descriptor)


def _map_code() -> int:
    """The address of a page with the code. Raises `OSError` when the system forbids it."""
    descriptor = os.memfd_create("timehands-cpuid", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, _CODE.ljust(mmap.PAGESIZE, b"\xcc"))
        libc = _libc()
        page = libc.mmap(
            None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, descriptor, 0
        )
    finally:
        os.close(descriptor)
    if page is None or page == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(page)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    ]  # fmt: skip
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc


@contextlib.contextmanager
def _one_cpu() -> Iterator[None]:
    """Stay on one CPU, so that all answers come from the same one (they differ on hybrids)."""
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)
