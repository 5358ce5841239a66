"""Logs of the conformance guest on a machine whose clocks are right, made by hand.

`Machine` says numbers as the guest would; tests change one of them and see which case fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from timehands.clocks.pvclock.scale import scale_delta, time_scale
from timehands.conform.log import Line, Log, read_log

TSC_KHZ, LAPIC_HZ, PIT_HZ = 2_600_000, 10**9, 1_193_182
START_NS = 5_000_000_000
#: The host's date at monotonic 0: 2026-11-21 15:00:00 UTC.
REALTIME_NS = 1_795_273_200 * 10**9
FAR = 1 << 40
KVM = (0x4B4D564B, 0x564B4D56, 0x4D)
Numbers = dict[str, tuple[int, ...]]


def tsc_at(host_ns: int) -> int:
    """The guest's TSC at a host time; it began with the machine."""
    return (host_ns - START_NS) * TSC_KHZ // 1_000_000


def cycles(ns: int) -> int:
    """TSC cycles in a time."""
    return ns * TSC_KHZ // 1_000_000


def spread(counts: int, hz: int) -> Numbers:
    """So many counts of a counter, and the shortest and longest TSC time that they may take."""
    exact = counts * TSC_KHZ * 1000 // hz
    return {"shortest": (exact - 2000,), "longest": (exact + 2000,)}


def pvclock_ns(tsc: int) -> int:
    """pvclock's time: it began with the machine."""
    return scale_delta(tsc, *time_scale(TSC_KHZ))


def record(tsc: int) -> Numbers:
    """A registration's line."""
    scale = time_scale(TSC_KHZ)
    return {
        "announced": (1,), "refused": (0,), "wrote": (0x11B181,), "read_refused": (0,),
        "read": (0x11B181,), "tsc_before": (tsc - 1000,), "tsc": (tsc,), "ns": (pvclock_ns(tsc),),
        "behind_kept": (1,), "version": (2,), "pad0": (0,), "tsc_timestamp": (0,),
        "system_time": (0,), "mul": (scale.mul,), "shift": (scale.shift & 0xFF,), "flags": (1,),
        "pad": (0,),
    }  # fmt: skip


def load(**more: int) -> Numbers:
    """A record under load."""
    names = ("updates", "reads", "versions", "odd", "torn", "changed", "back")
    values = dict(zip(names, (50, 200, 50, 0, 0, 0, 0), strict=True)) | more
    return {name: (value,) for name, value in values.items()}


def goes_on(**more: int) -> Numbers:
    """A clock before and after something."""
    values = {"before_ns": 9 * 10**8, "after_ns": 901 * 10**6, "version": 2, "mul": 1} | more
    return {name: (value,) for name, value in values.items()}


def one(**values: int) -> Numbers:
    """Keys with one number each."""
    return {name: (value,) for name, value in values.items()}


