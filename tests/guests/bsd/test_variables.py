from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from timehands.guests.bsd.variables import Reader
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Unreadable

AT = {"tc_counter_mask": 16, "tc_frequency": 24, "tc_name": 32, "tc_quality": 40, "tc_next": 56}
BASE = 0xFFFFFFFF80000000
HEAD, FIRST, STRINGS = BASE, BASE + 0x100, BASE + 0x800
ROOM = 0x1000


class Flat:
    """Guest memory of one page at BASE."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def read(self, address: int, length: int) -> bytes:
        offset = address - BASE
        if offset < 0 or offset + length > len(self.raw):
            raise Unreadable(address, length)
        return self.raw[offset : offset + length]


def reader(raw: bytes, **symbols: int) -> Reader:
    lookup = {name: [address] for name, address in symbols.items()}
    table = SimpleNamespace(lookup=lambda name: lookup.get(name, []), find=lambda _address: None)
    return Reader(cast(Kernel, SimpleNamespace(symbols=table)), Flat(raw))


def listed(*nexts: int, quality: int = 100) -> bytearray:
    """Timecounters one after the other from FIRST on, 0x80 bytes apart, with these successors."""
    raw = bytearray(ROOM)
    struct.pack_into("<Q", raw, HEAD - BASE, FIRST)
    raw[STRINGS - BASE : STRINGS - BASE + 6] = b"i8254\0"
    for number, following in enumerate(nexts):
        at = FIRST - BASE + number * 0x80
        struct.pack_into("<IxxxxQQi", raw, at + 16, 0xFFFFFFFF, 1_193_182, STRINGS, quality)
        struct.pack_into("<Q", raw, at + 56, following)
    return raw


def test_a_list_is_walked_to_its_end() -> None:
    found = reader(bytes(listed(FIRST + 0x80, 0, quality=-100)), timecounters=HEAD)
    told = found.counters("timecounters", AT)
    assert told is not None and told["ends"] == "end"
    row = {"name": "i8254", "frequency": 1_193_182, "quality": -100, "mask": 0xFFFFFFFF}
    assert told["rows"] == [row, row]


def test_a_circle_and_a_pointer_to_nowhere_are_told() -> None:
    cyclic = reader(bytes(listed(FIRST)), timecounters=HEAD).counters("timecounters", AT)
    assert cyclic is not None and (cyclic["ends"], len(cyclic["rows"])) == ("cycle", 1)
    for nowhere in (0xDEAD, BASE + ROOM, (1 << 64) - 8):
        broken = reader(bytes(listed(nowhere)), timecounters=HEAD).counters("timecounters", AT)
        assert broken is not None and (broken["ends"], len(broken["rows"])) == ("broken", 1)


def test_a_long_list_is_cut() -> None:
    raw = bytearray(listed())
    raw.extend(bytes(0x4000))
    for number in range(100):
        at = FIRST - BASE + 0x800 + number * 0x80
        struct.pack_into("<IxxxxQQi", raw, at + 16, 1, 1, STRINGS, 0)
        struct.pack_into("<Q", raw, at + 56, FIRST + 0x800 + (number + 1) * 0x80)
    struct.pack_into("<Q", raw, 0, FIRST + 0x800)
    told = reader(bytes(raw), timecounters=HEAD).counters("timecounters", AT)
    assert told is not None and (told["ends"], len(told["rows"])) == ("long", 32)


def test_what_has_no_symbol_or_cannot_be_read_is_left_out() -> None:
    some = reader(b"\x07" + bytes(7), there=BASE, beyond=BASE + 8)
    assert some.numbers({"there": 4, "beyond": 4, "nowhere": 4}) == {"there": 7}
    assert some.counters("nowhere", AT) is None
    assert some.functions(["there", "beyond"]) == {}


@given(st.lists(st.integers(BASE, BASE + ROOM) | st.integers(0, (1 << 64) - 1), max_size=200))
def test_any_memory_is_walked_to_an_end(words: list[int]) -> None:
    raw = struct.pack(f"<{len(words)}Q", *words).ljust(ROOM, b"\0")
    told = reader(raw, timecounters=HEAD).counters("timecounters", AT)
    assert told is not None and told["ends"] in ("end", "cycle", "long", "broken")
    assert len(told["rows"]) <= 32
