"""A kernel to stop in, and a stub that plays a guest which comes by where a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from guest_kernels.build import Form, System, guest_kernel
from timehands.errors import HostError
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Unreadable
from timehands.watch.stops import Log, Stops
from watch.gdb.stub import Answer, Stub, connected

NAMES = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12",
         "r13", "r14", "r15", "rip", "eflags", "cs")  # fmt: skip
_CORE = (
    '<feature name="core">'
    + "".join(f'<reg name="{name}" bitsize="64"/>' for name in NAMES)
    + "</feature>"
)
STACK = 0xFFFFFFFF90000000
KERNEL_HALF = 1 << 63
Way = tuple[str, Mapping[str, int]]
#: The machine stops by itself.
ENDS: Way = ("T03thread:1;", {})


@cache
def kernel(system: System = "freebsd", form: Form = "dwarf") -> Kernel:
    """A test kernel, opened; the test is skipped where none can be built."""
    try:
        return Kernel.open(guest_kernel(system, form))
    except HostError as error:
        pytest.skip(f"no C compiler: {error.message}")


def address(name: str, system: System = "freebsd") -> int:
    """Where a symbol is."""
    return kernel(system).symbols.lookup(name)[0]


@dataclass
class Machine(Stub):
    """A vCPU that goes from one place to the next of ``way``, each with what its registers are.

    Its memory is the kernel's file, and what was written. ``refuses`` are kinds of breakpoints (the
    digit of Z) that cannot be inserted while the kernel is not loaded.
    """

    way: list[Way] = field(default_factory=list)
    registers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    written: dict[int, int] = field(default_factory=dict)
    image: Kernel | None = None
    refuses: frozenset[bytes] = frozenset()
    msrs: dict[int, int] = field(default_factory=dict)
    writable: bool = True
    steps: Callable[[Machine], None] = lambda machine: machine.forward(1)

    def __post_init__(self) -> None:
        self.documents["core.xml"] = _CORE.encode()
        self.registers["rsp"] = STACK

    def reply(self, request: bytes) -> Answer:
        """What it says. (An address that begins with a letter is no part of a packet's name.)"""
        short = {b"m": self.on_m, b"M": self.on_M}.get(request[:1])
        return short(request) if short else super().reply(request)

    def forward(self, length: int) -> None:
        """The instruction pointer moves."""
        self.registers["rip"] += length

    def on_g(self, _: bytes) -> bytes:
        return b"".join(self.registers[n].to_bytes(8, "little") for n in NAMES).hex().encode()

    def on_p(self, request: bytes) -> bytes:
        return self.registers[NAMES[int(request[1:], 16)]].to_bytes(8, "little").hex().encode()

    def on_P(self, request: bytes) -> bytes:  # noqa: N802
        number, _, value = request[1:].partition(b"=")
        raw = bytes.fromhex(value.decode())
        self.registers[NAMES[int(number, 16)]] = int.from_bytes(raw, "little")
        return b"OK"

    def on_m(self, request: bytes) -> bytes:
        start, length = (int(word, 16) for word in request[1:].split(b","))
        try:
            return bytes(self.byte(at) for at in range(start, start + length)).hex().encode()
        except Unreadable:
            return b"E14"

    def byte(self, at: int) -> int:
        """What is in memory."""
        if at in self.written:
            return self.written[at]
        assert self.image is not None
        try:
            return self.image.file_memory.read(at, 1)[0]
        except Unreadable:
            if at >= KERNEL_HALF:  # whole pages are mapped, and the stack
                return 0
            raise

    def _put(self, span: bytes, data: bytes) -> bytes:
        start, length = (int(word, 16) for word in span.split(b","))
        assert length == len(data)
        self.put(start, data)
        return b"OK"

    def put(self, at: int, data: bytes) -> None:
        """Write its memory."""
        self.written |= {at + number: byte for number, byte in enumerate(data)}

    def on_Z(self, request: bytes) -> bytes:  # noqa: N802
        return b"E22" if request[1:2] in self.refuses else super().on_Z(request)

    def on_vCont(self, request: bytes) -> Answer:  # noqa: N802
        if request.startswith(b"vCont;s"):
            self.steps(self)
            return b"T05thread:1;"
        if not self.way:
            return None
        reply, registers = self.way.pop(0)
        self.registers |= registers
        return reply.encode()


def at(name: str | int, **registers: int) -> Way:
    """A stop at a breakpoint there."""
    pc = name if isinstance(name, int) else address(name)
    return "T05thread:1;swbreak:;", {"rip": pc, **registers}


def play(machine: Machine, what: Callable[[Stops], Awaitable[Any]], log: Log | None = None) -> Any:
    """What comes of working with that machine, in which the test kernel runs."""
    machine.image = kernel()

    async def run() -> Any:
        async with connected(machine, 5.0) as client:
            return await what(Stops(client, kernel(), constants={"CPUID_TSC": 0x10}, log=log))

    return asyncio.run(run())
