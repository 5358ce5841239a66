"""QEMU's command line: each part of a machine and of a load has its words, and no others."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from timehands.errors import MachineError
from timehands.machines.machine import Load, Machine
from timehands.machines.qemu import Wiring, command_line, paste_ready

KERNEL = Load(Path("/k"))


def words(machine: Machine | None = None, load: Load = KERNEL, **wiring: object) -> list[str]:
    wired = Wiring(3, 4, **wiring) if wiring else None  # type: ignore[arg-type]
    return list(command_line("qemu", machine or Machine(), load, wired))


def after(option: str, command: list[str]) -> list[str]:
    return [value for name, value in pairwise(command) if name == option]


def test_a_plain_machine_has_no_default_devices_no_network_and_no_window() -> None:
    command = words()
    assert command[0] == "qemu"
    for option in ("-nodefaults", "-no-user-config"):
        assert option in command
    assert after("-display", command) == ["none"]
    assert after("-netdev", command) == []
    assert after("-machine", command) == ["microvm,acpi=off,rtc=on"]
    assert after("-cpu", command) == ["max"]


def test_devices_are_switched_as_properties_of_the_machine() -> None:
    machine = Machine().with_device("pit", False).with_device("rtc", False)
    assert after("-machine", words(machine)) == ["microvm,acpi=off,rtc=off,pit=off"]
    q35 = Machine(type="q35", devices=(("hpet", False),))
    assert after("-machine", words(q35)) == ["q35,hpet=off"]


def test_a_deterministic_machine_counts_instructions_from_a_fixed_date() -> None:
    command = words(Machine(deterministic=True))
    assert after("-icount", command) == ["shift=0,sleep=off,align=off"]
    assert after("-rtc", command) == ["base=2026-01-01T00:00:00,clock=vm"]


def test_a_load_with_everything(tmp_path: Path) -> None:
    disk = tmp_path / "a,b"
    disk.write_bytes(b"QFI\xfb rest")
    load = Load(Path("/k"), ("a", "b c"), Path("/i"), disk, True, ("tcp::1-:2",))
    command = words(load=load)
    assert after("-append", command) == ["a b c"]
    assert after("-initrd", command) == ["/i"]
    doubled = str(disk).replace(",", ",,")
    assert after("-drive", command) == [f"if=none,id=disk0,format=qcow2,snapshot=on,file={doubled}"]
    assert after("-netdev", command) == ["user,id=net0,hostfwd=tcp::1-:2"]
    assert after("-device", command) == [
        "virtio-blk-device,drive=disk0",
        "virtio-net-device,netdev=net0",
    ]
    pci = words(Machine(type="pc"), load)
    assert after("-device", pci)[0] == "virtio-blk-pci,drive=disk0"


def test_a_disk_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="disk cannot be read"):
        words(load=Load(Path("/k"), disk=tmp_path / "none"))


def test_a_wired_guest_is_stopped_sandboxed_and_pauses_at_its_end() -> None:
    command = words(resets_fd=5, plugin="p.so,fd=6")
    assert "-S" in command
    assert after("-chardev", command) == ["socket,id=qmp,fd=3", "socket,id=console,fd=4"]
    assert after("-action", command) == ["reboot=shutdown,shutdown=pause,panic=none"]
    assert after("-D", command) == ["/proc/self/fd/5"]
    assert after("-plugin", command) == ["p.so,fd=6"]
    assert after("-sandbox", command)[0].startswith("on,")
    assert after("-sandbox", words(sandbox=False)) == []


def test_a_console_that_is_only_read_is_a_pipe() -> None:
    assert after("-chardev", words(talks=False))[1] == "file,id=console,path=/proc/self/fd/4"


def test_what_is_printed_to_paste_is_the_same_command() -> None:
    command = tuple(words(load=Load(Path("/a b/'k'"), ("x=$HOME", "y"))))
    shown = paste_ready(command)
    assert tuple(shlex.split(shown.replace("\\\n", ""))) == command
    assert len(shown.splitlines()) > 5


def test_a_stub_for_a_debugger_is_an_inherited_socket() -> None:
    command = words(gdb_fd=9)
    assert "socket,id=gdb,fd=9" in after("-chardev", command)
    assert after("-gdb", command) == ["chardev:gdb"]
    assert after("-gdb", words(resets_fd=5)) == []
