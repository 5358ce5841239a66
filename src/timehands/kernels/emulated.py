"""The name of one instruction, as far as it is one that emulators of KVM are known to lack.

A KVM without hardware support, or one that must emulate (real mode, memory that is none), knows the
integer instructions (arch/x86/kvm/emulate.c, opcode tables) and little else. Source of the
encodings: Intel SDM volume 2, appendix A.
"""

from __future__ import annotations

from collections.abc import Mapping

_PREFIXES = frozenset(b"\x66\xf0\xf2\xf3\x2e\x36\x3e\x26\x64\x65")
_REX, _REX_W = range(0x40, 0x50), 8
_ONE: Mapping[int, str] = {
    0xCC: "int3", 0x9B: "fwait",
    0xC4: "an AVX instruction", 0xC5: "an AVX instruction", 0x62: "an AVX-512 instruction",
    **dict.fromkeys(range(0xD8, 0xE0), "an x87 instruction"),
}  # fmt: skip
_TWO: Mapping[int, str] = {
    0x05: "syscall", 0x07: "sysret", 0x0B: "ud2", 0x31: "rdtsc", 0x34: "sysenter", 0x35: "sysexit",
    0x77: "emms", 0xA2: "cpuid",
}  # fmt: skip
#: By the /digit of ModRM: 0f ae with memory, and 0f c7.
_AE = ("fxsave", "fxrstor", "ldmxcsr", "stmxcsr", "xsave", "xrstor", "xsaveopt", "clflush")
_C7: Mapping[int, str] = {3: "xrstors", 4: "xsavec", 5: "xsaves", 6: "rdrand", 7: "rdseed"}
_WITH_F3: Mapping[int, str] = {0xB8: "popcnt", 0xBC: "tzcnt", 0xBD: "lzcnt"}
_01: Mapping[int, str] = {
    0xD0: "xgetbv",
    0xD1: "xsetbv",
    0xF9: "rdtscp",
    0xCA: "clac",
    0xCB: "stac",
}
#: The CPU flag by which a guest can be kept from using it.
FLAGS: Mapping[str, str] = {
    "cmpxchg16b": "cx16", "popcnt": "popcnt", "lzcnt": "abm", "tzcnt": "bmi1", "rdrand": "rdrand",
    "rdseed": "rdseed", "rdtscp": "rdtscp", "xsavec": "xsavec", "xsaves": "xsaves",
    "xrstors": "xsaves", "xsaveopt": "xsaveopt", "xsave": "xsave", "xrstor": "xsave",
    "xgetbv": "xsave", "xsetbv": "xsave", "clac": "smap", "stac": "smap", "movbe": "movbe",
    "crc32": "sse4.2", "an AVX instruction": "avx", "an AVX-512 instruction": "avx512f",
}  # fmt: skip


def name_of(code: bytes) -> str | None:
    """The mnemonic, or what kind it is; None: not one of those that are known here."""
    at, rex, prefixes = 0, 0, set[int]()
    while at < len(code) and code[at] in _PREFIXES:
        prefixes.add(code[at])
        at += 1
    if at < len(code) and code[at] in _REX:
        rex, at = code[at], at + 1
    rest = code[at:]
    if not rest:
        return None
    if rest[0] != 0x0F:
        return _ONE.get(rest[0])
    return _two_bytes(rest[1:], rex, prefixes) if len(rest) > 1 else None


def _two_bytes(rest: bytes, rex: int, prefixes: set[int]) -> str | None:
    opcode, more = rest[0], rest[1] if len(rest) > 1 else 0
    digit, memory = more >> 3 & 7, more >> 6 != 3
    if opcode in _WITH_F3 and 0xF3 in prefixes:
        return _WITH_F3[opcode]
    if opcode == 0x01:
        return _01.get(more)
    if opcode == 0xAE and memory:
        return _AE[digit]
    if opcode == 0xC7:
        if digit == 1:
            return "cmpxchg16b" if rex & _REX_W else "cmpxchg8b"
        return _C7.get(digit)
    if opcode == 0x38 and more in (0xF0, 0xF1):
        return "crc32" if 0xF2 in prefixes else "movbe"
    if 0x10 <= opcode <= 0x17 or 0x28 <= opcode <= 0x2F or 0x50 <= opcode <= 0x7F:
        return "an SSE instruction"
    return _TWO.get(opcode)
