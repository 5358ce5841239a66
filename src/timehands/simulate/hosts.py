"""A host's clocks in true time: its TSC on each CPU, and what its kernel makes of it.

The kernel believes in ``tsc_khz`` (what KVM_GET_TSC_KHZ gives); the crystal runs off by
``drift_ppb``. Three clocks of the kernel matter to a provider:

- raw (CLOCK_MONOTONIC_RAW and the like): the TSC divided by the believed frequency, so that it
  drifts; KVM's base for kvmclock (arch/x86/kvm/x86.c, get_kvmclock_base_ns).
- disciplined (CLOCK_MONOTONIC under NTP): true time, except while it is slewed. It was the base of
  older KVMs.
- realtime: the disciplined clock, an offset, and steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from timehands.simulate.segments import NS_PER_S, Line

PPB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """A host as a scenario gives it.

    ``tsc_khz`` as its kernel believes, in kHz; ``drift_ppb`` is how much faster the crystal runs;
    ``skew_cycles`` is how far each CPU's TSC is ahead of the nominal one (as many as there are
    CPUs); ``tsc_scaling``: guests can be given another frequency; ``tsc_start`` is the TSC at the
    start of the simulation; ``realtime_offset_ns`` is how far its date is ahead then.
    """

    name: str
    tsc_khz: int
    drift_ppb: int = 0
    skew_cycles: tuple[int, ...] = (0, 0)
    tsc_scaling: bool = True
    tsc_start: int = 7_656_153_286_830
    realtime_offset_ns: int = 0

    @property
    def hz(self) -> int:
        """The rate at which the TSC really counts, in whole Hz."""
        return (self.tsc_khz * 1000 * (PPB + self.drift_ppb) + PPB // 2) // PPB

    @property
    def tsc_agrees(self) -> bool:
        """Whether all CPUs' TSCs are the same: what the kernel needs to keep time with the TSC."""
        return len(set(self.skew_cycles)) == 1


class Host:
    """A host in the course of a simulation. Times are true, in ns since the start."""

    def __init__(self, spec: HostSpec) -> None:
        self.spec = spec
        self._lines = [Line(spec.tsc_start + skew, 0, spec.hz) for skew in spec.skew_cycles]
        self._realtime_ns = spec.realtime_offset_ns
        self._slewed_ns = 0
        self._slews: list[tuple[int, int, int]] = []

    def tsc(self, cpu: int) -> Line:
        """The TSC of a CPU."""
        return self._lines[cpu]

    def raw_ns(self, t_ns: int) -> int:
        """The raw clock: the cycles since the start in believed time."""
        return t_ns * self.spec.hz // (self.spec.tsc_khz * 1000)

    def disciplined_ns(self, t_ns: int) -> int:
        """The disciplined clock: true time, and what it was slewed by (not before the last one)."""
        return t_ns + self._slewed_ns + sum(_slewed(slew, t_ns) for slew in self._slews)

    def realtime_ns(self, t_ns: int) -> int:
        """The date, in ns since the true start."""
        return self.disciplined_ns(t_ns) + self._realtime_ns

    def step(self, by_ns: int) -> None:
        """Set the date: realtime only."""
        self._realtime_ns += by_ns

    def slew(self, start_ns: int, for_ns: int, ppb: int) -> None:
        """Let the disciplined clock run faster by so much for so long, from now on."""
        self._slewed_ns += sum(_slewed(s, start_ns) for s in self._slews if s[1] <= start_ns)
        self._slews = [slew for slew in self._slews if slew[1] > start_ns]
        self._slews.append((start_ns, start_ns + for_ns, ppb))


def _slewed(slew: tuple[int, int, int], t_ns: int) -> int:
    """What a slew (start, end, ppb) has added by then."""
    start_ns, end_ns, ppb = slew
    return ppb * max(0, min(t_ns, end_ns) - start_ns) // PPB


def scaled(line: Line, guest_khz: int, host_khz: int) -> Line:
    """The line of a TSC under hardware scaling from the host's frequency to the guest's.

    The ratio is exact here; VMX keeps 48 bits of its fraction and SVM 32
    (`timehands.clocks.tsc`), which is below the 1 Hz that a line resolves.
    """
    hz = (line.hz * guest_khz + host_khz // 2) // host_khz
    return Line(line.base * guest_khz // host_khz, line.since_ns, hz)


def cycles(ns: int, khz: int) -> int:
    """So many ns in cycles of a frequency, rounded down."""
    return ns * khz * 1000 // NS_PER_S
