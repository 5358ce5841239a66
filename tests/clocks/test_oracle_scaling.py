"""TSC scaling, Hyper-V's page, VMClock and deadlines, held against C with 128-bit integers."""

from __future__ import annotations

import itertools
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from timehands.clocks.hyperv import ReferenceTscPage, tsc_scale
from timehands.clocks.lapic import kvm_deadline_ns
from timehands.clocks.tsc import SCALINGS, guest_tsc, nested_offset, tsc_ratio
from timehands.clocks.vmclock import VmClock

U64 = (1 << 64) - 1
EACH = 10_000
EDGES = (0, 1, 2, (1 << 31) - 1, 1 << 32, (1 << 48) + 1, (1 << 63) - 1, 1 << 63, U64)
INPUT, OUTPUT = struct.Struct("=QQQQII"), struct.Struct("=QQ")
SCALING = {kind.frac_bits: kind for kind in SCALINGS}
Case = tuple[int, int, int, int, int, int]
Answer = tuple[int, int]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc)")
    program = tmp_path_factory.mktemp("oracle") / "oracle"
    source = Path(__file__).with_name("oracle_scaling.c")
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return program


def ask(oracle: Path, cases: list[Case]) -> list[Answer]:
    """What C says to each case."""
    data = b"".join(itertools.starmap(INPUT.pack, cases))
    done = subprocess.run([oracle], input=data, stdout=subprocess.PIPE, check=True)
    return list(OUTPUT.iter_unpack(done.stdout))


def numbers(dice: random.Random) -> Iterator[tuple[int, int, int, int]]:
    """All edges of three numbers, and random ones of all lengths."""
    for edges in itertools.product(EDGES, repeat=3):
        yield (*edges, U64)
    while True:
        a, b, c, d = (dice.getrandbits(64) >> dice.randrange(64) for _ in range(4))
        yield (a, b, c, d)


def as_guest_tsc(a: int, b: int, c: int, _d: int, bits: int) -> Answer:
    return guest_tsc(a, b, c, SCALING[bits]), 0


def as_ratio(a: int, b: int, _c: int, _d: int, bits: int) -> Answer:
    high, low = divmod(tsc_ratio(a, b, SCALING[bits]), 1 << 64)
    return low, high


def as_nested_offset(a: int, b: int, c: int, _d: int, bits: int) -> Answer:
    return nested_offset(a, b, c, SCALING[bits]), 0


def as_hyperv_read(a: int, b: int, c: int, _d: int, _bits: int) -> Answer:
    return ReferenceTscPage(1, b, c).reference_time(a) or 0, 0


def as_hyperv_scale(a: int, _b: int, _c: int, _d: int, _bits: int) -> Answer:
    return tsc_scale(a), 0


def as_vmclock(a: int, b: int, c: int, d: int, bits: int) -> Answer:
    clock = VmClock(
        counter_value=b, counter_period_frac_sec=c, counter_period_shift=bits, time_frac_sec=d
    )
    sec, frac = clock.instant(a)
    return sec, frac


def as_kvm_deadline(a: int, b: int, c: int, _d: int, _bits: int) -> Answer:
    return kvm_deadline_ns(a, b, c), 0


def khz(number: int) -> int:
    """Any 32-bit number but 0."""
    return number % ((1 << 32) - 1) + 1


def fitted(operation: int, values: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The numbers in the range of what the operation takes."""
    a, b, c, d = values
    if operation == 1:
        return khz(a), khz(b), c, d
    if operation == 4:
        return max(a, 10_000_001), b, c, d
    return (a, b, khz(c), d) if operation == 6 else values


@pytest.mark.parametrize(
    ("operation", "ours", "bits"),
    [
        (0, as_guest_tsc, (32, 48)),
        (1, as_ratio, (32, 48)),
        (2, as_nested_offset, (32, 48)),
        (3, as_hyperv_read, (0,)),
        (4, as_hyperv_scale, (0,)),
        (5, as_vmclock, (0, 1, 29, 31, 64, 127)),
        (6, as_kvm_deadline, (0,)),
    ],
)
def test_it_is_as_c_has_it(
    oracle: Path, operation: int, ours: Callable[..., Answer], bits: tuple[int, ...]
) -> None:
    dice = random.Random(59862)
    chosen = itertools.islice(numbers(dice), EACH)
    kinds = itertools.cycle(bits)
    cases = [(*fitted(operation, values), operation, next(kinds)) for values in chosen]
    for case, said in zip(cases, ask(oracle, cases), strict=True):
        assert ours(*case[:4], case[5]) == said, case
