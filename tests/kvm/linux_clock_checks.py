"""What must hold between a Linux guest's own words and its page as we decode it."""

from __future__ import annotations

from kvm.linux_clock import DETECTED, SCHED_OFFSET, LinuxClock, reading
from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.scale import linux_tsc_khz, time_scale


def check_registration(clock: LinuxClock) -> None:
    """It says which MSRs it uses, and its page is there from then on, never half written."""
    said = f"kvm-clock: Using msrs {ClockMsr.KVM_SYSTEM_TIME:x} and {ClockMsr.KVM_WALL_CLOCK:x}"
    first = next(number for number, line in enumerate(clock.lines) if said in line.text)
    assert not any(line.page for line in clock.lines[:first])
    versions = [line.info.version for line in clock.lines[first:] if line.info]
    assert len(versions) == len(clock.lines) - first
    assert versions == sorted(versions)
    assert clock.lines[-1].info and clock.lines[-1].info.stable
    assert all(version and version % 2 == 0 for version in versions)


def check_rate(clock: LinuxClock) -> None:
    """Factors are `time_scale`'s, and the guest prints the kHz that `linux_tsc_khz` gives."""
    infos = [line.info for line in clock.lines if line.info]
    assert {info.scale for info in infos} == {time_scale(clock.tsc_khz)}
    matches = [match for line in clock.lines if (match := DETECTED.search(line.text))]
    assert [int(match[1] + match[2]) for match in matches] == [linux_tsc_khz(infos[0].scale)]


def check_readings(clock: LinuxClock) -> int:
    """At each moment KVM's page says what lies between two readings of KVM. How many moments."""
    infos = [(line.info, line) for line in clock.lines if line.info]
    for info, line in infos:
        for at in (line.first, line.last):
            assert at.before_ns <= reading(info, at) <= at.after_ns, line.text
    return 2 * len(infos)


def check_stamps(clock: LinuxClock) -> int:
    """Each time that the guest printed lies where the page puts its line. How many lines.

    A message takes its time before its first byte is sent, and not before the last byte of the last
    but one is. (Not of the last one: that waits for the next message when it has no newline of its
    own.) Times are cut to 1 us.
    """
    stamps = list(clock.stamps())
    for number, ns in stamps:
        info = clock.lines[number].info
        assert info is not None
        earliest = reading(info, clock.lines[number - 2].last)
        latest = reading(info, clock.lines[number].first)
        assert earliest <= ns + 999, clock.lines[number].text
        assert ns <= latest, clock.lines[number].text
    return len(stamps)


def check_offset(clock: LinuxClock) -> None:
    """The clock when the guest chose it lies between the lines before and after."""
    number, line = next(
        (number, line) for number, line in enumerate(clock.lines) if SCHED_OFFSET.search(line.text)
    )
    match = SCHED_OFFSET.search(line.text)
    assert match and line.info
    earliest = reading(line.info, clock.lines[number - 2].last)
    assert earliest <= int(match[1]) <= reading(line.info, line.first)


def check_all(clock: LinuxClock) -> None:
    """Everything, on at least twenty lines that bear a time."""
    check_registration(clock)
    check_rate(clock)
    check_offset(clock)
    assert clock.ours or check_readings(clock) >= 40
    assert check_stamps(clock) >= 20
