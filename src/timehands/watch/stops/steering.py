"""Changing a guest at a stop. Every change is written into the recording as one of ours.

::

    await set_value(stops, "tsc_freq = 2500000000")
    await skip(stops, returning=0)
    answers = {0x40000010: Leaf(2500000, 1000000, 0, 0)}
    await stops.place(parse("cpuid"), action=answer_cpuid(answers))
    await ask_cpuid(stops, 0x80000000)
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.errors import CannotSteer, TimehandsError, UsageError
from timehands.kernels.expressions import SetRegister, parse_assignment
from timehands.kernels.memory import Unreadable
from timehands.kernels.noreturn import never_returns
from timehands.watch.interventions import Did, Intervention
from timehands.watch.stops import inject
from timehands.watch.stops.engine import Stops
from timehands.watch.stops.placed import Action
from timehands.watch.stops.sites import Site
from timehands.watch.stops.stop import why_not

MSR_TSC: Final = 0x10
MAX_HOLD_SECONDS: Final = 3600.0
_U32: Final = 1 << 32
_U64: Final = 1 << 64
#: Hours of ticks.
_FAR: Final = 1 << 46
#: Which registers hold the text of a leaf, in order (Intel SDM volume 2, "CPUID").
_TEXTS: Final = {
    0x0: "bdc",
    0x80000000: "bdc",
    0x40000000: "bcd",
    **dict.fromkeys((0x80000002, 0x80000003, 0x80000004), "abcd"),
}


async def set_value(stops: Stops, assignment: str) -> Intervention:
    """Set a variable, a register (``$rax = 1``) or memory (``*(uint32_t *)0x1000 = 5``).

    Raises `ExpressionError`; `StubRefused` when it cannot be written.
    """
    target = assignment.split("=", 1)[0].strip()
    before = await _shown(stops, target)
    change = await stops.see(lambda view: view.change(assignment))
    if isinstance(change, SetRegister):
        await stops.stub.set_register(change.name, change.value)
        kind = Did.REGISTER
    else:
        await stops.stub.write(change.address, change.data)
        kind = Did.VARIABLE if target.replace("_", "a").isalnum() else Did.MEMORY
    stops.changed()
    after = await _shown(stops, target)
    return stops.log.did(kind, f"{target} = {after} (was {before})")


def check_assignment(assignment: str) -> None:
    """Raise `ExpressionError` when it is no assignment."""
    parse_assignment(assignment, lambda _name: False)


async def _shown(stops: Stops, expression: str) -> str:
    try:
        return await stops.see(lambda view: view.value(expression).format(1, 8))
    except (TimehandsError, Unreadable) as error:
        return f"<{why_not(error)}>"


async def skip(stops: Stops, returning: int | None = None) -> Intervention:
    """Leave out the function at whose first instruction the guest stands: it returns at once.

    ``returning`` becomes its result; None leaves what is in the register. Raises `CannotSteer`.
    """
    registers = await stops.client.registers()
    place = stops.kernel.symbols.find(registers["rip"])
    if place is None or place.offset:
        where = f"{registers['rip']:#x}" if place is None else f"{place.name}+{place.offset:#x}"
        raise CannotSteer(f"{where} is not the first instruction of a function: nothing to skip")
    top = registers["rsp"]
    word = await stops.client.read(top, 8)
    if word is None:
        raise CannotSteer(f"the stack of the guest cannot be read at {top:#x}")
    await stops.stub.set_register("rip", int.from_bytes(word, "little"))
    await stops.stub.set_register("rsp", (top + 8) % _U64)
    if returning is not None:
        await stops.stub.set_register("rax", returning % _U64)
    stops.changed()
    result = "" if returning is None else f", which returns {returning:#x}"
    if never_returns(stops.kernel, registers["rip"]):
        result = f", which never returns: what runs now is what lies behind its call{result}"
    return stops.log.did(Did.SKIP, f"left out {place.name}{result}")


def skip_function(returning: int | None = None) -> Action:
    """An action for a function's first instruction: it is left out each time."""

    async def act(stops: Stops, _site: Site) -> bool:
        await skip(stops, returning)
        return True

    return act


