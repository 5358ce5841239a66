"""Ctrl-C is heard where the campaign waits, and never lost."""

from __future__ import annotations

import signal
import threading

import pytest

from timehands.simulate.campaign.interrupts import Interrupts


def test_what_comes_between_is_raised_where_it_is_heard() -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)  # while a part is written, say
        with pytest.raises(KeyboardInterrupt), interrupts.heard():
            pytest.fail("it was not raised at once")


def test_it_comes_at_once_where_it_is_heard() -> None:
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.heard():
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it was not raised")


def test_afterwards_ctrl_c_is_python_s_again() -> None:
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_s_handler_stays() -> None:
    def handler(_number: int, _frame: object) -> None:
        """Somebody's own."""

    before = signal.signal(signal.SIGINT, handler)
    try:
        with Interrupts():
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_have_no_handlers() -> None:
    went_well: list[bool] = []

    def work() -> None:
        with Interrupts() as interrupts, interrupts.heard():
            went_well.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert went_well == [True]
