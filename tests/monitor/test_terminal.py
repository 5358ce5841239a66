"""What is typed at a guest's console."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor.terminal import ESCAPE, Keys


def test_ctrl_a_x_ends_it_and_ctrl_a_twice_types_one() -> None:
    assert Keys().take(b"ls\r\x01x") == (b"ls\r", True)
    assert Keys().take(b"a\x01\x01b\x01qc") == (b"a\x01bc", False)


def test_the_two_keys_may_come_apart() -> None:
    keys = Keys()
    assert keys.take(b"\x01") == (b"", False)
    assert keys.take(b"X") == (b"", True)


@given(st.binary().filter(lambda data: ESCAPE not in data))
def test_all_other_keys_are_the_guests(data: bytes) -> None:
    assert Keys().take(data) == (data, False)
