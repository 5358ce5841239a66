from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import KernelDamaged
from timehands.kernels.enums import SymbolSource
from timehands.kernels.symbols import Place, Symbol, SymbolTable

TRIPLES = [
    (0x1000, "T", "startup"),
    (0x1040, "t", "init"),
    (0x1040, "T", "tsc_init"),
    (0x1080, "t", "quick_pit_calibrate.constprop.0"),
    (0x1100, "t", "init"),
    (0x1200, "D", "tsc_khz"),
]


def _table(triples: list[tuple[int, str, str]] = TRIPLES) -> SymbolTable:
    return SymbolTable(
        array("Q", [address for address, _, _ in triples]),
        "".join(kind for _, kind, _ in triples).encode(),
        [name.encode() for _, _, name in triples],
        SymbolSource.KALLSYMS,
    )


def test_iterating_gives_what_went_in() -> None:
    assert list(_table()) == [Symbol(*one) for one in TRIPLES]
    assert len(_table()) == len(TRIPLES)


def test_a_name_may_have_several_addresses() -> None:
    assert _table().lookup("init") == (0x1040, 0x1100)
    assert _table().symbols("init") == (Symbol(0x1040, "t", "init"), Symbol(0x1100, "t", "init"))


def test_a_part_of_a_name_is_not_the_name() -> None:
    assert _table().lookup("tsc") == ()
    assert "sc_khz" not in _table()
    assert "tsc_khz" in _table()


def test_an_address_is_named_by_the_first_symbol_there() -> None:
    assert _table().find(0x1044) == Place("init", 4, 0x40)
    assert _table().find(0x107F) == Place("init", 0x3F, 0x40)


def test_the_last_symbol_covers_its_own_address_only() -> None:
    assert _table().find(0x1200) == Place("tsc_khz", 0, 0)
    assert _table().find(0x1201) is None
    assert _table().find(0xFFF) is None


def test_an_address_outside_the_kernel_is_not_named() -> None:
    table = _table().within([(0x1000, 0x1050)])
    assert table.find(0x1044) == Place("init", 4, 0x40)
    assert table.find(0x1060) is None


def test_sizes_reach_to_the_next_address() -> None:
    assert [_table().size_of(a) for a in (0x1000, 0x1040, 0x1200)] == [0x40, 0x40, 0]


def test_patterns_match_whole_names() -> None:
    assert [s.name for s in _table().match("tsc_*")] == ["tsc_init", "tsc_khz"]
    assert [s.name for s in _table().match("*calibrate*")] == ["quick_pit_calibrate.constprop.0"]
    assert _table().match("tsc") == []


def test_a_misspelt_name_is_corrected() -> None:
    assert _table().nearest("tsc_kzh")[0] == "tsc_khz"
    assert _table().nearest("tsc_intt")[0] == "tsc_init"
    assert _table().nearest("zzzzzzzz") == []


def test_many_names_are_looked_up_at_once() -> None:
    assert _table().present(["tsc_init", "nothing", "init"]) == {"tsc_init", "init"}


@pytest.mark.parametrize("names", [[b"a"], [b"a", b"b", b"c"]])
def test_a_table_needs_as_many_names_as_addresses(names: list[bytes]) -> None:
    with pytest.raises(ValueError, match="as many"):
        SymbolTable(array("Q", [1, 2]), b"tt", names)


def test_a_stored_table_is_the_same() -> None:
    stored = SymbolTable.from_bytes(_table().to_bytes())
    assert list(stored) == list(_table())
    assert stored.source is SymbolSource.KALLSYMS
    empty = SymbolTable.from_bytes(SymbolTable.empty().to_bytes())
    assert (len(empty), list(empty), empty.source) == (0, [], None)


@given(st.data())
def test_a_stored_table_that_was_altered_is_refused(data: st.DataObject) -> None:
    content = bytearray(_table().to_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        table = SymbolTable.from_bytes(bytes(content))
    except KernelDamaged:
        return
    assert list(table) == list(_table())  # only the source's spelling is not under the checksum
    assert 28 <= at < 36


names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(st.lists(st.tuples(st.integers(0, 1 << 63), st.sampled_from("tTdD"), names), max_size=40))
def test_lookups_agree_with_a_plain_search(triples: list[tuple[int, str, str]]) -> None:
    triples.sort(key=lambda one: one[0])
    table = _table(triples)
    for _, _, name in triples:
        assert table.lookup(name) == tuple(a for a, _, n in triples if n == name)
    for address, _, _ in triples:
        place = table.find(address)
        assert place is not None
        assert place.name == next(n for a, _, n in triples if a == address)


@given(st.lists(st.sampled_from(["a", "ab", "b", "a.b", ""]), max_size=30))
def test_the_index_that_many_lookups_make_says_what_the_first_ones_said(names: list[str]) -> None:
    table = _table([(number, "t", name or "x") for number, name in enumerate(names)])
    asked = ["a", "ab", "b", "a.b", "x", "none"]
    first = [table.lookup(name) for name in asked]
    assert [[table.lookup(name) for name in asked] for _ in range(5)] == [first] * 5
    assert first[0] == tuple(n for n, name in enumerate(names) if name == "a")
