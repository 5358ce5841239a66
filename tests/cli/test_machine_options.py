from __future__ import annotations

import argparse

import pytest

from timehands.cli.machine_options import (
    add_machine_options,
    machine_from,
    machine_options_given,
)
from timehands.errors import MachineError
from timehands.machines.machine import Machine


def _args(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_machine_options(parser)
    return parser.parse_args(words)


def test_without_options_it_is_the_default_machine() -> None:
    args = _args()
    assert machine_from(args) == Machine()
    assert not machine_options_given(args)


def test_every_option_has_its_place_in_the_machine() -> None:
    words = "--machine q35 --cpu qemu64,+invtsc,-tsc-deadline --memory 512 --vcpus 2 --hpet off"
    args = _args(*words.split())
    assert machine_from(args) == Machine(
        type="q35",
        cpu="qemu64",
        cpu_flags=("+invtsc", "-tsc-deadline"),
        memory_mib=512,
        vcpus=2,
        devices=(("hpet", False),),
    )
    assert machine_options_given(args)


def test_kvm_takes_the_hosts_cpu_unless_told_otherwise() -> None:
    assert machine_from(_args("--accel", "kvm")).cpu == "host"
    assert machine_from(_args("--accel", "kvm", "--cpu", "qemu64")).cpu == "qemu64"


@pytest.mark.parametrize("device", ["pit", "pic", "rtc", "acpi"])
@pytest.mark.parametrize("state", ["on", "off"])
def test_each_device_of_a_microvm_can_be_there_or_not(device: str, state: str) -> None:
    assert machine_from(_args(f"--{device}", state)).has(device) is (state == "on")


@pytest.mark.parametrize(
    "words",
    [
        "--machine q35 --rtc off",
        "--hpet on",
        "--deterministic --vcpus 2",
        "--deterministic --accel kvm",
        "--memory 1",
        "--vcpus 0",
        "--cpu max,invtsc",
        "--cpu ,",
    ],
)
def test_what_does_not_fit_together_makes_no_machine(words: str) -> None:
    with pytest.raises(MachineError):
        machine_from(_args(*words.split()))


@pytest.mark.parametrize("words", ["--pit maybe", "--machine pdp11", "--memory lots"])
def test_what_is_no_value_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _args(*words.split())
    assert ended.value.code == 2
    assert words.split()[1] in capsys.readouterr().err
