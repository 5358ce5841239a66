"""The int3s in a guest's memory, and the bytes under them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import BreakpointImpossible
from timehands.kvm.memory import GuestMemory, make_slot
from timehands.kvm.numbers import MemoryFlags
from timehands.monitor.breakpoints import Kind, Point
from timehands.monitor.breakpoints.patches import Patches

CODE = bytes(range(1, 33))


def point(address: int) -> Point:
    """An int3 at a linear address."""
    return Point(address, Kind.SOFTWARE)


def memory_of(code: bytes) -> GuestMemory:
    """A page that begins with this."""
    memory = GuestMemory()
    memory.add(make_slot(0, 0, 4096, MemoryFlags.NONE))
    memory.write(0, code)
    return memory


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    made = memory_of(CODE)
    yield made
    made.free()


def test_an_int3_comes_and_goes(memory: GuestMemory) -> None:
    patches = Patches(memory)
    patches.insert(point(0x8005), 5)
    assert memory.read(0, 7) == CODE[:5] + b"\xcc" + CODE[6:7]
    assert patches.hide(0, memory.read(0, 7)) == CODE[:7]
    assert patches.at_physical(5) == [point(0x8005)]
    patches.remove(point(0x8005))
    assert (memory.read(0, 32), len(patches)) == (CODE, 0)


def test_it_is_away_until_the_last_vcpu_is_past_it(memory: GuestMemory) -> None:
    patches = Patches(memory)
    patches.insert(point(5), 5)
    patches.lift(point(5))
    patches.lift(point(5))
    patches.lower(point(5))
    assert memory.read(5, 1) == CODE[5:6]
    patches.lower(point(5))
    assert memory.read(5, 1) == b"\xcc"


def test_two_addresses_of_one_byte_share_it(memory: GuestMemory) -> None:
    patches = Patches(memory)
    patches.insert(point(5), 5)
    patches.insert(point(0x8005), 5)
    patches.remove(point(5))
    assert memory.read(5, 1) == b"\xcc"
    patches.remove(point(0x8005))
    assert memory.read(5, 1) == CODE[5:6]


def test_code_that_the_guest_has_changed_is_left_alone(memory: GuestMemory) -> None:
    patches = Patches(memory)
    patches.insert(point(5), 5)
    memory.write(5, b"\x90")
    patches.lift(point(5))
    patches.lower(point(5))
    patches.remove(point(5))
    assert memory.read(5, 1) == b"\x90"


@pytest.mark.parametrize("physical", [None, 4096, 1 << 40])
def test_where_there_is_no_memory_there_is_no_int3(
    memory: GuestMemory, physical: int | None
) -> None:
    patches = Patches(memory)
    with pytest.raises(BreakpointImpossible, match=r"no guest memory|not mapped"):
        patches.insert(point(0x8000), physical)
    assert (len(patches), memory.read(0, 32)) == (0, CODE)


@given(
    st.lists(st.integers(0, 31), max_size=5, unique=True),
    st.lists(st.tuples(st.integers(0, 24), st.binary(min_size=1, max_size=8)), max_size=5),
)
def test_what_is_read_and_left_is_as_without_int3s(
    places: list[int], writes: list[tuple[int, bytes]]
) -> None:
    memory, plain = memory_of(CODE), bytearray(CODE)
    patches = Patches(memory)
    for at in places:
        patches.insert(point(at), at)
    for at, data in writes:
        patches.write(at, data)
        plain[at : at + len(data)] = data
    assert patches.hide(0, memory.read(0, 32)) == plain
    assert all(memory.read(at, 1) == b"\xcc" for at in places)
    for at in places:
        patches.remove(point(at))
    assert memory.read(0, 32) == plain
    memory.free()
