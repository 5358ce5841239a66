"""How a channel of the i8254 counts: its value and its output at any tick.

A `Counter` is a value; writes and gate changes give a new one, and between them the element and the
output are known at every tick without stepping. Ticks are clock pulses since any origin; what is
done "at tick t" is done after pulse t and before pulse t + 1.

A count that is written is loaded by the next pulse, which does not count: so mode 0 with N raises
its output N + 1 pulses after the write, and mode 2 has its first low pulse N pulses after it. Modes
2 and 3 take a new count only when their cycle (in mode 3 half of it) ends, modes 1 and 5 at the
next rise of the gate. Emulators (KVM, QEMU, Xen) load every count at once: ``at_once`` does as they
do. Their elements differ, too: see `emulators_count`. A count of 1 is illegal in modes 2 and 3.

Sources: Intel 8254 data sheet, "Mode Definitions" and "Operation Common to All Modes"; Linux
arch/x86/kvm/i8254.c, pit_get_count and pit_load_count; QEMU hw/timer/i8254.c, pit_get_count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from timehands.clocks.i8254 import BCD_MODULUS, MODULUS, Mode


@dataclass(frozen=True, slots=True)
class Counter:
    """One channel's counting element, and the count that waits to be loaded into it.

    ``loaded``: the count (1 to the modulus) that was loaded last, None when none was since the
    control word. ``counted`` pulses were counted since then at tick ``since``; later ones count
    while ``running``. ``waiting``: a count to be loaded at tick ``due``, or (None) by the next
    trigger. ``null``: a count was written, or is awaited, that the element does not have yet.
    ``shown``: what the element held before anything was loaded.
    """

    mode: Mode = Mode.TERMINAL_COUNT
    bcd: bool = False
    gate: bool = True
    at_once: bool = False
    loaded: int | None = None
    since: int = 0
    counted: int = 0
    running: bool = False
    waiting: int | None = None
    due: int | None = None
    null: bool = True
    shown: int = 0

    @property
    def modulus(self) -> int:
        """65536, or 10000 in BCD: what a written 0 means, and where the element wraps."""
        return BCD_MODULUS if self.bcd else MODULUS

    def control(self, mode: Mode, bcd: bool, tick: int) -> Counter:
        """A control word: the output takes its first level, and counting waits for a count."""
        new = Counter(mode, bcd, self.gate, self.at_once)
        # What is left in the element may be no number of four decimal digits.
        return replace(new, shown=self.value(tick) % new.modulus)

    def first_byte(self, tick: int) -> Counter:
        """The first of two bytes of a count: in mode 0 counting stops and the output falls."""
        if self.mode is not Mode.TERMINAL_COUNT or self.at_once:
            return self
        now = self.at(tick)
        shown = now.value(tick)
        return Counter(now.mode, now.bcd, now.gate, null=now.null, shown=shown)

    def write(self, count: int, tick: int) -> Counter:
        """A whole count was written: 0 to 65535 in binary, 0 to 9999 in BCD; 0 is the modulus."""
        now = self.first_byte(tick).at(tick)
        count = count % now.modulus or now.modulus
        now = replace(now, waiting=count, null=True)
        if now.at_once:
            return replace(now, due=tick).at(tick)
        if now.mode.triggered:
            return now
        if now.mode.periodic and now.loaded is not None:
            return replace(now, due=now._half_end(tick)) if now.running else now
        return replace(now, due=tick + 1)

    def set_gate(self, level: bool, tick: int) -> Counter:
        """The gate input changes (or not)."""
        now = self.at(tick)
        if level == now.gate:
            return now
        now = replace(now, gate=level)
        if now.mode.triggered:
            return now._triggered(tick) if level else now
        if now.mode.periodic and level:
            return now._triggered(tick)
        return now._started(tick) if level else now._stopped(tick)

    def value(self, tick: int) -> int:
        """What the element holds, 0 to the modulus less one (a number, also in BCD)."""
        now = self.at(tick)
        if now.loaded is None:
            return now.shown
        return now._element(now._pulses(tick)) % now.modulus

    def output(self, tick: int) -> bool:
        """The level of the output."""
        now = self.at(tick)
        if now.loaded is None:
            return now.mode is not Mode.TERMINAL_COUNT
        if now.mode.periodic and not now.running:
            return True
        return now._level(now._pulses(tick))

    def null_count(self, tick: int) -> bool:
        """The status bit: the last count written (or awaited) is not in the element yet."""
        return self.at(tick).null

    def at(self, tick: int) -> Counter:
        """The same counter with the count loaded that was due by then."""
        if self.waiting is None or self.due is None or self.due > tick:
            return self
        return replace(
            self,
            loaded=self.waiting,
            since=self.due,
            counted=self._first_phase(self.waiting, self.due),
            running=self.gate or self.mode.triggered,
            waiting=None,
            due=None,
            null=False,
        )

    def next_rise(self, tick: int) -> int | None:
        """The first tick after ``tick`` at which the output goes from low to high: an interrupt.

        None when it does not, unless something is written or the gate changes.
        """
        now = self.at(tick)
        rise = now._rise(tick)
        if now.due is None or (rise is not None and rise < now.due):
            return rise
        loaded = now.at(now.due)
        if not now.output(now.due - 1) and loaded.output(now.due):
            return now.due
        return loaded._rise(now.due)

    def _rise(self, tick: int) -> int | None:
        """The next rise if nothing is loaded before."""
        if self.loaded is None or not self.running or (self.mode.periodic and self.loaded == 1):
            return None
        pulses = self._pulses(tick)
        if self.mode.periodic:
            return tick + self.loaded - pulses % self.loaded
        strobes = self.mode in (Mode.SOFTWARE_STROBE, Mode.HARDWARE_STROBE)
        rise = self.loaded + strobes
        return tick + rise - pulses if pulses < rise else None

    def _pulses(self, tick: int) -> int:
        """Pulses counted since the load."""
        return self.counted + (max(0, tick - self.since) if self.running else 0)

    def _element(self, pulses: int) -> int:
        """The element after so many counted pulses, before it is taken modulo the modulus."""
        count = self.loaded or self.modulus
        if self.mode is Mode.RATE_GENERATOR:
            return count - pulses % count
        if self.mode is Mode.SQUARE_WAVE:
            return _square_wave(count, pulses % count)
        return count - pulses

    def _level(self, pulses: int) -> bool:
        count = self.loaded or self.modulus
        match self.mode:
            case Mode.TERMINAL_COUNT | Mode.ONE_SHOT:
                return pulses >= count
            case Mode.RATE_GENERATOR:
                return pulses % count != count - 1
            case Mode.SQUARE_WAVE:
                return pulses % count < _high(count)
            case _:
                return pulses != count

    def _half_end(self, tick: int) -> int:
        """When a periodic counter takes a new count: after this cycle, or half cycle in mode 3."""
        if self.due is not None:
            return self.due
        count = self.loaded or self.modulus
        passed = self._pulses(tick) % count
        if self.mode is Mode.SQUARE_WAVE and passed < _high(count):
            return tick + _high(count) - passed
        return tick + count - passed

    def _first_phase(self, count: int, tick: int) -> int:
        """Mode 3 goes on with its low half when the new count comes after the high one."""
        if self.mode is not Mode.SQUARE_WAVE or not self.running or self.at_once:
            return 0
        return _high(count) if self._level(self._pulses(tick - 1)) else 0

    def _triggered(self, tick: int) -> Counter:
        """A rising gate: the last count is loaded by the next pulse."""
        count = self.waiting if self.waiting is not None else self.loaded
        if count is None:
            return self
        due = tick if self.at_once else tick + 1
        return replace(self, waiting=count, due=due).at(tick)

    def _stopped(self, tick: int) -> Counter:
        """The gate fell. A load at the end of a cycle will not come; others will."""
        due = None if self.mode.periodic and self.running else self.due
        return replace(self, counted=self._pulses(tick), since=tick, running=False, due=due)

    def _started(self, tick: int) -> Counter:
        return replace(self, since=tick, running=self.loaded is not None)


def _high(count: int) -> int:
    """For how many pulses of its period mode 3 is high."""
    return (count + 1) // 2


def _square_wave(count: int, passed: int) -> int:
    """The element in mode 3: by twos, and twice in a period.

    An odd count is loaded less one; its first half lasts one pulse longer, at 0.
    """
    half = _high(count)
    return (count & ~1) - 2 * (passed if passed < half else passed - half)


def emulators_count(mode: Mode, count: int, ticks: int) -> int:
    """What KVM, QEMU and Xen show ``ticks`` ticks after ``count`` (1 to 65536) was written.

    16 bits. Mode 3 is right for even counts; for odd ones the chip counts otherwise.
    """
    if mode is Mode.SQUARE_WAVE:
        return (count - 2 * ticks % count) % MODULUS
    if mode is Mode.RATE_GENERATOR:
        return (count - ticks % count) % MODULUS
    return (count - ticks) % MODULUS


def bcd_digits(number: int) -> int:
    """0 to 9999 as four decimal digits of four bits each."""
    return int(str(number), 16)


def bcd_number(digits: int) -> int:
    """Four digits of four bits as a number; digits above 9, which the chip leaves open, carry."""
    weights = ((0, 1), (4, 10), (8, 100), (12, 1000))
    return sum((digits >> shift & 0xF) * weight for shift, weight in weights) % BCD_MODULUS
