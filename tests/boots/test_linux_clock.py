"""A real Linux guest on the real KVM: its page, decoded by us, agrees with its own clock."""

from __future__ import annotations

import pytest

from boots.bare_guests import sample_kernel
from kvm.linux_clock import record
from kvm.linux_clock_checks import check_all
from timehands.errors import KvmLacks, KvmUnavailable
from timehands.kernels.kernel import Kernel

pytestmark = pytest.mark.boot


@pytest.mark.parametrize("our_khz", [0, 1_234_567], ids=["KVM's page", "our page"])
def test_linux_reads_its_page_as_we_do(our_khz: int) -> None:
    kernel = Kernel.open(sample_kernel())
    try:
        clock = record(kernel, our_khz)
    except (KvmUnavailable, KvmLacks) as error:
        pytest.skip(error.message)
    if clock.ended:
        pytest.skip(f"on this KVM the kernel came to {len(clock.lines)} lines only: {clock.ended}")
    address = kernel.symbols.lookup("hv_clock_boot")[0]
    # The kernel's text and data are mapped at -2 GiB, from physical 0 on.
    assert clock.system_time_msr == (address - 0xFFFF_FFFF_8000_0000) | 1
    check_all(clock)
