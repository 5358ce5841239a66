"""Held against C with 128-bit integers: a million random cases and all edges, bit for bit."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from timehands.clocks.pvclock import arrays
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import (
    Scale,
    freebsd_tsc_hz,
    linux_tsc_khz,
    scale_delta,
    scale_delta_64,
)

CASE = np.dtype(
    [("delta", "u8"), ("system_time", "u8"), ("mul", "u4"), ("shift", "i1"), ("pad", "u1", 3)]
)
ANSWER = np.dtype([(name, "u8") for name in ("ns", "ns_64", "time", "linux_khz", "freebsd_hz")])
SEED = 59862
MILLION = 1_000_000
POWERS = (0, 1, 2, 31, 32, 33, 62, 63)
EDGE_DELTAS = sorted({(1 << 64) - 1, *((1 << p) + d for p in POWERS for d in (-1, 0, 1))})
EDGE_MULS = (0, 1, 2, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, 3435976585, (1 << 32) - 1)
SHIFTS = range(-128, 128)
Cases = NDArray[np.void]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc)")
    program = tmp_path_factory.mktemp("oracle") / "oracle"
    source = Path(__file__).with_name("oracle.c")
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return program


def ask(oracle: Path, cases: Cases) -> Cases:
    """What C says to each case."""
    done = subprocess.run([oracle], input=cases.tobytes(), stdout=subprocess.PIPE, check=True)
    return np.frombuffer(done.stdout, dtype=ANSWER)


def random_cases() -> Cases:
    """A million: deltas of all lengths, any multiplier, any shift."""
    dice = np.random.default_rng(SEED)
    cases = np.zeros(MILLION, CASE)
    whole = dice.integers(0, 1 << 64, MILLION, dtype=np.uint64)
    cases["delta"] = whole >> dice.integers(0, 64, MILLION, dtype=np.uint64)
    cases["system_time"] = dice.integers(0, 1 << 64, MILLION, dtype=np.uint64)
    cases["mul"] = dice.integers(0, 1 << 32, MILLION, dtype=np.uint64)
    cases["shift"] = dice.integers(-128, 128, MILLION)
    cases["shift"][: MILLION // 2] = dice.integers(-12, 21, MILLION // 2)
    return cases


def edge_cases() -> Cases:
    """Every edge of delta with every edge of mul and every shift there is."""
    combined = list(itertools.product(EDGE_DELTAS, EDGE_MULS, SHIFTS))
    cases = np.zeros(len(combined), CASE)
    cases["delta"], cases["mul"], cases["shift"] = zip(*combined, strict=True)
    cases["system_time"] = (1 << 64) - 1
    return cases


@pytest.mark.parametrize("make", [random_cases, edge_cases])
def test_arrays_are_as_c_has_it(oracle: Path, make: type) -> None:
    cases = make()
    said = ask(oracle, cases)
    delta = np.ascontiguousarray(cases["delta"])
    mul, shift = cases["mul"].astype(np.uint64), np.ascontiguousarray(cases["shift"])
    assert len(said) == len(cases)
    assert np.array_equal(arrays.scale_delta(delta, mul, shift), said["ns"])
    pages = arrays.TimeInfos(np.zeros_like(delta), cases["system_time"].copy(), mul, shift)
    assert np.array_equal(arrays.nanoseconds(pages, delta), said["time"])


@pytest.mark.parametrize(("make", "every"), [(random_cases, 37), (edge_cases, 1)])
def test_scalars_are_as_c_has_it(oracle: Path, make: type, every: int) -> None:
    cases = make()[::every]
    said = ask(oracle, cases)
    for (delta, system_ns, mul, shift, _), answer in zip(
        cases.tolist(), said.tolist(), strict=True
    ):
        page = TimeInfo(2, 0, system_ns, mul, shift, 0)
        scale = Scale(mul, shift)
        assert answer == (
            scale_delta(delta, mul, shift),
            scale_delta_64(delta, mul, shift),
            nanoseconds(page, delta),
            linux_tsc_khz(scale),
            freebsd_tsc_hz(scale),
        ), (delta, mul, shift)


def test_one_page_for_many_reads_is_as_c_has_it(oracle: Path) -> None:
    edges = edge_cases()
    said = ask(oracle, edges)
    deltas = np.array(EDGE_DELTAS, np.uint64)
    for mul, shift in itertools.product(EDGE_MULS, SHIFTS):
        these = (edges["mul"] == mul) & (edges["shift"] == shift)
        assert np.array_equal(arrays.scale_delta(deltas, mul, shift), said["ns"][these])
