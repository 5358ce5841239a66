"""Breakpoints of real guests on the real KVM, with no debugger."""

from __future__ import annotations

import threading

import pytest

from monitor.running import PATIENCE_S
from monitor.ticking import symbols, ticking, word
from timehands.errors import BreakpointImpossible
from timehands.kvm import Capability
from timehands.monitor.breakpoints import Breakpoints, Hit, Kind, Point, ask


class Hits:
    """What was hit, until it is enough. ``look`` says what to keep of each."""

    def __init__(self, wanted: int) -> None:
        self.enough = threading.Event()
        self.found: list[tuple[int, int]] = []
        self._wanted = wanted
        self._ticks = symbols()["ticks"]

    def __call__(self, hit: Hit) -> None:
        if len(self.found) < self._wanted:
            self.found.append((hit.vcpu.number, word(hit.vcpu.vm.memory, self._ticks)))
        if len(self.found) == self._wanted:
            self.enough.set()

    def wait(self) -> list[tuple[int, int]]:
        assert self.enough.wait(PATIENCE_S), self.found
        return self.found


def need(stops: Breakpoints, kind: Kind) -> None:
    """Skip where the host's KVM does not tell of such points."""
    if not stops.abilities.has(kind):
        pytest.skip(f"this host's KVM does not tell of a {kind.value}")


@pytest.mark.parametrize("what", ["n", "o", "i"])
@pytest.mark.parametrize("kind", [Kind.EXECUTE, Kind.SOFTWARE])
def test_each_call_is_one_hit(kvm: None, kind: Kind, what: str) -> None:
    talk, hits = ticking(f"1{what}"), Hits(50)
    stops = Breakpoints(talk.guest)
    with talk:
        need(stops, kind)
        talk.guest.pause()
        stops.add(Point(symbols()["tick"], kind), hits)
        talk.guest.resume()
        found = hits.wait()
    first = found[0][1]
    assert found == [(0, first + number) for number in range(50)]


def test_every_vcpu_stops(kvm: None) -> None:
    talk, numbers, both = ticking("2n"), set[int](), threading.Event()

    def hit(hit: Hit) -> None:
        numbers.add(hit.vcpu.number)
        if numbers == {0, 1}:
            both.set()

    stops = Breakpoints(talk.guest)
    need(stops, Kind.EXECUTE)
    stops.add(Point(symbols()["tick"]), hit)
    with talk:
        assert both.wait(PATIENCE_S), talk.where()


def test_a_fifth_hardware_breakpoint_cannot_be(kvm: None) -> None:
    talk = ticking("1n")
    stops = Breakpoints(talk.guest)
    need(stops, Kind.EXECUTE)
    with talk:
        points = [Point(0x1000 + number) for number in range(4)]
        for point in points:
            stops.add(point, print)
        with pytest.raises(BreakpointImpossible, match="all of them are taken"):
            stops.add(Point(0x2000), print)
        stops.remove(points[0], print)
        stops.add(Point(0x2000), print)
        assert stops.points == (*points[1:], Point(0x2000))


def test_without_guest_debug_there_is_nothing() -> None:
    class Lacking:
        def has(self, capability: Capability) -> bool:
            return capability is not Capability.SET_GUEST_DEBUG

    abilities = ask(Lacking())  # type: ignore[arg-type]
    assert not abilities.steps
    assert not any(abilities.has(kind) for kind in Kind)


def test_an_error_of_whoever_is_told_ends_the_guest(kvm: None) -> None:
    talk = ticking("1n")
    stops = Breakpoints(talk.guest)
    need(stops, Kind.EXECUTE)

    def fail(_hit: Hit) -> None:
        raise RuntimeError("no more")

    stops.add(Point(symbols()["tick"]), fail)
    with talk:
        ending = talk.end()
    assert (ending.reason, str(ending.cause)) == ("lost", "no more")


def test_a_point_is_told_to_all_who_asked_until_each_has_left(kvm: None) -> None:
    talk, first, second = ticking("1n"), Hits(3), Hits(8)
    stops, point = Breakpoints(talk.guest), Point(symbols()["tick"])
    need(stops, Kind.EXECUTE)
    stops.add(point, first)
    stops.add(point, second)
    with talk:
        begun = first.wait()
        stops.remove(point, first)
        assert stops.points == (point,)
        found = second.wait()
        stops.remove(point, second)
        assert stops.points == ()
        with pytest.raises(KeyError):
            stops.remove(point, second)
    assert begun == found[:3] == [(0, 0), (0, 1), (0, 2)]
    assert found == [(0, number) for number in range(8)]
