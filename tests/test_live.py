"""The way in from Python, as far as it needs no guest. (The rest: tests/boots/test_debug.py.)"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import timehands
from timehands import Kernel, Machine
from timehands.errors import KernelUnreadable, MachineError
from timehands.kernels import kernel as kernels
from timehands.machines import machine as machines
from watch.stops.guests import kernel


def test_a_kernel_is_opened_by_its_path() -> None:
    opened = Kernel(kernel().path)
    assert isinstance(opened, kernels.Kernel)
    assert opened.sha256 == kernel().sha256
    assert opened.symbols.lookup("tc_init") == kernel().symbols.lookup("tc_init")
    assert isinstance(Kernel.open(opened.path, cache=False), Kernel)
    with pytest.raises(KernelUnreadable):
        Kernel("/nothing/there")


def test_a_machine_is_one_that_can_be_started() -> None:
    machine = Machine(cpu="max", cpu_flags=("+invtsc",))
    assert isinstance(machine, machines.Machine)
    assert [one.name for one in fields(machine)] == [one.name for one in fields(machines.Machine)]
    assert machine.to_json() == machines.Machine(cpu_flags=("+invtsc",)).to_json()
    with pytest.raises(MachineError):
        Machine(vcpus=0)


def test_a_kernel_that_is_not_there_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(KernelUnreadable):
        Machine().start(tmp_path / "nothing")


def test_the_package_exports_what_it_says() -> None:
    assert all(getattr(timehands, name) for name in timehands.__all__)
    with pytest.raises(AttributeError, match="no attribute"):
        timehands.nothing  # noqa: B018


def test_the_command_line_does_not_pay_for_it() -> None:
    code = "import timehands.cli.main, sys; print('timehands.live' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
