from __future__ import annotations

import pytest

from guest_kernels.build import System, guest_kernel
from timehands.guests.bsd.layouts import name_of, offset_of, timecounter_layout
from timehands.kernels.kernel import Kernel

#: What a system has between ``tc_priv`` and ``tc_next``.
FURTHER: dict[System, int] = {"netbsd": 0, "openbsd": 8}


def _kernel(system: System, form: str) -> Kernel:
    return Kernel.open(guest_kernel(system, form), cache=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("system", ["netbsd", "openbsd"])
def test_the_dummy_tells_what_the_types_tell(system: System) -> None:
    typed = timecounter_layout(_kernel(system, "dwarf"))
    assert timecounter_layout(_kernel(system, "symbols"), further=FURTHER[system]) == typed


def test_openbsd_moved_the_members() -> None:
    offsets = {s: timecounter_layout(_kernel(s, "symbols"))["tc_name"] for s in FURTHER}
    assert offsets == {"netbsd": 32, "openbsd": 24}


def test_without_symbols_the_layout_is_that_of_the_sources() -> None:
    layout = timecounter_layout(_kernel("netbsd", "stripped"))
    assert layout == timecounter_layout(_kernel("netbsd", "dwarf"))


def test_a_member_of_a_members_structure_has_its_offset() -> None:
    kernel = _kernel("netbsd", "dwarf")
    types = kernel.type_source
    assert types is not None
    whole = types.struct("cpu_info")
    assert whole is not None
    member = whole.member("ci_data")
    assert member is not None
    assert offset_of(kernel, "cpu_info", "ci_data", "cpu_cc_freq") == member.offset
    assert offset_of(kernel, "cpu_info", "ci_data", "none") is None
    assert offset_of(kernel, "none", "ci_data") is None
    assert offset_of(_kernel("netbsd", "symbols"), "cpu_info", "ci_data") is None


def test_a_value_has_the_name_that_its_enumeration_gives() -> None:
    kernel = _kernel("netbsd", "dwarf")
    assert name_of(kernel, "vm_guest", 10) == "VM_GUEST_GENPVH"
    assert name_of(kernel, "vm_guest", 99) is None
    assert name_of(kernel, "vm_guest", None) is None
    assert name_of(_kernel("netbsd", "symbols"), "vm_guest", 10) is None
