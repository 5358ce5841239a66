from __future__ import annotations

import gzip

import pytest

from timehands.kernels.ikconfig import read_ikconfig

TEXT = "CONFIG_X86_TSC=y\n" * 500


def test_the_text_between_the_marks_is_read() -> None:
    data = bytes(99) + b"IKCFG_ST" + gzip.compress(TEXT.encode()) + b"IKCFG_ED" + bytes(9)
    assert read_ikconfig(memoryview(data)) == TEXT


@pytest.mark.parametrize(
    "data",
    [
        b"no configuration",
        b"IKCFG_ST, as scripts/extract-ikconfig names it",
        b"IKCFG_ST" + gzip.compress(TEXT.encode())[:60],
        b"IKCFG_ST" + gzip.compress(bytes(16 << 20)),
    ],
    ids=["nothing", "mentioned", "cut", "bomb"],
)
def test_what_cannot_be_read_is_none(data: bytes) -> None:
    assert read_ikconfig(memoryview(data)) is None
