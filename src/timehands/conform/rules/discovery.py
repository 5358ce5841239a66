"""What CPUID says of clocks, held against the clocks.

Sources: Intel SDM volume 2A, CPUID (0x15, 0x16; leaves above the limit); Linux
Documentation/virt/kvm/x86/cpuid.rst; VMware knowledge base 1009458 (0x40000010).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping

from timehands.conform.facts import Facts, Missing
from timehands.conform.span import Span
from timehands.conform.verdicts import Outcome, failed, held, noted, passed

_HYPERVISOR, _TIMING = 0x4000_0000, 0x4000_0010
_HYPERVISOR_BIT = 1 << 31
_OLD, _NEW, _STABLE = 1 << 0, 1 << 3, 1 << 24
#: How far a frequency that is told exactly may be off.
EXACT_PPM = 500
#: How far one may be that is a label for people; and up to where real processors are off
#: (a Core i7-8550U says 1.80GHz, its TSC runs at 1.992 GHz).
ROUNDED_PPM, LABEL_PPM = 20_000, 200_000
_KVM = b"KVMKVMKVM\0\0\0"


def hz_words(hz: Span) -> str:
    """A measured rate for people: kHz, and half of what is between its bounds in ppm."""
    doubt = (hz.high - hz.low) * 500_000 // max(1, hz.middle)
    return f"{hz.middle / 1e6:,.3f} MHz ± {doubt:,} ppm"


def _signature_bytes(facts: Facts) -> bytes:
    return struct.pack(
        "<3I", *(n & 0xFFFF_FFFF for n in facts.many("discovery.signature", "r0", 4)[1:4])
    )


def _limit(facts: Facts) -> int:
    return facts.many("discovery.signature", "r0", 4)[0]


def signature(facts: Facts) -> Outcome:
    """Bit 31 of leaf 1 and the leaf of the signature belong together."""
    bit = facts.one("discovery.limits")("features_ecx") & _HYPERVISOR_BIT
    name = _signature_bytes(facts)
    shown = name.rstrip(b"\0").decode("ascii", "replace")
    clean = bool(re.fullmatch(rb"[ -~]{1,12}\0*", name))
    limit = _limit(facts)
    if not bit:
        return noted("bit 31 of leaf 1 ECX is clear: kernels look for no hypervisor")
    sane = limit == 0 or _HYPERVISOR <= limit <= _HYPERVISOR + 0xFFFF
    return held(clean and sane, f'"{shown}", highest leaf {limit:#x}')


def limits(facts: Facts) -> Outcome:
    """Above the limit there is nothing, or at least nothing that looks like a frequency."""
    limit = _limit(facts)
    eax, ebx = facts.many("discovery.timing", "regs", 4)[:2]
    if limit >= _TIMING:
        return passed(f"highest hypervisor leaf {limit:#x}: 0x40000010 is in its range")
    if not eax:
        return passed(f"highest hypervisor leaf {limit:#x}, and 0x40000010 reads 0")
    return noted(
        f"highest hypervisor leaf {limit:#x}, yet 0x40000010 reads EAX {eax:#x} EBX {ebx:#x} "
        f"(another leaf's data): who does not check the limit takes {eax:,} kHz as the TSC's rate"
    )


def features(facts: Facts) -> Outcome:
    """Who announces pvclock has it, by the MSRs announced."""
    name = _signature_bytes(facts)
    if name != _KVM:
        raise Missing("no KVM signature: nobody looks for pvclock")
    eax = facts.many("discovery.features", "regs", 4)[0]
    old, new = bool(eax & _OLD), bool(eax & _NEW)
    works = {pair: registered(facts, f"pvclock.{pair}_msrs") for pair in ("old", "new")}
    saw = f"leaf 0x40000001 EAX {eax:#x}; " + ", ".join(
        f"{pair} MSRs {'announced' if said else 'not announced'} and "
        f"{'working' if works[pair] else 'not working'}"
        for pair, said in (("old", old), ("new", new))
    )
    if (old and not works["old"]) or (new and not works["new"]):
        return failed(saw)
    if (works["old"] and not old) or (works["new"] and not new):
        return noted(saw)
    return passed(saw)


def registered(facts: Facts, case: str) -> bool:
    """Whether a registration came to a page with a version and a multiplier."""
    get = facts.one(case)
    return not get("refused") and get("version") > 0 and get("mul") > 0


def _told(facts: Facts, hz: int, measured: Span, ppm: int, what: str) -> Outcome:
    saw = f"{what} {hz / 1e6:,.3f} MHz, measured {hz_words(measured)} by {facts.ruler}"
    return held(measured.meets(Span.around(hz, ppm)), saw)


def _label(facts: Facts, hz: int, what: str) -> Outcome:
    outcome = _told(facts, hz, facts.tsc_hz, ROUNDED_PPM, what)
    if outcome.verdict == "fail" and facts.tsc_hz.meets(Span.around(hz, LABEL_PPM)):
        return noted(outcome.saw)
    return outcome


def timing(facts: Facts) -> Outcome:
    """0x40000010 EAX: the TSC's rate in kHz."""
    return _told(facts, _timing(facts, 0) * 1000, facts.tsc_hz, EXACT_PPM, "told")


