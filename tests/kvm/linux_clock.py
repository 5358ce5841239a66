"""A real Linux on the real KVM, up to where it has its clock: what it prints, and its page then.

A loader of PVH kernels as small as can be: memory, the start info, one vCPU, and a serial port of
which only the transmitter works. At the first and the last byte of each line that the kernel
prints, kvmclock and the guest's TSC are read; at the last its page too.

The page is KVM's, or one that we built: then the MSR's writing comes to us, and the guest is told a
TSC rate that is not the true one, to see that it takes what the page says.

``python tests/kvm/linux_clock.py KERNEL > tests/kvm/linux_clock.json`` (with src and tests in
PYTHONPATH) makes the recording that ``test_linux_clock.py`` checks on hosts without KVM, and with a
rate in kHz after KERNEL that of ``linux_clock_ours.json``.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from timehands.clocks.cpuid.numbers import Leaf, Leaf1Ecx
from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.layout import SystemTimeMsr, TimeInfo
from timehands.clocks.pvclock.numbers import TIME_INFO_SIZE, Flags
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import time_scale
from timehands.kernels.kernel import Kernel
from timehands.kvm import Kvm, Vcpu, Vm, start_protected_mode
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.exits import InternalError, MsrWrite, PortIn, PortOut
from timehands.kvm.msr_filter import denying
from timehands.kvm.numbers import MsrFilterFlags, MsrReason

COMMAND_LINE = "earlyprintk=serial,0x3f8,115200 nokaslr keep_bootcon"
#: The line after which a recording ends: by then some thirty lines bear a time of kvmclock.
ENOUGH = "Booting paravirtualized kernel"
#: What a page of ours begins with.
OUR_START_NS = 1_000_000 * 10**9
#: After this the guest is taken out.
PATIENCE_S = 240
_MEMORY = 128 << 20
_START_INFO, _MEMORY_MAP, _COMMAND_LINE = 0x6000, 0x7000, 0x20000
_LOW_END, _HIGH = 0x9FC00, 0x100000
_SERIAL, _LINE_STATUS, _TRANSMITTER_EMPTY = 0x3F8, 0x3FD, 0x60


@dataclass(frozen=True)
class Moment:
    """The guest's TSC, and KVM's clock by KVM_GET_CLOCK before and after it was read."""

    before_ns: int
    tsc: int
    after_ns: int


@dataclass(frozen=True)
class Line:
    """A line of the console, its first and last byte's moments, and the page (hex) at the last."""

    text: str
    first: Moment
    last: Moment
    page: str

    @property
    def info(self) -> TimeInfo | None:
        """The page, decoded; None before the guest registered one."""
        return TimeInfo.parse(bytes.fromhex(self.page)) if self.page else None


@dataclass(frozen=True)
class LinuxClock:
    """What one boot gave.

    ``tsc_khz`` is the rate that the page is for; ``ours`` whether we built it. ``ended`` says why
    the boot ended before `ENOUGH`; empty when it did not.
    """

    kernel: str
    command_line: str
    ours: bool
    tsc_khz: int
    system_time_msr: int
    lines: tuple[Line, ...]
    ended: str

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LinuxClock:
        lines = tuple(
            Line(each["text"], Moment(**each["first"]), Moment(**each["last"]), each["page"])
            for each in data.pop("lines")
        )
        return cls(
            **{name: data[name] for name in cls.__annotations__ if name in data}, lines=lines
        )

    def stamps(self) -> Iterator[tuple[int, int]]:
        """The lines that bear a time: their number, and kvmclock by that time (ns, to 1 us)."""
        offset = next(filter(None, (SCHED_OFFSET.search(each.text) for each in self.lines)))
        for number, line in enumerate(self.lines):
            match = STAMP.match(line.text)
            us = int(match[1]) * 10**6 + int(match[2]) if match else 0
            if us:
                yield number, us * 1000 + int(offset[1])


STAMP = re.compile(r"\[ *(\d+)\.(\d{6})\] ")
#: "cycles" are the kernel's word here; they are ns.
SCHED_OFFSET = re.compile(r"kvm-clock: using sched offset of (\d+) cycles")
DETECTED = re.compile(r"tsc: Detected (\d+)\.(\d{3}) MHz processor")


