"""What the plugin tells, held against what QEMU itself tells and against code that is known."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from boots.bare_guests import build_guest, record, sample_kernel, symbols_of
from timehands.boot import Booted, Request, boot_request
from timehands.clocks.cpuid.dump import parse_table
from timehands.kernels.kernel import Kernel
from timehands.machines.machine import Machine
from timehands.story.model import Mark
from timehands.watch.plan import Function, Plan, Read
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

pytestmark = pytest.mark.boot

#: Firmware runs below this address, our guests above.
GUEST_START = 1 << 20


def own(recording: Recording, *kinds: Kind) -> list[Event]:
    return [e for e in recording.events if e.kind in kinds and e.pc >= GUEST_START]


def booted(folder: Path, body: str, before: str = "", **options: object) -> Recording:
    return record(folder / "r", build_guest(folder, body, before=before), **options)  # type: ignore[arg-type]


def test_ports_are_told_with_width_value_and_order(tmp_path: Path) -> None:
    body = """outb(0x43, 0x34); outb(0x40, 0x11); outb(0x40, 0x22);
    outb(0x70, 0x0b); inb(0x71); inl(0xcfc);
    __asm__ volatile("outw %0, %1" : : "a"((uint16_t)0xbeef), "Nd"((uint16_t)0x80));
    __asm__ volatile("outl %0, %w1" : : "a"(0xdeadbeef), "d"(0x6f0));
    bare_end();"""
    made = booted(tmp_path, body)
    told = [(e.kind, *e.values[:3]) for e in own(made, Kind.IN, Kind.OUT)]
    assert [t[:2] + t[3:] if t[0] is Kind.IN else t for t in told] == [
        (Kind.OUT, 0x43, 0x34, 1),
        (Kind.OUT, 0x40, 0x11, 1),
        (Kind.OUT, 0x40, 0x22, 1),
        (Kind.OUT, 0x70, 0x0B, 1),
        (Kind.IN, 0x71, 1),
        (Kind.OUT, 0x80, 0xBEEF, 2),
        (Kind.OUT, 0x6F0, 0xDEADBEEF, 4),
    ]
    # Register B of the RTC: 24 hours, binary-coded decimal, no interrupts (MC146818).
    assert next(t for t in told if t[0] is Kind.IN)[2] == 0x02


def test_values_that_came_in_are_those_that_the_guest_got(tmp_path: Path) -> None:
    body = """outb(0x43, 0x34); outb(0x40, 0); outb(0x40, 0);
    for (int i = 0; i < 40; i++) { put_hex(inb(0x40)); put_char(' '); }
    put_end(); bare_end();"""
    made = booted(tmp_path, body)
    said = [int(word, 16) for word in made.console[-1].text.split()]
    assert [e.values[1] for e in own(made, Kind.IN) if e.values[0] == 0x40] == said


def test_cpuid_is_told_as_the_guest_got_it(tmp_path: Path) -> None:
    body = """static const uint32_t LEAVES[][2] = {{0, 0}, {1, 0}, {7, 0}, {0xd, 1},
                                                 {0x40000000, 0}, {0x80000000, 0}, {0x80000007, 0}};
    for (unsigned i = 0; i < sizeof LEAVES / sizeof LEAVES[0]; i++) {
        struct cpuid r = cpuid(LEAVES[i][0], LEAVES[i][1]);
        put_text("   0x"); put_hex(LEAVES[i][0]); put_text(" 0x"); put_hex(LEAVES[i][1]);
        put_text(": eax=0x"); put_hex(r.eax); put_text(" ebx=0x"); put_hex(r.ebx);
        put_text(" ecx=0x"); put_hex(r.ecx); put_text(" edx=0x"); put_hex(r.edx); put_end();
    }
    bare_end();"""
    made = booted(tmp_path, body, machine=Machine(cpu="Skylake-Client-v1"))
    lines = [line.text for line in made.console if "eax=" in line.text]
    table = parse_table("\n".join(lines))
    told = {e.leaf: e.registers for e in own(made, Kind.CPUID)}
    assert len(told) == len(lines) == 7
    for (leaf, subleaf), registers in told.items():
        said = table[leaf, subleaf]
        assert registers == (said.eax, said.ebx, said.ecx, said.edx)


def test_msrs_are_told_with_their_values_also_when_one_faults(tmp_path: Path) -> None:
    body = """uint32_t v[2];
    __asm__ volatile("wrmsr" : : "c"(0xc0000103), "a"(0x89abcdef), "d"(0x01234567));
    bare_rdmsr(0xc0000103, v); put_hex((uint64_t)v[1] << 32 | v[0]); put_end();
    bare_end();"""
    made = booted(tmp_path, body)
    assert made.console[-1].text == "123456789abcdef"
    told = [(e.kind, e.values[:2]) for e in own(made, Kind.RDMSR, Kind.WRMSR)]
    assert told == [
        (Kind.WRMSR, (0xC0000103, 0x0123456789ABCDEF)),
        (Kind.RDMSR, (0xC0000103, 0x0123456789ABCDEF)),
    ]


def test_device_memory_is_told_with_address_and_value(tmp_path: Path) -> None:
    body = """*mmio(0xfee003e0) = 0xb; *mmio(0xfee00380) = 0x1000;
    put_hex(*mmio(0xfee003e0)); put_end(); bare_end();"""
    made = booted(tmp_path, body)
    told = [(e.kind, *e.values[:3]) for e in own(made, Kind.MMIO_READ, Kind.MMIO_WRITE)]
    assert told == [
        (Kind.MMIO_WRITE, 0xFEE003E0, 0xB, 4),
        (Kind.MMIO_WRITE, 0xFEE00380, 0x1000, 4),
        (Kind.MMIO_READ, 0xFEE003E0, 0xB, 4),
    ]


def test_a_flood_is_counted_to_the_last(tmp_path: Path) -> None:
    loop = "\n#pragma GCC unroll 1\nfor (int i = 0; i < 100000; i++) rdtsc();"  # one place
    made = booted(tmp_path, f"{loop} bare_end();")
    streamed = own(made, Kind.RDTSC)
    (count,) = [e.values for e in own(made, Kind.COUNT) if e.values[0] == Kind.RDTSC]
    assert count[1] == 100_000
    assert count[1] - count[2] == len(streamed)
    assert 100_000 // 256 <= len(streamed) < 2000
    assert sum(e.passed for e in streamed) <= count[2]
    assert made.watching.passed_over >= count[2]


FUNCTIONS = """
struct inner { uint32_t pad; char name[8]; };
struct outer { uint64_t pad; uint64_t inner; uint32_t value; };
uint32_t variable = 5;
__attribute__((noinline, noipa, regparm(0))) uint32_t watched(struct outer *o)
{
    __asm__ volatile("" : : "D"(o) : "memory");
    variable += 2;
    return o->value * 2 + (uint32_t)rdtsc() * 0;
}
"""


def test_functions_are_told_at_entry_and_return_with_what_was_asked(tmp_path: Path) -> None:
    """The plugin takes arguments where a 64-bit kernel has them: the guest puts one into edi."""
    body = """static struct inner i = {1, "abcdefg"};
    static struct outer o = {1, 0, 77};
    o.inner = (uint32_t)&i;
    for (int n = 0; n < 3; n++)
        __asm__ volatile("push %0; call watched; pop %0" : : "D"(&o) : "eax", "ecx", "edx");
    bare_end();"""
    guest = build_guest(tmp_path, body, before=FUNCTIONS)
    symbols = symbols_of(guest)
    start = symbols["watched"]
    reads = (
        Read("name", 8, (8, 4), argument=0, string=True),
        Read("value", 4, (16,), argument=0),
        Read("variable", 4, address=symbols["variable"], at_return=True),
        Read("nowhere", 4, (1 << 40,), argument=0),
    )
    plan = Plan((Function("watched", start, start + 64, reads=reads),))
    made = record(tmp_path / "r", guest, plan=plan)
    entered, left = own(made, Kind.ENTER), own(made, Kind.LEAVE)
    assert [made.function(e) for e in (*entered, *left)] == ["watched"] * 6
    assert {made.text(e, "name") for e in entered} == {"abcdefg"}
    assert {made.number(e, "value") for e in entered} == {77}
    assert {made.value(e, "nowhere") for e in entered} == {None}
    assert [made.number(e, "variable") for e in left] == [7, 9, 11]
    assert {e.values[1] & 0xFFFFFFFF for e in left} == {154}
    assert all(a.host_ns <= b.host_ns for a, b in zip(entered, left, strict=True))


def test_each_read_stays_with_its_event_when_vcpus_run_at_once(tmp_path: Path) -> None:
    """All vCPUs of a real kernel, each function with the argument that it was called with."""
    booted = linux(tmp_path, machine=Machine(type="q35", vcpus=3, memory_mib=512), until=Mark.INIT)
    made = booted.recording
    assert {e.vcpu for e in made.events if e.kind is Kind.FIRST} == {0, 1, 2}
    names = [
        made.text(e, "name")
        for e in made.events
        if made.function(e) == "__clocksource_register_scale" and e.kind is Kind.ENTER
    ]
    assert "refined-jiffies" in names
    assert None not in names
    raw = (made.folder / "events.bin").read_bytes()
    kinds = [(raw[at], raw[at + 2]) for at in range(0, len(raw), 64)]
    owners = {Kind.ENTER, Kind.LEAVE, Kind.DATA}
    assert all(a[0] in owners for a, b in pairwise(kinds) if b[0] == Kind.DATA)
    assert made.header.ended_reason == "boundary"


def linux(folder: Path, **options: object) -> Booted:
    request = Request(sample_kernel(), folder=folder / "r", survey=False, **options)  # type: ignore[arg-type]
    return asyncio.run(boot_request(request))


@pytest.mark.parametrize("attempt", range(3))
def test_with_kaslr_the_slide_is_found_and_names_are_right(tmp_path: Path, attempt: int) -> None:
    made = linux(tmp_path, kaslr=True, until=Mark.TIMER_ARMED).recording
    (slide,) = [e.values[0] for e in made.events if e.kind is Kind.SLIDE]
    assert slide % 0x200000 == 0
    assert slide < 1 << 30
    starts = Kernel.open(sample_kernel()).symbols
    entered = [e for e in made.events if e.kind is Kind.ENTER and e.pc >> 63]
    assert len(entered) >= 10
    for event in entered:
        name = made.function(event)
        assert event.pc - slide in starts.lookup(name or "")
        assert made.symbols[event.pc] == name


def test_function_entries_are_as_many_as_qemu_logs(tmp_path: Path) -> None:
    """QEMU's own log of executed blocks, of the same deterministic boot, has each one too."""
    made = linux(tmp_path, machine=Machine(deterministic=True), until=Mark.TIMER_ARMED).recording
    entries = [e for e in made.events if e.kind is Kind.ENTER and e.pc >> 63]
    # The guest runs on for a moment after the boundary: only what came before it is the same.
    last = next(e for e in entries if made.function(e) == "tick_setup_device")
    entered = Counter(e.pc for e in entries if e.index <= last.index)
    assert len(entered) >= 10
    seen = logged_blocks(made, set(entered), last.pc)
    assert {pc: n for pc, n in seen.items() if pc in entered} == dict(entered)


