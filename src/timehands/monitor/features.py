"""Features of the processor by the names that QEMU and Linux give them, for hiding them.

Source: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; names as QEMU target/i386/cpu.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from timehands.errors import MachineError
from timehands.monitor.told import Hidden

_Bits = Mapping[str, int]
_LEAF_1_ECX: _Bits = {
    "sse3": 0, "pclmulqdq": 1, "monitor": 3, "ssse3": 9, "fma": 12, "cx16": 13, "pcid": 17,
    "sse4.1": 19, "sse4.2": 20, "x2apic": 21, "movbe": 22, "popcnt": 23, "tsc-deadline": 24,
    "aes": 25, "xsave": 26, "avx": 28, "f16c": 29, "rdrand": 30,
}  # fmt: skip
_LEAF_1_EDX: _Bits = {
    "tsc": 4, "pae": 6, "cx8": 8, "apic": 9, "sep": 11, "mtrr": 12, "pge": 13, "cmov": 15,
    "pat": 16, "clflush": 19, "mmx": 23, "fxsr": 24, "sse": 25, "sse2": 26, "ht": 28,
}  # fmt: skip
_LEAF_7_EBX: _Bits = {
    "fsgsbase": 0, "tsc-adjust": 1, "bmi1": 3, "hle": 4, "avx2": 5, "smep": 7, "bmi2": 8,
    "erms": 9, "invpcid": 10, "rtm": 11, "mpx": 14, "avx512f": 16, "rdseed": 18, "adx": 19,
    "smap": 20, "clflushopt": 23, "clwb": 24, "sha-ni": 29,
}  # fmt: skip
_LEAF_7_ECX: _Bits = {"umip": 2, "pku": 3, "vaes": 9, "la57": 16, "rdpid": 22}
_LEAF_7_EDX: _Bits = {"fsrm": 4, "spec-ctrl": 26, "stibp": 27, "ssbd": 31}
_LEAF_D_EAX: _Bits = {"xsaveopt": 0, "xsavec": 1, "xgetbv1": 2, "xsaves": 3}
_EXTENDED_ECX: _Bits = {"lahf-lm": 0, "svm": 2, "abm": 5, "3dnowprefetch": 8}
_EXTENDED_EDX: _Bits = {"syscall": 11, "nx": 20, "pdpe1gb": 26, "rdtscp": 27, "lm": 29}

_WHERE: tuple[tuple[int, int, str, _Bits], ...] = (
    (0x1, 0, "ecx", _LEAF_1_ECX), (0x1, 0, "edx", _LEAF_1_EDX),
    (0x7, 0, "ebx", _LEAF_7_EBX), (0x7, 0, "ecx", _LEAF_7_ECX), (0x7, 0, "edx", _LEAF_7_EDX),
    (0xD, 1, "eax", _LEAF_D_EAX),
    (0x8000_0001, 0, "ecx", _EXTENDED_ECX), (0x8000_0001, 0, "edx", _EXTENDED_EDX),
    (0x8000_0007, 0, "edx", {"invtsc": 8}),
)  # fmt: skip


def hidden_by(names: Iterable[str]) -> tuple[Hidden, ...]:
    """What hides these features. Raises `MachineError` for a name that is not known."""
    return tuple(_hidden(name) for name in dict.fromkeys(names))


def _hidden(name: str) -> Hidden:
    plain = name.replace("_", "-") if "." not in name else name
    for leaf, subleaf, register, bits in _WHERE:
        if plain in bits:
            return Hidden(leaf, register, 1 << bits[plain], subleaf)
    known = ", ".join(sorted(each for *_, bits in _WHERE for each in bits))
    raise MachineError(
        f"no feature of the processor is known as {name!r}", advice=f"Known: {known}"
    )
