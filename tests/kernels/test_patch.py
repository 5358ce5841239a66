"""The oracles are nm, which says where things are, and objdump, which shows what is there."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_kernels.build import guest_kernel
from timehands.errors import CompilerMissing, HostError, PatchImpossible
from timehands.kernels.kernel import Kernel
from timehands.kernels.patch import changes, patched

POINTERS = "xen_pvh_init_ops+8=&i8254_init,xen_pvh_init_ops+16=&i8254_delay"


@pytest.fixture(scope="module")
def path() -> Path:
    """A kernel with DWARF."""
    try:
        return guest_kernel("freebsd")
    except CompilerMissing:
        pytest.skip("no C compiler is installed")


@pytest.fixture(scope="module")
def kernel(path: Path) -> Kernel:
    """The same, opened."""
    return Kernel.open(path, cache=False)


def nm(path: Path) -> dict[str, int]:
    """Addresses by name."""
    if not shutil.which("nm"):
        pytest.skip("nm is not installed")
    listed = subprocess.run(["nm", path], capture_output=True, text=True, check=True, timeout=30)
    rows = (line.split() for line in listed.stdout.splitlines())
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3}


def shown(path: Path, address: int, length: int) -> bytes:
    """What objdump shows at an address."""
    if not shutil.which("objdump"):
        pytest.skip("objdump is not installed")
    span = [f"--start-address={address:#x}", f"--stop-address={address + length:#x}"]
    command = ["objdump", "-s", *span, path]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    rows = re.findall(r"^ [0-9a-f]{8,16} ((?:[0-9a-f]{2,8} ){1,4})", text, re.MULTILINE)
    return bytes.fromhex("".join(rows))


def test_a_pointer_is_changed_to_a_function(kernel: Kernel, path: Path, tmp_path: Path) -> None:
    at = nm(path)
    ops = at["xen_pvh_init_ops"]
    with patched(kernel, (POINTERS,), tmp_path) as copy:
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        wanted = b"".join(at[name].to_bytes(8, "little") for name in ("i8254_init", "i8254_delay"))
        assert shown(copy, ops + 8, 16) == wanted
        before, after = path.read_bytes(), copy.read_bytes()
        assert len(before) == len(after)
        changed = [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        assert 2 <= len(changed) <= 16 and changed[-1] - changed[0] < 16
    assert not list(tmp_path.iterdir())
    assert shown(path, ops + 16, 8) == at["xen_delay"].to_bytes(8, "little")


def test_the_words_say_what_was_and_what_is(kernel: Kernel) -> None:
    first, second = changes(kernel, POINTERS)
    assert first.text == "xen_pvh_init_ops+8 = &i8254_init (was &xen_clock_init)"
    assert second.text == "xen_pvh_init_ops+16 = &i8254_delay (was &xen_delay)"


def test_a_member_is_found_by_the_kernels_types(kernel: Kernel, path: Path) -> None:
    (by_name,) = changes(kernel, "xen_pvh_init_ops.early_delay=&i8254_delay")
    (by_offset,) = changes(kernel, "xen_pvh_init_ops+16=&i8254_delay")
    assert by_name.address == by_offset.address == nm(path)["xen_pvh_init_ops"] + 16
    assert by_name.new == by_offset.new


def test_a_number_has_the_size_of_its_variable_or_the_one_that_is_told(kernel: Kernel) -> None:
    (known,) = changes(kernel, "i8254_freq=0x1234")
    (told,) = changes(kernel, "i8254_freq:2=-1")
    assert known.new == b"\x34\x12\0\0"
    assert known.old == (1_193_182).to_bytes(4, "little")
    assert told.new == b"\xff\xff"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("i8254_delai=&xen_delay", "no symbol i8254_delai.*Did you mean i8254_delay"),
        ("xen_pvh_init_ops+16=&i8254_dela", "no symbol i8254_dela.*i8254_delay"),
        ("tsc_freq:8=1", "no bytes in the file.*timehands debug"),
        ("i8254_freq=0x100000000", "does not fit 4 bytes"),
        ("i8254_freq=-2147483649", "does not fit 4 bytes"),
        ("xen_pvh_init_ops:4=&i8254_delay", "an address has 8 bytes"),
        ("xen_pvh_init_ops.early=1", "no member early.*early_delay"),
        ("i8254_freq.early=1", "has no member early"),
        ("xen_pvh_init_ops=1", "how many bytes"),
        ("i8254_freq=1,i8254_freq+2:2=2", "changes the same bytes"),
        ("i8254_freq+99999999:4=1", "no part of the kernel"),
        ("i8254_freq", "not place=value"),
        ("", "not place=value"),
        ("a=1," * 100, "more than 64"),
        ("x" * 5000 + "=1", "not place=value"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    kernel: Kernel, tmp_path: Path, words: str, message: str
) -> None:
    with (
        pytest.raises(PatchImpossible, match=f"(?s){message}") as caught,
        patched(kernel, (words,), tmp_path),
    ):
        pass
    assert len(str(caught.value)) < 1000
    assert not list(tmp_path.iterdir())


def test_without_types_a_member_needs_its_offset(path: Path) -> None:
    plain = Kernel.open(guest_kernel("freebsd", "symbols"), cache=False)
    with pytest.raises(PatchImpossible, match=r"type of xen_pvh_init_ops is not known.*\n.*\+16"):
        changes(plain, "xen_pvh_init_ops.early_delay=&i8254_delay")
    assert changes(plain, POINTERS)[1].text.endswith("(was &xen_delay)")


def test_a_stripped_kernel_has_nothing_to_name(path: Path) -> None:
    with pytest.raises(PatchImpossible, match="no symbol"):
        changes(Kernel.open(guest_kernel("freebsd", "stripped"), cache=False), POINTERS)


def test_the_copy_is_gone_when_what_needed_it_fails(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="boom"), patched(kernel, (POINTERS,), tmp_path) as copy:
        assert copy.exists()
        raise OSError("boom")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_the_hosts_error(kernel: Kernel, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(HostError, match="no patched"), patched(kernel, (POINTERS,), absent):
        pass


PIECES = st.sampled_from(
    [
        "i8254_freq",
        "xen_pvh_init_ops",
        "tsc_freq",
        ".",
        "+",
        ":",
        "=",
        "&",
        ",",
        "8",
        "0x",
        "-",
        "\0",
    ]
)


@given(st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join))
def test_any_words_are_a_patch_or_refused(kernel: Kernel, words: str) -> None:
    try:
        found = changes(kernel, words)
    except PatchImpossible:
        return
    for one in found:
        assert len(one.old) == len(one.new) in (1, 2, 4, 8)
