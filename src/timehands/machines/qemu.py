"""QEMU's command line, made from a `Machine` and a `Load`: here and nowhere else."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from timehands.errors import MachineError
from timehands.machines.machine import Load, Machine

#: The date at which the clock of a deterministic machine starts.
DETERMINISTIC_START = "2026-01-01T00:00:00"
_QCOW2_MAGIC = b"QFI\xfb"
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@dataclass(frozen=True, slots=True)
class Wiring:
    """How QEMU talks to us: inherited descriptors, so that there is no name to find in a folder.

    ``console_fd`` is a socket when ``talks``, else a pipe that takes the output only. ``resets_fd``
    takes QEMU's notes of CPU resets: a pipe, because a guest can cause any number of them.
    ``plugin`` is the whole argument of ``-plugin``. ``gdb_fd`` is a socket for QEMU's stub of the
    GDB remote protocol.
    """

    qmp_fd: int
    console_fd: int
    talks: bool = True
    resets_fd: int | None = None
    plugin: str | None = None
    sandbox: bool = True
    gdb_fd: int | None = None


def command_line(
    qemu: str, machine: Machine, load: Load, wiring: Wiring | None = None
) -> tuple[str, ...]:
    """The command that runs the load on the machine.

    Without ``wiring`` it is the command to paste into a terminal: the same machine, its console on
    standard input and output. Raises `MachineError` when the load does not fit the machine.
    """
    stops = wiring is not None and wiring.gdb_fd is not None
    words = _machine_words(qemu, machine, load, stops=stops)
    words += _wiring_words(wiring) if wiring else ["-serial", "stdio", "-no-reboot"]
    return tuple(words)


def terminal_command(
    qemu: str, machine: Machine, load: Load, *, gdb: str | None = None, sandbox: bool = True
) -> tuple[str, ...]:
    """The command that runs the load with its console on this terminal.

    Ctrl-A X ends it, Ctrl-C goes to the guest. ``gdb`` is where QEMU's stub waits for a client, as
    a character device (``tcp:127.0.0.1:1234``, ``unix:PATH``): the guest stands still until one
    lets it go on. Raises `MachineError` when the load does not fit the machine.
    """
    words = _machine_words(qemu, machine, load, stops=gdb is not None)
    words += ["-serial", "mon:stdio", "-no-reboot"]
    if sandbox:
        words += ["-sandbox", _SANDBOX]
    if gdb is not None:
        words += ["-S", "-gdb", f"{gdb},server=on,wait=off"]
    return tuple(words)


def _machine_words(qemu: str, machine: Machine, load: Load, *, stops: bool) -> list[str]:
    words = [qemu, "-nodefaults", "-no-user-config", "-display", "none"]
    words += ["-machine", _machine_argument(machine), "-cpu", machine.cpu_argument]
    words += ["-accel", machine.accelerator, "-m", str(machine.memory_mib)]
    words += ["-smp", str(machine.vcpus), *_clock_words(machine, stops)]
    words += ["-kernel", str(load.kernel)]
    if load.arguments:
        words += ["-append", load.command_line]
    if load.initrd:
        words += ["-initrd", str(load.initrd)]
    return [*words, *_disk_words(machine, load), *_network_words(machine, load)]


def paste_ready(command: tuple[str, ...]) -> str:
    """The command as a shell takes it, one option a line."""
    lines: list[str] = []
    for word in command:
        quoted = shlex.quote(word)
        starts = word.startswith("-") and lines
        if starts or not lines:
            lines.append(quoted)
        else:
            lines[-1] += f" {quoted}"
    return " \\\n    ".join(lines)


def _machine_argument(machine: Machine) -> str:
    parts: list[str] = [machine.type]
    if machine.type == "microvm":
        parts += [f"{name}={'on' if machine.has(name) else 'off'}" for name in ("acpi", "rtc")]
    parts += [
        f"{name}={'on' if present else 'off'}"
        for name, present in machine.devices
        if name != "rtc" and not (machine.type == "microvm" and name in ("acpi", "hpet"))
    ]
    return ",".join(parts)


def _clock_words(machine: Machine, stops: bool) -> Iterator[str]:
    """``stops``: a debugger may stop the guest.

    With ``sleep=off`` time jumps to the next timer whenever no vCPU runs, and a stop counts as that
    for a moment (QEMU util/main-loop.c, main_loop_wait, before vm_stop): it costs the guest up to
    55 ms, the i8254's period. With ``sleep=on`` it costs the some microseconds that it takes.
    """
    if machine.deterministic:
        sleep = "on" if stops else "off"
        yield from ("-icount", f"shift=0,sleep={sleep},align=off", "-seed", "1")
        yield from ("-rtc", f"base={DETERMINISTIC_START},clock=vm")
    else:
        yield from ("-rtc", "base=utc,clock=host")


def _device(machine: Machine, name: str) -> str:
    return f"{name}-device" if machine.type == "microvm" else f"{name}-pci"


def _disk_words(machine: Machine, load: Load) -> Iterator[str]:
    if load.disk is None:
        return
    try:
        with load.disk.open("rb") as file:
            image = "qcow2" if file.read(4) == _QCOW2_MAGIC else "raw"
    except OSError as error:
        raise MachineError(f"the disk cannot be read: {load.disk}: {error.strerror}") from error
    name = str(load.disk).replace(",", ",,")
    yield from ("-drive", f"if=none,id=disk0,format={image},snapshot=on,file={name}")
    yield from ("-device", f"{_device(machine, 'virtio-blk')},drive=disk0")


def _network_words(machine: Machine, load: Load) -> Iterator[str]:
    if not load.network:
        return
    for forward in load.forwards:
        if "," in forward:
            raise MachineError(f"a comma in a host forward would start another option: {forward}")
    forwards = "".join(f",hostfwd={forward}" for forward in load.forwards)
    yield from ("-netdev", f"user,id=net0{forwards}")
    yield from ("-device", f"{_device(machine, 'virtio-net')},netdev=net0")


def _wiring_words(wiring: Wiring) -> Iterator[str]:
    yield from ("-chardev", f"socket,id=qmp,fd={wiring.qmp_fd}", "-mon", "chardev=qmp,mode=control")
    if wiring.talks:
        yield from ("-chardev", f"socket,id=console,fd={wiring.console_fd}")
    else:
        yield from ("-chardev", f"file,id=console,path=/proc/self/fd/{wiring.console_fd}")
    yield from ("-serial", "chardev:console", "-S")
    yield from ("-action", "reboot=shutdown,shutdown=pause,panic=none")
    if wiring.sandbox:
        yield from ("-sandbox", _SANDBOX)
    if wiring.resets_fd is not None:
        yield from ("-d", "cpu_reset", "-D", f"/proc/self/fd/{wiring.resets_fd}")
    if wiring.gdb_fd is not None:
        yield from ("-chardev", f"socket,id=gdb,fd={wiring.gdb_fd}", "-gdb", "chardev:gdb")
    if wiring.plugin:
        yield from ("-plugin", wiring.plugin)
