"""The options that describe a machine, shared by the verbs that start one."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from timehands.machines.machine import Accelerator, ClockDevice, Machine, MachineType

_DEFAULTS = Machine()


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add them as a group of their own; `machine_from` reads them."""
    group = parser.add_argument_group("the machine")
    add = group.add_argument
    add(
        "--machine",
        choices=get_args(MachineType),
        help=f"machine type of QEMU ({_DEFAULTS.type}), or monitor: our own, on KVM",
    )
    add("--accel", choices=get_args(Accelerator), help="tcg (watched by the plugin), or kvm")
    add("--cpu", metavar="MODEL[,FLAG...]", help="CPU model and flags: max,+invtsc (max)")
    add("--memory", type=int, metavar="MIB", help=f"memory in MiB ({_DEFAULTS.memory_mib})")
    add("--vcpus", type=int, metavar="N", help=f"number of vCPUs ({_DEFAULTS.vcpus})")
    for device in get_args(ClockDevice):
        add(f"--{device}", choices=("on", "off"), help=_HELP[device])
    add(
        "--clock",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a clock of the monitor (docs/monitor.md): pvclock=ours|kvm|none, tsc-leaf=off, "
        "told-tsc-khz=N, jump=pvclock@5s+1h, ...; may be given several times",
    )
    add(
        "--deterministic",
        action="store_true",
        help="count instructions instead of host time: two boots are the same (-icount)",
    )


_HELP = {
    "pit": "i8254 interval timer (on)",
    "pic": "i8259 interrupt controllers (on)",
    "rtc": "MC146818 real-time clock (on; fixed on q35 and pc)",
    "hpet": "HPET (on; not on microvm, off on monitor)",
    "acpi": "ACPI tables (off on microvm and monitor, on elsewhere)",
}


def machine_from(args: argparse.Namespace) -> Machine:
    """The machine that the options describe. Raises `MachineError` when they do not fit."""
    values: dict[str, Any] = {"deterministic": bool(args.deterministic)}
    monitor = args.machine == "monitor"
    accelerator = "kvm" if monitor and args.accel is None else args.accel
    named = {"type": args.machine, "accelerator": accelerator}
    numbers = {"memory_mib": args.memory, "vcpus": args.vcpus}
    values |= {k: v for k, v in (named | numbers).items() if v is not None}
    if args.cpu:
        model, *flags = args.cpu.split(",")
        values |= {"cpu": model, "cpu_flags": tuple(flags)}
    elif accelerator == "kvm":
        values["cpu"] = "host"
    devices = {name: getattr(args, name) for name in get_args(ClockDevice)}
    given = sorted((name, state == "on") for name, state in devices.items() if state)
    return Machine(**values, devices=tuple(given), clocks=tuple(args.clock))


def machine_options_given(args: argparse.Namespace) -> bool:
    """Whether any option of a machine was given."""
    names = ("machine", "accel", "cpu", "memory", "vcpus", *get_args(ClockDevice))
    return (
        args.deterministic
        or bool(args.clock)
        or any(getattr(args, name) is not None for name in names)
    )
