"""A machine and a load in the monitor's own terms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from timehands.errors import MachineError
from timehands.machines.machine import Load, Machine
from timehands.monitor.devices.virtio import Writes
from timehands.monitor.settings import Maker, Published
from timehands.monitor.told import CX16
from timehands.watch.exits.made import (
    announced,
    check,
    clocks_of,
    command_for,
    loaded,
    settings_for,
)

MONITOR = Machine("kvm", "monitor", "host")
LOAD = Load(Path("/k"))


def test_memory_vcpus_and_devices_are_the_machines() -> None:
    devices = (("hpet", True), ("pit", False), ("rtc", False))
    machine = replace(MONITOR, memory_mib=64, vcpus=3, devices=devices)
    settings = settings_for(machine, LOAD)
    assert (settings.memory_bytes, settings.vcpus) == (64 << 20, 3)
    clocks = settings.clocks
    assert (clocks.pit, clocks.rtc, clocks.hpet) == (Maker.NONE, False, True)
    assert not clocks_of(MONITOR).hpet


def test_cpu_flags_hide_features_or_set_clocks_and_words_come_last() -> None:
    machine = replace(MONITOR, cpu_flags=("-cx16", "+invtsc", "-tsc-deadline"))
    settings = settings_for(machine, LOAD)
    assert settings.hidden == (CX16,)
    assert (settings.clocks.invariant_tsc, settings.clocks.tsc_deadline) == (True, False)
    later = machine.with_clock("invariant-tsc=off").with_clock("tsc-leaf=0x15")
    assert clocks_of(later).invariant_tsc is False
    assert clocks_of(later).published == (Published.CRYSTAL,)


def test_a_disk_is_there_not_written_and_announced_unless_acpi_tells() -> None:
    load = Load(Path("/k"), disk=Path("/d"))
    disk = settings_for(MONITOR, load).disk
    assert disk is not None
    assert (disk.path, disk.writes) == (Path("/d"), Writes.DROPPED)
    assert announced(MONITOR, load) == ("virtio_mmio.device=4K@0xc0001000:5",)
    assert announced(MONITOR.with_device("acpi", True), load) == ()
    assert announced(MONITOR, LOAD) == ()


@pytest.mark.parametrize(
    ("machine", "load", "said"),
    [
        (MONITOR, Load(Path("/k"), network=True), "no network"),
        (replace(MONITOR, cpu_flags=("+avx",)), LOAD, "see what KVM has"),
        (replace(MONITOR, cpu_flags=("-teleport",)), LOAD, "known as 'teleport'"),
        (replace(MONITOR, clocks=("pvclock=x",)), LOAD, "it is one of"),
        (
            replace(MONITOR, devices=(("pit", False),), clocks=("pit=kvm",)),
            LOAD,
            "takes the i8254 away",
        ),
        (
            replace(MONITOR, devices=(("rtc", False),), clocks=("pvclock=kvm", "jump=wall@1s+1s")),
            LOAD,
            "the date cannot jump",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(machine: Machine, load: Load, said: str) -> None:
    with pytest.raises(MachineError, match=said):
        settings_for(machine, load)


def test_a_check_needs_no_files() -> None:
    check(MONITOR)


def test_the_files_are_read_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_bytes(name.encode())
    load = Load(tmp_path / "kernel", ("a", "b=c"), tmp_path / "initrd")
    made = loaded(MONITOR, load)
    assert (bytes(made.kernel), made.initrd, made.command_line) == (b"kernel", b"initrd", "a b=c")
    with pytest.raises(MachineError, match=r"the ramdisk cannot be read: .*nowhere"):
        loaded(MONITOR, replace(load, initrd=tmp_path / "nowhere"))


def test_the_command_runs_the_same_on_a_terminal() -> None:
    machine = replace(
        MONITOR, cpu_flags=("-cx16",), devices=(("pit", False),), clocks=("date=+1h",)
    )
    load = Load(Path("/k"), ("a=1", "b='x y'"), Path("/i"), Path("/d"))
    assert command_for(machine, load) == (
        "timehands", "run", "/k", "--machine", "monitor", "--memory", "256", "--vcpus", "1",
        "--cpu", "host,-cx16", "--pit", "off", "--clock", "date=+1h",
        "--append", """a=1 'b='"'"'x y'"'"''""", "--initrd", "/i", "--disk", "/d",
    )  # fmt: skip
