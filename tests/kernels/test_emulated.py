"""Instructions by name: those that KVM's emulator is known to lack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.kernels.emulated import FLAGS, name_of
from timehands.monitor.features import hidden_by


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("f0 48 0f c7 0f", "cmpxchg16b"),
        ("0f c7 0f", "cmpxchg8b"),
        ("48 0f ae 2f", "xrstor"),
        ("0f ae 5c 24 04", "stmxcsr"),
        ("0f ae f0", None),  # mfence
        ("f3 48 0f b8 c7", "popcnt"),
        ("f2 0f 38 f1 c0", "crc32"),
        ("0f 38 f0 07", "movbe"),
        ("0f 01 d0", "xgetbv"),
        ("0f c7 f0", "rdrand"),
        ("cc", "int3"),
        ("9b", "fwait"),
        ("db e3", "an x87 instruction"),
        ("c5 f8 77", "an AVX instruction"),
        ("66 0f 6f 06", "an SSE instruction"),
        ("90", None),
        ("0f", None),
        ("48", None),
        ("", None),
    ],
)
def test_an_instruction_has_its_name(code: str, name: str | None) -> None:
    assert name_of(bytes.fromhex(code)) == name


@given(st.binary(max_size=15))
def test_any_bytes_have_a_name_or_none(code: bytes) -> None:
    name_of(code)


def test_every_flag_that_hides_one_is_known_to_the_monitor() -> None:
    assert len(hidden_by(FLAGS.values())) == len(set(FLAGS.values()))
