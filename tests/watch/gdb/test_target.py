"""Target descriptions: real ones, nested ones, and those that want to do harm."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import ProtocolBroken
from timehands.watch.gdb.target import PLAIN_X86_64, Layout, describe


def layout_of(**documents: bytes) -> Layout:
    """The layout of documents, ``main`` is the first one."""

    async def fetch(name: str) -> bytes:
        return documents["main" if name == "target.xml" else name]

    return asyncio.run(describe(fetch))


def regs(text: str) -> bytes:
    return f"<target>{text}</target>".encode()


def test_numbers_go_on_and_offsets_are_in_their_order() -> None:
    layout = layout_of(
        main=regs(
            '<reg name="c" bitsize="80" regnum="5"/><reg name="d" bitsize="32"/>'
            '<reg name="a" bitsize="64" regnum="0"/>'
        )
    )
    assert [(r.name, r.number, r.offset, r.size) for r in layout.registers] == [
        ("a", 0, 0, 8),
        ("c", 5, 8, 10),
        ("d", 6, 18, 4),
    ]
    assert layout.size == 22


def test_a_name_of_a_document_type_is_let_pass_as_qemu_has_one() -> None:
    head = b'<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">'
    layout = layout_of(
        main=head + regs('<architecture>i386:x86-64</architecture><xi:include href="core"/>'),
        core=head + b'<feature><reg name="rip" bitsize="64"/></feature>',
    )
    assert layout.architecture == "i386:x86-64"
    assert layout.pc == layout.by_name["rip"]


@pytest.mark.parametrize(
    ("main", "why"),
    [
        (b'<!DOCTYPE t [<!ENTITY a "b">]><target>&a;</target>', "document type of its own"),
        (b'<!DOCTYPE t [<!ENTITY a SYSTEM "/etc/passwd">]><target/>', "document type of its own"),
        (b"<a>" * 40, "nested too deep"),
        (b"<target>", "no XML"),
        (b"", "no XML"),
        (regs('<xi:include href="target.xml"/>'), "circle"),
        (regs('<xi:include href="main"/>'), "too much"),
        (regs('<reg name="a" bitsize="64"/>' * 2), "two registers"),
        (regs('<reg name="a" bitsize="64"/><reg name="b" bitsize="64" regnum="0"/>'), "two reg"),
        (regs('<reg name="a"/>'), "cannot be"),
        (regs('<reg name="a" bitsize="99999999"/>'), "cannot be"),
        (regs('<reg name="a" bitsize="-8"/>'), "cannot be"),
        (regs('<reg name="a" bitsize="8" regnum="x"/>'), "cannot be"),
        (regs('<reg name="a" bitsize="8"/>' * 2000), "over 1024"),
    ],
)
def test_a_bad_description_is_refused(main: bytes, why: str) -> None:
    with pytest.raises(ProtocolBroken, match=why):
        layout_of(main=main)


@given(st.text(max_size=200))
def test_any_text_is_a_description_or_refused(text: str) -> None:
    for document in (text.encode(), regs(text)):
        with contextlib.suppress(ProtocolBroken, KeyError):
            assert layout_of(main=document).registers == ()


def test_what_is_assumed_without_a_description_fits_two_lengths_only() -> None:
    # gdb features/i386/64bit-core.xml and 64bit-sse.xml: 164 bytes of core, 536 in all.
    assert [n for n in range(700) if PLAIN_X86_64.allows(n)] == [164, 536]
    assert PLAIN_X86_64.by_name["rip"].offset == 128
    assert PLAIN_X86_64.by_name["mxcsr"].offset == 532
