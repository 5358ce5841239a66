"""A microVM: KVM's machine, the devices, the vCPUs' threads, and the clocks as they were set.

::

    with Microvm(Settings(memory_bytes=64 << 20), Load(kernel), console=print) as guest:
        guest.resume()
        ending = guest.wait(10)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self

from timehands.errors import MachineError
from timehands.kvm.modes import start_protected_mode
from timehands.kvm.msr_filter import denying
from timehands.kvm.numbers import Capability, MsrReason
from timehands.kvm.system import Kvm
from timehands.kvm.vcpu import Vcpu
from timehands.kvm.vm import Vm
from timehands.monitor.bus import Bus
from timehands.monitor.devices import i8254, rtc, serial, signals
from timehands.monitor.devices.signals import Ending
from timehands.monitor.jumps import arm_jumps
from timehands.monitor.layout import MIB, PAGE, slots
from timehands.monitor.loading import Load, Placed, load
from timehands.monitor.pvclock import MSRS, Pvclock
from timehands.monitor.settings import Clocks, Maker
from timehands.monitor.systemtime import keep_system_time, start_system_time
from timehands.monitor.time import Alarms, GuestTime
from timehands.monitor.told import told
from timehands.monitor.vcpus import Around, Gate, Observer, VcpuThread

MAX_VCPUS = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """What a guest runs on. ``memory_bytes``: whole pages, 2 MiB at least."""

    memory_bytes: int = 256 * MIB
    vcpus: int = 1
    clocks: Clocks = field(default_factory=Clocks)

    def __post_init__(self) -> None:
        if self.memory_bytes < 2 * MIB or self.memory_bytes % PAGE:
            raise MachineError(f"{self.memory_bytes} bytes of memory: give whole pages, 2 MiB on")
        if not 1 <= self.vcpus <= MAX_VCPUS:
            raise MachineError(f"{self.vcpus} vCPUs: give 1 to {MAX_VCPUS}")


class Microvm:
    """One guest. A context manager: when it is left no thread, no memory, no descriptor stays.

    Made paused, with the kernel in place. ``console`` takes what the guest writes to its serial
    port, from the threads of the vCPUs. Raises `KvmUnavailable`, `KvmLacks`, `KvmRefused`,
    `MachineError`, `KernelError`.
    """

    def __init__(
        self,
        settings: Settings,
        what: Load,
        *,
        console: Callable[[bytes], None] = lambda _data: None,
        observer: Observer | None = None,
        signal: Callable[[str, int], None] = lambda _name, _value: None,
    ) -> None:
        self.settings = settings
        self.ending: Ending | None = None
        #: pvclock's time at which the guest was paused, and the host's; see `systemtime`.
        self.system_ns, self.paused_ns = 0, time.monotonic_ns()
        self._ended = threading.Event()
        self._signal = signal
        self._stack = ExitStack()
        try:
            self._build(what, console, observer)
        except BaseException:
            self._stack.close()
            raise

    def _build(
        self, what: Load, console: Callable[[bytes], None], observer: Observer | None
    ) -> None:
        self.kvm = self._stack.enter_context(Kvm())
        self.vm = self._stack.enter_context(Vm(self.kvm))
        self.time = GuestTime()
        self.alarms = self._stack.enter_context(Alarms(self.time))
        for address, size in slots(self.settings.memory_bytes):
            self.vm.add_memory(address, size)
        self._chips()
        self.vcpus = [self._add_vcpu(number) for number in range(self.settings.vcpus)]
        self.tsc_khz = self.vcpus[0].tsc_khz()
        self._tell_cpuid()
        self.pvclock = self._pvclock()
        self.ports, self.addresses = Bus("port"), Bus("address")
        self._devices(console)
        self.placed = load(what, self.vm.memory, self.settings.memory_bytes, self.settings.vcpus)
        self._set_entry(self.placed)
        self.gate = Gate(len(self.vcpus))
        around = Around(self.gate, self.ports, self.addresses, self._end, self.pvclock, observer)
        self.threads = [VcpuThread(vcpu, around) for vcpu in self.vcpus]
        self._stack.callback(self._stop_threads)
        arm_jumps(self)
        for thread in self.threads:
            thread.start()

    def _chips(self) -> None:
        """Intel's pages, the PICs, the IOAPIC; the LAPIC's rate; the i8254 when it is KVM's."""
        clocks = self.settings.clocks
        self.vm.place_intel_pages()
        self.vm.create_irqchip()
        if clocks.apic_bus_ns != 1:
            self.vm.enable(Capability.X86_APIC_BUS_CYCLES_NS, clocks.apic_bus_ns)
        if clocks.pit is Maker.KVM:
            self.vm.create_pit()

    def _add_vcpu(self, number: int) -> Vcpu:
        vcpu = self.vm.add_vcpu(number)
        tsc_khz = self.settings.clocks.tsc_khz
        if tsc_khz is not None:
            vcpu.set_tsc_khz(tsc_khz)
        return vcpu

    def _tell_cpuid(self) -> None:
        supported, settings = self.kvm.supported_cpuid(), self.settings
        for vcpu in self.vcpus:
            entries = told(
                supported,
                settings.clocks,
                tsc_khz=self.tsc_khz,
                vcpu=vcpu.number,
                vcpus=settings.vcpus,
            )
            vcpu.set_cpuid(entries)

    def _pvclock(self) -> Pvclock | None:
        """Our provider; without it KVM's MSRs are KVM's, or refused."""
        clocks = self.settings.clocks
        if clocks.pvclock is Maker.KVM:
            return None
        if clocks.pvclock is Maker.OURS:
            self.vm.hand_over_msrs(MsrReason.FILTER)
        self.vm.filter_msrs(denying(MSRS))
        if clocks.pvclock is Maker.NONE:
            return None
        pvclock = Pvclock(self.vm.memory, self.tsc_khz, stable=clocks.stable)
        pvclock.step_wall(clocks.wall_offset_ns)
        return pvclock

    def _devices(self, console: Callable[[bytes], None]) -> None:
        clocks, ports = self.settings.clocks, self.ports
        self.serial = serial.Serial(console, lambda level: self.vm.irq_line(serial.IRQ, level))
        ports.add(serial.COM1, serial.PORTS, self.serial)
        ports.add(signals.KEYBOARD_COMMAND, 1, signals.Keyboard(self._end))
        ports.add(signals.RESET_CONTROL, 1, signals.ResetControl(self._end))
        ports.add(signals.DEBUG_EXIT, signals.DEBUG_EXIT_PORTS, signals.DebugExit(self._end))
        ports.add(signals.POST, 1, signals.Heard(lambda value: self._signal("post", value)))
        boot_timer = signals.Heard(lambda value: self._signal("boot-timer", value))
        self.addresses.add(signals.BOOT_TIMER, signals.BOOT_TIMER_BYTES, boot_timer)
        if clocks.pit is Maker.OURS:
            self.i8254 = i8254.I8254(self.time, self.alarms, self._pulse_irq0)
            ports.add(i8254.PORT, i8254.PORTS, self.i8254)
            ports.add(i8254.SPEAKER, 1, i8254.Speaker(self.i8254))
        if clocks.rtc:
            self.rtc = rtc.Rtc(
                self.time,
                self.alarms,
                clocks.wall_offset_ns,
                lambda level: self.vm.irq_line(rtc.IRQ, level),
            )
            ports.add(rtc.INDEX, rtc.PORTS, self.rtc)

    def _pulse_irq0(self) -> None:
        self.vm.irq_line(i8254.IRQ, 1)
        self.vm.irq_line(i8254.IRQ, 0)

    def _set_entry(self, placed: Placed) -> None:
        first = self.vcpus[0]
        start_protected_mode(first, placed.entry.rip, rbx=placed.entry.rbx)
        regs = first.regs()
        regs.rsi, regs.rax = placed.entry.rsi, placed.entry.rax
        first.set_regs(regs)

    # What it does

    def resume(self) -> None:
        """Let the guest run. pvclock goes on as the policy says."""
        start_system_time(self)
        self.time.resume()
        self.alarms.wake()
        self.gate.set_open(True)

    def pause(self) -> None:
        """Stop all vCPUs, outside of the guest. Raises `MachineError` when one stays in."""
        self.gate.set_open(False)
        if not self.gate.wait_empty(self._interrupt):
            raise MachineError("a vCPU did not come out of the guest")
        self.time.pause()
        keep_system_time(self)

    def send(self, data: bytes) -> int:
        """Type on the guest's serial line. Returns how many bytes were taken."""
        return self.serial.feed(data)

    def wait(self, seconds: float | None = None) -> Ending | None:
        """Wait until the guest ends, that long at most. None: it has not."""
        self._ended.wait(seconds)
        return self.ending

    def stop(self) -> None:
        """End the guest from outside."""
        self._end(Ending("stopped"))

    def close(self) -> None:
        """End it and give everything back."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _end(self, ending: Ending) -> None:
        """The first ending counts. The vCPUs come out at their next chance."""
        if self.ending is None:
            self.ending = ending
            self.gate.close()
            self._interrupt()
            self._ended.set()

    def _interrupt(self) -> None:
        for vcpu in self.vcpus:
            vcpu.interrupt()

    def _stop_threads(self) -> None:
        self.stop()
        for thread in self.threads:
            while thread.is_alive():
                thread.vcpu.interrupt()
                thread.join(0.05)
