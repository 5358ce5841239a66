"""The oracles are bpftool and gcc (through pahole): every type of a small program, and sizes and
offsets as the compiler sees them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import build
from timehands.errors import KernelDamaged, KernelError
from timehands.kernels.btf import Btf, Member
from timehands.kernels.elf import ElfImage
from timehands.kernels.enums import BtfKind

SOURCE = """
typedef unsigned long long u64; typedef unsigned int u32;
enum mode { NONE, PIT = 5, TSC = -2 };
enum wide { SMALL = 1, LARGE = 0x123456789abcdefULL };
struct base { u64 mask; u32 mult, shift; };
union both { u64 all; struct { u32 low, high; }; };
typedef struct keeper {
    struct base mono, raw;
    struct { int inner; union { char flag; long span; }; };
    unsigned a : 3, b : 7; volatile u32 seq; const char *name;
    enum mode mode; enum wide wide; double rate; u32 grid[3][5];
    union both both; int (*read)(struct keeper *, const void *);
} keeper_t;
keeper_t keeper; struct unknown; struct unknown *later;
int main(void) { return keeper.a + (later != 0) + sizeof(union both) + sizeof(enum mode); }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with BTF, as gcc and pahole make it."""
    for tool in ("gcc", "pahole", "llvm-objcopy", "bpftool"):  # pahole calls the third
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("btf")
    (folder / "k.c").write_text(SOURCE)
    subprocess.run(["gcc", "-g", "-o", "k", "k.c"], cwd=folder, check=True, timeout=60)
    subprocess.run(["pahole", "-J", "--btf_gen_floats", "k"], cwd=folder, check=True, timeout=60)
    return folder / "k"


@pytest.fixture(scope="module")
def btf(program: Path) -> Btf:
    elf = ElfImage.parse(memoryview(program.read_bytes()))
    section = elf.section(".BTF")
    assert section is not None
    return Btf(elf.contents(section))


@pytest.fixture(scope="module")
def dump(program: Path) -> list[dict[str, object]]:
    command = ["bpftool", "btf", "dump", "file", str(program), "-j"]
    text = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    types: list[dict[str, object]] = json.loads(text)["types"]
    return types


def test_every_type_is_that_of_bpftool(btf: Btf, dump: list[dict[str, object]]) -> None:
    ours = [(t.id, t.kind.name, t.name or "(anon)") for t in btf]
    assert ours == [(t["id"], t["kind"], t["name"]) for t in dump]
    assert len(btf) == len(dump)


def test_members_and_enumerators_are_those_of_bpftool(
    btf: Btf, dump: list[dict[str, object]]
) -> None:
    for theirs in dump:
        ours = btf.type(theirs["id"])  # type: ignore[arg-type]
        if "members" in theirs:
            assert [
                (m.name or "(anon)", m.type_id, m.bit_offset, m.bit_size) for m in btf.members(ours)
            ] == [
                (m["name"], m["type_id"], m["bits_offset"], m.get("bitfield_size", 0))
                for m in theirs["members"]  # type: ignore[attr-defined]
            ]
        if "values" in theirs:
            # bpftool 7.1 widens an unsigned value as if it were signed: compare 32 bits
            width = 64 if ours.kind is BtfKind.ENUM64 else 32
            values = theirs["values"]
            expected = {v["name"]: v["val"] % (1 << width) for v in values}  # type: ignore[attr-defined]
            found = btf.enumerators(ours)
            assert {name: value % (1 << width) for name, value in found.items()} == expected


def test_offsets_and_sizes_are_the_compilers(btf: Btf, tmp_path: Path) -> None:
    paths = ["mono", "raw.shift", "inner", "span", "seq", "rate", "grid", "both.high", "read"]
    offsets = "".join(f'printf("%zu %zu\\n", o({p}), sizeof(((keeper_t*)0)->{p}));' for p in paths)
    (tmp_path / "p.c").write_text(
        SOURCE.replace(
            "int main",
            "#include <stdio.h>\n#define o(m) __builtin_offsetof(keeper_t,m)\n"
            f"int show(void) {{ {offsets} return 0; }}\nint main",
        ).replace("return keeper.a", "return show() + keeper.a")
    )
    subprocess.run(["gcc", "-o", "p", "p.c"], cwd=tmp_path, check=True, timeout=60)
    run = subprocess.run([tmp_path / "p"], capture_output=True, text=True, check=False)
    expected = [tuple(map(int, line.split())) for line in run.stdout.splitlines()]
    found = [btf.member("keeper_t", path) for path in paths]
    assert [(m.offset, btf.size_of(m.type_id)) for m in found if m] == expected


def test_negative_enumerators_are_negative(btf: Btf) -> None:
    assert btf.enum("mode") == {"NONE": 0, "PIT": 5, "TSC": -2}


def test_a_bit_field_has_a_width(btf: Btf) -> None:
    a, b = btf.member("keeper", "a"), btf.member("keeper", "b")
    assert a and b
    assert (a.bit_size, b.bit_size, b.bit_offset - a.bit_offset) == (3, 7, 3)


def test_what_is_not_there_is_none(btf: Btf) -> None:
    assert btf.struct("nothing") is None
    assert btf.enum("keeper") is None
    assert btf.member("keeper", "nothing") is None
    assert btf.member("keeper", "name.length") is None
    assert btf.member("nothing", "a") is None
    assert btf.struct("") is None


def test_enum64_and_tags_are_read() -> None:
    writer = build.BtfWriter()
    values = struct.pack("<III", writer.string("A"), 0xFFFFFFFF, 0xFFFFFFFF)
    values += struct.pack("<III", writer.string("B"), 1, 2)
    writer.add(19, "signed64", 8, values, vlen=2, flag=1)
    writer.add(19, "unsigned64", 8, values, vlen=2)
    number = writer.add(1, "int", 4, struct.pack("<I", 32))
    tag = writer.add(18, "user", number)
    writer.add(17, "note", number, struct.pack("<i", -1))
    writer.struct("s", 4, [("x", tag, 0)])
    btf = Btf(memoryview(writer.bytes()))
    assert btf.enum("signed64") == {"A": -1, "B": (2 << 32) + 1}
    assert btf.enum("unsigned64") == {"A": (1 << 64) - 1, "B": (2 << 32) + 1}
    member = btf.member("s", "x")
    assert member == Member("x", tag, 0, 0)
    assert btf.size_of(tag) == 4
    assert [t.kind for t in btf][-2:] == [BtfKind.DECL_TAG, BtfKind.STRUCT]


@pytest.mark.parametrize(("flag", "expected"), [(0, -1), (1, 0xFFFFFFFF)])
def test_enumerations_are_signed_until_one_says_so(flag: int, expected: int) -> None:
    writer = build.BtfWriter()
    writer.add(6, "plain", 4, struct.pack("<II", writer.string("ALL"), 0xFFFFFFFF), vlen=1)
    writer.add(6, "other", 4, struct.pack("<Ii", writer.string("LESS"), -2), vlen=1, flag=flag)
    btf = Btf(memoryview(writer.bytes()))
    assert btf.enum("plain") == {"ALL": expected}
    assert btf.enum("other") == {"LESS": -2}


def test_types_that_go_in_circles_end() -> None:
    writer = build.BtfWriter()
    writer.add(8, "loop", 1)
    writer.struct("nest", 8, [("", 2, 0), ("", 2, 0)])
    writer.add(3, "", 0, struct.pack("<III", 3, 3, 1 << 31))
    btf = Btf(memoryview(writer.bytes()))
    for ask in (
        lambda: btf.resolve(1),
        lambda: list(btf.flat_members(btf.type(2))),
        lambda: btf.size_of(3),
        lambda: btf.type(99),
    ):
        with pytest.raises(KernelDamaged):
            ask()


@pytest.mark.parametrize("cut", [0, 10, 23, 40])
def test_a_cut_section_is_damaged(cut: int) -> None:
    writer = build.BtfWriter()
    writer.struct("s", 4, [("x", 0, 0)])
    with pytest.raises(KernelDamaged):
        len(Btf(memoryview(writer.bytes()[:cut])))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_brings_another_error(data: st.DataObject) -> None:
    writer = build.BtfWriter()
    number = writer.add(1, "int", 4, struct.pack("<I", 32))
    inner = writer.struct("", 8, [("low", number, 0), ("high", number, 32)])
    writer.struct("keeper", 16, [("seq", number, 0), ("", inner, 64)])
    writer.add(6, "mode", 4, struct.pack("<II", writer.string("ON"), 1), vlen=1)
    content = bytearray(writer.bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        btf = Btf(memoryview(content))
        btf.member("keeper", "high")
        btf.enum("mode")
        for one in btf:
            btf.size_of(one.id)
    except KernelError:
        pass
