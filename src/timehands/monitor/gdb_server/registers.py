"""The registers that a client sees: names, places in ``g``, and how each is had and set.

GDB manual, "Target Descriptions", "i386 Features": core, sse and segments are gdb's own features,
in its order; the control registers, EFER and k_gs_base are in one of ours, with the names that
QEMU's stub gives them. Values are little endian.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import NamedTuple, Self

from timehands.errors import KvmRefused, MachineError
from timehands.kvm.structs import Fpu, Regs, Sregs, Xsave
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.gdb_server import x87

_KERNEL_GS_BASE = 0xC000_0102
#: In the XSAVE area (Intel SDM volume 1, 13.4): MXCSR; a bit for each part that is in use.
_MXCSR, _XSTATE_BV, _XSTATE_SSE = slice(24, 28), 512, 2
_ELF, _ELF_CLASS_AT, _ELF_32 = b"\x7fELF", 4, 1


class Architecture(Enum):
    """What the client is to take the guest for; the value is gdb's name.

    A client has to know it when it connects, and for good. One that debugs a 64-bit kernel wants
    ``X86_64`` from the first instruction on, though a vCPU starts in 32-bit mode.
    """

    X86_64 = "i386:x86-64"
    I386 = "i386"

    @classmethod
    def of(cls, kernel: bytes | memoryview) -> Self:
        """What gdb takes a kernel file for: a 32-bit ELF file is i386, any other x86-64."""
        narrow = bytes(kernel[:4]) == _ELF and bytes(kernel[_ELF_CLASS_AT:5]) == bytes([_ELF_32])
        return cls("i386" if narrow else "i386:x86-64")

    @property
    def bits(self) -> int:
        """How wide addresses and general registers are."""
        return 32 if self is Architecture.I386 else 64


class State:
    """What a vCPU holds, asked of KVM when it is first wanted; `put` sets what was changed.

    The vCPU has to be out of the guest. Raises `KvmRefused`.
    """

    def __init__(self, vcpu: Vcpu) -> None:
        self._vcpu = vcpu
        self._held: dict[str, Regs | Sregs | Fpu] = {}
        self._before: dict[str, bytes] = {}
        self._msrs: dict[int, int] = {}

    @property
    def regs(self) -> Regs:
        """General registers."""
        held = self._get("regs", self._vcpu.regs)
        assert isinstance(held, Regs)
        return held

    @property
    def sregs(self) -> Sregs:
        """Segments and control registers."""
        held = self._get("sregs", self._vcpu.sregs)
        assert isinstance(held, Sregs)
        return held

    @property
    def fpu(self) -> Fpu:
        """x87 and SSE."""
        held = self._get("fpu", self._vcpu.fpu)
        assert isinstance(held, Fpu)
        return held

    def msr(self, index: int) -> int:
        """An MSR; 0 where there is none."""
        if index not in self._msrs:
            try:
                self._msrs[index] = self._vcpu.msr(index)
            except KvmRefused:
                self._msrs[index] = 0
        return self._msrs[index]

    def set_msr(self, index: int, value: int) -> None:
        """Set an MSR at once, unless it has that value."""
        if self.msr(index) != value:
            self._vcpu.set_msrs({index: value})
            self._msrs[index] = value

    def mxcsr(self) -> int:
        """SSE's control and status, which KVM_GET_FPU does not tell."""
        return int.from_bytes(bytes(self._vcpu.xsave())[_MXCSR], "little")

    def set_mxcsr(self, value: int) -> None:
        """Set it at once."""
        area = bytearray(bytes(self._vcpu.xsave()))
        area[_MXCSR] = value.to_bytes(4, "little")
        area[_XSTATE_BV] |= _XSTATE_SSE
        self._vcpu.set_xsave(Xsave.from_buffer(area))

    def put(self) -> None:
        """Set what was changed."""
        setters: Mapping[str, Callable[..., None]] = {
            "regs": self._vcpu.set_regs, "sregs": self._vcpu.set_sregs, "fpu": self._vcpu.set_fpu,
        }  # fmt: skip
        for name, held in self._held.items():
            if bytes(held) != self._before[name]:
                setters[name](held)
                self._before[name] = bytes(held)

    def _get(self, name: str, ask: Callable[[], Regs | Sregs | Fpu]) -> Regs | Sregs | Fpu:
        if name not in self._held:
            self._held[name] = ask()
            self._before[name] = bytes(self._held[name])
        return self._held[name]


class Register(NamedTuple):
    """One register as the client knows it; ``size`` in bytes, ``kind`` gdb's name of its type."""

    name: str
    size: int
    kind: str
    group: str
    get: Callable[[State], int]
    set: Callable[[State, int], None]


@dataclass(frozen=True, slots=True)
class Feature:
    """A part of the description, and its registers in the order of ``g``."""

    name: str
    registers: tuple[Register, ...]


