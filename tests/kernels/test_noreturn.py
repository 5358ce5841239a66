"""Functions that never return."""

from __future__ import annotations

import pytest

from guest_kernels.build import Form
from timehands.kernels.noreturn import never_returns
from watch.stops.guests import kernel


@pytest.mark.parametrize("form", ["dwarf", "symbols"])
def test_panic_never_returns_and_tc_init_does(form: Form) -> None:
    opened = kernel("freebsd", form)
    (panic,), (tc_init,) = opened.symbols.lookup("panic"), opened.symbols.lookup("tc_init")
    assert never_returns(opened, panic)
    assert not never_returns(opened, tc_init)


def test_only_a_functions_beginning_is_that_function() -> None:
    (panic,) = kernel().symbols.lookup("panic")
    assert not never_returns(kernel(), panic + 1)
    assert not never_returns(kernel(), 0x10)
