"""Making records and headers to test with."""

from __future__ import annotations

from pathlib import Path

from timehands.machines.machine import Load, Machine
from timehands.watch.recording import Header, KernelIdentity
from timehands.watch.records import RECORD, Kind


def raw(
    kind: int, *values: int, pc: int = 0, ns: int = 0, extra: int = 0, flags: int = 0, vcpu: int = 0
) -> bytes:
    """One record as the plugin streams it; missing values are 0."""
    return RECORD.pack(kind, vcpu, flags, extra, ns, pc, *(*values, 0, 0, 0, 0, 0)[:5])


def data(read: int, content: bytes) -> bytes:
    """A DATA record."""
    head = raw(Kind.DATA, extra=read << 16 | len(content))
    return head[:24] + content.ljust(40, b"\0")


def header() -> Header:
    identity = KernelIdentity(
        "/k", "0" * 64, 1, "linux", "6.1", "ELF", "PVH", 5, "kallsyms", ("btf",), True, ("a",)
    )
    return Header(identity, Machine(), Load(Path("/k"), ("quiet",)), "a test")
