"""IOAPIC and 8259s of ours in a snapshot: taken, put back, and as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from timehands.kvm.structs import LapicState
from timehands.monitor.chips import SplitChips
from timehands.monitor.devices import i8259, ioapic
from timehands.monitor.snapshot.fields import Fields, Unfit, whole

_U64 = (1 << 64) - 1
_U8 = 0xFF
#: Where a LAPIC has its in-service and request registers (Intel SDM volume 3A, table 11-1).
_ISR, _IRR = 0x100, 0x200


@dataclass(frozen=True, slots=True)
class BoardChips:
    """The chips: see `Ioapic.restore` and `Pics.restore`."""

    select: int
    id: int
    lines: int
    entries: tuple[int, ...]
    pics: tuple[i8259.Chip, i8259.Chip]


def take(chips: SplitChips) -> BoardChips:
    """The state of a paused guest's."""
    return BoardChips(**chips.ioapic.state(), pics=chips.pics.chips())


def put(chips: SplitChips, kept: BoardChips, lapics: Iterable[LapicState]) -> None:
    """Go on with it; ``lapics`` are those of the snapshot. Raises `KvmRefused`.

    A vector that a pin waits for and no LAPIC has any more was ended: KVM had not said so yet.
    """
    chips.ioapic.restore(select=kept.select, id=kept.id, lines=kept.lines, entries=kept.entries)
    chips.pics.restore(*kept.pics)
    has = [bytes(lapic.regs) for lapic in lapics]
    for vector in {entry & 0xFF for entry in kept.entries if entry & ioapic.REMOTE_IRR}:
        if not any(_is_set(regs, vector, at) for regs in has for at in (_ISR, _IRR)):
            chips.ended(vector)


def _is_set(regs: bytes, vector: int, at: int) -> bool:
    """Whether a vector's bit is set in one of a LAPIC's registers of 256 bits."""
    return bool(regs[at + (vector >> 5) * 16 + (vector >> 3 & 3)] >> (vector & 7) & 1)


def plain(kept: BoardChips) -> dict[str, Any]:
    """The state as JSON types."""
    return asdict(kept)


def parse(value: object, where: str) -> BoardChips:
    """What `plain` gave. Raises `Unfit`."""
    with Fields(value, where) as chips:
        pics = chips.each("pics", 2, _pic)
        entries = chips.each("entries", ioapic.PINS, _entry)
        if len(pics) != 2 or len(entries) != ioapic.PINS:
            raise Unfit(f"{where} has not two 8259s and {ioapic.PINS} pins")
        return BoardChips(
            select=chips.whole("select", 0, _U8),
            id=chips.whole("id", 0, 0x0F),
            lines=chips.whole("lines", 0, (1 << ioapic.PINS) - 1),
            entries=entries,
            pics=(pics[0], pics[1]),
        )


def _entry(value: object, where: str) -> int:
    return whole(value, 0, _U64, where)


def _pic(value: object, where: str) -> i8259.Chip:
    with Fields(value, where) as plain_chip:
        chip = i8259.Chip(
            base=plain_chip.whole("base", 0, _U8) & 0xF8,
            lowest=plain_chip.whole("lowest", 0, 7),
            awaits=i8259.Await(plain_chip.whole("awaits", 0, max(i8259.Await))),
        )
        for name in ("irr", "isr", "mask", "lines", "elcr"):
            setattr(chip, name, plain_chip.whole(name, 0, _U8))
        for name in _SWITCHES:
            setattr(chip, name, plain_chip.switch(name))
        return chip


_SWITCHES = (
    "single", "wants_mode", "auto_end", "rotates", "nested", "special_mask", "shows_isr", "polled",
)  # fmt: skip
