"""What a recording says of a guest that could not go on."""

from __future__ import annotations

from typing import Any

import pytest

from timehands.watch.recording import MachineEvent
from timehands.watch.stuck import CANNOT_GO_ON, Stuck, stuck_in

WORDS = "KVM cannot go on: an instruction that KVM cannot emulate"


def test_it_is_the_machines_own_event() -> None:
    data = {"words": WORDS, "vcpu": 0, "pc": 0x1000, "code": "0f c7"}
    events = [MachineEvent(1, "OTHER", {}), MachineEvent(2, CANNOT_GO_ON, data)]
    assert stuck_in(events) == Stuck(WORDS, 0x1000, b"\x0f\xc7")
    assert stuck_in(events[:1]) is None


@pytest.mark.parametrize(
    ("data", "stuck"),
    [
        ({}, Stuck("")),
        ({"words": 5, "pc": "x", "code": 7}, Stuck("5")),
        ({"words": "w", "pc": 1 << 64, "code": "zz"}, Stuck("w")),
        ({"words": "w" * 1000, "pc": -1, "code": "90" * 99}, Stuck("w" * 400, None, b"\x90" * 15)),
    ],
)
def test_what_makes_no_sense_is_left_out(data: dict[str, Any], stuck: Stuck) -> None:
    assert stuck_in([MachineEvent(1, CANNOT_GO_ON, data)]) == stuck
