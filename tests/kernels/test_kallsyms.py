"""Reading kallsyms from images that a writer of our own lays out as each release does. The
oracle of the reader is the running kernel: see tests/boots/test_kallsyms.py."""

from __future__ import annotations

import struct

import pytest

from kernels import build
from kernels.proc_kallsyms import differences, parse
from timehands.errors import KernelDamaged
from timehands.kernels.elf import ElfImage
from timehands.kernels.enums import AddressEncoding, SymbolSource
from timehands.kernels.kallsyms import decode, read_kallsyms
from timehands.kernels.kallsyms_find import KallsymsTables, find_tables
from timehands.kernels.symbols import Symbol

NO_PERCPU = ("4.20-up", "6.15-relative", "7.0-place")
ENCODINGS = {
    "absolute": AddressEncoding.ABSOLUTE,
    "base": AddressEncoding.BASE_RELATIVE,
    "percpu": AddressEncoding.ABSOLUTE_PERCPU,
    "place": AddressEncoding.PLACE_RELATIVE,
}


def _symbols_for(layout: str, count: int = 700) -> list[build.Triple]:
    return build.symbols(count, percpu=0 if layout in NO_PERCPU else 20)


def _image(layout: str, triples: list[build.Triple], **more: bytes) -> ElfImage:
    data = build.linux_elf(build.LAYOUTS[layout], triples, **more)  # type: ignore[arg-type]
    return ElfImage.parse(memoryview(data))


@pytest.mark.parametrize("layout", build.LAYOUTS)
def test_every_symbol_of_every_layout_is_read(layout: str) -> None:
    triples = _symbols_for(layout)
    found = read_kallsyms(_image(layout, triples))
    assert found is not None
    assert differences(found, [Symbol(*one) for one in triples]) == ([], [])
    assert found.source is SymbolSource.KALLSYMS


@pytest.mark.parametrize("layout", build.LAYOUTS)
def test_the_encoding_is_told_apart(layout: str) -> None:
    tables = find_tables(_image(layout, _symbols_for(layout)))
    assert tables is not None
    assert tables.encoding is ENCODINGS[build.LAYOUTS[layout].encoding]


@pytest.mark.parametrize("layout", build.LAYOUTS)
@pytest.mark.parametrize("count", [257, 511, 512, 513, 1025])
def test_a_block_of_names_may_end_anywhere(layout: str, count: int) -> None:
    triples = _symbols_for(layout, count)
    assert [tuple(s) for s in read_kallsyms(_image(layout, triples)) or ()] == triples


def test_names_longer_than_127_bytes_keep_their_length() -> None:
    triples = build.symbols(long_names=5)
    found = read_kallsyms(_image("6.4-relative", triples))
    assert found is not None
    assert len(found.match("long_*")) == 5
    assert all(len(s.name) > 180 for s in found.match("long_*"))


def test_a_token_table_that_leads_nowhere_is_passed_over() -> None:
    decoy = b"".join(b"%c\0" % code for code in range(33, 127)) * 3
    triples = _symbols_for("6.4-relative")
    found = read_kallsyms(_image("6.4-relative", triples, before=decoy))
    assert found is not None
    assert len(found) == len(triples)


def test_a_kernel_without_kallsyms_has_none() -> None:
    assert read_kallsyms(ElfImage.parse(memoryview(build.linux_elf()))) is None


@pytest.mark.parametrize("layout", build.LAYOUTS)
def test_addresses_out_of_order_are_not_believed(layout: str) -> None:
    triples = _symbols_for(layout)
    triples[300], triples[500] = triples[500], triples[300]
    assert find_tables(_image(layout, triples)) is None


def test_names_that_expand_without_end_are_refused() -> None:
    elf = _image("6.4-relative", _symbols_for("6.4-relative"))
    tables = find_tables(elf)
    assert tables is not None
    huge = tuple(b"x" * 100_000 for _ in range(256))
    bomb = KallsymsTables(
        type(tables.tokens)(0, 0, huge), tables.names, tables.encoding, tables.addresses
    )
    with pytest.raises(KernelDamaged, match="expand past"):
        decode(elf.data, bomb)


def test_symbols_of_modules_are_not_the_kernels_own() -> None:
    text = "ffffffff81000000 T _text\nffffffffc0000000 t init\t[virtio_net]\n"
    assert parse(text) == [Symbol(0xFFFFFFFF81000000, "T", "_text")]


def _token_table() -> bytes:
    tables = build.kallsyms(_symbols_for("6.4-relative"), build.LAYOUTS["6.4-relative"])
    at = tables.index(b"0\x001\x002\x00")
    start = tables.rindex(b"\0" * 3, 0, at) + 3
    return tables[start // 8 * 8 : start // 8 * 8 + 3072]


@pytest.mark.parametrize(
    "filling",
    [
        b"\0\0\0\0\0\2\0\0",  # the beginning of markers, everywhere
        b"\3\1\1\0",  # names and a count, everywhere
        b"0\0001\0002\0003\0004\0005\0006\0007\0008\0009\0",  # tokens, everywhere
    ],
    ids=["markers", "names", "tokens"],
)
def test_an_image_made_to_take_long_ends(filling: bytes) -> None:
    markers = struct.pack("<60I", *(1024 * n for n in range(60)))
    hostile = bytes(8) + filling * (4_000_000 // len(filling)) + bytes(8) + markers
    image = build.linux_elf(before=bytes(-len(hostile) % 8) + hostile + _token_table())
    assert find_tables(ElfImage.parse(memoryview(image))) is None
