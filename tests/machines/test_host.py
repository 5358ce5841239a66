"""What a host lacks follows from what was found on it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from timehands.machines.host import (
    Compiler,
    Cpu,
    Folder,
    Host,
    Severity,
    survey_compiler,
    survey_cpu,
    survey_folder,
    survey_host,
)
from timehands.machines.host_kvm import KVM_CAPABILITIES, Kvm
from timehands.machines.host_qemu import Qemu
from timehands.machines.host_system import System

QEMU = Qemu(Path("/q"), "10.0.2", 4, ("microvm", "q35", "pc"), ("tcg", "kvm"), True)
WHOLE = Host(
    system=System("Debian", "debian", "trixie", "6.12.0", Path("/usr/bin/apt-get"), False),
    qemus=(QEMU,),
    kvm=Kvm(True, True, "", 12, tuple((name, 1) for name in KVM_CAPABILITIES)),
    compiler=Compiler(Path("/usr/bin/cc"), "cc 12", True, True),
    cpu=Cpu("A CPU", 2, True, True, "tsc", ("tsc", "hpet")),
    cache=Folder(Path("/c"), True, 1 << 40),
    temporary=Folder(Path("/t"), True, 1 << 40),
)
NO_KVM = Kvm(False, False, "No such file or directory", None, ())
NOT_OURS = Kvm(True, False, "Permission denied", None, ())


def test_a_whole_host_lacks_nothing() -> None:
    assert WHOLE.lacks() == ()
    assert WHOLE.ready


@pytest.mark.parametrize(
    ("change", "said", "mend"),
    [
        ({"qemus": ()}, "QEMU for x86-64", "qemu-system-x86"),
        ({"qemus": (replace(QEMU, plugin_api=2),)}, "API 4", "qemu-system-x86"),
        ({"qemus": (replace(QEMU, accelerators=("kvm",)),)}, "API 4", "qemu-system-x86"),
        ({"qemus": (replace(QEMU, machine_types=("pc", "q35")),)}, "microvm", "qemu-system-x86"),
        ({"compiler": None}, "C compiler", "gcc libc6-dev"),
        ({"compiler": Compiler(Path("/c"), "", False, True)}, "headers", "gcc libc6-dev"),
        ({"compiler": Compiler(Path("/c"), "", True, False)}, "bare", "gcc binutils"),
        ({"cache": Folder(Path("/c"), False, None)}, "/c to be writable", "XDG_CACHE_HOME="),
        ({"temporary": Folder(Path("/t"), False, 0)}, "/t to be writable", "TMPDIR="),
    ],
)
def test_what_a_boot_needs_is_needed(change: dict[str, object], said: str, mend: str) -> None:
    host = replace(WHOLE, **change)  # type: ignore[arg-type]
    (lack,) = host.lacks()
    assert lack.severity is Severity.NEEDED
    assert said in lack.what
    assert mend in lack.mend_command
    assert not host.ready


@pytest.mark.parametrize(
    ("change", "said", "mend"),
    [
        ({"kvm": NO_KVM}, "No such file", "modprobe"),
        ({"kvm": NOT_OURS}, "Permission denied", "usermod -aG kvm"),
        ({"qemus": (replace(QEMU, sandbox=False),)}, "-sandbox on", "qemu-system-x86"),
        ({"qemus": (replace(QEMU, machine_types=("microvm",)),)}, "q35", "qemu-system-x86"),
        ({"cache": Folder(Path("/c"), True, 1 << 20)}, "1 MiB left", "XDG_CACHE_HOME="),
        ({"cpu": Cpu("", 1, True, True, "hpet", ())}, "it is hpet", "dmesg"),
    ],
)
def test_what_a_boot_can_do_without_is_only_useful(
    change: dict[str, object], said: str, mend: str
) -> None:
    host = replace(WHOLE, **change)  # type: ignore[arg-type]
    assert {lack.severity for lack in host.lacks()} == {Severity.USEFUL}
    assert said in host.lacks()[0].what
    assert mend in host.lacks()[0].mend_command
    assert host.ready


def test_needed_things_come_first() -> None:
    lacks = replace(WHOLE, kvm=NO_KVM, compiler=None).lacks()
    assert [lack.severity for lack in lacks] == [Severity.NEEDED, Severity.USEFUL]


def test_the_qemu_that_can_watch_is_used_even_when_it_is_not_the_first() -> None:
    old = replace(QEMU, path=Path("/old"), plugin_api=1)
    assert replace(WHOLE, qemus=(old, QEMU)).qemu == QEMU
    assert replace(WHOLE, qemus=(old,)).qemu == old


def test_cpu_facts_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nmodel\t\t: 17\nmodel name\t: A CPU @ 2.50GHz\n"
        "flags\t\t: fpu tsc constant_tsc\nvmx flags\t: nonstop_tsc\n\nprocessor\t: 1\n"
    )
    (tmp_path / "current_clocksource").write_text("kvm-clock\n")
    (tmp_path / "available_clocksource").write_text("kvm-clock tsc \n")
    cpu = survey_cpu(cpuinfo, tmp_path)
    assert cpu == Cpu(
        "A CPU @ 2.50GHz",
        len(os.sched_getaffinity(0)),
        True,
        False,
        "kvm-clock",
        ("kvm-clock", "tsc"),
    )


def test_cpu_facts_that_cannot_be_read_are_empty(tmp_path: Path) -> None:
    cpu = survey_cpu(tmp_path / "nothing", tmp_path)
    assert (cpu.model, cpu.constant_tsc, cpu.clocksource, cpu.clocksources) == ("", False, "", ())


def test_a_folder_is_judged_by_writing(tmp_path: Path) -> None:
    folder = survey_folder(tmp_path)
    assert folder.writable
    assert folder.free_bytes is not None
    assert list(tmp_path.iterdir()) == []
    # /proc takes no new files, not even from root.
    assert not survey_folder(Path("/proc/self")).writable
    assert survey_folder(tmp_path / "nothing") == Folder(tmp_path / "nothing", False, None)


def fake_compiler(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "fake-cc"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("CC", str(program))


def test_a_compiler_is_judged_by_what_it_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'case "$*" in --version) echo fake 1;; *-m32*) exit 1;; esac'
    fake_compiler(tmp_path, script, monkeypatch)
    assert survey_compiler() == Compiler(tmp_path / "fake-cc", "fake 1", True, False)


def test_no_compiler_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert survey_compiler() is None


def test_a_host_with_nothing_in_path_is_surveyed_and_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CC", "TIMEHANDS_QEMU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    host = survey_host()
    assert (host.qemus, host.compiler, host.ready) == ((), None, False)
    assert {lack.what.split()[0] for lack in host.lacks()} >= {"QEMU"}
