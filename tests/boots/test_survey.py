"""The survey on real machines: what QEMU is known to make, and rates held against the host's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from timehands.clocks.cpuid.decode import decode
from timehands.clocks.cpuid.host import host_table
from timehands.clocks.i8254 import PIT_HZ
from timehands.clocks.rate import Rate
from timehands.errors import QemuFailed, QemuMissing, SurveyFailed
from timehands.machines.build import compiler
from timehands.machines.host_qemu import find_qemu
from timehands.machines.machine import Machine
from timehands.machines.survey import Survey, survey
from timehands.machines.vmm import QemuVmm

pytestmark = pytest.mark.boot

LAPIC_HZ, HPET_HZ, ACPI_PM_HZ = 10**9, 10**8, 3_579_545
#: The host's TSC against its CLOCK_MONOTONIC, as bounds in Hz, by a program of its own.
HOST_TSC = r"""
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(void)
{
    double before = now(), middle, end, after;
    unsigned long long first = __rdtsc(), last;
    middle = now();
    while (now() - before < 0.2)
        ;
    end = now();
    last = __rdtsc();
    after = now();
    printf("%.0f %.0f\n", (double)(last - first) / (after - before),
           (double)(last - first) / (end - middle));
    return 0;
}
"""


@pytest.fixture(scope="module")
def qemu() -> str:
    try:
        return str(find_qemu(plugin=False).path)
    except QemuMissing as error:
        pytest.skip(f"no QEMU: {error.message}")


@pytest.fixture(scope="module")
def host_tsc(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int]:
    """The host's TSC rate: the least and the most it can be."""
    folder = tmp_path_factory.mktemp("tsc")
    (folder / "tsc.c").write_text(HOST_TSC)
    subprocess.run([compiler(), "-O1", "-o", "tsc", "tsc.c"], cwd=folder, check=True)
    done = subprocess.run([folder / "tsc"], capture_output=True, text=True, check=True)
    low, high = (int(word) for word in done.stdout.split())
    return low, high


def run(machine: Machine, qemu: str) -> Survey:
    return asyncio.run(survey(machine, QemuVmm(qemu)))


def kvm_survey(machine: Machine, qemu: str) -> Survey:
    """On a KVM, if there is one that runs the CPU model; with the features it can set."""
    if not Path("/dev/kvm").exists():
        pytest.skip("no /dev/kvm")
    refused = ""
    for flags in ((), ("-arch-capabilities",)):
        try:
            return run(replace(machine, cpu_flags=(*machine.cpu_flags, *flags)), qemu)
        except QemuFailed as error:
            refused = error.message
    pytest.skip(f"this KVM does not run -cpu {machine.cpu}: {refused.splitlines()[-1]}")


def allows(rate: Rate | None, hz: int) -> bool:
    return rate is not None and rate.allows(hz)


def test_a_microvm_under_tcg_offers_what_qemu_gives_it(
    qemu: str, host_tsc: tuple[int, int]
) -> None:
    made = run(Machine(), qemu)
    assert [offer.clock for offer in made.offers] == ["tsc", "i8254", "rtc", "lapic"]
    assert allows(made.pit.rate, PIT_HZ)
    assert allows(made.lapic.rate, LAPIC_HZ)
    assert made.tsc is not None
    assert made.tsc.low_hz <= host_tsc[1]
    assert host_tsc[0] <= made.tsc.high_hz
    assert made.rtc.ticks
    assert made.rtc.offset_s in (-1, 0, 1)
    assert (made.pit.gate, made.i8042, made.pic) == (False, False, True)
    assert made.start_info is not None
    assert sum(size for _, size, kind in made.start_info.memory if kind == 1) > 250 << 20


def test_the_timing_leaf_of_tcg_is_garbage_and_is_not_believed(qemu: str) -> None:
    made = run(Machine(), qemu)
    assert made.cpuid[0x40000010, 0].eax == made.cpuid[0xD, 0].eax != 0
    assert made.facts.timing is None
    assert "above the range's limit" in made.facts.doubt(0x40000010)
    assert [r.name for r in made.facts.hypervisors] == ["QEMU TCG"]


