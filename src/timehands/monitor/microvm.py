"""A microVM: KVM's machine, the devices, the vCPUs' threads, and the clocks as they were set.

::

    with Microvm(Settings(memory_bytes=64 << 20), Load(kernel), console=print) as guest:
        guest.resume()
        ending = guest.wait(10)
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Self

from timehands.clocks.msr import ClockMsr
from timehands.errors import MachineError
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.modes import start_protected_mode
from timehands.kvm.msr_filter import denying
from timehands.kvm.numbers import Capability, MsrReason
from timehands.kvm.system import Kvm
from timehands.kvm.vcpu import Vcpu
from timehands.kvm.vm import Vm
from timehands.monitor.bus import Bus
from timehands.monitor.caught_up import CaughtUp
from timehands.monitor.chips import SplitChips, chips_of_kvm
from timehands.monitor.devices import hpet, i8042, i8254, rtc, serial, signals
from timehands.monitor.devices.signals import Ending
from timehands.monitor.devices.virtio.disk_file import Disk, DiskFile
from timehands.monitor.devices.virtio.places import VirtioPlace, places
from timehands.monitor.gate import Gate
from timehands.monitor.host_tsc import host_tsc_here, is_near
from timehands.monitor.jumps import arm_jumps
from timehands.monitor.layout import GIB, MIB, PAGE, slots
from timehands.monitor.loading import Load, Placed, load
from timehands.monitor.pvclock import MSRS, Pvclock
from timehands.monitor.settings import Clocks, IrqChips, Maker
from timehands.monitor.systemtime import keep_system_time, start_system_time
from timehands.monitor.time import Alarms, GuestTime
from timehands.monitor.told import TSC_ADJUST, Hidden, told, without, without_leaves
from timehands.monitor.vcpus import Around, Observer, VcpuThread
from timehands.monitor.whereabouts import Whereabouts, whereabouts

if TYPE_CHECKING:
    from timehands.monitor.devices.virtio.mmio import Device as VirtioDevice
    from timehands.monitor.devices.virtio.mmio import Transport

MAX_VCPUS = 64
MIN_MEMORY, MAX_MEMORY = 2 * MIB, 1024 * GIB


@dataclass(frozen=True, slots=True)
class Settings:
    """What a guest runs on. ``memory_bytes``: whole pages, 2 MiB to 1 TiB.

    ``entropy``: whether it has a virtio source of it.
    """

    memory_bytes: int = 256 * MIB
    vcpus: int = 1
    clocks: Clocks = field(default_factory=Clocks)
    hidden: tuple[Hidden, ...] = ()
    disk: Disk | None = None
    entropy: bool = False

    def __post_init__(self) -> None:
        if not MIN_MEMORY <= self.memory_bytes <= MAX_MEMORY or self.memory_bytes % PAGE:
            raise MachineError(
                f"{self.memory_bytes} bytes of memory: give whole pages, 2 MiB to 1 TiB"
            )
        if not 1 <= self.vcpus <= MAX_VCPUS:
            raise MachineError(f"{self.vcpus} vCPUs: give 1 to {MAX_VCPUS}")

    @property
    def virtio(self) -> tuple[VirtioPlace, ...]:
        """Its virtio devices: what the kernel's command line has to announce, in its own words."""
        wanted = {"disk": self.disk is not None, "entropy": self.entropy}
        return places(*(name for name, is_there in wanted.items() if is_there))


