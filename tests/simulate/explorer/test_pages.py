"""The explorer's pages: any mix of two pages gives a time that no page gives."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace

import pytest

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.numbers import MASK_64
from timehands.clocks.pvclock.programs.functions import nanoseconds_delta_clamped
from timehands.clocks.pvclock.programs.writers import DATA
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.simulate.explorer.judge import Judge, Judged, Property
from timehands.simulate.explorer.pages import Setting, settings, true_ns

UPDATES = 2
SETTINGS = [s for s in settings(UPDATES).values() if s.pages]
TIMES = [name for name in DATA if name != "flags"]


def mixes(setting: Setting) -> list[tuple[TimeInfo, int]]:
    """Every page made of parts of two or more pages, with the page that its timestamp is of."""
    found = []
    for parts in itertools.product(range(len(setting.pages)), repeat=len(TIMES)):
        values = {
            name: getattr(setting.pages[k], name) for name, k in zip(TIMES, parts, strict=True)
        }
        mixed = replace(setting.pages[parts[0]], **values)
        if all(not same_time(mixed, page) for page in setting.pages):
            found.append((mixed, parts[0]))
    return found


def same_time(a: TimeInfo, b: TimeInfo) -> bool:
    """The same timestamp and time, and factors that mean the same."""
    scale = (p.tsc_to_system_mul << (p.tsc_shift + 8) for p in (a, b))
    return (a.tsc_timestamp, a.system_time) == (b.tsc_timestamp, b.system_time) and len(
        set(scale)
    ) == 1


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_a_torn_page_is_never_taken_for_a_whole_one(setting: Setting) -> None:
    found = mixes(setting)
    assert found
    for (mixed, stamp), base, tick in itertools.product(found, setting.bases, (1, 2)):
        tsc = base + tick
        for arithmetic, clamped in ((nanoseconds, False), (nanoseconds_delta_clamped, True)):
            ns = arithmetic(mixed, tsc)
            stamped = setting.pages[stamp].tsc_timestamp
            if clamped and tsc < stamped and mixed.system_time == setting.pages[stamp].system_time:
                continue  # the delta counts as 0: the page's own time, whatever the factors
            got = judged(ns, tsc=tsc, stamp=stamped, flags=setting.pages[stamp].flags)
            assert Property.TORN in Judge(setting, clamped).broken(got, 0, tsc), (mixed, tsc)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_a_whole_page_is_right(setting: Setting) -> None:
    for number, page in enumerate(setting.pages):
        tsc = setting.bases[number] + 1
        got = judged(nanoseconds(page, tsc), tsc, page.tsc_timestamp, page.flags, number)
        assert Judge(setting).broken(got, number, tsc) == []


def judged(ns: int, tsc: int, stamp: int, flags: int, published: int = 0) -> Judged:
    blank = dict.fromkeys((f.name for f in fields(Judged)), None)
    return Judged(**{**blank, "time": ns, "ns": ns, "tsc": tsc, "stamp": stamp, "flags": flags,
                     "published": published})  # fmt: skip


def steps() -> Setting:
    return settings(UPDATES)["steps"]


def right(**changed: int) -> Judged:
    page = steps().pages[1]
    tsc = steps().bases[1] + 1
    return replace(judged(nanoseconds(page, tsc), tsc, page.tsc_timestamp, 0, 1), **changed)


def broken(got: Judged, **judge: int) -> set[Property]:
    return set(Judge(steps(), **judge).broken(got, 1, steps().bases[1] + 1))


def test_each_property_is_broken_by_what_breaks_it_and_by_nothing_else() -> None:
    time = right().time
    assert broken(right()) == set()
    assert broken(right(flags=1)) == {Property.TORN}
    assert broken(right(flags=2)) == set()  # GUEST_STOPPED comes and goes
    assert broken(right(published=2)) == {Property.STALE}
    assert broken(right(published=0)) == {Property.STALE}
    assert broken(right(before=time + 1)) == {Property.BACKWARD}
    assert broken(right(before=time)) == set()
    assert broken(right(floor=time + 1)) == {Property.ACROSS}
    assert broken(right(time=time + steps().ahead_ns)) == set()
    assert broken(right(time=time + steps().ahead_ns + 1)) == {Property.FROZEN}
    assert broken(right(time=time - 1)) == {Property.FROZEN}


def test_a_tsc_before_the_page_gives_less_than_its_time() -> None:
    page = steps().pages[1]
    tsc = page.tsc_timestamp - 3
    assert true_ns(page, tsc) == page.system_time - 6
    wrapped = right(tsc=tsc, ns=nanoseconds(page, tsc) & MASK_64)
    assert Property.TORN in broken(wrapped)
    clamped = right(tsc=tsc, ns=page.system_time, time=page.system_time)
    assert Property.TORN in broken(clamped)
    assert Property.TORN not in broken(clamped, delta_clamped=True)