def answer_cpuid(answers: Mapping[int, Leaf]) -> Action:
    """An action for cpuid instructions: these leaves are answered by us.

    The instruction is not executed. Raises `UsageError` for what is no register's value.
    """
    for leaf, registers in answers.items():
        if not all(0 <= number < _U32 for number in (leaf, *registers)):
            raise UsageError(f"CPUID works with unsigned 32-bit numbers, not {leaf:#x} {registers}")

    async def act(stops: Stops, site: Site) -> bool:
        registers = await stops.client.registers()
        leaf = registers["rax"] % _U32
        answer = answers.get(leaf)
        if answer is None:
            return True  # the processor answers it
        for name, number in zip(("rax", "rbx", "rcx", "rdx"), answer, strict=True):
            await stops.stub.set_register(name, number)
        length = site.instruction.length if site.instruction else 2
        await stops.stub.set_register("rip", site.point.address + length)
        stops.changed()
        stops.log.did(Did.CPUID, f"cpuid {leaf:#x} answered: {describe_leaf(leaf, answer)}")
        return True

    return act


async def ask_cpuid(stops: Stops, leaf: int, subleaf: int = 0) -> Leaf:
    """Execute CPUID inside the guest, as its kernel would. Raises `CannotSteer`, `UsageError`."""
    if not 0 <= leaf < _U32 or not 0 <= subleaf < _U32:
        raise UsageError(f"CPUID works with unsigned 32-bit numbers, not {leaf:#x}, {subleaf:#x}")
    found = await inject.cpuid(stops, leaf, subleaf)
    stops.log.did(Did.ASK, f"asked cpuid {leaf:#x}: {describe_leaf(leaf, found)}")
    return found


async def ask_msr(stops: Stops, msr: int) -> int:
    """Read an MSR inside the guest. Raises `CannotSteer`, `UsageError`."""
    if not 0 <= msr < _U32:
        raise UsageError(f"an MSR has an unsigned 32-bit number, not {msr:#x}")
    found = await inject.rdmsr(stops, msr)
    stops.log.did(Did.ASK, f"asked MSR {msr:#x}: {found:#x}")
    return found


async def ask_tsc(stops: Stops) -> int:
    """Read the TSC inside the guest, in ticks. Raises `CannotSteer`."""
    found = await inject.rdtsc(stops)
    stops.log.did(Did.ASK, f"asked the TSC: {found}")
    return found


async def hold(stops: Stops, seconds: float) -> Intervention:
    """Let the guest stand still for so long, in s of the host. Raises `UsageError`."""
    if not 0 <= seconds <= MAX_HOLD_SECONDS:
        raise UsageError(f"a guest can be held for 0 to {MAX_HOLD_SECONDS:g} s, not {seconds:g}")
    await asyncio.sleep(seconds)
    return stops.log.did(Did.HOLD, f"held the guest for {seconds:g} s")


async def jump_tsc(stops: Stops, ticks: int) -> Intervention:
    """Set the guest's TSC forward (or back) by so many ticks, and see that it has.

    It is first set so far ahead that its own running cannot explain it. Raises `CannotSteer` where
    the machine does not let it be written: QEMU's TCG ignores it.
    """
    before = await inject.rdtsc(stops)
    if not 0 <= before + ticks < _U64 - 2 * _FAR:
        raise UsageError(f"the TSC is {before}: it cannot jump by {ticks}")
    await inject.wrmsr(stops, MSR_TSC, before + ticks + _FAR)
    seen = await inject.rdtsc(stops)
    if seen - before - ticks < _FAR:
        raise CannotSteer(
            f"the guest's TSC does not jump: {before} before, {seen} after a write of "
            f"{before + ticks + _FAR}",
            advice="QEMU's TCG ignores writes of the TSC: on KVM the jump can be made.",
        )
    await inject.wrmsr(stops, MSR_TSC, seen - _FAR)
    after = await inject.rdtsc(stops)
    return stops.log.did(Did.JUMP, f"the TSC jumped by {ticks} ticks: {before} before, {after} now")


def describe_leaf(leaf: int, registers: Leaf) -> str:
    """``eax 0xd ebx 0x68747541 ecx 0x444d4163 edx 0x69746e65 "AuthenticAMD"``."""
    names = ("eax", "ebx", "ecx", "edx")
    words = " ".join(f"{name} {value:#x}" for name, value in zip(names, registers, strict=True))
    order = _TEXTS.get(leaf)
    if order is None:
        return words
    raw = b"".join(registers["abcd".index(one)].to_bytes(4, "little") for one in order)
    text = raw.rstrip(b"\0").decode("latin-1")
    return f'{words} "{text}"' if text and text.isascii() and text.isprintable() else words
