"""Changes at a stop, with a stub whose vCPU executes what is injected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.errors import CannotSteer, ExpressionError, UsageError
from timehands.kernels.instructions import find
from timehands.watch.interventions import Did
from timehands.watch.stops import Log, Stops, parse, steering
from watch.stops.guests import ENDS, STACK, Machine, address, at, kernel, play
from watch.stops.test_engine import Book

AMD = Leaf(0x8000000A, 0x68747541, 0x444D4163, 0x69746E65)
INSTRUCTIONS = {
    b"\x0f\xa2": "cpuid",
    b"\x0f\x32": "rdmsr",
    b"\x0f\x30": "wrmsr",
    b"\x0f\x31": "tsc",
}


def executing(machine: Machine) -> None:
    """One step of a processor that knows four instructions, and whose TSC runs."""
    registers = machine.registers
    pc = registers["rip"]
    name = INSTRUCTIONS.get(bytes([machine.byte(pc), machine.byte(pc + 1)]))
    machine.forward(2)
    if name == "cpuid":
        answer = AMD if registers["rax"] == 0x80000000 else Leaf(1, 2, 3, registers["rcx"])
        registers |= dict(zip(("rax", "rbx", "rcx", "rdx"), answer, strict=True))
    elif name == "wrmsr":
        if machine.writable:
            machine.msrs[registers["rcx"]] = registers["rdx"] << 32 | registers["rax"]
    elif name in ("rdmsr", "tsc"):
        machine.msrs[0x10] += 1000
        number = 0x10 if name == "tsc" else registers["rcx"]
        if number not in machine.msrs:
            registers |= {"rip": 0xFFFFFFFF80300000, "rsp": registers["rsp"] - 40}
            return
        value = machine.msrs[number]
        registers |= {"rax": value & 0xFFFFFFFF, "rdx": value >> 32}


def processor(*, writable: bool = True) -> Machine:
    return Machine(
        way=[at("tc_init", rdi=address("tsc_timecounter"))],
        msrs={0x10: 1 << 33, 0x1B: 0xFEE00900},
        writable=writable,
        steps=executing,
    )


def at_tc_init(
    what: Callable[[Stops], Awaitable[Any]], machine: Machine | None = None
) -> tuple[Machine, Book]:
    """Do something where tc_init begins; everything but that must be as before."""
    machine, book = machine or processor(), Book()

    async def run(stops: Stops) -> None:
        await stops.place(parse("tc_init"))
        assert await stops.run(5)
        await what(stops)
        stops.log.end(None)

    play(machine, run, Log(book))
    return machine, book


def test_an_instruction_of_ours_leaves_no_trace() -> None:
    async def ask(stops: Stops) -> None:
        before = dict(await stops.client.registers())
        assert await steering.ask_cpuid(stops, 0x80000000) == AMD
        assert await steering.ask_cpuid(stops, 7, 1) == Leaf(1, 2, 3, 1)
        assert await steering.ask_msr(stops, 0x1B) == 0xFEE00900
        assert await steering.ask_tsc(stops) > 1 << 33
        assert dict(await stops.client.registers()) == before

    machine, book = at_tc_init(ask)
    code = kernel().file_memory.read(address("tc_init"), 8)
    assert bytes(machine.byte(address("tc_init") + n) for n in range(8)) == code
    assert machine.points == {b"0,%x,1" % address("tc_init")}
    assert [done.kind for done in book.done] == [Did.ASK] * 4
    assert {done.stop for done in book.done} == {0}
    assert book.done[0].what.endswith('"AuthenticAMD"')


def test_an_msr_that_is_not_there_faults_and_all_is_put_back() -> None:
    async def ask(stops: Stops) -> None:
        before = dict(await stops.client.registers())
        with pytest.raises(CannotSteer, match="refused rdmsr"):
            await steering.ask_msr(stops, 0x999)
        assert dict(await stops.client.registers()) == before

    _, book = at_tc_init(ask)
    assert book.done == []


def test_a_variable_is_set_and_both_values_are_told() -> None:
    async def change(stops: Stops) -> None:
        done = await steering.set_value(stops, "tsc_freq = 2500 * 1000000ul")
        assert (done.kind, done.what) == (Did.VARIABLE, "tsc_freq = 2500000000 (was 0)")
        assert await stops.see(lambda view: int(view.value("tsc_freq"))) == 2_500_000_000
        done = await steering.set_value(stops, "tc->tc_quality = -5")
        assert (done.kind, done.what) == (Did.MEMORY, "tc->tc_quality = -5 (was 800)")
        done = await steering.set_value(stops, "$rax = 7")
        assert done.kind is Did.REGISTER
        with pytest.raises(ExpressionError):
            await steering.set_value(stops, "nothing = 1")

    machine, book = at_tc_init(change)
    assert machine.registers["rax"] == 7
    assert len(book.done) == 3


def test_a_function_is_left_out_at_its_beginning() -> None:
    async def leave_out(stops: Stops) -> None:
        caller = address("start_TSC") + 4
        await stops.client.write(STACK, caller.to_bytes(8, "little"))
        await steering.skip(stops, returning=-1)
        registers = await stops.client.registers()
        assert registers["rip"] == caller
        assert registers["rsp"] == STACK + 8
        assert registers["rax"] == (1 << 64) - 1
        with pytest.raises(CannotSteer, match="not the first instruction"):
            await steering.skip(stops)

    _, book = at_tc_init(leave_out)
    assert [done.kind for done in book.done] == [Did.SKIP]


def test_a_leaf_is_answered_and_others_are_not() -> None:
    site = find(kernel(), "cpuid")[-1]
    way = [at(site.address, rax=leaf) for leaf in (0x15, 0x40000010)]
    machine, book = Machine(way=[*way, ENDS]), Book()
    answers = {0x40000010: Leaf(2_500_000, 1_000_000, 0, 0)}
    seen: list[dict[str, int]] = []
    original = machine.on_vCont

    def vcont(request: bytes) -> Any:
        if request.startswith(b"vCont;c"):
            seen.append(dict(machine.registers))
        return original(request)

    machine.answers[b"vCont;"] = vcont

    async def run(stops: Stops) -> None:
        await stops.place(parse("cpuid"), action=steering.answer_cpuid(answers))
        await stops.run(5)

    play(machine, run, Log(book))
    (done,) = book.done
    assert (done.kind, done.stop) == (Did.CPUID, 1)
    assert done.what.startswith("cpuid 0x40000010 answered: eax 0x2625a0")
    assert seen[-1]["rip"] == site.address + 2
    assert [seen[-1][name] for name in ("rax", "rbx", "rcx", "rdx")] == [2_500_000, 1_000_000, 0, 0]


def test_the_tsc_jumps_where_it_can_be_written() -> None:
    async def jump(stops: Stops) -> None:
        before = await steering.ask_tsc(stops)
        done = await steering.jump_tsc(stops, 1_000_000)
        assert done.kind is Did.JUMP
        after = await steering.ask_tsc(stops)
        assert before + 1_000_000 <= after < before + 1_000_000 + 10_000

    at_tc_init(jump)


def test_a_tsc_that_only_runs_on_has_not_jumped() -> None:
    async def jump(stops: Stops) -> None:
        with pytest.raises(CannotSteer, match="does not jump"):
            await steering.jump_tsc(stops, 500)

    _, book = at_tc_init(jump, processor(writable=False))
    assert book.done == []


def test_numbers_that_no_processor_takes_are_refused() -> None:
    async def ask(stops: Stops) -> None:
        for leaf in (-1, 1 << 32):
            with pytest.raises(UsageError):
                await steering.ask_cpuid(stops, leaf)
            with pytest.raises(UsageError):
                await steering.ask_msr(stops, leaf)
        with pytest.raises(UsageError):
            await steering.hold(stops, -1)
        with pytest.raises(UsageError):
            steering.answer_cpuid({0: Leaf(1 << 32, 0, 0, 0)})

    at_tc_init(ask)


def test_a_guest_is_held_for_as_long_as_was_asked() -> None:
    async def hold(stops: Stops) -> None:
        await steering.hold(stops, 0.02)

    _, book = at_tc_init(hold)
    (row,) = book.stops
    (done,) = book.done
    assert done.kind is Did.HOLD
    assert done.host_ns - row.host_ns >= 20_000_000


@pytest.mark.parametrize(
    ("leaf", "registers", "text"),
    [
        (0x80000000, AMD, '"AuthenticAMD"'),
        (0x40000000, Leaf(0x40000001, 0x54474354, 0x43544743, 0x47435447), '"TCGTCGTCGTCG"'),
        (0x1, AMD, "edx 0x69746e65"),
        (0x0, Leaf(1, 0x1B, 0, 0), "edx 0x0"),
    ],
)
def test_a_leaf_in_words(leaf: int, registers: Leaf, text: str) -> None:
    assert steering.describe_leaf(leaf, registers).endswith(text)
