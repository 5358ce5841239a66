"""Every device, with any accesses in any order: it answers each, and is none the worse for it."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.devices.fakes import RungAlarms, TurnedClock
from monitor.devices.virtio.driver import (
    AVAILABLE,
    DATA,
    FAR,
    FAR_BYTES,
    INNER,
    MEMORY_BYTES,
    SIZE,
    TABLE,
    USED,
    WRITE,
    Driver,
    Part,
)
from timehands.kvm.memory import GuestMemory
from timehands.monitor.bus import Bus, Device
from timehands.monitor.devices import i8042, i8254, i8259, ioapic, rtc, serial, signals
from timehands.monitor.devices.signals import Ending
from timehands.monitor.devices.virtio.block import Block
from timehands.monitor.devices.virtio.disk_file import Disk, DiskFile, Writes
from timehands.monitor.devices.virtio.entropy import Entropy

#: Hosts are busy, and there is one folder for all examples.
SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
#: How long each passes at most before the next access, in ns of guest time.
LONGEST_NS = 10**10
VALUES = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 0x1FF),
    st.sampled_from([0, 1, 0x34, 0x80, 0xFE, 0xFF, 0xFFFF, 2**31, 2**32 - 1, 2**32, 2**63]),
)
ACCESSES = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, 2**16 - 1),
        st.sampled_from([1, 2, 4, 8]),
        VALUES,
        st.one_of(st.just(0), st.integers(0, LONGEST_NS)),
    ),
    max_size=60,
)
Access = tuple[bool, int, int, int, int]


class World:
    """What devices call: remembers what they said."""

    def __init__(self) -> None:
        self.clock = TurnedClock(date_ns=10**18)
        self.alarms = RungAlarms(self.clock)
        self.levels: set[int] = set()
        self.endings: list[Ending] = []
        self.out = bytearray()
        self.pulses = 0

    def pulse(self) -> None:
        """An i8254 rose."""
        self.pulses += 1


def make_serial(world: World) -> tuple[int, Device]:
    port = serial.Serial(world.out.extend, world.levels.add)
    port.feed(b"typed by somebody")
    return serial.PORTS, port


def make_i8254(world: World) -> tuple[int, Device]:
    return i8254.PORTS, i8254.I8254(world.clock, world.alarms, world.pulse)  # type: ignore[arg-type]


def make_speaker(world: World) -> tuple[int, Device]:
    chip = i8254.I8254(world.clock, world.alarms, world.pulse)  # type: ignore[arg-type]
    return 1, i8254.Speaker(chip)


def make_rtc(world: World) -> tuple[int, Device]:
    clock, alarms = world.clock, world.alarms
    return rtc.PORTS, rtc.Rtc(clock, alarms, 0, world.levels.add)  # type: ignore[arg-type]


def make_keyboard(world: World) -> tuple[int, Device]:
    return 1, i8042.I8042(world.endings.append, world.levels.add).data


def make_keyboard_commands(world: World) -> tuple[int, Device]:
    return 1, i8042.I8042(world.endings.append, world.levels.add).command


def make_reset_control(world: World) -> tuple[int, Device]:
    return 1, signals.ResetControl(world.endings.append)


def make_debug_exit(world: World) -> tuple[int, Device]:
    return signals.DEBUG_EXIT_PORTS, signals.DebugExit(world.endings.append)


def make_heard(world: World) -> tuple[int, Device]:
    return signals.BOOT_TIMER_BYTES, signals.Heard(lambda _value: world.pulse())


def make_ioapic(world: World) -> tuple[int, Device]:
    """With pins that are up."""
    chip = ioapic.Ioapic(lambda _address, _data: world.pulse(), lambda _routes: world.pulse())
    for pin in (0, 4, 23):
        chip.set(pin, 1)
    chip.end(0)
    return ioapic.BYTES, chip


def make_pics(world: World) -> tuple[int, Device]:
    """The second chip's ports, with lines that are up behind it."""
    pics = i8259.Pics(world.pulse)
    for irq in (1, 8, 12):
        pics.set(irq, 1)
    return i8259.PORTS, pics.second


def make_elcr(world: World) -> tuple[int, Device]:
    return i8259.ELCR_PORTS, i8259.Pics(world.pulse).elcr


def make_entropy(world: World) -> tuple[int, Device]:
    transport = Driver(Entropy()).transport
    return 0x1000, transport


@pytest.mark.parametrize(
    "make",
    [make_serial, make_i8254, make_speaker, make_rtc, make_keyboard, make_keyboard_commands,
     make_reset_control, make_debug_exit, make_heard, make_ioapic, make_pics, make_elcr,
     make_entropy],
    ids=lambda each: each.__name__[5:],
)  # fmt: skip
@settings(max_examples=40, suppress_health_check=SUPPRESSED)
@given(accesses=ACCESSES)
def test_any_accesses_are_answered(
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[World], tuple[int, Device]],
    accesses: list[Access],
) -> None:
    world, bus = World(), Bus("port")
    monkeypatch.setattr(rtc, "time", world.clock)
    size, device = make(world)
    bus.add(0, size, device)
    for is_write, place, width, value, after_ns in accesses:
        turn(world, after_ns)
        if is_write:
            bus.write(place % size, width, value & (1 << 8 * width) - 1)
        else:
            assert 0 <= bus.read(place % size, width) < 1 << 8 * width
    assert world.levels <= {0, 1}


