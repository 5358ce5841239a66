"""The clock MSRs: each has words, and the survey guest reads exactly these."""

from __future__ import annotations

import re

from timehands.clocks.msr import MSR_WORDS, ClockMsr
from timehands.machines.build import PAYLOADS


def test_each_msr_has_words() -> None:
    assert set(MSR_WORDS) == set(ClockMsr)


def test_the_survey_guest_reads_these() -> None:
    source = (PAYLOADS / "survey_cpuid.c").read_text()
    listed = re.search(r"msrs\[\] = \{(.*?)\};", source, re.DOTALL)
    assert listed is not None
    assert {int(number, 16) for number in re.findall(r"0x[0-9a-f]+", listed[1])} == set(ClockMsr)
