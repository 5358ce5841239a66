"""Where Xen keeps its records: held against the structures as C lays them out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from clocks.pvclock.golden import KVM_RECORDS
from timehands.clocks.pvclock import xen
from timehands.clocks.pvclock.layout import WallClock
from timehands.errors import RecordTooShort, UsageError

#: The members that come before ours, by their sizes alone (public/xen.h, public/arch-x86/xen.h).
LAYOUT = r"""
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
struct time { uint32_t version, pad; uint64_t tsc, ns; uint32_t mul; int8_t shift, rest[3]; };
struct vcpu64 { uint8_t pending, mask; uint64_t selector; uint64_t cr2, pad; struct time time; };
struct vcpu32 { uint8_t pending, mask; uint32_t selector; uint32_t cr2, pad[5]; struct time time; };
struct shared64 {
    struct vcpu64 vcpu[32]; uint64_t pending[64], mask[64];
    uint32_t wc_version, wc_sec, wc_nsec, wc_sec_hi;
};
struct shared32 {
    struct vcpu32 vcpu[32]; uint32_t pending[32], mask[32];
    uint32_t wc_version, wc_sec, wc_nsec;
    struct { uint32_t max_pfn, list, nmi_reason, p2m[3], wc_sec_hi; } arch;
};
int main(void)
{
    printf("%zu %zu %zu %zu\n", sizeof(struct vcpu64), sizeof(struct vcpu32),
           offsetof(struct vcpu64, time), offsetof(struct vcpu32, time));
    printf("%zu %zu %zu %zu\n", offsetof(struct shared64, wc_version),
           offsetof(struct shared64, wc_sec), offsetof(struct shared64, wc_nsec),
           offsetof(struct shared64, wc_sec_hi));
    printf("%zu %zu %zu %zu\n", offsetof(struct shared32, wc_version),
           offsetof(struct shared32, wc_sec), offsetof(struct shared32, wc_nsec),
           offsetof(struct shared32, arch.wc_sec_hi));
    return 0;
}
"""


def page(vcpu: int = 0, bits: int = 64) -> bytes:
    """A shared_info with a vCPU's time and a wall clock in it."""
    data, at = bytearray(xen.SHARED_INFO_SIZE), xen.WALL_OFFSETS[bits]
    data[xen.time_offset(vcpu) : xen.time_offset(vcpu) + 32] = KVM_RECORDS[0].build()
    data[at.wc_version : at.wc_version + 12] = WallClock(2, 5, 6).build()
    data[at.wc_sec_hi : at.wc_sec_hi + 4] = (7).to_bytes(4, "little")
    return bytes(data)


def test_the_offsets_are_those_of_the_structures(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc)")
    (tmp_path / "layout.c").write_text(LAYOUT)
    program = tmp_path / "layout"
    subprocess.run([compiler, "-o", program, tmp_path / "layout.c"], check=True)
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    sizes, wide, narrow = ([int(word) for word in line.split()] for line in said.splitlines())
    assert sizes == [xen.VCPU_INFO_SIZE, xen.VCPU_INFO_SIZE, xen.TIME_OFFSET, xen.TIME_OFFSET]
    for bits, offsets in ((64, wide), (32, narrow)):
        at = xen.WALL_OFFSETS[bits]
        assert offsets == [at.wc_version, at.wc_sec, at.wc_nsec, at.wc_sec_hi]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("vcpu", [0, 1, 31])
def test_the_records_are_found(vcpu: int, bits: int) -> None:
    assert xen.time_info(page(vcpu, bits), vcpu) == KVM_RECORDS[0]
    assert xen.wall_clock(page(vcpu, bits), bits) == (WallClock(2, 5, 6), 7)


@pytest.mark.parametrize("vcpu", [-1, 32])
def test_a_vcpu_that_is_not_in_the_page(vcpu: int) -> None:
    with pytest.raises(UsageError, match="has no vCPU"):
        xen.time_info(page(), vcpu)


def test_a_page_that_is_too_short() -> None:
    with pytest.raises(RecordTooShort):
        xen.time_info(page()[:63])
    with pytest.raises(RecordTooShort, match="3088 bytes"):
        xen.wall_clock(page()[:3087])
