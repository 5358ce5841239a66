"""Features of the processor by their names."""

from __future__ import annotations

import pytest

from timehands.errors import MachineError
from timehands.monitor.features import hidden_by
from timehands.monitor.told import CX16, Hidden


def test_a_name_hides_its_bit() -> None:
    assert hidden_by(["cx16"]) == (CX16,)
    assert hidden_by(["xsaves", "tsc_adjust", "xsaves"]) == (
        Hidden(0xD, "eax", 1 << 3, 1),
        Hidden(0x7, "ebx", 1 << 1),
    )


def test_what_has_no_name_here_is_refused_with_those_that_have() -> None:
    with pytest.raises(MachineError, match="known as 'teleport'") as refused:
        hidden_by(["teleport"])
    assert "xsave" in refused.value.advice