class Listener:
    """What a guest prints, and where its page is. ``our_khz`` is for a page of ours, else 0."""

    def __init__(self, vcpu: Vcpu, our_khz: int) -> None:
        self.vcpu, self.our_khz = vcpu, our_khz
        self.msr = 0
        self.lines: list[Line] = []
        self._text = b""
        self._first: Moment | None = None

    def listen(self) -> str:
        """Run the guest up to `ENOUGH`; or say in words why it went no further."""
        while not (self.lines and ENOUGH in self.lines[-1].text):
            result = self.vcpu.run()
            if isinstance(result, PortOut):
                if result.port == _SERIAL:
                    self._printed(result.data)
            elif isinstance(result, PortIn):
                if _SERIAL <= result.port < _SERIAL + 8:
                    self.vcpu.answer(_TRANSMITTER_EMPTY if result.port == _LINE_STATUS else 0)
            elif isinstance(result, MsrWrite):
                self._registered(result.value)
            else:
                return str(result) if isinstance(result, InternalError) else repr(result)
        return ""

    def _printed(self, data: bytes) -> None:
        self._first = self._first or moment(self.vcpu)
        self._text += data
        if data.endswith(b"\n"):
            if not self.our_khz:
                self.msr = self.vcpu.msr(ClockMsr.KVM_SYSTEM_TIME)
            where = SystemTimeMsr.parse(self.msr)
            page = self.vcpu.vm.memory.read(where.address, TIME_INFO_SIZE) if where.enabled else b""
            shown = self._text.decode("latin-1").strip()
            self.lines.append(Line(shown, self._first, moment(self.vcpu), page.hex()))
            self._text, self._first = b"", None

    def _registered(self, msr: int) -> None:
        """A page of ours: it begins at `OUR_START_NS` now."""
        self.msr = msr
        mul, shift = time_scale(self.our_khz)
        tsc = self.vcpu.msr(ClockMsr.TSC)
        info = TimeInfo(2, tsc, OUR_START_NS, mul, shift, Flags.TSC_STABLE)
        self.vcpu.vm.memory.write(SystemTimeMsr.parse(msr).address, info.build())
        self.vcpu.answer(0)


def record(kernel: Kernel, our_khz: int = 0) -> LinuxClock:
    """Boot it up to `ENOUGH`, with KVM's page, or with ours for a TSC of ``our_khz``."""
    with Kvm() as kvm, Vm(kvm) as vm:
        vm.place_intel_pages()
        vm.create_irqchip()
        vm.create_pit()
        if our_khz:
            vm.hand_over_msrs(MsrReason.FILTER)
            vm.filter_msrs(denying([ClockMsr.KVM_SYSTEM_TIME], MsrFilterFlags.WRITE))
        listener = Listener(load(vm, kernel), our_khz)
        watchdog = threading.Timer(PATIENCE_S, listener.vcpu.interrupt)
        watchdog.start()
        try:
            ended = listener.listen()
        finally:
            watchdog.cancel()
            watchdog.join()
        return LinuxClock(
            f"{kernel.os} {kernel.os_version}",
            COMMAND_LINE,
            bool(our_khz),
            our_khz or listener.vcpu.tsc_khz(),
            listener.msr,
            tuple(listener.lines),
            ended,
        )


def load(vm: Vm, kernel: Kernel) -> Vcpu:
    """The kernel in memory, and a vCPU at its PVH entry."""
    assert kernel.pvh_entry is not None
    vm.add_memory(0, _MEMORY)
    image = kernel.elf_path().read_bytes()
    for segment in kernel.segments:
        if segment.type == "PT_LOAD":
            data = image[segment.offset : segment.offset + segment.filesz]
            vm.memory.write(segment.paddr, data)
    ranges = ((0, _LOW_END, 1), (_LOW_END, _HIGH - _LOW_END, 2), (_HIGH, _MEMORY - _HIGH, 1))
    vm.memory.write(_MEMORY_MAP, b"".join(struct.pack("<QQII", *each, 0) for each in ranges))
    vm.memory.write(_COMMAND_LINE, COMMAND_LINE.encode() + b"\0")
    info = struct.pack(
        "<IIIIQQQQII", 0x336EC578, 1, 0, 0, 0, _COMMAND_LINE, 0, _MEMORY_MAP, len(ranges), 0
    )
    vm.memory.write(_START_INFO, info)
    vcpu = vm.add_vcpu()
    vcpu.set_cpuid(map(under_hypervisor, vm.kvm.supported_cpuid()))
    start_protected_mode(vcpu, kernel.pvh_entry, rbx=_START_INFO)
    return vcpu


def under_hypervisor(entry: CpuidEntry) -> CpuidEntry:
    """Leaf 1 says that there is a hypervisor: KVM leaves that to us."""
    if entry.leaf != Leaf.FEATURES:
        return entry
    registers = entry.registers
    return replace(entry, registers=registers._replace(ecx=registers.ecx | Leaf1Ecx.HYPERVISOR))


def moment(vcpu: Vcpu) -> Moment:
    """The guest's TSC now."""
    before = vcpu.vm.clock().ns
    return Moment(before, vcpu.msr(ClockMsr.TSC), vcpu.vm.clock().ns)


def reading(info: TimeInfo, at: Moment) -> int:
    """The clock by the page, at a moment; where the page begins for one before that."""
    return nanoseconds(info, max(at.tsc, info.tsc_timestamp))


if __name__ == "__main__":
    rate = sys.argv[2:]
    made = record(Kernel.open(Path(sys.argv[1])), *map(int, rate))
    how = " ".join(["python tests/kvm/linux_clock.py KERNEL", *rate])
    print(json.dumps({"made_by": how, **asdict(made)}, indent=1))
