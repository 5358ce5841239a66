"""kvm-unit-tests' flat images on the monitor: named by whoever has built them.

``TIMEHANDS_KVM_UNIT_TESTS`` is the folder of the ``.flat`` files (``x86`` of a built tree of
https://gitlab.com/kvm-unit-tests/kvm-unit-tests). They boot by multiboot, find their environment in
the first module, and end at isa-debug-exit.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from timehands.monitor.layout import MIB
from timehands.monitor.loading import Load
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.settings import Clocks, Maker

FOLDER = os.environ.get("TIMEHANDS_KVM_UNIT_TESTS")
PATIENCE_S = 120.0
LOOPS = 2000
pytestmark = pytest.mark.skipif(not FOLDER, reason="TIMEHANDS_KVM_UNIT_TESTS names no folder")


def said(name: str, arguments: str = "", *, vcpus: int = 2, clocks: Clocks | None = None) -> str:
    """What a test prints until it ends. It fails the test when it does not."""
    image = Path(FOLDER or "") / f"{name}.flat"
    if not image.exists():
        pytest.skip(f"{image} is not there")
    # The firmware's configuration device, which they would ask, is not there.
    environment = f"NR_CPUS={vcpus}\nMEMSIZE=128\nTEST_DEVICE=0\nBOOTLOADER=1\n"
    load = Load(memoryview(image.read_bytes()), arguments, environment.encode())
    settings, console = Settings(128 * MIB, vcpus, clocks or Clocks()), bytearray()
    with Microvm(settings, load, console=console.extend) as guest:
        guest.resume()
        ending = guest.wait(PATIENCE_S)
        text = console.decode("ascii", "replace")
        assert ending is not None, "\n".join([text, *map(str, guest.whereabouts())])
    assert ending.reason == "guest-shutdown", (text, ending)
    return text


@pytest.mark.parametrize("provider", [Maker.KVM, Maker.OURS])
def test_kvmclock(kvm: None, provider: Maker) -> None:
    text = said("kvmclock_test", f"{LOOPS} {int(time.time())}", clocks=Clocks(pvclock=provider))
    assert "PASS: 0 time warps detected" in text
    assert f"Test  loops: {LOOPS}" in text
    offsets = [int(number) for number in re.findall(r"offset: (-?\d+)", text)]
    assert len(offsets) == 2 and all(0 <= offset <= 5 for offset in offsets)


@pytest.mark.parametrize("name", ["smptest", "idt_test", "tsc"])
@pytest.mark.parametrize("vcpus", [1, 2])
def test_those_that_any_kvm_passes(kvm: None, name: str, vcpus: int) -> None:
    text = said(name, vcpus=vcpus)
    assert "SUMMARY:" in text
    assert "FAIL" not in text
