"""The wall clock record: when the system time was 0."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from timehands.clocks.pvclock.layout import WallClock
from timehands.clocks.pvclock.numbers import WALL_CLOCK_SIZE
from timehands.conform.monitor_vmm import Bend
from timehands.conform.mutants.mutant import Mutant, provider
from timehands.monitor.microvm import Microvm
from timehands.monitor.pvclock import Pvclock

_NS, _MASK_32 = 1_000_000_000, (1 << 32) - 1
_OLD_NS = -75 * 3600 * _NS


def _changed(change: Callable[[WallClock], WallClock]) -> Bend:
    """The record is changed when it has been written."""

    class Changed(Pvclock):
        def _wall(self, address: int) -> bool:
            taken = super()._wall(address)
            if taken and address:
                record = WallClock.parse(self._memory.read(address, WALL_CLOCK_SIZE))
                self._memory.write(address, change(record).build())
            return taken

    return provider(Changed)


class _IntoTime(Pvclock):
    """The wall clock goes where the first vCPU's time is."""

    def _wall(self, address: int) -> bool:
        return super()._wall(self._pages.get(0, address))


class _TooLong(Pvclock):
    def _wall(self, address: int) -> bool:
        taken = super()._wall(address)
        if taken and address:
            self._memory.write(address + WALL_CLOCK_SIZE, bytes(4))
        return taken


def _of_now(record: WallClock) -> WallClock:
    sec, nsec = divmod(time.time_ns(), _NS)
    return replace(record, sec=sec & _MASK_32, nsec=nsec)


def _in_ms(record: WallClock) -> WallClock:
    ms = record.sec * 1000 + record.nsec // 1_000_000
    return replace(record, sec=ms & _MASK_32, nsec=0)


def _frozen(guest: Microvm) -> None:
    assert guest.pvclock is not None
    guest.pvclock.step_wall(_OLD_NS - guest.pvclock.wall_offset_ns)


MUTANTS = (
    Mutant(
        "wall-without-version",
        "the wall clock's version stays 0",
        "pvclock.wall",
        _changed(lambda record: replace(record, version=0)),
    ),
    Mutant(
        "wall-left-odd",
        "the wall clock's version stays odd",
        "pvclock.wall",
        _changed(lambda record: replace(record, version=record.version | 1)),
    ),
    Mutant(
        "wall-of-now",
        "the wall clock tells the date of now, not that at which the system time was 0",
        "pvclock.wall",
        _changed(_of_now),
    ),
    Mutant("wall-in-ms", "the wall clock counts ms", "pvclock.wall", _changed(_in_ms)),
    Mutant(
        "wall-not-carried",
        "the wall clock's nanoseconds are a second and more",
        "pvclock.wall",
        _changed(lambda record: replace(record, sec=record.sec - 1, nsec=record.nsec + _NS)),
    ),
    Mutant(
        "wall-of-the-snapshot",
        "the wall clock is that of 75 hours ago, when the snapshot was taken",
        "pvclock.wall",
        _frozen,
        "forkd#288 (75 h), boxlite#788 (37 h)",
    ),
    Mutant(
        "wall-too-long",
        "16 bytes are written, not 12",
        "pvclock.wall",
        provider(_TooLong),
    ),
    Mutant(
        "wall-in-the-wrong-place",
        "the wall clock is written to the address that the system time's MSR has",
        "pvclock.wall",
        provider(_IntoTime),
    ),
)