@cache
def features(architecture: Architecture) -> tuple[Feature, ...]:
    """All that a client is told of."""
    word, wide = architecture.bits // 8, architecture is Architecture.X86_64
    core = (*_general(word, wide), *_selectors(), *x87_registers())
    return (
        Feature("org.gnu.gdb.i386.core", core),
        Feature("org.gnu.gdb.i386.sse", tuple(_sse(16 if wide else 8))),
        *((Feature("org.gnu.gdb.i386.segments", tuple(_bases(word))),) if wide else ()),
        Feature("org.timehands.x86.system", tuple(_system(word, wide))),
    )


@cache
def registers(architecture: Architecture) -> tuple[Register, ...]:
    """All registers by number."""
    return tuple(r for feature in features(architecture) for r in feature.registers)


@cache
def numbered(architecture: Architecture) -> Mapping[str, int]:
    """The number of each register, by its name."""
    return {register.name: at for at, register in enumerate(registers(architecture))}


def read(register: Register, state: State) -> bytes:
    """Its value as it stands in ``g``; the upper half of a wider one is left out."""
    mask = (1 << 8 * register.size) - 1
    return (register.get(state) & mask).to_bytes(register.size, "little")


def write(register: Register, state: State, data: bytes) -> None:
    """Set it, if it is another value than it has. Raises `MachineError` when it cannot be set."""
    if data != read(register, state):
        register.set(state, int.from_bytes(data, "little"))


def _field(part: str, name: str) -> tuple[Callable[[State], int], Callable[[State, int], None]]:
    """A number in one of KVM's structures."""

    def get(state: State) -> int:
        value: int = getattr(getattr(state, part), name)
        return value

    def put(state: State, value: int) -> None:
        setattr(getattr(state, part), name, value)

    return get, put


def _general(word: int, wide: bool) -> list[Register]:
    ours = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"]
    if not wide:  # gdb's order there is the processor's own
        ours = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"]
    ours += [f"r{number}" for number in range(8, 16)] if wide else []
    found = []
    for name in [*ours, "rip"]:
        shown = name if wide else f"e{name[1:]}"
        kind = {"rip": "code_ptr", "rsp": "data_ptr", "rbp": "data_ptr"}.get(name, f"int{8 * word}")
        found.append(Register(shown, word, kind, "general", *_field("regs", name)))
    return [*found, Register("eflags", 4, "i386_eflags", "general", *_field("regs", "rflags"))]


def _selectors() -> list[Register]:
    def one(name: str) -> Register:
        def get(state: State) -> int:
            value: int = getattr(state.sregs, name).selector
            return value

        def refuse(_state: State, _value: int) -> None:
            raise MachineError(f"{name} cannot be set: its base and limits would not follow")

        return Register(name, 4, "int32", "general", get, refuse)

    return [one(name) for name in ("cs", "ss", "ds", "es", "fs", "gs")]


def x87_registers() -> list[Register]:
    """st0 to st7, and what gdb makes of the rest."""
    stack = [
        Register(f"st{n}", 10, "i387_ext", "float", x87.get_stack(n), x87.set_stack(n))
        for n in range(8)
    ]
    control = [
        Register(name, 4, "int", "float", x87.getter(name), x87.setter(name))
        for name in x87.CONTROL
    ]
    return stack + control


def _sse(count: int) -> list[Register]:
    def one(number: int) -> Register:
        def get(state: State) -> int:
            return int.from_bytes(bytes(state.fpu.xmm[number]), "little")

        def put(state: State, value: int) -> None:
            state.fpu.xmm[number][:] = value.to_bytes(16, "little")

        return Register(f"xmm{number}", 16, "vec128", "vector", get, put)

    mxcsr = Register("mxcsr", 4, "i386_mxcsr", "vector", State.mxcsr, State.set_mxcsr)
    return [*map(one, range(count)), mxcsr]


def _bases(word: int) -> list[Register]:
    def one(name: str) -> Register:
        def get(state: State) -> int:
            value: int = getattr(state.sregs, name).base
            return value

        def put(state: State, value: int) -> None:
            getattr(state.sregs, name).base = value

        return Register(f"{name}_base", word, "int", "general", get, put)

    return [one("fs"), one("gs")]


def _system(word: int, wide: bool) -> list[Register]:
    gs = Register(
        "k_gs_base", word, f"int{8 * word}", "system",
        lambda state: state.msr(_KERNEL_GS_BASE),
        lambda state, value: state.set_msr(_KERNEL_GS_BASE, value),
    )  # fmt: skip
    names = ("cr0", "cr2", "cr3", "cr4", "cr8", "efer")
    rest = [Register(n, word, f"int{8 * word}", "system", *_field("sregs", n)) for n in names]
    return [gs, *rest] if wide else rest