@pytest.mark.parametrize(("device", "clock"), [("pit", "i8254"), ("rtc", "rtc")])
def test_a_device_that_was_taken_away_is_missed(qemu: str, device: str, clock: str) -> None:
    made = run(Machine().with_device(device, False), qemu)  # type: ignore[arg-type]
    assert clock in made.lacks
    assert allows(made.lapic.rate, LAPIC_HZ)


@pytest.mark.parametrize("kind", ["q35", "pc"])
def test_a_pc_offers_hpet_and_pm_timer_too(qemu: str, kind: str) -> None:
    made = run(Machine(type=kind), qemu)  # type: ignore[arg-type]
    assert made.lacks == ("tsc_frequency", "pvclock", "xen", "hyperv", "tsc_deadline")
    assert allows(made.hpet.rate, HPET_HZ)
    assert allows(made.acpi_pm.rate, ACPI_PM_HZ)
    assert allows(made.pit.rate, PIT_HZ)
    assert made.hpet.period_fs == 10**15 // HPET_HZ
    assert (made.pit.gate, made.i8042) == (True, True)


def test_an_hpet_that_was_taken_away_is_missed(qemu: str) -> None:
    made = run(Machine(type="q35", devices=(("hpet", False),)), qemu)
    assert "hpet" in made.lacks
    assert allows(made.acpi_pm.rate, ACPI_PM_HZ)


def test_a_deterministic_machine_is_the_same_each_time_and_counts_in_ns(qemu: str) -> None:
    machine = Machine(deterministic=True)
    first, second = (replace(run(machine, qemu), duration_ns=0) for _ in range(2))
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())
    assert first.ruler == "pit"
    assert allows(first.tsc, 10**9)
    assert allows(first.lapic.rate, LAPIC_HZ)


def test_kvm_offers_its_clock_and_the_hosts_tsc(qemu: str, host_tsc: tuple[int, int]) -> None:
    made = kvm_survey(Machine(accelerator="kvm", cpu="host"), qemu)
    assert made.offer("pvclock") is not None
    assert [r.name for r in made.facts.hypervisors] == ["KVM"]
    assert allows(made.pit.rate, PIT_HZ)
    assert allows(made.lapic.rate, LAPIC_HZ)
    assert made.tsc is not None
    assert made.tsc.low_hz <= host_tsc[1]
    assert host_tsc[0] <= made.tsc.high_hz
    assert None in made.msrs.values()


def test_kvm_with_invtsc_tells_the_rate_that_is_measured(qemu: str) -> None:
    if not decode(host_table()).invariant_tsc:
        pytest.skip("this host's TSC is not invariant")
    machine = Machine(accelerator="kvm", cpu="qemu64", cpu_flags=("+invtsc",))
    made = kvm_survey(machine, qemu)
    assert made.facts.invariant_tsc
    assert made.facts.timing is not None
    assert made.tsc_told_truly
    assert allows(made.lapic.rate, made.facts.timing.apic_khz * 1000)


def test_a_cpu_without_cpuid_features_is_surveyed_as_far_as_it_goes(qemu: str) -> None:
    made = run(Machine(cpu="486"), qemu)
    assert not made.facts.tsc
    assert made.msrs == {}
    assert allows(made.pit.rate, PIT_HZ)


def test_a_survey_that_takes_too_long_says_so(qemu: str) -> None:
    with pytest.raises(SurveyFailed, match=r"did not end in 0\.01 s"):
        asyncio.run(survey(Machine(type="q35"), QemuVmm(qemu), timeout_s=0.01))


@pytest.mark.parametrize("cpu", ["max", "nosuchmodel"])
def test_no_descriptor_and_no_process_is_left_behind(qemu: str, cpu: str) -> None:
    async def twice() -> tuple[set[str], set[str]]:
        left: list[set[str]] = []
        for _ in range(2):
            with contextlib.suppress(QemuFailed):
                await survey(Machine(cpu=cpu), QemuVmm(qemu))
            left.append({entry.name for entry in Path("/proc/self/fd").iterdir()})
        return left[0], left[1]

    first, second = asyncio.run(twice())
    assert len(second) <= len(first)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    running = [Path(f"/proc/{child}/comm").read_text().strip() for child in children]
    assert not any("qemu" in name for name in running)


def test_a_machine_that_qemu_refuses_is_told_in_its_words(qemu: str) -> None:
    with pytest.raises(QemuFailed, match="nosuchmodel"):
        run(Machine(cpu="nosuchmodel"), qemu)
