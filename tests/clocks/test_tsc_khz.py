"""KVM's answers to a TSC frequency."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.tsc import SCALINGS, SVM, VMX, Scaling
from timehands.clocks.tsc_khz import Answer, set_tsc_khz, tolerated_khz
from timehands.errors import FrequencyOutOfRange

HOST = 2_500_000
KHZ = st.integers(1, (1 << 32) - 1)


def test_250_ppm_are_tolerated() -> None:
    assert tolerated_khz(HOST) == (2_499_375, 2_500_625)
    assert tolerated_khz(2_499_998) == (2_499_373, 2_500_622)
    assert tolerated_khz(HOST, 0) == (HOST, HOST)


@pytest.mark.parametrize(
    ("asked", "scaling", "answer"),
    [
        (2_499_375, VMX, Answer.UNSCALED),
        (2_499_374, VMX, Answer.SCALED),
        (2_500_625, None, Answer.UNSCALED),
        (2_500_626, None, Answer.CATCH_UP),
        (2_499_374, None, Answer.REFUSED),
        (0, VMX, Answer.REFUSED),
        (1, VMX, Answer.SCALED),
        (1, SVM, Answer.SCALED),
        ((1 << 32) - 1, VMX, Answer.SCALED),
        ((1 << 32) - 1, SVM, Answer.REFUSED),
    ],
)
def test_what_kvm_answers(asked: int, scaling: Scaling | None, answer: Answer) -> None:
    assert set_tsc_khz(asked, HOST, scaling).answer is answer


def test_ratios_that_do_not_fit_are_refused() -> None:
    assert set_tsc_khz(256_000, 1_000, SVM).answer is Answer.REFUSED
    assert set_tsc_khz(255_999, 1_000, SVM).answer is Answer.SCALED
    assert set_tsc_khz((1 << 32) - 1, 1_000, VMX).answer is Answer.REFUSED


def test_an_unscaled_guest_drifts_by_what_it_was_told_wrongly() -> None:
    granted = set_tsc_khz(2_499_375, HOST, VMX)
    assert granted.ratio is None
    assert granted.really_khz == HOST
    assert granted.drift_ns_per_day == Fraction(625, 2_499_375) * 86_400 * 10**9
    assert set_tsc_khz(0, HOST, VMX).drift_ns_per_day is None


@given(KHZ, KHZ, st.sampled_from([None, *SCALINGS]))
def test_every_request_is_answered(asked: int, host: int, scaling: Scaling | None) -> None:
    granted = set_tsc_khz(asked, host, scaling)
    refused = granted.answer is Answer.REFUSED
    assert (granted.really_khz is None) == refused
    if granted.answer is Answer.SCALED:
        assert granted.ratio is not None and granted.really_khz is not None
        assert granted.really_khz <= asked
    if granted.answer is Answer.UNSCALED:
        assert abs(asked - host) <= host * 250 // 1_000_000 + 1


@pytest.mark.parametrize(("asked", "host"), [(-1, 1), (1 << 32, 1), (1, 0), (1, 1 << 32)])
def test_rates_that_are_none_are_refused(asked: int, host: int) -> None:
    with pytest.raises(FrequencyOutOfRange):
        set_tsc_khz(asked, host, VMX)
