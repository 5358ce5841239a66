"""IOAPIC and 8259s of ours in a snapshot's file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.snapshot.states import some_state
from timehands.errors import SnapshotDamaged
from timehands.kvm.structs import LapicState
from timehands.monitor.chips import SplitChips
from timehands.monitor.devices import i8259, ioapic
from timehands.monitor.settings import IrqChips
from timehands.monitor.snapshot import document, split
from timehands.monitor.snapshot.fields import Unfit
from timehands.monitor.snapshot.split import BoardChips
from timehands.monitor.snapshot.state import State

ENTRY = 3 << 56 | ioapic.LEVEL | ioapic.REMOTE_IRR | 0x31
FIRST = i8259.Chip(
    irr=1, isr=4, mask=0xF8, lines=1, base=0x20, lowest=3, awaits=i8259.Await.MODE, nested=True
)
CHIPS = BoardChips(0x10, 2, 1 << 9, (ENTRY,) * ioapic.PINS, (FIRST, i8259.Chip(polled=True)))


def split_state() -> State:
    """A state whose interrupt chips are split."""
    state = some_state()
    clocks = replace(state.clocks, irqchip=IrqChips.SPLIT)
    return replace(state, clocks=clocks, devices=replace(state.devices, chips={}, split=CHIPS))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    document.write(split_state(), tmp_path)
    assert document.read(tmp_path) == split_state()


@pytest.mark.parametrize(
    ("byte", "ended"), [(None, True), (0x112, False), (0x212, False), (0x192, True)]
)
def test_what_no_lapic_has_any_more_was_ended(byte: int | None, ended: bool) -> None:
    """Vector 0x31 is bit 17 of 0x110 (in service) and 0x210 (requested); 0x190 is its trigger."""
    calls: list[Any] = []
    chips = SimpleNamespace(
        ioapic=SimpleNamespace(restore=lambda **kept: calls.append(kept["lines"])),
        pics=SimpleNamespace(restore=lambda *pics: calls.append(pics)),
        ended=calls.append,
    )
    lapics = [LapicState(), LapicState()]
    if byte is not None:
        lapics[1].regs[byte] = 1 << 1
    split.put(cast(SplitChips, chips), CHIPS, lapics)
    assert calls == [CHIPS.lines, CHIPS.pics, *([0x31] if ended else [])]


@pytest.mark.parametrize("chips", [IrqChips.KVM, IrqChips.SPLIT])
def test_the_chips_are_those_of_the_settings(tmp_path: Path, chips: IrqChips) -> None:
    state = split_state() if chips is IrqChips.KVM else some_state()
    state = replace(state, clocks=replace(state.clocks, irqchip=chips))
    document.write(state, tmp_path)
    with pytest.raises(SnapshotDamaged, match=r"does not fit state\.clocks"):
        document.read(tmp_path)


def test_no_chip_is_there_twice(tmp_path: Path) -> None:
    state = split_state()
    devices = replace(state.devices, chips=some_state().devices.chips)
    document.write(replace(state, devices=devices), tmp_path)
    with pytest.raises(SnapshotDamaged, match=r"devices\.chips does not fit"):
        document.read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"entries": [0] * 23},
        {"entries": [2**64] * 24},
        {"entries": [-1] * 24},
        {"lines": 1 << 24},
        {"id": 16},
        {"select": 256},
        {"pics": []},
        {"other": 1},
    ],
)
def test_what_no_chips_have_is_refused(change: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(split.plain(CHIPS)))
    with pytest.raises(Unfit):
        split.parse(plain | change, "split")


@pytest.mark.parametrize(
    "change", [{"awaits": 4}, {"lowest": 8}, {"irr": 256}, {"nested": 1}, {"mask": None}, {"x": 0}]
)
def test_what_no_8259_has_is_refused(change: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(split.plain(CHIPS)))
    plain["pics"][1] |= change
    with pytest.raises(Unfit):
        split.parse(plain, "split")
