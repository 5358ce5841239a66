"""Where a want leads to, against what nm and objdump say of the same kernel."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from guest_kernels.build import Form
from timehands.errors import ExpressionError, SourceUnknown, UsageError
from timehands.watch.gdb import BreakKind
from timehands.watch.stops import View, parse
from timehands.watch.stops.sites import Sites, sites_of
from watch.stops.guests import address, kernel


def sites(text: str, form: Form = "dwarf") -> Sites:
    opened = kernel("freebsd", form)
    view = View(opened, {}, opened.file_memory)
    return sites_of(opened, parse(text), view)


def addresses(text: str, form: Form = "dwarf") -> list[int]:
    return [site.point.address for site in sites(text, form).sites]


def test_a_function_is_its_first_instruction() -> None:
    (site,) = sites("tc_init").sites
    assert (site.point.address, site.name) == (address("tc_init"), "tc_init")
    assert site.point.kind is BreakKind.SOFTWARE
    assert addresses("tc_init+0x4") == [address("tc_init") + 4]
    assert addresses(f"{address('tc_init'):#x}") == [address("tc_init")]


def test_an_address_within_an_instruction_is_said_to_be_one() -> None:
    objdump = shutil.which("objdump") or pytest.skip("no objdump")
    start = address("tc_init")
    command = [objdump, "-d", f"--start-address={start}", f"--stop-address={start + 64}"]
    text = subprocess.run(
        [*command, kernel().path], capture_output=True, text=True, check=True
    ).stdout
    begins = {
        int(at, 16) - start for at in re.findall(r"^\s*([0-9a-f]+):\t.*\t", text, re.MULTILINE)
    }
    assert len(begins) > 5
    for offset in range(1, max(begins)):
        (site,), note = sites(f"tc_init+{offset}").sites, sites(f"tc_init+{offset}").note
        assert ("no instruction begins" in note) == (offset not in begins)
        assert sites(f"{site.point.address:#x}").note == note


def test_a_pattern_is_every_function_and_no_variable() -> None:
    nm = shutil.which("nm") or pytest.skip("no nm")
    text = subprocess.run([nm, kernel().path], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in text.splitlines()]
    expected = {int(at, 16) for at, kind, name in rows
                if kind in "tTwW" and name.startswith("tc_")}  # fmt: skip
    assert expected
    assert set(addresses("tc_*")) == expected


def test_a_line_is_where_its_code_begins() -> None:
    dwarf = kernel().dwarf
    assert dwarf is not None
    info = dwarf.function("tc_init")
    assert info is not None
    found = sites(f"kern_tc.c:{info.line}")
    assert address("tc_init") in [site.point.address for site in found.sites]
    assert re.fullmatch(r"kern_tc\.c:\d+ in tc_init", found.sites[0].name)


def test_a_line_without_code_is_the_next_and_says_so() -> None:
    found = sites("kern_tc.c:1")
    assert "line 1 has no code" in found.note


def test_every_function_of_a_file() -> None:
    names = {site.name for site in sites("pvclock.c:*").sites}
    assert {"pvclock_get_timecount", "pvclock_tsc_freq"} <= names


def test_instructions_are_those_that_objdump_finds() -> None:
    objdump = shutil.which("objdump") or pytest.skip("no objdump")
    done = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", kernel().path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.findall(r"^\s*([0-9a-f]+):\s+cpuid", done.stdout, re.MULTILINE)
    # the entry's 32-bit code lies low, and is not the kernel's own
    high = {int(at, 16) for at in found if int(at, 16) >> 63}
    assert high
    assert high <= set(addresses("cpuid"))
    (first, *_) = sites("cpuid").sites
    assert first.instruction is not None
    assert first.instruction.mnemonic == "cpuid"


def test_data_is_watched_by_its_type_or_its_size() -> None:
    (site,) = sites("write of tsc_freq").sites
    assert site.point == (BreakKind.WRITE, address("tsc_freq"), 8)
    (site,) = sites("read of tsc_timecounter.tc_quality").sites
    assert (site.point.kind, site.point.length) == (BreakKind.READ, 4)
    (site,) = sites("access of tsc_freq", "symbols").sites
    assert (site.point.kind, site.point.length) == (BreakKind.ACCESS, 8)


def test_an_inlined_function_is_each_place_where_it_was_inlined() -> None:
    found = sites("do_cpuid")
    assert f"has no code of its own: inlined at {len(found.sites)} places" in found.note
    assert all(site.name.startswith("do_cpuid, inlined in ") for site in found.sites)
    # each copy holds one cpuid, some instructions after its beginning
    cpuids = [at for at in addresses("cpuid") if at >= min(s.point.address for s in found.sites)]
    assert len(found.sites) <= len(cpuids)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tc_inti", "Perhaps tc_init"),
        ("tsc_freq", "tsc_freq is a variable"),
        ("nothing_*", "no function of this kernel fits"),
        ("tc_init+0x100000", "there is no 0x100000"),
        ("write of $rax", "no register|not in memory"),
    ],
)
def test_what_is_not_there_is_said_so(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sites(text)


def test_a_file_that_is_not_there_suggests_others() -> None:
    with pytest.raises(SourceUnknown, match="pvclock"):
        sites("pvclok.c:*")


def test_lines_need_debug_information() -> None:
    with pytest.raises(UsageError, match="no DWARF"):
        sites("kern_tc.c:55", "symbols")
    with pytest.raises(UsageError, match="no symbols"):
        sites("tc_init", "stripped")
    with pytest.raises(ExpressionError, match="nothing is called"):
        sites("write of nothing_at_all")
