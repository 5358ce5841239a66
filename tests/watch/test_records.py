"""Records and the events they make, against the C structure and against damage."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from timehands.machines.build import PAYLOADS, compiler
from timehands.watch.records import MAX_DATA, RECORD, Kind, decode
from watch.stream import data, raw


def test_the_layout_is_that_of_the_c_structure(tmp_path: Path) -> None:
    program = tmp_path / "layout"
    fields = ("kind", "vcpu", "flags", "extra", "host_ns", "pc", "v")
    prints = "".join(f'printf("%zu ", offsetof(struct record, {name}));' for name in fields)
    source = f'#include <stdio.h>\n#include "watch.h"\nint main(void) {{ {prints} return 0; }}\n'
    (tmp_path / "l.c").write_text(source)
    command = [compiler(), "-I", PAYLOADS, "-o", program, tmp_path / "l.c"]
    subprocess.run(command, check=True, capture_output=True)
    told = subprocess.run([program], capture_output=True, check=True, text=True).stdout
    formats = ("<", "<H", "<HB", "<HBB", "<HBBI", "<HBBIQ", "<HBBIQQ")
    import struct

    assert [int(n) for n in told.split()] == [struct.calcsize(f) for f in formats]
    assert RECORD.size == 64


def test_the_kinds_are_those_of_the_c_header() -> None:
    text = (PAYLOADS / "watch.h").read_text()
    found = {name: int(n) for name, n in re.findall(r"REC_(\w+) = (\d+)", text)}
    assert found == {kind.name: int(kind) for kind in Kind}


def test_data_joins_the_event_before_it() -> None:
    stream = (
        raw(Kind.ENTER, 1) + data(0, b"ab") + data(1, b"x" * 40) + data(1, b"yz") + raw(Kind.LEAVE)
    )
    entered, left = decode(stream)
    assert (entered.read(0), entered.read(1), entered.read(2)) == (b"ab", b"x" * 40 + b"yz", None)
    assert left.data == ()
    assert (entered.index, left.index, left.reference) == (0, 1, "e1")


def test_data_without_an_owner_is_passed_over() -> None:
    assert list(decode(data(0, b"ab"))) == []
    (event,) = decode(data(0, b"ab") + raw(Kind.FIRST) + raw(Kind.PROGRESS) + data(0, b"cd"))
    assert event.data == ((0, b"cd"),)


def test_progress_shifts_no_index() -> None:
    stream = raw(Kind.FIRST) + raw(Kind.PROGRESS, 7) + raw(Kind.SLIDE)
    assert [(e.index, e.kind) for e in decode(stream)] == [(0, Kind.FIRST), (1, Kind.SLIDE)]


def test_an_unknown_kind_is_passed_over() -> None:
    stream = raw(99) + raw(0) + raw(Kind.CPUID, 1 | 2 << 32, 3 | 4 << 32, 5 | 6 << 32)
    (event,) = decode(stream)
    assert (event.leaf, event.registers) == ((1, 2), (3, 4, 5, 6))


@given(st.integers(0, 63))
def test_a_record_that_is_cut_off_is_left_out(cut: int) -> None:
    stream = raw(Kind.FIRST) + raw(Kind.IN, 0x40, 0xFF, 1)
    assert len(list(decode(stream[: 64 + cut]))) == 1


@given(st.binary(max_size=64 * 40))
def test_any_bytes_make_events_that_hold_together(stream: bytes) -> None:
    events = list(decode(stream))
    assert [event.index for event in events] == list(range(len(events)))
    assert len(events) <= len(stream) // RECORD.size
    for event in events:
        assert event.kind not in (Kind.DATA, Kind.PROGRESS)
        assert len(event.data) <= MAX_DATA
        assert all(len(part) <= 40 for _, part in event.data)


def test_any_number_of_data_records_takes_a_bounded_time() -> None:
    stream = raw(Kind.ENTER) + data(0, b"x" * 40) * 200_000
    begun = time.monotonic()
    (event,) = decode(stream)
    assert len(event.data) == MAX_DATA
    assert time.monotonic() - begun < 5
