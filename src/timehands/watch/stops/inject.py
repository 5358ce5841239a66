"""Running one instruction of ours in a guest that stands still, without a trace.

The instruction is written over the one that is next, executed by one step, and everything is put
back: code, registers, breakpoints. Interrupts do not come in between (QEMU masks them during a
step). The kernel never knows, and needs to have no such instruction of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.errors import CannotSteer
from timehands.watch.gdb import Breakpoint, GdbClient
from timehands.watch.stops.engine import Stops

#: Intel SDM volume 2: "CPUID", "RDMSR", "WRMSR", "RDTSC".
_CODE: Final = {
    "cpuid": b"\x0f\xa2",
    "rdmsr": b"\x0f\x32",
    "wrmsr": b"\x0f\x30",
    "rdtsc": b"\x0f\x31",
}
_M32: Final = 0xFFFFFFFF
_STEP_SECONDS: Final = 5.0
_PRIVILEGED: Final = frozenset(("rdmsr", "wrmsr"))


async def cpuid(stops: Stops, leaf: int, subleaf: int = 0) -> Leaf:
    """What CPUID answers to the guest. Raises `CannotSteer`."""
    after = await _execute(stops, "cpuid", {"rax": leaf, "rcx": subleaf})
    return Leaf(*(after[name] & _M32 for name in ("rax", "rbx", "rcx", "rdx")))


async def rdmsr(stops: Stops, msr: int) -> int:
    """What an MSR holds. Raises `CannotSteer`, also when the processor knows no such MSR."""
    return _pair(await _execute(stops, "rdmsr", {"rcx": msr}))


async def wrmsr(stops: Stops, msr: int, value: int) -> None:
    """Write an MSR. Raises `CannotSteer`. Whether it has the value then is another question."""
    low, high = value & _M32, value >> 32 & _M32
    await _execute(stops, "wrmsr", {"rcx": msr, "rax": low, "rdx": high})


async def rdtsc(stops: Stops) -> int:
    """The guest's TSC now, in ticks. Raises `CannotSteer`."""
    return _pair(await _execute(stops, "rdtsc", {}))


def _pair(registers: Mapping[str, int]) -> int:
    return (registers["rdx"] & _M32) << 32 | registers["rax"] & _M32


async def _execute(stops: Stops, name: str, given: Mapping[str, int]) -> Mapping[str, int]:
    """The registers after one instruction of ours; everything is as it was before."""
    client, code = stops.stub, _CODE[name]
    before = dict(await client.registers())
    pc = before.get("rip")
    if pc is None or (before.get("cs", 0) & 3 and name in _PRIVILEGED):
        raise CannotSteer(f"{name} cannot be executed here: the vCPU is not in the kernel")
    saved = await client.read(pc, len(code))
    if saved is None:
        raise CannotSteer(f"{name} cannot be executed here: the code at {pc:#x} cannot be read")
    lifted = await _lift(client, pc, len(code))
    try:
        for register, value in given.items():
            await client.set_register(register, value)
        await client.write(pc, code)
        try:
            after = await _step(client, name)
        finally:
            await client.write(pc, saved)
        await _restore(client, before, after)
    finally:
        for point in lifted:
            await client.insert(point)
        stops.changed()
    if after["rip"] != pc + len(code):
        raise CannotSteer(f"the guest's processor refused {name} ({_operands(given)}): it faulted")
    return after


async def _step(client: GdbClient, name: str) -> Mapping[str, int]:
    await client.step()
    if await client.wait_stop(_STEP_SECONDS) is None:
        await client.interrupt()
        await client.wait_stop(_STEP_SECONDS)
        raise CannotSteer(f"{name} did not come to an end in the guest")
    return dict(await client.registers())


async def _restore(client: GdbClient, before: Mapping[str, int], after: Mapping[str, int]) -> None:
    for register, value in before.items():
        if after.get(register) != value:
            await client.set_register(register, value)


async def _lift(client: GdbClient, pc: int, length: int) -> list[Breakpoint]:
    """Breakpoints that lie in the code itself are out of the way meanwhile."""
    there = [p for p in client.inserted if p.kind.executes and pc <= p.address < pc + length]
    for point in there:
        await client.remove(point)
    return there


def _operands(given: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value:#x}" for name, value in given.items()) or "no operand"