def logged_blocks(made: Recording, wanted: set[int], stop: int) -> Counter[int]:
    """Counts how often the blocks at these addresses ran, until the address ``stop`` first did."""
    command = list(made.header.command)
    cut = command.index("-chardev")
    ranges = ",".join(f"0x{pc:x}+1" for pc in sorted(wanted))
    logger = subprocess.Popen(
        [*command[:cut], "-serial", "null", "-no-reboot",
         "-d", "exec,nochain", "-dfilter", ranges, "-D", "/dev/stdout"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    counts: Counter[int] = Counter()
    assert logger.stdout is not None
    for line in logger.stdout:
        match = re.match(r"Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/", line)
        if match:
            counts[int(match[1], 16)] += 1
            if int(match[1], 16) == stop:
                break
    logger.kill()
    logger.wait()
    logger.stdout.close()
    return counts


WALKED = """
__attribute__((noinline, noipa)) void watched(void)
{
    __asm__ volatile("nop");
}
"""


@pytest.mark.parametrize("falls", [False, True])
def test_frame_pointers_lead_from_a_function_to_its_callers(tmp_path: Path, falls: bool) -> None:
    """A chain of 64-bit pairs (next frame, return address), as the BSDs have it."""
    body = f"""static uint64_t chain[6] __attribute__((aligned(8)));
    chain[0] = (uint32_t)&chain[2]; chain[1] = 0x111;
    chain[2] = (uint32_t)&chain[{0 if falls else 4}]; chain[3] = 0x222;
    chain[4] = 0; chain[5] = 0x333;
    __asm__ volatile("push %%ebp; mov %0, %%ebp; call watched; pop %%ebp"
                     : : "S"(chain) : "eax", "ecx", "edx", "memory");
    bare_end();"""
    guest = build_guest(tmp_path, body, before=WALKED)
    start = symbols_of(guest)["watched"]
    reads = (Read("callers", 80, walk=True), Read("two", 16, walk=True))
    plan = Plan((Function("watched", start, start + 8, reads=reads),))
    (entered,) = own(made := record(tmp_path / "r", guest, plan=plan), Kind.ENTER)
    frames = made.value(entered, "callers") or b""
    callers = [int.from_bytes(frames[i : i + 8], "little") for i in range(0, len(frames), 8)]
    assert callers == ([0x111, 0x222] if falls else [0x111, 0x222, 0x333])
    assert made.value(entered, "two") == frames[:16]
