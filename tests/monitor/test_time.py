"""Guest time and its alarms, on a clock that the tests turn: nothing waits for time to pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor import time as monitor_time
from timehands.monitor.time import Alarms, GuestTime

PATIENCE_S = 60.0


class Host:
    """The host's monotonic clock, as a test sets it."""

    def __init__(self, ns: int = 1000) -> None:
        self.ns = ns

    def monotonic_ns(self) -> int:
        return self.ns


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """The clock that guest time counts by."""
    made = Host()
    monkeypatch.setattr(monitor_time, "time", made)
    return made


class Rung:
    """What alarms told, and how to wait for it."""

    def __init__(self) -> None:
        self.at: list[int] = []
        self._changed = threading.Condition()

    def __call__(self, at_ns: int) -> None:
        with self._changed:
            self.at.append(at_ns)
            self._changed.notify_all()

    def wait(self, *wanted: int) -> None:
        with self._changed:
            there = self._changed.wait_for(lambda: len(self.at) >= len(wanted), PATIENCE_S)
        assert there and self.at == list(wanted)


@pytest.fixture
def clock(host: Host) -> GuestTime:
    """Guest time that goes on."""
    made = GuestTime()
    made.resume()
    return made


@pytest.fixture
def alarms(clock: GuestTime) -> Iterator[Alarms]:
    """Alarms whose errors fail the test."""
    errors: list[Exception] = []
    with Alarms(clock, errors.append) as made:
        yield made
    assert errors == []


def turn(host: Host, alarms: Alarms, to_guest_ns: int) -> None:
    """It is that much later."""
    host.ns = 1000 + to_guest_ns
    alarms.wake()


def test_it_stands_still_at_0_before_the_guest_runs(host: Host) -> None:
    clock = GuestTime()
    host.ns += 500
    assert clock.paused
    assert clock.now_ns() == 0


@given(st.lists(st.tuples(st.integers(0, 10**9), st.booleans()), max_size=20))
def test_it_counts_just_the_time_in_which_it_is_not_paused(steps: list[tuple[int, bool]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        host, wanted = Host(), 0
        patch.setattr(monitor_time, "time", host)
        clock = GuestTime()
        for passed, running in steps:
            clock.resume() if running else clock.pause()
            host.ns += passed
            wanted += passed if running else 0
            assert clock.now_ns() == wanted


def test_it_can_go_on_from_a_snapshots_time(host: Host) -> None:
    clock = GuestTime()
    clock.stand_at(10**12)
    clock.resume()
    host.ns += 7
    assert clock.now_ns() == 10**12 + 7


def test_alarms_ring_when_their_time_comes_the_earliest_first(host: Host, alarms: Alarms) -> None:
    rung = Rung()
    for at_ns in (300, 100, 200, 5000):
        alarms.set(at_ns, at_ns, rung)
    turn(host, alarms, 300)
    rung.wait(100, 200, 300)


def test_one_whose_time_is_past_rings_at_once(alarms: Alarms) -> None:
    rung = Rung()
    alarms.set("late", -5, rung)
    rung.wait(-5)


def test_an_owner_has_one_alarm_the_last_that_it_set(host: Host, alarms: Alarms) -> None:
    rung = Rung()
    alarms.set("a", 100, rung)
    alarms.set("a", 200, rung)
    alarms.set("b", 150, rung)
    alarms.clear("b")
    turn(host, alarms, 1000)
    rung.wait(200)


def test_a_function_may_set_an_alarm(host: Host, alarms: Alarms) -> None:
    rung = Rung()

    def again(at_ns: int) -> None:
        rung(at_ns)
        if at_ns < 300:
            alarms.set("a", at_ns + 100, again)

    alarms.set("a", 100, again)
    turn(host, alarms, 1000)
    rung.wait(100, 200, 300)


def test_none_rings_while_the_guest_is_paused(host: Host, clock: GuestTime, alarms: Alarms) -> None:
    rung, other = Rung(), Rung()
    clock.pause()
    alarms.set("a", 100, rung)
    turn(host, alarms, 200)
    assert alarms.settle(PATIENCE_S)
    assert rung.at == []
    clock.resume()  # at 0, 100 to go
    host.ns += 99
    alarms.set("now", 99, other)
    other.wait(99)
    assert rung.at == []
    host.ns += 1
    alarms.wake()
    rung.wait(100)


def test_settling_waits_for_the_function_that_is_being_called(alarms: Alarms) -> None:
    began, go_on, done = threading.Event(), threading.Event(), list[bool]()

    def slow(_at_ns: int) -> None:
        began.set()
        done.append(go_on.wait(PATIENCE_S))

    alarms.set("slow", 0, slow)
    assert began.wait(PATIENCE_S)
    assert not alarms.settle(0)
    go_on.set()
    assert alarms.settle(PATIENCE_S)
    assert done == [True]


def test_a_function_that_settles_does_not_wait_for_itself(alarms: Alarms) -> None:
    rung = Rung()
    alarms.set("a", 0, lambda _at: rung(int(alarms.settle(PATIENCE_S))))
    rung.wait(1)


def test_an_error_is_told_and_the_others_ring(clock: GuestTime) -> None:
    def fails(_at_ns: int) -> None:
        raise ValueError("no")

    errors, rung = list[Exception](), Rung()
    with Alarms(clock, errors.append) as alarms:
        alarms.set("a", 0, fails)
        alarms.set("b", 0, rung)
        rung.wait(0)
    assert [str(error) for error in errors] == ["no"]


def test_alarms_that_never_come_to_ring_take_no_room(alarms: Alarms) -> None:
    rung = Rung()
    for number in range(10_000):
        alarms.set("a", 10**15 + number, rung)
    assert len(alarms._queue) < 200
    alarms.set("a", 0, rung)
    rung.wait(0)


def threads_named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_closed_it_calls_nothing_and_has_no_thread(host: Host, clock: GuestTime) -> None:
    rung, before = Rung(), len(threads_named("alarms"))
    with Alarms(clock, lambda _error: None) as alarms:
        alarms.set("a", 100, rung)
    host.ns += 1000
    alarms.wake()
    assert len(threads_named("alarms")) == before
    assert rung.at == []


def test_the_time_is_never_unknown_while_it_is_paused_and_resumed(clock: GuestTime) -> None:
    """`now_ns` reads two fields that another thread changes."""
    stop, wrong = threading.Event(), list[object]()

    def look(now: Callable[[], object]) -> None:
        while not stop.is_set():
            value = now()
            if not isinstance(value, int):
                wrong.append(value)

    reader = threading.Thread(target=look, args=(clock.now_ns,))
    reader.start()
    for _ in range(2000):
        clock.pause()
        clock.resume()
    stop.set()
    reader.join(PATIENCE_S)
    assert wrong == []
