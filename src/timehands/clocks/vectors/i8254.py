"""Vectors of the i8254: counting in each mode, sessions at its ports, emulators' counts."""

from __future__ import annotations

from collections.abc import Iterator

from timehands.clocks.i8254 import Mode, freebsd_delay_ticks, nearest_reload, ticks_to_ns
from timehands.clocks.i8254_chip import Chip
from timehands.clocks.i8254_counter import Counter, emulators_count
from timehands.clocks.vectors.forms import Dice, Group, Subject, Value

OUT, IN = 0, 1
#: In BCD or not, and what is written.
COUNTS = ((False, 0), (False, 2), (False, 5), (False, 11_932), (True, 0), (True, 7))
Step = tuple[int, int, int, int]


def i8254_subject() -> Subject:
    """All of it."""
    return Subject(
        "i8254",
        "The i8254 (PIT) as its data sheet describes it. A tick is a clock pulse (1193182 Hz); "
        "what is done at tick t is done after pulse t and before pulse t + 1.",
        (_count(), _gate(), _session(), _emulators(), _times(), _freebsd()),
    )


def _count() -> Group:
    dice = Dice("i8254 count")
    cases = []
    for mode in Mode:
        for bcd, count in (
            (False, 0),
            (False, 2),
            (False, 5),
            (False, 11_932),
            (True, 0),
            (True, 7),
        ):
            whole = count or (10_000 if bcd else 65_536)
            near = (1, 2, 3, whole - 1, whole, whole + 1, whole + 2, 2 * whole + 1)
            ticks = sorted({t for t in near if t > 0} | {dice.below(5 * whole) + 1})
            cases += [_count_case(mode, bcd, count, tick) for tick in ticks]
    return Group(
        "count",
        "A counter whose gate is low is given a control word and a count (0 is 65536, in BCD "
        "10000), and its gate rises, all at tick 0: what the element holds (a number, also in "
        "BCD), the level of the output, and when the output rises next (null: it does not).",
        {"mode": "u8", "bcd": "bool", "count": "u16", "tick": "u64"},
        {"value": "u16", "output": "bool", "next_rise": "u64?"},
        cases,
    )


def _count_case(mode: Mode, bcd: bool, count: int, tick: int) -> tuple[Value, ...]:
    counter = Counter(mode, bcd, gate=False).write(count, 0).set_gate(True, 0)
    shown = (counter.value(tick), counter.output(tick), counter.next_rise(tick))
    return (int(mode), bcd, count, tick, *shown)


def _gate() -> Group:
    dice = Dice("i8254 gate")
    cases = []
    for mode in Mode:
        for count in (4, 5):
            events = [[0, 1, count], [3, 2, 0], [6, 2, 1], [10, 1, 7], [25, 2, 0], [28, 2, 1]]
            cases += [_gate_case(mode, events, tick) for tick in (1, 2, 4, 6, 7, 9, 12, 15, 26, 40)]
        for _ in range(4):
            cases += _random_gate(mode, dice)
    return Group(
        "gate",
        "A counter whose gate is high gets a control word (binary) before tick 0, and then these "
        "events, [tick, 1, count written] or [tick, 2, level of the gate]: what it holds and puts "
        "out at tick.",
        {"mode": "u8", "events": "rows", "tick": "u64"},
        {"value": "u16", "output": "bool"},
        cases,
    )


def _random_gate(mode: Mode, dice: Dice) -> Iterator[tuple[Value, ...]]:
    events, tick = [[0, 1, dice.between(2, 12)]], 0
    for _ in range(5):
        tick += dice.below(15)
        written = dice.below(2)
        events.append([tick, 1, dice.between(2, 12)] if written else [tick, 2, dice.below(2)])
    for later in (1, 5, 12, 31):
        yield _gate_case(mode, events, tick + later)


def _gate_case(mode: Mode, events: list[list[int]], tick: int) -> tuple[Value, ...]:
    counter = Counter(mode)
    for at, kind, number in events:
        if at <= tick:
            write = kind == 1
            counter = counter.write(number, at) if write else counter.set_gate(bool(number), at)
    done = [event for event in events if event[0] <= tick]
    return (int(mode), done, tick, counter.value(tick), counter.output(tick))


