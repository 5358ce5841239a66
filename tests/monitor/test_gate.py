"""Where vCPUs wait: several of them, opened, shut, and closed for good."""

from __future__ import annotations

import threading

from timehands.monitor.gate import Gate

PATIENCE_S = 60.0


class Passer(threading.Thread):
    """Passes the gate, and leaves it when it is told to."""

    def __init__(self, gate: Gate, number: int) -> None:
        super().__init__(daemon=True)
        self.gate, self.number = gate, number
        self.told, self.passed = threading.Event(), threading.Event()
        self.was_let: bool | None = None
        self.start()

    def run(self) -> None:
        self.was_let = self.gate.pass_through(self.number)
        self.passed.set()
        if self.was_let:
            self.told.wait(PATIENCE_S)
            self.gate.leave(self.number)

    def finish(self) -> None:
        self.told.set()
        self.join(PATIENCE_S)


def test_it_lets_all_through_when_it_is_opened_and_counts_who_is_inside() -> None:
    gate = Gate()
    passers = [Passer(gate, number) for number in range(3)]
    assert gate.inside == frozenset()
    gate.set_open(True)
    assert all(each.passed.wait(PATIENCE_S) for each in passers)
    assert gate.inside == {0, 1, 2}
    passers[1].finish()
    assert gate.inside == {0, 2}
    for each in passers:
        each.finish()
    assert gate.wait_empty(lambda: None)


def test_who_is_inside_is_asked_to_come_out_until_it_does() -> None:
    gate, asked = Gate(), list[int]()
    gate.set_open(True)
    passer = Passer(gate, 0)
    assert passer.passed.wait(PATIENCE_S)
    gate.set_open(False)

    def ask() -> None:
        asked.append(1)
        if len(asked) == 3:
            passer.told.set()

    assert gate.wait_empty(ask)
    assert len(asked) == 3


def test_who_stays_in_is_waited_for_so_long_and_no_longer() -> None:
    gate = Gate(patience_s=0.0)
    gate.set_open(True)
    passer = Passer(gate, 0)
    assert passer.passed.wait(PATIENCE_S)
    assert not gate.wait_empty(lambda: None)
    assert gate.inside == {0}
    passer.finish()


def test_closed_it_sends_home_who_waits_and_never_opens_again() -> None:
    gate = Gate()
    passer = Passer(gate, 0)
    gate.close()
    passer.join(PATIENCE_S)
    assert passer.was_let is False
    gate.set_open(True)
    assert not gate.open
    assert not gate.pass_through(1)
    assert gate.inside == frozenset()