def _cases() -> dict[str, Numbers]:
    shot = 1_600_000
    shot_cycles = cycles(shot * 10**9 // LAPIC_HZ)
    divided = [spread(shot, LAPIC_HZ)] * 8
    at = tsc_at(START_NS + 500_000_000)
    periods = tuple(cycles(n * 10**9 * 2386 // PIT_HZ) + 50 for n in range(1, 7))
    flags = tuple(cycles(n * 10**9 // 1024) for n in range(1, 13))
    return {
        "discovery.limits": one(
            basic=0x16, extended=0x80000008, features_ecx=1 << 31, features_edx=1 << 26,
            structured_ebx=2, power_eax=4, power_edx=1 << 8, cpus=2,
        ),
        "discovery.signature": {"r0": (0x40000010, *KVM)},
        "discovery.features": {"leaf": (0x40000001,), "regs": (1 << 0 | 1 << 3 | 1 << 24, 0, 0, 0)},
        "discovery.timing": {"regs": (TSC_KHZ, LAPIC_HZ // 1000, 0, 0)},
        "discovery.crystal": {"regs": (1_000, TSC_KHZ, 1_000_000, 0)},
        "discovery.processor": {"regs": (2_600, 3_000, 100, 0)},
        "discovery.brand": {"words": _words("Intel(R) Xeon(R) Processor @ 2.60GHz")},
        "pvclock.old_msrs": record(at),
        "pvclock.new_msrs": record(at),
        "tsc.monotonic": one(reads=2000, backwards=0, worst=0, same=0, elapsed=10**6),
        "tsc.across": one(cpus=2, reads=800, turns=32, warps=0, worst=0),
        "tsc.offset": one(zero=FAR, low=FAR - 500, high=FAR + 500),
        "tsc.deadline": one(
            refused=0, fired=1, set=10**9, deadline=10**9 + 4_000_000, irq=10**9 + 4_050_000,
            vector=0x40, msr_after=0, disarm=10**8, disarmed=10**7, after_disarm=0, past_fired=1,
        ),
        "pvclock.monotonic": one(
            reads=500, warps=0, worst_ns=0, stalls=0, longest_stall=0, elapsed_ns=1, elapsed=1
        ),
        "pvclock.across": {
            **one(cpus=2, reads=300, turns=32, warps=0, worst_ns=0),
            "versions": (2, 2), "ns": (10**9, 10**9), "flags": (1, 1),
        },
        "pvclock.version": load(ahead_ns=0, behind_ns=0),
        "pvclock.version_across": load(half=0, good=150, odd=9),
        "pvclock.register_again": goes_on(old_kept=1),
        "pvclock.disable": goes_on(kept=1),
        "pvclock.bad_address": goes_on() | {"refused": (1, 1, 0)},
        "pvclock.wall": one(
            refused=0, version=2, behind_kept=1, ns=10**9,
            sec=(REALTIME_NS + START_NS) // 10**9, nsec=(REALTIME_NS + START_NS) % 10**9,
        ),
        "lapic.divisors": {
            "counts": tuple(shot >> n for n in range(8)),
            "shortest": tuple(each["shortest"][0] for each in divided),
            "longest": tuple(each["longest"][0] for each in divided),
        },
        "lapic.one_shot": one(
            count=shot, start=at, armed=at + 500, fired=1, irq=at + shot_cycles + 9000, vector=0x40,
            left=0, again=0,
        ),
        "lapic.periodic": {
            **one(count=shot, wanted=12),
            "at": tuple(n * shot_cycles + 9000 for n in range(1, 13)),
        },
        "lapic.masked": one(interrupts=0, left=0),
        "lapic.stopped": one(count=shot * 8, start=at, stop=at + 5000, interrupts=0, left=0),
        "i8254.latch": {**one(held=0xFE00, later=0xFE00 - 1900), **spread(1900, PIT_HZ)},
        "i8254.read_back": one(mode_2=0x34, mode_3=0xB6),
        "i8254.mode_0": {**one(count=5000, out_at_first=0, out=0x20), **spread(5000, PIT_HZ)},
        "i8254.mode_2": {**one(counts=1900), **spread(1900, PIT_HZ)},
        "i8254.mode_3": {**one(counts=3800), **spread(1900, PIT_HZ)},
        "i8254.gate_starts": {
            **one(after=0x10000 - 3, shortest_loaded=cycles(1_500_000)),
            **one(longest_loaded=cycles(1_600_000)), **spread(3, PIT_HZ),
        },
        "i8254.gate_holds": one(held=0xFFF0, later=0xFFF0),
        "i8254.interrupt": {**one(count=2386, wanted=6, vector=0x20), "at": periods},
        "rtc.date": {
            **one(register_b=2, register_d=0x80, tsc=at, tsc_after=at + 9000, changed=0),
            "date": (0x06, 0x00, 0x15, 0x21, 0x11, 0x26, 0x20),
        },
        "rtc.periodic": {**one(hz=1024, wanted=12), "at": flags},
        "sleeping.lapic": {
            **one(sleeps=16, woken=16),
            "counts": (shot,) * 16, "armed": (500,) * 16, "took": (shot_cycles + 9000,) * 16,
        },
        "sleeping.deadline": {
            **one(sleeps=16, woken=16), "wanted": (4_000_000,) * 16, "took": (4_050_000,) * 16
        },
        "sleeping.clocks": one(sleeps=24),
        "rtc.goes_on": {
            **one(register_b=2, register_d=0x80, tsc=at + cycles(2 * 10**9), changed=1),
            "tsc_after": (at + cycles(2 * 10**9) + 9000,),
            "date": (0x08, 0x00, 0x15, 0x21, 0x11, 0x26, 0x20),
        },
        "rtc.update": one(looks=9000, seen=3, changes=1, within=cycles(100_000)),
        "host.pause": one(backwards=0, flags=3, flags_later=1),
        "tsc.write": one(
            refused=0, before=at, written=at + FAR, after=at + FAR + 9000, restored=at,
            adjust_before=0, adjust_after=FAR - 500,
        ),
        "tsc.adjust": one(
            refused=0, by=FAR, before=at, after=at + FAR + 900, read_back=FAR, restored=at
        ),
    }  # fmt: skip


def _words(text: str) -> tuple[int, ...]:
    data = text.encode().ljust(48, b"\0")
    return tuple(int.from_bytes(data[at : at + 4], "little") for at in range(0, 48, 4))


#: Rows of samples, with the time at which each begins, in ns after the machine's start.
ROWS = (
    ("first", 100), ("first", 320), ("awake", 1500), ("slept", 1650), ("last", 1800),
    ("before", 2000), ("after", 2400),
)  # fmt: skip
PAUSE_NS = (START_NS + 2_060_000_000, START_NS + 2_370_000_000)
MS = 1_000_000


@dataclass
class Machine:
    """What the guest says. ``policy`` is what the host declares, ``stands`` what pvclock does.

    The rates are those at which its clocks really run.
    """

    cases: dict[str, Numbers] = field(default_factory=_cases)
    policy: str = "monotonic"
    stands: bool = True
    tsc_khz: int = TSC_KHZ
    ns_ppm: int = 0
    lapic_hz: int = LAPIC_HZ
    pit_hz: int = PIT_HZ
    asleep: int = 100
    jolt: str = ""
    stamped: bool = True

    def lines(self) -> list[Line]:
        """The log."""
        lines = [Line(START_NS, "timehands-conform 1")]
        date = f"> date realtime={REALTIME_NS:#x} monotonic=0x0"
        pause = f"> pause from={PAUSE_NS[0]:#x} to={PAUSE_NS[1]:#x} least={300 * MS:#x}"
        lines += [Line(START_NS, date), Line(PAUSE_NS[1], f"{pause} policy={self.policy}")]
        for row, at_ms in ROWS:
            for number in range(8):
                lines += self._sample(row, START_NS + at_ms * MS + number * MS)
        for name, numbers in self.cases.items():
            words = " ".join(f"{k}={','.join(map(hex, v))}" for k, v in numbers.items())
            stamp = START_NS + 1_000 * MS
            lines += [Line(stamp, f"B {name}"), Line(stamp, f"C {name} data {words}")]
        lines.append(Line(START_NS + 3000 * MS, "E 1"))
        return lines if self.stamped else [Line(None, line.text) for line in lines]

    def log(self) -> Log:
        """The log, read."""
        return read_log(self.lines())

    def _sample(self, row: str, asked_ns: int) -> list[Line]:
        taken_ns = asked_ns + 20_000
        gone = taken_ns - START_NS
        slept = 150 * MS if row in ("slept", "last", "before", "after") else 0
        lost = slept * (100 - self.asleep) // 100
        tsc = (gone - lost) * self.tsc_khz // MS
        ns = (gone - lost) + (gone * self.ns_ppm // MS)
        if row == "after" and self.stands:
            ns -= PAUSE_NS[1] - PAUSE_NS[0] - 2 * MS
        guest_ns = tsc * MS // TSC_KHZ
        numbers = {
            "tsc": tsc,
            "lapic": (0xFFFFFFFF - guest_ns * self.lapic_hz // 10**9) & 0xFFFFFFFF,
            "pit": -(guest_ns * self.pit_hz // 10**9) & 0xFFFF,
            "ns": max(0, ns),
            "flags": 3 if row == "after" else 1,
            "version": 2,
            "tsc_after": tsc + 3000,
        }
        if self.jolt and gone % (3 * MS) > MS:
            numbers[self.jolt] -= 5_000
        words = " ".join(f"{key}={value:#x}" for key, value in numbers.items())
        return [
            Line(asked_ns, "> asked"),
            Line(asked_ns + 50_000, f"S {row} {words}"),
        ]
