"""Bytes from all that people have: dumps of other tools, as these tools print them."""

from __future__ import annotations

import shutil
import subprocess
from io import BufferedReader, BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.pvclock.golden import KVM_RECORDS
from timehands.cli.pvclock_input import (
    MAX_BYTES,
    is_text,
    opened,
    parse_hex,
    read_bytes,
    words_or_file,
)
from timehands.errors import UsageError

PAGE = KVM_RECORDS[0].build()
HEX = PAGE.hex()

GDB_BYTES = """\
0x1a40 <hv_clock_boot>:\t0x02\t0x00\t0x00\t0x00\t0x00\t0x00\t0x00\t0x00
0x1a48 <hv_clock_boot+8>:\t0xae\t0x08\t0x4c\t0x96\t0xf6\t0x06\t0x00\t0x00
0x1a50:\t0xe3\t0x84\t0x11\t0x00\t0x00\t0x00\t0x00\t0x00
0x1a58:\t0x89\t0xd7\t0xcc\t0xcc\t0xff\t0x01\t0x00\t0x00
"""
GDB_GIANTS = """\
0x1a40:\t0x0000000000000002\t0x000006f6964c08ae
0x1a50:\t0x00000000001184e3\t0x000001ffccccd789
"""
QEMU_WORDS = """\
0000000000001a40: 0x00000002 0x00000000 0x964c08ae 0x000006f6\r
0000000000001a50: 0x001184e3 0x00000000 0xccccd789 0x000001ff\r
"""
XXD = """\
00000000: 0200 0000 0000 0000 ae08 4c96 f606 0000  ..........L.....
00000010: e384 1100 0000 0000 89d7 cccc ff01 0000  ........  ......
"""
HEXDUMP_C = """\
00000000  02 00 00 00 00 00 00 00  ae 08 4c 96 f6 06 00 00  |..........L.....|
00000010  e3 84 11 00 00 00 00 00  89 d7 cc cc ff 01 00 00  |................|
00000020
"""
C_ARRAY = "{ " + ", ".join(f"0x{byte:x}" for byte in PAGE) + " };"
C_STRING = "".join(f"\\x{byte:02x}" for byte in PAGE)
FORMS = {
    "digits": HEX,
    "0x digits": f"0x{HEX}",
    "bytes": PAGE.hex(" "),
    "colons": PAGE.hex(":"),
    "words of a terminal": PAGE.hex(" ", 4),
    "gdb x/32xb": GDB_BYTES,
    "gdb x/4xg": GDB_GIANTS,
    "QEMU xp /8wx": QEMU_WORDS,
    "xxd": XXD,
    "hexdump -C": HEXDUMP_C,
    "C array": C_ARRAY,
    "C string": C_STRING,
    "upper case": HEX.upper(),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_dumps(text: str) -> None:
    assert parse_hex(text) == PAGE


@pytest.mark.parametrize(
    "command",
    ["xxd", "xxd -p", "xxd -g1", "xxd -g8", "hexdump", "hexdump -C", "od -tx1", "od -x", "od -tx4",
     "od -tx8", "od -Ax -tx1"],
)  # fmt: skip
@pytest.mark.parametrize("data", [PAGE, PAGE * 3, bytes(range(256))], ids=["1", "3", "all"])
def test_dumps_by_the_tools_themselves(command: str, data: bytes, tmp_path: Path) -> None:
    tool, *options = command.split()
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}")
    (tmp_path / "page").write_bytes(data)
    done = subprocess.run(
        [tool, *options, tmp_path / "page"], capture_output=True, text=True, check=True
    )
    assert parse_hex(done.stdout) == data


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no bytes"),
        ("  \n\n", "no bytes"),
        ("xyz", "'xyz' is not pairs of hex digits"),
        ("012", "'012' is not pairs"),
        ("0x123", "'123' is not pairs"),
        ("00\n*\n00", "line 2 is no hex dump: repeated lines"),
        ("0x", "'0x' is not pairs"),
    ],
)
def test_text_that_is_no_dump(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_hex(text)


@given(st.text(max_size=200))
def test_any_text_is_bytes_or_an_error_of_ours(text: str) -> None:
    try:
        assert parse_hex(text)
    except UsageError as error:
        assert str(error)


@given(st.binary(min_size=1, max_size=64))
def test_digits_go_to_bytes(data: bytes) -> None:
    assert parse_hex(data.hex()) == data
    assert parse_hex(data.hex(" ")) == data


def test_words_on_the_command_line() -> None:
    assert words_or_file(["02000000", "00", "01"])[0] == b"\2\0\0\0\0\1"
    assert words_or_file(PAGE.hex(" ", 8).split()) == (PAGE, "the command line")
    assert words_or_file([HEX]) == (PAGE, "the command line")
    assert words_or_file([HEX * 400])[0] == PAGE * 400


def test_a_file_is_bytes_or_the_dump_in_it(tmp_path: Path) -> None:
    page, text = tmp_path / "page", tmp_path / "text"
    page.write_bytes(b"before" + PAGE)
    text.write_text(XXD)
    assert words_or_file([str(page)], offset=6) == (PAGE, str(page))
    assert words_or_file([str(text)]) == (PAGE, str(text))
    assert words_or_file([str(text)], raw=True)[0] == XXD.encode()


def test_a_file_of_any_size_is_read_in_part(tmp_path: Path) -> None:
    big = tmp_path / "memory"
    with big.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(PAGE)
    data, _ = words_or_file([str(big)], offset=1 << 39)
    assert data[:32] == PAGE
    assert len(data) == MAX_BYTES


@pytest.mark.parametrize("words", [["no-such-file"], ["no/such/file.bin"], ["a" * 5000 + "g"]])
def test_a_file_that_is_not_there(words: list[str]) -> None:
    with pytest.raises(UsageError, match="no such file, and no hex digits"):
        words_or_file(words)


def test_options_of_files_do_not_go_with_digits() -> None:
    with pytest.raises(UsageError, match="no such file"):
        words_or_file([HEX], offset=5)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"):
        words_or_file([str(tmp_path)])
    with pytest.raises(UsageError, match="No such file"), opened(str(tmp_path / "none")):
        pass


def test_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "in").write_text(HEXDUMP_C)
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert words_or_file(["-"]) == (PAGE, "-")


def test_text_is_printed_characters_only() -> None:
    assert is_text(b"00 11\r\n\t")
    assert not is_text(PAGE)
    assert not is_text(b"")
    assert not is_text(b" \n")
    assert read_bytes(BufferedReader(BytesIO(b"0042"))) == b"\0B"  # type: ignore[arg-type]