def turn(world: World, by_ns: int) -> None:
    """Let time pass: in one go, with whatever is due rung once, late."""
    world.clock.ns += by_ns
    for owner, (at_ns, ring) in list(world.alarms.due.items()):
        if at_ns <= world.clock.ns:
            del world.alarms.due[owner]
            ring(at_ns)


# virtio: what it reads is in memory, and memory is the guest's

ADDRESSES = st.one_of(
    st.sampled_from(
        [0, 1, TABLE, AVAILABLE, USED, INNER, DATA, MEMORY_BYTES - 1, MEMORY_BYTES, FAR,
         FAR + FAR_BYTES - 1, FAR + FAR_BYTES, 0xFEE00000, 2**63, 2**64 - 1]
    ),
    st.integers(0, MEMORY_BYTES),
)  # fmt: skip
SIZES = st.one_of(
    st.sampled_from([0, 1, 15, 16, 17, 512, 513, 4096, MEMORY_BYTES, 2**32 - 1]),
    st.integers(0, 0x2000),
)
DESCRIPTORS = st.lists(
    st.tuples(ADDRESSES, SIZES, st.integers(0, 9), st.integers(0, SIZE)), max_size=SIZE
)
HEADERS = st.tuples(
    st.sampled_from([0, 1, 4, 8, 77]),
    st.one_of(st.integers(0, 9), st.sampled_from([2**63, 2**64 - 1])),
)


class Restless(GuestMemory):
    """Memory that another vCPU changes all the time: no two reads of it need be the same."""

    def __init__(self, calm: GuestMemory, chance: random.Random) -> None:
        super().__init__()
        for slot in calm:
            self.add(slot)
        self._chance = chance

    def read(self, address: int, size: int) -> bytes:
        """What is there, or was, or will be."""
        data = super().read(address, size)
        if data and self._chance.random() < 0.1:
            changed = bytearray(data)
            changed[self._chance.randrange(len(data))] = self._chance.randrange(256)
            return bytes(changed)
        return data


def scribble(driver: Driver, table: int, descriptors: list[tuple[int, int, int, int]]) -> None:
    """Put descriptors there."""
    raw = b"".join(struct.pack("<QIHH", *each) for each in descriptors)
    driver.memory.write(table, raw)


@settings(max_examples=60, suppress_health_check=SUPPRESSED)
@given(
    outer=DESCRIPTORS,
    inner=DESCRIPTORS,
    offered=st.tuples(
        st.lists(st.integers(0, SIZE + 1), min_size=1, max_size=SIZE),
        st.one_of(st.none(), st.integers(0, 2**16 - 1)),
    ),
    header=HEADERS,
    seed=st.integers(0, 2**32),
    writes=st.sampled_from(list(Writes)),
)
def test_any_rings_are_survived(
    tmp_path: Path,
    *,
    outer: list[tuple[int, int, int, int]],
    inner: list[tuple[int, int, int, int]],
    offered: tuple[list[int], int | None],
    header: tuple[int, int],
    seed: int,
    writes: Writes,
) -> None:
    """The device is broken or not; the disk keeps its size; after a reset all is well."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(8 * 512))
    with DiskFile(Disk(path, writes)) as file:
        driver = Driver(Block(file))
        driver.transport._memory = Restless(driver.memory, random.Random(seed))
        scribble(driver, TABLE, outer)
        scribble(driver, INNER, inner)
        driver.memory.write(DATA, struct.pack("<IIQ", header[0], 0, header[1]))
        heads, index = offered
        for head in heads:
            driver.offer(head)
        if index is not None:
            driver.memory.write(AVAILABLE + 2, struct.pack("<H", index))
        for _ in range(3):
            driver.notify()
        assert driver.needs_reset is bool(driver.transport.broken)
        assert path.stat().st_size == 8 * 512
        well_after_a_reset(driver)


def well_after_a_reset(driver: Driver) -> None:
    """A plain request is answered."""
    driver.transport._memory = driver.memory
    driver.begin()
    driver.memory.write(DATA, struct.pack("<IIQ", 8, 0, 0))
    assert driver.ask(Part(DATA, 16), Part(DATA + 64, 20, WRITE), Part(DATA + 96, 1, WRITE)) == 21
    assert driver.memory.read(DATA + 64, 9) == b"timehands"


REGISTERS = st.sampled_from(
    [0x10, 0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x60, 0x64, 0x70, 0x80, 0x84, 0x90, 0x94,
     0xA0, 0xA4, 0xFC, 0x100]
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=SUPPRESSED)
@given(
    steps=st.lists(
        st.tuples(
            REGISTERS,
            st.one_of(VALUES, st.sampled_from([3, 11, 15, TABLE, AVAILABLE, USED, MEMORY_BYTES])),
        ),
        max_size=40,
    ),
    descriptors=DESCRIPTORS,
)
def test_any_steps_of_a_driver_are_survived(
    tmp_path: Path, steps: list[tuple[int, int]], descriptors: list[tuple[int, int, int, int]]
) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(8 * 512))
    with DiskFile(Disk(path)) as file:
        driver = Driver(Block(file))
        scribble(driver, TABLE, descriptors)
        for register, value in steps:
            driver.offer(value % (SIZE + 1))
            driver.write(register, value)
            ring = driver.transport.registers.ring
            assert ring.fits or not ring.ready
        assert path.stat().st_size == 8 * 512
        well_after_a_reset(driver)
