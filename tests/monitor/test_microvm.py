"""Guests of the monitor on the real KVM: the survey says what it finds there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from timehands.clocks.msr import ClockMsr
from timehands.machines.survey import payload
from timehands.monitor.devices.signals import Ending
from timehands.monitor.layout import MIB
from timehands.monitor.loading import Load
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.settings import Clocks, Maker

PATIENCE_S = 60


def surveyed(clocks: Clocks, *, vcpus: int = 1) -> Mapping[str, list[list[str]]]:
    """What the survey guest says of a machine, by tag."""
    said: list[list[str]] = []
    rest = b""

    def console(data: bytes) -> None:
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            words = line.decode("ascii").split()
            said.append(words)
            if words[:2] == ["B", "host"] or words[:1] == ["S"]:
                guest.send(b"s" if len(said) < 400 else b"q")

    load = Load(memoryview(payload().read_bytes()))
    settings = Settings(memory_bytes=32 * MIB, vcpus=vcpus, clocks=clocks)
    guest = Microvm(settings, load, console=console)
    with guest:
        guest.resume()
        for _ in range(20):
            if guest.wait(PATIENCE_S / 20):
                break
            guest.send(b"q")
        assert guest.ending == Ending("guest-reset")
    result: dict[str, list[list[str]]] = {}
    for words in said:
        if words:
            result.setdefault(words[0], []).append(words[1:])
    return result


@pytest.mark.parametrize("pit", [Maker.KVM, Maker.OURS, Maker.NONE])
def test_the_i8254_is_the_one_that_was_set(kvm: None, pit: Maker) -> None:
    # P: there, two latched counts, whether it counted.
    there, first, second, *_ = surveyed(Clocks(pit=pit))["P"][0]
    assert there == ("0" if pit is Maker.NONE else "1")
    assert (first == second == "ffff") is (pit is Maker.NONE)


@pytest.mark.parametrize("pvclock", list(Maker))
def test_pvclocks_msrs_are_there_unless_there_is_none(kvm: None, pvclock: Maker) -> None:
    msrs = {int(row[0], 16): row[1] for row in surveyed(Clocks(pvclock=pvclock))["M"]}
    there = msrs[ClockMsr.KVM_SYSTEM_TIME] != "-"
    assert there is (pvclock is not Maker.NONE)


@pytest.mark.parametrize("rtc", [True, False])
def test_the_rtc_is_there_or_not(kvm: None, rtc: bool) -> None:
    row = surveyed(Clocks(rtc=rtc)).get("R", [["ff", "ff"]])[0]
    assert (row[:2] == ["26", "2"]) is rtc