#: Accesses as [tick, 0 (out), port, value] or [tick, 1 (in), port, 0].
SESSIONS: dict[str, list[Step]] = {
    "rate generator, both bytes, counter latch": [
        (0, OUT, 0x43, 0x34), (0, OUT, 0x40, 0x9C), (0, OUT, 0x40, 0x2E), (100, OUT, 0x43, 0x00),
        (200, IN, 0x40, 0), (300, IN, 0x40, 0), (400, IN, 0x40, 0), (400, IN, 0x40, 0),
    ],
    "low byte only": [
        (0, OUT, 0x43, 0x14), (0, OUT, 0x40, 0x20), (1, IN, 0x40, 0), (2, IN, 0x40, 0),
        (33, IN, 0x40, 0), (40, OUT, 0x43, 0x00), (50, IN, 0x40, 0), (51, IN, 0x40, 0),
    ],
    "high byte only": [
        (0, OUT, 0x43, 0x24), (0, OUT, 0x40, 0x20), (1, IN, 0x40, 0), (2, IN, 0x40, 0),
        (1000, IN, 0x40, 0),
    ],
    "BCD": [
        (0, OUT, 0x43, 0x35), (0, OUT, 0x40, 0x34), (0, OUT, 0x40, 0x12), (1, IN, 0x40, 0),
        (1, IN, 0x40, 0), (36, IN, 0x40, 0), (36, IN, 0x40, 0),
    ],
    "read-back of status and count, status first": [
        (0, OUT, 0x43, 0x36), (0, OUT, 0x40, 0x00), (0, OUT, 0x40, 0x00), (10, OUT, 0x43, 0xC2),
        (20, IN, 0x40, 0), (21, IN, 0x40, 0), (22, IN, 0x40, 0), (23, IN, 0x40, 0),
    ],
    "null count until the load": [
        (0, OUT, 0x43, 0x34), (5, OUT, 0x43, 0xE2), (5, IN, 0x40, 0), (5, OUT, 0x40, 0x02),
        (5, OUT, 0x40, 0x00), (5, OUT, 0x43, 0xE2), (5, IN, 0x40, 0), (6, OUT, 0x43, 0xE2),
        (6, IN, 0x40, 0),
    ],
    "channel 2 through port 0x61, as calibrations do it": [
        (0, OUT, 0x61, 0x01), (0, OUT, 0x43, 0xB0), (0, OUT, 0x42, 0x9B), (0, OUT, 0x42, 0x2E),
        (1, IN, 0x61, 0), (11_931, IN, 0x61, 0), (11_932, IN, 0x61, 0), (11_933, IN, 0x61, 0),
    ],
    "channel 2 waits for its gate": [
        (0, OUT, 0x43, 0xB0), (0, OUT, 0x42, 0x10), (0, OUT, 0x42, 0x00), (50, IN, 0x42, 0),
        (50, IN, 0x42, 0), (50, IN, 0x61, 0), (100, OUT, 0x61, 0x01), (115, IN, 0x61, 0),
        (116, IN, 0x61, 0),
    ],
    "the first byte of a count stops mode 0": [
        (0, OUT, 0x43, 0x30), (0, OUT, 0x40, 0x05), (0, OUT, 0x40, 0x00), (9, OUT, 0x43, 0xE2),
        (9, IN, 0x40, 0), (9, OUT, 0x40, 0x08), (20, OUT, 0x43, 0xC2), (20, IN, 0x40, 0),
        (20, IN, 0x40, 0), (20, IN, 0x40, 0), (30, OUT, 0x40, 0x00), (32, IN, 0x40, 0),
        (32, IN, 0x40, 0),
    ],
    "a control word drops latches": [
        (0, OUT, 0x43, 0x34), (0, OUT, 0x40, 0x00), (0, OUT, 0x40, 0x10), (11, OUT, 0x43, 0x00),
        (12, IN, 0x40, 0), (20, OUT, 0x43, 0x34), (20, OUT, 0x40, 0x34), (20, OUT, 0x40, 0x12),
        (21, IN, 0x40, 0), (21, IN, 0x40, 0),
    ],
}  # fmt: skip


def _session() -> Group:
    return Group(
        "session",
        "Accesses to a chip at power-up (gates of channels 0 and 1 high, of channel 2 low), as "
        "[tick, 0, port, byte out] or [tick, 1, port, byte in]; of port 0x61 bits 0 and 5 only.",
        {"name": "text"},
        {"steps": "rows"},
        [(name, _run(steps)) for name, steps in SESSIONS.items()],
    )


def _run(steps: list[Step]) -> list[list[int]]:
    chip, seen = Chip.new(), []
    for tick, kind, port, value in steps:
        answer = value
        if kind == OUT:
            chip = chip.write(port, value, tick)
        else:
            answer, chip = chip.read(port, tick)
        seen.append([tick, kind, port, answer])
    return seen


def _emulators() -> Group:
    cases: list[tuple[Value, ...]] = []
    for mode in Mode:
        for count in (2, 5, 11_932, 65_536):
            for ticks in (0, 1, 2, count - 1, count, count + 1, 3 * count + 7):
                cases.append((int(mode), count, ticks, emulators_count(mode, count, ticks)))
    return Group(
        "emulators",
        "Not the chip: what KVM, QEMU and Xen show so many ticks after a count was written (they "
        "load at once, and count odd square waves in their own way). Modulo 65536.",
        {"mode": "u8", "count": "u32", "ticks": "u64"},
        {"value": "u16"},
        cases,
    )


def _times() -> Group:
    periods = (1, 1000, 1676, 1677, 10**6, 10**7, 54_925_401, 54_925_820, 54_925_821, 10**9)
    return Group(
        "reload",
        "The count whose period is nearest to period_ns, null when it is under 2 or over 65536; "
        "and how long that count is, in ns rounded down.",
        {"period_ns": "u64"},
        {"count": "u32?", "count_ns": "u64?"},
        [_reload_case(ns) for ns in periods],
    )


def _reload_case(period_ns: int) -> tuple[Value, ...]:
    count = nearest_reload(period_ns)
    return (period_ns, count, None if count is None else ticks_to_ns(count))


def _freebsd() -> Group:
    waits = (0, 1, 2, 10, 100, 255, 256, 257, 1000, 10_000, 100_000, 1_000_000)
    return Group(
        "freebsd_delay",
        "The ticks that FreeBSD's i8254_delay waits for: below 256 us (us * 39099 + 32767) >> 15, "
        "from there on rounded up.",
        {"us": "u32"},
        {"ticks": "u32"},
        [(us, freebsd_delay_ticks(us)) for us in waits],
    )