class Microvm:
    """One guest. A context manager: when it is left no thread, no memory, no descriptor stays.

    Made paused, with the kernel in place; with None empty, for what is put there otherwise
    (`snapshot.restore`). ``console`` takes what the guest writes to its serial
    port, ``signal`` its POST codes (``post``) and Firecracker's boot timer (``boot-timer``), in the
    threads of the vCPUs. They may call `send` and `stop`, and an error of theirs ends the guest.
    `pause`, `resume` and `close` are for other threads: any of them, also several at once.

    Raises `KvmUnavailable`, `KvmLacks`, `KvmRefused`, `MachineError`, `KernelError`.
    """

    def __init__(
        self,
        settings: Settings,
        what: Load | None,
        *,
        console: Callable[[bytes], None] = lambda _data: None,
        observer: Observer | None = None,
        signal: Callable[[str, int], None] = lambda _name, _value: None,
    ) -> None:
        self.settings = settings
        self.ending: Ending | None = None
        #: pvclock's time at which the guest was paused, and the host's; see `systemtime`.
        self.system_ns, self.paused_ns = 0, time.monotonic_ns()
        #: Where TSCs are that wait while their vCPUs are out: on hosts with such ones.
        self.caught_up: CaughtUp | None = None
        self._ended = threading.Event()
        self._ending = threading.Lock()
        #: Held while the guest is being paused or resumed.
        self._control = threading.RLock()
        self._signal = signal
        self._stack = ExitStack()
        try:
            self._build(what, console, observer)
        except BaseException:
            self._stack.close()
            raise

    def _build(
        self, what: Load | None, console: Callable[[bytes], None], observer: Observer | None
    ) -> None:
        self.kvm = self._stack.enter_context(Kvm())
        self.vm = self._stack.enter_context(Vm(self.kvm))
        self.time = GuestTime()
        self.alarms = self._stack.enter_context(Alarms(self.time, self._alarm_failed))
        self._msrs()
        self._memory()
        self.ports, self.addresses = Bus("port"), Bus("address")
        self._chips()
        if self.settings.clocks.tsc_khz and self.vm.has(Capability.VM_TSC_CONTROL):
            self.vm.set_tsc_khz(self.settings.clocks.tsc_khz)
        self.vcpus = [self._add_vcpu(number) for number in range(self.settings.vcpus)]
        self.tsc_khz = self.vcpus[0].tsc_khz()
        self._tell_cpuid()
        self.pvclock = self._pvclock()
        self._devices(console)
        self.placed = self._load(what) if what else None
        self.gate = Gate()
        around = Around(
            self.gate,
            self.ports,
            self.addresses,
            self._end,
            self.pvclock,
            observer,
            self.split,
        )
        self.threads = [VcpuThread(vcpu, around) for vcpu in self.vcpus]
        self._stack.callback(self._stop_threads)
        arm_jumps(self)
        for thread in self.threads:
            thread.start()

    def _memory(self) -> None:
        wanted = self.settings.memory_bytes
        try:
            for address, size in slots(wanted):
                self.vm.add_memory(address, size)
        except OSError as error:
            raise MachineError(
                f"this host does not give {wanted >> 20} MiB of memory: {error.strerror}"
            ) from error

    def _chips(self) -> None:
        """Intel's pages, the PICs, the IOAPIC; the LAPIC's rate; the i8254 when it is KVM's."""
        clocks = self.settings.clocks
        self.vm.place_intel_pages()
        #: IOAPIC and 8259s, when they are ours.
        self.split: SplitChips | None = None
        if clocks.irqchip is IrqChips.SPLIT:
            self.split = SplitChips(self.vm, self.ports, self.addresses)
        else:
            chips_of_kvm(self.vm)
        if clocks.apic_bus_ns != 1:
            self.vm.enable(Capability.X86_APIC_BUS_CYCLES_NS, clocks.apic_bus_ns)
        if clocks.pit is Maker.KVM:
            self.vm.create_pit()

    def _add_vcpu(self, number: int) -> Vcpu:
        vcpu = self.vm.add_vcpu(number)
        tsc_khz = self.settings.clocks.tsc_khz
        if tsc_khz is not None and not self.vm.has(Capability.VM_TSC_CONTROL):
            if not is_near(tsc_khz, host_khz := vcpu.tsc_khz()):
                # Without it KVM takes a faster one, too, and only catches up at each entry.
                wanted = f"a TSC of {tsc_khz:,} kHz on a host whose own has {host_khz:,} kHz"
                self.vm.need(Capability.TSC_CONTROL, wanted)
            vcpu.set_tsc_khz(tsc_khz)
            # KVM made it start at 0 at the host's rate: at another one it starts anywhere.
            vcpu.set_msrs({ClockMsr.TSC: 1})
        return vcpu

    def _tell_cpuid(self) -> None:
        supported, clocks = self.kvm.supported_cpuid(), self.settings.clocks
        # KVM lists this one as supported only since the LAPIC can be in user space too.
        has_deadline = self.vm.has(Capability.TSC_DEADLINE_TIMER)
        if clocks.tsc_deadline is None:
            clocks = replace(clocks, tsc_deadline=has_deadline)
        if clocks.tsc_deadline:
            self.vm.need(Capability.TSC_DEADLINE_TIMER, "a LAPIC timer with TSC deadline")
        hidden, host = self.settings.hidden, host_tsc_here()
        if host.waits or not host.moves:
            hidden = (*hidden, TSC_ADJUST)
        clocks = replace(clocks, stable=clocks.stable and not host.waits)
        for vcpu in self.vcpus:
            number, count = vcpu.number, self.settings.vcpus
            answers = told(supported, clocks, tsc_khz=self.tsc_khz, vcpu=number, vcpus=count)
            self._tell(vcpu, without(answers, hidden), hidden)

    def _tell(
        self, vcpu: Vcpu, answers: tuple[CpuidEntry, ...], hidden: tuple[Hidden, ...]
    ) -> None:
        vcpu.set_cpuid(answers)
        fewer = without_leaves(answers, vcpu.cpuid(), hidden) if hidden else None
        if fewer is not None:
            vcpu.set_cpuid(fewer)

    def _msrs(self) -> None:
        """Have pvclock's MSRs come out, when it is ours, or fault, when there is none.

        First of all: KVM waits some ms for each change of this when chips are there already, whose
        registration is not over yet (synchronize_srcu after call_srcu).
        """
        pvclock = self.settings.clocks.pvclock
        if pvclock is Maker.OURS:
            self.vm.need(Capability.X86_USER_SPACE_MSR, "pvclock by the monitor")
            self.vm.need(Capability.X86_MSR_FILTER, "pvclock by the monitor")
            self.vm.hand_over_msrs(MsrReason.FILTER)
            self.vm.filter_msrs(denying(MSRS))
        elif pvclock is Maker.NONE and self.vm.has(Capability.X86_MSR_FILTER):
            self.vm.filter_msrs(denying(MSRS))

    def _pvclock(self) -> Pvclock | None:
        """Our provider, if it is to be."""
        clocks = self.settings.clocks
        if clocks.pvclock is Maker.NONE and not self.vm.has(Capability.X86_MSR_FILTER):
            self.vm.need(Capability.ENFORCE_PV_FEATURE_CPUID, "a guest without pvclock")
            for vcpu in self.vcpus:  # its MSRs fault since CPUID does not announce them
                vcpu.enforce_announced_features()
        if clocks.pvclock is not Maker.OURS:
            return None
        at_entry = None
        if host_tsc_here().waits:
            self.caught_up = CaughtUp(self.vcpus, self.tsc_khz)
            at_entry = self.caught_up.at_entry
        pvclock = Pvclock(self.vm.memory, self.tsc_khz, stable=clocks.stable, at_entry=at_entry)
        pvclock.step_wall(clocks.wall_offset_ns)
        return pvclock

    def _devices(self, console: Callable[[bytes], None]) -> None:
        clocks, ports = self.settings.clocks, self.ports
        self.serial = serial.Serial(console, lambda level: self.irq_line(serial.IRQ, level))
        ports.add(serial.COM1, serial.PORTS, self.serial, widest=1)
        self.i8042 = i8042.I8042(self._end, lambda level: self.irq_line(i8042.IRQ, level))
        ports.add(i8042.DATA, 1, self.i8042.data, widest=1)
        ports.add(i8042.COMMAND, 1, self.i8042.command, widest=1)
        ports.add(signals.RESET_CONTROL, 1, signals.ResetControl(self._end))
        ports.add(signals.POWER, signals.POWER_PORTS, signals.Power(self._end))
        ports.add(signals.DEBUG_EXIT, signals.DEBUG_EXIT_PORTS, signals.DebugExit(self._end))
        ports.add(signals.POST, 1, signals.Heard(lambda value: self._signal("post", value)))
        boot_timer = signals.Heard(lambda value: self._signal("boot-timer", value))
        self.addresses.add(signals.BOOT_TIMER, signals.BOOT_TIMER_BYTES, boot_timer)
        if clocks.pit is Maker.OURS:
            self.i8254 = i8254.I8254(self.time, self.alarms, self._pulse_irq0)
            ports.add(i8254.PORT, i8254.PORTS, self.i8254, widest=1)
            ports.add(i8254.SPEAKER, 1, i8254.Speaker(self.i8254), widest=1)
        if clocks.rtc:
            self.rtc = rtc.Rtc(
                self.time,
                self.alarms,
                clocks.wall_offset_ns,
                lambda level: self.irq_line(rtc.IRQ, level),
            )
            ports.add(rtc.INDEX, rtc.PORTS, self.rtc, widest=1)
        if clocks.hpet:
            self.hpet = hpet.Hpet(self.time, self.alarms, self.irq_line)
            self.addresses.add(hpet.ADDRESS, hpet.BYTES, self.hpet)
        self._virtio()

    def _virtio(self) -> None:
        self.virtio: dict[str, Transport] = {}
        self.disk: DiskFile | None = None
        if not self.settings.virtio:
            return
        from timehands.monitor.devices.virtio.mmio import Transport  # few guests have any

        for place in self.settings.virtio:
            device = self._virtio_device(place.name)
            transport = Transport(device, self.vm.memory, partial(self.irq_line, place.irq))
            self.addresses.add(place.address, place.size, transport)
            self.virtio[place.name] = transport

    def _virtio_device(self, name: str) -> VirtioDevice:
        from timehands.monitor.devices.virtio.block import Block
        from timehands.monitor.devices.virtio.entropy import Entropy

        if name == "disk" and self.settings.disk is not None:
            self.disk = self._stack.enter_context(DiskFile(self.settings.disk))
            return Block(self.disk)
        return Entropy()

    def irq_line(self, irq: int, level: int) -> None:
        """Raise (1) or lower (0) an interrupt line, 0 to 23."""
        (self.split or self.vm).irq_line(irq, level)

    def _pulse_irq0(self) -> None:
        self.irq_line(i8254.IRQ, 1)
        self.irq_line(i8254.IRQ, 0)

    def _load(self, what: Load) -> Placed:
        settings, memory = self.settings, self.vm.memory
        placed = load(
            what,
            memory,
            settings.memory_bytes,
            settings.vcpus,
            settings.virtio,
            hpet=settings.clocks.hpet,
        )
        self._set_entry(placed)
        return placed

    def _set_entry(self, placed: Placed) -> None:
        first = self.vcpus[0]
        start_protected_mode(first, placed.entry.rip, rbx=placed.entry.rbx)
        regs = first.regs()
        regs.rsi, regs.rax = placed.entry.rsi, placed.entry.rax
        first.set_regs(regs)

    # What it does

    @property
    def running(self) -> bool:
        """Whether its time goes on: it was resumed, and not paused since."""
        return not self.time.paused

    def resume(self) -> None:
        """Let the guest run. pvclock goes on as the policy says. One that runs, runs on."""
        self._not_from_inside("resume")
        with self._control:
            if self.running or self.ending is not None:
                return
            start_system_time(self)
            self.time.resume()
            self.alarms.wake()
            self.gate.set_open(True)

    def pause(self) -> None:
        """Have all vCPUs out of the guest, none with an access half done, and its time stand still.

        Raises `MachineError` when one does not come out: the guest then runs on.
        """
        self._not_from_inside("pause")
        with self._control:
            self._pause()
        self.alarms.settle(self.gate.patience_s)

    def _pause(self) -> None:
        if not self.running:
            return
        self.gate.set_open(False)
        if not self.gate.wait_empty(self._interrupt):
            error = self._stuck()
            self.gate.set_open(True)
            raise error
        self.time.pause()
        keep_system_time(self)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause it for as long as this lasts; it goes on after that if it did before."""
        self._not_from_inside("paused")
        with self._control:
            ran = self.running
            self._pause()
            try:
                yield
            finally:
                if ran:
                    self.resume()

    def send(self, data: bytes) -> int:
        """Type on the guest's serial line. Returns how many bytes were taken."""
        return self.serial.feed(data)

    def wait(self, seconds: float | None = None) -> Ending | None:
        """Wait until the guest ends, that long at most. None: it has not.

        When it ended, `pause` it before its memory and registers are looked at.
        """
        self._ended.wait(seconds)
        return self.ending

    def whereabouts(self) -> tuple[Whereabouts, ...]:
        """Where each vCPU is: what a guest that says nothing does. Pauses it for a moment."""
        with self.paused():
            return tuple(whereabouts(vcpu, self.vm.memory) for vcpu in self.vcpus)

    @property
    def exits(self) -> dict[str, int]:
        """How often vCPUs came out, by the name of the exit's class, the most frequent first."""
        total: Counter[str] = Counter()
        for thread in self.threads:
            total.update({kind.__name__: count for kind, count in thread.counts.copy().items()})
        return dict(total.most_common())

    def stop(self) -> None:
        """End the guest from outside."""
        self._end(Ending("stopped"))

    def close(self) -> None:
        """End it and give everything back.

        Raises `MachineError` when a vCPU hangs in something that we called: its thread is left to
        itself, everything else is given back.
        """
        self._not_from_inside("close")
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _end(self, ending: Ending) -> None:
        """The first ending counts. The vCPUs come out at their next chance."""
        with self._ending:
            if self.ending is not None:
                return
            self.ending = ending
        self.gate.close()
        self._interrupt()
        self._ended.set()

    def _alarm_failed(self, error: Exception) -> None:
        self._end(Ending("lost", words=f"an alarm failed: {error}", cause=error))

    def _interrupt(self) -> None:
        for vcpu in self.vcpus:
            vcpu.interrupt()

    def _not_from_inside(self, what: str) -> None:
        """A vCPU cannot wait for itself to come out."""
        if threading.current_thread() in self.threads:
            raise MachineError(
                f"{what}() was called by the console, or by what else a vCPU's thread calls",
                advice="Call it in another thread; stop() and send() can be called anywhere.",
            )

    def _stuck(self) -> MachineError:
        """The error about vCPUs that do not come out, after they had their time."""
        words = [
            f"{thread.vcpu.name} {_doing(thread)}"
            for thread in self.threads
            if thread.vcpu.number in self.gate.inside
        ]
        return MachineError(f"{'; '.join(words)}, for {self.gate.patience_s:g} s now")

    def _stop_threads(self) -> None:
        self.stop()
        if not self.gate.wait_empty(self._interrupt):
            raise self._stuck()
        for thread in self.threads:
            if thread.ident is not None:
                thread.join(self.gate.patience_s)


def _doing(thread: VcpuThread) -> str:
    if thread.handling is None:
        return "does not come out of KVM"
    return f"hangs in what was called to handle {thread.handling}"
