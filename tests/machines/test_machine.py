"""Machines and loads as values: what they refuse, and that they survive JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from timehands.errors import MachineError
from timehands.machines.machine import CLOCK_DEVICES, MAX_VCPUS, Load, Machine

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = ("accelerator", "type", "cpu", "cpu_flags", "memory_mib", "vcpus", "devices", "clocks")
MONITOR = {"type": "monitor", "accelerator": "kvm", "cpu": "host"}


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    kind = draw(st.sampled_from(sorted(CLOCK_DEVICES)))
    switchable = sorted(CLOCK_DEVICES[kind])
    devices = draw(st.dictionaries(st.sampled_from(switchable), st.booleans()))
    ours = kind == "monitor"
    clocks = st.lists(st.sampled_from(["pvclock=kvm", "jump=wall@5s+1h", "date=-1.5h"]))
    return Machine(
        accelerator="kvm" if ours else "tcg",
        type=kind,
        cpu="host" if ours else draw(st.sampled_from(["max", "qemu64", "Skylake-Client-v1"])),
        cpu_flags=tuple(draw(st.lists(st.sampled_from(["+invtsc", "-apic", "level=0xd"])))),
        memory_mib=draw(st.integers(16, 1 << 20)),
        vcpus=draw(st.integers(1, MAX_VCPUS)),
        devices=tuple(sorted(devices.items())),
        clocks=tuple(draw(clocks)) if ours else (),
    )


@given(machines())
def test_a_machine_survives_json(machine: Machine) -> None:
    assert Machine.from_json(json.loads(json.dumps(machine.to_json()))) == machine


@given(st.dictionaries(st.sampled_from([*NAMES, "deterministic"]), JSON))
def test_any_json_is_a_machine_or_a_machine_error(data: dict[str, Any]) -> None:
    try:
        machine = Machine.from_json(data)
    except MachineError:
        return
    assert Machine.from_json(machine.to_json()) == machine


@given(st.dictionaries(st.sampled_from(["kernel", "arguments", "initrd", "forwards"]), JSON))
@example({"kernel": "", "arguments": [None]})
@example({"kernel": "k", "forwards": [1]})
def test_any_json_is_a_load_or_a_machine_error(data: dict[str, Any]) -> None:
    try:
        load = Load.from_json(data)
    except MachineError:
        return
    assert isinstance(load.command_line, str)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"accelerator": "xen"}, "no accelerator"),
        ({"type": "virt"}, "no machine type"),
        ({"cpu": "max,+invtsc"}, "no name of a CPU model"),
        ({"cpu": "-help"}, "no name of a CPU model"),
        ({"cpu_flags": ("invtsc",)}, "no CPU flag"),
        ({"cpu_flags": ("+a,-b",)}, "no CPU flag"),
        ({"vcpus": 0}, "give 1 to 64"),
        ({"vcpus": 65}, "give 1 to 64"),
        ({"vcpus": True}, "no whole number"),
        ({"memory_mib": 15}, "give 16 to"),
        ({"memory_mib": 16.5}, "no whole number"),
        ({"devices": (("hpet", True),)}, "microvm machine has no hpet"),
        ({"type": "q35", "devices": (("rtc", False),)}, "cannot go without its rtc"),
        ({"deterministic": True, "accelerator": "kvm"}, "needs the accelerator tcg"),
        ({"deterministic": True, "vcpus": 2}, "exactly one vCPU"),
        ({"clocks": ("pvclock=ours",)}, "set on the monitor, not on microvm"),
        ({"type": "monitor"}, "the monitor runs on KVM"),
        ({"type": "monitor", "accelerator": "kvm"}, "CPU model is host, not max"),
        ({**MONITOR, "clocks": ("pvclock",)}, "sets no clock"),
        ({**MONITOR, "clocks": (1,)}, "sets no clock"),
        ({**MONITOR, "devices": (("pic", False),)}, "cannot go without its pic"),
        ({**MONITOR, "deterministic": True}, "needs the accelerator tcg"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_words(wrong: Any, words: str) -> None:
    with pytest.raises(MachineError, match=words):
        Machine(**wrong)


def test_a_clock_that_is_set_again_takes_the_place_of_the_old_one_but_for_jumps() -> None:
    machine = Machine("kvm", "monitor", "host")
    for word in ("pvclock=ours", "jump=tsc@1s+1s", "pvclock=kvm", "jump=tsc@2s+1s"):
        machine = machine.with_clock(word)
    assert machine.clocks == ("jump=tsc@1s+1s", "pvclock=kvm", "jump=tsc@2s+1s")
    assert str(machine).endswith(", clocks jump=tsc@1s+1s pvclock=kvm jump=tsc@2s+1s")
    assert (machine.vmm, Machine().vmm) == ("the monitor", "QEMU")


def test_a_device_is_there_by_default_or_as_told() -> None:
    assert [name for name in ("pit", "rtc", "hpet", "acpi_pm") if Machine().has(name)] == [
        "pit",
        "rtc",
    ]
    assert Machine(type="pc").has("acpi_pm")
    assert not Machine().with_device("pit", False).has("pit")
    assert Machine().with_device("pit", False).with_device("pit", True).has("pit")


def test_a_flag_replaces_the_one_of_the_same_name() -> None:
    machine = Machine(cpu_flags=("-invtsc", "+pdpe1gb")).with_cpu_flag("+invtsc")
    assert machine.cpu_argument == "max,+pdpe1gb,+invtsc"
    assert machine.with_cpu_flag("invtsc=on").cpu_argument == "max,+pdpe1gb,invtsc=on"


def test_an_argument_replaces_the_one_of_the_same_name() -> None:
    load = Load(Path("k"), ("clocksource=jiffies", "quiet")).with_argument("clocksource=tsc")
    assert load.command_line == "quiet clocksource=tsc"


def test_a_load_survives_json() -> None:
    load = Load(Path("/k"), ("a", "b=c"), Path("/i"), None, True, ("tcp::1-:2",))
    assert Load.from_json(json.loads(json.dumps(load.to_json()))) == load


def test_a_machine_prints_in_one_line() -> None:
    machine = Machine(cpu_flags=("+invtsc",), vcpus=2).with_device("pit", False)
    assert str(machine) == "microvm, tcg, -cpu max,+invtsc, 2 vCPUs, 256 MiB, pit off"
