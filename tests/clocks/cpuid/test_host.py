"""The host's own CPUID: against the tool ``cpuid`` and against the kernel's flags."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from timehands.clocks.cpuid import host
from timehands.clocks.cpuid.decode import decode
from timehands.clocks.cpuid.dump import parse_table
from timehands.clocks.cpuid.host import host_table
from timehands.errors import HostError

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="this host's processor has no CPUID"
)
#: Leaf 0x1 EBX and leaf 0xb EDX name the CPU that was asked; leaf 0xd EBX depends on the moment.
PER_CPU = {0x1, 0xB, 0xD, 0x1F, 0x8000001E, 0x80000026}


def test_the_answers_are_those_of_the_tool_cpuid() -> None:
    if shutil.which("cpuid") is None:
        pytest.skip("the tool cpuid is not installed (apt-get install cpuid)")
    done = subprocess.run(["cpuid", "-1", "-r"], capture_output=True, text=True, check=True)
    theirs, ours = parse_table(done.stdout), host_table()
    both = [key for key in theirs if key in ours and key[0] not in PER_CPU]
    assert len(both) > 20
    assert {key: ours[key] for key in both} == {key: theirs[key] for key in both}


def test_the_facts_are_those_of_the_kernel() -> None:
    flags = set()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = set(line.split(":")[1].split())
            break
    facts = decode(host_table())
    assert facts.tsc == ("tsc" in flags)
    assert facts.rdtscp == ("rdtscp" in flags)
    assert facts.hypervisor == ("hypervisor" in flags)
    assert facts.x2apic == ("x2apic" in flags)
    assert facts.arat == ("arat" in flags)
    if facts.invariant_tsc:
        assert {"constant_tsc", "nonstop_tsc"} <= flags


def test_the_brand_and_the_identity_are_those_of_the_kernel() -> None:
    info = dict(
        (part.strip() for part in line.split(":", 1))
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        if ":" in line
    )
    facts = decode(host_table())
    assert facts.vendor == info["vendor_id"]
    assert facts.brand == info["model name"]
    assert facts.identity.family == int(info["cpu family"])
    assert facts.identity.model == int(info["model"])
    assert facts.identity.stepping == int(info["stepping"])


def test_the_process_may_run_where_it_might_before() -> None:
    before = os.sched_getaffinity(0)
    host_table()
    assert os.sched_getaffinity(0) == before


def test_without_a_way_to_ask_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def forbidden() -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(host, "_map_code", forbidden)
    monkeypatch.setattr(host, "_DEVICE", tmp_path / "cpuid")
    with pytest.raises(HostError, match="Permission denied") as caught:
        host_table()
    assert "cpuid -1 -r" in caught.value.mend


def test_the_device_gives_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.access("/dev/cpu/0/cpuid", os.R_OK):
        pytest.skip("/dev/cpu/0/cpuid may not be read (root, and the module cpuid)")

    def forbidden() -> int:
        raise PermissionError(13, "Permission denied")

    by_code = host_table()
    monkeypatch.setattr(host, "_map_code", forbidden)
    by_device = host_table()
    same = [key for key in by_code if key[0] not in PER_CPU]
    assert {k: by_device[k] for k in same} == {k: by_code[k] for k in same}


def test_another_processor_has_no_cpuid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(HostError, match="aarch64"):
        host_table()
