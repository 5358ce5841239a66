"""Whether this host can give a guest what its snapshot needs; if not, what it lacks.

Told before anything is made, in words, where KVM would say «invalid argument» half way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from timehands.clocks.cpuid.numbers import Leaf
from timehands.errors import KvmLacks
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.descriptions import KVM_CAPABILITY_WORDS
from timehands.kvm.numbers import TSC_TOLERANCE_PPM, Capability
from timehands.kvm.system import Kvm
from timehands.kvm.vm import Vm
from timehands.monitor.host_tsc import is_near
from timehands.monitor.snapshot import tsc
from timehands.monitor.snapshot.state import State
from timehands.monitor.told import told

_XSAVE, _ADDRESSES = 0xD, 0x8000_0008
#: Leaves and registers whose bits are features, each to be had on the host, and the bits among
#: them that KVM changes while the guest runs: leaf 1 MONITOR and OSXSAVE, leaf 7 OSPKE.
_FEATURES: Mapping[tuple[int, int], Mapping[str, int]] = {
    (Leaf.FEATURES, 0): {"ecx": 1 << 3 | 1 << 27, "edx": 0},
    (Leaf.STRUCTURED_FEATURES, 0): {"ebx": 0, "ecx": 1 << 4, "edx": 0},
    (Leaf.STRUCTURED_FEATURES, 1): {"eax": 0, "ebx": 0, "ecx": 0, "edx": 0},
    (_XSAVE, 0): {"eax": 0, "edx": 0},
    (_XSAVE, 1): {"eax": 0, "ecx": 0, "edx": 0},
    (Leaf.HYPERVISOR_FEATURES, 0): {"eax": 0},
    (Leaf.EXTENDED_FEATURES, 0): {"ecx": 0, "edx": 0},
    (Leaf.POWER_MANAGEMENT, 0): {"edx": 0},
    (_ADDRESSES, 0): {"ebx": 0},
}
_SHOWN = 4
Answers = Mapping[tuple[int, int], CpuidEntry]


def lacking(kvm: Kvm, state: State) -> Iterator[str]:
    """What keeps the guest from going on here, each in words."""
    for capability in state.needs:
        if not kvm.has(capability):
            yield _capability_words(capability)
    yield from _rate(kvm, state)
    yield from _cpuid(kvm, state)
    yield from _msrs(kvm, state)
    if state.times.tsc_set and not tsc.can_be_set(kvm):
        yield "this KVM gives guests the host's own TSC, and the snapshot's is another one"


def _capability_words(capability: Capability) -> str:
    name = f"KVM_CAP_{capability.name}"
    return KvmLacks(name, wanted="it", words=KVM_CAPABILITY_WORDS.get(name, "")).message


def _rate(kvm: Kvm, state: State) -> Iterator[str]:
    khz, host_khz = state.times.tsc_khz, tsc.host_khz(kvm)
    if kvm.has(Capability.TSC_CONTROL) or is_near(khz, host_khz):
        return
    ppm = abs(khz - host_khz) * 1_000_000 // host_khz
    yield (
        f"its TSC counts {khz:,} kHz, this host's {host_khz:,}: {ppm:,} ppm apart, and this KVM, "
        f"which cannot scale (KVM_CAP_TSC_CONTROL), bears {TSC_TOLERANCE_PPM}"
    )


def _cpuid(kvm: Kvm, state: State) -> Iterator[str]:
    count = len(state.processors)
    supported, clocks = kvm.supported_cpuid(), state.clocks
    if clocks.tsc_deadline is None:  # as `Microvm` decides
        clocks = replace(clocks, tsc_deadline=kvm.has(Capability.TSC_DEADLINE_TIMER))
    for number, processor in enumerate(state.processors):
        here = told(supported, clocks, tsc_khz=state.times.tsc_khz, vcpu=number, vcpus=count)
        missing = list(cpuid_missing(_by_leaf(processor.cpuid), _by_leaf(_answers(kvm, here))))
        if missing:
            more = f", and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            yield f"CPUID of vCPU {number}: {'; '.join(missing[:_SHOWN])}{more}"
            return


def _answers(kvm: Kvm, told_here: Iterable[CpuidEntry]) -> tuple[CpuidEntry, ...]:
    """What a guest that is told this finds: there are KVMs where it finds more."""
    with Vm(kvm) as vm:
        vcpu = vm.add_vcpu()
        vcpu.set_cpuid(told_here)
        return vcpu.cpuid()


def cpuid_missing(wanted: Answers, here: Answers) -> Iterator[str]:
    """What the guest was told that this host does not have."""
    for (leaf, subleaf), registers in _FEATURES.items():
        for name, changing in registers.items():
            bits = _register(wanted, leaf, subleaf, name) & ~changing
            bits &= ~_register(here, leaf, subleaf, name)
            if bits:
                yield f"leaf {leaf:#x}.{subleaf} {name} bits {_numbers(bits)} are not here"
    vendor = [_register(wanted, 0, 0, name) for name in ("ebx", "edx", "ecx")]
    vendor_here = [_register(here, 0, 0, name) for name in ("ebx", "edx", "ecx")]
    if vendor != vendor_here:
        yield f"the vendor is {_text(vendor)}, and {_text(vendor_here)} here"
    width, width_here = (_register(each, _ADDRESSES, 0, "eax") & 0xFF for each in (wanted, here))
    if width > width_here:
        yield f"physical addresses have {width} bits, and {width_here} here"


def _by_leaf(entries: Iterable[CpuidEntry]) -> Answers:
    return {(entry.leaf, entry.subleaf): entry for entry in entries}


def _register(answers: Answers, leaf: int, subleaf: int, name: str) -> int:
    entry = answers.get((leaf, subleaf))
    return 0 if entry is None else getattr(entry.registers, name)


def _numbers(bits: int) -> str:
    return ", ".join(str(n) for n in range(32) if bits >> n & 1)


def _text(words: Iterable[int]) -> str:
    name = b"".join(word.to_bytes(4, "little") for word in words)
    return repr(name.decode("latin-1").rstrip("\0"))


def _msrs(kvm: Kvm, state: State) -> Iterator[str]:
    """MSRs that were as after a reset can do without."""
    known = set(kvm.msr_indices())
    used = {index for p in state.processors for index, value in p.msrs.items() if value}
    unknown = sorted(used - known)
    if unknown:
        shown = ", ".join(f"{index:#x}" for index in unknown[:_SHOWN])
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        yield f"this KVM does not know MSR {shown}{more}"