def timing_lapic(facts: Facts) -> Outcome:
    """0x40000010 EBX: the LAPIC timer's rate in kHz."""
    measured = facts.hz_of(facts.lapic_per_tsc)
    return _told(facts, _timing(facts, 1) * 1000, measured, EXACT_PPM, "told")


def _timing(facts: Facts, register: int) -> int:
    if _limit(facts) < _TIMING:
        raise Missing("leaf 0x40000010 is not published")
    khz = facts.many("discovery.timing", "regs", 4)[register]
    if not khz:
        raise Missing("leaf 0x40000010 is there and says 0")
    return khz


def _basic(facts: Facts, leaf: int, case: str) -> tuple[int, ...]:
    if facts.one("discovery.limits")("basic") < leaf:
        raise Missing(f"leaf {leaf:#x} is not published")
    return facts.many(case, "regs", 4)


def crystal(facts: Facts) -> Outcome:
    """0x15: ECX Hz times EBX / EAX."""
    eax, ebx, ecx, _ = _basic(facts, 0x15, "discovery.crystal")
    if not (eax and ebx and ecx):
        raise Missing("leaf 0x15 does not have all three numbers")
    return _told(facts, ecx * ebx // eax, facts.tsc_hz, EXACT_PPM, "told")


def processor(facts: Facts) -> Outcome:
    """0x16 EAX: the base frequency in MHz, which FreeBSD and Linux take for the TSC's."""
    mhz = _basic(facts, 0x16, "discovery.processor")[0] & 0xFFFF
    if not mhz:
        raise Missing("leaf 0x16 says 0")
    return _label(facts, mhz * 1_000_000, "base frequency")


def brand(facts: Facts) -> Outcome:
    """The frequency in the brand string."""
    words = facts.many("discovery.brand", "words", 12)
    name = b"".join(struct.pack("<I", word & 0xFFFF_FFFF) for word in words[:12])
    text = name.split(b"\0")[0].decode("ascii", "replace")
    found = re.search(r"(\d{1,4}(?:\.\d{1,3})?)(M|G|T)Hz", text)
    if not found:
        raise Missing("no frequency in the brand string")
    unit = {"M": 10**6, "G": 10**9, "T": 10**12}[found[2]]
    whole, _, thousandths = found[1].partition(".")
    hz = int(whole) * unit + int(thousandths.ljust(3, "0")) * unit // 1000
    return _label(facts, hz, f'"{text.strip()[:48]}" says')


RULES: Mapping[str, Callable[[Facts], Outcome]] = {
    "discovery.signature": signature,
    "discovery.limits": limits,
    "discovery.features": features,
    "discovery.timing": timing,
    "discovery.timing_lapic": timing_lapic,
    "discovery.crystal": crystal,
    "discovery.processor": processor,
    "discovery.brand": brand,
}
