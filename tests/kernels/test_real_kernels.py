"""The same questions to a real kernel, where one is named; the oracle is gdb."""

from __future__ import annotations

import os
import re

import pytest

from kernels.compiled import run
from timehands.kernels.expressions import Environment, evaluate
from timehands.kernels.kernel import Kernel
from timehands.kernels.types import Struct
from timehands.kernels.values import Reading

_NAMED = ("TIMEHANDS_FREEBSD_KERNEL", "TIMEHANDS_NETBSD_KERNEL", "TIMEHANDS_OPENBSD_KERNEL")


@pytest.fixture(params=_NAMED)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    path = os.environ.get(request.param)
    if not path:
        pytest.skip(f"{request.param} names no kernel")
    found = Kernel.open(path, cache=False)
    if found.dwarf is None:
        pytest.skip(f"{path} has no DWARF")
    return found


def test_a_structure_is_found_defined(kernel: Kernel) -> None:
    assert kernel.type_source
    found = kernel.type_source.struct("timecounter")
    assert isinstance(found, Struct) and found.complete and found.member("tc_name")


def test_values_of_the_file_are_what_gdb_prints(kernel: Kernel) -> None:
    texts = ["dummy_timecounter", "*timecounter", "dummy_timecounter.tc_frequency * 3",
             "sizeof(struct timecounter)"]  # fmt: skip
    asked = [word for one in texts for word in (f"-ex=output {one}", "-ex=echo \\n")]
    said = run(["gdb", "-nx", "-batch", *asked, str(kernel.path)]).splitlines()
    theirs = [line for line in said if line][-len(texts) :]
    environment = Environment(Reading(kernel.file_memory, {}, kernel.symbols), kernel.type_source)
    ours = [evaluate(text, environment).format() for text in texts]
    # gdb cuts addresses to 32 bits in kernels of some systems
    cut = [re.sub(r"0xffffffff([0-9a-f]{8})", r"0x\1", one) for one in ours]
    assert cut == [re.sub(r"0xffffffff([0-9a-f]{8})", r"0x\1", one) for one in theirs]
